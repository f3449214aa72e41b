"""The tables of a plan: what is known of each, and how a piece of one is read without the rest of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any

from throughtime.data.delimited import SEPARATOR_LINE, Dialect, delimited_rows, dialect_of
from throughtime.data.joined import JSON_LINES, TABLE_SUFFIXES, table_suffix
from throughtime.data.lines import read_lines
from throughtime.data.parquet import parquet_columns, parquet_kinds, parquet_length, parquet_rows
from throughtime.data.sources import Source
from throughtime.data.tables import (
    BadRows,
    Row,
    TableFormat,
    json_rows,
    named_rows,
    table_names,
)
from throughtime.encodings import UTF8
from throughtime.errors import DataError

# Encodings in which a byte that ends a line is never a part of another character.
_LINES_BY_BYTES = (
    "utf-8",
    "utf8",
    "ascii",
    "us-ascii",
    "latin",
    "iso-8859",
    "iso8859",
    "cp125",
    "windows-125",
)
_MARK = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class TableFile:
    """A table as the plan knows it.

    Args:
        source: the file.
        columns: their names.
        rows: how many; None in a compressed file, whose rows are one piece.
        starts: of tables of text: the byte and the line at which each piece begins.
        dialect: of CSV and TSV files.
        kinds: of Parquet files: what each column holds, of `parquet_kinds`.
    """

    source: Source
    columns: tuple[str, ...]
    rows: int | None
    starts: tuple[tuple[int, int], ...] = ()
    dialect: Dialect | None = None
    kinds: tuple[str, ...] = ()

    def kind(self, column: str) -> type:
        """What a column holds; text where nobody knows before it is read."""
        named = dict(zip(self.columns, self.kinds, strict=False))
        return {"int": int, "float": float, "bool": bool}.get(named.get(column, ""), str)

    def pieces(self, part_rows: int) -> int:
        """Into how many pieces it is cut."""
        if self.rows is None or self.starts:
            return len(self.starts) or 1
        return -(-self.rows // part_rows)

    def rows_of(self, piece: int, part_rows: int) -> int:
        """How many rows a piece has; bad rows count as well."""
        assert self.rows is not None
        return min(part_rows, self.rows - piece * part_rows)

    def read(self, piece: int, part_rows: int, form: TableFormat, bad: BadRows) -> Iterator[Row]:
        """The rows of a piece.

        Args:
            piece: its number.
            part_rows: rows of a piece.
            form: how the table is written.
            bad: what happens to rows that cannot be read.
        """
        path, name = self.source.path, str(self.source)

        def report(line: int, fault: str) -> None:
            bad.report(name, line, fault)

        if table_suffix(path) == ".parquet":
            first = piece * part_rows
            for number, values in parquet_rows(path, report, first, first + part_rows):
                yield Row(number, values)
            return
        start, line = self.starts[piece] if self.starts else (0, 1)
        lines: Iterator[str] = read_lines(path, encoding=form.encoding, start=start, first=line)
        if self.starts[piece + 1 :]:
            lines = islice(lines, self.starts[piece + 1][1] - line)
        if table_suffix(path) in JSON_LINES:
            filled = ((number, text) for number, text in enumerate(lines, line) if text.strip())
            yield from json_rows(filled, name, bad)
            return
        assert self.dialect is not None
        rows = delimited_rows(lines, self.dialect, name, report, line)
        if form.header and not self.starts:
            table_names(name, rows, header=True)
        yield from named_rows(rows, self.columns, name, bad, form)

    def as_dict(self) -> dict[str, Any]:
        """As JSON can hold it."""
        source = self.source
        return {
            "url": source.url,
            "size": source.size,
            "version": source.version,
            "columns": list(self.columns),
            "rows": self.rows,
            "starts": [list(start) for start in self.starts],
            "dialect": None if self.dialect is None else list(self.dialect),
            "kinds": list(self.kinds),
        }

    @classmethod
    def of_dict(cls, found: dict[str, Any]) -> TableFile:
        """What `as_dict` made."""
        return cls(
            Source(str(found["url"]), found["size"], str(found["version"])),
            tuple(map(str, found["columns"])),
            found["rows"],
            tuple((int(byte), int(line)) for byte, line in found["starts"]),
            None if found["dialect"] is None else Dialect(*found["dialect"]),
            tuple(found["kinds"]),
        )


def is_readable(source: Source) -> bool:
    """Whether a file's name is that of a table."""
    return table_suffix(source) in TABLE_SUFFIXES


def describe_table(source: Source, form: TableFormat, part_rows: int) -> TableFile:
    """Look at a table: the footer of a Parquet file, the first line of a compressed one, all lines of others.

    Args:
        source: the file.
        form: how it is written.
        part_rows: rows of a piece.
    Raises:
        DataError: it is no table, is empty, or cannot be read.
    """
    if not is_readable(source):
        raise DataError(f"{source} is not a table that can be read: use {', '.join(TABLE_SUFFIXES)}")
    path = source.path
    if table_suffix(path) == ".parquet":
        columns, rows = tuple(parquet_columns(path)), parquet_length(path)
        return TableFile(source, columns, rows, kinds=tuple(parquet_kinds(path)))
    is_whole = path.suffix.lower() == ".gz" or not form.encoding.lower().startswith(_LINES_BY_BYTES)
    index = _Index(source, form)
    if table_suffix(path) in JSON_LINES:
        return index.of_json(source, part_rows, is_whole)
    return index.of_cells(source, form, part_rows, is_whole)


class _Index:
    """The lines of a text, and the byte at which the next one begins.

    Args:
        source: the file.
        form: how it is written.
    """

    def __init__(self, source: Source, form: TableFormat) -> None:
        self._source = source
        self._encoding = form.encoding
        self._byte, self._line = 0, 0
        self._has_mark = False
        self._lines = self._counted()

    def _counted(self) -> Iterator[str]:
        if self._encoding == UTF8 and self._source.suffix.lower() != ".gz":
            with self._source.open() as file:
                self._byte = len(_MARK) if file.read(len(_MARK)) == _MARK else 0
        for line in read_lines(self._source.path, encoding=self._encoding):
            self._byte += len(line.encode(self._encoding, "surrogateescape"))
            self._line += 1
            yield line

    def of_json(self, source: Source, part_rows: int, is_whole: bool) -> TableFile:
        """A table of JSON Lines."""
        rows, starts = 0, []
        columns: tuple[str, ...] | None = None
        start = (0, 1)
        for text in self._lines:
            if text.strip():
                columns = _keys(source, text) if columns is None else columns
                if columns is not None and is_whole:
                    return TableFile(source, columns, None)
                if rows % part_rows == 0:
                    starts.append(start)
                rows += 1
            start = (self._byte, self._line + 1)
        if not rows:
            raise DataError(f"{source} is empty: there is nothing to read")
        if columns is None:
            raise DataError(f"{source} has no usable rows: no line is a JSON object")
        return TableFile(source, columns, rows, tuple(starts))

    def of_cells(self, source: Source, form: TableFormat, part_rows: int, is_whole: bool) -> TableFile:
        """A table of CSV or TSV."""
        first = next(self._lines, "")
        if SEPARATOR_LINE.fullmatch(first.strip()):
            raise DataError(f"{source} begins with a line {first.strip()!r}: delete it")
        dialect = dialect_of(source.name, first)
        reported = [0]

        def report(line: int, fault: str) -> None:
            reported[0] += 1

        cells = delimited_rows(chain([first], self._lines), dialect, str(source), report)
        names, values = table_names(str(source), cells, form.header)
        if form.header:
            start = (self._byte, self._line + 1)
        else:
            cells, start = chain([(1, values)], cells), (0, 1)
        begin = start
        if is_whole:
            return TableFile(source, tuple(names), None, dialect=dialect)
        read, starts = 0, []
        for _, row in cells:
            rows = read + reported[0]
            if (row or rows > read) and rows >= len(starts) * part_rows:
                starts.append(start)
            read += bool(row)
            start = (self._byte, self._line + 1)
        if reported[0] and not starts:
            starts = [begin]  # whoever reads it says what is wrong with its rows
        return TableFile(source, tuple(names), read + reported[0], tuple(starts), dialect)


def _keys(source: Source, text: str) -> tuple[str, ...] | None:
    """The columns of a table, as a line of JSON has them; None where it is none, which reading it reports."""
    row = next(json_rows([(1, text)], str(source), BadRows(skip=True)), None)
    return None if row is None else tuple(row.values)
