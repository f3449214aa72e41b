"""Numbers over time: what a forecaster learns from, wide or long."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from itertools import islice

from throughtime.data.file_names import FILE_COLUMN
from throughtime.data.tables import resolve_column, several_columns
from throughtime.errors import DataError
from throughtime.recognition.advice import columns_named, describe_columns, flag
from throughtime.recognition.match import Match
from throughtime.recognition.survey import Survey, TableSurvey
from throughtime.recognition.wanted import Wanted
from throughtime.tasks.forecaster.written_times import day_first_of

# Of a column that may hold whole texts: fewer words on average are names and categories.
_WORDS_OF_A_TEXT = 3
_TASK = "forecaster"
# What people call the column that tells series from each other, and that of their values, best first.
_SERIES_NAMES = (
    "unique_id",
    "series",
    "series_id",
    "item_id",
    "store",
    "id",
    "sensor",
    "name",
    "symbol",
    "ticker",
)
# Libraries and data sets that follow Nixtla's call them so.
_NIXTLA = ("unique_id", "ds", "y")
_SELDOM = 20  # Of so many times one may come twice by mistake; where more do, there are several series.
_MOST_DIFFERENT = 10_000  # Of more, a survey does not keep which came twice.
_DAY_OR_MONTH = re.compile(r"\d{1,2}[-/]\d{1,2}[-/]\d")
_CLOCK = re.compile(r"\d{1,2}:\d{2}(:\d{2}(\.\d+)?)?")
_VALUE_NAMES = ("y", "value", "target", "sales", "demand", "count", "quantity")


def series(survey: Survey, wanted: Wanted) -> Match | None:
    """Numbers over time, and no label."""
    table = survey.table
    if table is None or FILE_COLUMN in table.columns:
        return None
    meant = wanted.task == _TASK
    if not meant and (wanted.label(table) is not None or wanted.texts(table)):
        return None
    time = _time(table, wanted)
    texts = [name for name in table.of_kind("text") if table.columns[name].mean_words > _WORDS_OF_A_TEXT]
    if time is None:
        return None if not meant else Match(
            f"no column says when; {describe_columns(table)}",
            advice="name the column of times (--time-column), or add one: rows may be numbered 1, 2, 3...",
        )  # fmt: skip
    if texts and not meant:
        return None
    numbers = [name for name in table.of_kind("number") if name != time]
    if not numbers:
        if not meant:
            return None
        return Match(
            f"`{time}` is a time, and no column holds numbers; {describe_columns(table)}",
            advice="a forecaster needs a column of numbers",
        )
    used = _used(table, wanted)
    are = "is a number" if len(numbers) == 1 else "are numbers"
    why = f"`{time}` is a time, and {columns_named(numbers)} {are}"
    day_first = day_first_of(table.columns[time].values) if wanted.day_first is None else wanted.day_first
    if day_first is None:
        example = next(iter(table.columns[time].values))
        return Match(
            f"{why}; {example} may begin with the day or with the month",
            advice="say which: --day-first or --no-day-first",
        )
    found = _wide_or_long(table, wanted, time, numbers, used, why)
    # Only where it matters, so that it does not stand in the options of every other run.
    matters = any(_DAY_OR_MONTH.match(one) for one in islice(table.columns[time].values, 100))
    return replace(found, options={**found.options, "day_first": day_first}) if matters else found


def _wide_or_long(
    table: TableSurvey, wanted: Wanted, time: str, numbers: Sequence[str], used: Sequence[str], why: str
) -> Match:
    unsaid = wanted.series_column is None and wanted.value_column is None and wanted.columns is None
    if unsaid and set(_NIXTLA) <= set(table.columns):
        wanted = replace(wanted, series_column=_NIXTLA[0], value_column=_NIXTLA[2])
    if wanted.series_column is not None or wanted.value_column is not None:
        return _long(table, wanted, time, numbers, used, why)
    times = table.columns[time]
    repeated = times.filled - times.different
    if wanted.every is not None:
        repeated = 0  # the rows of a step are joined
    if repeated and repeated * _SELDOM <= times.filled:
        twice = next(one for one, count in times.values.items() if count > 1)
        return Match(
            f"{why}; {repeated:,} of {times.filled:,} times {'is' if repeated == 1 else 'are'} there "
            f"already, such as {twice}",
            advice="keep one row for each time, or join those of each step: --every hour (when a clock is "
            "put back, an hour comes twice: write times with their zone)",
        )
    if repeated and times.different < _MOST_DIFFERENT:
        return Match(
            f"{why}; the same times occur again and again",
            advice=f"{_long_advice(table, time, numbers, used)}; or join the rows of each step: --every day",
        )
    if wanted.columns is not None:
        targets = [
            _existing(table, one, "--columns") for one in several_columns(list(table.columns), wanted.columns)
        ]
        targets = [name for name in targets if name != time]
    else:
        targets = [name for name in numbers if name not in used]
    if not targets:
        return Match(why, advice="every number has another use: name those to forecast (--columns)")
    named = next((name for name in targets if "," in name), None)
    if named is not None and len(targets) > 1:
        return Match(
            f"{why}; the name of `{named}` has a comma", advice="rename it, or forecast it alone (--columns)"
        )
    return Match(
        why,
        f"forecasting {columns_named(targets)}{_aside(table, [time, *targets, *used])}",
        options={"time_column": time, "columns": ",".join(targets)},
    )


def _long(
    table: TableSurvey, wanted: Wanted, time: str, numbers: Sequence[str], used: Sequence[str], why: str
) -> Match:
    """Series below each other."""
    if wanted.series_column is None or wanted.value_column is None:
        lacks = "--series-column" if wanted.series_column is None else "--value-column"
        return Match(why, advice=f"{lacks} is missing: {_long_advice(table, time, numbers, used)}")
    owner = _existing(table, wanted.series_column, "--series-column")
    value = _existing(table, wanted.value_column, "--value-column")
    count = table.columns[owner].different
    return Match(
        why,
        f"forecasting `{value}` of {count:,}{'' if table.complete else ' or more'} series, named in `{owner}`"
        f"{_aside(table, [time, owner, value, *used])}",
        options={"time_column": time, "series_column": owner, "value_column": value},
    )


def _aside(table: TableSurvey, read: Sequence[str]) -> str:
    known = set(read)
    others = [name for name in table.columns if name not in known]
    if not others:
        return ""
    return (
        f" ({columns_named(others)} {'is' if len(others) == 1 else 'are'} not read; --known-future and "
        f"--past-columns name what helps)"
    )


def _long_advice(table: TableSurvey, time: str, numbers: Sequence[str], used: Sequence[str]) -> str:
    rest = [name for name in table.columns if name != time and name not in used]
    clock = next((name for name in table.of_kind("time") if name in rest), None)
    if clock is not None and all(_CLOCK.fullmatch(one) for one in islice(table.columns[clock].values, 100)):
        return f"write the day of `{time}` and the clock of `{clock}` into one column, as 2024-02-28 13:00"
    texts = [name for name in table.of_kind("text") if name in rest]
    named = [name for name in rest if name.strip().lower() in _SERIES_NAMES]
    owner = next(iter([*named, *texts]), None)
    free = [name for name in numbers if name in rest and name != owner]
    if owner is None or not free:
        return (
            "where series lie below each other, name their column and that of the values: --series-column, "
            "--value-column"
        )
    value = next((name for name in free if name.strip().lower() in _VALUE_NAMES), free[0])
    return (
        f"where series lie below each other, use {flag('series-column', owner)} {flag('value-column', value)}"
    )


def _time(table: TableSurvey, wanted: Wanted) -> str | None:
    if wanted.time_column is not None:
        return _existing(table, wanted.time_column, "--time-column")
    return next((name for name, column in table.columns.items() if column.is_time), None)


def _used(table: TableSurvey, wanted: Wanted) -> list[str]:
    """The columns that other options name."""
    found: list[str] = []
    for option in ("known_future", "past_columns", "static_columns"):
        given = getattr(wanted, option)
        if given is not None:
            flag_name = f"--{option.replace('_', '-')}"
            found += [_existing(table, one, flag_name) for one in several_columns(list(table.columns), given)]
    return found


def _existing(table: TableSurvey, named: str, flag_name: str) -> str:
    found = resolve_column(list(table.columns), named)
    if found is None:
        raise DataError(f"{table.path} has no column {named!r:.60} ({flag_name}); {describe_columns(table)}")
    return found
