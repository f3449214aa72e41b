"""The network: where it begins, and what it may see."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from throughtime.tasks.forecaster.baselines import Linear
from throughtime.tasks.forecaster.model import AutoregressiveForecaster, Forecaster
from throughtime.tasks.forecaster.options import ForecasterNetwork
from throughtime.tasks.forecaster.windows import Shape

SHAPE = Shape(lookback=6, horizon=3, features=2, future=1, static=0)


@pytest.mark.parametrize("window_norm", ["none", "last", "mean"])
def test_a_training_begins_with_the_linear_forecast(window_norm: str) -> None:
    generator = np.random.default_rng(0)
    config = ForecasterNetwork(hidden=4, segment=2, distribution="gaussian", window_norm=window_norm)  # type: ignore[arg-type]
    forecaster = Forecaster(config, SHAPE).eval()
    linear = Linear(generator.normal(0, 0.3, (7, 3)).astype(np.float32))
    forecaster.begin_with(linear)
    values = generator.normal(0, 1, (6, 5)).astype(np.float32)
    said = forecaster(torch.from_numpy(values), torch.ones(6, 5), torch.randn(6, 5, 2), torch.randn(3, 5, 1))
    last = values[-1]
    expected = (values - last).T @ linear.weights[:-1] + linear.weights[-1] + last[:, None]
    np.testing.assert_allclose(said[..., 0].detach().numpy(), expected, rtol=1e-4, atol=1e-5)


def test_a_step_to_come_sees_what_is_known_of_itself_only() -> None:
    torch.manual_seed(0)  # or all units of the decoder may be below 0
    forecaster = Forecaster(ForecasterNetwork(hidden=4, segment=1), SHAPE).eval()
    torch.nn.init.normal_(forecaster.output.weight)
    future = torch.zeros(3, 1, 1, requires_grad=True)
    said = forecaster(torch.randn(6, 1), torch.ones(6, 1), torch.randn(6, 1, 2), future)
    (gradient,) = torch.autograd.grad(said[0, 1].sum(), future)
    assert gradient[1].abs().sum() > 0 and gradient[[0, 2]].abs().sum() == 0


def test_a_drift_of_the_whole_window_drifts_the_forecast() -> None:
    shape = Shape(6, 3, 0, 0, 0)
    forecaster = Forecaster(ForecasterNetwork(hidden=4, segment=3), shape).eval()
    torch.nn.init.normal_(forecaster.output.weight)
    values, observed = torch.randn(6, 2), torch.ones(6, 2)
    moved = forecaster(values + 7, observed)
    np.testing.assert_allclose(
        moved.detach(), (forecaster(values, observed) + 7).detach(), rtol=1e-4, atol=1e-4
    )


def test_the_autoregressive_decoder_says_each_step_as_it_was_trained_to() -> None:
    config = ForecasterNetwork(hidden=4, segment=1, decoder="autoregressive", distribution="point")
    forecaster = AutoregressiveForecaster(config, Shape(6, 3, 1, 1, 0)).eval()
    functions = forecaster.functions()
    values, features = torch.randn(8, 2), torch.randn(9, 2, 1)
    level = values[5]
    every, _ = forecaster(values, torch.ones(8, 2), level, features[1:])
    found, *state = functions["read"].call(values[:6], torch.ones(6, 2), features[:6])
    assert torch.equal(found, level)
    for step in range(3):
        said, *state = functions["step"].call(values[5 + step], level, features[6 + step], *state)
        np.testing.assert_allclose(said.detach(), every[5 + step].detach(), rtol=1e-4, atol=1e-5)
