"""The losses of a forecaster's distributions, in torch; `distributions` says what the parameters mean."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from throughtime.tasks.forecaster.distributions import (
    LEAST_DISPERSION,
    LEAST_FREEDOM,
    LEAST_SCALE,
    LEVELS,
)


def step_losses(
    kind: str, parameters: Tensor, target: Tensor, scale: Tensor, absolute: bool = False
) -> Tensor:
    """The loss of each step.

    Args:
        kind: as in --distribution.
        parameters: (B, H, K).
        target: (B, H), scaled.
        scale: (B,) of the values; of counts, their mean.
        absolute: of a point, take the absolute error and not the squared one.
    Returns:
        (B, H).
    """
    if kind == "point":
        error = parameters[..., 0] - target
        return error.abs() if absolute else error.square()
    if kind == "quantiles":
        levels = torch.tensor(LEVELS, dtype=parameters.dtype, device=parameters.device)
        error = target.unsqueeze(-1) - parameters
        # Twice the pinball loss (Koenker and Bassett 1978): of the median it is the absolute error.
        return 2 * torch.maximum(levels * error, (levels - 1) * error).mean(-1)
    if kind == "negative-binomial":
        factor = scale.unsqueeze(1)
        mean = F.softplus(parameters[..., 0]) * factor + 1e-9
        size = 1 / (F.softplus(parameters[..., 1]) + LEAST_DISPERSION)
        counted = target * factor
        return (
            torch.lgamma(size)
            + torch.lgamma(counted + 1)
            - torch.lgamma(counted + size)
            - size * torch.log(size / (size + mean))
            - counted * torch.log(mean / (size + mean))
        )
    spread = F.softplus(parameters[..., 1]) + LEAST_SCALE
    scaled = (target - parameters[..., 0]) / spread
    if kind == "gaussian":
        return 0.5 * scaled.square() + torch.log(spread) + 0.5 * math.log(2 * math.pi)
    freedom = F.softplus(parameters[..., 2]) + LEAST_FREEDOM
    return (
        torch.lgamma(freedom / 2)
        - torch.lgamma((freedom + 1) / 2)
        + 0.5 * torch.log(math.pi * freedom)
        + torch.log(spread)
        + (freedom + 1) / 2 * torch.log1p(scaled.square() / freedom)
    )
