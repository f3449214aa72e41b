"""Examples as a training reads them: in a folder, with the truth of each and which are held out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from throughtime.data.npy import read_npy
from throughtime.data.sequences import Sequences
from throughtime.errors import DataError, RunError
from throughtime.files import atomic_file

EXAMPLES, TARGETS, HELD_OUT = "examples.npy", "targets.npy", "held_out.npy"


@dataclass(frozen=True)
class PreparedExamples:
    """Labelled examples on disk.

    Args:
        examples: N of them: tokens (T_i,) or features (T_i, F); `write_sequences` writes them.
        targets: (N, ...), the truth of each, as `Target.encode` makes it.
        held_out: (N,), true where an example is for validation.
    """

    examples: Sequences
    targets: NDArray[Any]
    held_out: NDArray[np.bool_]

    @property
    def training(self) -> NDArray[np.int64]:
        """The numbers of the examples to learn from."""
        return np.flatnonzero(~self.held_out)

    @property
    def validation(self) -> NDArray[np.int64]:
        """The numbers of the examples to measure on."""
        return np.flatnonzero(self.held_out)

    @classmethod
    def open(cls, folder: Path) -> PreparedExamples:
        """Map what lies in a folder.

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
        return cls(examples, targets, held_out)


def write_targets(folder: Path, targets: NDArray[Any], held_out: NDArray[np.bool_]) -> None:
    """Write the truth, and which examples are held out, beside the examples."""
    for name, array in ((TARGETS, targets), (HELD_OUT, held_out)):
        with atomic_file(folder / name) as file:
            np.save(file, array, allow_pickle=False)
