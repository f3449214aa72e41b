"""Forecasts of windows, batch by batch, whatever runs the network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from throughtime.program.network import Functions
from throughtime.runtime.outputs import check_finite
from throughtime.tasks.forecaster.distributions import LEVELS, Distribution
from throughtime.tasks.forecaster.windows import Batch

# Futures that an autoregressive decoder draws for each window, and windows of which it does so together.
PATHS = 100
_DRAWN_TOGETHER = 16


@dataclass(frozen=True)
class Forecast:
    """What is said of windows, in the units of the data.

    Args:
        point: (B, H).
        quantiles: (B, H, 7), those of `distributions.LEVELS`; None where the model names one number only.
    """

    point: NDArray[np.float64]
    quantiles: NDArray[np.float64] | None


class Forecasting:
    """A forecaster by its functions: "forecast", or "read" and "step".

    Args:
        network: its functions.
        distribution: as in --distribution.
        seed: of the futures that an autoregressive decoder draws.
    """

    def __init__(self, network: Functions, distribution: str, seed: int = 0) -> None:
        self._network = network
        self.kind = distribution
        self._seed = seed

    @property
    def is_direct(self) -> bool:
        """Whether all steps are said at once."""
        return "forecast" in self._network.functions

    def forecast(self, batch: Batch, name: str = "these windows") -> Forecast:
        """What comes after windows.

        Args:
            batch: the windows.
            name: of what they are, for errors.
        """
        if self.is_direct:
            said = self._distribution(self._direct(batch), batch, name)
            return Forecast(said.point(), said.quantiles())
        parts = [
            self._autoregressive(_rows(batch, slice(start, start + _DRAWN_TOGETHER)), name)
            for start in range(0, len(batch.scale), _DRAWN_TOGETHER)
        ]
        quantiles = [part.quantiles for part in parts if part.quantiles is not None]
        return Forecast(
            np.concatenate([part.point for part in parts]),
            np.concatenate(quantiles) if quantiles else None,
        )

    def next_step(self, batch: Batch, name: str = "these windows") -> Distribution:
        """What is said of the first step after windows, H = 1."""
        if self.is_direct:
            return self._distribution(self._direct(batch)[:, :1], batch, name)
        given, state = self._read(batch)
        said = self._step(given, batch.values[-1], batch.future[0], state)[0]
        return self._distribution(said[:, None], batch, name)

    def _direct(self, batch: Batch) -> NDArray[np.float32]:
        arrays = {
            "values": batch.values,
            "observed": batch.observed,
            "features": batch.features,
            "future": batch.future,
            "static": batch.static,
        }
        return self._call("forecast", arrays)["parameters"]

    def _autoregressive(self, batch: Batch, name: str) -> Forecast:
        is_point = self.kind == "point"
        paths = 1 if is_point else PATHS
        drawn = _repeated(batch, paths)
        given, state = self._read(batch)
        given = {key: np.repeat(value, paths, 0) for key, value in given.items()}
        state = {key: np.repeat(value, paths, 1) for key, value in state.items()}
        generator = np.random.Generator(np.random.PCG64(self._seed))
        value, found = drawn.values[-1], []
        for future in drawn.future:
            said, state = self._step(given, value, future, state)
            step = self._distribution(said[:, None], drawn, name)
            values = step.point()[:, 0] if is_point else step.draw(generator)[0, :, 0]
            found.append(values)
            value = ((values - drawn.shift) / drawn.scale).astype(np.float32)
        futures = np.stack(found, 1).reshape(len(batch.scale), paths, -1)
        if is_point:
            return Forecast(futures[:, 0], None)
        quantiles = np.moveaxis(np.quantile(futures, LEVELS, axis=1), 0, -1)
        point = np.median(futures, 1) if self.kind == "quantiles" else futures.mean(1)
        return Forecast(point, quantiles)

    def _read(self, batch: Batch) -> tuple[dict[str, NDArray[Any]], dict[str, NDArray[Any]]]:
        """What every step reads beside its value, and the state before a window's last value."""
        arrays = {
            "values": batch.values,
            "observed": batch.observed,
            "features": batch.features,
            "static": batch.static,
        }
        found = self._call("read", arrays)
        level = found["level"]
        return {"level": level, "static": batch.static}, {
            key: value for key, value in found.items() if key != "level"
        }

    def _step(
        self,
        given: dict[str, NDArray[Any]],
        value: NDArray[np.float32],
        future: NDArray[np.float32],
        state: dict[str, NDArray[Any]],
    ) -> tuple[NDArray[np.float32], dict[str, NDArray[Any]]]:
        found = self._call("step", {**given, "value": value, "future": future, **state})
        return found["parameters"], {key: found[f"new_{key}"] for key in state}

    def _call(self, function: str, arrays: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        ports = {port.name for port in self._network.functions[function].inputs}
        return self._network(function, {name: array for name, array in arrays.items() if name in ports})

    def _distribution(self, parameters: NDArray[Any], batch: Batch, name: str) -> Distribution:
        return Distribution(self.kind, check_finite(parameters, name), batch.shift, batch.scale)


def _repeated(batch: Batch, times: int) -> Batch:
    """Each window so often, one beside the other."""
    return Batch(
        **{name: np.repeat(getattr(batch, name), times, _axis(name)) for name in Batch.__dataclass_fields__}
    )


def _rows(batch: Batch, rows: slice) -> Batch:
    return Batch(
        **{
            name: getattr(batch, name)[:, rows] if _axis(name) else getattr(batch, name)[rows]
            for name in Batch.__dataclass_fields__
        }
    )


def _axis(name: str) -> int:
    return 1 if name in ("values", "observed", "features", "future") else 0
