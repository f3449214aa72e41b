"""Examples as a training reads them: in a folder, with the truth of each and which are held out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from throughtime.data.conditions import Conditions, as_arrays, check_arrays
from throughtime.data.npy import read_npy
from throughtime.data.sequences import Sequences
from throughtime.data.splits import HeldOut
from throughtime.errors import DataError, RunError
from throughtime.files import atomic_file
from throughtime.tasks.classifier.given import Given

NO_CONDITIONS = Conditions()
EXAMPLES, TARGETS, HELD_OUT = "examples.npy", "targets.npy", "held_out.npy"
SECOND, CATEGORIES, NUMBERS, VECTORS = "second.npy", "categories.npy", "numbers.npy", "vectors.npy"


@dataclass(frozen=True)
class PreparedExamples(HeldOut):
    """Labelled examples on disk.

    Args:
        examples: N of them: tokens (T_i,) or features (T_i, F); `write_sequences` writes them.
        targets: (N, ...), the truth of each, as `Target.encode` makes it.
        held_out: (N,), true where an example is for validation.
        second: the tokens of second texts.
        categories, numbers: (N, K) and (N, R), what stands beside; see `Given`.
    """

    examples: Sequences
    targets: NDArray[Any]
    held_out: NDArray[np.bool_]
    second: Sequences | None = None
    categories: NDArray[Any] | None = None
    numbers: NDArray[Any] | None = None

    @property
    def given(self) -> Given:
        """All examples as the network reads them."""
        return Given(self.examples, self.second, self.categories, self.numbers)

    @classmethod
    def open(
        cls, folder: Path, pairs: bool = False, conditions: Conditions = NO_CONDITIONS
    ) -> PreparedExamples:
        """Map what lies in a folder.

        Args:
            folder: where `write_sequences`, `write_targets` and `write_beside` wrote.
            pairs: there are second texts.
            conditions: what stands beside.
        Raises:
            RunError: a file is missing, damaged, or does not fit the others.
        """
        examples = Sequences.open(folder / EXAMPLES)
        try:
            targets, held_out = read_npy(folder / TARGETS), read_npy(folder / HELD_OUT)
        except FileNotFoundError as error:
            raise RunError(f"{error.filename} is missing: the run folder is incomplete") from None
        except DataError as error:
            raise RunError(str(error)) from None
        if (
            targets.dtype.kind not in "iuf"
            or held_out.dtype != bool
            or held_out.ndim != 1
            or not targets.ndim
        ):
            raise RunError(f"{folder} is damaged: {TARGETS} or {HELD_OUT} holds something else")
        if not len(examples) == len(targets) == len(held_out):
            raise RunError(f"{folder} is damaged: its files differ in the number of examples")
        if held_out.all():
            raise RunError(f"{folder} is damaged: not a single example is to be trained on")
        second = Sequences.open(folder / SECOND) if pairs else None
        if second is not None and len(second) != len(examples):
            raise RunError(f"{folder} is damaged: its files differ in the number of examples")
        categories, numbers = _read_beside(folder, conditions, len(examples)) if conditions else (None, None)
        return cls(examples, targets, held_out, second, categories, numbers)


def write_targets(folder: Path, targets: NDArray[Any], held_out: NDArray[np.bool_]) -> None:
    """Write the truth, and which examples are held out, beside the examples."""
    _write(folder, {TARGETS: targets, HELD_OUT: held_out})


def write_beside(folder: Path, beside: list[tuple[list[int], list[float]]]) -> None:
    """Write what stands beside each example, as `Conditions.encode` gave it."""
    categories, numbers = as_arrays(beside)
    _write(folder, {CATEGORIES: categories, NUMBERS: numbers})


def read_vectors(folder: Path, shape: tuple[int, int]) -> NDArray[np.float32] | None:
    """The word vectors that the embedding begins with, NaN where a word has none; None where none were given.

    Raises:
        RunError: they are damaged, or of another shape.
    """
    if not (folder / VECTORS).exists():
        return None
    try:
        vectors = read_npy(folder / VECTORS)
    except DataError as error:
        raise RunError(str(error)) from None
    if vectors.dtype != np.float32 or vectors.shape != shape:
        raise RunError(f"{folder / VECTORS} is damaged, or does not belong to this run")
    return vectors


def write_vectors(folder: Path, vectors: NDArray[np.float32]) -> None:
    """Write what `read_vectors` reads."""
    _write(folder, {VECTORS: vectors})


def _read_beside(folder: Path, conditions: Conditions, count: int) -> tuple[NDArray[Any], NDArray[Any]]:
    try:
        categories, numbers = read_npy(folder / CATEGORIES), read_npy(folder / NUMBERS)
    except FileNotFoundError as error:
        raise RunError(f"{error.filename} is missing: the run folder is incomplete") from None
    except DataError as error:
        raise RunError(str(error)) from None
    if wrong := check_arrays(conditions, count, categories, numbers):
        raise RunError(f"{folder} is damaged: {wrong}")
    return categories, numbers


def _write(folder: Path, arrays: dict[str, NDArray[Any]]) -> None:
    for name, array in arrays.items():
        with atomic_file(folder / name) as file:
            np.save(file, array, allow_pickle=False)
