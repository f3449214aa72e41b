"""Recordings as a training reads them: in a folder, by numbers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from throughtime.data.npy import read_npy
from throughtime.data.sequences import Sequences
from throughtime.data.splits import HeldOut
from throughtime.errors import DataError, RunError
from throughtime.files import atomic_file
from throughtime.tasks.transcriber.decoding import BLANK, least_steps

RECORDINGS, TEXTS, HELD_OUT = "recordings.npy", "texts.npy", "held_out.npy"


@dataclass(frozen=True)
class PreparedRecordings(HeldOut):
    """Recordings on disk.

    Args:
        recordings: N of them, (T_i, F) each.
        texts: (L_i,) numbers of characters each.
        held_out: (N,), true where a recording is for validation.
    """

    recordings: Sequences
    texts: Sequences
    held_out: NDArray[np.bool_]

    @classmethod
    def open(cls, folder: Path, features: int, characters: int) -> PreparedRecordings:
        """Map what lies in a folder.

        Args:
            folder: where it is.
            features: F, of a step.
            characters: V, with the blank.
        Raises:
            RunError: a file is missing, damaged, or does not fit the others.
        """
        recordings, texts = Sequences.open(folder / RECORDINGS), Sequences.open(folder / TEXTS)
        recordings.expect_steps((features,), np.float32)
        texts.expect_numbers(BLANK + 1, characters)
        try:
            held_out = read_npy(folder / HELD_OUT)
        except FileNotFoundError:
            raise RunError(f"{folder / HELD_OUT} is missing: the run folder is incomplete") from None
        except DataError as error:
            raise RunError(str(error)) from None
        if len(recordings) != len(texts) or not texts.lengths.all() or not recordings.lengths.all():
            raise RunError(f"{folder} is damaged: recordings do not have a text each")
        if held_out.dtype != bool or held_out.shape != (len(recordings),) or held_out.all():
            raise RunError(f"{folder / HELD_OUT} is damaged, or does not belong to this run")
        for number, steps in enumerate(recordings.lengths):
            if least_steps(texts[number].tolist()) > steps:
                raise RunError(f"{folder} is damaged: text {number} is longer than its recording")
        return cls(recordings, texts, held_out)


def write_held_out(folder: Path, held_out: NDArray[np.bool_]) -> None:
    """Write which recordings are for validation."""
    with atomic_file(folder / HELD_OUT) as file:
        np.save(file, held_out, allow_pickle=False)
