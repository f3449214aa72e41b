"""Labelled examples on disk: texts, vectors, sequences of numbers, sounds; which of them, the files tell."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from throughtime.data.arrays import read_array
from throughtime.data.audio import read_sound
from throughtime.data.features import FeatureSpace, is_sequence_file, is_sound_file
from throughtime.data.file_names import file_of
from throughtime.data.labels import label_text
from throughtime.data.lines import check_text, shown
from throughtime.data.numbers import read_number, reads_as_number
from throughtime.data.tables import BadRows, Row, column_names, is_table, read_rows
from throughtime.errors import DataError, MissingExtraError

InputKind = Literal["vectors", "text", "sequences", "audio"]

METADATA = ("metadata.csv", "metadata.tsv", "metadata.jsonl", "metadata.parquet")
FILE_COLUMN = "file_name"

# Enough to tell a column of numbers with a bad value from a column of words.
_ROWS_LOOKED_AT = 10


@dataclass(frozen=True)
class Example:
    """One thing to be labelled.

    Args:
        input: a text, or features (T, F) float32; a vector has T = 1.
        label: its name; None where it is not known.
        name: what stands for the input where it is shown: the text, the file's name, the row.
        line: its line in its table.
    """

    input: str | NDArray[np.float32]
    label: str | None
    name: str
    line: int


@dataclass
class ExampleReader:
    """Reads examples of one kind from tables and folders.

    Args:
        kind: see `find_kind`.
        text_column, label_column: the columns of tables.
        bands, window, hop: the log-mel frames of sounds.
        space: the features that there have to be; None takes those of the first example, and demands them of
            the others.
        needs_label: an example without a label is a bad one.
        allow_outside: read files outside the folder of the table that names them.
    """

    kind: InputKind
    text_column: str = "text"
    label_column: str = "label"
    bands: int = 40
    window: float = 0.025
    hop: float = 0.01
    space: FeatureSpace | None = None
    needs_label: bool = True
    allow_outside: bool = False

    def read(self, path: str | Path, bad: BadRows) -> Iterator[Example]:
        """The examples of a table, or of a folder with metadata.csv, one after the other.

        Raises:
            DataError: a file is missing or lacks the columns; an example is bad, and `bad` does not skip.
        """
        table = table_of(path)
        for row in read_rows(table, bad, self._columns(table)):
            try:
                label = label_text(row.values.get(self.label_column)) or None
                if label is None and self.needs_label:
                    raise DataError(f"{self.label_column} is empty")
                example = Example(self._input(row, table), label, self._name(row), row.line)
            except DataError as error:
                bad.report(table, row.line, str(error))
                continue
            yield example

    def read_file(self, path: str | Path) -> NDArray[np.float32]:
        """Features (T, F) from one file, an array or a sound.

        Raises:
            DataError: it is missing, broken or has other features than it should.
        """
        if self.kind == "audio":
            rate = None if self.space is None else self.space.rate
            array, found = read_sound(path, rate, self.bands, self.window, self.hop)
            self.space = self.space or FeatureSpace(tuple(f"mel {band}" for band in range(self.bands)), found)
        else:
            array, names = read_array(path, None if self.space is None else self.space.names)
            self.space = self.space or FeatureSpace(names)
        return array

    def read_line(self, line: str) -> str | NDArray[np.float32]:
        """The input that one line stands for: a text, the numbers of a vector, or the name of a file.

        Raises:
            DataError: it is none.
        """
        check_text(line)
        if self.kind == "text":
            return self.check_text(line)
        if self.kind != "vectors":
            return self.read_file(line.strip())
        values = line.split("\t" if "\t" in line else ",")
        names = self._expected(tuple(map(str, range(len(values)))))
        if len(values) != len(names):
            raise DataError(f"{len(values)} values, expected {len(names)} ({', '.join(names)})")
        features = dict(zip(names, values, strict=True))
        return np.array([[_number(features, name) for name in names]], dtype=np.float32)

    def check_text(self, text: str) -> str:
        """The text, where there is something in it.

        Raises:
            DataError: it is empty, or white space only.
        """
        if not text.strip():
            raise DataError(f"{self.text_column} is empty")
        return text

    def _columns(self, table: Path) -> list[str]:
        columns = [self.label_column] if self.needs_label else []
        if self.kind == "text":
            return [self.text_column, *columns]
        return [FILE_COLUMN, *columns] if self.kind == "audio" or _names_files(table) else columns

    def _name(self, row: Row) -> str:
        if self.kind == "text":
            return str(row.values[self.text_column])
        return str(row.values.get(FILE_COLUMN, f"row {row.line}"))

    def _input(self, row: Row, table: Path) -> str | NDArray[np.float32]:
        if self.kind == "text":
            return self.check_text(str(row.values[self.text_column]))
        if FILE_COLUMN in row.values:
            return self.read_file(file_of(table, row.values[FILE_COLUMN], self.allow_outside))
        features = {name: value for name, value in row.values.items() if name != self.label_column}
        if self.kind == "vectors":
            names = self._expected(tuple(features))
            array = np.array([[_number(features, name) for name in names]], dtype=np.float32)
        elif len(features) == 1 and isinstance(_first(next(iter(features.values()))), (list, tuple)):
            names, array = self._matrix(features)
        else:
            names = self._expected(tuple(features))
            array = _columns_to_array([_numbers(features, name) for name in names], names)
        self.space = self.space or FeatureSpace(names)
        return array

    def _matrix(self, features: dict[str, Any]) -> tuple[tuple[str, ...], NDArray[np.float32]]:
        """A single column that holds a list of steps, each a list of features."""
        (name,) = features
        steps = [_numbers({name: step}, name) for step in features[name]]
        names = self._expected(tuple(map(str, range(len(steps[0])))))
        for index, step in enumerate(steps, 1):
            if len(step) != len(names):
                raise DataError(f"{name}, step {index}: {len(step)} features, expected {len(names)}")
        return names, np.array(steps, dtype=np.float32)

    def _expected(self, found: tuple[str, ...]) -> tuple[str, ...]:
        return found if self.space is None else self.space.names


def find_kind(path: str | Path, text_column: str = "text", label_column: str = "label") -> InputKind:
    """What kind of examples a table or folder holds. Reads little.

    Kinds:
        text: a table with a text column.
        vectors: a table whose other columns are numbers.
        sequences: a table whose other columns are lists of numbers, or a folder (or its metadata file) that
            names .csv, .tsv, .npy or .npz files, one a sequence.
        audio: a folder that names .wav, .flac or .ogg files.

    Raises:
        DataError: it is none of these.
    """
    table = table_of(path)
    columns = column_names(table)
    if text_column in columns:
        return "text"
    rows = list(islice(read_rows(table, BadRows(skip=True)), _ROWS_LOOKED_AT))
    if FILE_COLUMN in columns:
        name = str(rows[0].values[FILE_COLUMN])
        if is_sequence_file(name):
            return "audio" if is_sound_file(name) else "sequences"
        raise DataError(
            f"{table} line {rows[0].line}: {shown(name)} is neither an array (.csv, .tsv, .npy, .npz) "
            f"nor a sound (.wav, .flac, .ogg)"
        )
    features = [name for name in columns if name != label_column]
    if not features:
        raise DataError(f"{table} has no column besides {label_column!r}: there is nothing to learn from")
    if any(isinstance(rows[0].values.get(name), (list, tuple)) for name in features):
        return "sequences"
    for name in features:
        # One bad value is a bad row; a column of them is something else than a feature.
        if not any(reads_as_number(row.values.get(name)) for row in rows):
            raise DataError(
                f"{table} has no column {text_column!r}, and {name!r} is no number on line {rows[0].line}: "
                f"name the column with the texts (--text-column), or leave in numbers only"
            )
    return "vectors"


def is_example_file(path: Path, kind: InputKind) -> bool:
    """Whether a file is one example itself, and not a table of them."""
    if kind not in ("sequences", "audio") or not path.is_file() or not is_sequence_file(path.name):
        return False
    return not is_table(path) or not _names_files(path)


def holds_labelled_examples(path: Path) -> bool:
    """Whether a classifier can learn from it: one of the known kinds, with a label each. Never raises."""
    try:
        table = table_of(path)
        if "label" not in column_names(table):
            return False
        find_kind(path)
        return True
    except (DataError, MissingExtraError, OSError, StopIteration):
        return False


def table_of(path: str | Path) -> Path:
    """The table itself, or the metadata file of a folder.

    Raises:
        DataError: there is none.
    """
    path = Path(path)
    if path.is_dir():
        for name in METADATA:
            if (path / name).is_file():
                return path / name
        raise DataError(
            f"{path} has no metadata.csv (or .tsv, .jsonl, .parquet) that names its files and labels"
        )
    if not path.exists():
        raise DataError(f"{path}: no such file or folder (the working directory is {Path.cwd()})")
    if not is_table(path):
        raise DataError(
            f"{path} is not a table: use .csv, .tsv, .jsonl or .parquet, or a folder with metadata.csv"
        )
    return path


def _names_files(table: Path) -> bool:
    return FILE_COLUMN in column_names(table)


def _number(features: dict[str, Any], name: str) -> float:
    if features.get(name) is None:
        raise DataError(f"feature {name!r} is missing")
    try:
        return read_number(features[name])
    except DataError as error:
        raise DataError(f"feature {name!r}: {error}") from None


def _numbers(features: dict[str, Any], name: str) -> list[float]:
    values = features.get(name)
    if not isinstance(values, (list, tuple)) or not values:
        raise DataError(f"feature {name!r} is not a list of numbers, or an empty one")
    try:
        return [read_number(value) for value in values]
    except DataError as error:
        raise DataError(f"feature {name!r}: {error}") from None


def _columns_to_array(columns: Sequence[list[float]], names: Sequence[str]) -> NDArray[np.float32]:
    for name, column in zip(names, columns, strict=True):
        if len(column) != len(columns[0]):
            raise DataError(
                f"feature {name!r} has {len(column)} steps, and {names[0]!r} has {len(columns[0])}: "
                f"they have to be as long as each other"
            )
    return np.array(columns, dtype=np.float32).T


def _first(value: Any) -> Any:
    return value[0] if isinstance(value, (list, tuple)) and value else None
