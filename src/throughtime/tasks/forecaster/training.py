"""Training a forecaster on windows of series."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from throughtime.models.functions import TorchNetwork
from throughtime.tasks.forecaster.losses import step_losses
from throughtime.tasks.forecaster.metrics import Scores
from throughtime.tasks.forecaster.model import AutoregressiveForecaster, Forecaster, level_of
from throughtime.tasks.forecaster.options import ForecasterConfig
from throughtime.tasks.forecaster.prediction import Forecasting
from throughtime.tasks.forecaster.windows import Batch, Windows
from throughtime.training.examples import ExampleTask
from throughtime.training.task import StepLoss

# Windows that are measured together, and the most that an evaluation looks at, spread evenly.
_BATCH, _MOST = 512, 4_096


class ForecastTask(ExampleTask):
    """The loss of every step of the horizon; the weights with the lowest loss on the validation windows stay.

    Args:
        model: the network, on its device.
        training: the windows to learn from.
        validation: those to measure on; None where there are none.
        config: the options.
        naive_errors: of each series of the validation; see `SeriesFacts`.
    """

    unit = "windows"

    def __init__(
        self,
        model: Forecaster | AutoregressiveForecaster,
        training: Windows,
        validation: Windows | None,
        config: ForecasterConfig,
        naive_errors: NDArray[np.float64],
    ) -> None:
        super().__init__(model, np.ones(len(training), np.int64), config.training)
        self._forecaster = model
        self._training, self._validation = training, validation
        self._kind, self._absolute = config.model.distribution, config.training.loss == "absolute"
        self._naive_errors = naive_errors
        unit = {"point": f"{config.training.loss} error", "quantiles": "pinball loss"}.get(self._kind, "nats")
        self.loss_name = f"loss of a step ({unit})"

    def facts(self) -> str:
        shape = self._training.shape
        there = 0 if self._validation is None else len(self._validation)
        return (
            f"{len(self._training):,} windows of {shape.lookback} steps to forecast {shape.horizon}, "
            f"{there:,} to validate on"
        )

    def describe(self, metrics: dict[str, float]) -> str:
        names = {"val_mae": "MAE", "val_mase": "MASE"}
        more = (f", {name} {metrics[key]:.4g}" for key, name in names.items() if key in metrics)
        return f"loss {metrics['val_loss']:.4f}{''.join(more)}"

    def loss(self, examples: NDArray[np.int64], joint: NDArray[np.int64] | None = None) -> StepLoss:
        batch = self._training.batch(examples)
        counted = torch.from_numpy(batch.counted).to(self.device)
        losses = self._step_losses(batch)
        steps = counted.sum().clamp(min=1)
        return StepLoss((losses * counted).sum() / steps, len(examples), weight=float(batch.counted.sum()))

    def evaluate(self, progress: Callable[[float], None] | None = None) -> dict[str, float]:
        if self._validation is None or not len(self._validation):
            return {}
        was_training = self._forecaster.training
        chosen = np.arange(0, len(self._validation), max(1, len(self._validation) // _MOST))
        forecasting = Forecasting(TorchNetwork(self._forecaster), self._kind)
        scores, total, steps = Scores(), 0.0, 0.0
        parts = [chosen[start : start + _BATCH] for start in range(0, len(chosen), _BATCH)]
        validation = self._validation

        def measure(numbers: NDArray[np.int64]) -> list[NDArray[Any]]:
            batch = validation.batch(numbers)
            with torch.no_grad():
                losses = self._step_losses(batch).cpu().numpy()
            # Drawing futures in every evaluation would take longer than training.
            return [losses, *([forecasting.forecast(batch).point] if forecasting.is_direct else [])]

        done = 0
        for numbers, (losses, *points) in zip(parts, self.sharing.turns(parts, measure), strict=True):
            batch = validation.batch(numbers)
            total += float((losses * batch.counted).sum(dtype=np.float64))
            steps += float(batch.counted.sum(dtype=np.float64))
            for point in points:
                truth = batch.shift[:, None] + batch.scale[:, None] * batch.target.astype(np.float64)
                errors = self._naive_errors[validation.series_of[numbers]]
                scores.add(truth, batch.counted, point, None, batch.scale, errors)
            done += len(numbers)
            if progress is not None:
                progress(done / len(chosen))
        self._forecaster.train(was_training)
        measured = scores.result() if forecasting.is_direct else {}
        shown = {f"val_{name}": measured.get(name) for name in ("mae", "mase", "mse_scaled")}
        return {
            "val_loss": total / max(steps, 1),
            **{name: value for name, value in shown.items() if value is not None},
        }

    def _step_losses(self, batch: Batch) -> Tensor:
        """(B, H)."""

        def tensor(array: NDArray[np.float32]) -> Tensor:
            return torch.from_numpy(np.ascontiguousarray(array)).to(self.device)

        values, target = tensor(batch.values), tensor(batch.target)
        observed, features = tensor(batch.observed), tensor(batch.features)
        future, static = tensor(batch.future), tensor(batch.static)
        if isinstance(self._forecaster, Forecaster):
            parameters = self._forecaster(values, observed, features, future, static)
        else:
            level = level_of(values, self._forecaster.config.window_norm)
            came, known = target.t(), tensor(batch.counted).t()
            # A step that has no value is told so, and is as the level was.
            came = torch.where(known > 0, came, level)
            said, _ = self._forecaster(
                torch.cat([values, came[:-1]]),
                torch.cat([observed, known[:-1]]),
                level,
                None if self._training.shape.future == 0 else self._shifted(features, future),
                static,
            )
            parameters = said[len(values) - 1 :].permute(1, 0, 2)
        return step_losses(self._kind, parameters.float(), target, tensor(batch.scale), self._absolute)

    @staticmethod
    def _shifted(features: Tensor, future: Tensor) -> Tensor:
        """What is known of the step that each input says: (L + H - 1, B, G)."""
        return torch.cat([features[1:], future])
