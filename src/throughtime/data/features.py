"""What the steps of examples are made of: the names of their features, and their statistics."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, FiniteFloat

from throughtime.data.arrays import ARRAY_SUFFIXES
from throughtime.data.audio import AUDIO_SUFFIXES
from throughtime.errors import RunError
from throughtime.facts import read_json
from throughtime.files import write_atomically

# In samples a second: ten times that of any sound card.
HIGHEST_RATE = 10_000_000


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
    rate: Annotated[int, Field(ge=1, le=HIGHEST_RATE)] | None = None
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
    return mean, np.where(varies(deviation, mean), deviation, 1.0)


def varies(deviation: Any, mean: Any) -> Any:
    """Whether numbers are more than a constant and the rounding of float32, which must not be blown up."""
    return deviation > 1e-6 * np.maximum(np.abs(mean), 1e-6)


def is_sequence_file(name: str) -> bool:
    """Whether a file's name is that of an array or a sound."""
    return Path(name).suffix.lower() in (*ARRAY_SUFFIXES, *AUDIO_SUFFIXES)


def is_sound_file(name: str) -> bool:
    """Whether a file's name is that of a sound."""
    return Path(name).suffix.lower() in AUDIO_SUFFIXES
