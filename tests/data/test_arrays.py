"""Feature arrays in every format, and every fault named with its place."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from throughtime.data.arrays import read_array
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
        array, _ = read_array(path)
        assert array.dtype == np.float32
        np.testing.assert_array_equal(array, ARRAY, err_msg=path.name)


def test_one_number_a_frame_is_one_feature(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.arange(4))
    assert read_array(tmp_path / "a.npy")[0].tolist() == [[0], [1], [2], [3]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1,2\n3,nan\n", "line 2, column 2: nan is not a finite number"),
        ("a,b\n1,2\n-inf,4\n", r"line 3, column 1 \(a\): -inf is not a finite number"),
        ("1,2\n1e39,4\n", r"line 2, column 1: 1e\+39 is too large: numbers are kept in 32 bits"),
        ("1,2\n3\n", "line 2: 1 values, expected 2"),
        ("1,2\n3,four\n", "line 2: 'four' is not a number"),
        ("1,2\n3,\n", "line 2: '' is not a number"),
        ("a,b\n", "is empty"),
        ("", "is empty"),
    ],
)
def test_faults_of_a_table_are_named_with_their_line(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(DataError, match=rf"a\.csv {message}"):
        read_array(tmp_path / "a.csv")


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
        ("nan.npy", r"number \[2, 1\]: nan is not a finite number"),
        ("huge.npy", r"number \[0, 0\]: 1e\+300 is too large"),
        ("text.npy", "expected numbers"),
        ("cube.npy", r"shape \(2, 2, 2\), expected numbers \(steps, features\)"),
        ("empty.npy", r"is empty: its shape is \(0, 3\)"),
        ("object.npy", "it holds Python's objects"),
        ("two.npz", r"holds 2 arrays \('a', 'b'\), expected one: name it 'features'"),
        ("cut.npz", "is damaged, or not a file of NumPy"),
        ("none.npy", "no such file"),
        ("a.xml", "no such file"),
    ]:
        with pytest.raises(DataError, match=f"{name}.*{message}"):
            read_array(tmp_path / name)


STEPS = np.array([[1, 10], [2, 20], [3, 30]], dtype=np.float32)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("plain.csv", "1,10\n2,20\n3,30\n"),
        ("headed.csv", "x,y\n1,10\n2,20\n\n3,30\n"),
        ("tabs.tsv", "x\ty\n1\t10\n2\t20\n3\t30\n"),
    ],
)
def test_a_delimited_file_is_a_step_a_row(tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / name).write_text(content)
    array, names = read_array(tmp_path / name, None)
    assert array.tolist() == STEPS.tolist()
    assert array.dtype == np.float32
    assert names == (("0", "1") if name == "plain.csv" else ("x", "y"))


def test_numpy_files_hold_the_same(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", STEPS.astype(np.float64))
    np.savez_compressed(tmp_path / "a.npz", anything=STEPS.astype(np.int32))
    np.save(tmp_path / "one.npy", STEPS[:, 0])
    for name in ("a.npy", "a.npz"):
        assert read_array(tmp_path / name, None)[0].tolist() == STEPS.tolist()
    assert read_array(tmp_path / "one.npy", None)[0].tolist() == [[1], [2], [3]]


def test_named_features_are_put_in_the_order_that_is_wanted(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("y,z,x\n10,0,1\n20,0,2\n30,0,3\n")
    array, names = read_array(tmp_path / "a.csv", ("x", "y"))
    assert array.tolist() == STEPS.tolist()
    assert names == ("x", "y")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", b"x,y\n1,2\n3\n", r"a\.csv line 3: 1 values, expected 2"),
        ("a.csv", b"x,y\n1,2\n3,four\n", r"a\.csv line 3: 'four' is not a number"),
        ("a.csv", b"x,y\n1,nan\n", r"a\.csv line 2, column 2 \(y\): nan is not a finite number"),
        ("a.csv", b"x,z\n1,2\n", r"a\.csv has 2 features \(x, z\), expected 2 features \(x, y\)"),
        ("a.csv", b"1,2,3\n", r"a\.csv has 3 features, expected 2 features \(x, y\)"),
        ("a.csv", b"x,y\n", r"a\.csv is empty: it has no row of numbers"),
        ("a.csv", b"x,y,x\n1,2,3\n", r"a\.csv line 1: column 'x' occurs twice"),
        ("a.csv", b"\xff\xfe\x00", r"a\.csv line 1: byte 0xff is not UTF-8"),
        ("a.npy", b"not numpy", r"a\.npy is damaged"),
        ("a.npz", b"PK\x03\x04 cut off", r"a\.npz is damaged"),
    ],
)
def test_what_is_wrong_with_a_file_is_named(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message):
        read_array(tmp_path / name, ("x", "y"))


def test_arrays_that_are_not_steps_by_features_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "cube.npy", np.zeros((2, 2, 2)))
    np.save(tmp_path / "text.npy", np.array(["a", "b"]))
    np.savez(tmp_path / "two.npz", a=STEPS, b=STEPS)
    for name, message in [
        ("cube.npy", "shape"),
        ("text.npy", "shape"),
        ("two.npz", r"2 arrays \('a', 'b'\)"),
    ]:
        with pytest.raises(DataError, match=rf"{name}.*{message}"):
            read_array(tmp_path / name, None)
    with pytest.raises(DataError, match="no such file"):
        read_array(tmp_path / "none.npy", None)


SENSOR = "time,x,y\n2016-07-01 00:00,1,10\n2016-07-01 01:00,,20\n2016-07-01 02:00,3,\n"


def test_columns_leave_a_timestamp_out_and_gaps_are_filled(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(SENSOR)
    for fill, x, y in (
        ("zero", [1, 0, 3], [10, 20, 0]),
        ("previous", [1, 1, 3], [10, 20, 20]),
        ("linear", [1, 2, 3], [10, 20, 20]),
    ):
        values, names = read_array(path, columns="x,3", fill=fill)  # type: ignore[arg-type]
        assert names == ("x", "y")
        assert values.T.tolist() == [x, y]
    with pytest.raises(DataError, match=r"line 2: .* is not a number \(column 'time'; --columns leaves"):
        read_array(path)
    with pytest.raises(DataError, match=r"line 3: '' is not a number \(column 'x'; --fill fills gaps\)"):
        read_array(path, columns="x,y")
    with pytest.raises(DataError, match=r"has no column 'z' \(--columns\); its columns are time, x, y"):
        read_array(path, columns="z")
    path.write_text("x,y\n,four\n")
    with pytest.raises(DataError, match=r"line 2: 'four' is not a number \(column 'y'; --columns leaves"):
        read_array(path, fill="zero")


def test_gaps_of_numpy_arrays_are_filled_too(tmp_path: Path) -> None:
    values = np.array([[np.nan, 1], [2, np.nan], [np.nan, 3]])
    np.save(tmp_path / "a.npy", values)
    assert read_array(tmp_path / "a.npy", fill="previous")[0].tolist() == [[2, 1], [2, 1], [2, 3]]
    assert read_array(tmp_path / "a.npy", columns="2", fill="linear")[0].tolist() == [[1], [2], [3]]
    np.save(tmp_path / "long.npy", np.full((2, 1), np.longdouble("1e4000")))
    with pytest.raises(DataError, match=r"number \[0, 0\]: inf is not a finite number"):
        read_array(tmp_path / "long.npy", fill="zero")
    np.save(tmp_path / "b.npy", np.full((2, 1), np.nan))
    with pytest.raises(DataError, match="has no value to fill from"):
        read_array(tmp_path / "b.npy", fill="previous")
