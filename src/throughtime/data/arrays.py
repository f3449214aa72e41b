"""Sequences of numbers on disk, with steps in rows and features in columns: CSV, TSV, .npy and .npz."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from throughtime.data.delimited import read_delimited
from throughtime.data.lines import shown
from throughtime.data.npy import npz_names, read_npy, read_npz
from throughtime.data.numbers import as_float32, reads_as_number
from throughtime.errors import DataError

ARRAY_SUFFIXES = (".csv", ".tsv", ".npy", ".npz")

# The name of the array in an .npz with several.
_NAMES = ("features", "x")


def read_array(
    path: str | Path, names: Sequence[str] | None = None
) -> tuple[NDArray[np.float32], tuple[str, ...]]:
    """Read one sequence: a step, or a frame, a row; a feature a column.

    Args:
        path: .csv or .tsv with or without a header; .npy (T, F) or (T,); .npz with one such array, or with
            one named `features` or `x`.
        names: the features that there have to be, in the order that is wanted; None takes what there is.
    Returns:
        (T, F), and the names of its features: "0", "1"... where the file has none.
    Raises:
        DataError: the file is missing, broken, empty, has other features, or a value is not a number that is
            finite in 32 bits (the message names its line, or its index).
    """
    path = Path(path)
    if not path.is_file():
        raise DataError(f"{path}: no such file (the working directory is {Path.cwd()})")
    suffix = path.suffix.lower()
    if suffix not in ARRAY_SUFFIXES:
        raise DataError(f"{path}: arrays are read from {', '.join(ARRAY_SUFFIXES)} files")
    values, found = _read_delimited(path) if suffix in (".csv", ".tsv") else (_read_numpy(path), None)
    if found is not None and names is not None and set(names) <= set(found):
        values, found = values[:, [found.index(name) for name in names]], tuple(names)
    width = values.shape[1]
    if names is not None and (width != len(names) or (found is not None and found != tuple(names))):
        raise DataError(f"{path} has {_features(found, width)}, expected {_features(names, len(names))}")
    return values, found or tuple(names or map(str, range(width)))


def _read_delimited(path: Path) -> tuple[NDArray[np.float32], tuple[str, ...] | None]:
    names: tuple[str, ...] | None = None
    width: int | None = None
    # An eighth of what lists of Python's numbers would take.
    numbers, lines = array("d"), array("q")
    for line, cells in read_delimited(path):
        if not any(map(str.strip, cells)):
            continue
        if width is None:
            width = len(cells)
            if not all(map(reads_as_number, cells)):
                names = tuple(cell.strip() for cell in cells)
                continue
        if len(cells) != width:
            raise DataError(f"{path} line {line}: {len(cells)} values, expected {width}")
        try:
            numbers.extend(map(float, cells))
        except ValueError:
            wrong = next(cell for cell in cells if not reads_as_number(cell))
            raise DataError(f"{path} line {line}: {shown(wrong)} is not a number") from None
        lines.append(line)
    if width is None or not lines:
        raise DataError(f"{path} is empty: it has no row of numbers")
    values = np.frombuffer(numbers, dtype=np.float64).reshape(len(lines), width)

    def where(row: int, column: int) -> str:
        name = "" if names is None else f" ({names[column]})"
        return f"{path} line {lines[row]}, column {column + 1}{name}"

    return as_float32(values, where), names


def _read_numpy(path: Path) -> NDArray[np.float32]:
    values = read_npy(path) if path.suffix.lower() == ".npy" else _only_array(path)
    if values.dtype.kind not in "fiub" or values.ndim not in (1, 2):
        raise DataError(
            f"{path} is a {values.dtype} array of shape {values.shape}, expected numbers (steps, features)"
        )
    if not values.size:
        raise DataError(f"{path} is empty: its shape is {values.shape}")
    as_rows = values.reshape(len(values), -1)
    return as_float32(as_rows, lambda row, column: f"{path}: number [{row}, {column}]")


def _only_array(path: Path) -> NDArray[Any]:
    names = npz_names(path)
    name = names[0] if len(names) == 1 else next((name for name in _NAMES if name in names), None)
    if name is None:
        listed = ", ".join(map(shown, names[:6]))
        raise DataError(f"{path} holds {len(names)} arrays ({listed}), expected one: name it 'features'")
    return read_npz(path, name)


def _features(names: Sequence[str] | None, count: int) -> str:
    listed = "" if names is None else f" ({', '.join(names[:6])}{', ...' if len(names) > 6 else ''})"
    return f"{count} feature{'s' * (count != 1)}{listed}"
