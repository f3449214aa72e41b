"""Pairs of source and target: from a table, or from two text files line by line."""

from __future__ import annotations

import gzip
import itertools
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from throughtime.data.tables import BadRows, is_table, read_rows
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
) -> Iterator[Pair]:
    """Read pairs from a table, or from two text files whose lines belong together.

    Args:
        source: a table, or the text file of sources (also .gz).
        target: the text file of targets, None with a table.
        bad: what happens to pairs that cannot be used: an empty side, a value that is no text.
        columns: the table's columns.
    Raises:
        DataError: a file is missing, empty or unreadable, a column is missing, the text files have not as
            many lines (the message names both counts), or a pair is bad and `bad` does not skip.
    """
    source = Path(source)
    if target is None:
        if not is_table(source):
            raise DataError(
                f"{source} is a text file of sources only: name the file of targets with --target, or give a "
                f"table with the columns {' and '.join(columns)}"
            )
        pairs = _table_pairs(source, bad, columns)
        other = source
    else:
        if is_table(source):
            raise DataError(f"{source} is a table, which holds both sides: leave out the file {target}")
        other = Path(target)
        pairs = _line_pairs(source, other)
    usable = 0
    for pair in pairs:
        sides = {"source": (source, pair.source), "target": (other, pair.target)}
        empty = next((side for side, (_, text) in sides.items() if not text.strip()), None)
        if empty is not None:
            bad.report(sides[empty][0], pair.line, f"the {empty} is empty")
            continue
        usable += 1
        yield pair
    if not usable:
        raise DataError(f"{source} has no usable pairs{f' ({bad.summary()})' if bad.count else ''}")


def read_lines(path: str | Path) -> Iterator[str]:
    """The lines of a UTF-8 text file, plain or .gz, without their ends; a byte order mark is dropped.

    Raises:
        DataError: the file is missing, unreadable, or not UTF-8 (the message names the line).
    """
    path = Path(path)
    try:
        with _open(path) as file:
            for line, content in enumerate(file, 1):
                content = content.removeprefix(b"\xef\xbb\xbf") if line == 1 else content
                try:
                    # Not at U+2028 and its kind: only a newline ends a line, or two files would not fit.
                    yield content.decode("utf-8").removesuffix("\n").removesuffix("\r")
                except UnicodeDecodeError as error:
                    byte = content[error.start]
                    raise DataError(f"{path} line {line}: byte 0x{byte:02x} is not UTF-8") from None
    except FileNotFoundError:
        raise DataError(f"{path}: no such file (the working directory is {Path.cwd()})") from None
    except IsADirectoryError:
        raise DataError(f"{path} is a folder, not a text file: name one file in it") from None
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(f"{path} is damaged or no gzip file: {error}") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from None


def _open(path: Path) -> BinaryIO:
    if path.suffix == ".gz":
        return gzip.open(path, "rb")  # type: ignore[return-value]
    return path.open("rb")


def _table_pairs(path: Path, bad: BadRows, columns: tuple[str, str]) -> Iterator[Pair]:
    for row in read_rows(path, bad, columns):
        values: list[Any] = [row.values[column] for column in columns]
        wrong = next(
            (c for c, value in zip(columns, values, strict=True) if not isinstance(value, str)), None
        )
        if wrong is not None:
            bad.report(path, row.line, f"column {wrong!r} holds {row.values[wrong]!r}, which is no text")
            continue
        yield Pair(values[0], values[1], row.line)


def _line_pairs(source: Path, target: Path) -> Iterator[Pair]:
    nothing = object()
    sources, targets = read_lines(source), read_lines(target)
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
