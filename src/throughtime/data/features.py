"""Numbers on disk: steps and features from CSV, .npy, .npz and sound files, and their statistics."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, FiniteFloat

from throughtime.data.audio import AUDIO_SUFFIXES, LogMel, read_audio
from throughtime.errors import DataError, RunError
from throughtime.facts import read_json
from throughtime.files import write_atomically

ARRAY_SUFFIXES = (".csv", ".tsv", ".npy", ".npz")
# In samples a second: ten times that of any sound card.
_HIGHEST_RATE = 10_000_000


@dataclass(frozen=True)
class FeatureSpace:
    """What one step is made of. The first training example settles it; every other one has to agree.

    Args:
        names: F, of the features; "0", "1"... where the files have no names.
        rate: samples a second of sound; None for other numbers.
        mean: F, over all steps of the training examples.
        deviation: F, the standard deviations; 1 where a feature never changes.
    """

    names: tuple[str, ...]
    rate: Annotated[int, Field(ge=1, le=_HIGHEST_RATE)] | None = None
    mean: tuple[FiniteFloat, ...] = ()
    deviation: tuple[Annotated[FiniteFloat, Field(gt=0)], ...] = ()

    def save(self, path: str | Path) -> None:
        """Write features.json."""
        write_atomically(path, json.dumps(asdict(self), ensure_ascii=False, indent=1).encode())

    @classmethod
    def load(cls, path: str | Path) -> FeatureSpace:
        """Read features.json.

        Raises:
            RunError: it is missing or damaged.
        """
        space = read_json(path, FeatureSpace)
        if not len(space.names) == len(space.mean) == len(space.deviation) > 0:
            raise RunError(f"{path} is damaged: names, mean and deviation differ in number")
        return space


def statistics(arrays: Iterable[NDArray[Any]]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and standard deviation of each feature over all steps of all arrays (T_i, F).

    Returns:
        (F,) each; the deviation is 1 where a feature is constant, so that it can be divided by.
    Source: Chan, Golub and LeVeque 1983, equation 2.1: parts are merged without the cancellation of a sum of
        squares.
    """
    count, mean, squares = 0, np.zeros(1), np.zeros(1)
    for array in arrays:
        values = np.asarray(array, dtype=np.float64)
        n, m = len(values), values.mean(0)
        difference = m - mean
        squares = squares + ((values - m) ** 2).sum(0) + difference**2 * (count * n / (count + n))
        mean = mean + difference * (n / (count + n))
        count += n
    deviation = np.sqrt(squares / max(count, 1))
    # Below this a feature is constant but for the rounding of float32, which must not be blown up.
    return mean, np.where(deviation > 1e-6 * np.maximum(np.abs(mean), 1e-6), deviation, 1.0)


def read_array(path: str | Path, names: Sequence[str] | None) -> tuple[NDArray[np.float32], tuple[str, ...]]:
    """Read one sequence: a step a row, a feature a column.

    Args:
        path: .csv or .tsv with or without a header, .npy (T, F) or (T,), .npz with one such array.
        names: the features that there have to be, in the order that is wanted; None takes what there is.
    Returns:
        (T, F), and the names of its features.
    Raises:
        DataError: the file is missing, broken, has other features, or a value is not a finite number.
    """
    path = Path(path)
    if not path.is_file():
        raise DataError(f"{path}: no such file")
    if path.suffix.lower() in (".csv", ".tsv"):
        values, found = _read_delimited(path)
    else:
        values, found = _read_numpy(path), None
    if not len(values):
        raise DataError(f"{path} holds no steps")
    if found is not None and names is not None and set(names) <= set(found):
        values, found = values[:, [found.index(name) for name in names]], tuple(names)
    width = values.shape[1]
    if names is not None and (width != len(names) or (found is not None and found != tuple(names))):
        raise DataError(f"{path} has {_features(found, width)}, expected {_features(names, len(names))}")
    bad = np.argwhere(~np.isfinite(values))
    if len(bad):
        step, feature = bad[0]
        name = (found or names or tuple(map(str, range(width))))[feature]
        raise DataError(
            f"{path} step {step + 1}, feature {name}: {values[step, feature]} is not a finite number"
        )
    return values.astype(np.float32), found or tuple(names or map(str, range(width)))


def read_sound(
    path: str | Path, rate: int | None, bands: int, window: float, hop: float
) -> tuple[NDArray[np.float32], int]:
    """Read a sound file as log-mel frames.

    Args:
        path: .wav, .flac or .ogg.
        rate: the samples a second that it has to have; None takes what it has.
        bands, window, hop: of `LogMel`.
    Returns:
        (T, bands), and the samples a second.
    Raises:
        DataError: the file is missing, broken, empty or of another rate.
    """
    samples, found = read_audio(path)
    if rate is not None and found != rate:
        raise DataError(
            f"{path} has {found} samples a second, expected {rate} as in the first one: resample it"
        )
    return LogMel(found, bands, window, hop)(samples), found


def number(value: Any) -> float:
    """A table's value as a finite number.

    Raises:
        DataError: it is none.
    """
    try:
        found = float(value)
    except (TypeError, ValueError):
        raise DataError(f"{value!r} is not a number") from None
    if not math.isfinite(found):
        raise DataError(f"{found} is not a finite number")
    return found


def is_sequence_file(name: str) -> bool:
    """Whether a file's name is that of an array or a sound."""
    return Path(name).suffix.lower() in (*ARRAY_SUFFIXES, *AUDIO_SUFFIXES)


def is_sound_file(name: str) -> bool:
    """Whether a file's name is that of a sound."""
    return Path(name).suffix.lower() in AUDIO_SUFFIXES


def _read_delimited(path: Path) -> tuple[NDArray[np.float64], tuple[str, ...] | None]:
    rows: list[list[float]] = []
    names: tuple[str, ...] | None = None
    width: int | None = None
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, delimiter="\t" if path.suffix.lower() == ".tsv" else ",")
            for fields in reader:
                if not fields:
                    continue
                if width is None:
                    width = len(fields)
                    if not all(map(_reads_as_number, fields)):
                        names = tuple(field.strip() for field in fields)
                        continue
                if len(fields) != width:
                    raise DataError(f"{path} line {reader.line_num}: {len(fields)} values, expected {width}")
                try:
                    rows.append([float(field) for field in fields])
                except ValueError:
                    wrong = next(field for field in fields if not _reads_as_number(field))
                    raise DataError(f"{path} line {reader.line_num}: {wrong!r} is not a number") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} cannot be read: {error}") from None
    return np.array(rows, dtype=np.float64).reshape(len(rows), width or 0), names


def _read_numpy(path: Path) -> NDArray[np.float64]:
    try:
        loaded = np.load(path, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            values = loaded
        else:
            with loaded:
                if len(loaded.files) != 1:
                    raise DataError(
                        f"{path} holds {len(loaded.files)} arrays ({', '.join(loaded.files)}), expected one"
                    )
                values = loaded[loaded.files[0]]
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"{path} is broken or not a NumPy file: {error}") from None
    except Exception as error:  # zipfile.BadZipFile, zlib.error: whatever a damaged archive raises
        if isinstance(error, DataError):
            raise
        raise DataError(f"{path} is broken: {error}") from None
    if values.ndim == 1:
        values = values[:, None]
    if values.ndim != 2 or values.dtype.kind not in "fiub":
        raise DataError(
            f"{path} is a {values.dtype} array of shape {values.shape}, expected numbers (steps, features)"
        )
    return values.astype(np.float64)


def _reads_as_number(field: str) -> bool:
    try:
        float(field)
    except ValueError:
        return False
    return True


def _features(names: Sequence[str] | None, count: int) -> str:
    shown = "" if names is None else f" ({', '.join(names[:6])}{', ...' if len(names) > 6 else ''})"
    return f"{count} feature{'s' * (count != 1)}{shown}"
