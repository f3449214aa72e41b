"""Weights from a file that may be anything: what is right is read, what is not is refused by name."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save

from throughtime.errors import CheckpointError
from throughtime.runtime import Weights, read_weights

TENSORS: dict[str, Any] = {
    "a.weight": np.arange(6, dtype=np.float32).reshape(2, 3),
    "half": np.array([0.5, -2.0], np.float16),
    "double": np.array([1e-3], np.float64),
    "count": np.array(7, np.int64),
    "flags": np.array([True, False]),
    "empty": np.zeros((0, 4), np.float32),
}


def write(path: Path, header: Any, data: bytes = b"") -> Path:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)
    return path


def entry(shape: list[Any], begin: Any, end: Any, dtype: str = "F32") -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def test_reads_what_the_formats_library_writes(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    path.write_bytes(save(TENSORS, {"made": "here"}))
    weights = read_weights(path)
    assert set(weights) == set(TENSORS) and len(weights) == len(TENSORS)
    for name, expected in TENSORS.items():
        if expected.dtype.kind == "f":
            assert weights[name].dtype == np.float32
            expected = expected.astype(np.float32)
        assert weights[name].shape == expected.shape
        assert np.array_equal(weights[name], expected)


def test_finite_weights_whose_sum_is_not_are_read(tmp_path: Path) -> None:
    path = tmp_path / "large.safetensors"
    path.write_bytes(save({"w": np.full((2, 3), 3e38, np.float32)}))
    assert (read_weights(path)["w"] == np.float32(3e38)).all()


def test_bfloat16_is_widened_exactly(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    from safetensors.torch import save_file

    values = torch.randn(5, 3, generator=torch.Generator().manual_seed(1)).bfloat16()
    path = tmp_path / "b.safetensors"
    save_file({"w": values}, str(path))
    assert np.array_equal(read_weights(path)["w"], values.float().numpy())


def test_a_name_that_is_missing_wrong_or_left_over_is_told(tmp_path: Path) -> None:
    weights = Weights({"w": np.zeros((2, 3), np.float32), "n": np.array([np.nan], np.float32)}, "file")
    with pytest.raises(CheckpointError, match="file lacks other"):
        weights["other"]
    with pytest.raises(CheckpointError, match=r"file: w is of floats \(2, 3\), expected floats \(any, 4\)"):
        weights.tensor("w", (None, 4))
    with pytest.raises(CheckpointError, match="file: n holds NaN"):
        weights["n"]
    assert weights.tensor("w", (2, None)).shape == (2, 3)
    weights.refuse_unused()
    with pytest.raises(CheckpointError, match="holds 'w', which the model does not have"):
        Weights({"w": np.zeros(1)}).refuse_unused()


@pytest.mark.parametrize(
    "header, data, message",
    [
        ({"a": entry([2], 0, 8)}, b"1234", "ends at byte 8, and there are 4"),
        ({"a": entry([1], 0, 4)}, b"12345678", "4 bytes at its end belong to no tensor"),
        ({"a": entry([1], 0, 4), "b": entry([1], 2, 6)}, b"123456", "'b' overlaps"),
        ({"a": entry([1], 0, 4), "b": entry([1], 5, 9)}, b"123456789", "'b' leaves a gap"),
        ({"a": entry([3], 0, 8)}, b"12345678", "shape of 'a' does not fit"),
        ({"a": entry([1] * 40, 0, 4)}, b"1234", "shape of 'a' does not fit"),
        ({"a": entry([0, 2**62, 2**62], 0, 0)}, b"", "too large"),
        ({"a": entry([-1], 0, 4)}, b"1234", "not whole numbers"),
        ({"a": entry([True], 0, 4)}, b"1234", "not whole numbers"),
        ({"a": entry([1], 4, 0)}, b"1234", "does not fit"),
        ({"a": entry([1], 0, 1, "F8")}, b"1", "type 'F8', which is unknown"),
        ({"a": [1]}, b"", "is not a tensor"),
        ({"__metadata__": {"a": 1}}, b"", "not an object of strings"),
        (b"[]", b"", "not a JSON object"),
        (b"{", b"", "not JSON"),
        (b'{"\xff": 1}', b"", "not UTF-8"),
        (b'{"a": 1, "a": 2}', b"", "'a' occurs twice"),
        (b'{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", b"", "nested without end"),
    ],
)
def test_a_damaged_file_is_refused(tmp_path: Path, header: Any, data: bytes, message: str) -> None:
    path = write(tmp_path / "bad.safetensors", header, data)
    with pytest.raises(CheckpointError, match="bad.safetensors is damaged") as error:
        read_weights(path)
    assert message in str(error.value)


def test_a_file_without_a_header_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bad.safetensors"
    with pytest.raises(CheckpointError, match="is missing"):
        read_weights(path)
    path.write_bytes(b"")
    with pytest.raises(CheckpointError, match="too few for a header"):
        read_weights(path)
    path.write_bytes((2**63).to_bytes(8, "little") + b"{}")
    with pytest.raises(CheckpointError, match="its header should have 9,223,372,036,854,775,808 bytes"):
        read_weights(path)
    with pytest.raises(CheckpointError, match="cannot be read"):
        read_weights(tmp_path)


def read_all(path: Path) -> None:
    """Read a file and all that is in it; anything but a CheckpointError is a fault."""
    try:
        weights = read_weights(path)
        for name in weights:
            weights[name].sum()
    except CheckpointError as error:
        str(error).encode()


@given(st.data())
def test_no_mutation_of_a_file_does_worse_than_a_checkpoint_error(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    content = bytearray(save(TENSORS, {"made": "here"}))
    for _ in range(data.draw(st.integers(1, 5))):
        # Half of the bytes to change are in the header, where they matter.
        place = data.draw(st.integers(0, len(content) - 1))
        content[place] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(content)) | st.just(len(content)))
    path = tmp_path_factory.mktemp("mutated") / "m.safetensors"
    path.write_bytes(bytes(content[:cut]) + data.draw(st.binary(max_size=4)))
    read_all(path)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@given(
    header=st.dictionaries(
        st.text(max_size=5) | st.just("__metadata__"),
        values
        | st.fixed_dictionaries(
            {
                "dtype": st.sampled_from(["F32", "BF16", "I64", "BOOL", "X"]) | values,
                "shape": st.lists(st.integers(-1, 2**70) | st.integers(0, 3), max_size=3) | values,
                "data_offsets": st.lists(st.integers(-1, 2**70) | st.integers(0, 12), max_size=3) | values,
            }
        ),
        max_size=3,
    ),
    content=st.binary(max_size=24),
)
def test_no_header_does_worse_than_a_checkpoint_error(
    tmp_path_factory: pytest.TempPathFactory, header: dict[str, Any], content: bytes
) -> None:
    read_all(write(tmp_path_factory.mktemp("headers") / "h.safetensors", header, content))


def test_the_runtime_imports_nothing_heavy() -> None:
    code = (
        "import pkgutil, sys, importlib, throughtime.runtime as runtime\n"
        "for module in pkgutil.iter_modules(runtime.__path__):\n"
        "    importlib.import_module('throughtime.runtime.' + module.name)\n"
        "heavy = {'torch', 'pydantic', 'safetensors', 'tokenizers'} & set(sys.modules)\n"
        "ours = {name.split('.')[1] for name in sys.modules if name.startswith('throughtime.')}\n"
        "below = {'runtime', 'program', 'arrays', 'errors', 'facts', 'files', 'saved', '_native'}\n"
        "print(sorted(heavy), sorted(ours - below))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.split() == ["[]", "[]"]
