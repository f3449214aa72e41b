"""A stream that stops and goes on, here or elsewhere, draws what it would have drawn."""

from __future__ import annotations

import base64
import hashlib
import subprocess
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from throughtime.errors import CheckpointError, NotANumberError
from throughtime.runtime import Engine, Stream
from throughtime.runtime.sampling import SamplingOptions
from throughtime.runtime.weights import parse_weights, write_weights

V, E, H = 23, 6, 17
OPTIONS = SamplingOptions(temperature=0.9, top_p=0.95, repetition_penalty=1.2)


def tensors(seed: int = 0) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    shapes = {
        "embedding.weight": (V, E),
        "output.weight": (V, H),
        "output.bias": (V,),
        "recurrent.cells.0.weight_ih": (4 * H, E),
        "recurrent.cells.0.weight_hh": (4 * H, H),
        "recurrent.cells.0.bias_ih": (4 * H,),
        "recurrent.cells.0.bias_hh": (4 * H,),
    }
    return {name: random.normal(0, 0.5, shape).astype(np.float32) for name, shape in shapes.items()}


def engine(seed: int = 0, **options: str) -> Engine:
    return Engine.from_tensors({"layers": 1, "embedding": E}, tensors(seed), **options)


def started(model: Engine) -> Stream:
    stream = Stream(model, OPTIONS, seed=4)
    stream.read([1, 2, 3])
    stream.generate(10)
    return stream


@pytest.mark.parametrize("precision", ["fp32", "bf16", "int8"])
def test_going_on_from_a_snapshot_is_never_having_stopped(precision: str) -> None:
    stream = started(engine(precision=precision))
    stream.pending = {"bytes": "e2 82"}
    saved = stream.snapshot()
    expected = stream.generate(50)
    again = Stream.restore(engine(precision=precision), saved)
    assert again.position == 13 and again.pending == {"bytes": "e2 82"}
    np.testing.assert_array_equal(again.generate(50), expected)
    np.testing.assert_array_equal(again.logits, stream.logits)
    assert again.snapshot() == stream.snapshot()


def test_going_on_in_another_process(tmp_path: Path) -> None:
    stream = started(engine())
    (tmp_path / "saved").write_bytes(stream.snapshot())
    expected = stream.generate(30)
    code = (
        "import sys; sys.path.insert(0, sys.argv[2])\n"
        "from pathlib import Path\n"
        "from tests.runtime.test_stream import engine\n"
        "from throughtime.runtime import Stream\n"
        "print(Stream.restore(engine(), Path(sys.argv[1]).read_bytes()).generate(30).tolist())"
    )
    root = str(Path(__file__).resolve().parents[2])
    found = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "saved"), root],
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout.strip() == str(expected.tolist())


def test_a_fork_goes_its_own_way() -> None:
    stream = started(engine())
    fork = stream.fork()
    np.testing.assert_array_equal(fork.generate(5), stream.generate(5))
    fork.read([7, 7])
    assert fork.position == stream.position + 2
    assert (fork.logits != stream.logits).any()


def signed(arrays: Mapping[str, np.ndarray], metadata: Mapping[str, str]) -> bytes:
    """A snapshot of these, with the checksum that belongs to it."""
    content = write_weights(dict(arrays), {**metadata, "sha256": "0" * 64})
    checksum = hashlib.sha256(content).hexdigest()
    return content.replace(b'"' + b"0" * 64 + b'"', f'"{checksum}"'.encode())


def taken_apart(snapshot: bytes) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    weights = parse_weights(snapshot, "it")
    return {name: weights[name] for name in weights}, dict(weights.metadata)


def test_the_wrong_model_precision_version_or_file_is_refused() -> None:
    saved = started(engine()).snapshot()
    with pytest.raises(CheckpointError, match="another model"):
        Stream.restore(engine(seed=1), saved)
    with pytest.raises(CheckpointError, match="taken at 'fp32', and this engine runs at 'int8'"):
        Stream.restore(engine(precision="int8"), saved)
    arrays, metadata = taken_apart(saved)
    assert signed(arrays, metadata) == saved
    for key, value, said in (
        ("version", "99", "version '99'"),
        ("format", "other", "no stream's"),
        ("version", "[" * 50_000, r"version '\[{59}\.\.\., and"),
        ("precision", "f" * 50_000, r"taken at 'f{59}\.\.\., and"),
        ("facts", "{}", "lacks position"),
        ("facts", "[" * 5000, "damaged"),
    ):
        with pytest.raises(CheckpointError, match=said):
            Stream.restore(engine(), signed(arrays, {**metadata, key: value}))
    for old, new, said in (
        ('"position": 13', '"position": 1e30', "position is 1e.30"),
        ('"position": 13', '"position": -1', "position is -1"),
        ('"top_k": 0', '"top_k": true', "sampling.top_k is True"),
        ('"top_p": 0.95', '"top_p": 7', "top_p must be"),
        ('"pending": {}', '"pending": []', r"pending is \[\]"),
        ('"logits": "of the state"', '"logits": "gone"', "logits is 'gone'"),
        ('"logits": "of the state"', '"logits": "kept"', "lacks logits"),
        ('"stop": []', '"stop": [23]', "stop is 23"),
        ('"stop": []', f'"stop": {[1] * 65}', "up to 64 stop tokens"),
        ('"seen": [', '"seen": [99, ', "seen is 99"),
        ('"increment": "', '"increment": "x', "generator.increment is 'x"),
    ):
        assert old in metadata["facts"]
        damaged = {**metadata, "facts": metadata["facts"].replace(old, new)}
        with pytest.raises(CheckpointError, match=said):
            Stream.restore(engine(), signed(arrays, damaged))
    arrays["state"] = arrays["state"][:-1]
    with pytest.raises(CheckpointError, match="state"):
        Stream.restore(engine(), signed(arrays, metadata))
    with pytest.raises(CheckpointError, match="damaged"):
        Stream.restore(engine(), saved[: len(saved) // 2])


# What version 2 wrote for `started(engine())`, with {"bytes": "e2 82"} pending.
VERSION_2 = base64.b64decode(
    """
MAMAAAAAAAB7Il9fbWV0YWRhdGFfXyI6IHsiZm9ybWF0IjogInRocm91Z2h0aW1lLXN0cmVhbSIsICJ2ZXJzaW9uIjogIjIiLCAi
ZmluZ2VycHJpbnQiOiAiNmZkMTQ2MWY2ZTdkODNjM2QzZGNiYzVjNGM5OGFhNzhkZmY0ZmM2ZDA0YzFkNTYzOTE1MjRkZTlhYjY0
NDY5YSIsICJwcmVjaXNpb24iOiAiZnAzMiIsICJpc2EiOiAiYXZ4NTEyX2JmMTYiLCAiZmFjdHMiOiAie1wicG9zaXRpb25cIjog
MTMsIFwicGVuZGluZ1wiOiB7XCJieXRlc1wiOiBcImUyIDgyXCJ9LCBcInNhbXBsZXJcIjoge1wicm93c1wiOiAxLCBcInZvY2Fi
dWxhcnlfc2l6ZVwiOiAyMywgXCJnZW5lcmF0b3JzXCI6IFt7XCJzdGF0ZVwiOiBcImE0ODU2YjRmYzFlNzBhMmUyYWU1YjI0Y2M5
ZTg2MjcwXCIsIFwiaW5jcmVtZW50XCI6IFwiNmY5M2FhNGU4NjQwMDRmNTVjMzhlMTQxNjE4YzA4MTNcIn1dLCBcInNlZW5cIjog
W1sxLCAyLCAzLCA0LCA5LCAxMSwgMTMsIDE4LCAxOSwgMjJdXX0sIFwic2FtcGxpbmdcIjoge1widGVtcGVyYXR1cmVcIjogMC45
LCBcInRvcF9rXCI6IDAsIFwidG9wX3BcIjogMC45NSwgXCJtaW5fcFwiOiAwLjAsIFwicmVwZXRpdGlvbl9wZW5hbHR5XCI6IDEu
Mn19IiwgInNoYTI1NiI6ICIxMmVlNGFhMzgxMjkxOWEzNWQxNWNlOGEzMjY4MDE3ODVhMDY1NmYzODI5ZWM2YTQ1YWQxZWU3YjY1
NjQwOTdhIn0sICJsb2dpdHMiOiB7ImR0eXBlIjogIkYzMiIsICJzaGFwZSI6IFsyM10sICJkYXRhX29mZnNldHMiOiBbMCwgOTJd
fSwgInN0YXRlIjogeyJkdHlwZSI6ICJGMzIiLCAic2hhcGUiOiBbMzRdLCAiZGF0YV9vZmZzZXRzIjogWzkyLCAyMjhdfX0gICDS
7DQ/Z7XAPyj2bz8x3Yi+TWnBP4ro270e9VO/5JwXv58CcT996iU/LK52v/frAz+8n1m9v0MYPsVoNT4hEO2+zkGUv8HW1T40jYA+
F4i3vhBs0D5jYVo/rmcRPscikb1veQ++0Mw3vUEHY77j4Q89DUqgPnG8hL6AHSS+ANY/Parl4j2/yIy+jUGHvo35NL8STUc++/uv
vSLzlz4whQU/PsH7vfczvr4VBci9qkj4vqFA3T0BLA8/KKLQvhO2T75lAk09o9+SPtovyb4vVzq/1NMSwA7Bqj9cH3u+wdm3Pv+L
qz8=
"""
)
AFTER_VERSION_2 = [14, 9, 18, 20, 21, 13, 21, 14, 21, 6, 0, 6, 6, 13, 0, 1, 14, 21, 18, 21]


def test_snapshots_of_older_versions_go_on() -> None:
    arrays, metadata = taken_apart(VERSION_2)
    assert metadata["version"] == "2"
    first = {key: value for key, value in metadata.items() if key != "sha256"}
    for snapshot in (VERSION_2, write_weights(arrays, {**first, "version": "1"})):
        stream = Stream.restore(engine(), snapshot)
        assert stream.position == 13 and stream.pending == {"bytes": "e2 82"}
        assert stream.generate(20).tolist() == AFTER_VERSION_2
        assert "logits" not in parse_weights(stream.snapshot(), "it")
    with pytest.raises(CheckpointError, match="checksum"):
        Stream.restore(engine(), write_weights(arrays, {**first, "version": "2"}))
    for old, new, said in (
        ('"vocabulary_size": 23', '"vocabulary_size": 9', "sampler.vocabulary_size is 9"),
        ('"seen": [[', '"seen": [[], [', "sampler.seen is '2 long'"),
        ('"seen": [[', '"seen": [[99, ', "sampler.seen is 99"),
    ):
        damaged = {**metadata, "facts": metadata["facts"].replace(old, new)}
        with pytest.raises(CheckpointError, match=said):
            Stream.restore(engine(), signed(arrays, damaged))


def test_a_snapshot_leaves_out_logits_that_the_state_gives() -> None:
    model = engine()
    stream = Stream(model, OPTIONS, seed=4)
    fresh = stream.snapshot()
    stream.read([1, 2, 3])
    of_the_state = stream.snapshot()
    model.set_logits(stream.slot, np.arange(V)[None])
    kept = stream.snapshot()
    assert ["logits" in parse_weights(one, "it") for one in (fresh, of_the_state, kept)] == [
        False,
        False,
        True,
    ]
    assert not Stream.restore(model, fresh).logits.any()
    np.testing.assert_array_equal(Stream.restore(model, kept).logits, np.arange(V))
    assert Stream.restore(model, kept).snapshot() == kept


def test_a_stream_ends_a_call_behind_a_stop_token() -> None:
    model = engine()
    stream, twin = (Stream(model, SamplingOptions(), seed=1) for _ in range(2))
    drawn = twin.generate(40)
    stream.stop_at([int(drawn[7])])
    first = int(np.flatnonzero(drawn == drawn[7])[0]) + 1
    np.testing.assert_array_equal(stream.generate(40), drawn[:first])
    assert stream.position == first
    again = Stream.restore(model, stream.snapshot())
    np.testing.assert_array_equal(again.generate(40), stream.generate(40))
    assert again.position == stream.position


def test_every_flipped_bit_of_a_snapshot_is_refused() -> None:
    model, saved = _model(), bytearray(_saved())
    Stream.restore(model, bytes(saved)).close()
    for bit in range(8 * len(saved)):
        saved[bit // 8] ^= 1 << bit % 8
        with pytest.raises(CheckpointError):
            Stream.restore(model, bytes(saved))
        saved[bit // 8] ^= 1 << bit % 8
    assert model.open() % 2**32 == 0  # none of them holds a slot


def test_tokens_that_are_no_whole_numbers_are_refused() -> None:
    stream = started(engine())
    before = stream.snapshot()
    for wrong in ([1.0], 2.7, [True], [[1], [2]]):
        with pytest.raises(ValueError, match="whole numbers|rows of tokens"):
            stream.read(wrong)
    assert stream.snapshot() == before
    stream.read(np.array([3, 1], np.uint8))
    assert stream.position == 15


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_a_damaged_snapshot_is_an_error_and_never_a_crash(data: st.DataObject) -> None:
    model = _model()
    saved = bytearray(_saved())
    for _ in range(data.draw(st.integers(1, 4))):
        saved[data.draw(st.integers(0, len(saved) - 1))] = data.draw(st.integers(0, 255))
    if saved != _saved():
        with pytest.raises(CheckpointError):
            Stream.restore(model, bytes(saved))


@cache
def _model() -> Engine:
    return engine()


@cache
def _saved() -> bytes:
    return started(_model()).snapshot()


def test_a_closed_stream_says_so() -> None:
    model = engine()
    with Stream(model) as stream:
        stream.read([1])
    stream.close()
    with pytest.raises(ValueError, match="closed"):
        stream.generate(1)
    assert model.open() % 2**32 == 0  # its slot was given back


def test_weights_that_are_too_large_are_an_error_that_says_so() -> None:
    weights = {**tensors(), "output.weight": np.full((V, H), 3e38, np.float32)}
    stream = Stream(Engine.from_tensors({"layers": 1, "embedding": E}, weights), OPTIONS, seed=4)
    stream.read([1])
    with pytest.raises(NotANumberError, match="too large to compute with: logits row 0"):
        stream.generate(3)
