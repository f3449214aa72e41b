"""Rows of CSV, TSV, JSON Lines and Parquet files, with the line of each, so that a fault can be named."""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

from throughtime.errors import DataError, MissingExtraError

TABLE_SUFFIXES = (".csv", ".tsv", ".jsonl", ".parquet")
_SHOWN = 3


@dataclass
class BadRows:
    """What happens to rows that cannot be used: stop at the first, or leave them out and count.

    Args:
        skip: leave them out.
    Attributes:
        count: rows left out.
        examples: the first few messages.
    """

    skip: bool = False
    count: int = 0
    examples: list[str] = field(default_factory=list)

    def report(self, path: str | Path, line: int | None, message: str) -> None:
        """Count a bad row.

        Args:
            path: the file.
            line: from 1; in a Parquet file the row, from 1. None where the whole file is at fault.
            message: what is wrong.
        Raises:
            DataError: rows are not to be skipped; it names the file and the line.
        """
        where = f"{path}" if line is None else f"{path} line {line}"
        if not self.skip:
            raise DataError(f"{where}: {message} (pass --skip-bad to leave such examples out)")
        self.count += 1
        if len(self.examples) < _SHOWN:
            self.examples.append(f"{where}: {message}")

    def summary(self) -> str:
        """One line about what was left out; "" where nothing was."""
        if not self.count:
            return ""
        more = f", and {self.count - len(self.examples)} more" if self.count > len(self.examples) else ""
        return f"left out {self.count} bad example{'s' * (self.count > 1)}: {'; '.join(self.examples)}{more}"


@dataclass(frozen=True)
class Row:
    """One row of a table.

    Args:
        line: its line in the file, from 1; the row, from 1, in a Parquet file.
        values: by column; text in CSV and TSV, what JSON or Parquet hold elsewhere.
    """

    line: int
    values: dict[str, Any]


def is_table(path: str | Path) -> bool:
    """Whether the file's name is that of a table."""
    return _suffix(Path(path)) in TABLE_SUFFIXES


def column_names(path: str | Path) -> list[str]:
    """The columns of a table: the header, or the keys of the first JSON line. Reads little.

    Raises:
        DataError: the file is missing, empty or not such a table.
    """
    path = Path(path)
    if _suffix(path) == ".parquet":
        return list(_parquet(path).schema_arrow.names)
    if _suffix(path) == ".jsonl":
        return list(next(_json_rows(path, BadRows())).values)
    with _open(path) as file:
        return _header(path, file)


def read_rows(path: str | Path, bad: BadRows, columns: Sequence[str] = ()) -> Iterator[Row]:
    """Read a table row by row.

    Args:
        path: .csv, .tsv, .jsonl (also with .gz behind), or .parquet. CSV and TSV have a header.
        bad: what happens to rows that cannot be read.
        columns: columns that have to exist.
    Raises:
        DataError: the file is missing, empty or unreadable, or a column is missing (the message lists those
            that exist); a row is broken and `bad` does not skip.
        MissingExtraError: a Parquet file without pyarrow.
    """
    path = Path(path)
    if not is_table(path):
        raise DataError(f"{path} is not a table that can be read: use {', '.join(TABLE_SUFFIXES)}")
    names = column_names(path)
    for column in columns:
        if column not in names:
            raise DataError(f"{path} has no column {column!r}; its columns are {', '.join(names)}")
    rows = {".parquet": _parquet_rows, ".jsonl": _json_rows}.get(_suffix(path), _delimited_rows)(path, bad)
    empty = True
    for row in rows:
        missing = [column for column in columns if row.values.get(column) is None]
        if missing:
            bad.report(path, row.line, f"column {missing[0]!r} is missing")
            continue
        empty = False
        yield row
    if empty:
        raise DataError(f"{path} has no usable rows{f' ({bad.summary()})' if bad.count else ''}")


def _delimited_rows(path: Path, bad: BadRows) -> Iterator[Row]:
    with _open(path) as file:
        names = _header(path, file)
        reader = csv.reader(file, delimiter=_delimiter(path), quoting=_quoting(path))
        start = 2
        try:
            for values in reader:
                line, start = start, reader.line_num + 2  # a quoted field may span lines
                if not values:
                    continue
                if len(values) != len(names):
                    bad.report(
                        path, line, f"{len(values)} fields, expected {len(names)} ({', '.join(names)})"
                    )
                    continue
                yield Row(line, dict(zip(names, values, strict=True)))
        except csv.Error as error:
            raise DataError(f"{path} line {start}: {error}") from None
        except UnicodeDecodeError as error:
            raise DataError(f"{path}: after line {start}: not UTF-8 ({error.reason})") from None


def _json_rows(path: Path, bad: BadRows) -> Iterator[Row]:
    with _open(path) as file:
        found = False
        try:
            for line, text in enumerate(file, 1):
                if not text.strip():
                    continue
                found = True
                try:
                    values = json.loads(text)
                except ValueError as error:
                    bad.report(path, line, f"not JSON: {error}")
                    continue
                if not isinstance(values, dict):
                    bad.report(path, line, 'not a JSON object like {"text": ..., "label": ...}')
                    continue
                yield Row(line, values)
        except UnicodeDecodeError as error:
            raise DataError(f"{path}: not UTF-8 ({error.reason})") from None
        if not found:
            raise DataError(f"{path} is empty: there is nothing to read")


def _parquet_rows(path: Path, bad: BadRows) -> Iterator[Row]:
    row = 0
    for batch in _parquet(path).iter_batches():
        for values in batch.to_pylist():
            row += 1
            yield Row(row, values)


def _parquet(path: Path) -> Any:
    try:
        import pyarrow.parquet as parquet
        from pyarrow import ArrowException
    except ImportError:
        raise MissingExtraError(
            "Parquet files need pyarrow: install it with `pip install 'throughtime[parquet]'`"
        ) from None
    try:
        return parquet.ParquetFile(path)
    except FileNotFoundError:
        raise DataError(_missing(path)) from None
    except (ArrowException, OSError) as error:
        raise DataError(f"{path} cannot be read as Parquet: {error}") from None


def _open(path: Path) -> TextIO:
    try:
        if path.suffix == ".gz":
            return gzip.open(path, "rt", encoding="utf-8-sig", newline="")
        return path.open(encoding="utf-8-sig", newline="")
    except FileNotFoundError:
        raise DataError(_missing(path)) from None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from None


def _header(path: Path, file: TextIO) -> list[str]:
    try:
        first = file.readline()
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 ({error.reason})") from None
    except (OSError, EOFError) as error:
        raise DataError(f"{path} cannot be read: {error}") from None
    if not first.strip():
        raise DataError(f"{path} is empty, or its first line is: expected a header with the columns' names")
    names = next(csv.reader([first], delimiter=_delimiter(path), quoting=_quoting(path)))
    names = [name.strip() for name in names]
    repeated = [name for name in names if names.count(name) > 1]
    if repeated:
        raise DataError(f"{path} line 1: column {repeated[0]!r} occurs twice")
    return names


def _delimiter(path: Path) -> str:
    return "\t" if _suffix(path) == ".tsv" else ","


def _quoting(path: Path) -> Any:
    # TSV files in the wild hold bare quotes; CSV files quote as RFC 4180 says.
    return csv.QUOTE_NONE if _suffix(path) == ".tsv" else csv.QUOTE_MINIMAL


def _suffix(path: Path) -> str:
    name = path.name.lower().removesuffix(".gz")
    return name[name.rfind(".") :] if "." in name else ""


def _missing(path: Path) -> str:
    return f"{path}: no such file (the working directory is {Path.cwd()})"
