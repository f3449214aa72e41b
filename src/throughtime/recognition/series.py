"""Numbers over time: what a forecaster learns from, wide or long."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from itertools import islice, takewhile

from throughtime.data.file_names import FILE_COLUMN
from throughtime.data.tables import resolve_column, several_columns
from throughtime.errors import DataError
from throughtime.recognition.advice import columns_named, describe_columns, flag
from throughtime.recognition.columns import Column
from throughtime.recognition.match import Match
from throughtime.recognition.survey import Survey, TableSurvey
from throughtime.recognition.wanted import Wanted
from throughtime.tasks.forecaster.written_times import day_first_of

# Of a column that may hold whole texts: fewer words on average are names and categories.
_WORDS_OF_A_TEXT = 3
_TASK = "forecaster"
# Words in the names of columns that tell series from each other.
_SERIES_WORD = re.compile(
    "series|store|item|product|sku|shop|dept|department|family|category|sensor|station|device|meter|name|"
    "symbol|ticker|country|region|state|province|city|county|zone|location|site|id"
)
# These do so even where each time is there once, because what they name reports by turns.
_THING = re.compile(
    "series|store|sku|shop|sensor|station|device|meter|symbol|ticker|site|machine|user|customer|patient|subject|"
    "participant|id"
)
# What a step may be, where somebody has watched.
_SEEN = re.compile(r"(activity|gesture|posture|behaviou?r|class|phase|action|emotion)s?", re.IGNORECASE)
# Libraries and data sets that follow Nixtla's call them so.
_NIXTLA = ("unique_id", "ds", "y")
_SELDOM = 20  # Of so many times one may come twice by mistake; where more do, there are several series.
_FEWEST_ROWS = 4  # Of a thing that a column names, on average.
_MOST_DIFFERENT = 10_000  # Of more, a survey does not keep which came twice.
_DAY_OR_MONTH = re.compile(r"\d{1,2}[-/]\d{1,2}[-/]\d")
_CLOCK = re.compile(r"\d{1,2}[:.]\d{2}([:.]\d{2}(\.\d+)?)?")
# Names of the column of values, best first.
_TIME_WORD = re.compile(r"(^|[^a-z])(date|time|timestamp|datetime|month|period|quarter|week)([^a-z]|$)")
VALUE_NAMES = (
    "y", "value", "target", "sales", "demand", "count", "quantity", "amount", "revenue", "total", "price"
)  # fmt: skip
# Where a time stands in several columns: their names, in order.
_PARTS = (("year", "yr"), ("month", "mo", "mnth"), ("day", "dom"), ("hour", "hr", "h"), ("minute", "min"))


def series(survey: Survey, wanted: Wanted) -> Match | None:
    """Numbers over time, and no label."""
    table = survey.table
    if table is None or FILE_COLUMN in table.columns:
        return None
    meant = wanted.task == _TASK
    if not meant and (wanted.label(table) is not None or wanted.texts(table)):
        return None
    times = _times(table, wanted)
    time = times[0] if times else None
    texts = [name for name in table.of_kind("text") if table.columns[name].mean_words > _WORDS_OF_A_TEXT]
    parts = [] if time is not None else _parts(table)
    if parts and not texts:
        return Match(
            f"{columns_named(parts)} say when together",
            advice=f"to forecast, use {flag('time-column', *parts)}; to predict one of the columns from the "
            "others, name it (--label-column)",
        )
    unread = [] if time is not None or texts else _unread_times(table)
    if unread and table.of_kind("number"):
        example = next(iter(table.columns[unread[0]].values))
        return Match(
            f"`{unread[0]}` seems to say when, and {example!r:.40} is no time that is read",
            advice="to forecast, write times as 2024-02-28 13:00, or number the rows 1, 2, 3...; to predict "
            "a column from the others, name it (--label-column)",
        )
    if time is None:
        return None if not meant else Match(
            f"no column says when; {describe_columns(table)}",
            advice="name the column of times (--time-column), or add one: rows may be numbered 1, 2, 3...",
        )  # fmt: skip
    if texts and not meant:
        return None
    numbers = [name for name in table.of_kind("number") if name not in times]
    if not numbers:
        if not meant:
            return None
        return Match(
            f"`{time}` is a time, and no column holds numbers; {describe_columns(table)}",
            advice="a forecaster needs a column of numbers",
        )
    others = [] if not table.columns[time].kinds["time"] else table.columns[time].other_values
    if others:
        return Match(
            f"`{time}` is a time, and {' and '.join(map(repr, others))} "
            f"{'stands' if len(others) == 1 else 'stand'} among them",
            advice="take these lines out: a row has a time",
        )
    used = _used(table, wanted)
    are = "is a number" if len(numbers) == 1 else "are numbers"
    say = "is a time" if len(times) == 1 else "say when"
    why = f"{columns_named(times)} {say}, and {columns_named(numbers)} {are}"
    day_first = day_first_of(table.columns[time].values) if wanted.day_first is None else wanted.day_first
    if day_first is None:
        example = next(iter(table.columns[time].values))
        return Match(
            f"{why}; {example} may begin with the day or with the month",
            advice="say which: --day-first or --no-day-first",
        )
    found = _wide_or_long(table, wanted, times, numbers, used, why)
    # Only where it matters, so that it does not stand in the options of every other run.
    matters = any(_DAY_OR_MONTH.match(one) for one in islice(table.columns[time].values, 100))
    return replace(found, options={**found.options, "day_first": day_first}) if matters else found


def _wide_or_long(
    table: TableSurvey,
    wanted: Wanted,
    when: Sequence[str],
    numbers: Sequence[str],
    used: Sequence[str],
    why: str,
) -> Match:
    unsaid = wanted.series_column is None and wanted.value_column is None and wanted.columns is None
    if unsaid and set(_NIXTLA) <= set(table.columns):
        wanted = replace(wanted, series_column=_NIXTLA[0], value_column=_NIXTLA[2])
    if wanted.series_column is not None or wanted.value_column is not None:
        return _long(table, wanted, when, numbers, used, why)
    time, times = when[0], table.columns[when[0]]
    repeated = times.filled - times.different
    if wanted.every is not None or len(when) > 1:
        repeated = 0  # the rows of a step are joined; of a day in several columns, the clock tells
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
    asked = _seen(table, numbers, used, why) or _by_turns(table, when, numbers, used, why)
    if unsaid and asked is not None:
        return asked
    if wanted.columns is not None:
        targets = [name for name in _several(table, wanted.columns, "--columns") if name not in when]
    else:
        # A row's number, as pandas writes it, says nothing, and neither does a number that all rows have.
        targets = [name for name in numbers if name not in used]
        columns = table.columns.values()
        idle = {one.name for one in columns if one.counts_rows or one.counts_up}
        idle |= {one.name for one in columns if table.complete and one.different == 1}
        targets = [name for name in targets if name not in idle] or targets
    if not targets:
        return Match(why, advice="every number has another use: name those to forecast (--columns)")
    named = next((name for name in targets if "," in name), None)
    if named is not None and len(targets) > 1:
        return Match(
            f"{why}; the name of `{named}` has a comma", advice="rename it, or forecast it alone (--columns)"
        )
    return Match(
        why,
        f"forecasting {columns_named(targets)}{_aside(table, [*when, *targets, *used])}",
        options={"time_column": ",".join(when), "columns": ",".join(targets)},
    )


def _long(
    table: TableSurvey,
    wanted: Wanted,
    when: Sequence[str],
    numbers: Sequence[str],
    used: Sequence[str],
    why: str,
) -> Match:
    """Series below each other."""
    if wanted.series_column is None or wanted.value_column is None:
        lacks = "--series-column" if wanted.series_column is None else "--value-column"
        return Match(why, advice=f"{lacks} is missing: {_long_advice(table, when[0], numbers, used)}")
    owners = _several(table, wanted.series_column, "--series-column")
    value = _existing(table, wanted.value_column, "--value-column")
    more = "" if table.complete else " or more"
    count = f"{table.columns[owners[0]].different:,}{more} " if len(owners) == 1 else "the "
    return Match(
        why,
        f"forecasting `{value}` of {count}series, named in {columns_named(owners)}"
        f"{_aside(table, [*when, *owners, value, *used])}",
        options={
            "time_column": ",".join(when),
            "series_column": ",".join(owners),
            "value_column": value,
        },
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
    clock = next((name for name in rest if _is_clock(table.columns[name])), None)
    if clock is not None:
        return f"where `{clock}` is the hour of `{time}`, use {flag('time-column', time, clock)}"
    owners = _owners(table, time, rest)
    free = [name for name in numbers if name in rest and name not in owners]
    free = [name for name in free if not (table.columns[name].counts_rows or table.columns[name].names_rows)]
    free = [name for name in free if table.columns[name].different > 1] or free
    if not owners or not free:
        return (
            "where series lie below each other, name their column and that of the values: --series-column, "
            "--value-column"
        )
    value = next((name for name in free if name.strip().lower() in VALUE_NAMES), free[0])
    return (
        f"where series lie below each other, use {flag('series-column', *owners)} "
        f"{flag('value-column', value)}"
    )


def _owners(table: TableSurvey, time: str, names: Sequence[str]) -> list[str]:
    """The columns that most likely tell series apart: as few as could be as many series as there are."""
    times = table.columns[time]
    texts = set(table.of_kind("text"))
    likely = [name for name in names if any(map(_SERIES_WORD.fullmatch, _words_of(name)))]
    likely = [name for name in likely if name in texts or table.columns[name].whole]
    likely += [name for name in names if name in texts and name not in likely]
    found: list[str] = []
    series = 1
    for name in likely:
        column = table.columns[name]
        if column.filled < times.filled or column.names_rows or column.counts_rows:
            continue
        if table.complete and (series * times.different >= times.filled or column.different == 1):
            continue
        found, series = [*found, name], series * column.different
    return found


def _seen(table: TableSurvey, numbers: Sequence[str], used: Sequence[str], why: str) -> Match | None:
    """Numbers over time, and what somebody saw at each."""
    for name, column in table.columns.items():
        if _SEEN.fullmatch(name.strip()) and column.kind == "text" and column.is_category:
            values = [one for one in numbers if one not in used and not names_a_thing(one)]
            return Match(
                f"{why}; `{name}` says what each step is",
                advice=f"to learn that, use {flag('label-column', name)}; to forecast the numbers, name "
                f"them: {flag('columns', *(values or numbers))}",
            )
    return None


def _by_turns(
    table: TableSurvey, when: Sequence[str], numbers: Sequence[str], used: Sequence[str], why: str
) -> Match | None:
    """Rows of several things, each at a time of its own: one series, or one for each of them."""
    for name, column in table.columns.items():
        if name in when or name in used or not names_a_thing(name):
            continue
        if column.filled < table.columns[when[0]].filled or column.counts_rows or column.counts_up:
            continue
        whole = column.kind == "text" or (column.kind == "number" and column.whole)
        values = [one for one in numbers if one not in used and not names_a_thing(one)]
        if whole and values and 1 < column.different <= column.filled / _FEWEST_ROWS:
            value = next((one for one in values if one.strip().lower() in VALUE_NAMES), values[0])
            return Match(
                f"{why}; `{name}` has {column.different:,} values again and again",
                advice=f"where each is a series of its own, use {flag('series-column', name)} "
                f"{flag('value-column', value)}; to take all rows as one series, name what to forecast: "
                f"{flag('columns', *values)}",
            )
    return None


def names_a_thing(name: str) -> bool:
    """Whether a column is called as those are that say of which thing each row is."""
    return any(map(_THING.fullmatch, _words_of(name)))


def _words_of(name: str) -> list[str]:
    return re.findall(r"[a-z]+", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).lower())


def _is_clock(column: Column) -> bool:
    """Whether a column holds clocks, or hours from 0 to 23."""
    values = list(islice(column.values, 100))
    if values and all(map(_CLOCK.fullmatch, values)):
        return True
    hours = {str(hour) for hour in range(24)}
    return column.name.strip().lower() in _PARTS[3] and bool(values) and hours.issuperset(values)


def _parts(table: TableSurvey) -> list[str]:
    """The columns of a year, a month and what follows; [] where a time stands in one column, or in none."""
    by_name = {name.strip().lower(): name for name in reversed(table.columns)}
    found = [next((by_name[one] for one in names if one in by_name), None) for names in _PARTS]
    known = list(takewhile(lambda name: name is not None, found))
    return [name for name in known if name is not None] if len(known) > 1 else []


def _unread_times(table: TableSurvey) -> list[str]:
    """Columns called as times are, with another text in nearly each row."""
    columns = [table.columns[name] for name in table.of_kind("text")]
    return [
        one.name for one in columns if _TIME_WORD.search(one.name.lower()) and 2 * one.different > one.filled
    ]


def _times(table: TableSurvey, wanted: Wanted) -> list[str]:
    if wanted.time_column is not None:
        return _several(table, wanted.time_column, "--time-column")
    return [name for name, column in table.columns.items() if column.is_time][:1]


def _several(table: TableSurvey, named: str, flag_name: str) -> list[str]:
    return [_existing(table, one, flag_name) for one in several_columns(list(table.columns), named)]


def _used(table: TableSurvey, wanted: Wanted) -> list[str]:
    """The columns that other options name."""
    found: list[str] = []
    for option in ("known_future", "past_columns", "static_columns"):
        given = getattr(wanted, option)
        if given is not None:
            flag_name = f"--{option.replace('_', '-')}"
            found += _several(table, given, flag_name)
    return found


def _existing(table: TableSurvey, named: str, flag_name: str) -> str:
    found = resolve_column(list(table.columns), named)
    if found is None:
        raise DataError(f"{table.path} has no column {named!r:.60} ({flag_name}); {describe_columns(table)}")
    return found
