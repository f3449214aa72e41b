"""Feature, pose and sensor arrays on disk: one row a frame."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from throughtime.errors import DataError

ARRAY_SUFFIXES = frozenset({".npy", ".npz", ".csv", ".tsv"})

# The name of the array in an .npz with several.
_NAMES = ("features", "x")

_LARGEST = float(np.finfo(np.float32).max)


def read_frame_array(path: str | Path) -> NDArray[np.float32]:
    """Read the features of a clip.

    Args:
        path: .npy; .npz with one array, or with one named `features` or `x`; .csv or .tsv of numbers, with or
            without a header. An array (T,) is one feature a frame.
    Returns:
        (T, F) float32.
    Raises:
        DataError: the file is missing, broken, empty, not a table of numbers, or holds NaN or infinity (the
            message names the line or the frame).
    """
    path = Path(path)
    if not path.is_file():
        raise DataError(f"{path}: no such file (the working directory is {Path.cwd()})")
    suffix = path.suffix.lower()
    if suffix in (".csv", ".tsv"):
        return _read_csv(path, "\t" if suffix == ".tsv" else ",")
    if suffix not in (".npy", ".npz"):
        raise DataError(f"{path}: features are read from .npy, .npz, .csv or .tsv files")
    array = _load(path)
    if array.dtype.kind not in "fiub" or array.ndim not in (1, 2):
        raise DataError(f"{path} holds {array.dtype} {array.shape}, expected numbers (frames, features)")
    if not array.size:
        raise DataError(f"{path} is empty: its shape is {array.shape}")
    # A cast may overflow to infinity, which is found below.
    with np.errstate(over="ignore"):
        features = np.ascontiguousarray(array.reshape(len(array), -1), dtype=np.float32)
    broken = np.argwhere(~np.isfinite(features))
    if len(broken):
        frame, feature = broken[0]
        raise DataError(
            f"{path} frame {frame}: feature {feature} is {array.reshape(features.shape)[frame, feature]}"
        )
    return features


def _load(path: Path) -> NDArray[Any]:
    try:
        content = np.load(path, allow_pickle=False)
        if not isinstance(content, np.lib.npyio.NpzFile):
            return content
        with content:
            names = content.files
            name = names[0] if len(names) == 1 else next((name for name in _NAMES if name in names), None)
            if name is None:
                raise DataError(f"{path} holds {', '.join(names) or 'nothing'}: name the array 'features'")
            return content[name]
    except DataError:
        raise
    except Exception as error:  # a damaged archive raises what zipfile, zlib or NumPy happen to raise
        raise DataError(f"{path} cannot be read as an array: {error}") from None


def _read_csv(path: Path, delimiter: str) -> NDArray[np.float32]:
    rows: list[list[float]] = []
    width = 0
    try:
        # Universal newlines: tables of old programs end their lines with CR alone.
        with path.open(encoding="utf-8-sig", newline=None) as file:
            for line, row in enumerate(csv.reader(file, delimiter=delimiter), start=1):
                if not any(cell.strip() for cell in row):
                    continue
                width = width or len(row)
                if len(row) != width:
                    raise DataError(f"{path} line {line}: {len(row)} columns, expected {width}")
                try:
                    numbers = [float(cell) for cell in row]
                except ValueError:
                    if not rows and line == 1:
                        continue  # a header
                    wrong = next(cell for cell in row if not _is_number(cell))
                    raise DataError(f"{path} line {line}: {wrong!r} is not a number") from None
                if not all(abs(number) <= _LARGEST for number in numbers):
                    column = next(i for i, number in enumerate(numbers) if not abs(number) <= _LARGEST)
                    raise DataError(f"{path} line {line}: column {column + 1} is {row[column].strip()}")
                rows.append(numbers)
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8: byte {error.start}") from None
    except csv.Error as error:
        raise DataError(f"{path} cannot be read as a table: {error}") from None
    if not rows:
        raise DataError(f"{path} is empty: it has no row of numbers")
    return np.array(rows, dtype=np.float32)


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True
