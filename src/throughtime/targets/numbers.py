"""Numbers: a value for each column, or a distribution of it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import NormalDist
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, FiniteFloat

from throughtime.data.features import statistics
from throughtime.data.numbers import LARGEST
from throughtime.errors import DataError, OptionError, RunError
from throughtime.facts import read_json
from throughtime.files import write_atomically
from throughtime.metrics.numbers import NumberScores, write_scatter
from throughtime.runtime.outputs import check_finite
from throughtime.targets.calibration import Calibration, margins_of
from throughtime.targets.options import NumberLoss
from throughtime.targets.target import TARGET, Target

if TYPE_CHECKING:
    from torch import Tensor
    from typing_extensions import Self

# In standard deviations of the training's values: up to there the Huber loss is squared (Huber 1964).
_HUBER = 1.0
# Of values whose variance is 1: what lies outside is a spread that nobody can use, and exp of it overflows.
_LEAST_LOG_VARIANCE, _MOST_LOG_VARIANCE = -12.0, 12.0

# Below that of any column that changes; see `statistics`.
_LEAST_DEVIATION = 1e-13


@dataclass(frozen=True)
class NumberFacts:
    """What target.json holds.

    Args:
        columns: D names.
        mean, deviation: of each column over the training examples; the network's outputs are in them.
        loss: what it was trained by, which settles what its outputs are.
        quantiles: those that it gives, rising, for the loss "quantile".
        interval: the share of values that `low` to `high` should hold.
    """

    columns: Annotated[tuple[str, ...], Field(min_length=1)]
    mean: tuple[Annotated[FiniteFloat, Field(ge=-LARGEST, le=LARGEST)], ...]
    deviation: tuple[Annotated[FiniteFloat, Field(ge=_LEAST_DEVIATION, le=LARGEST)], ...]
    loss: NumberLoss
    quantiles: tuple[Annotated[float, Field(gt=0, lt=1)], ...]
    interval: Annotated[float, Field(gt=0, lt=1)]

    def __post_init__(self) -> None:
        if not len(self.columns) == len(self.mean) == len(self.deviation):
            raise ValueError("columns, mean and deviation differ in number")
        if len(set(self.columns)) < len(self.columns):
            raise ValueError("columns: a column occurs twice")
        if self.loss == "quantile" and (
            list(self.quantiles) != sorted(set(self.quantiles)) or len(self.quantiles) < 2
        ):
            raise ValueError("quantiles: they do not rise")


class Numbers(Target):
    """Each row has D numbers. Truth is (N, D) float64, as the user wrote it.

    The network's outputs are in standard deviations of the training's values. For each column they are one
    number, its mean and the logarithm of its variance (gaussian), or quantiles. Quantiles that cross are
    sorted, which never makes them worse (Chernozhukov, Fernandez-Val and Galichon 2010).

    Args:
        facts: of target.json.
        margins: (D,), how far the interval of a single number reaches to either side; None where that is
            not known.
    """

    kind = "number"
    port = "values"
    picture = "scatter"

    def __init__(self, facts: NumberFacts, margins: Sequence[float] | None = None) -> None:
        self.names = facts.columns
        self._facts = facts
        self._mean, self._deviation = np.array(facts.mean), np.array(facts.deviation)
        self.margins = None if margins is None else np.array(margins)
        self._outputs_each = {"gaussian": 2, "quantile": len(facts.quantiles)}.get(facts.loss, 1)

    @classmethod
    def of(
        cls,
        columns: Sequence[str],
        truth: NDArray[np.floating],
        loss: NumberLoss = "squared",
        quantiles: Sequence[float] = (),
        interval: float = 0.9,
    ) -> Self:
        """With the statistics of the truth (N, D) of the training examples."""
        mean, deviation = statistics([truth])
        kept = tuple(quantiles) if loss == "quantile" else ()
        share = kept[-1] - kept[0] if kept else interval
        return cls(
            NumberFacts(
                tuple(columns), tuple(mean.tolist()), tuple(deviation.tolist()), loss, kept, round(share, 6)
            )
        )

    @property
    def loss_unit(self) -> str:
        return "nats" if self._facts.loss == "gaussian" else "standardised units"

    @property
    def width(self) -> int:
        return len(self.names) * self._outputs_each

    @property
    def output_names(self) -> list[str]:
        return [f"{name}{what}" for name in self.names for what in self._what]

    @property
    def _what(self) -> list[str]:
        if self._facts.loss == "gaussian":
            return ["", " (log variance)"]
        return [f" (quantile {one:g})" for one in self._facts.quantiles] or [""]

    @property
    def counted(self) -> str:
        return f"{len(self.names):,} numbers" if len(self.names) > 1 else "a number each"

    @property
    def meaning(self) -> str:
        each = {
            "gaussian": "its mean and the logarithm of its variance",
            "quantile": "its quantiles " + ", ".join(f"{one:g}" for one in self._facts.quantiles),
        }.get(self._facts.loss, "its value")
        return f"of each column {each}, in standard deviations of the training's values from their mean"

    # ---- truth

    def encode(self, cells: Sequence[Any]) -> NDArray[np.float64]:
        return np.array(cells, dtype=np.float64).reshape(len(cells), len(self.names))

    def check(self, truth: NDArray[Any], name: str) -> None:
        wrong = truth.dtype.kind != "f" or truth.shape[1:] != (len(self.names),)
        if wrong or not np.isfinite(truth).all():
            raise RunError(
                f"{name} does not belong to this run, or is damaged: expected {len(self.names)} finite "
                f"numbers each"
            )

    # ---- learning

    def for_loss(self, truth: NDArray[Any]) -> NDArray[np.float32]:
        with np.errstate(over="ignore"):
            scaled = ((truth - self._mean) / self._deviation).astype(np.float32)
        if np.isinf(scaled).any():
            raise DataError(
                "a number to learn is too large: 32 bits do not hold it in standard deviations from the mean"
            )
        return scaled

    def weights(self, truth: NDArray[Any]) -> NDArray[np.float32]:
        raise OptionError("--class-weights balanced is for labels: numbers have no classes")

    def losses(self, outputs: Tensor, truth: Tensor, weights: Tensor | None = None) -> Tensor:
        """The loss of each row: the mean over its columns, in standardised units."""
        from torch.nn import functional as F

        outputs = outputs.float().unflatten(-1, (len(self.names), self._outputs_each))
        first = outputs[..., 0]
        kind = self._facts.loss
        if kind == "squared":
            found = (truth - first).square()
        elif kind == "absolute":
            found = (truth - first).abs()
        elif kind == "huber":
            found = F.huber_loss(first, truth, reduction="none", delta=_HUBER)
        elif kind == "gaussian":
            log_variance = outputs[..., 1].clamp(_LEAST_LOG_VARIANCE, _MOST_LOG_VARIANCE)
            square = (truth - first).square()
            found = 0.5 * (log_variance + square * (-log_variance).exp() + np.log(2 * np.pi))
        else:
            levels = outputs.new_tensor(self._facts.quantiles)
            above = truth.unsqueeze(-1) - outputs
            found = (levels * above).maximum((levels - 1) * above).mean(-1)
        return found.mean(-1)

    def losses_of(
        self, outputs: NDArray[np.floating], truth: NDArray[Any], weights: NDArray[np.float32] | None = None
    ) -> NDArray[np.float64]:
        outputs = self._split(outputs)
        truth = (truth - self._mean) / self._deviation
        difference, kind = truth - outputs[..., 0], self._facts.loss
        if kind == "squared":
            found = difference**2
        elif kind == "absolute":
            found = np.abs(difference)
        elif kind == "huber":
            size = np.abs(difference)
            found = np.where(size <= _HUBER, 0.5 * size**2, _HUBER * (size - 0.5 * _HUBER))
        elif kind == "gaussian":
            log_variance = _within(outputs[..., 1])
            found = 0.5 * (log_variance + difference**2 * np.exp(-log_variance) + np.log(2 * np.pi))
        else:
            levels, above = np.array(self._facts.quantiles), truth[..., None] - np.sort(outputs, -1)
            found = np.maximum(levels * above, (levels - 1) * above).mean(-1)
        return found.mean(-1)

    def together(self, each: Tensor) -> Tensor:
        """The mean of the members' values or quantiles; of gaussians the mean and variance of their mixture.

        Source: Lakshminarayanan et al. 2017, section 2.4.
        """
        if self._facts.loss != "gaussian":
            return each.mean(0)
        import torch

        parts = each.unflatten(-1, (len(self.names), 2))
        means = parts[..., 0]
        variances = parts[..., 1].clamp(_LEAST_LOG_VARIANCE, _MOST_LOG_VARIANCE).exp()
        mean = means.mean(0)
        variance = (variances + (means - mean).square()).mean(0)
        return torch.stack([mean, variance.log()], -1).flatten(-2)

    # ---- saying

    def decide(self, outputs: NDArray[np.floating]) -> NDArray[np.float64]:
        """(N, D, P) in the user's units: a value; a mean and a standard deviation; or quantiles that rise."""
        split = self._split(outputs)
        mean, deviation = self._mean[:, None], self._deviation[:, None]
        if self._facts.loss == "gaussian":
            spread = np.exp(0.5 * _within(split[..., 1])) * self._deviation
            return np.stack([split[..., 0] * self._deviation + self._mean, spread], -1)
        return np.sort(split, -1) * deviation + mean

    def intervals(self, decided: NDArray[np.float64]) -> NDArray[np.float64]:
        """(N, D, 3): value, low and high, of what `decide` gave; NaN where an interval is not known."""
        if self._facts.loss == "gaussian":
            value = decided[..., 0]
            margin = decided[..., 1] * NormalDist().inv_cdf((1 + self._facts.interval) / 2)
        elif self._facts.loss == "quantile":
            levels = np.array(self._facts.quantiles)
            value = decided[..., int(np.abs(levels - 0.5).argmin())]
            return np.stack([value, decided[..., 0], decided[..., -1]], -1)
        else:
            value = decided[..., 0]
            margin = np.full(len(self.names), np.nan) if self.margins is None else self.margins
        return np.stack([value, value - margin, value + margin], -1)

    @property
    def kinds(self) -> dict[str, Any]:
        if len(self.names) == 1:
            return {"value": float, "low": float, "high": float}
        return {key: float for name in self.names for key in (name, f"{name} low", f"{name} high")}

    def checked(self, outputs: NDArray[Any], name: str) -> NDArray[Any]:
        return check_finite(outputs, name)

    def say(self, outputs: NDArray[np.floating]) -> dict[str, Any]:
        rows = self.intervals(self.decide(self.checked(outputs, "it")[None]))[0]
        found: dict[str, Any] = {}
        for name, row in zip(self.names, rows.tolist(), strict=True):
            keys = ("value", "low", "high") if len(self.names) == 1 else (name, f"{name} low", f"{name} high")
            found |= {key: number for key, number in zip(keys, row, strict=True) if number == number}
        return found

    def truth_of(self, cell: Any) -> Any:
        return float(cell[0]) if len(self.names) == 1 else [float(one) for one in cell]

    # ---- measuring

    def scores(self) -> NumberScores:
        return NumberScores(self.names, self._mean, self._facts.loss, self._facts.quantiles, self.intervals)

    def describe(self, metrics: dict[str, float]) -> str:
        error = (
            f", MAE {metrics['val_mae']:.4g}, RMSE {metrics['val_rmse']:.4g}" if "val_mae" in metrics else ""
        )
        return f"loss {metrics['val_loss']:.4f}{error}, R2 {metrics['val_r2']:.4f}"

    def draw(self, path: Path, truth: NDArray[Any], outputs: NDArray[np.floating]) -> Path:
        decided = self.decide(outputs)
        scores = self.scores()
        scores.add(truth, decided)
        return write_scatter(path, scores, self.names, truth, self.intervals(decided))

    def calibrate(self, folder: Path, truth: NDArray[Any], outputs: NDArray[np.floating]) -> None:
        if self._outputs_each > 1:
            return  # the outputs say themselves how wide their interval is
        margins = margins_of(truth - self.decide(outputs)[..., 0], self._facts.interval)
        Calibration(margins=tuple(margins)).save(folder)
        self.margins = np.array(margins)

    # ---- in the run folder

    def save(self, folder: Path) -> None:
        """Write target.json."""
        write_atomically(
            folder / TARGET, json.dumps(asdict(self._facts), ensure_ascii=False, indent=1).encode()
        )

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read target.json and calibration.json.

        Raises:
            RunError: one is missing or damaged.
        """
        facts = read_json(folder / TARGET, NumberFacts)
        return cls(facts, Calibration.load(folder, len(facts.columns)).margins)

    def facts(self) -> dict[str, Any]:
        known = {key: value for key, value in asdict(self._facts).items() if value not in ((), None)}
        return {"numbers": known if self.margins is None else {**known, "margins": self.margins.tolist()}}

    def _split(self, outputs: NDArray[np.floating]) -> NDArray[np.float64]:
        return outputs.astype(np.float64).reshape(*outputs.shape[:-1], len(self.names), self._outputs_each)


def _within(log_variance: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.clip(log_variance, _LEAST_LOG_VARIANCE, _MOST_LOG_VARIANCE)
