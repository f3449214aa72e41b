"""Feature arrays in every format, and every fault named with its place."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from throughtime.data.frame_arrays import read_frame_array
from throughtime.errors import DataError

ARRAY = np.array([[1.0, 2.5], [-3.0, 4e-3], [0.0, 7.0]], dtype=np.float32)


def test_every_format_gives_the_same_array(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", ARRAY.astype(np.float64))
    np.savez(tmp_path / "b.npz", whatever=ARRAY)
    np.savez(tmp_path / "c.npz", features=ARRAY, labels=np.zeros(3))
    np.savez(tmp_path / "d.npz", x=ARRAY, y=np.zeros(3))
    (tmp_path / "e.csv").write_text("1,2.5\n-3,4e-3\n0,7\n")
    (tmp_path / "f.csv").write_bytes("\ufeffleft,right\r1,2.5\r-3,4e-3\r0,7\r".encode())
    (tmp_path / "g.tsv").write_text("left\tright\r\n1\t2.5\r\n-3\t4e-3\r\n0\t7")
    for path in sorted(tmp_path.iterdir()):
        array = read_frame_array(path)
        assert array.dtype == np.float32
        np.testing.assert_array_equal(array, ARRAY, err_msg=path.name)


def test_one_number_a_frame_is_one_feature(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.arange(4))
    assert read_frame_array(tmp_path / "a.npy").tolist() == [[0], [1], [2], [3]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1,2\n3,nan\n", "line 2: column 2 is nan"),
        ("a,b\n1,2\n-inf,4\n", "line 3: column 1 is -inf"),
        ("1,2\n1e39,4\n", "line 2: column 1 is 1e39"),
        ("1,2\n3\n", "line 2: 1 columns, expected 2"),
        ("1,2\n3,four\n", "line 2: 'four' is not a number"),
        ("1,2\n3,\n", "line 2: '' is not a number"),
        ("a,b\n", "is empty"),
        ("", "is empty"),
    ],
)
def test_faults_of_a_table_are_named_with_their_line(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(DataError, match=rf"a\.csv {message}"):
        read_frame_array(tmp_path / "a.csv")


def test_faults_of_an_array_are_named(tmp_path: Path) -> None:
    broken = ARRAY.copy()
    broken[2, 1] = np.nan
    np.save(tmp_path / "nan.npy", broken)
    np.save(tmp_path / "huge.npy", np.array([[1e300]]))
    np.save(tmp_path / "text.npy", np.array(["a"]))
    np.save(tmp_path / "cube.npy", np.zeros((2, 2, 2)))
    np.save(tmp_path / "empty.npy", np.zeros((0, 3)))
    np.save(tmp_path / "object.npy", np.array([{}], dtype=object))
    np.savez(tmp_path / "two.npz", a=ARRAY, b=ARRAY)
    np.savez(tmp_path / "cut.npz", a=np.random.default_rng(0).random(1000))
    content = (tmp_path / "cut.npz").read_bytes()
    (tmp_path / "cut.npz").write_bytes(content[: len(content) // 2])
    for name, message in [
        ("nan.npy", "frame 2: feature 1 is nan"),
        ("huge.npy", "frame 0: feature 0 is 1e\\+300"),
        ("text.npy", "expected numbers"),
        ("cube.npy", r"\(2, 2, 2\), expected numbers \(frames, features\)"),
        ("empty.npy", r"is empty: its shape is \(0, 3\)"),
        ("object.npy", "cannot be read as an array"),
        ("two.npz", "holds a, b: name the array 'features'"),
        ("cut.npz", "cannot be read as an array"),
        ("none.npy", "no such file"),
        ("a.xml", "no such file"),
    ]:
        with pytest.raises(DataError, match=f"{name}.*{message}"):
            read_frame_array(tmp_path / name)
