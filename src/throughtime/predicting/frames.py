"""Batches as other engines hand them over, and answers of the same kind."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from throughtime.data.tables import Row
from throughtime.errors import DataError, OptionError
from throughtime.in_memory.frames import frame_rows
from throughtime.in_memory.values import NOTHING
from throughtime.predicting.arrow import arrow_schema, require_arrow
from throughtime.run.row_prediction import Kind


class Frame:
    """A batch of columns.

    Args:
        batch: a dictionary of columns, a table or record batch of pyarrow, or a data frame of pandas.
    Raises:
        OptionError: it is something else.
        DataError: the columns of a dictionary differ in their length.
    """

    def __init__(self, batch: Any) -> None:
        kind = type(batch).__name__
        library = type(batch).__module__.partition(".")[0]
        self._batch: Any = batch
        self._is_arrow = library == "pyarrow" and kind in ("Table", "RecordBatch")
        self._is_pandas = library == "pandas" and kind == "DataFrame"
        if not (self._is_arrow or self._is_pandas or isinstance(batch, Mapping)):
            raise OptionError(
                f"a predictor takes a dictionary of columns, a table of pyarrow or a data frame of pandas: "
                f"{kind} is none"
            )
        frame: Any = batch
        names = frame.schema.names if self._is_arrow else frame.columns if self._is_pandas else frame
        self.columns = [str(name) for name in names]
        if isinstance(batch, Mapping):
            lengths = [(len(column), name) for name, column in batch.items() if hasattr(column, "__len__")]
            (least, short), (most, long) = min(lengths, default=(0, "")), max(lengths, default=(0, ""))
            if least < most:
                raise DataError(
                    f"the batch has {most:,} values of {long!r:.60} and {least:,} of {short!r:.60}"
                )

    def __len__(self) -> int:
        if self._is_arrow:
            return self._batch.num_rows
        if self._is_pandas:
            return len(self._batch)
        return len(next(iter(self._batch.values()), ()))

    def rows(self, wanted: Sequence[str]) -> Iterator[Row]:
        """The rows, numbered from 1, with the wanted columns; every one where none is named."""
        names = list(wanted) or self.columns
        if self._is_arrow:
            chosen = self._batch.select(names)
        elif self._is_pandas:
            chosen = self._batch[names].reset_index(drop=True)
        else:
            chosen = {name: self._batch[name] for name in names}
        for line, values in enumerate(frame_rows(chosen), 1):
            yield Row(line, {name: _plain(value) for name, value in values.items()})

    def answer(self, keep: Sequence[str], kinds: dict[str, Kind], predictions: list[dict[str, Any]]) -> Any:
        """The columns to keep, and the predictions, as the batch was given.

        Args:
            keep: names of columns.
            kinds: of the predictions, by name.
            predictions: one for each row; a name that one lacks is null.
        """
        columns = {name: [one.get(name) for one in predictions] for name in kinds}
        if self._is_arrow:
            arrow = require_arrow()
            arrays = [self._batch.column(name) for name in keep]
            fields = [self._batch.schema.field(name) for name in keep]
            schema = arrow_schema(kinds)
            arrays += [arrow.array(columns[name], schema.field(name).type) for name in kinds]
            return type(self._batch).from_arrays(arrays, schema=arrow.schema([*fields, *schema]))
        if self._is_pandas:
            answer = self._batch[list(keep)].copy()
            for name, kind in kinds.items():
                answer[name] = _array(columns[name], kind)
            return answer
        if all(isinstance(column, list) for column in self._batch.values()):
            return {**{name: self._batch[name] for name in keep}, **columns}
        kept = {name: self._batch[name] for name in keep}
        return {**kept, **{name: _array(columns[name], kind) for name, kind in kinds.items()}}


def _array(values: list[Any], kind: Kind) -> Any:
    """A column as NumPy has it: numbers as numbers, all else as objects."""
    if kind is float:
        return np.array([np.nan if value is None else value for value in values], dtype=np.float64)
    column = np.empty(len(values), dtype=object)
    column[:] = values
    return column


def _plain(value: Any) -> Any:
    """A value as a file would have it: what is missing is None."""
    if isinstance(value, float) and value != value:
        return None
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    return None if type(value).__name__ in NOTHING else value
