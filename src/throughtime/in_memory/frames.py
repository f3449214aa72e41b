"""Frames of pandas and polars, tables of pyarrow, and dictionaries of columns: their rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from throughtime.errors import DataError

# Recognised by where their classes come from, so that none of these libraries is imported here.
_LIBRARIES = ("pandas", "polars", "pyarrow")
_FRAMES = ("DataFrame", "LazyFrame", "Table", "RecordBatch")

Row = dict[str, Any]


def is_frame(data: Any) -> bool:
    """Whether it has named columns: a frame, a table, or a dictionary of columns."""
    return isinstance(data, Mapping) or (_library(data) is not None and _kind(data) in _FRAMES)


def is_series(data: Any) -> bool:
    """Whether it is a single column of pandas or polars."""
    return _library(data) in ("pandas", "polars") and _kind(data) == "Series"


def frame_of_series(data: Any) -> Any:
    """A single column as a frame; one without a name is called "value"."""
    return data.to_frame(data.name or "value")


def frame_rows(data: Any) -> Iterator[Row]:
    """The rows of a frame, by the names of its columns.

    Raises:
        DataError: two columns have the same name, columns differ in their length, or an index has to become
            a column and has no name.
    """
    if isinstance(data, Mapping):
        return _of_columns(data)
    library = _library(data)
    if library == "pandas":
        return _of_pandas(data)
    if library == "polars":
        frame = data.collect() if _kind(data) == "LazyFrame" else data
        return (dict(zip(frame.columns, row, strict=True)) for row in frame.iter_rows())
    batches = data.to_batches() if hasattr(data, "to_batches") else [data]
    names = list(data.schema.names)
    _refuse_repeated(names)
    return (row for batch in batches for row in batch.to_pylist())


def _of_columns(columns: Mapping[Any, Any]) -> Iterator[Row]:
    names = [str(name) for name in columns]
    _refuse_repeated(names)
    values = [_listed(name, column) for name, column in zip(names, columns.values(), strict=True)]
    for name, column in zip(names, values, strict=True):
        if len(column) != len(values[0]):
            raise DataError(
                f"column {name!r:.60} has {len(column):,} values and {names[0]!r:.60} {len(values[0]):,}: "
                f"they have to be as long as each other"
            )
    return (dict(zip(names, row, strict=True)) for row in zip(*values, strict=True))


def _listed(name: str, column: Any) -> Sequence[Any]:
    if isinstance(column, (str, bytes)) or not hasattr(column, "__iter__"):
        raise DataError(f"column {name!r:.60} holds one value: a dictionary holds a list for each column")
    return list(column)


def _of_pandas(frame: Any) -> Iterator[Row]:
    index = _index_names(frame.index)
    if index:
        _refuse_repeated([*index, *map(str, frame.columns)])
        frame = frame.reset_index(names=index)
    names = [str(name) for name in frame.columns]
    _refuse_repeated(names)
    return (dict(zip(names, row, strict=True)) for row in frame.itertuples(index=False, name=None))


def _index_names(index: Any) -> list[str]:
    """What the levels of an index are called as columns; nothing where it only numbers the rows."""
    names = list(index.names)
    if names == [None]:
        if index.dtype.kind in "iu":
            return []  # the numbers of the rows, as they are after a shuffle or a selection
        if index.dtype.kind == "M" or type(index).__name__ in ("DatetimeIndex", "PeriodIndex"):
            return ["time"]
    if any(name is None for name in names):
        raise DataError(
            "the frame's index has no name: frame.rename_axis('time') names it, so that it becomes a column, "
            "and frame.reset_index(drop=True) leaves it out"
        )
    return [str(name) for name in names]


def _refuse_repeated(names: Sequence[str]) -> None:
    repeated = next((name for name, count in Counter(names).items() if count > 1), None)
    if repeated is not None:
        raise DataError(f"column {repeated!r:.60} occurs twice")


def _library(data: Any) -> str | None:
    library = type(data).__module__.partition(".")[0]
    return library if library in _LIBRARIES else None


def _kind(data: Any) -> str:
    return type(data).__name__
