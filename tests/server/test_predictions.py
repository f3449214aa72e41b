"""Predictions over HTTP: what the runs say themselves, whoever shares the batch."""

from __future__ import annotations

import base64
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.server.conftest import Server
from throughtime.client import Client, RemoteError
from throughtime.errors import OptionError
from throughtime.run import Run

Runs = dict[str, Path]


def results(server: Server, verb: str, inputs: list[Any], **options: Any) -> list[Any]:
    return server.post(f"/v1/{verb}", {"inputs": inputs, **options})["results"]


def test_texts_are_classified_as_the_run_does_it(others: Server, other_runs: Runs) -> None:
    texts = ["fine film 3", "dull", "a film that nobody has seen"]
    wanted = Run.open(other_runs["reviews"]).classify(texts)  # type: ignore[attr-defined]
    assert results(others, "classify", texts) == wanted
    assert results(others, "classify", [{"text": texts[0]}, {"input": texts[1]}]) == wanted[:2]
    assert set(results(others, "classify", texts[:1], probabilities=False)[0]) == {"label", "probability"}


def test_words_and_frames_are_tagged(others: Server, other_runs: Runs) -> None:
    wanted = Run.open(other_runs["names"]).tag(["Ana lives in Cork", "Ben"])  # type: ignore[attr-defined]
    assert results(others, "tag", ["Ana lives in Cork", ["Ben"]], model="names") == wanted
    clips = [np.random.default_rng(k).normal(size=(5 + k, 2)).astype(np.float32) for k in range(3)]
    run = Run.open(other_runs["moves"])
    found = results(others, "tag", [clip.tolist() for clip in clips], model="moves", each_frame=True)
    for clip, said in zip(clips, found, strict=True):
        assert said == run.session().feed(clip)  # type: ignore[attr-defined]
    segments = results(others, "tag", [clips[0].tolist()], model="both")[0]
    assert segments[0]["start"] == 0 and segments[-1]["end"] == 5


def test_texts_are_translated(others: Server, other_runs: Runs) -> None:
    texts = ["1 2 3", "4 4"]
    wanted = Run.open(other_runs["letters"]).translate(texts, beam=2)  # type: ignore[attr-defined]
    found = results(others, "translate", texts, beam=2, alternatives=True)
    assert [one["translation"] for one in found] == [one.text for one in wanted]
    assert found[0]["alternatives"][0]["score"] == found[0]["score"] == wanted[0].score


def test_a_table_goes_on(others: Server, other_runs: Runs) -> None:
    rows = [{"time": f"2024-06-01 {hour:02}:00", "load": hour} for hour in range(24)]
    wanted = list(Run.open(other_runs["load"]).forecast(rows))  # type: ignore[attr-defined]
    assert others.post("/v1/forecast", {"rows": rows})["results"] == wanted
    rows[3]["load"] = "much"
    refused = others.post("/v1/forecast", {"rows": rows}, 400)
    assert "row 4 (index 3)" in refused["error"]["message"]


def test_the_client_asks_for_predictions(others: Server, other_runs: Runs, tmp_path: Path) -> None:
    clip = np.random.default_rng(0).normal(size=(5, 2)).astype(np.float32)
    np.save(tmp_path / "clip.npy", clip)
    rows = [{"time": f"2024-06-01 {hour:02}:00", "load": hour} for hour in range(24)]
    with Client(others.url) as client:
        assert client.predict("classify", ["dull"]) == results(others, "classify", ["dull"])
        assert client.predict("translate", ["1 2"], beam=2) == results(others, "translate", ["1 2"], beam=2)
        wanted = results(others, "tag", [clip.tolist()], model="both")
        assert client.predict("tag", [clip], model="both") == wanted
        assert client.predict("tag", [list(clip)], model="both") == wanted
        assert client.predict("tag", files=[tmp_path / "clip.npy"], model="both") == wanted
        assert client.forecast(rows) == others.post("/v1/forecast", {"rows": rows})["results"]
        photo = other_runs["photos"].parent / "pictures" / "0.png"
        file = {"name": "0.png", "data": base64.b64encode(photo.read_bytes()).decode()}
        wanted = others.post("/v1/caption", {"files": [file]})["results"]
        assert client.predict("caption", files=[photo]) == wanted
        with pytest.raises(RemoteError, match="give inputs"):
            client.predict("classify")
        with pytest.raises(OptionError, match="set is nothing that JSON can hold"):
            client.predict("classify", [{"a film"}])


def test_answers_do_not_depend_on_who_shares_the_batch(others: Server) -> None:
    texts = [f"{'fine' if k % 3 else 'dull'} film " * (1 + k % 7) for k in range(60)]
    alone = [results(others, "classify", [text])[0] for text in texts]
    lines = [" ".join(str(k % 5) for k in range(1 + row % 9)) for row in range(24)]
    lines_alone = [results(others, "translate", [line])[0] for line in lines]
    with ThreadPoolExecutor(16) as pool:
        together = list(pool.map(lambda text: results(others, "classify", [text])[0], texts))
        lines_together = list(pool.map(lambda line: results(others, "translate", [line])[0], lines))
    assert results(others, "classify", texts) == alone == together
    assert results(others, "translate", lines) == lines_alone == lines_together
    sentences = ["Ana lives in Bonn " * (1 + k % 6) for k in range(12)]
    words_alone = [results(others, "tag", [one], model="names")[0] for one in sentences]
    assert results(others, "tag", sentences, model="names") == words_alone
    clips = [np.random.default_rng(k).normal(size=(1 + 37 * k, 2)).tolist() for k in range(9)]
    for model in ("moves", "both"):
        frames_alone = [results(others, "tag", [one], model=model, each_frame=True)[0] for one in clips]
        assert results(others, "tag", clips, model=model, each_frame=True) == frames_alone


@pytest.mark.parametrize(
    ("verb", "body", "status", "code", "says"),
    [
        ("classify", {"inputs": ["fine", ""]}, 400, "bad_row", "row 2 (index 1)"),
        ("classify", {"inputs": ["fine", 3]}, 400, "bad_row", "row 2 (index 1): expected a text"),
        ("classify", {"inputs": [{"words": "fine"}]}, 400, "bad_row", "expected the columns text"),
        ("classify", {"inputs": ["a"], "model": "letters"}, 400, "wrong_task", "letters is a translator"),
        ("classify", {"inputs": ["a"], "model": "nobody"}, 404, "model_not_found", "there is no model"),
        ("classify", {}, 400, "no_input", "a text each"),
        ("classify", {"inputs": "a"}, 422, "bad_request", "inputs"),
        ("classify", {"inputs": ["a"], "beam": 3}, 422, "bad_request", "beam"),
        ("tag", {"inputs": [""]}, 400, "no_model", "names, moves, both"),
        ("tag", {"inputs": [["Ana", ""]], "model": "names"}, 400, "bad_row", "empty"),
        ("tag", {"inputs": [[[1, 2], [3]]], "model": "moves"}, 400, "bad_row", "different lengths"),
        ("tag", {"inputs": [[[1, 2, 3]]], "model": "moves"}, 400, "bad_row", "expected 2 numbers"),
        ("tag", {"inputs": [[["a", "b"]]], "model": "moves"}, 400, "bad_row", "lists of numbers"),
        ("translate", {"inputs": ["1", " "]}, 400, "bad_row", "row 2 (index 1)"),
        ("translate", {"inputs": ["1"], "length_penalty": -3}, 400, "bad_row", "length_penalty"),
        ("caption", {"files": [], "model": "reviews"}, 400, "wrong_task", "does not caption pictures"),
    ],
)
def test_what_cannot_be_done_says_where(
    others: Server, verb: str, body: dict[str, Any], status: int, code: str, says: str
) -> None:
    error = others.post(f"/v1/{verb}", body, status)["error"]
    assert error["code"] == code
    assert says in error["message"]


def test_clips_may_come_as_files(others: Server, other_runs: Runs, tmp_path: Path) -> None:
    path = tmp_path / "clip.npy"
    np.save(path, np.ones((7, 2), np.float32))
    wanted = [
        {k: v for k, v in row.items() if k != "clip"} for row in Run.open(other_runs["moves"]).predict([path])
    ]
    content = path.read_bytes()
    form = others.http.post("/v1/tag", data={"model": "moves"}, files={"file": ("clip.npy", content)})
    assert form.json()["results"] == [wanted]
    file = {"name": "clip.npy", "data": base64.b64encode(content).decode()}
    assert others.post("/v1/tag", {"model": "moves", "files": [file]})["results"] == [wanted]
    for bad, code in (({"name": "x.py", "data": ""}, "bad_row"), ({"data": "no base64!"}, "bad_base64")):
        refused = others.post("/v1/tag", {"model": "moves", "files": [bad]}, 400)
        assert refused["error"]["code"] == code
    broken = {"name": "mine.npy", "data": base64.b64encode(content[:30]).decode()}
    message = others.post("/v1/tag", {"model": "moves", "files": [broken]}, 400)["error"]["message"]
    assert message.startswith("row 1 (index 0): mine.npy")


def test_pictures_get_captions(others: Server, other_runs: Runs) -> None:
    pictures = [other_runs["photos"].parent / "pictures" / f"{number}.png" for number in (1, 6)]
    run = Run.open(other_runs["photos"])
    wanted = [
        {"caption": one.text, "log_probability": one.log_probability}
        for one in run.caption(pictures, beam=2)  # type: ignore[attr-defined]
    ]
    form = [("file", (path.name, path.read_bytes(), "image/png")) for path in pictures]
    answer = others.http.post("/v1/caption", data={"beam": "2"}, files=form)
    assert answer.json()["results"] == wanted
    files = [{"data": base64.b64encode(path.read_bytes()).decode()} for path in pictures]
    assert others.post("/v1/caption", {"files": files, "beam": 2})["results"] == wanted
    broken = others.post("/v1/caption", {"files": [files[0], {"name": "b.png", "data": "AAAA"}]}, 400)
    assert broken["error"]["message"].startswith("row 2 (index 1): b.png")


def test_recordings_become_texts(others: Server, other_runs: Runs) -> None:
    recordings = [np.random.default_rng(k).normal(size=(20 + 9 * k, 3)).astype(np.float32) for k in range(4)]
    wanted = Run.open(other_runs["strokes"]).transcribe(recordings, beam=2)  # type: ignore[attr-defined]
    found = results(others, "transcribe", [one.tolist() for one in recordings], beam=2)
    assert found == [{k: v for k, v in one.items() if k != "input"} for one in wanted]
    assert results(others, "transcribe", [recordings[2].tolist()], beam=2) == [found[2]]


def test_models_say_where_they_are_reached(others: Server) -> None:
    found = {one["id"]: one["endpoints"] for one in others.http.get("/v1/models").json()["data"]}
    assert found["reviews"] == ["/v1/classify"]
    assert found["moves"] == ["/v1/tag", "/v1/sessions"]
    assert found["both"] == ["/v1/tag"]
