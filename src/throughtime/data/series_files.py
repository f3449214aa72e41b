"""Series in the two formats of the UCR/UEA archive: sktime's .ts, and ARFF of Weka."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from throughtime.data.delimited import Report
from throughtime.data.lines import read_lines, shown
from throughtime.encodings import UTF8
from throughtime.errors import DataError

SERIES_SUFFIXES = (".ts", ".arff")
# The column of what a series is, as tables of ours have it.
_LABEL = "label"
# A .ts file is a film, or a program, unless its data begins within so many lines.
_LONGEST_HEADER = 2_000
_MISSING = {"?", "nan", ""}
_ATTRIBUTE = re.compile(r"@attribute\s+('[^']*'|\"[^\"]*\"|[^\s{]+)\s*(.*)", re.IGNORECASE)


def is_series_file(path: Path) -> bool:
    """Whether a file of this name holds series; a .ts file may be a film as well."""
    if path.suffix.lower() != ".ts":
        return path.suffix.lower() in SERIES_SUFFIXES
    try:
        with path.open("rb") as file:
            lines = islice(iter(lambda: file.readline(1 << 16), b""), _LONGEST_HEADER)
            return any(line.strip().lower() == b"@data" for line in lines)
    except OSError:
        return False


def read_series(path: Path, report: Report, encoding: str = UTF8) -> Iterator[tuple[int, dict[str, Any]]]:
    """Read the rows of such a file.

    Args:
        path: .ts, whose rows have a list of numbers for each dimension (`x0`, `x1`...; None for one that is
            missing) and their `label`; or .arff, whose rows have a text for each attribute.
        report: is told the line and the fault of each row that cannot be read.
        encoding: of the text.
    Yields:
        The line of each row, and its values by column.
    Raises:
        DataError: the header is not that of such a file, or says what cannot be read.
    """
    lines = enumerate(read_lines(path, encoding=encoding), 1)
    if path.name.lower().endswith(".ts"):
        yield from _ts_rows(path, lines, report)
    else:
        yield from _arff_rows(path, lines, report)


def _ts_rows(
    path: Path, lines: Iterator[tuple[int, str]], report: Report
) -> Iterator[tuple[int, dict[str, Any]]]:
    known: dict[str, str] = {}
    for line, text in lines:
        name, _, value = text.strip().partition(" ")
        if name.lower() == "@data":
            break
        if name.startswith("@"):
            known[name[1:].lower()] = value.strip().lower()
        elif name and not name.startswith("#"):
            raise DataError(f"{path} line {line}: {shown(text)} stands before @data and begins with no @")
    else:
        raise DataError(f"{path} has no line @data, after which the series of a .ts file begin")
    if known.get("timestamps", "false").startswith("true"):
        raise DataError(f"{path} has a time beside each number (@timeStamps true): write the numbers alone")
    has_label = any(known.get(name, "").startswith("true") for name in ("classlabel", "targetlabel"))
    width = 0
    for line, text in lines:
        if not text.strip():
            continue
        *dimensions, last = text.strip().split(":")
        label = last.strip()
        if not has_label:
            dimensions.append(last)
        if not dimensions:
            report(line, "no numbers stand before its label")
            continue
        width = width or len(dimensions)
        if len(dimensions) != width:
            report(line, f"{len(dimensions)} dimensions, expected {width}")
            continue
        try:
            values: dict[str, Any] = {f"x{place}": _numbers(one) for place, one in enumerate(dimensions)}
        except ValueError as error:
            report(line, str(error))
            continue
        yield line, {**values, _LABEL: label} if has_label else values


def _numbers(text: str) -> list[float | None]:
    """The numbers between commas.

    Raises:
        ValueError: one is none.
    """
    numbers: list[float | None] = []
    for cell in text.split(","):
        try:
            numbers.append(None if cell.strip().lower() in _MISSING else float(cell))
        except ValueError:
            raise ValueError(f"{shown(cell)} is not a number") from None
    return numbers


def _arff_rows(
    path: Path, lines: Iterator[tuple[int, str]], report: Report
) -> Iterator[tuple[int, dict[str, Any]]]:
    names: list[str] = []
    for line, text in lines:
        stripped = text.strip()
        if stripped.lower() == "@data":
            break
        found = _ATTRIBUTE.fullmatch(stripped)
        if found is not None:
            if found[2].lower().startswith("relational"):
                raise DataError(
                    f"{path} line {line}: an attribute that is a table itself: take the .ts file of this data"
                )
            names.append(found[1].strip("'\""))
        elif stripped and not stripped.lower().startswith(("%", "@relation")):
            raise DataError(f"{path} line {line}: {shown(text)} is no @attribute of an ARFF file")
    else:
        raise DataError(f"{path} has no line @data, after which the rows of an ARFF file begin")
    if not names or len(set(names)) < len(names):
        what = "has two attributes of one name" if names else "has no @attribute"
        raise DataError(f"{path} {what}")
    for line, text in lines:
        stripped = text.strip()
        if not stripped or stripped.startswith("%"):
            continue
        if stripped.startswith("{"):
            report(line, "a sparse row ({place value, ...}): write every value")
            continue
        quote = "'" if "'" in stripped else '"'
        try:
            (cells,) = csv.reader([stripped], quotechar=quote, escapechar="\\", skipinitialspace=True)
        except (csv.Error, ValueError) as error:
            report(line, f"cannot be read ({error})")
            continue
        if len(cells) != len(names):
            report(line, f"{len(cells)} fields, expected {len(names)}, as there are attributes")
            continue
        yield (
            line,
            {name: None if cell.strip() == "?" else cell for name, cell in zip(names, cells, strict=True)},
        )
