"""Pairs of source and target: from a table, or from two text files line by line."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from throughtime.data.joined import JoinedTable, located
from throughtime.data.lines import check_text, read_lines, shown
from throughtime.data.tables import USUAL, BadRows, TableFormat, is_table, read_rows
from throughtime.encodings import UTF8
from throughtime.errors import DataError


@dataclass(frozen=True)
class Pair:
    """A source and its target.

    Args:
        source, target: texts, without the line's end.
        line: where it stood in the file of sources, from 1.
    """

    source: str
    target: str
    line: int


def read_pairs(
    source: str | Path,
    target: str | Path | None,
    bad: BadRows,
    columns: tuple[str, str] = ("source", "target"),
    form: TableFormat = USUAL,
) -> Iterator[Pair]:
    """Read pairs from a table, or from two text files whose lines belong together.

    Args:
        source: a table, or the text file of sources (also .gz).
        target: the text file of targets, None with a table.
        bad: what happens to pairs that cannot be used: an empty side, a value that is no text.
        columns: the table's columns.
        form: how the files are written.
    Raises:
        DataError: a file is missing, empty or unreadable, a column is missing, the text files do not have as
            many lines (the message names both counts), or a pair is bad and `bad` does not skip.
    """
    first = located(source) if target is None else Path(source)
    other: Path | JoinedTable
    if target is None:
        if not is_table(first):
            raise DataError(
                f"{first} is a text file of sources only: name the file of targets with --target, or give a "
                f"table with the columns {' and '.join(columns)}"
            )
        pairs, other = _table_pairs(first, bad, columns, form), first
    else:
        if is_table(source):
            raise DataError(f"{source} is a table, which holds both sides: leave out the file {target}")
        other = Path(target)
        pairs = _line_pairs(Path(source), other, form.encoding)
    usable = 0
    for pair in pairs:
        sides = {"source": (first, pair.source), "target": (other, pair.target)}
        fault = next(((file, f) for side, (file, text) in sides.items() if (f := _fault(side, text))), None)
        if fault is not None:
            bad.report(fault[0], pair.line, fault[1])
            continue
        usable += 1
        yield pair
    if not usable:
        raise DataError(f"{source} has no usable pairs{f' ({bad.summary()})' if bad.count else ''}")


def read_texts(path: str | Path, encoding: str = UTF8) -> Iterator[str]:
    """The lines of a UTF-8 text file, plain or .gz, without their ends; a byte order mark is dropped.

    Yields:
        Lines that may hold bytes that are not UTF-8: see `throughtime.data.lines.check_text`.
    Raises:
        DataError: the file is missing, unreadable or damaged, or a line is too long.
    """
    # Not at U+2028 and its kind, nor at CR: only a newline ends a line, or two files would not fit.
    for line in read_lines(path, "\n", encoding):
        yield line.removesuffix("\n").removesuffix("\r")


def _table_pairs(
    path: Path | JoinedTable, bad: BadRows, columns: tuple[str, str], form: TableFormat
) -> Iterator[Pair]:
    for row in read_rows(path, bad, columns, form):
        values: list[Any] = [row.values[column] for column in columns]
        wrong = next(
            (c for c, value in zip(columns, values, strict=True) if not isinstance(value, str)), None
        )
        if wrong is not None:
            bad.report(path, row.line, f"column {wrong!r} holds {shown(row.values[wrong])}, which is no text")
            continue
        yield Pair(values[0], values[1], row.line)


def _fault(side: str, text: str) -> str | None:
    """What is wrong with one side of a pair."""
    if not text.strip():
        return f"the {side} is empty"
    try:
        check_text(text)
    except DataError as error:
        return str(error)
    return None


def _line_pairs(source: Path, target: Path, encoding: str) -> Iterator[Pair]:
    nothing = object()
    sources, targets = read_texts(source, encoding), read_texts(target, encoding)
    for line, (left, right) in enumerate(itertools.zip_longest(sources, targets, fillvalue=nothing), 1):
        if left is nothing or right is nothing:
            counts = {source: line - 1, target: line - 1}
            longer, rest = (target, targets) if left is nothing else (source, sources)
            counts[longer] += 1 + sum(1 for _ in rest)
            raise DataError(
                f"{source} has {counts[source]:,} lines and {target} has {counts[target]:,}: each line has "
                f"to be the translation of the other file's"
            )
        yield Pair(left, right, line)  # type: ignore[arg-type]
