"""Sessions of a tagger: frames in, what each one is out, and the same promises as those of texts have."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.server.conftest import Server
from throughtime.client import Client, RemoteError
from throughtime.run import Run
from throughtime.server.scheduler import Limits
from throughtime.server.session_requests import FrameStep

Runs = dict[str, Path]


def frames(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, 2)).astype(np.float32)


def create(server: Server, **body: Any) -> str:
    return server.post("/v1/sessions", {"model": "moves", **body}, 201)["id"]


def step(server: Server, id: str, chunk: np.ndarray, status: int = 200, **body: Any) -> Any:
    return server.post(f"/v1/sessions/{id}/step", {"frames": chunk.tolist(), **body}, status)


def alone(runs: Runs, chunk: np.ndarray) -> list[dict[str, Any]]:
    return Run.open(runs["moves"]).session().feed(chunk)  # type: ignore[attr-defined]


@pytest.mark.parametrize("cuts", [[150], [1] * 20 + [130], [7, 0, 100, 43]])
def test_a_stream_says_the_same_however_it_is_cut(others: Server, other_runs: Runs, cuts: list[int]) -> None:
    id, whole = create(others), frames(150)
    said, start = [], 0
    for count in cuts:
        reply = step(others, id, whole[start : start + count], position=start)
        start += count
        said += reply["outputs"]
        assert reply["position"] == start
    assert said == alone(other_runs, whole)


def test_the_client_feeds_a_stream(others: Server, other_runs: Runs) -> None:
    whole = frames(30)
    with Client(others.url) as client:
        session = client.session(model="moves")
        said = session.feed(whole[:7]) + session.feed(whole[7:7]) + session.feed(whole[7:20].tolist())
        assert session.position == 20
        said += client.open(session.id).feed(whole[20:])
        assert said == alone(other_runs, whole)
        with pytest.raises(RemoteError, match="position") as refused:
            session.feed(whole[:1], probabilities=True)
        assert (refused.value.code, refused.value.position) == ("wrong_position", 30)
        session.refresh()
        assert "probabilities" in session.feed(whole[:1], probabilities=True)[0]


def test_streams_that_step_together_never_mix(others: Server, other_runs: Runs) -> None:
    run = Run.open(other_runs["moves"])
    ids = [create(others) for _ in range(40)]

    def follow(place: int) -> list[dict[str, Any]]:
        chunks = np.array_split(frames(30, place), 1 + place % 5)
        return [one for chunk in chunks for one in step(others, ids[place], chunk)["outputs"]]

    with ThreadPoolExecutor(16) as pool:
        said = list(pool.map(follow, range(40)))
    for place, found in enumerate(said):
        assert found == run.session().feed(frames(30, place))  # type: ignore[attr-defined]


def test_thousands_step_in_one_body(others: Server, other_runs: Runs) -> None:
    ids = [create(others) for _ in range(30)]
    steps = [{"id": id, "frames": frames(1 + k % 3, k).tolist()} for k, id in enumerate(ids)]
    # One that is named twice takes both of its steps, in their order.
    steps += [{"id": ids[0], "frames": frames(2, 90).tolist(), "position": 1}]
    steps += [{"id": ids[1], "frames": [], "position": 9}, {"id": "ses-x-y", "frames": []}]
    results = others.post("/v1/sessions:step", {"steps": steps})["results"]
    assert [one.get("status", 200) for one in results] == [200] * 31 + [412, 404]
    for k in range(1, 30):
        assert results[k]["outputs"] == alone(other_runs, frames(1 + k % 3, k))
    both = np.concatenate([frames(1, 0), frames(2, 90)])
    assert results[0]["outputs"] + results[30]["outputs"] == alone(other_runs, both)
    assert results[31]["position"] == 2
    for bad in ({"id": ids[0], "frames": [[1, 2, 3]]}, {"id": ids[0], "frames": ["a"]}):
        assert others.http.post("/v1/sessions:step", json={"steps": [bad]}).status_code == 400
    mixed = others.post("/v1/sessions:step", {"steps": [{"id": ids[0], "tokens": [1]}]}, 400)
    assert mixed["error"]["code"] == "wrong_task"


def test_positions_and_keys_hold_as_for_texts(others: Server, other_runs: Runs) -> None:
    id, whole = create(others), frames(12)
    path, body = f"/v1/sessions/{id}/step", {"frames": whole[:5].tolist(), "position": 0}
    first = others.post(path, body, idempotency_key="one")
    assert others.post(path, body, idempotency_key="one") == first
    reused = others.post(path, {"frames": [[0, 0]]}, 422, idempotency_key="one")
    assert reused["error"]["code"] == "key_reused"
    refused = step(others, id, whole[5:], 412, position=0)
    assert (refused["error"]["code"], refused["position"]) == ("wrong_position", 5)
    ambiguous = others.post(path, {"frames": [[0, 0]]}, 409, x_stainless_retry_count="1")
    assert (ambiguous["error"]["code"], ambiguous["position"]) == ("ambiguous_retry", 5)
    rest = step(others, id, whole[5:])
    assert first["outputs"] + rest["outputs"] == alone(other_runs, whole)
    made = others.post("/v1/sessions", {"model": "moves"}, 201, idempotency_key="new")
    assert others.post("/v1/sessions", {"model": "moves"}, 201, idempotency_key="new") == made


def test_a_call_that_comes_twice_in_one_batch_is_done_once(others: Server) -> None:
    host = others.serving.batchers["moves"]
    one = FrameStep(create(others), frames(2), key="mine", digest="same")
    assert host._loop is not None
    work = host.call(lambda: host.sessions.step([one, one]))
    first, second = asyncio.run_coroutine_threadsafe(work, host._loop).result(10)
    assert first == second
    assert first["position"] == 2


def test_forks_and_snapshots_go_their_own_way(others: Server, other_runs: Runs) -> None:
    id, whole = create(others, metadata={"sensor": "4"}), frames(40)
    step(others, id, whole[:15])
    twin = others.post(f"/v1/sessions/{id}/fork", {}, 201)
    assert (twin["position"], twin["forked_from"], twin["metadata"]) == (15, id, {"sensor": "4"})
    snapshot = others.http.get(f"/v1/sessions/{id}/snapshot")
    assert snapshot.headers["etag"] == '"15"'
    wanted = alone(other_runs, whole)[15:]
    assert step(others, id, whole[15:])["outputs"] == wanted
    assert step(others, twin["id"], whole[15:])["outputs"] == wanted
    back = others.http.put(f"/v1/sessions/{id}/snapshot", content=snapshot.content)
    assert back.json()["position"] == 15
    new = others.http.post("/v1/sessions:restore", params={"model": "moves"}, content=snapshot.content)
    for one in (id, new.json()["id"]):
        assert step(others, one, whole[15:])["outputs"] == wanted
    for bad in (b"", snapshot.content[:-1], b"\0" * 64):
        refused = others.http.put(f"/v1/sessions/{id}/snapshot", content=bad)
        assert (refused.status_code, refused.json()["error"]["code"]) == (422, "bad_snapshot")


@pytest.mark.parametrize(
    ("body", "status", "says"),
    [
        ({"frames": [[1, 2, 3]]}, 400, "this model reads (N, 2)"),
        ({"frames": [[1, "a"]]}, 400, "lists of numbers"),
        ({"frames": [[1], [1, 2]]}, 400, "different lengths"),
        ({"frames": [[1e39, 0]]}, 400, "number [0, 0]"),
        ({"tokens": [1]}, 400, "tokens has no effect here"),
        ({"frames": [], "logits": True}, 400, "logits has no effect here"),
        ({}, 400, "give frames"),
        ({"frames": [], "position": -1}, 422, "position"),
    ],
)
def test_what_is_no_frame_moves_nothing(others: Server, body: dict[str, Any], status: int, says: str) -> None:
    id = create(others)
    assert says in others.post(f"/v1/sessions/{id}/step", body, status)["error"]["message"]
    assert others.http.get(f"/v1/sessions/{id}").json()["position"] == 0


def test_what_a_model_cannot_do_is_said(others: Server) -> None:
    two_ways = others.post("/v1/sessions", {"model": "both"}, 400)["error"]
    assert "bidirectional" in two_ways["message"]
    assert others.post("/v1/sessions", {"model": "reviews"}, 400)["error"]["code"] == "wrong_task"
    assert (
        "temperature has no effect"
        in others.post("/v1/sessions", {"model": "moves", "temperature": 1}, 400)["error"]["message"]
    )
    id = create(others)
    assert others.post(f"/v1/sessions/{id}/generate", {}, 400)["error"]["code"] == "wrong_task"
    assert others.http.delete(f"/v1/sessions/{id}").json()["deleted"]
    assert step(others, id, frames(1), 410)["error"]["code"] == "session_gone"


def test_a_stream_outlives_memory_and_server(other_runs: Runs, start: Callable[..., Server]) -> None:
    runs = {"moves": other_runs["moves"]}
    limits = Limits(memory=1, snapshot_every=8)
    server = start(runs, limits=limits)
    ids = [create(server) for _ in range(100)]
    for first in (0, 5):
        for k, id in enumerate(ids):
            step(server, id, frames(20, k)[first : first + 5])
    assert server.serving.batchers["moves"].sessions.count <= 64
    server.stop()
    server = start(runs, limits=limits)
    run = Run.open(other_runs["moves"])
    for k, id in enumerate(ids[::9]):
        wanted = run.session().feed(frames(20, 9 * k))  # type: ignore[attr-defined]
        assert step(server, id, frames(20, 9 * k)[10:])["outputs"] == wanted[10:]


def test_a_state_that_is_lost_is_that_before_the_step(
    other_runs: Runs, start: Callable[..., Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    server = start({"moves": other_runs["moves"]})
    model = server.serving.batchers["moves"].model
    id, whole, right = create(server), frames(6), model.outputs
    steps = [{"id": id, "frames": part.tolist()} for part in (whole[:2], np.ones((1, 2)), whole[2:])]

    def broken(slots: Any, chunks: list[np.ndarray]) -> Any:
        return [out * np.nan if len(out) == 1 else out for out in right(slots, chunks)]

    with monkeypatch.context() as patched:
        patched.setattr(model, "outputs", broken)
        results = server.post("/v1/sessions:step", {"steps": steps})["results"]
    assert [one.get("status", 200) for one in results] == [200, 500, 500]
    said = results[0]["outputs"] + step(server, id, whole[2:], position=2)["outputs"]
    assert said == alone(other_runs, whole)


def test_a_full_queue_and_a_deadline_are_told(other_runs: Runs, start: Callable[..., Server]) -> None:
    server = start({"reviews": other_runs["reviews"]}, limits=Limits(queue=2, deadline=0.3))
    batcher = server.serving.batchers["reviews"]
    begun, over = threading.Event(), threading.Event()
    with ThreadPoolExecutor(9) as pool:
        slow = pool.submit(_call, batcher, lambda: (begun.set(), over.wait(20)))
        begun.wait(20)
        answers = [pool.submit(server.http.post, "/v1/classify", json={"inputs": ["fine"]}) for _ in range(6)]
        statuses = sorted(one.result().status_code for one in answers)
        assert "deadline" in str(slow.exception())
        over.set()
    assert statuses == [429] * 4 + [504] * 2
    while batcher.load != (0, 0):  # what nobody waits for leaves the queue when its turn comes
        time.sleep(0.02)
    assert server.post("/v1/classify", {"inputs": ["fine"]})["results"]


def _call(batcher: Any, work: Callable[[], Any]) -> None:
    asyncio.run_coroutine_threadsafe(batcher.call(work), batcher._loop).result()


@pytest.fixture(scope="module")
def sounds_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tagger of sounds."""
    soundfile = pytest.importorskip("soundfile")
    import throughtime as tt

    folder = tmp_path_factory.mktemp("sounds")
    lines = ["file_name,labels"]
    for number in range(4):
        seconds = np.arange(8000) / 8000
        samples = np.where(seconds < 0.5, np.sin(2 * np.pi * 300 * seconds), 0.01 * np.sin(9000 * seconds))
        soundfile.write(folder / f"{number}.wav", samples, 8000)
        (folder / f"{number}.csv").write_text("start_seconds,end_seconds,label\n0,0.5,tone\n0.5,1,none\n")
        lines.append(f"{number}.wav,{number}.csv")
    (folder / "metadata.csv").write_text("\n".join(lines) + "\n")
    tt.train(folder, out=folder / "run", epochs=1, hidden=8, batch=2, seed=1, threads=1, tensorboard=False)
    return folder / "run"


def test_a_sound_is_followed_by_its_samples(sounds_run: Path, start: Callable[..., Server]) -> None:
    server = start({"sounds": sounds_run}, limits=Limits(snapshot_every=1000))
    samples = np.random.default_rng(0).uniform(-1, 1, 3000).astype(np.float32)
    wanted = Run.open(sounds_run).session().feed(samples)  # type: ignore[attr-defined]
    id = server.post("/v1/sessions", {}, 201)["id"]
    said = []
    for chunk in np.array_split(samples, 7)[:4]:
        said += server.post(f"/v1/sessions/{id}/step", {"samples": chunk.tolist()})["outputs"]
    server.stop()
    server = start({"sounds": sounds_run})
    for chunk in np.array_split(samples, 7)[4:]:
        reply = server.post(f"/v1/sessions/{id}/step", {"samples": chunk.tolist()})
        said += reply["outputs"]
    assert said == wanted
    assert reply["position"] == 3000
    assert server.http.get(f"/v1/sessions/{id}").json()["frames"] == len(wanted)
