"""Rows as the files that training reads: JSON Lines, and arrays beside them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from throughtime.data.file_names import FILE_COLUMN
from throughtime.data.labels import label_text
from throughtime.errors import DataError
from throughtime.in_memory.examples import FRAME_LABELS, FrameLabels, plain_row, row_name
from throughtime.in_memory.frames import Row

_TABLE = "metadata.jsonl"


def write_rows(rows: Iterable[Row], folder: Path, name: str, target: str | None = None) -> Path:
    """Write the rows of a table.

    Args:
        rows: read once, one after the other; they go to the disk as they come.
        folder: where to.
        name: of the table, without a suffix; of the folder, where rows name files or hold arrays.
        target: "label", "labels" or "number", where the user says what is learned.
    Returns:
        The table NAME.jsonl, or the folder NAME with metadata.jsonl and the arrays of row N in N.npy.
    Raises:
        DataError: there is no row, or a value cannot be read (the message names the row).
    """
    remaining = iter(rows)
    first = next(remaining, None)
    if first is None:
        raise DataError("it has no rows: there is nothing to read")
    path = folder / f"{name}.jsonl"
    made = path
    if FILE_COLUMN in first:
        made = folder / name
        made.mkdir()
        path = made / _TABLE
    names = dict.fromkeys(map(str, first))  # in their order, and quick to look up
    with path.open("wb") as file:
        for number, row in enumerate(chain([first], remaining), 1):
            try:
                plain = plain_row(_with_files(row, made, number, target))
                _check_columns(plain, names)
                # As it is, and no escapes: half of a surrogate pair is found here, where its row is known.
                file.write(json.dumps(plain, ensure_ascii=False).encode() + b"\n")
            except DataError as error:
                raise DataError(f"{row_name(number)}: {error}") from None
            except UnicodeEncodeError as error:
                raise DataError(
                    f"{row_name(number)}: a text has half of a surrogate pair in it, "
                    f"{error.object[error.start]!r}"
                ) from None
    return made


def write_text(text: str, folder: Path, name: str) -> Path:
    """Write a text as it is.

    Raises:
        DataError: it is empty, or has half of a surrogate pair in it.
    """
    if not text.strip():
        raise DataError("it is empty: there is nothing to read")
    path = folder / f"{name}.txt"
    try:
        path.write_bytes(text.encode())
    except UnicodeEncodeError as error:
        raise DataError(
            f"character {error.start:,} of it is half of a surrogate pair, no character"
        ) from None
    return path


def _check_columns(row: dict[str, Any], names: dict[str, None]) -> None:
    """Refuse a row with a column that the first one lacks: nobody would read it."""
    if extra := [name for name in row if name not in names]:
        raise DataError(
            f"it has a value {extra[0]!r:.60}, and the first row has none: its columns are "
            f"{', '.join(list(names)[:20])}"
        )
    for name in names:
        row.setdefault(name, None)


def _with_files(row: Row, folder: Path, number: int, target: str | None) -> Row:
    """The row with the names of files in the place of arrays, and of files by their whole paths."""
    if FILE_COLUMN not in row:
        return row
    row = dict(row)
    array = row[FILE_COLUMN]
    if not isinstance(array, np.ndarray):
        # Names in a frame are seen from where the program runs, and not from where its copy lies.
        for column in (FILE_COLUMN, FRAME_LABELS):
            if isinstance(row.get(column), (str, Path)) and str(row[column]).strip():
                row[column] = str(Path(row[column]).resolve())
        return row
    row[FILE_COLUMN] = f"{number}.npy"
    _save(folder / row[FILE_COLUMN], array)
    labels = row.get(FRAME_LABELS)
    if isinstance(labels, FrameLabels):
        row[FRAME_LABELS] = _write_frame_labels(folder, number, labels.values, target)
    return row


def _write_frame_labels(folder: Path, number: int, labels: Any, target: str | None) -> str:
    """Numbers as an array where numbers or flags are learned, and names of labels one a line elsewhere."""
    values = np.asarray(labels)
    measures = values.dtype.kind == "f" and bool((values != np.round(values)).any())
    if values.ndim == 2 or target in ("labels", "number") or measures:
        name = f"{number}.labels.npy"
        _save(folder / name, values if values.ndim == 2 else values[:, None])
        return name
    texts = [label_text(one.item() if isinstance(one, np.generic) else one) for one in labels]
    broken = next((place for place, text in enumerate(texts) if len(text.splitlines()) > 1), None)
    if broken is not None:
        raise DataError(f"the label of step {broken} has a line break in it")
    name = f"{number}.labels.txt"
    (folder / name).write_bytes("".join(f"{text}\n" for text in texts).encode())
    return name


def _save(path: Path, array: NDArray[Any]) -> None:
    if array.dtype.kind not in "biuf":
        raise DataError(f"an array of {array.dtype}: give numbers")
    np.save(path, array, allow_pickle=False)
