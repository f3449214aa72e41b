"""Several files that are one table, or a table behind a URL: what stands where the path of a file would."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from throughtime.data.lines import shown
from throughtime.data.sources import Source, find_files
from throughtime.errors import DataError
from throughtime.patterns import is_pattern

TABLE_SUFFIXES = (".csv", ".tsv", ".jsonl", ".ndjson", ".parquet")
JSON_LINES = (".jsonl", ".ndjson")
_LISTED = 20


@dataclass(frozen=True)
class JoinedTable:
    """Files whose rows are read one file after the other, in the order of their names.

    Args:
        pattern: the pattern or URL that stands for them, as the user wrote it.
        files: at least one; all of one format.
    """

    pattern: str
    files: tuple[Source, ...]

    def __str__(self) -> str:
        return self.pattern

    @property
    def name(self) -> str:
        """The last part of the pattern."""
        return Source(self.pattern).name

    @property
    def suffix(self) -> str:
        """Of its files."""
        return self.files[0].suffix

    def is_dir(self) -> bool:
        """It is no folder."""
        return False


class FileLine(int):
    """The number of a line that knows its file, where several files are one table.

    Whatever carries the number on to the message about a fault carries the file with it.
    """

    file: Path | Source

    def __new__(cls, line: int, file: Path | Source) -> FileLine:
        """Line `line` of `file`."""
        made = super().__new__(cls, line)
        made.file = file
        return made


def file_of_line(table: Any, line: int | None) -> Any:
    """The file that a line is in: that of the table, unless the line knows its own."""
    return line.file if isinstance(line, FileLine) else table


def place_of(table: Any, line: int) -> str:
    """The file and the line, for a message."""
    return f"{file_of_line(table, line)} line {line}"


def located(path: str | Path | JoinedTable) -> Path | JoinedTable:
    """What a user's name for data stands for: a path, or for a pattern or URL the table of its files.

    Raises:
        DataError: a pattern or URL stands for no table, or for tables of several formats.
        MissingExtraError: a URL needs a library that is not installed.
    """
    if isinstance(path, JoinedTable):
        return path
    if is_pattern(path):
        return join(str(path))
    return Path(path)


def stem_of(path: str | Path) -> str:
    """What files are called that say something about data: its name, or of `folder/*.csv` its folder's."""
    if not is_pattern(path):
        return Path(path).resolve().stem
    # What follows a question mark in a URL of the web may be a signature.
    inner = re.sub(r"^https?://([^?]*).*", r"\1", str(path).partition("::")[0]).rpartition("://")[2]
    names = (
        re.sub(r"[^\w-]+", "", part.partition(".")[0]).strip("-_") for part in reversed(inner.split("/"))
    )
    return next(filter(None, names), "data")


def join(pattern: str) -> JoinedTable:
    """The table of all files that a pattern, a URL or a folder stands for.

    Raises:
        DataError, MissingExtraError: as of `located`.
    """
    files = without_empty(find_files([pattern], lambda source: table_suffix(source) in TABLE_SUFFIXES))
    other = next((source for source in files if table_suffix(source) not in TABLE_SUFFIXES), None)
    if other is not None:
        raise DataError(f"{other} is not a table that can be read: use {', '.join(TABLE_SUFFIXES)}")
    formats: dict[str, Source] = {}
    for source in files:
        formats.setdefault(_format(source), source)
    if len(formats) > 1:
        first, second = list(formats.values())[:2]
        raise DataError(
            f"{pattern}: {first} and {second} are tables of different formats: name those of one format"
        )
    return JoinedTable(pattern, tuple(files))


def without_empty(files: Sequence[Source]) -> list[Source]:
    """Files but those of text that hold nothing, of which exports in parts leave some; all where all do."""
    filled = [file for file in files if file.size != 0 or table_suffix(file) == ".parquet"]
    return filled or list(files)


def table_suffix(path: Path | Source | JoinedTable) -> str:
    """What the name of a table ends in, .gz left out, in small letters."""
    name = (path.files[0] if isinstance(path, JoinedTable) else path).name.lower().removesuffix(".gz")
    return name[name.rfind(".") :] if "." in name else ""


def listed(names: Sequence[str]) -> str:
    """The first of many columns: an error has to stay a line."""
    return ", ".join(names[:_LISTED]) + (f"... ({len(names):,} in all)" if len(names) > _LISTED else "")


def refuse_repeated(where: str, names: Sequence[str]) -> None:
    """Raise DataError where two columns have one name: a row would keep the cell of one of them only."""
    if len(set(names)) < len(names):
        repeated = next(name for name, count in Counter(names).items() if count > 1)
        raise DataError(
            f"{where}: column {shown(repeated)} occurs twice: rename one; a line above the rows names them"
        )


def _format(source: Source) -> str:
    suffix = table_suffix(source)
    return JSON_LINES[0] if suffix in JSON_LINES else suffix
