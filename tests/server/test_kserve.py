"""The KServe v2 protocol, by Triton's own client, which nobody changed."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from tests.server.conftest import Server
from tests.server.test_frames import Runs, frames
from throughtime.run import Run

triton = pytest.importorskip("tritonclient.http", reason="Triton's client is not installed")
from tritonclient.utils import InferenceServerException  # noqa: E402


def client(server: Server) -> Any:
    return triton.InferenceServerClient(server.url.removeprefix("http://"))


def tensor(name: str, values: np.ndarray, binary: bool = True) -> Any:
    kind = {"i": "INT64", "f": "FP32", "O": "BYTES"}[values.dtype.kind]
    made = triton.InferInput(name, list(values.shape), kind)
    made.set_data_from_numpy(values, binary_data=binary)
    return made


def test_a_server_and_its_models_describe_themselves(others: Server, server: Server) -> None:
    one = client(others)
    assert one.is_server_live() and one.is_server_ready() and one.is_model_ready("moves", "1")
    assert "sequence(string_id)" in one.get_server_metadata()["extensions"]
    assert one.get_model_metadata("moves")["inputs"] == [
        {"name": "FRAMES", "datatype": "FP32", "shape": [-1, -1, 2]}
    ]
    config = one.get_model_config("moves")
    assert config["sequence_batching"]["max_sequence_idle_microseconds"] > 0
    assert "sequence_batching" not in one.get_model_config("reviews")
    assert {row["name"] for row in one.get_model_repository_index()} >= {"moves", "reviews"}
    text = client(server).get_model_metadata("bytes")
    assert [row["name"] for row in text["outputs"]] == ["LOGITS", "NEXT"]
    for name, version in (("nobody", ""), ("moves", "2")):
        with pytest.raises(InferenceServerException) as refused:
            one.get_model_metadata(name, version)
        assert refused.value.status() == "404"


@pytest.mark.parametrize("id", [7, "a name"])
@pytest.mark.parametrize("binary", [True, False])
def test_tokens_go_on_in_a_sequence(server: Server, text_run: Any, id: int | str, binary: bool) -> None:
    run = Run.open(text_run)
    tokens = run.tokenizer.encode("again and again")[None]  # type: ignore[attr-defined]
    slots = run.engine.open(1)  # type: ignore[attr-defined]
    wanted = run.engine.read(slots, tokens)  # type: ignore[attr-defined]
    one = client(server)
    outputs = [triton.InferRequestedOutput(name, binary_data=binary) for name in ("LOGITS", "NEXT")]
    for first, last in ((0, 4), (4, 5), (5, tokens.shape[1])):
        found = one.infer(
            "bytes",
            [tensor("TOKENS", tokens[:, first:last], binary)],
            outputs=outputs,
            sequence_id=id,
            sequence_start=first == 0,
            sequence_end=last == tokens.shape[1],
        )
    np.testing.assert_array_equal(found.as_numpy("LOGITS"), wanted)
    np.testing.assert_array_equal(found.as_numpy("NEXT"), wanted.argmax(1)[:, None])
    whole = one.infer("bytes", [tensor("TOKENS", np.repeat(tokens, 3, 0))], request_id="r1")
    np.testing.assert_array_equal(whole.as_numpy("LOGITS"), np.repeat(wanted, 3, 0))
    assert whole.get_response()["id"] == "r1"


def test_frames_go_on_in_sequences_side_by_side(others: Server, other_runs: Runs) -> None:
    run = Run.open(other_runs["moves"])
    clips = [frames(9, k) for k in range(20)]
    one = triton.InferenceServerClient(others.url.removeprefix("http://"), concurrency=10)
    found: list[list[np.ndarray]] = [[] for _ in clips]
    labels: list[list[str]] = [[] for _ in clips]
    for first in (0, 3, 6):
        asked = [
            one.async_infer(
                "moves",
                [tensor("FRAMES", clip[None, first : first + 3])],
                sequence_id=100 + k,
                sequence_start=first == 0,
                sequence_end=first == 6,
            )
            for k, clip in enumerate(clips)
        ]
        for k, one_asked in enumerate(asked):
            result = one_asked.get_result()
            found[k].append(result.as_numpy("OUTPUT")[0])
            labels[k] += [name.decode() for name in result.as_numpy("LABEL")[0]]
    for k, clip in enumerate(clips):
        said = run.session().feed(clip)  # type: ignore[attr-defined]
        assert labels[k] == [row["label"] for row in said]
        wanted = [row["probability"] for row in said]
        np.testing.assert_allclose(np.concatenate(found[k]).max(1), wanted, atol=5.1e-5)  # which is rounded
    whole = one.infer("moves", [tensor("FRAMES", np.stack(clips))]).as_numpy("OUTPUT")
    np.testing.assert_allclose(whole[3], np.concatenate(found[3]), atol=1e-6)
    assert one.infer("both", [tensor("FRAMES", clips[0][None])]).as_numpy("LABEL").shape == (1, 9)
    counted = one.get_inference_statistics("moves")["model_stats"][0]
    assert counted["inference_stats"]["success"]["count"] >= 60
    # perf_analyzer takes the version whose queue was used, and ends without one.
    assert counted["inference_stats"]["queue"]["count"] == counted["inference_stats"]["success"]["count"]


def test_texts_are_classified_and_translated(others: Server, other_runs: Runs) -> None:
    one = client(others)
    texts = np.array(["fine film 3", "dull"], object)
    wanted = Run.open(other_runs["reviews"]).classify(texts.tolist())  # type: ignore[attr-defined]
    for binary in (True, False):
        found = one.infer("reviews", [tensor("TEXT", texts, binary)])
        assert [name.decode() for name in found.as_numpy("LABEL")] == [row["label"] for row in wanted]
        assert found.as_numpy("OUTPUT")[1].max() == np.float32(wanted[1]["probability"])
    found = one.infer("letters", [tensor("TEXT", np.array(["1 2"], object))])
    assert found.as_numpy("TRANSLATION").shape == (1,)


def test_sequences_have_the_codes_of_openvino(others: Server) -> None:
    one = client(others)

    def infer(id: int | str, rows: int = 1, **flags: bool) -> str:
        try:
            chunk = np.zeros((rows, 1, 2), np.float32)
            one.infer("moves", [tensor("FRAMES", chunk)], sequence_id=id, **flags)
        except InferenceServerException as error:
            return error.status()
        return "200"

    assert infer("x") == "404"
    assert infer("x", sequence_start=True) == "200"
    assert infer("x", sequence_start=True) == "409"
    assert infer("x", rows=2) == "400"
    assert infer("x", sequence_end=True) == "200"
    assert infer("x") == "404"
    assert infer("x", sequence_start=True, sequence_end=True) == "200"
    # A name and a number are two sequences.
    assert (infer("5", sequence_start=True), infer(5, sequence_start=True)) == ("200", "200")


@pytest.mark.parametrize(
    ("name", "body", "status", "says"),
    [
        ("moves", {}, 400, "inputs"),
        ("moves", {"inputs": []}, 400, "FRAMES is missing"),
        ("moves", {"inputs": [{"name": "OTHER"}]}, 400, "must be FRAMES"),
        ("moves", {"inputs": [{"name": "FRAMES", "shape": [1, 1], "datatype": "FP32"}]}, 400, "shape"),
        ("moves", {"inputs": [{"name": "FRAMES", "shape": [1, 1, 2], "datatype": "INT64"}]}, 400, "FP32"),
        (
            "moves",
            {"inputs": [{"name": "FRAMES", "shape": [1, 1, 2], "datatype": "FP32", "data": [1]}]},
            400,
            "has 1 values",
        ),
        (
            "moves",
            {"inputs": [{"name": "FRAMES", "shape": [1, 1, 2], "datatype": "FP32", "data": [[[1, "a"]]]}]},
            400,
            "values of FP32",
        ),
        (
            "reviews",
            {"inputs": [{"name": "TEXT", "shape": [1], "datatype": "BYTES", "data": [""]}]},
            400,
            "empty",
        ),
        ("names", {"inputs": []}, 400, "no form in tensors"),
        ("nobody", {"inputs": []}, 404, "no model"),
    ],
)
def test_what_is_wrong_is_said_in_the_protocols_words(
    others: Server, name: str, body: Any, status: int, says: str
) -> None:
    answer = others.http.post(f"/v2/models/{name}/infer", json=body)
    assert answer.status_code == status
    assert says in answer.json()["error"]


@pytest.mark.parametrize("length", ["x", "99999", "-1", "3"])
def test_a_wrong_length_of_the_header_is_refused(others: Server, length: str) -> None:
    body = json.dumps({"inputs": [{"name": "FRAMES", "shape": [1, 1, 2], "datatype": "FP32"}]}).encode()
    headers = {"inference-header-content-length": length}
    answer = others.http.post("/v2/models/moves/infer", content=body, headers=headers)
    assert answer.status_code == 400
