"""Means and deviations of the training part, and what a series is, as numbers that the network reads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, FiniteFloat

from throughtime.data.lines import shown
from throughtime.data.numbers import LARGEST, as_float32
from throughtime.errors import DataError
from throughtime.tasks.forecaster.series import Roles, Series
from throughtime.tasks.forecaster.times import Frequency

# Of a series that never changes: its deviation is 0.
_LEAST_DEVIATION = 1e-8
# Different names that a static column may have; each is an input of the network.
_MOST_NAMES = 1000
# What the networks' 32 bits hold.
_Number = Annotated[FiniteFloat, Field(ge=-LARGEST, le=LARGEST)]
_Deviation = Annotated[FiniteFloat, Field(ge=_LEAST_DEVIATION, le=LARGEST)]


@dataclass(frozen=True)
class SeriesFacts:
    """What is known of one training series.

    Args:
        name: of it.
        shift, scale: value = shift + scale * scaled.
        naive_error: mean absolute error of the seasonal naive forecast within the training part, which is
            the unit of MASE; 0 where that is unknown.
    """

    name: str
    shift: _Number
    scale: _Deviation
    # Of values at both ends of 32 bits it is beyond them.
    naive_error: Annotated[FiniteFloat, Field(ge=0)]


@dataclass(frozen=True)
class Scaling:
    """How values, features and descriptions of series become numbers of about 1.

    Args:
        series: the training series, in order.
        counts: values are counts: only divided, so that 0 stays 0.
        calendar: whether the calendar is read.
        joint: whether every series reads the others.
        identity: whether the network is told which series it reads.
        known, past: how many numbers of a step are known ahead beside its calendar, and how many are not.
        means, deviations: of these numbers; 0 and 1 where they stand for a name.
        static: for each static column the names in it, or an empty list where it holds numbers.
        static_means, static_deviations: of each static column; unused where it holds names.
    """

    series: list[SeriesFacts]
    counts: bool = False
    calendar: bool = True
    joint: bool = False
    identity: bool = False
    known: int = 0
    past: int = 0
    means: list[_Number] = field(default_factory=list)
    deviations: list[_Deviation] = field(default_factory=list)
    static_names: list[list[str]] = field(default_factory=list)
    static_means: list[_Number] = field(default_factory=list)
    static_deviations: list[_Deviation] = field(default_factory=list)

    def future_size(self, frequency: Frequency) -> int:
        """G: numbers of a step that are known ahead."""
        return self.known + (2 * len(frequency.calendar_names()) if self.calendar else 0)

    def feature_size(self, frequency: Frequency) -> int:
        """P: numbers of a step that is read, beside its value."""
        return self.future_size(frequency) + self.past + (len(self.series) if self.joint else 0)

    @property
    def static_size(self) -> int:
        """S: numbers of a series."""
        described = sum(max(len(names), 1) for names in self.static_names)
        return described + (len(self.series) if self.identity else 0)

    def facts_of(self, name: str) -> SeriesFacts | None:
        """What is known of a series; None where the training did not have it."""
        return self._by_name.get(name)

    @cached_property
    def _by_name(self) -> dict[str, SeriesFacts]:
        return {one.name: one for one in self.series}

    def of_series(self, one: Series) -> tuple[float, float]:
        """Shift and scale of a series; of one that the training did not have, from its own values."""
        known = self.facts_of(one.name)
        return (known.shift, known.scale) if known is not None else shift_and_scale(one.values, self.counts)

    def side_by_side(self, series: Sequence[Series]) -> NDArray[np.float32] | None:
        """The scaled values of all series of a wide table, (T, C), for each to read; None unless `joint`."""
        if not self.joint:
            return None
        scaled = []
        for one in series:
            shift, scale = self.of_series(one)
            scaled.append(standardised(one.values, shift, scale, one.name))
        return np.stack(scaled, 1)

    def features(
        self, one: Series, frequency: Frequency, horizon: int, others: NDArray[np.float32] | None
    ) -> NDArray[np.float32]:
        """The features (T + horizon, P) of a series' steps and of those behind it."""
        length = len(one) + horizon
        parts: list[NDArray[np.float32]] = []
        if self.calendar:
            parts.append(frequency.calendar(one.first + np.arange(length)))
        if one.covariates.shape[1]:
            # Behind the end, what is not given there is as it was last.
            known = np.full((length, one.covariates.shape[1]), np.nan)
            known[: len(one.covariates)] = one.covariates[:length]
            parts.append(standardised(known, np.array(self.means), np.array(self.deviations), one.name))
        if others is not None:
            parts.append(np.concatenate([others, np.zeros((horizon, others.shape[1]), np.float32)]))
        return np.concatenate(parts, 1) if parts else np.zeros((length, 0), np.float32)

    def static(self, one: Series) -> NDArray[np.float32]:
        """What a series is, (S,).

        Raises:
            DataError: it has a name or is a series that the training did not have.
        """
        found: list[float] = []
        for place, (names, value) in enumerate(zip(self.static_names, one.static, strict=True)):
            if not names:
                if isinstance(value, str):
                    raise DataError(
                        f"series {one.name!r:.60}: {value!r:.60} is no number, as it was in the training"
                    )
                found.append((value - self.static_means[place]) / self.static_deviations[place])
            elif str(value) not in names:
                raise DataError(
                    f"series {one.name!r:.60} is described by {str(value)!r:.60}, which no training series "
                    f"was: the model knows {', '.join(names[:10])}"
                )
            else:
                found += [float(str(value) == name) for name in names]
        if self.identity:
            if self.facts_of(one.name) is None:
                raise DataError(
                    f"series {one.name!r:.60} was not in the training, and the model was trained with "
                    f"--series-identity, which knows those only"
                )
            found += [float(known.name == one.name) for known in self.series]
        return as_float32(
            found,
            lambda place: f"series {shown(one.name)}, static column {place + 1}, in standard deviations",
        )


def shift_and_scale(values: NDArray[np.float64], counts: bool) -> tuple[float, float]:
    """Mean and deviation of what is there; of counts 0 and the mean."""
    there = values[~np.isnan(values)]
    if not len(there):
        return 0.0, 1.0
    if counts:
        return 0.0, max(float(there.mean()), _LEAST_DEVIATION) if there.mean() > 0 else 1.0
    deviation = float(there.std())
    return float(there.mean()), deviation if deviation > _LEAST_DEVIATION else 1.0


def measure(
    series: Sequence[Series],
    training: Sequence[int],
    roles: Roles,
    season: int,
    counts: bool,
    calendar: bool,
    joint: bool,
    identity: bool,
) -> Scaling:
    """The scaling of the training part.

    Args:
        series: the training series.
        training: how many of each one's rows belong to the training part.
        roles: of the table's columns.
        season: steps of a season, for MASE.
        counts, calendar, joint, identity: as in `Scaling`.
    """
    facts = []
    for one, length in zip(series, training, strict=True):
        # A series that begins after the cut has only its own validation rows to be scaled by.
        shift, scale = shift_and_scale(one.values[: length or len(one)], counts)
        facts.append(SeriesFacts(one.name, shift, scale, naive_error(one.values[:length], season)))
    rows = np.concatenate([one.covariates[:length] for one, length in zip(series, training, strict=True)])
    means, deviations = [], []
    for owner, column in zip(roles.owners(roles.covariates), rows.T, strict=True):
        # A rare name would be many deviations from its mean.
        mean, deviation = (0.0, 1.0) if owner in roles.names else shift_and_scale(column, False)
        means.append(mean)
        deviations.append(deviation)
    names: list[list[str]] = []
    static_means: list[float] = []
    static_deviations: list[float] = []
    for place, column in enumerate(roles.static):
        values = [one.static[place] for one in series]
        if all(isinstance(value, float) for value in values):
            mean, deviation = shift_and_scale(np.array(values, np.float64), False)
            names.append([])
        else:
            mean, deviation = 0.0, 1.0
            names.append(sorted({str(value) for value in values}))
            if len(names[-1]) > _MOST_NAMES:
                raise DataError(f"static column {column!r:.60} has {len(names[-1]):,} names: leave it out")
        static_means.append(mean)
        static_deviations.append(deviation)
    return Scaling(
        facts, counts, calendar, joint, identity, roles.width(roles.known), roles.width(roles.past), means,
        deviations, names, static_means, static_deviations,
    )  # fmt: skip


def naive_error(values: NDArray[np.float64], season: int) -> float:
    """Mean absolute error of "as a season ago" within a series; 0 where no two values are a season apart."""
    if len(values) <= season:
        return 0.0
    errors = np.abs(values[season:] - values[:-season])
    errors = errors[~np.isnan(errors)]
    error = float(errors.mean()) if len(errors) else 0.0
    # A series that repeats itself exactly would have a rounding for its unit.
    return error if error > 1e-9 * float(np.abs(np.nan_to_num(values)).max()) else 0.0


def forward_filled(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Values (T, ...) with every NaN replaced by the value before it, and by 0 where there is none before."""
    rows = np.arange(len(values)).reshape(-1, *[1] * (values.ndim - 1))
    last = np.maximum.accumulate(np.where(np.isnan(values), -1, rows), 0)
    filled = np.take_along_axis(values, np.maximum(last, 0), 0) if len(values) else values
    return np.where(last < 0, 0.0, filled)


def standardised(
    values: NDArray[np.float64],
    mean: float | NDArray[np.float64],
    deviation: float | NDArray[np.float64],
    name: str,
) -> NDArray[np.float32]:
    """Values (T, ...) in deviations from their mean, every NaN as the value before it.

    Args:
        name: of the series, for the error.
    Raises:
        DataError: one is too large for 32 bits.
    """
    with np.errstate(over="ignore"):
        scaled = forward_filled((values - mean) / deviation)
    return as_float32(scaled, lambda row, *_: f"series {shown(name)}, row {row + 1}, in standard deviations")
