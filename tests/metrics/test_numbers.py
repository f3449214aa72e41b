"""Scores of predicted numbers, by hand and against an integral."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.networks import numbers
from throughtime.metrics.numbers import NumberScores, crps_of_gaussian, write_scatter


def test_the_scores_by_hand() -> None:
    target = numbers("squared")  # means 1 and -2, deviations 3 and 0.5
    truth = np.array([[1.0, -2.0], [4.0, -1.0], [-2.0, -3.0]])
    scores = target.scores()
    outputs = np.array([[0.0, 0.0], [0.0, 2.0], [0.0, -2.0]])  # the first always says its mean
    scores.add(truth[:2], target.decide(outputs[:2]))
    scores.add(truth[2:], target.decide(outputs[2:]))
    found = scores.result()
    assert found["mae of a"] == 2 and found["rmse of a"] == pytest.approx(np.sqrt(6))
    assert found["rmse_of_mean of a"] == found["rmse of a"] and found["r2 of a"] == pytest.approx(0)
    assert found["rmse of b"] == 0 and found["r2 of b"] == 1 and found["r2"] == pytest.approx(0.5)
    assert "coverage of a" not in found and "crps of a" not in found


def test_truth_that_hardly_varies_is_constant() -> None:
    scores = NumberScores(["a"], np.zeros(1), "squared", (), lambda decided: decided.repeat(3, -1))
    scores.add(np.array([[1e-160], [-1e-160]]), np.full((2, 1, 1), 1e5))
    assert scores.by_column()["r2"].tolist() == [0.0]


def test_the_crps_of_a_gaussian_is_its_integral() -> None:
    points = np.linspace(-30, 30, 200_001)
    for truth, mean, deviation in ((0.3, 0.0, 1.0), (-2.0, 1.0, 2.0), (5.0, 5.0, 0.5)):
        density = np.exp(-0.5 * ((points - mean) / deviation) ** 2) / (deviation * np.sqrt(2 * np.pi))
        below = density.cumsum() * (points[1] - points[0])
        integral = ((below - (points >= truth)) ** 2).sum() * (points[1] - points[0])
        found = crps_of_gaussian(np.array(truth), np.array(mean), np.array(deviation))
        assert float(found) == pytest.approx(integral, rel=1e-3)


def test_a_picture_and_a_table_are_written(tmp_path: Path) -> None:
    target = numbers("gaussian")
    generator = np.random.default_rng(0)
    outputs, truth = generator.normal(size=(30, 4)), generator.normal(size=(30, 2))
    decided = target.decide(outputs)
    scores = target.scores()
    scores.add(truth, decided)
    path = write_scatter(tmp_path / "s.png", scores, target.names, truth, target.intervals(decided))
    assert path.exists()
    table = json.loads((tmp_path / "s.json").read_text())
    assert table["columns"] == ["a", "b"] and len(table["crps"]) == 2 and table["examples"] == 30
