"""A stream that stops and goes on, here or elsewhere, draws what it would have drawn."""

from __future__ import annotations

import subprocess
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from throughtime.errors import CheckpointError
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


def test_the_wrong_model_precision_version_or_file_is_refused() -> None:
    saved = started(engine()).snapshot()
    with pytest.raises(CheckpointError, match="another model"):
        Stream.restore(engine(seed=1), saved)
    with pytest.raises(CheckpointError, match="taken at 'fp32', and this engine runs at 'int8'"):
        Stream.restore(engine(precision="int8"), saved)
    weights = parse_weights(saved, "it")
    arrays = {name: weights[name] for name in weights}
    # Of the version that had no checksum, which goes on as well.
    old = {**weights.metadata, "version": "1"}
    del old["sha256"]
    again = Stream.restore(engine(), write_weights(arrays, old))
    assert again.snapshot() == saved
    for key, value, said in (
        ("version", "99", "version '99'"),
        ("version", "2", "checksum"),
        ("format", "other", "no stream's"),
        ("version", "[" * 50_000, r"version '\[{59}\.\.\., and"),
        ("precision", "f" * 50_000, r"taken at 'f{59}\.\.\., and"),
        ("facts", "{}", "lacks position"),
        ("facts", "[" * 5000, "damaged"),
        ("facts", old["facts"].replace('"position": 13', '"position": 1e30'), "position is 1e.30"),
        ("facts", old["facts"].replace('"position": 13', '"position": -1'), "position is -1"),
        ("facts", old["facts"].replace('"top_k": 0', '"top_k": true'), "sampling.top_k is True"),
        ("facts", old["facts"].replace('"top_p": 0.95', '"top_p": 7'), "top_p must be"),
        ("facts", old["facts"].replace('"pending": {}', '"pending": []'), r"pending is \[\]"),
    ):
        assert old.get(key) != value
        with pytest.raises(CheckpointError, match=said):
            Stream.restore(engine(), write_weights(arrays, {**old, key: value}))
    arrays["state"] = arrays["state"][:-1]
    with pytest.raises(CheckpointError, match="state"):
        Stream.restore(engine(), write_weights(arrays, old))
    with pytest.raises(CheckpointError, match="damaged"):
        Stream.restore(engine(), saved[: len(saved) // 2])


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
