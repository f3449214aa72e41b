"""Windows: what they hold, where they may lie, and the baselines that read them."""

from __future__ import annotations

import numpy as np
import pytest

from throughtime.errors import DataError
from throughtime.tasks.forecaster.baselines import fit_linear, last_value, seasonal_naive
from throughtime.tasks.forecaster.metrics import Scores
from throughtime.tasks.forecaster.scaling import Scaling, forward_filled, measure, naive_error
from throughtime.tasks.forecaster.series import Roles, Series
from throughtime.tasks.forecaster.times import Frequency
from throughtime.tasks.forecaster.windows import Shape, Windows

NUMBERS = Frequency("number", 1.0)


def series(values: list[float] | np.ndarray, known: np.ndarray | None = None) -> Series:
    values = np.array(values, np.float64)
    covariates = np.zeros((len(values), 0)) if known is None else known[:, None].astype(np.float64)
    return Series("a", 0, values, covariates)


def plain(one: Series, known: int = 0) -> Scaling:
    roles = Roles("t", ["a"], known=["k"] * known)
    found = measure([one], [len(one)], roles, 1, False, False, False, False)
    return found


def test_a_window_holds_what_was_and_what_came() -> None:
    one = series(np.arange(10.0))
    windows = Windows([one], plain(one), NUMBERS, Shape(3, 2, 0, 0, 0))
    assert windows.starts.tolist() == [3, 4, 5, 6, 7, 8]
    batch = windows.batch(np.array([1]))
    past = batch.shift + batch.scale * batch.values[:, 0]
    np.testing.assert_allclose(past, [1, 2, 3], atol=1e-6)
    np.testing.assert_allclose(batch.shift + batch.scale * batch.target[0], [4, 5], atol=1e-6)
    assert windows.places(1).tolist() == [4, 5]


def test_gaps_keep_the_value_before_them_and_count_nowhere() -> None:
    one = series([1, np.nan, 3, np.nan, 5, 6, np.nan, np.nan])
    windows = Windows([one], plain(one), NUMBERS, Shape(2, 2, 0, 0, 0))
    batch = windows.batch(np.array([0]))
    assert batch.observed[:, 0].tolist() == [1, 0] and batch.values[0] == batch.values[1]
    assert batch.counted[0].tolist() == [1, 0] and batch.target[0, 1] == 0
    assert windows.starts.tolist() == [2, 3, 4, 5]  # none of which nothing came
    assert forward_filled(np.array([np.nan, 2, np.nan])).tolist() == [0, 2, 2]


def test_what_is_known_ahead_reaches_over_the_horizon_and_the_future_is_not_seen() -> None:
    one = series(np.arange(8.0), np.arange(8.0) * 10)
    windows = Windows([one], plain(one, 1), NUMBERS, Shape(3, 2, 1, 1, 0), [(5, 8)])
    assert windows.starts.tolist() == [5, 6]
    batch = windows.batch(np.array([0]))
    assert np.argsort(np.concatenate([batch.features[:, 0, 0], batch.future[:, 0, 0]])).tolist() == [
        0,
        1,
        2,
        3,
        4,
    ]


def test_baselines_say_what_they_are_called() -> None:
    one = series(np.tile([1.0, 5.0, 9.0], 20))
    windows = Windows([one], plain(one), NUMBERS, Shape(6, 4, 0, 0, 0))
    batch = windows.batch(np.array([0, 1]))
    truth = batch.shift[:, None] + batch.scale[:, None] * batch.target
    np.testing.assert_allclose(seasonal_naive(batch, 3), truth, atol=1e-5)
    np.testing.assert_allclose(last_value(batch), [[9] * 4, [1] * 4], atol=1e-5)
    np.testing.assert_allclose(seasonal_naive(batch, 99), last_value(batch))
    np.testing.assert_allclose(fit_linear(windows, windows).forecast(batch), truth, atol=0.05)


def test_the_metrics_are_those_of_a_person_with_a_pencil() -> None:
    scores = Scores()
    truth, point = np.array([[10.0, 20.0, 30.0]]), np.array([[12.0, 20.0, 0.0]])
    counted = np.array([[1, 1, 0]], np.float32)
    quantiles = np.stack([point - 3, point - 1, point, point, point, point + 1, point + 3], -1)
    scores.add(truth, counted, point, quantiles, np.array([2.0], np.float32), np.array([4.0]))
    found = scores.result()
    assert found["mae"] == 1.0 and found["rmse"] == pytest.approx(2**0.5)
    assert found["mse_scaled"] == 0.5 and found["mase"] == 0.25
    assert found["smape"] == pytest.approx((200 * 2 / 22) / 2)
    assert (found["coverage_80"], found["coverage_95"]) == (0.5, 1.0)
    assert naive_error(np.array([1.0, 2, 4, np.nan, 8]), 2) == pytest.approx(3.5)


def test_values_at_both_ends_of_32_bits_are_fitted_and_measured() -> None:
    ends = np.array([3e38, -3e38] * 4)
    one = series(np.concatenate([np.zeros(12), ends]))
    scaling = measure([one], [12], Roles("t", ["a"]), 1, False, False, False, False)
    shape = Shape(2, 1, 0, 0, 0)
    training, rest = (Windows([one], scaling, NUMBERS, shape, [part]) for part in ((0, 12), (12, 20)))
    assert np.isfinite(fit_linear(training, rest).weights).all()
    assert naive_error(ends, 1) == pytest.approx(6e38)
    # A series that hardly changes has no unit to measure in.
    scores, counted = Scores(), np.ones((1, 1), np.float32)
    scale, unit = np.ones(1, np.float32), np.array([1e-310])
    scores.add(np.full((1, 1), 1e5), counted, np.zeros((1, 1)), None, scale, unit)
    assert scores.result()["mase"] is None


def test_a_static_number_far_from_the_training_is_refused() -> None:
    one = series([0, 1, 2])
    one.static = [3e38]
    scaling = Scaling([], static_names=[[]], static_means=[0.0], static_deviations=[1e-3])
    with pytest.raises(DataError, match="series 'a', static column 1, in standard deviations: 3e"):
        scaling.static(one)
