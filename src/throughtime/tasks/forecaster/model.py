"""From a window of a series to what is said of the steps to come: many to many, not aligned."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from throughtime.cells import State
from throughtime.draws import dropout
from throughtime.models.functions import Definition, state_outputs, state_ports
from throughtime.models.initialise import initialise
from throughtime.program.network import Port
from throughtime.recurrent import Recurrent
from throughtime.tasks.forecaster.baselines import Linear
from throughtime.tasks.forecaster.distributions import outputs_of
from throughtime.tasks.forecaster.options import ForecasterNetwork
from throughtime.tasks.forecaster.windows import Shape

# Of the hidden units, the share that the direct decoder keeps for each step to come, and the least of them.
_DECODER_SHARE, _LEAST_WIDTH = 8, 8


class Forecaster(nn.Module):
    """A recurrence over segments of the window; every step to come is said at once.

    Example:
        forecaster = Forecaster(config, Shape(lookback=168, horizon=24, features=6, future=6, static=0))
        parameters = forecaster(values, observed, features, future, static)     # (B, 24, K)

    The window is read relative to its level (--window-norm), which is added again to what is said, so that a
    series may drift to where it has never been (Kim et al. 2022, RevIN, without its variance). The recurrence
    reads `segment` steps as one (Lin et al. 2023, SegRNN), the decoder says all steps in parallel, and a
    linear map of the window (Lai et al. 2018, LSTNet's highway; Zeng et al. 2023) is added to its location.
    The map begins as the linear baseline.

    Args:
        config: sizes and options, with `segment` settled.
        shape: of a window.
    """

    def __init__(self, config: ForecasterNetwork, shape: Shape) -> None:
        super().__init__()
        self.config, self.shape = config, shape
        self.outputs = outputs_of(config.distribution)
        self.segment = config.segment
        self.embed = nn.Linear(self.segment * (2 + shape.features), config.hidden)
        self.describe = nn.Linear(shape.static, config.hidden, bias=False) if shape.static else None
        self.recurrent = Recurrent(config.cell, config.hidden, config.hidden, **config.recurrent_options())
        self.width = max(_LEAST_WIDTH, config.hidden // _DECODER_SHARE)
        self.spread = nn.Linear(self.recurrent.output_size, shape.horizon * self.width)
        self.known = nn.Linear(shape.future, self.width, bias=False) if shape.future else None
        self.output = nn.Linear(self.width, self.outputs)
        self.highway = nn.Linear(shape.lookback, shape.horizon) if config.highway else None
        initialise(self, config)
        if self.highway is not None:
            # At first it says what --window-norm takes off, and the recurrence adds nothing.
            for layer in (self.highway, self.output):
                nn.init.zeros_(layer.weight)
                nn.init.zeros_(layer.bias)

    def begin_with(self, linear: Linear) -> None:
        """Let the highway say what a ridge regression says, so that the recurrence learns what that lacks.

        Its weights W are of the window v relative to its last value. Relative to any level, with columns of W
        that add up to s: last + (v - last) W + b = level + r W + r_last (1 - s) + b, where r = v - level.

        Args:
            linear: the baseline of the same window and horizon.
        """
        if self.highway is None or self.config.distribution == "negative-binomial":
            return  # whose location is not a value, but one before softplus
        weights = linear.weights[:-1].astype(np.float64)
        weights[-1] += 1 - weights.sum(0)
        with torch.no_grad():
            self.highway.weight.copy_(torch.from_numpy(weights.T.copy()))
            self.highway.bias.copy_(torch.from_numpy(linear.weights[-1]))

    def forward(
        self,
        values: Tensor,
        observed: Tensor,
        features: Tensor | None = None,
        future: Tensor | None = None,
        static: Tensor | None = None,
    ) -> Tensor:
        """Parameters of the distribution of every step to come.

        Args:
            values: (L, B), scaled.
            observed: (L, B), 1 where there was a value.
            features: (L, B, P), where there are any; so are the others.
            future: (H, B, G).
            static: (B, S).
        Returns:
            (B, H, K); see `distributions`.
        """
        shape, B = self.shape, values.shape[1]
        level = level_of(values, self.config.window_norm)
        relative = values - level
        steps = joined(relative, observed, features)
        segments = steps.reshape(shape.lookback // self.segment, self.segment, B, 2 + shape.features)
        read = self.embed(segments.permute(0, 2, 1, 3).flatten(2))
        if self.describe is not None and static is not None:
            read = read + self.describe(static)
        hidden, _ = self.recurrent(torch.relu(read))
        last = dropout(hidden[-1], self.config.output_dropout, self.training, rows=0)
        decoded = self.spread(last).reshape(B, shape.horizon, self.width)
        if self.known is not None and future is not None:
            decoded = decoded + self.known(future).permute(1, 0, 2)
        said = self.output(torch.relu(decoded))
        location = level.unsqueeze(1)
        if self.highway is not None:
            location = location + self.highway(relative.permute(1, 0))
        return located(said, location.expand(B, shape.horizon), self.config.distribution)

    def functions(self) -> dict[str, Definition]:
        """forecast: a window and what is known ahead to the parameters of all steps to come."""
        shape = self.shape
        ports = window_ports(shape)

        def forecast(*tensors: Tensor) -> tuple[Tensor]:
            return (self(**{port.name: tensor for port, tensor in zip(ports, tensors, strict=True)}),)

        meaning = "of the distribution of each step to come"
        return {"forecast": Definition(forecast, tuple(ports), {"parameters": meaning})}


class AutoregressiveForecaster(nn.Module):
    """A recurrence that says the next step from the one before, over the window and on into the future.

    Source: Salinas et al. 2020, DeepAR. A value that is not known yet is fed back: drawn, or the mean.

    Args:
        config: sizes and options.
        shape: of a window; it has no features but those that are known ahead.
    """

    def __init__(self, config: ForecasterNetwork, shape: Shape) -> None:
        super().__init__()
        self.config, self.shape = config, shape
        self.embed = nn.Linear(2 + shape.future, config.hidden)
        self.describe = nn.Linear(shape.static, config.hidden, bias=False) if shape.static else None
        self.recurrent = Recurrent(config.cell, config.hidden, config.hidden, **config.recurrent_options())
        self.output = nn.Linear(self.recurrent.output_size, outputs_of(config.distribution))
        initialise(self, config)

    def forward(
        self,
        values: Tensor,
        observed: Tensor,
        level: Tensor,
        features: Tensor | None = None,
        static: Tensor | None = None,
        state: State | None = None,
    ) -> tuple[Tensor, State]:
        """What is said of each next step.

        Args:
            values: (T, B), scaled: each step's value before the one that is said.
            observed: (T, B), 1 where that is known.
            level: (B,) of the window.
            features: (T, B, G) of the step that is said, where there are any.
            static: (B, S), where there are any.
            state: after the steps before, or None.
        Returns:
            Parameters (T, B, K), and the state.
        """
        read = self.embed(joined(values - level, observed, features))
        if self.describe is not None and static is not None:
            read = read + self.describe(static)
        hidden, new = self.recurrent(torch.relu(read), state)
        said = self.output(dropout(hidden, self.config.output_dropout, self.training))
        location = level.expand(values.shape[0], values.shape[1])
        return located(said, location, self.config.distribution), new

    def functions(self) -> dict[str, Definition]:
        """read: a window to its level and the state before its last value. step: a value and what is known of
        the next step to the parameters of that."""
        shape = self.shape
        window = [port for port in window_ports(shape) if port.name != "future"]
        states = state_ports(self.recurrent)
        ports = [
            Port("value", "float32", ("B",), "of the step before, scaled"),
            Port("level", "float32", ("B",), "of the window"),
        ]
        if shape.future:
            ports.append(Port("future", "float32", ("B", shape.future), "what is known of the next step"))
        ports += [port for port in window if port.name == "static"]

        def read(*tensors: Tensor) -> tuple[Tensor, ...]:
            given = {port.name: tensor for port, tensor in zip(window, tensors, strict=True)}
            values, features = given["values"], given.get("features")
            level = level_of(values, self.config.window_norm)
            later = None if features is None else features[1:]
            _, state = self(values[:-1], given["observed"][:-1], level, later, given.get("static"))
            return level, *state

        def step(*tensors: Tensor) -> tuple[Tensor, ...]:
            given = {port.name: tensor for port, tensor in zip(ports, tensors, strict=False)}
            value, future = given["value"].unsqueeze(0), given.get("future")
            features = None if future is None else future.unsqueeze(0)
            state = tensors[len(ports) :]
            said, new = self(
                value, torch.ones_like(value), given["level"], features, given.get("static"), state
            )
            return said[0], *new

        return {
            "read": Definition(
                read, tuple(window), {"level": "of the window", **state_outputs(self.recurrent, "")}
            ),
            "step": Definition(
                step,
                (*ports, *states),
                {"parameters": "of the distribution of the next step", **state_outputs(self.recurrent)},
            ),
        }


def level_of(values: Tensor, kind: str) -> Tensor:
    """What is taken off a window (L, B): (B,)."""
    if kind == "last":
        return values[-1]
    return values.mean(0) if kind == "mean" else torch.zeros_like(values[-1])


def located(said: Tensor, location: Tensor, distribution: str) -> Tensor:
    """Add a location (...) to what moves with it in parameters (..., K): every quantile, or the first."""
    if distribution == "quantiles":
        return said + location.unsqueeze(-1)
    first = said[..., :1] + location.unsqueeze(-1)
    return first if said.shape[-1] == 1 else torch.cat([first, said[..., 1:]], -1)


def joined(values: Tensor, observed: Tensor, features: Tensor | None) -> Tensor:
    """What is read of each step: (T, B, 2 + P)."""
    parts = [values.unsqueeze(2), observed.unsqueeze(2)]
    return torch.cat(parts if features is None else [*parts, features], 2)


def window_ports(shape: Shape) -> list[Port]:
    """What is read of a window; what has no numbers has no port."""
    L, H = shape.lookback, shape.horizon
    ports = [
        Port("values", "float32", (L, "B"), "of the window, scaled"),
        Port("observed", "float32", (L, "B"), "1 where there was a value"),
    ]
    if shape.features:
        ports.append(Port("features", "float32", (L, "B", shape.features), "of each step of the window"))
    if shape.future:
        ports.append(Port("future", "float32", (H, "B", shape.future), "what is known of each step to come"))
    if shape.static:
        ports.append(Port("static", "float32", ("B", shape.static), "what the series is"))
    return ports
