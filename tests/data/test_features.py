"""The features that steps are made of, and their statistics."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from throughtime.data.features import FeatureSpace, statistics
from throughtime.errors import RunError


@given(st.lists(st.integers(1, 9), min_size=1, max_size=5), st.integers(0, 99))
@example([1, 1], 2)  # 0.009 at 10,000: less than float32 tells apart there
def test_statistics_of_parts_are_those_of_the_whole(lengths: list[int], seed: int) -> None:
    parts = [np.random.default_rng([seed, n]).normal(1e4, 2, (length, 3)) for n, length in enumerate(lengths)]
    mean, deviation = statistics(iter(parts))
    whole = np.concatenate(parts)
    assert mean == pytest.approx(whole.mean(0))
    # Two draws may happen to be so near each other that float32 could not tell them apart.
    varies = whole.std(0) > 1.1e-6 * np.abs(whole.mean(0))
    assert deviation[varies] == pytest.approx(whole.std(0)[varies])


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
