"""Examples that a program holds: texts, arrays and pairs, as the rows of a table.

The names of a row's columns tell recognition what the data is for, as in a file: `text` and `label`, `source`
and `target`, `tokens` and `tags`, numbers and `label`, or arrays with `label` or `labels`.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from throughtime.data.file_names import FILE_COLUMN
from throughtime.data.lines import shown
from throughtime.errors import DataError
from throughtime.in_memory.frames import Row, frame_of_series, frame_rows, is_frame, is_series
from throughtime.in_memory.values import as_array, is_array, plain

LABEL, FRAME_LABELS = "label", "labels"
_FORECASTER = "forecaster"
# By the task, what the two halves of a pair of texts are called: the option that says so, and the usual name.
_OF_TEXTS = {
    "translator": (("source_column", "source"), ("target_column", "target")),
    "word-tagger": (("word_column", "tokens"), ("tag_column", "tags")),
    "captioner": (("", FILE_COLUMN), ("", "caption")),
}
TIME, VALUE, SERIES = "time", "value", "series"


class Options(dict[str, Any]):
    """The options of a training or a measurement, and those that follow from the form of its data."""

    def usual(self, name: str, value: Any) -> None:
        """Settle what the user left open."""
        if self.get(name) is None:
            self[name] = value

    def column(self, option: str, usual: str) -> str:
        """What a column is called: as the option says, where it names one."""
        return self.get(option) or usual


@dataclass(frozen=True)
class FrameLabels:
    """What is said of each step of a sequence.

    Args:
        values: (T,) or (T, C) numbers, or T plain values.
    """

    values: Any


def rows_of(data: Any, options: Options) -> Iterator[Row]:
    """The rows of data in memory.

    Args:
        data: a frame, a list, an array, a tuple (inputs, labels), a data set of torch, an iterable.
        options: `task` and others say what is meant; gets what the form of the data settles.
    Yields:
        Values by column: plain ones, or an array (T, F) under FILE_COLUMN, with `FrameLabels` or a label.
    Raises:
        DataError: it is nothing that can be read (the message says what to give).
    """
    if is_series(data) or (isinstance(data, np.ndarray) and data.dtype.kind in "UO" and data.ndim == 1):
        values = list(data)
        is_text = bool(values) and isinstance(values[0], str)
        data = values if is_text or isinstance(data, np.ndarray) else frame_of_series(data)
    if is_frame(data):
        return frame_rows(data)
    if isinstance(data, tuple):
        return _with_labels(data, options)
    if is_array(data):
        return _of_array(as_array(data), options)
    first, examples = _peek(_iterate(data))
    if isinstance(first, tuple):
        return _of_pairs(examples, options)
    if isinstance(first, Mapping):
        return (dict(row) for row in _alike(examples, Mapping, "a dictionary"))
    if isinstance(first, str):
        return _of_texts(first, _alike(examples, str, "a text"), options)
    if is_array(first) and _is_series(options):
        return _of_several_series(examples, options)
    if is_array(first):
        raise DataError(f"arrays without labels: give (arrays, labels), or {_TO_FORECAST}")
    raise DataError(
        f"a list of {type(first).__name__}: give texts, pairs (input, label), dictionaries, or one tuple "
        f"(inputs, labels)"
    )


_TO_FORECAST = 'task="forecaster" to learn how numbers go on'


def _is_series(options: Mapping[str, Any]) -> bool:
    return options.get("task") == _FORECASTER or options.get("horizon") is not None


def _iterate(data: Any) -> Iterator[Any]:
    if hasattr(data, "dataset") and hasattr(data, "batch_size"):
        raise DataError(
            "a DataLoader gives batches, and Throughtime makes its own: give the data set itself "
            "(loader.dataset)"
        )
    if isinstance(data, (bytes, bytearray)):
        raise DataError("bytes are no text: decode them first")
    if hasattr(data, "__iter__"):
        return iter(data)
    if hasattr(data, "__getitem__") and hasattr(data, "__len__"):
        # A data set of torch, which need not stop at its end by itself.
        return (data[number] for number in range(len(data)))
    raise DataError(
        f"{type(data).__name__} is no type of data: give a path, tt.Text, a list, an array, a frame, or a "
        f"data set of pairs"
    )


def _peek(examples: Iterator[Any]) -> tuple[Any, Iterator[Any]]:
    for first in examples:
        return first, itertools.chain([first], examples)
    raise DataError("there is not a single example in it")


def _alike(examples: Iterable[Any], kind: type, called: str) -> Iterator[Any]:
    for number, example in enumerate(examples, 1):
        if not isinstance(example, kind):
            raise DataError(
                f"{row_name(number)} is of type {type(example).__name__}, and the first one is {called}"
            )
        yield example


def row_name(number: int) -> str:
    """What a message calls a row: as people count, and as Python does."""
    return f"row {number} (index {number - 1})"


def _of_texts(first: str, texts: Iterator[str], options: Options) -> Iterator[Row]:
    if _names_a_file(first):
        raise DataError(
            f"a list of texts, but {first} is a file: to read files, name one of them, or a folder"
        )
    if options.get("task") in (None, "language-model"):
        options.usual("lines", True)
    name = options.column("text_column", "text")
    return ({name: text} for text in texts)


def _names_a_file(text: str) -> bool:
    try:
        return Path(text).is_file()
    except OSError:  # longer than any name
        return False


def _with_labels(data: tuple[Any, ...], options: Options) -> Iterator[Row]:
    """The rows of a tuple (inputs, labels)."""
    if len(data) != 2:
        raise DataError(
            f"a tuple of {len(data)}: a tuple holds two things, (inputs, labels); put examples into a list"
        )
    inputs, labels = (list(_whole(half, what)) for half, what in zip(data, ("inputs", "labels"), strict=True))
    if len(inputs) != len(labels):
        raise DataError(f"{len(inputs):,} inputs and {len(labels):,} labels: each input needs one label")
    if not inputs:
        raise DataError("there is not a single example in it")
    return _of_pairs(zip(inputs, labels, strict=True), options)


def _whole(half: Any, what: str) -> Iterator[Any]:
    """One half of a tuple, example by example."""
    if isinstance(half, (str, bytes)) or not (hasattr(half, "__iter__") or hasattr(half, "__getitem__")):
        raise DataError(
            f"a tuple holds (inputs, labels), and the {what} are of type {type(half).__name__}: put examples "
            f"into a list"
        )
    if is_frame(half):
        rows = list(frame_rows(half))
        if what == "labels" and rows and len(rows[0]) == 1:
            return (next(iter(row.values())) for row in rows)
        return iter(rows)
    return iter(as_array(half)) if is_array(half) and not is_series(half) else _iterate(half)


def _of_pairs(pairs: Iterable[Any], options: Options) -> Iterator[Row]:
    first, rest = _peek(iter(pairs))
    _check_pair(first, 1)
    example, label = first
    if isinstance(example, Mapping):
        return _beside_rows(rest, options)
    words = _is_words(example)
    if isinstance(example, str) or words:
        # A label for a list of words is that of the list; a list of labels is a tag for each.
        tags = words and not isinstance(label, str | int | float | np.generic)
        task = options.get("task") or ("word-tagger" if tags else "")
        if task in _OF_TEXTS:
            source, target = (options.column(*one) for one in _OF_TEXTS[task])
            return ({source: one, target: other} for _, one, other in _pairs(rest))
        return _labelled_texts(rest, options)
    array = _example_array(example, 1)
    if array.ndim == 1:
        return _vectors(rest, len(array), options)
    return _arrays(rest, _labels_frames(array, label, options), options)


def _check_pair(pair: Any, number: int) -> None:
    if not isinstance(pair, tuple) or len(pair) != 2:
        what = f"a tuple of {len(pair)}" if isinstance(pair, tuple) else f"of type {type(pair).__name__}"
        raise DataError(f"{row_name(number)} is {what}, expected a pair (input, label)")


def _pairs(pairs: Iterable[Any]) -> Iterator[tuple[int, Any, Any]]:
    for number, pair in enumerate(pairs, 1):
        _check_pair(pair, number)
        yield number, pair[0], pair[1]


def _is_words(example: Any) -> bool:
    return (
        isinstance(example, (list, tuple)) and bool(example) and all(isinstance(one, str) for one in example)
    )


def _labelled_texts(pairs: Iterable[Any], options: Options) -> Iterator[Row]:
    name = options.column("text_column", "text")
    for number, example, label in _pairs(pairs):
        if not isinstance(example, str) and not _is_words(example):
            raise DataError(f"{row_name(number)}: the text is of type {type(example).__name__}")
        yield {
            name: example if isinstance(example, str) else list(example),
            **_label_columns(label, options, number),
        }


def _beside_rows(pairs: Iterable[Any], options: Options) -> Iterator[Row]:
    """Rows of a frame, with labels that came beside it."""
    for number, row, label in _pairs(pairs):
        if not isinstance(row, Mapping):
            raise DataError(
                f"{row_name(number)} is of type {type(row).__name__}, and the first one is a dictionary"
            )
        columns = _label_columns(label, options, number)
        taken = next((name for name in columns if name in row), None)
        if taken is not None:
            raise DataError(
                f"the inputs have a column {taken!r} themselves, and labels came beside them: give one "
                f"of the two"
            )
        yield {**row, **columns}


def _label_columns(label: Any, options: Options, number: int) -> Row:
    """A label as a column, a list of labels as one, or an array as a column for each of its numbers."""
    if isinstance(label, (list, tuple, set, frozenset)):
        options.usual("label_column", FRAME_LABELS)
        return {options["label_column"]: label}
    if not is_array(label):
        return {options.column("label_column", LABEL): label}
    array = as_array(label)
    if array.ndim == 0 or array.shape == (1,):
        return {options.column("label_column", LABEL): array.reshape(-1)[0]}
    if array.ndim > 1:
        raise DataError(f"{row_name(number)}: the label is an array of shape {array.shape}")
    options.usual("label_column", ",".join(f"{LABEL}_{place}" for place in range(1, len(array) + 1)))
    columns = [name.strip() for name in options["label_column"].split(",")]
    if len(columns) != len(array):
        raise DataError(f"{row_name(number)}: {len(array)} numbers as a label, expected {len(columns)}")
    return dict(zip(columns, array, strict=True))


def _example_array(example: Any, number: int) -> NDArray[Any]:
    """The numbers of an example, (F,) or (T, F)."""
    try:
        array = as_array(example) if is_array(example) else np.asarray(example)
    except ValueError:  # lists of different lengths
        raise DataError(
            f"{row_name(number)}: the steps of an example are lists of different lengths"
        ) from None
    if array.dtype.kind not in "biuf":
        raise DataError(
            f"{row_name(number)}: the input is {shown(repr(example))}, of type {type(example).__name__}: "
            f"give a text, or an array of numbers"
        )
    array = array.reshape(1) if array.ndim == 0 else array
    if array.ndim > 2:
        raise DataError(
            f"{row_name(number)}: the input has shape {array.shape}: an example is a vector (F,) or a "
            f"sequence (T, F) of steps with features"
        )
    if not array.size:
        raise DataError(f"{row_name(number)}: the input is an empty array, of shape {array.shape}")
    return array


def _vectors(pairs: Iterable[Any], width: int, options: Options) -> Iterator[Row]:
    names = [str(place) for place in range(width)]
    for number, example, label in _pairs(pairs):
        array = _example_array(example, number)
        if array.shape != (width,):
            raise DataError(
                f"{row_name(number)}: the input has shape {array.shape}, and the first one ({width},). "
                f"Vectors are as long as each other; a sequence of single numbers is (T, 1): x[:, None]"
            )
        # As Python's numbers at once: NumPy's own, one by one, take ten times as long.
        features = dict(zip(names, array.tolist(), strict=True))
        yield {**features, **_label_columns(label, options, number)}


def _labels_frames(array: NDArray[Any], label: Any, options: Options) -> bool:
    """Whether the labels are those of each step, and not of the whole sequence."""
    task = options.get("task")
    if task is not None:
        return task == "tagger"
    if isinstance(label, str) or not (is_array(label) or isinstance(label, Sequence)):
        return False
    return len(array) > 1 and np.ndim(label) > 0 and len(label) == len(array)


def _arrays(pairs: Iterable[Any], by_frame: bool, options: Options) -> Iterator[Row]:
    for number, example, label in _pairs(pairs):
        array = _example_array(example, number)
        if array.ndim == 1:
            raise DataError(
                f"{row_name(number)}: the input has shape {array.shape}, and the first one has two "
                f"dimensions (T, F): a sequence of single numbers is x[:, None]"
            )
        if options.get("task") == "transcriber":
            yield {FILE_COLUMN: array, options.column("text_column", "text"): label}
            continue
        if not by_frame:
            yield {FILE_COLUMN: array, **_label_columns(label, options, number)}
            continue
        labels = _frame_labels(label, number)
        if len(labels) != len(array):
            raise DataError(
                f"{row_name(number)}: {len(labels)} labels for {len(array)} steps: each step needs one, and "
                f'None or "" says that it has none'
            )
        yield {FILE_COLUMN: array, FRAME_LABELS: FrameLabels(labels)}


def _frame_labels(label: Any, number: int) -> Any:
    """The label of each step: an array of numbers, (T,) or (T, C), or a list of plain values."""
    if is_array(label):
        array = as_array(label)
        return array if array.ndim and array.dtype.kind in "biuf" else array.reshape(-1).tolist()
    if isinstance(label, str) or not hasattr(label, "__iter__"):
        raise DataError(
            f"{row_name(number)}: a tagger needs a label for each step, and got {shown(repr(label))}"
        )
    labels = list(label)
    return np.asarray(labels) if labels and not isinstance(labels[0], str) and np.ndim(labels[0]) else labels


def _of_array(array: NDArray[Any], options: Options) -> Iterator[Row]:
    """One array without labels: numbers over time."""
    if not _is_series(options):
        raise DataError(f"an array without labels: give (array, labels), or {_TO_FORECAST}")
    array = _series_array(array, "the array")
    if array.ndim == 3:
        return _of_several_series(iter(array), options)
    options.usual("time_column", TIME)
    names = [VALUE] if array.ndim == 1 else [f"{VALUE}_{place}" for place in range(1, array.shape[1] + 1)]
    steps = array.reshape(len(array), -1).tolist()
    return ({TIME: time, **dict(zip(names, step, strict=True))} for time, step in enumerate(steps))


def _of_several_series(examples: Iterable[Any], options: Options) -> Iterator[Row]:
    """A list of series, each (T,) or (T, 1)."""
    for name, value in (("time_column", TIME), ("series_column", SERIES), ("value_column", VALUE)):
        options.usual(name, value)

    def rows() -> Iterator[Row]:
        for number, one in enumerate(examples):
            array = _series_array(as_array(one), f"series {number + 1} (index {number})")
            if array.ndim > 1 and array.shape[1:] != (1,):
                raise DataError(
                    f"series {number + 1} (index {number}) has shape {array.shape}: of several series each "
                    f"is one column of numbers (T,)"
                )
            for time, value in enumerate(array.reshape(-1).tolist()):
                yield {SERIES: f"series {number}", TIME: time, VALUE: value}

    return rows()


def _series_array(array: NDArray[Any], called: str) -> NDArray[Any]:
    if array.dtype.kind not in "biuf" or not 1 <= array.ndim <= 3 or not array.size:
        raise DataError(f"{called} is of {array.dtype} and shape {array.shape}: give numbers (T,) or (T, F)")
    return array


def plain_row(row: Row) -> dict[str, Any]:
    """A row as JSON can hold it, but for arrays that get files of their own.

    Raises:
        DataError: a value is none that a table has (the message names the column).
    """
    found = {}
    for name, value in row.items():
        try:
            found[str(name)] = plain(value)
        except DataError as error:
            raise DataError(f"column {name!r:.60}: {error}") from None
    return found
