"""Arrays from files, with every way in which a file can be wrong; and their statistics."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from throughtime.data.features import FeatureSpace, read_array, statistics
from throughtime.errors import DataError, RunError

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
        ("a.csv", b"x,y\n1,nan\n", r"a\.csv step 1, feature y: nan is not a finite number"),
        ("a.csv", b"x,z\n1,2\n", r"a\.csv has 2 features \(x, z\), expected 2 features \(x, y\)"),
        ("a.csv", b"1,2,3\n", r"a\.csv has 3 features, expected 2 features \(x, y\)"),
        ("a.csv", b"x,y\n", r"a\.csv holds no steps"),
        ("a.csv", b"\xff\xfe\x00", r"a\.csv cannot be read"),
        ("a.npy", b"not numpy", r"a\.npy is broken"),
        ("a.npz", b"PK\x03\x04 cut off", r"a\.npz is broken"),
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
    for name, message in [("cube.npy", "shape"), ("text.npy", "shape"), ("two.npz", r"2 arrays \(a, b\)")]:
        with pytest.raises(DataError, match=rf"{name}.*{message}"):
            read_array(tmp_path / name, None)
    with pytest.raises(DataError, match="no such file"):
        read_array(tmp_path / "none.npy", None)


@given(st.lists(st.integers(1, 9), min_size=1, max_size=5), st.integers(0, 99))
def test_statistics_of_parts_are_those_of_the_whole(lengths: list[int], seed: int) -> None:
    parts = [np.random.default_rng([seed, n]).normal(1e4, 2, (length, 3)) for n, length in enumerate(lengths)]
    mean, deviation = statistics(iter(parts))
    whole = np.concatenate(parts)
    assert mean == pytest.approx(whole.mean(0))
    if len(whole) > 1:
        assert deviation == pytest.approx(whole.std(0))


def test_a_constant_feature_is_divided_by_one() -> None:
    _, deviation = statistics([np.array([[0.1, 1.0], [0.1, 3.0]], dtype=np.float32)])
    assert deviation.tolist() == [1, 1]


def test_a_feature_space_survives_saving(tmp_path: Path) -> None:
    space = FeatureSpace(("x", "y"), 8000, (0.5, 1.0), (1.0, 2.0))
    space.save(tmp_path / "features.json")
    assert FeatureSpace.load(tmp_path / "features.json") == space
    (tmp_path / "features.json").write_text('{"names": ["x"], "rate": null, "mean": [], "deviation": []}')
    with pytest.raises(RunError, match=r"features\.json is damaged"):
        FeatureSpace.load(tmp_path / "features.json")
