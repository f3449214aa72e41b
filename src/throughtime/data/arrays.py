"""Sequences of numbers on disk, with steps in rows and features in columns: CSV, TSV, .npy and .npz."""

from __future__ import annotations

import math
import os
from array import array
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from throughtime.data.delimited import read_delimited
from throughtime.data.joined import refuse_repeated
from throughtime.data.lines import shown
from throughtime.data.npy import npz_names, read_npy, read_npz
from throughtime.data.numbers import as_float32, reads_as_number
from throughtime.data.tables import resolve_column, several_columns
from throughtime.errors import DataError

ARRAY_SUFFIXES = (".csv", ".tsv", ".npy", ".npz")

Fill = Literal["none", "zero", "previous", "linear"]
_MISSING = ("", "nan", "na", "n/a", "null", "none", "?")

# The name of the array in an .npz with several.
_NAMES = ("features", "x")


def read_array(
    path: str | Path,
    names: Sequence[str] | None = None,
    columns: str | None = None,
    fill: Fill = "none",
) -> tuple[NDArray[np.float32], tuple[str, ...]]:
    """Read one sequence: a step, or a frame, a row; a feature a column.

    Args:
        path: .csv or .tsv with or without a header; .npy (T, F) or (T,); .npz with one such array, or with
            one named `features` or `x`.
        names: the features that there have to be, in the order that is wanted; None takes what there is.
        columns: the only ones to read, by name or by number from 1, between commas; None reads all.
        fill: what takes the place of empty cells and NaN; "none" refuses them.
    Returns:
        (T, F), and the names of its features: "0", "1"... where the file has none.
    Raises:
        DataError: the file is missing, broken, empty, has other features, or a value is not a number that is
            finite in 32 bits (the message names its line, or its index).
    """
    path = Path(path)
    if not os.path.isfile(path):
        raise DataError(f"{path}: no such file (the working directory is {Path.cwd()})")
    suffix = path.suffix.lower()
    if suffix not in ARRAY_SUFFIXES:
        raise DataError(f"{path}: arrays are read from {', '.join(ARRAY_SUFFIXES)} files")
    if suffix in (".csv", ".tsv"):
        values, found = _read_delimited(path, columns, fill)
    else:
        values, found = _read_numpy(path, columns, fill), None
    if found is not None and names is not None and set(names) <= set(found):
        place = {name: column for column, name in enumerate(found)}
        values, found = values[:, [place[name] for name in names]], tuple(names)
    width = values.shape[1]
    if names is not None and (width != len(names) or (found is not None and found != tuple(names))):
        raise DataError(f"{path} has {_features(found, width)}, expected {_features(names, len(names))}")
    return values, found or tuple(names or map(str, range(width)))


def fill_gaps(values: NDArray[np.float64], fill: Fill, name: str | Path) -> NDArray[np.float64]:
    """Put numbers in the place of NaN, feature by feature.

    Args:
        values: (T, F).
        fill: "zero"; "previous", the last value before it; "linear", between its neighbours. Before
            the first value and after the last one, both take that one. "none" changes nothing.
        name: the file, for errors.
    Raises:
        DataError: a feature has no value at all.
    """
    gaps = np.isnan(values)
    if fill == "none" or not gaps.any():
        return values
    if fill == "zero":
        return np.where(gaps, 0.0, values)
    if (empty := gaps.all(0)).any():
        raise DataError(
            f"{name}: column {int(empty.argmax()) + 1} of those that are read has no value to fill from "
            "(--fill zero needs none)"
        )
    steps, filled = np.arange(len(values)), values.copy()
    for column in np.flatnonzero(gaps.any(0)):
        known = np.flatnonzero(~gaps[:, column])
        if fill == "linear":
            filled[:, column] = np.interp(steps, known, values[known, column])
        else:
            before = np.maximum(np.searchsorted(known, steps, side="right") - 1, 0)
            filled[:, column] = values[known[before], column]
    return filled


def _chosen(path: Path, names: Sequence[str], columns: str | None) -> list[int]:
    """The places of the columns to read."""
    if columns is None:
        return list(range(len(names)))
    places = []
    for wanted in several_columns(names, columns):
        found = resolve_column(names, wanted)
        if found is None:
            raise DataError(
                f"{path} has no column {wanted!r} (--columns); its columns are {', '.join(names[:20])}"
            )
        places.append(list(names).index(found))
    return places


def _number_of(cell: str, fill: Fill) -> float:
    return math.nan if _is_filled(cell, fill) else float(cell)


def _reads_as_number(cell: str, fill: Fill) -> bool:
    return _is_filled(cell, fill) or reads_as_number(cell)


def _is_filled(cell: str, fill: Fill) -> bool:
    """Whether it is a gap, and another number takes its place."""
    return fill != "none" and cell.strip().lower() in _MISSING


def _read_delimited(
    path: Path, columns: str | None, fill: Fill
) -> tuple[NDArray[np.float32], tuple[str, ...] | None]:
    names: tuple[str, ...] | None = None
    places: list[int] = []
    width: int | None = None
    # An eighth of what lists of Python's numbers would take.
    numbers, lines = array("d"), array("q")
    for line, cells in read_delimited(path):
        if not any(map(str.strip, cells)):
            continue
        if width is None:
            width = len(cells)
            numbered = [str(number) for number in range(1, width + 1)]
            if not all(reads_as_number(cell) or (fill != "none" and not cell.strip()) for cell in cells):
                names = tuple(cell.strip() for cell in cells)
                refuse_repeated(f"{path} line {line}", names)
                places = _chosen(path, names, columns)
                continue
            places = _chosen(path, numbered, columns)
        if len(cells) != width:
            raise DataError(f"{path} line {line}: {len(cells)} values, expected {width}")
        try:
            numbers.extend(_number_of(cells[place], fill) for place in places)
        except ValueError:
            place = next(place for place in places if not _reads_as_number(cells[place], fill))
            what = f"column {names[place]!r}" if names is not None else f"column {place + 1}"
            is_gap = cells[place].strip().lower() in _MISSING
            advice = "--fill fills gaps" if is_gap else "--columns leaves columns out"
            raise DataError(
                f"{path} line {line}: {shown(cells[place])} is not a number ({what}; {advice})"
            ) from None
        lines.append(line)
    if width is None or not lines:
        raise DataError(f"{path} is empty: it has no row of numbers")
    values = np.frombuffer(numbers, dtype=np.float64).reshape(len(lines), len(places))

    def where(row: int, column: int) -> str:
        name = "" if names is None else f" ({names[places[column]]})"
        return f"{path} line {lines[row]}, column {places[column] + 1}{name}"

    read = tuple(names[place] for place in places) if names is not None else None
    return as_float32(fill_gaps(values, fill, path), where), read


def _read_numpy(path: Path, columns: str | None, fill: Fill) -> NDArray[np.float32]:
    values = read_npy(path) if path.suffix.lower() == ".npy" else _only_array(path)
    if values.dtype.kind not in "fiub" or values.ndim not in (1, 2):
        raise DataError(
            f"{path} is a {values.dtype} array of shape {values.shape}, expected numbers (steps, features)"
        )
    if not values.size:
        raise DataError(f"{path} is empty: its shape is {values.shape}")
    as_rows = values.reshape(len(values), -1)
    if columns is not None:
        as_rows = as_rows[:, _chosen(path, [str(n) for n in range(1, as_rows.shape[1] + 1)], columns)]
    if fill != "none" and as_rows.dtype.kind == "f":
        with np.errstate(over="ignore"):  # longer floats may hold more; it is refused below
            as_rows = as_rows.astype(np.float64)
        as_rows = fill_gaps(as_rows, fill, path)
    try:
        return as_float32(as_rows, lambda row, column: f"{path}: number [{row}, {column}]")
    except DataError as error:
        gaps = fill == "none" and np.isnan(as_rows).any()
        raise DataError(f"{error} (--fill fills gaps)" if gaps else str(error)) from None


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
