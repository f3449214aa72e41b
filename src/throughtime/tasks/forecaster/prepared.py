"""What the preparation of a forecaster leaves in the run folder, and how it is read again."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from throughtime.data.npy import map_npy
from throughtime.data.sequences import Sequences, write_sequences
from throughtime.data.tables import TableFormat
from throughtime.errors import DataError, RunError
from throughtime.facts import read_json
from throughtime.files import write_atomically
from throughtime.tasks.forecaster.baselines import Linear
from throughtime.tasks.forecaster.options import ForecasterConfig, SeriesData
from throughtime.tasks.forecaster.scaling import Scaling
from throughtime.tasks.forecaster.series import Roles, Series, SeriesTable, read_series
from throughtime.tasks.forecaster.steps import Steps
from throughtime.tasks.forecaster.times import FURTHEST, Frequency
from throughtime.tasks.forecaster.windows import Shape

SERIES = "series.json"
LINEAR = "linear.npy"


@dataclass(frozen=True)
class SeriesFile:
    """series.json: what predicting needs besides the weights.

    Args:
        roles: of the columns.
        frequency: the grid.
        scaling: means, deviations, names.
        training: how many rows of each series are of the training part.
    """

    roles: Roles
    frequency: Frequency
    scaling: Scaling
    training: list[Annotated[int, Field(ge=0)]]

    def save(self, path: Path) -> None:
        """Write it."""
        write_atomically(path, json.dumps(asdict(self), ensure_ascii=False, indent=1).encode())

    @classmethod
    def load(cls, path: Path, config: ForecasterConfig) -> SeriesFile:
        """Read it.

        Raises:
            RunError: it is missing or damaged, or says something else than config.toml.
        """
        found = read_json(path, cls)
        scaling, roles = found.scaling, found.roles
        sizes = (len(scaling.means), len(scaling.deviations))
        counts = (scaling.known, scaling.past)
        widths = roles.width(roles.known), roles.width(roles.past)
        if sizes != (sum(widths),) * 2 or counts != widths:
            raise RunError(f"{path} is damaged: its columns and their means do not fit")
        static = (scaling.static_names, scaling.static_means, scaling.static_deviations)
        if any(len(one) != len(roles.static) for one in static):
            raise RunError(f"{path} is damaged: its static columns do not fit")
        if not scaling.series or len(found.training) != len(scaling.series):
            raise RunError(f"{path} is damaged: its series do not fit")
        if not (config.data.lookback and config.data.horizon and config.data.season and config.model.segment):
            raise RunError(
                f"{path.parent / 'config.toml'} is damaged: lookback, horizon and season have to be set"
            )
        return found

    def shape(self, config: ForecasterConfig) -> Shape:
        """The sizes of a window."""
        return Shape(
            config.data.lookback,
            config.data.horizon,
            self.scaling.feature_size(self.frequency),
            self.scaling.future_size(self.frequency),
            self.scaling.static_size,
        )


@dataclass(frozen=True)
class Prepared:
    """The series that `prepare` left.

    Args:
        training: all rows of the training table.
        validation: of a validation table, if there is one.
    """

    training: list[Series]
    validation: list[Series] | None

    @classmethod
    def open(cls, folder: Path, known: SeriesFile, config: ForecasterConfig) -> Prepared:
        """Map them.

        Raises:
            RunError: a file is missing or damaged.
        """
        training = _read_part(folder, "training", known)
        if len(training) != len(known.training) or any(
            kept > len(one) for kept, one in zip(known.training, training, strict=True)
        ):
            raise RunError(f"{folder} is damaged: its series are not those of {SERIES}")
        has_own = config.data.validation is not None
        return cls(training, _read_part(folder, "validation", known) if has_own else None)


def write_part(folder: Path, part: str, table: SeriesTable) -> None:
    """Write series: a .npy file of all their rows, values first, and a JSON file of what they are."""
    rows = (np.concatenate([one.values[:, None], one.covariates], 1) for one in table.series)
    write_sequences(folder / f"{part}.npy", rows, np.float64)
    facts = [_PartFacts(one.name, one.first, one.static) for one in table.series]
    text = json.dumps([asdict(one) for one in facts], ensure_ascii=False)
    write_atomically(folder / f"{part}.json", text.encode())


@dataclass(frozen=True)
class _PartFacts:
    name: str
    first: Annotated[int, Field(ge=-FURTHEST, le=FURTHEST)]
    static: list[float | str]


def _read_part(folder: Path, part: str, known: SeriesFile) -> list[Series]:
    rows = Sequences.open(folder / f"{part}.npy")
    rows.expect_steps((1 + known.roles.width(known.roles.covariates),), np.float64)
    facts = read_json(folder / f"{part}.json", list[_PartFacts])
    if len(facts) != len(rows) or any(len(one.static) != len(known.roles.static) for one in facts):
        raise RunError(f"{folder / part}.json is damaged: its series do not fit")
    return [
        Series(one.name, one.first, rows[number][:, 0], rows[number][:, 1:], one.static)
        for number, one in enumerate(facts)
    ]


def training_lengths(table: SeriesTable, config: ForecasterConfig, has_validation: bool) -> list[int]:
    """How many rows of each series are trained on: all, or those before the last share of time.

    The cut is at one moment for all series, so that nothing of the training is later than the validation.
    """
    fraction, horizon = config.data.validation_fraction, config.data.horizon
    if has_validation or not fraction:
        return [len(one) for one in table.series]
    first = min(one.first for one in table.series)
    end = max(one.first + len(one) for one in table.series)
    held_out = max(round((end - first) * fraction), horizon)
    if end - first - held_out < config.data.lookback + horizon:
        held_out = 0
    cut = end - held_out
    return [min(max(cut - one.first, 0), len(one)) for one in table.series]


def expect_counts(table: SeriesTable) -> None:
    """Raise DataError where a target is no count (the message names the series)."""
    for one in table.series:
        there = one.values[~np.isnan(one.values)]
        wrong = there[(there < 0) | (there != np.round(there))]
        if len(wrong):
            raise DataError(
                f"{table.path}: series {one.name!r:.60} holds {wrong[0]:g}, and --distribution "
                f"negative-binomial is for counts, whole numbers from 0 on"
            )


def write_linear(folder: Path, linear: Linear) -> None:
    """Keep the linear baseline."""
    from io import BytesIO

    content = BytesIO()
    np.save(content, linear.weights)
    write_atomically(folder / LINEAR, content.getvalue())


def read_linear(folder: Path, config: ForecasterConfig) -> Linear:
    """The linear baseline of a run.

    Raises:
        RunError: it is missing or damaged.
    """
    weights = np.array(map_linear(folder, config))
    if not np.isfinite(weights).all():
        raise RunError(f"{folder / LINEAR} is damaged: a weight is not finite")
    return Linear(weights)


def map_linear(folder: Path, config: ForecasterConfig) -> NDArray[np.float32]:
    """Its weights, mapped into memory, whose sizes are those of the options.

    Raises:
        RunError: as of `read_linear`.
    """
    path = folder / LINEAR
    try:
        weights = map_npy(path)
    except FileNotFoundError:
        raise RunError(f"{path} is missing: the run folder is incomplete") from None
    except DataError as error:
        raise RunError(str(error)) from None
    if weights.shape != (config.data.lookback + 1, config.data.horizon) or weights.dtype != np.float32:
        raise RunError(
            f"{path} is damaged, or of another run than config.toml: it has shape {weights.shape}, for a "
            f"lookback of {config.data.lookback:,} and a horizon of {config.data.horizon:,}"
        )
    return weights


def joined(before: SeriesTable, table: SeriesTable) -> tuple[list[Series], list[tuple[int, int]]]:
    """The series of a table with the rows of another one before them, and which rows are the table's own.

    Raises:
        DataError: a series is missing in the other table, or its rows do not go on where those end.
    """
    found, ranges = [], []
    others = {one.name: one for one in before.series}
    for one in table.series:
        other = others.get(one.name)
        if other is None:
            raise DataError(f"{before.path} has no series {one.name!r:.60}, which {table.path} has")
        rows = one.first - other.first
        if not 0 < rows <= len(other):
            raise DataError(
                f"{table.path}: series {one.name!r:.60} has to go on where {before.path} ends: there are "
                f"{'rows missing between them' if rows > 0 else 'no rows before it'}"
            )
        found.append(
            replace(
                one,
                first=other.first,
                values=np.concatenate([other.values[:rows], one.values]),
                covariates=np.concatenate([other.covariates[:rows], one.covariates]),
            )
        )
        ranges.append((rows, rows + len(one)))
    return found, ranges


def read_future(path: str | Path, known: SeriesFile, data: SeriesData) -> SeriesTable:
    """A table with the columns that are known ahead, of the steps to come.

    Raises:
        DataError: it cannot be used, or the model knows no such columns.
    """
    if not known.roles.known:
        raise DataError(f"{path}: this model has no columns that are known ahead: leave out --future")
    roles = replace(known.roles, targets=[], past=[], static=[])
    return read_series(path, roles, TableFormat.of(data), known.frequency, Steps.of(data))


def with_future(
    one: Series, last: int, horizon: int, ahead: SeriesTable | None, known: SeriesFile, path: str
) -> Series:
    """A series cut behind its last value, its covariates going on over the horizon.

    Raises:
        DataError: what is known ahead is not given for every step to come (the message says where).
    """
    owners = known.roles.owners(known.roles.known)
    count = len(owners)
    covariates = np.full((last + horizon, one.covariates.shape[1]), np.nan)
    covariates[: min(len(one), last + horizon)] = one.covariates[: last + horizon]
    covariates[last:, count:] = np.nan  # what is known only up to now
    if count and ahead is not None:
        other = next((a for a in ahead.series if known.roles.series is None or a.name == one.name), None)
        if other is None:
            raise DataError(f"{ahead.path} has no series {one.name!r:.60}, which {path} has")
        places = one.first + np.arange(last, last + horizon) - other.first
        inside = (places >= 0) & (places < len(other))
        covariates[last + np.flatnonzero(inside), :count] = other.covariates[places[inside]]
    missing: NDArray[np.bool_] = np.isnan(covariates[last:, :count])
    if missing.any():
        step, column = map(int, np.argwhere(missing)[0])
        raise DataError(
            f"{path}: {owners[column]!r:.60} of {known.frequency.write(one.first + last + step)} "
            f"is not given, and a forecast of series {one.name!r:.60} needs it: add rows with empty targets "
            f"for the {horizon} steps to come, or name a table of them (--future)"
        )
    return replace(one, values=one.values[:last], covariates=covariates)
