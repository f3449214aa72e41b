"""Tables of numbers over time, wide or long: read into series on a regular grid, gaps marked."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from throughtime.data.joined import place_of
from throughtime.data.lines import shown
from throughtime.data.numbers import LARGEST, read_number, reads_as_number
from throughtime.data.tables import (
    BadRows,
    TableFormat,
    column_names,
    no_column,
    read_rows,
    resolve_column,
    several_columns,
)
from throughtime.errors import DataError
from throughtime.tasks.forecaster.steps import Steps
from throughtime.tasks.forecaster.times import Frequency, Moments, find_frequency
from throughtime.tasks.forecaster.written_times import Time, Unit, as_dates, join_time, read_time

# How other programs write that there is no value.
_NOTHING = ("", "na", "n/a", "#n/a", "nan", "null", "none", "?", ".", "-", "--")
# Names that a column beside the targets may have, each an input of the network; and how many numbers may
# stand among them, as where 0 says that a day is no holiday.
_MOST_NAMES = 100
_MOST_NUMBERS_AMONG_NAMES = 10
# Rows of a grid that may be made for each row that is there: a year mistyped would fill all memory.
_MOST_GAPS = 100


@dataclass(frozen=True)
class Roles:
    """What the columns of a table are for.

    Args:
        time: says when.
        targets: to forecast; of a long table the one column of values.
        series: of a long table, the names of the series; None for a wide one.
        known: known ahead.
        past: known up to now.
        static: the same in all rows of a series.
        names: of each known or past column that holds names, those that the training table has.
        time_rest: the columns where the rest of a time stands: a clock, or the month and the day of a year.
        series_rest: the columns that tell series apart together with `series`.
    """

    time: str
    targets: list[str]
    series: str | None = None
    known: list[str] = field(default_factory=list)
    past: list[str] = field(default_factory=list)
    static: list[str] = field(default_factory=list)
    names: dict[str, list[str]] = field(default_factory=dict, repr=False)
    time_rest: list[str] = field(default_factory=list, repr=False)
    series_rest: list[str] = field(default_factory=list, repr=False)

    @property
    def times(self) -> list[str]:
        """The columns that say when."""
        return [self.time, *self.time_rest]

    @property
    def keys(self) -> list[str]:
        """The columns that tell series apart; none of a wide table."""
        return [] if self.series is None else [self.series, *self.series_rest]

    def read_time(self, values: Mapping[str, Any], day_first: bool | None) -> Time:
        """When a row is.

        Raises:
            DataError: its cells are no time.
        """
        return read_time(join_time([values.get(column) for column in self.times]), day_first)

    @property
    def covariates(self) -> list[str]:
        """The columns beside the targets that change: first those that are known ahead."""
        return [*self.known, *self.past]

    def width(self, columns: Sequence[str]) -> int:
        """How many numbers some of these columns are: one each, or one for each name."""
        return len(self.owners(columns))

    def owners(self, columns: Sequence[str]) -> list[str]:
        """For each number that is read of these columns, its column."""
        return [column for column in columns for _ in self.names.get(column, ("",))]

    def read(self, column: str, value: Any) -> list[float]:
        """The numbers that a cell of a known or past column is.

        An empty cell is NaN among numbers, and none of the names among names.

        Raises:
            DataError: it is no number, or none of the names.
        """
        names = self.names.get(column)
        if names is None:
            return [_cell(value)]
        text = _text(value)
        if text and text not in names:
            raise DataError(
                f"{shown(value)} is a name that the training table does not have; it has "
                f"{', '.join(map(shown, names[:10]))}. Leave the cell empty where it is none of them"
            )
        return [float(text == name) for name in names]


@dataclass
class Series:
    """One series on the grid.

    Attributes:
        name: of its column, or in the series column.
        first: the place of its first row on the grid.
        values: (T,) float64; NaN where there is none.
        covariates: (T, F) float64, as in `Roles.covariates`; NaN where there is none.
        static: one value for each static column.
    """

    name: str
    first: int
    values: NDArray[np.float64]
    covariates: NDArray[np.float64]
    static: list[float | str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.values)


@dataclass
class SeriesTable:
    """All series of a table.

    Attributes:
        path: the file.
        frequency: the grid.
        series: each of them.
        empty: cells of targets without a value.
        added: rows that the grid has and the table does not.
        empty_covariates: cells of other columns without a value.
        newest_first: the table's rows are in the order from the last to the first.
        rows: those that are there, of all series.
        joined: what rows at any times became; "" where they were regular.
    """

    path: str
    frequency: Frequency
    series: list[Series]
    empty: int = 0
    added: int = 0
    empty_covariates: int = 0
    newest_first: bool = False
    rows: int = 0
    joined: str = ""

    def remarks(self) -> str:
        """What is missing, and in which order the rows were, in a line; "" where there is nothing to say."""
        missing: list[str] = []
        if self.empty:
            missing.append(f"{self.empty:,} empty cell{'s' * (self.empty > 1)}")
        if self.added:
            missing.append(
                f"{self.added:,} missing row{'s' * (self.added > 1)} of a step of {self.frequency.name}"
            )
        parts: list[str] = []
        if self.newest_first:
            parts.append("the newest row comes first: read from the last row to the first")
        if self.joined:
            parts.append(self.joined)
        if missing:
            parts.append(f"{' and '.join(missing)}: masked, neither learned from nor measured")
        if self.empty_covariates:
            parts.append(
                f"{self.empty_covariates:,} empty cells beside the targets take the value before them"
            )
        return f"{self.path}: {'; '.join(parts)}" if parts else ""


def find_roles(path: str | Path, form: TableFormat, **given: str | None) -> Roles:
    """The columns by name, from options that name them or number them.

    Args:
        path: the table.
        form: how it is written.
        **given: time_column, columns, series_column, value_column, known_future, past_columns,
            static_columns, as in `SeriesData`.
    Raises:
        DataError: a column does not exist, or has two uses (the message names it).
    """
    names = column_names(path, form)
    known = set(names)

    def several(option: str) -> list[str]:
        wanted = given.get(option)
        return (
            []
            if wanted is None
            else [
                part if part in known else _existing(path, names, part, option)
                for part in several_columns(names, wanted)
            ]
        )

    times, keys, value = several("time_column"), several("series_column"), given.get("value_column")
    if not times:
        raise DataError(f"{path}: name the column that says when: --time-column")
    targets = several("columns") if value is None else [_existing(path, names, value, "value_column")]
    if not targets:
        raise DataError(f"{path}: name the columns to forecast: --columns")
    roles = Roles(
        times[0],
        targets,
        keys[0] if keys else None,
        several("known_future"),
        several("past_columns"),
        several("static_columns"),
        time_rest=times[1:],
        series_rest=keys[1:],
    )
    used = [*roles.times, *roles.targets, *roles.covariates, *roles.static]
    used += [key for key in roles.keys if key not in roles.static]  # a kind of goods tells series apart, too
    twice = next((name for name, count in Counter(used).items() if count > 1), None)
    if twice is not None:
        raise DataError(f"{path}: column {shown(twice)} has two uses: name it in one option only")
    return roles


def with_names(path: str | Path, roles: Roles, form: TableFormat) -> Roles:
    """The roles, with the names that the known and past columns of a training table hold.

    A column holds names where a cell is no number, unless many different numbers stand beside it: that cell
    is a mistake then, of which `read_series` tells.

    Raises:
        DataError: the table cannot be read, or a column has too many names.
    """
    values: dict[str, set[str]] = {column: set() for column in roles.covariates}
    numbers: dict[str, set[str]] = {column: set() for column in roles.covariates}
    if not values:
        return roles
    for row in read_rows(path, BadRows(), form=form):
        for column, known in values.items():
            text = _text(row.values.get(column))
            if not text or text in known or len(numbers[column]) > _MOST_NUMBERS_AMONG_NAMES:
                continue
            if reads_as_number(text):
                numbers[column].add(text)
            known.add(text)
            if len(known) > _MOST_NAMES:
                raise DataError(
                    f"{place_of(path, row.line)}: column {shown(column)} has more than {_MOST_NAMES} names: "
                    f"leave it out, or write it as numbers"
                )
    return replace(
        roles,
        names={
            column: sorted(known)
            for column, known in values.items()
            if known != numbers[column] and len(numbers[column]) <= _MOST_NUMBERS_AMONG_NAMES
        },
    )


def _existing(path: str | Path, names: Sequence[str], wanted: str, option: str) -> str:
    found = resolve_column(names, wanted)
    if found is None:
        raise DataError(
            f"{path} has no column {shown(wanted)} (--{option.replace('_', '-')}); its columns are "
            f"{', '.join(names[:20])}"
        )
    return found


def read_series(
    path: str | Path,
    roles: Roles,
    form: TableFormat,
    frequency: Frequency | None = None,
    steps: Steps | None = None,
) -> SeriesTable:
    """Read a table of series.

    Args:
        path: .csv, .tsv, .jsonl or .parquet.
        roles: of its columns.
        form: how it is written.
        frequency: the grid; None finds it.
        steps: what rows at any times are brought to; None where they are regular.
    Raises:
        DataError: a column is missing; a time cannot be read, occurs twice, is out of order or off the grid;
            a cell is no number (the message names the line).
    """
    raw: dict[str, _Raw] = {}
    covariates, keys = roles.covariates, roles.keys
    needed = [*roles.times, *roles.targets, *covariates, *roles.static, *keys]
    names = column_names(path, form)
    missing = set(needed).difference(names)
    if missing:
        column = next(column for column in needed if column in missing)
        raise DataError(no_column(path, column, names))
    unit: Unit | None = None
    for row in read_rows(path, BadRows(), form=form):
        where = place_of(path, row.line)
        try:
            own, time, has_clock, has_zone = roles.read_time(row.values, form.day_first)
        except DataError as error:
            raise DataError(f"{where}: column {shown(','.join(roles.times))}: {error}") from None
        if unit is not None and own != unit:
            raise DataError(
                f"{where}: column {shown(','.join(roles.times))} holds a time unlike those above it"
            )
        unit = own
        name = _name([row.values.get(column) for column in keys], where, keys) if keys else ""
        one = raw.setdefault(name, _Raw())
        one.times.append(time)
        one.lines.append(row.line)
        one.has_clock |= has_clock
        one.has_zone |= has_zone
        column = ""
        try:
            numbers = [_cell(row.values.get(column := target)) for target in roles.targets]
            for column in covariates:
                numbers += roles.read(column, row.values.get(column))
        except DataError as error:
            raise DataError(f"{where}: column {shown(column)}: {error}") from None
        one.rows.append(numbers)
        if roles.static:
            one.take_static([row.values.get(column) for column in roles.static], where, roles.static, name)
    assert unit is not None
    if unit == "number" and (frequency is None or frequency.unit != "number"):
        dates = as_dates([time for one in raw.values() for time in one.times])
        if dates is not None:
            unit, following = dates[0].unit, iter(dates)
            for one in raw.values():
                one.times = [next(following).value for _ in one.times]
                one.has_clock, one.has_zone = dates[0].has_clock, dates[0].has_zone
    newest_first = all(one.falls() for one in raw.values())
    if newest_first:
        for one in raw.values():
            one.turn()
    moments = [
        Moments(unit, np.array(one.times), one.lines, one.has_clock, str(path), name, one.has_zone)
        for name, one in raw.items()
    ]
    if steps is None:
        for one in moments:
            one.check_order()
    if frequency is None:
        has_zone = any(one.has_zone for one in moments)
        frequency = find_frequency(moments) if steps is None else steps.frequency(unit, has_zone)
    table = SeriesTable(str(path), frequency, [], newest_first=newest_first)
    for (name, one), when in zip(raw.items(), moments, strict=True):
        _place(table, name, one, when, roles, steps)
    if steps is not None:
        rows, joined = sum(len(one.times) for one in raw.values()), table.rows
        table.joined = (
            f"{rows:,} rows joined into {joined:,} steps of {frequency.name} (--aggregate {steps.aggregate})"
        )
    return table


@dataclass
class _Raw:
    """The rows of one series as they are read."""

    times: list[float] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)
    rows: list[list[float]] = field(default_factory=list)
    static: list[float | str] | None = None
    has_clock: bool = False
    has_zone: bool = False

    def falls(self) -> bool:
        """Whether each row is before the one above it."""
        return len(self.times) > 1 and all(b < a for a, b in pairwise(self.times))

    def turn(self) -> None:
        """Put the last row first."""
        for rows in (self.times, self.lines, self.rows):
            rows.reverse()

    def take_static(self, values: list[Any], where: str, columns: list[str], name: str) -> None:
        """Keep what the series is, or hold a row against it."""
        found: list[float | str] = []
        for value, column in zip(values, columns, strict=True):
            if value is None or str(value).strip() == "":
                raise DataError(f"{where}: static column {shown(column)} is empty")
            try:
                found.append(read_number(value))
            except DataError:
                found.append(str(value).strip())
        if self.static is not None and self.static != found:
            column = next(c for c, a, b in zip(columns, self.static, found, strict=True) if a != b)
            raise DataError(
                f"{where}: static column {shown(column)} changes within the series {shown(name)}: name it in "
                f"--known-future or --past-columns"
            )
        self.static = found


def _name(values: Sequence[Any], where: str, columns: Sequence[str]) -> str:
    name = "/".join(filter(None, ("" if value is None else str(value).strip() for value in values)))
    if not name:
        raise DataError(f"{where}: the series column {shown(','.join(columns))} is empty")
    return name


def _cell(value: Any) -> float:
    """A number, or NaN where there is none."""
    if value != value or (not isinstance(value, (int, float)) and not _text(value)):
        return math.nan
    try:
        return read_number(value)
    except DataError as error:
        raise DataError(f"{error}; leave the cell empty where there is none") from None


def _text(value: Any) -> str:
    """What a cell says; "" where it says that there is nothing."""
    text = "" if value is None else str(value).strip()
    return "" if text.lower() in _NOTHING else text


def _place(
    table: SeriesTable, name: str, raw: _Raw, when: Moments, roles: Roles, steps: Steps | None
) -> None:
    """Put the rows of a table, or of one series of a long one, on the grid."""
    count, rows = len(roles.targets), np.array(raw.rows, np.float64)
    places = when.places(table.frequency, within=steps is not None)
    lines = np.array(when.lines)
    if steps is not None:
        order = np.argsort(when.times, kind="stable")
        lines = lines[order][np.unique(places[order], return_index=True)[1]]
        places, rows = steps.join(places[order], rows[order], count)
        too_large = np.flatnonzero(np.abs(np.nan_to_num(rows)).max(1, initial=0) > LARGEST)
        if len(too_large):
            where = place_of(when.path, int(lines[too_large[0]]))
            raise DataError(f"{where}: the sum of the step that begins here is too large for 32 bits")
    first, length = int(places[0]), int(places[-1] - places[0]) + 1
    if length > _MOST_GAPS * max(len(places), 10):
        row = int(np.argmax(np.diff(places))) + 1
        raise DataError(
            f"{place_of(when.path, int(lines[row]))}: {int(places[row] - places[row - 1]):,} steps of "
            f"{table.frequency.name} after the row before it: is the time right"
            f"{'?' if steps is None else ', and the step of --every not too short?'}"
        )
    grid = np.full((length, rows.shape[1]), np.nan)
    if steps is not None and steps.empty_is_zero:
        grid[:, :count] = 0.0
    else:
        table.added += length - len(places)
    grid[places - first] = rows
    table.rows += len(places)
    table.empty += int(np.isnan(rows[:, :count]).sum())
    table.empty_covariates += int(np.isnan(rows[:, count:]).sum())
    if not roles.targets:
        table.series.append(Series(name, first, np.full(length, np.nan), grid))
    for column, target in enumerate(roles.targets):
        values = grid[:, column]
        own = target if roles.series is None else name
        table.series.append(Series(own, first, values, grid[:, count:], raw.static or []))
