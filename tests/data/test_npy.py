"""NumPy's files are believed only where their headers fit their bytes."""

from __future__ import annotations

import contextlib
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from throughtime.data.npy import map_npy, npz_names, read_npy, read_npz
from throughtime.errors import DataError


def npy(header: str, content: bytes = b"") -> bytes:
    """A .npy file with this header, whatever it says."""
    text = header.encode() + b"\n"
    return b"\x93NUMPY\x02\x00" + len(text).to_bytes(4, "little") + text + content


def says(descr: str, shape: str) -> str:
    return f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}}}"


def test_what_python_2_wrote_is_read_without_a_word(tmp_path: Path) -> None:
    content = npy(says("'<f4'", "(2L,)"), np.float32([1, 2]).tobytes())
    (tmp_path / "a.npy").write_bytes(content)
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("x.npy", content)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read_npy(tmp_path / "a.npy").tolist() == [1, 2]
        assert read_npz(tmp_path / "a.npz", "x").tolist() == [1, 2]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "damaged"),
        (b"\x93NUMPY\x09\x00", "version 9.0 of the format is unknown"),
        (
            npy(says("'<f4'", "(1000000000000,)"), bytes(64)),
            r"cut off: its header announces float32 \(1000000",
        ),
        (npy(says("'<f4'", f"({2**62}, 4)"), bytes(64)), "cut off"),
        (npy(says("'<f4'", "(-1,)"), bytes(64)), "cut off"),
        (npy(says("'<f4'", f"({2**63}, 0)"), bytes(64)), "cut off"),
        (npy(says("[]", "(1073741824, 100000)"), bytes(64)), "no type of numbers"),
        (npy(says("'S0'", "(1073741824,)"), bytes(64)), "no type of numbers"),
        (npy(says("'(1000000,1000000)f4'", "(1,)"), bytes(64)), "cut off|damaged"),
        (npy(says("'O'", "(1,)"), bytes(64)), "Python's objects"),
        (npy(says("'<f4'", "(" * 3000 + ")" * 3000), bytes(64)), "damaged"),
        (npy(says("'<f4'", "(" + "9" * 5000 + ",)"), bytes(64)), "damaged"),
        (npy("{'descr': '<f4'", bytes(64)), "damaged"),
        (npy("[[[[", bytes(64)), "damaged"),
        (npy(" " * 20_000, bytes(64)), "damaged"),
    ],
)
def test_a_damaged_header_is_an_error_in_a_line(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "a.npy").write_bytes(content)
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("x.npy", content)
    for read in (read_npy, map_npy, lambda _: read_npz(tmp_path / "a.npz", "x")):
        with pytest.raises(DataError, match=message) as raised:
            read(tmp_path / "a.npy")
        assert "\n" not in str(raised.value)


@given(st.binary(max_size=60), st.integers(0, 150), st.booleans())
def test_whatever_bytes_change_it_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, noise: bytes, place: int, cut: bool
) -> None:
    path = tmp_path_factory.mktemp("npy") / "a.npy"
    np.save(path, np.arange(24, dtype=np.float32).reshape(6, 4))
    content = path.read_bytes()
    path.write_bytes(content[:place] + noise + (b"" if cut else content[place + len(noise) :]))
    with contextlib.suppress(DataError):
        assert read_npy(path).nbytes <= len(content) + 60


def test_whole_files_come_through_in_either_order(tmp_path: Path) -> None:
    array = np.arange(12, dtype=np.float64).reshape(3, 4)
    for name, one in [("c", array), ("f", np.asfortranarray(array)), ("e", np.zeros((0, 3)))]:
        np.save(tmp_path / f"{name}.npy", one)
        np.savez_compressed(tmp_path / f"{name}.npz", x=one, y=one)
        np.testing.assert_array_equal(read_npy(tmp_path / f"{name}.npy"), one)
        np.testing.assert_array_equal(map_npy(tmp_path / f"{name}.npy"), one)
        np.testing.assert_array_equal(read_npz(tmp_path / f"{name}.npz", "y"), one)
    assert npz_names(tmp_path / "c.npz") == ["x", "y"]


def test_an_array_far_larger_than_its_file_is_refused_before_it_is_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "zeros.npz"
    np.savez_compressed(path, x=np.zeros(1 << 20, np.int8))
    read_npz(path, "x")
    monkeypatch.setenv("THROUGHTIME_MAX_EXAMPLE_BYTES", str(1 << 21))
    monkeypatch.setattr(np.lib.format, "read_array", lambda *_, **__: pytest.fail("it was unpacked"))
    with pytest.raises(DataError, match=r"'x' holds 4,194,304 bytes: .*THROUGHTIME_MAX_EXAMPLE_BYTES"):
        read_npz(path, "x")
