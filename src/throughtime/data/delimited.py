"""Rows of cells of CSV and TSV files, with the line of each."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path

from throughtime.data.limits import LINE
from throughtime.data.lines import check_text, read_lines
from throughtime.encodings import UTF8
from throughtime.errors import DataError

Report = Callable[[int, str], None]


def read_delimited(
    path: str | Path, report: Report | None = None, encoding: str = UTF8
) -> Iterator[tuple[int, list[str]]]:
    """Read a CSV or TSV file row by row.

    CSV files quote as RFC 4180 says. TSV files in the wild hold bare quotes, so that there a quote is a
    character like others. Where the first line of a CSV file has no comma, but semicolons or tabs, these
    separate its cells: Excel writes such files in many countries.

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
    path = Path(path)
    tabs = path.name.lower().removesuffix(".gz").endswith(".tsv")
    # Python's own bound of 128 KB is less than a long text. It is one for the whole process.
    csv.field_size_limit(LINE.value)
    lines = read_lines(path, encoding=encoding)
    first = next(lines, "")
    reader = csv.reader(
        chain([first], lines),
        delimiter="\t" if tabs else _separator(first),
        quoting=csv.QUOTE_NONE if tabs else csv.QUOTE_MINIMAL,
    )
    while True:
        line = reader.line_num + 1  # a quoted cell may span lines
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
            raise DataError(f"{path} line {line}: {fault}")
        report(line, fault)


def _separator(first: str) -> str:
    """What stands between the cells of a CSV file with this first line."""
    if "," in first:
        return ","
    return next((one for one in (";", "\t") if one in first), ",")


def _fault(cells: list[str]) -> str | None:
    try:
        for cell in cells:
            check_text(cell)
    except DataError as error:
        return str(error)
    return None
