"""A learning rate from a short sweep: a few steps with ever larger rates, and nothing trained that is kept.

Source: Smith 2017, "Cyclical learning rates for training neural networks", section 3.3.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from throughtime.config import RunConfig
from throughtime.errors import DataError, OptionError
from throughtime.in_memory import Data, staged
from throughtime.notebooks import picture_of, showing, table
from throughtime.places import check_alone
from throughtime.presets import preset as preset_options
from throughtime.recognition import settle
from throughtime.training.additions import Additions
from throughtime.training.launch import check_paths
from throughtime.training.machine import pick_device, resolve_precision, set_threads
from throughtime.training.making import make_task, prepare
from throughtime.training.optimizer import clip_gradients, make_optimizer
from throughtime.training.own_loss import check_task
from throughtime.training.progress import Progress

LOWEST, HIGHEST = 1e-5, 10.0
# Twenty for each factor of ten: as many as tell a slope from the noise of batches.
STEPS = 120
# A loss so many times the range above the lowest one will not come back.
_EXPLODED = 3.0
# Steps over which losses are smoothed, as the deviation of a normal curve.
_SMOOTHING = 4.0
_SHOWN_EACH = 5
# A fall of so many standard errors of the smoothed loss is one.
_CLEARLY = 5.0
# At the lowest loss the next rates are too high already. A quarter led short trainings of two language models
# to lower validation losses than a tenth or the steepest place did: 1.70, 1.75 and 2.19 nats on 300,000
# characters of Shakespeare, 1.99, 2.04 and 2.26 on names. A classifier (SST-2) liked the steepest place:
# 0.47, 0.67 and 0.43.
_SHARE = 0.25


@dataclass(frozen=True)
class RateSweep:
    """What a sweep measured.

    Attributes:
        rates: the learning rate of each step, rising.
        losses: of each step's batch, before the step.
        smoothed: the same over neighbouring steps.
        suggestion: a quarter of the rate with the lowest loss; None where the loss does not fall clearly.
        current: the learning rate that the options have.
    """

    rates: list[float]
    losses: list[float]
    smoothed: list[float]
    suggestion: float | None
    current: float

    def rows(self) -> list[tuple[float, float]]:
        """Some of the rates with their smoothed losses, for a table."""
        places = range(0, len(self.rates), _SHOWN_EACH)
        return [(self.rates[place], self.smoothed[place]) for place in places]

    def as_dict(self) -> dict[str, Any]:
        """All of it, as JSON can hold it."""
        return asdict(self)

    def figure(self) -> Any:
        """Loss against learning rate, as a figure of matplotlib."""
        from matplotlib.figure import Figure

        figure = Figure(figsize=(7, 4), dpi=150, layout="constrained")
        axes = figure.subplots()
        axes.semilogx(self.rates, self.losses, color="#56B4E9", linewidth=0.8, alpha=0.7, label="of a batch")
        axes.semilogx(self.rates, self.smoothed, color="#0072B2", linewidth=2, label="smoothed")
        for rate, name, colour in (
            (self.suggestion, "suggestion", "#D55E00"),
            (self.current, "now", "#777777"),
        ):
            if rate is not None:
                axes.axvline(rate, color=colour, linestyle="--", linewidth=1, label=f"{name}: {rate:.2g}")
        low, high = min(self.smoothed), max(self.smoothed[: len(self.smoothed) // 2 or 1])
        axes.set_ylim(low - 0.2 * (high - low), high + 0.5 * (high - low) + 1e-9)
        axes.set_xlabel("learning rate")
        axes.set_ylabel("training loss")
        axes.set_title("A short sweep: nothing of it is kept")
        axes.grid(alpha=0.3)
        axes.legend(frameon=False)
        return showing(figure)

    def _repr_html_(self) -> str:
        said = "none" if self.suggestion is None else f"{self.suggestion:.2g}"
        rows = [("suggestion", said), ("now", f"{self.current:g}")]
        return table(rows) + picture_of(self.figure())


def find_learning_rate(
    source: Data, preset: str | None = None, show: Progress | None = None, **options: Any
) -> RateSweep:
    """Sweep on a file, a folder or data in memory, with the options of a training; see `sweep_rates`."""
    show = show or Progress()
    layers = [preset_options(preset)] if preset else []
    additions = Additions.of(None, None, options)
    with staged(source, options) as given:
        options = dict(given.options)
        config, why = settle(options.pop("source"), options, *layers)
        if additions.loss is not None:
            check_task(additions.loss, config)
        show.recognised(given.in_words(why))
        return sweep_rates(config, show, additions)


def sweep_rates(config: RunConfig, show: Progress, additions: Additions | None = None) -> RateSweep:
    """Take steps with learning rates from 1e-5 to 10, each larger than the one before by the same factor.

    The sweep ends early where the loss explodes. The schedule and its warmup do not apply.

    Args:
        config: of the training.
        show: where progress goes.
        additions: a loss of the program's own.
    Raises:
        DataError: the data cannot be used.
    """
    check_paths(config)
    check_alone("--find-lr")
    if config.training.groups:
        raise OptionError("--find-lr takes steps of whole batches: leave out --groups")
    set_threads(config.training.threads, show)
    device = pick_device(config)
    config = config.changed({"precision": resolve_precision(config.training, device)})
    if getattr(config.data, "folds", 0):
        raise OptionError("a sweep of learning rates measures no folds: leave out --folds")
    with tempfile.TemporaryDirectory(prefix="throughtime-") as place:
        run = prepare(config, Path(place), show)
        model, task = make_task(run, device, show, additions or Additions(), begins=True)
        training = run.config.training
        rates, losses = _steps(model, task, training, device, show)
        show.described(f"{task.facts()}; {len(losses)} steps with rising learning rates", task)
    if len(losses) < 2 * _SHOWN_EACH:
        raise DataError(
            f"the loss is not finite after {len(losses)} steps with learning rates below {rates[-1]:.1g}: "
            f"look at the data, or choose a lower --clip-norm"
        )
    smoothed = _smooth(losses)
    return RateSweep(
        rates, losses, smoothed.tolist(), _suggest(rates, losses, smoothed), training.learning_rate
    )


def _steps(
    model: torch.nn.Module, task: Any, training: Any, device: torch.device, show: Progress
) -> tuple[list[float], list[float]]:
    """The rates and losses of the sweep."""
    optimizer = make_optimizer(model, training)
    mixed = resolve_precision(training, device) == "bf16"
    model.train()
    task.start_epoch(0)
    rates: list[float] = []
    losses: list[float] = []
    epoch = 0
    for rate in np.geomspace(LOWEST, HIGHEST, STEPS).tolist():
        with torch.autocast(device.type, torch.bfloat16, enabled=mixed):
            step = task.next_loss()
            if step is None:  # small data is read again
                epoch += 1
                task.start_epoch(epoch)
                step = task.next_loss()
        if step is None:
            raise DataError("there is not a single batch to learn from")
        loss = step.loss.item()
        rates.append(rate)
        if not math.isfinite(loss):
            rates.pop()
            break
        losses.append(loss)
        if _has_exploded(losses):
            break
        optimizer.zero_grad(set_to_none=True)
        step.loss.backward()
        norm = clip_gradients(model, training.clip_norm, training.clip_value)
        if not math.isfinite(norm):
            break
        for group in optimizer.param_groups:
            group["lr"] = rate * step.learning_rate_scale
        optimizer.step()
        show.preparing("trying learning rates", len(rates), STEPS)
    return rates or [LOWEST], losses


def _has_exploded(losses: Sequence[float]) -> bool:
    recent, lowest, first = float(np.mean(losses[-3:])), min(losses), float(np.mean(losses[:10]))
    return len(losses) > 20 and recent > first + _EXPLODED * max(first - lowest, 0.05 * abs(first))


def _smooth(losses: Sequence[float]) -> NDArray[np.float64]:
    """A mean over neighbours with the weights of a normal curve; at both ends over those that there are."""
    places = np.arange(len(losses))
    weights = np.exp(-0.5 * ((places[:, None] - places[None, :]) / _SMOOTHING) ** 2)
    return weights @ np.asarray(losses) / weights.sum(1)


def _suggest(rates: Sequence[float], losses: Sequence[float], smoothed: NDArray[np.float64]) -> float | None:
    """A part of the rate with the lowest loss; None where the loss falls by no more than its noise."""
    lowest = int(smoothed.argmin())
    before = slice(lowest + 1)
    noise = np.std(np.asarray(losses)[before] - smoothed[before])
    noise /= math.sqrt(2 * math.sqrt(math.pi) * _SMOOTHING)  # the mean is over so many losses
    if smoothed[before].max() - smoothed[lowest] <= _CLEARLY * noise:
        return None
    return float(f"{rates[lowest] * _SHARE:.1e}")
