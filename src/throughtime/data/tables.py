"""Rows of CSV, TSV, JSON Lines and Parquet files, with the line of each, so that a fault can be named.

Several files may be one table, and a file may be behind a URL: see `throughtime.data.joined`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from throughtime.data import list_cells
from throughtime.data.class_folders import is_class_folder, read_class_folder
from throughtime.data.delimited import above_the_end, dialect_of, read_delimited
from throughtime.data.groups import Groups
from throughtime.data.joined import (
    JSON_LINES,
    TABLE_SUFFIXES,
    FileLine,
    JoinedTable,
    listed,
    located,
    place_of,
    refuse_repeated,
    table_suffix,
)
from throughtime.data.json_array import is_json_array, read_json_array
from throughtime.data.json_values import NO_OBJECT, parse_json
from throughtime.data.lines import expect_file, read_lines, shown
from throughtime.data.numbers import Decimal, plain_number
from throughtime.data.parquet import parquet_columns, parquet_rows
from throughtime.data.series_files import is_series_file, read_series
from throughtime.encodings import UTF8
from throughtime.errors import DataError, OptionError
from throughtime.patterns import is_pattern

if TYPE_CHECKING:
    from throughtime.data.sources import Source

# What a column is called that a header leaves unnamed; its number from 1 is that of the column.
UNNAMED = re.compile(r"column \d+")
# What a folder calls the table of its files, best first.
METADATA = ("metadata.csv", "metadata.tsv", "metadata.jsonl", "metadata.parquet")
_SHOWN = 3
_LONGEST_SHOWN = 300


@dataclass
class BadRows:
    """What happens to rows that cannot be used: stop at the first, or leave them out and count.

    Args:
        skip: leave them out.
    Attributes:
        count: rows left out.
        examples: the first few messages, the middle of long ones left out.
    """

    skip: bool = False
    count: int = 0
    examples: list[str] = field(default_factory=list)

    def report(self, path: str | Path | Source | JoinedTable, line: int | None, message: str) -> None:
        """Count a bad row.

        Args:
            path: the file.
            line: from 1; in a Parquet file the row, from 1. None where the whole file is at fault.
                A line that knows its file is named with that.
            message: what is wrong.
        Raises:
            DataError: rows are not to be skipped; it names the file and the line.
        """
        where = f"{path}" if line is None else place_of(path, line)
        if not self.skip:
            raise DataError(f"{where}: {message} (pass --skip-bad to leave such examples out)")
        self.count += 1
        if len(self.examples) < _SHOWN:
            self.examples.append(_shortened(f"{where}: {message}"))

    def summary(self) -> str:
        """One line about what was left out; "" where nothing was."""
        if not self.count:
            return ""
        more = f", and {self.count - len(self.examples)} more" if self.count > len(self.examples) else ""
        return f"left out {self.count} bad example{'s' * (self.count > 1)}: {'; '.join(self.examples)}{more}"


def _shortened(text: str) -> str:
    """A message as a list of them shows it; what is wrong stands at the end."""
    text = " ".join(text.splitlines())
    half = _LONGEST_SHOWN // 2
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:half]} [...] {text[-half:]}"


@dataclass(frozen=True)
class Row:
    """One row of a table.

    Args:
        line: its line in the file, from 1; the row, from 1, in a Parquet file. In a table of several files
            it knows its file.
        values: by column; text in CSV and TSV, what JSON or Parquet hold elsewhere.
        group: which group it is, where rows were joined; else "".
    """

    line: int
    values: dict[str, Any]
    group: str = ""


def is_table(path: str | Path | JoinedTable) -> bool:
    """Whether the name is that of a table, or a pattern or URL, which stand for tables here."""
    if isinstance(path, JoinedTable) or is_pattern(path):
        return True
    return table_suffix(Path(path)) in TABLE_SUFFIXES or _is_other_table(Path(path))


def _is_other_table(path: Path) -> bool:
    """Whether it is a table in a format that only a file or a folder on this machine may have."""
    return is_series_file(path) or is_json_array(path) or is_class_folder(path)


def _other_rows(path: Path, bad: BadRows, form: TableFormat) -> Iterator[Row]:
    read = read_json_array if is_json_array(path) else read_series
    if is_class_folder(path):
        read = read_class_folder
    for line, values in read(path, lambda line, fault: bad.report(path, line, fault), form.encoding):
        yield Row(line, values)


def find_metadata(source: str | Path) -> Path | None:
    """The table of the files in a folder, or such a table itself; None where there is none."""
    path = Path(source)
    if path.name in METADATA and os.path.isfile(path):
        return path
    return next((path / name for name in METADATA if os.path.isfile(path / name)), None)


@dataclass(frozen=True)
class TableFormat:
    """How a table of text is written.

    Args:
        header: the first line of a CSV or TSV file names the columns; without it they are numbers from 1.
        encoding: of the text.
        decimal: "," where numbers are written as 1.234,5 and "." where they are written as 1,234.5; None
            leaves cells as they are.
        day_first: whether 02/03/2024 is in March; None where nobody said so.
        groups: which rows are one row of lists; None takes each by itself.
    """

    header: bool = True
    encoding: str = UTF8
    decimal: Decimal | None = None
    day_first: bool | None = None
    groups: Groups | None = None

    @classmethod
    def of(cls, data: Any) -> TableFormat:
        """What the options of a run say of its tables, as far as its task has these."""
        return cls(
            getattr(data, "header", True),
            getattr(data, "encoding", UTF8),
            getattr(data, "decimal", None),
            getattr(data, "day_first", None),
            groups_of(getattr(data, "group_by", None), getattr(data, "once_in_group", None)),
        )


USUAL = TableFormat()


def groups_of(column: str | None, once: str | None) -> Groups | None:
    """What the options of a run say of rows that belong together."""
    if column is None:
        return None
    return Groups(column, None if once is None else tuple(filter(None, once.split(","))))


def column_names(path: str | Path | JoinedTable, form: TableFormat = USUAL) -> list[str]:
    """The columns of a table: the header, or the keys of the first JSON line. Reads little.

    Args:
        path: the table; of several files, the first one says what the columns are.
        form: how it is written.
    Raises:
        DataError: the file is missing, empty or not such a table.
    """
    place = located(path)
    return _names_of(place.files[0].path if isinstance(place, JoinedTable) else place, form)


def _names_of(path: Path | Source, form: TableFormat) -> list[str]:
    """The columns of one file. That which says what rows belong together is none of them."""
    names = _all_names(path, form)
    if form.groups is None:
        return names
    if form.groups.column not in names:
        raise DataError(f"{no_column(path, form.groups.column, names)} (--group-by)")
    return [name for name in names if name != form.groups.column]


def _all_names(path: Path | Source, form: TableFormat) -> list[str]:
    if isinstance(path, Path):
        expect_file(path)
    if table_suffix(path) == ".parquet":
        return parquet_columns(path)
    if table_suffix(path) in JSON_LINES or (isinstance(path, Path) and _is_other_table(path)):
        # Rows before the first that can be read are reported, or left out, where rows are read.
        bad = BadRows(skip=True)
        rows = _json_rows if table_suffix(path) in JSON_LINES else _other_rows
        first = next(rows(path, bad, form), None)  # type: ignore[arg-type]
        if first is None:
            raise DataError(f"{path} has no usable rows ({bad.summary()})")
        return list(first.values)
    return table_names(path, read_delimited(path, encoding=form.encoding), form.header)[0]


def first_cells(path: str | Path | JoinedTable, form: TableFormat = USUAL) -> list[str] | None:
    """The first line of a CSV or TSV file, which may be a header; None for other tables.

    Raises:
        DataError: the file is missing or empty.
    """
    place = located(path)
    file = place.files[0].path if isinstance(place, JoinedTable) else place
    if table_suffix(file) not in (".csv", ".tsv"):
        return None
    return table_names(file, read_delimited(file, encoding=form.encoding), header=False)[1]


def separator_of(path: str | Path | JoinedTable, form: TableFormat = USUAL) -> str:
    """What stands between the cells of a CSV or TSV file."""
    place = located(path)
    file = place.files[0].path if isinstance(place, JoinedTable) else place
    return dialect_of(file.name, next(read_lines(file, encoding=form.encoding), "")).separator


def resolve_column(names: Sequence[str], wanted: str) -> str | None:
    """The column that a user means by its name, or by its number from 1; None where there is none."""
    if wanted in names:
        return wanted
    is_number = wanted.isascii() and wanted.isdigit() and len(wanted) < 10
    return names[int(wanted) - 1] if is_number and 1 <= int(wanted) <= len(names) else None


def several_columns(names: Sequence[str], wanted: str) -> list[str]:
    """The columns of a list of names between commas; a column whose own name has commas is taken as it is.

    Raises:
        OptionError: there is no name in it.
    """
    if wanted in names:
        return [wanted]
    found = [one.strip() for one in wanted.split(",") if one.strip()]
    if not found:
        raise OptionError(f"{shown(wanted)} names no column: give names with commas between them")
    return found


def read_rows(
    path: str | Path | JoinedTable, bad: BadRows, columns: Sequence[str] = (), form: TableFormat = USUAL
) -> Iterator[Row]:
    """Read a table row by row.

    Args:
        path: .csv, .tsv, .jsonl, .ndjson (also with .gz behind), or .parquet; a .json list of objects, or
            series in .ts or .arff; a folder with a folder for each label; or a pattern or URL, whose files
            are read one after the other.
        bad: what happens to rows that cannot be read.
        columns: columns that have to exist.
        form: how the table is written.
    Raises:
        DataError: the file is missing, empty or unreadable, or a column is missing (the message lists those
            that exist); a row is broken and `bad` does not skip. Of several files, one has other columns than
            the first.
        MissingExtraError: a Parquet file without pyarrow.
    """
    empty = True
    for rows in rows_by_file(path, bad, columns, form):
        for row in rows:
            empty = False
            yield row
    if empty:
        raise DataError(f"{path} has no usable rows{f' ({bad.summary()})' if bad.count else ''}")


def rows_by_file(
    path: str | Path | JoinedTable, bad: BadRows, columns: Sequence[str] = (), form: TableFormat = USUAL
) -> Iterator[Iterator[Row]]:
    """As `read_rows`, with an iterator for each file, which need not be read to its end or have any rows."""
    place = located(path)
    if not is_table(place):
        raise DataError(f"{path} is not a table that can be read: use {', '.join(TABLE_SUFFIXES)}")
    if not isinstance(place, JoinedTable):
        yield _rows_of(place, bad, columns, form, _names_of(place, form))
        return
    expected: list[str] = []
    for file in place.files:
        names = _names_of(file.path, form)
        expected = expected or names
        _expect_columns(file, names, place.files[0], expected)
        rows = _rows_of(file.path, bad, columns, form, names)
        yield (Row(FileLine(row.line, file.path), row.values, row.group) for row in rows)


def check_columns(table: JoinedTable, form: TableFormat = USUAL) -> None:
    """Look at the columns of every file before the rows of any are read.

    Raises:
        DataError: a file has other columns than the first, or cannot be read.
    """
    expected = column_names(table, form)
    for file in table.files[1:]:
        _expect_columns(file, _names_of(file.path, form), table.files[0], expected)


def _expect_columns(file: Source, names: Sequence[str], first: Source, expected: Sequence[str]) -> None:
    """Hold the columns of a file against those of the first file; their order is free.

    Raises:
        DataError: a column is missing or new (the message names it, and both files).
    """
    if table_suffix(file) in JSON_LINES:  # where a row may leave out what it has no value for
        return
    known, wanted = set(names), set(expected)
    missing = next((name for name in expected if name not in known), None)
    if missing is not None:
        raise DataError(
            f"{file} has no column {missing!r}, which {first} has: files that are one table have the same "
            f"columns (it has {listed(names)})"
        )
    new = next((name for name in names if name not in wanted), None)
    if new is not None:
        raise DataError(
            f"{file} has a column {new!r}, which {first} does not have: files that are one table have the "
            f"same columns"
        )


def _rows_of(
    path: Path | Source, bad: BadRows, columns: Sequence[str], form: TableFormat, names: Sequence[str]
) -> Iterator[Row]:
    """The rows of one file.

    Args:
        names: of its columns.
    """
    known = set(names)
    for column in columns:
        if column not in known:
            raise DataError(no_column(path, column, names))
    if table_suffix(path) == ".parquet":
        rows = _parquet_rows(path, bad)
    elif table_suffix(path) in JSON_LINES:
        rows = _json_rows(path, bad, form)
    elif isinstance(path, Path) and _is_other_table(path):
        rows = _other_rows(path, bad, form)
    else:
        rows = _delimited_rows(path, bad, form)
    if form.groups is not None:
        rows = _grouped(rows, form.groups, path, bad)
    for row in rows:
        missing = [column for column in columns if row.values.get(column) is None]
        if missing:
            bad.report(path, row.line, f"column {missing[0]!r} is missing")
            continue
        yield row


def _grouped(rows: Iterator[Row], groups: Groups, path: Path | Source, bad: BadRows) -> Iterator[Row]:
    for group in groups.join((row.line, row.values) for row in rows):
        if group.fault:
            bad.report(path, group.line, group.fault)
        else:
            yield Row(group.line, group.values, group.name)


def _delimited_rows(path: Path | Source, bad: BadRows, form: TableFormat) -> Iterator[Row]:
    rows = read_delimited(path, lambda line, fault: bad.report(path, line, fault), form.encoding)
    names, first = table_names(path, rows, form.header)
    yield from named_rows(rows if form.header else chain([(1, first)], rows), names, path, bad, form)


def named_rows(
    rows: Iterable[tuple[int, list[str]]],
    names: Sequence[str],
    path: str | Path | Source,
    bad: BadRows,
    form: TableFormat,
) -> Iterator[Row]:
    """Cells with the names of their columns.

    Args:
        rows: the line of each, and its cells; an empty line has none.
        names: of the columns.
        path: where they come from, for errors.
        bad: what happens to a row with more cells, or fewer.
        form: how numbers are written.
    """
    lists: set[str] = set()
    looked_at = 0
    for line, cells in above_the_end(rows):
        if not cells:
            continue
        if len(cells) != len(names):
            bad.report(path, line, f"{len(cells)} fields, expected {len(names)} ({listed(names)})")
            continue
        if looked_at < list_cells.ROWS:
            looked_at += 1
            lists.update(
                name for name, cell in zip(names, cells, strict=True) if list_cells.as_list(cell) is not None
            )
        if form.decimal is not None:
            cells = [plain_number(cell, form.decimal) for cell in cells]
        values: dict[str, Any] = dict(zip(names, cells, strict=True))
        for name in lists:
            found = list_cells.as_list(values[name])
            values[name] = values[name] if found is None else found
        yield Row(line, values)


def _json_rows(path: Path | Source, bad: BadRows, form: TableFormat) -> Iterator[Row]:
    filled = (
        (line, text) for line, text in enumerate(read_lines(path, encoding=form.encoding), 1) if text.strip()
    )
    first = next(filled, None)
    if first is None:
        raise DataError(f"{path} is empty: there is nothing to read")
    yield from json_rows(chain([first], filled), path, bad)


def json_rows(lines: Iterable[tuple[int, str]], path: str | Path | Source, bad: BadRows) -> Iterator[Row]:
    """The objects of JSON Lines.

    Args:
        lines: numbers and texts; none is empty.
        path: where they come from, for errors.
        bad: what happens to a line that is no object.
    """
    for line, text in lines:
        try:
            values = parse_json(text)
        except DataError as error:
            bad.report(path, line, str(error))
            continue
        if not isinstance(values, dict):
            bad.report(path, line, NO_OBJECT)
            continue
        yield Row(line, values)


def _parquet_rows(path: Path | Source, bad: BadRows) -> Iterator[Row]:
    for number, values in parquet_rows(path, lambda row, fault: bad.report(path, row, fault)):
        yield Row(number, values)


def table_names(
    path: str | Path | Source, rows: Iterator[tuple[int, list[str]]], header: bool
) -> tuple[list[str], list[str]]:
    """The names of the columns, and the cells of the first line, which is taken from the rows.

    Args:
        path: where they come from, for errors.
        rows: of `read_delimited`.
        header: the first line names the columns; without it they are numbers from 1.
    Raises:
        DataError: the line is missing or empty, or names a column twice.
    """
    first = next(rows, (1, []))[1]
    names = [name.strip() for name in first]
    if not any(names):
        raise DataError(f"{path} is empty, or its first line is: expected a header with the columns' names")
    if not header:
        return [str(number) for number in range(1, len(first) + 1)], first
    # Tables that pandas writes have an index without a name, and spreadsheets have empty columns at the end.
    names = [name or f"column {number}" for number, name in enumerate(names, 1)]
    refuse_repeated(f"{path} line 1", names)
    return names, first


def no_column(path: str | Path | Source, column: str, names: Sequence[str]) -> str:
    """The message for a column that a table does not have."""
    return f"{path} has no column {column!r}; its columns are {listed(names)}: rename the one that is meant"
