"""Labelled examples on disk: texts, vectors, sequences of numbers, sounds; which of them, the files tell."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from throughtime.config.sound import SoundFrames
from throughtime.data.arrays import Fill, fill_gaps
from throughtime.data.class_folders import is_class_folder
from throughtime.data.events import events_as_text
from throughtime.data.feature_files import read_features
from throughtime.data.features import FeatureSpace, is_sequence_file
from throughtime.data.file_names import FILE_COLUMN, file_of
from throughtime.data.joined import JoinedTable, located
from throughtime.data.lines import check_text
from throughtime.data.numbers import read_number
from throughtime.data.tables import (
    USUAL,
    BadRows,
    Row,
    TableFormat,
    column_names,
    find_metadata,
    is_table,
    read_rows,
    several_columns,
)
from throughtime.errors import DataError
from throughtime.targets.truth import TruthReader

_NOTHING = ("", "nan", "na", "?")
InputKind = Literal["vectors", "text", "sequences", "audio"]


@dataclass(frozen=True)
class Example:
    """One thing to be labelled.

    Args:
        input: a text, or features (T, F) float32; a vector has T = 1. None for a blank line.
        truth: its label, its labels or its numbers; None where the table does not say.
        name: what stands for the input where it is shown: the text, the file's name, the row.
        line: its line in its table.
        second: its second text; None where it has none.
        beside: what stands beside it, by column; None where the table is none.
    """

    input: str | NDArray[np.float32] | None
    truth: Any
    name: str
    line: int
    second: str | None = None
    beside: dict[str, Any] | None = None


@dataclass(frozen=True)
class ExampleColumns:
    """What the columns of a table are for.

    Args:
        needed: those that it has to have.
        texts: what is read of a text.
        only: the only ones that are read as numbers; None reads all.
        truths: what holds the truth, whether the table has it or not.
        static: what stands beside an example.
        kept: what is passed on to the predictions, and read as nothing else.
    """

    needed: list[str]
    texts: list[str]
    only: list[str] | None
    truths: list[str]
    static: list[str]
    kept: Sequence[str] = ()


@dataclass
class ExampleReader:
    """Reads examples of one kind from tables and folders.

    Args:
        kind: "text", a table with a text column; "vectors", one whose other columns are numbers; "sequences",
            one whose other columns are lists of numbers, or one that names .csv, .tsv, .npy or .npz files;
            "audio", one that names .wav, .flac or .ogg files.
        text_column: the column of tables with the text; several stand between commas.
        second_text: the column with each one's second text, by name; None where there is none.
        static_columns: the columns that stand beside what is read, by their names between commas.
        truth: reads what a table says of each example.
        columns: the only ones of a table, or of the arrays that it names, that are read besides the label's,
            between commas; None reads all.
        fill: what takes the place of gaps in arrays; see `read_array`.
        form: how tables of text are written.
        sound: how sounds become frames.
        space: the features that there have to be; None takes those of the first example, and demands them of
            the others.
        needs_truth: an example of which the table does not say it is a bad one.
        allow_outside: read files outside the folder of the table that names them.
        steps_in_columns: each row of numbers is a sequence of one feature, and its columns are the steps.
    """

    kind: InputKind
    text_column: str = "text"
    second_text: str | None = None
    static_columns: str | None = None
    truth: TruthReader = TruthReader()
    columns: str | None = None
    form: TableFormat = USUAL
    fill: Fill = "none"
    sound: SoundFrames = SoundFrames()
    space: FeatureSpace | None = None
    needs_truth: bool = True
    allow_outside: bool = False
    steps_in_columns: bool = False

    def read(self, path: str | Path | JoinedTable, bad: BadRows) -> Iterator[Example]:
        """The examples of a table, or of a folder with metadata.csv, one after the other.

        Raises:
            DataError: a file is missing or lacks the columns; an example is bad, and `bad` does not skip.
        """
        table = table_of(path)
        columns = self.columns_of(column_names(table, self.form))
        for row in read_rows(table, bad, columns.needed, self.form):
            try:
                truth = None
                if self.needs_truth or all(name in row.values for name in columns.truths):
                    truth = self.truth.read(row.values, columns.truths)
                if truth is None and self.needs_truth:
                    raise DataError(f"{columns.truths[0]} is empty")
                example = self.example(row, columns, table, truth)
            except DataError as error:
                bad.report(table, row.line, str(error))
                continue
            yield example

    @property
    def in_rows(self) -> bool:
        """Whether arrays stand in the rows of tables, so that a .csv is none itself."""
        return self.steps_in_columns or self.form.groups is not None

    def columns_of(self, names: Sequence[str]) -> ExampleColumns:
        """What the columns of a table are for.

        Args:
            names: of the table's columns.
        """
        texts = several_columns(names, self.text_column)
        only = None
        if self.columns is not None and FILE_COLUMN not in names:
            only = several_columns(names, self.columns)
        truths = self.truth.columns(names)
        static = [] if self.static_columns is None else several_columns(names, self.static_columns)
        needed = truths if self.needs_truth else []
        if self.kind == "text":
            needed = [*texts, *([] if self.second_text is None else [self.second_text]), *needed]
        elif self.kind == "audio" or FILE_COLUMN in names:
            needed = [FILE_COLUMN, *needed]
        else:
            needed = [*(only or ()), *needed]
        return ExampleColumns([*needed, *static], texts, only, truths, static)

    def example(
        self, row: Row, columns: ExampleColumns, table: Path | JoinedTable, truth: Any = None
    ) -> Example:
        """The example of a row.

        Args:
            row: of the table.
            columns: of `columns_of`.
            table: whose folder the files are in that it names.
            truth: what it says of the example.
        Raises:
            DataError: the row cannot be used.
        """
        beside = {name: _filled(row.values, name) for name in columns.static}
        if self.kind == "text":
            text = self.check_text("\n".join(_as_text(row.values[name]) for name in columns.texts))
            second = None if self.second_text is None else _filled(row.values, self.second_text)
            name = text if second is None else f"{text}\t{second}"  # as on standard input
            return Example(text, truth, name, row.line, None if second is None else str(second), beside)
        name = str(row.values.get(FILE_COLUMN, row.group or f"row {row.line}"))
        return Example(self._features(row, table, columns), truth, name, row.line, None, beside)

    def read_file(self, path: str | Path) -> NDArray[np.float32]:
        """Features (T, F) from one file, an array or a sound.

        Raises:
            DataError: it is missing, broken or has other features than it should.
        """
        is_sound = self.kind == "audio"
        array, self.space = read_features(path, is_sound, self.space, self.sound, self.columns, self.fill)
        return array

    def read_line(self, line: str) -> tuple[str | NDArray[np.float32], str | None]:
        """What a line stands for: a text, two with a tab between, the numbers of a vector, or a file's name.

        Raises:
            DataError: it is none.
        """
        check_text(line)
        if self.second_text is not None:
            first, tab, second = line.partition("\t")
            if not tab or not second.strip():
                raise DataError(f"the model reads pairs: a text, a tab, and the {self.second_text} to it")
            return self.check_text(first), second
        return self._read_single(line), None

    def _read_single(self, line: str) -> str | NDArray[np.float32]:
        if self.kind == "text":
            return self.check_text(line)
        values = line.split("\t" if "\t" in line else ",")
        if self.steps_in_columns and len(values) > 1:
            return self._steps(dict(enumerate(values, 1)), "the line")
        if self.kind != "vectors":
            return self.read_file(line.strip())
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

    def _features(self, row: Row, table: Path | JoinedTable, columns: ExampleColumns) -> NDArray[np.float32]:
        if FILE_COLUMN in row.values:
            return self.read_file(file_of(table, row.values[FILE_COLUMN], self.allow_outside))
        aside = {*columns.truths, *columns.static, *columns.kept}
        names = row.values if columns.only is None else columns.only
        features = {name: row.values[name] for name in names if name not in aside}
        if not features:
            raise DataError("there is nothing beside its label")
        if self.steps_in_columns:
            return self._steps(features, f"row {row.line}")
        if self.kind == "vectors":
            names = self._expected(tuple(features))
            array = np.array([[_number(features, name) for name in names]], dtype=np.float32)
        elif len(features) == 1 and isinstance(_first(next(iter(features.values()))), (list, tuple)):
            names, array = self._matrix(features)
            array = self._without_gaps(array, row)
        else:
            names = self._expected(tuple(features))
            array = _columns_to_array([self._numbers(features, name) for name in names], names)
            array = self._without_gaps(array, row)
        self.space = self.space or FeatureSpace(names)
        return array

    def _steps(self, values: Mapping[Any, Any], name: str) -> NDArray[np.float32]:
        """The columns of a row as (T, 1). Shorter sequences have nothing, or NaN, in the last columns."""
        numbers = [math.nan if _is_gap(value) else value for value in values.values()]
        while numbers and _is_gap(numbers[-1]):
            numbers.pop()
        if not numbers:
            raise DataError("it has no steps")
        steps = [
            math.nan if _is_gap(value) and self.fill != "none" else _number({key: value}, key)
            for key, value in zip(values, numbers, strict=False)
        ]
        self.space = self.space or FeatureSpace(("value",))
        return fill_gaps(np.array(steps)[:, None], self.fill, name).astype(np.float32)

    def _matrix(self, features: dict[str, Any]) -> tuple[tuple[str, ...], NDArray[np.float64]]:
        """A single column that holds a list of steps, each a list of features."""
        (name,) = features
        steps = [self._numbers({name: step}, name) for step in features[name]]
        names = self._expected(tuple(map(str, range(len(steps[0])))))
        for index, step in enumerate(steps, 1):
            if len(step) != len(names):
                raise DataError(f"{name}, step {index}: {len(step)} features, expected {len(names)}")
        return names, np.array(steps)

    def _numbers(self, features: dict[str, Any], name: str) -> list[float]:
        """A list of numbers; NaN for each gap that is to be filled."""
        values = features.get(name)
        if not isinstance(values, (list, tuple)) or not values:
            raise DataError(f"feature {name!r} is not a list of numbers, or an empty one")
        fills = self.fill != "none"
        try:
            return [math.nan if fills and _is_gap(value) else read_number(value) for value in values]
        except DataError as error:
            advice = " (--fill fills gaps)" if not fills and any(map(_is_gap, values)) else ""
            raise DataError(f"feature {name!r}: {error}{advice}") from None

    def _without_gaps(self, array: NDArray[np.float64], row: Row) -> NDArray[np.float32]:
        return fill_gaps(array, self.fill, f"row {row.line}").astype(np.float32)

    def _expected(self, found: tuple[str, ...]) -> tuple[str, ...]:
        return found if self.space is None else self.space.names


def is_example_file(path: Path | JoinedTable, kind: InputKind, in_rows: bool = False) -> bool:
    """Whether a file is one example itself, and not a table of them."""
    if (
        kind not in ("sequences", "audio")
        or (in_rows and is_table(path))
        or isinstance(path, JoinedTable)
        or not path.is_file()
        or not is_sequence_file(path.name)
    ):
        return False
    return not is_table(path) or FILE_COLUMN not in column_names(path)


def table_of(path: str | Path | JoinedTable) -> Path | JoinedTable:
    """The table itself, which may be in several files, or the metadata file of a folder.

    Raises:
        DataError: there is none.
    """
    path = located(path)
    if isinstance(path, JoinedTable):
        return path
    if path.is_dir():
        if (found := find_metadata(path)) is not None:
            return found
        if is_class_folder(path):
            return path
        raise DataError(
            f"{path} has no metadata.csv (or .tsv, .jsonl, .parquet) that names its files and labels, and no "
            f"folder for each label"
        )
    if not path.exists():
        raise DataError(f"{path}: no such file or folder (the working directory is {Path.cwd()})")
    if not is_table(path):
        raise DataError(
            f"{path} is not a table: use .csv, .tsv, .jsonl or .parquet, or a folder with metadata.csv"
        )
    return path


def _filled(values: dict[str, Any], name: str) -> Any:
    """What a column holds that must not be empty."""
    value = values.get(name)
    if value is None or not str(value).strip():
        raise DataError(f"{name} is empty")
    return value


def _as_text(value: Any) -> str:
    """A text, or a list of events as one."""
    return events_as_text(value) if isinstance(value, (list, tuple)) else str(value)


def _is_gap(value: Any) -> bool:
    return value is None or value != value or (isinstance(value, str) and value.strip().lower() in _NOTHING)


def _number(features: Mapping[Any, Any], name: Any) -> float:
    if features.get(name) is None:
        raise DataError(f"feature {name!r} is missing")
    try:
        return read_number(features[name])
    except DataError as error:
        raise DataError(f"feature {name!r}: {error}") from None


def _columns_to_array(columns: Sequence[list[float]], names: Sequence[str]) -> NDArray[np.float64]:
    for name, column in zip(names, columns, strict=True):
        if len(column) != len(columns[0]):
            raise DataError(
                f"feature {name!r} has {len(column)} steps, and {names[0]!r} has {len(columns[0])}: "
                f"they have to be as long as each other"
            )
    return np.array(columns).T


def _first(value: Any) -> Any:
    return value[0] if isinstance(value, (list, tuple)) and value else None
