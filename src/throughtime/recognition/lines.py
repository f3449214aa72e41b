"""Lines as examples of their own: those of a text, or a column of a table with what steers them beside it."""

from __future__ import annotations

from pathlib import Path

from throughtime.errors import DataError
from throughtime.recognition.advice import columns_named, describe_columns, flag, likely_text
from throughtime.recognition.columns import Column
from throughtime.recognition.match import Match
from throughtime.recognition.survey import Survey, TableSurvey
from throughtime.recognition.wanted import Wanted
from throughtime.tasks.language_model.usual_lines import usual_options

_MEASURED = 1 << 24


def lines_of_a_text(survey: Survey, wanted: Wanted) -> Match | None:
    """A text, where --lines is given."""
    if not wanted.lines or not survey.is_text:
        return None
    if wanted.condition_columns is not None:
        return Match(
            "a text has no columns",
            advice="conditions stand in a table beside the lines: name one, or leave out --condition-columns",
        )
    lines, length = _count(survey)
    about = "" if lines is None else f" of {lines:,} lines"
    return Match(f"a text{about}", "writing such lines", usual=usual_options(lines, length))


def lines_of_a_table(survey: Survey, wanted: Wanted) -> Match | None:
    """A table with a column of lines, where --lines is given."""
    table = survey.table
    if not wanted.lines or table is None:
        return None
    if survey.path.is_dir():
        return Match("this is a folder", advice=f"name the table itself: {table.path}")
    text = _text_column(table, wanted)
    if text is None:
        found = likely_text(table)
        advice = (
            "put the lines into a column of text" if found is None else f"use {flag('text-column', found)}"
        )
        return Match(f"no column `text`; {describe_columns(table)}", advice=advice)
    lines = {text: "the lines"}
    conditions = wanted.beside(table, wanted.condition_columns, "--condition-columns", lines)
    column = table.columns[text]
    are_events = column.kind == "texts" or (table.groups is not None and column.kind == "numbers")
    if are_events and wanted.tokenizer not in (None, "word"):
        return Match(
            f"`{text}` holds lists of events, each of which is one token",
            advice=f"leave out --tokenizer {wanted.tokenizer}",
        )
    for name in (*(() if are_events else (text,)), *conditions):
        if table.columns[name].kind not in ("text", "number", "time"):
            return Match(
                f"`{name}` holds {table.columns[name].kind}", advice="name a column of texts or numbers"
            )
    left = [name for name in table.columns if name not in (text, *conditions)]
    steered = f", steered by {columns_named(conditions)}" if conditions else ""
    aside = f" ({columns_named(left)} {'is' if len(left) == 1 else 'are'} not read)" if left else ""
    return Match(
        f"{len(table.columns)} column{'s' * (len(table.columns) != 1)}",
        f"writing {'lists of events' if are_events else 'lines'} like `{text}`{steered}{aside}",
        options={
            "text_column": text,
            "condition_columns": ",".join(conditions) or None,
            **({"tokenizer": "word"} if are_events else {}),
        },
        usual=usual_options(table.rows if table.complete else None, _length(column)),
    )


def _text_column(table: TableSurvey, wanted: Wanted) -> str | None:
    """The column of the lines; None where it has to be asked for."""
    if wanted.text_column is not None:
        named = wanted.texts(table)
        if len(named) > 1:
            raise DataError(f"{table.path}: lines come from one column, and --text-column names {len(named)}")
        return named[0]
    if "text" in table.columns:
        return "text"
    if "events" in table.columns and table.columns["events"].kind == "texts":
        return "events"
    return next(iter(table.columns)) if len(table.columns) == 1 else None


def _count(survey: Survey) -> tuple[int | None, float | None]:
    """How many lines a text has, and how long they are; None where counting them would take long."""
    path = survey.path
    if not isinstance(path, Path) or path.suffix.lower() == ".gz" or path.stat().st_size > _MEASURED:
        return None, None
    lines = [len(line) for line in path.read_bytes().split(b"\n") if line.strip()]
    return len(lines), sum(lines) / max(len(lines), 1)


def _length(column: Column) -> float:
    """Characters of a value, on average over the different ones; of lists, events."""
    if column.lengths:
        return sum(column.lengths) / len(column.lengths)
    return sum(map(len, column.values)) / max(column.different, 1)
