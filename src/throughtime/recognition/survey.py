"""What is in a user's file or folder: facts from its name and its beginning, and no judgement."""

from __future__ import annotations

import gzip
import re
import shlex
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

from throughtime.data.audio import AUDIO_SUFFIXES
from throughtime.data.class_folders import is_class_folder
from throughtime.data.file_names import FILE_COLUMN
from throughtime.data.groups import Groups
from throughtime.data.images import IMAGE_SUFFIXES
from throughtime.data.joined import JoinedTable, table_suffix
from throughtime.data.lines import read_lines
from throughtime.data.numbers import Decimal, as_float, how_written, plain_number, reads_as_number
from throughtime.data.sources import Source
from throughtime.data.tables import (
    USUAL,
    BadRows,
    TableFormat,
    check_columns,
    column_names,
    find_metadata,
    first_cells,
    is_table,
    rows_by_file,
    separator_of,
)
from throughtime.data.video import VIDEO_SUFFIXES
from throughtime.encodings import UTF8, guess_encoding
from throughtime.errors import DataError
from throughtime.recognition.columns import Column, sum_up
from throughtime.recognition.foreign import what_it_is
from throughtime.recognition.plain_text import line_of_names, tagged_words

# Enough to see what the labels are; reading them takes a tenth of a second.
_ROWS = 5_000
# Of rows with long lists or texts fewer will do.
_VALUES = 2_000_000
_LINES = 200
_BEGINNING = 1 << 16
_FILES = 2_000
# A header of so many words is a sentence.
_WORDS_OF_A_NAME = 6
# A header of so many years that follow each other.
_FEWEST_YEARS, _YEAR = 5, re.compile(r"\d{4}")
# Of several files that are one table, so many are looked into: they may be in the order of their labels.
_LOOKED_INTO = 20


@dataclass(frozen=True)
class TableSurvey:
    """What a table holds.

    Args:
        path: the table, or the files that are one.
        columns: by name; numbers from 1 where there is no header.
        rows: how many were looked at.
        complete: whether these are all.
        no_header: why the first line looks like a row; "" where it looks like a header, or is none.
        decimal: how its numbers are written, as in `TableFormat`.
        groups: which of its rows were joined, and the columns with one value for each group.
    """

    path: Path | JoinedTable
    columns: dict[str, Column]
    rows: int
    complete: bool
    no_header: str
    decimal: Decimal | None = None
    groups: Groups | None = None

    @property
    def folder(self) -> Path:
        """Where the files are that it names; those of several tables are refused when they are looked at."""
        assert isinstance(self.path, Path)
        return self.path if self.path.is_dir() else self.path.parent

    def of_kind(self, *kinds: str) -> list[str]:
        """The names of the columns of some kinds."""
        return [name for name, column in self.columns.items() if column.kind in kinds]


@dataclass(frozen=True)
class FolderSurvey:
    """What lies in a folder that has no metadata.

    Args:
        files: how many of each kind: picture, sound, video, table, array, text, other.
        inside: the same for the folders inside it, by their names.
        tables: the tables in it.
        example: a file's name, by kind.
        texts: the texts in it.
    """

    files: Counter[str]
    inside: dict[str, Counter[str]]
    tables: list[str]
    example: dict[str, str]
    texts: list[str]


@dataclass(frozen=True)
class Survey:
    """What a user named. At most one of table, text and folder is there.

    Args:
        path: as the user named it; several files that are one table.
        table: of a table, or of a folder's metadata.
        lines: the first lines of a text.
        foreign: what a file is that no task reads by itself, and what to do; None where it may be read.
        folder: of a folder without metadata.
        encoding: the name and the common name of what its text is encoded in, where that is not UTF-8.
        first_byte: the first one that is not, and where it is.
    """

    path: Path | JoinedTable
    table: TableSurvey | None = None
    lines: list[str] = field(default_factory=list)
    foreign: tuple[str, str] | None = None
    folder: FolderSurvey | None = None
    encoding: tuple[str, str] | None = None
    first_byte: str = ""

    @property
    def is_text(self) -> bool:
        """Whether it is a text file and no table."""
        return bool(self.lines)

    @property
    def suffix(self) -> str:
        """The end of its name, without .gz."""
        return suffix_of(self.path.name)


def look_at(path: Path | JoinedTable, form: TableFormat = USUAL) -> Survey:
    """Survey a file or folder.

    Args:
        path: it exists; or several files that are one table.
        form: how its texts are written.
    Raises:
        DataError: it is empty, or a table that cannot be read.
    """
    if isinstance(path, JoinedTable):
        return _look_at_files(path, form)
    if path.is_dir():
        metadata = find_metadata(path)
        if metadata is None and is_class_folder(path):
            return Survey(path, table=_look_at_table(path, form))
        if metadata is None:
            return Survey(path, folder=_look_into(path))
        return Survey(path, table=_look_at_table(metadata, form))
    if suffix_of(path.name) == ".parquet":
        return Survey(path, table=_look_at_table(path, form))
    beginning = _beginning(path)
    other = guess_encoding(beginning) if form.encoding == UTF8 else None
    if is_table(path):
        found = what_it_is(Path("table"), beginning)
        # Read in the wrong encoding, a table may have no columns at all.
        if found is not None or other is not None:
            return Survey(path, foreign=found, encoding=other, first_byte=_first_byte(beginning))
        lines = beginning.decode(form.encoding, "replace").splitlines()[:_LINES]
        if table_suffix(path) == ".tsv" and tagged_words(".tsv", lines[: max(len(lines) - 1, 1)]):
            return Survey(path, lines=lines)
        return Survey(path, table=_look_at_table(path, form))
    if not beginning:
        raise DataError(f"{path} is empty: there is nothing to read")
    found = what_it_is(path.with_name(path.name.removesuffix(".gz")), beginning)
    if found is not None:
        return Survey(path, foreign=found)
    lines = beginning.decode(form.encoding, "replace").removeprefix("\ufeff").splitlines()
    if not lines:
        raise DataError(f"{path} holds nothing but a byte order mark: there is nothing to read")
    # The last one may be cut.
    return Survey(
        path,
        lines=lines[: min(_LINES, max(len(lines) - 1, 1))],
        encoding=other,
        first_byte=_first_byte(beginning),
    )


def _look_at_files(table: JoinedTable, form: TableFormat) -> Survey:
    """Survey several files: the beginning of the first, the columns of all, rows of some."""
    first = table.files[0]
    if table_suffix(first) != ".parquet":
        beginning = _beginning(first.path)
        found = what_it_is(Path("table"), beginning)
        other = guess_encoding(beginning) if form.encoding == UTF8 else None
        if found is not None or other is not None:
            return Survey(table, foreign=found, encoding=other, first_byte=_first_byte(beginning))
    if FILE_COLUMN in column_names(table, form):
        raise DataError(
            f"{table}: a table that names files ({FILE_COLUMN}) has to be one table on this machine, beside "
            f"the files: name it or its folder"
        )
    check_columns(table, form)
    return Survey(table, table=_look_at_table(table, form))


def suffix_of(name: str) -> str:
    """The end of a file's name in lower case, without .gz; "" where it has none."""
    return Path(name.lower().removesuffix(".gz")).suffix


def _first_byte(beginning: bytes) -> str:
    try:
        beginning.decode(UTF8)
    except UnicodeDecodeError as error:
        line = beginning.count(b"\n", 0, error.start) + 1
        return f"byte 0x{beginning[error.start]:02x} at offset {error.start} (line {line})"
    return ""


def _beginning(path: Path | Source) -> bytes:
    try:
        with path.open("rb") as file:
            if path.name.lower().endswith(".gz"):
                return gzip.GzipFile(fileobj=file).read(_BEGINNING)
            return file.read(_BEGINNING)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(f"{path} is damaged or no gzip file: {error}") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from None


def _look_at_table(path: Path | JoinedTable, form: TableFormat) -> TableSurvey:
    bad = BadRows(skip=True)
    first = replace(path, files=path.files[:1]) if isinstance(path, JoinedTable) else path
    cells = first_cells(first, form)
    no_header, unnamed, read, complete = "", list[Column](), 0, False
    if cells is not None:
        # Read as if it had none, so that a first row with equal cells can be told from a header.
        found, read, complete = _columns_of(first, bad, replace(form, header=False, groups=None), skip=1)
        unnamed = list(found.values())
        if form.decimal is None:
            form = replace(form, decimal=_decimal_of(unnamed, separator_of(first, form) == ","))
        no_header = _why_no_header(cells, unnamed, form.decimal) if form.header else ""
    if no_header:
        columns, rows, complete = _columns_of(
            path, BadRows(skip=True), replace(form, header=False, groups=None)
        )
        return TableSurvey(path, columns, rows, complete, no_header, form.decimal, form.groups)
    names = column_names(first, form)  # an empty or repeated name is an error that says so
    usual = first is path and form == replace(form, header=True, decimal=None, groups=None)
    if usual and read and read >= bad.count:
        # Its rows are known already, but for their names.
        columns = {name: replace(one, name=name) for name, one in zip(names, unnamed, strict=True)}
        return TableSurvey(path, columns, read, complete, no_header)
    columns, rows, complete = _columns_of(path, BadRows(skip=True), form)
    groups = form.groups
    if groups is not None and groups.once is None:
        once = tuple(name for name, column in columns.items() if not column.lengths and column.filled)
        groups = replace(groups, once=once)
    return TableSurvey(path, columns, rows, complete, no_header, form.decimal, groups)


def _decimal_of(columns: Sequence[Column], between_commas: bool) -> Decimal | None:
    """How the numbers of a table are written, where whole columns of it are no plain numbers."""
    texts = [column.values for column in columns if column.kind == "text" and column.filled > 1]
    return next(filter(None, (how_written(values, between_commas) for values in texts)), None)


def _columns_of(
    path: Path | JoinedTable, bad: BadRows, form: TableFormat, skip: int = 0
) -> tuple[dict[str, Column], int, bool]:
    names = column_names(path, form)
    parts, complete = 1, True
    if isinstance(path, JoinedTable):
        # Some of many files, from all over the table, and of each its share of the rows.
        step = -(-len(path.files) // _LOOKED_INTO)
        path, complete = replace(path, files=path.files[::step]), step == 1
        parts = len(path.files)
    count = 0

    def rows() -> Iterator[dict[str, Any]]:
        nonlocal count, complete
        for part in rows_by_file(path, bad, form=form):
            taken, values = 0, 0
            for row in islice(part, skip, None):
                if taken >= _ROWS // parts or values > _VALUES // parts:
                    complete = False
                    break
                taken, count = taken + 1, count + 1
                values += sum(
                    len(value) if isinstance(value, (list, str)) else 1 for value in row.values.values()
                )
                yield (
                    row.values
                    if form.groups is None
                    else {name: _as_numbers(value) for name, value in row.values.items()}
                )

    columns = sum_up(names, rows())
    if not skip and bad.count >= count:
        line = _line_of_names(path, form) if "fields, expected" in "".join(bad.examples[:1]) else 0
        if line > 1:
            raise DataError(
                f"{path}: a title or a comment stands above line {line}, which has the columns' names: leave "
                f"it out, as in tail -n +{line} {shlex.quote(path.name)} > NEW{table_suffix(path)}"
            )
        if not count:
            quotes = ": a cell that holds a comma has to stand in quotes" if line else ""
            raise DataError(f"{path} has no usable rows{f' ({bad.summary()})' if bad.count else ''}{quotes}")
    return columns, count, complete


def _line_of_names(path: Path | JoinedTable, form: TableFormat) -> int:
    first = path.files[0] if isinstance(path, JoinedTable) else path
    return line_of_names(list(islice(read_lines(first, encoding=form.encoding), _LINES)))


def _as_numbers(value: Any) -> Any:
    """A list of cells as numbers, where they are numbers."""
    if isinstance(value, list) and value and all(reads_as_number(one) for one in value):
        return [as_float(one) for one in value]
    return value


def _why_no_header(cells: list[str], columns: Sequence[Column], decimal: Decimal | None) -> str:
    """Why the first line is a row like the others; "" where it may be a header."""
    if decimal is not None:
        cells = [plain_number(cell, decimal) for cell in cells]
    numbers = [cell.strip() for cell in cells if reads_as_number(cell)]
    if len(numbers) > 2 and numbers in (_counted(0, len(numbers)), _counted(1, len(numbers))):
        return ""  # columns that are numbered
    are_years = len(numbers) >= _FEWEST_YEARS and all(_YEAR.fullmatch(number) for number in numbers)
    if are_years and numbers == _counted(int(numbers[0]), len(numbers)):
        return ""
    for number, (cell, column) in enumerate(zip(cells, columns, strict=False), 1):
        cell = cell.strip()
        if not cell or not column.filled:
            continue
        if reads_as_number(cell) and column.kind == "number":
            return f"its cell {number} is the number {cell}, as below it"
        if column.kind == "text" and column.is_category and column.values[cell] > 0:
            return f"its cell {number} is {cell!r}, which occurs below it, too"
        if column.kind == "text" and len(cell.split()) >= _WORDS_OF_A_NAME:
            return f"its cell {number} is a sentence of {len(cell.split())} words"
    return ""


def _counted(first: int, count: int) -> list[str]:
    return [str(number) for number in range(first, first + count)]


def _look_into(folder: Path) -> FolderSurvey:
    files: Counter[str] = Counter()
    inside: dict[str, Counter[str]] = {}
    tables, texts = list[str](), list[str]()
    example: dict[str, str] = {}
    for path in islice(sorted(folder.iterdir()), _FILES):
        if path.name.startswith("."):
            continue
        if path.is_dir():
            found = (one for one in islice(path.iterdir(), _FILES) if one.is_file())
            inside[path.name] = Counter(_kind_of_file(one.name) for one in found)
            continue
        kind = _kind_of_file(path.name)
        files[kind] += 1
        example.setdefault(kind, path.name)
        if kind == "table":
            tables.append(path.name)
        elif kind == "text":
            texts.append(path.name)
    return FolderSurvey(files, inside, tables, example, texts)


def _kind_of_file(name: str) -> str:
    suffix = suffix_of(name)
    kinds = {
        "picture": IMAGE_SUFFIXES,
        "sound": AUDIO_SUFFIXES,
        # MPEG streams and sktime's texts are both called .ts.
        "video": VIDEO_SUFFIXES - {".ts"},
        "array": (".npy", ".npz"),
        "table": (".csv", ".tsv", ".jsonl", ".ndjson", ".parquet"),
        "text": (".txt", ".md", ".text"),
    }
    return next((kind for kind, suffixes in kinds.items() if suffix in suffixes), "other")
