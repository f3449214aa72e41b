"""Means, quantiles, draws and probabilities agree with each other, with tables, and with the losses."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from throughtime.tasks.forecaster.distributions import LEVELS, Distribution, outputs_of
from throughtime.tasks.forecaster.losses import step_losses
from throughtime.tasks.forecaster.metrics import crps

KINDS = ("gaussian", "student-t", "quantiles", "negative-binomial")


def drawn(kind: str) -> tuple[np.ndarray, Distribution]:
    generator = np.random.default_rng(0)
    parameters = generator.normal(0.5, 0.7, (3, 2, outputs_of(kind)))
    shift = np.zeros(3) if kind == "negative-binomial" else np.array([0.0, 5.0, -2.0])
    return parameters, Distribution(kind, parameters, shift, np.array([1.0, 2.0, 20.0]))


@pytest.mark.parametrize("kind", KINDS)
def test_draws_have_the_quantiles_that_are_said(kind: str) -> None:
    _, distribution = drawn(kind)
    known = distribution.quantiles()
    assert known is not None
    draws = distribution.draw(np.random.default_rng(1), 20_000)
    shares = (draws[..., None] <= known).mean(0)
    expected = np.broadcast_to(LEVELS, shares.shape)
    if kind == "negative-binomial":  # of whole numbers, as much or more lies at and below a quantile
        assert (shares >= expected - 0.03).all()
        np.testing.assert_allclose(shares[2, :, 3:], expected[2, :, 3:], atol=0.06)
    elif kind == "quantiles":  # beyond the outer quantiles there is nothing to draw from
        np.testing.assert_allclose(shares[..., 1:-1], expected[..., 1:-1], atol=0.02)
    else:
        np.testing.assert_allclose(shares, expected, atol=0.02)


def test_students_quantiles_are_those_of_the_tables() -> None:
    freedom = np.array([3.0, 5.0, 30.0])
    before_softplus = np.log(np.expm1(freedom - 2))
    unit = np.log(np.expm1(1 - 1e-3))
    parameters = np.stack([np.zeros(3), np.full(3, unit), before_softplus], -1)[None]
    found = Distribution("student-t", parameters, np.zeros(1), np.ones(1)).quantiles()
    assert found is not None
    np.testing.assert_allclose(found[0, :, 6], [3.182, 2.571, 2.042], rtol=2e-3)
    np.testing.assert_allclose(found[0, :, 5], [1.638, 1.476, 1.310], rtol=2e-3)


@pytest.mark.parametrize("kind", ["gaussian", "student-t", "negative-binomial"])
def test_the_losses_are_the_surprise(kind: str) -> None:
    parameters, distribution = drawn(kind)
    scale = np.array([1.0, 2.0, 20.0])
    values = np.round(np.abs(distribution.draw(np.random.default_rng(2))[0]))
    shift = np.zeros(3) if kind == "negative-binomial" else np.array([0.0, 5.0, -2.0])
    target = (values - shift[:, None]) / scale[:, None]
    losses = step_losses(
        kind, torch.from_numpy(parameters), torch.from_numpy(target), torch.from_numpy(scale)
    ).numpy()
    # The losses are of scaled values: a density differs by the scale, a probability does not.
    size = 0.0 if kind == "negative-binomial" else np.log(scale)[:, None]
    np.testing.assert_allclose(losses + size, distribution.surprise(values), rtol=1e-6, atol=1e-6)


def test_crossing_quantiles_are_sorted() -> None:
    found = Distribution("quantiles", np.array([[[7, 6, 5, 4, 3, 2, 1.0]]]), np.zeros(1), np.ones(1))
    assert found.quantiles() is not None and found.quantiles()[0, 0].tolist() == [1, 2, 3, 4, 5, 6, 7]  # type: ignore[index]
    assert found.point().tolist() == [[4.0]]


def test_the_crps_of_a_certain_forecast_is_its_absolute_error() -> None:
    assert crps(np.array([3.0]), np.full((1, 7), 1.0))[0] == pytest.approx(2.0)
    # Of a standard normal distribution at its mean it is (sqrt(2) - 1) / sqrt(pi) = 0.2337.
    normal = Distribution("gaussian", np.array([[[0.0, np.log(np.expm1(0.999))]]]), np.zeros(1), np.ones(1))
    known = normal.quantiles()
    assert known is not None
    assert crps(np.zeros((1, 1)), known)[0, 0] == pytest.approx(0.2337, abs=0.02)
