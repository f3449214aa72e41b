"""Files of arrays, and the files that are turned down."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from throughtime.errors import DataError
from throughtime.interchange.weight_files import as_array, read_weight_file


@pytest.mark.parametrize("name", ["model.pt", "model.PTH", "pytorch_model.bin", "x.ckpt", "x.pkl"])
def test_pickles_are_never_read(name: str, tmp_path: Path) -> None:
    torch.save({"weight": torch.zeros(1)}, tmp_path / name)
    with pytest.raises(DataError, match=r"is a pickle.*save_file\(model\.state_dict\(\)") as caught:
        read_weight_file(tmp_path / name)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["model.h5", "model.weights.h5", "model.keras"])
def test_files_of_keras_are_converted_where_keras_is(name: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"numpy\.savez\('weights\.npz', \*layer\.get_weights\(\)\)"):
        read_weight_file(tmp_path / name)


def test_objects_in_an_npz_are_never_read(tmp_path: Path) -> None:
    np.savez(tmp_path / "objects.npz", np.array([{"a": 1}], dtype=object))
    with pytest.raises(DataError, match="cannot be read as weights: .*Python's objects"):
        read_weight_file(tmp_path / "objects.npz")


def test_missing_damaged_and_other_files(tmp_path: Path) -> None:
    for name in ("bad.npz", "bad.safetensors"):
        with pytest.raises(DataError, match="no such file"):
            read_weight_file(tmp_path / name)
        (tmp_path / name).write_bytes(b"no weights")
        with pytest.raises(DataError, match="cannot be read as weights"):
            read_weight_file(tmp_path / name)
    with pytest.raises(DataError, match=r"read from \.safetensors and \.npz files"):
        read_weight_file(tmp_path / "weights.csv")


def test_arrays_and_tensors_become_float32() -> None:
    for value in (np.ones(2, np.float16), torch.ones(2, dtype=torch.bfloat16, requires_grad=True), [1, 1]):
        assert as_array(value, "x").dtype == np.float32
    with pytest.raises(DataError, match="x is object, and no array"):
        as_array(object(), "x")


def test_an_npz_that_announces_gigabytes_is_not_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("THROUGHTIME_MAX_EXAMPLE_BYTES", "1000000")
    np.savez_compressed(tmp_path / "zeros.npz", weight=np.zeros(1_000_000, np.float32))
    with pytest.raises(DataError, match="THROUGHTIME_MAX_EXAMPLE_BYTES"):
        read_weight_file(tmp_path / "zeros.npz")
