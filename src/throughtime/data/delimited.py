"""Rows of cells of CSV and TSV files, with the line of each."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from throughtime.data.limits import LINE
from throughtime.data.lines import NOT_UTF8, check_text, read_lines
from throughtime.encodings import UTF8, how_to_convert
from throughtime.errors import DataError

if TYPE_CHECKING:
    from throughtime.data.sources import Source

# Excel reads, and some programs write, a first line that says what stands between cells.
SEPARATOR_LINE = re.compile(r"sep=(.)", re.IGNORECASE)
Report = Callable[[int, str], None]


class Dialect(NamedTuple):
    """How cells are written.

    Args:
        separator: what stands between them.
        quotes: a quote begins a quoted cell; otherwise it is a character like others.
    """

    separator: str
    quotes: bool


def read_delimited(
    path: str | Path | Source, report: Report | None = None, encoding: str = UTF8
) -> Iterator[tuple[int, list[str]]]:
    """Read a CSV or TSV file row by row.

    CSV files quote as RFC 4180 says. TSV files in the wild hold bare quotes, so that there a quote is a
    character like others. Where the first line of a CSV file has no comma, but semicolons, tabs or bars,
    these separate its cells: Excel writes such files in many countries. A first line `sep=;` says so.

    Args:
        path: .csv or .tsv, also with .gz behind; lines end at LF, CR or both.
        report: called with the line and the fault of a row that cannot be read, which is then left out; None
            stops at the first.
        encoding: of the text.
    Yields:
        The line on which a row begins, from 1, and its cells; an empty line has none.
    Raises:
        DataError: the file cannot be read, or a row cannot and nothing takes its report.
    """
    path = Path(path) if isinstance(path, str) else path
    lines = read_lines(path, encoding=encoding)
    first, number = next(lines, ""), 1
    dialect = dialect_of(path.name, first)
    if SEPARATOR_LINE.fullmatch(first.strip()):
        first, number = next(lines, ""), 2
    converting: list[str] = []

    def naming(line: int, fault: str) -> None:
        if fault.endswith(NOT_UTF8) and encoding == UTF8:
            # Every row of such a file may have this fault: its beginning is looked at once.
            converting[:] = converting or [how_to_convert(path) if isinstance(path, Path) else ""]
            fault += converting[0]
        if report is None:
            raise DataError(f"{path} line {line}: {fault}")
        report(line, fault)

    yield from delimited_rows(chain([first], lines), dialect, str(path), naming, number)


def delimited_rows(
    lines: Iterable[str], dialect: Dialect, name: str, report: Report | None = None, first: int = 1
) -> Iterator[tuple[int, list[str]]]:
    """As `read_delimited`, from lines that are being read.

    Args:
        lines: with their ends. No more are taken than the rows that were asked for need.
        dialect: of `dialect_of`.
        name: where they come from, for errors.
        report: as of `read_delimited`.
        first: the number of the first line.
    """
    # Python's own bound of 128 KB is less than a long text. It is one for the whole process.
    csv.field_size_limit(LINE.value)
    reader = csv.reader(
        lines,
        delimiter=dialect.separator,
        quoting=csv.QUOTE_MINIMAL if dialect.quotes else csv.QUOTE_NONE,
    )
    while True:
        line = reader.line_num + first  # a quoted cell may span lines
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            fault = str(error)
            if "field limit" in fault:
                fault = f"a cell is too long, or a quote is left open: {LINE.exceeded()}"
        else:
            fault = _fault(cells)
            if fault is None:
                yield line, cells
                continue
        if report is None:
            raise DataError(f"{name} line {line}: {fault}")
        report(line, fault)


def above_the_end(rows: Iterable[tuple[int, list[str]]]) -> Iterator[tuple[int, list[str]]]:
    """Rows without those of empty cells that spreadsheets write below a table."""
    empty: list[tuple[int, list[str]]] = []
    for line, cells in rows:
        if len(cells) > 1 and not any(cells):
            empty.append((line, cells))
            continue
        yield from empty
        empty.clear()
        yield line, cells


def dialect_of(name: str, first: str) -> Dialect:
    """How the cells of a CSV or TSV file of this name and with this first line are written."""
    if name.lower().removesuffix(".gz").endswith(".tsv"):
        return Dialect("\t", False)
    if named := SEPARATOR_LINE.fullmatch(first.strip()):
        return Dialect(named[1], True)
    if "," in first:
        return Dialect(",", True)
    return Dialect(next((one for one in (";", "\t", "|") if one in first), ","), True)


def _fault(cells: list[str]) -> str | None:
    try:
        for cell in cells:
            check_text(cell)
    except DataError as error:
        return str(error)
    return None
