"""Lines as a training reads them: tokens and conditions in a folder, and what is known of all."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from throughtime.data.conditions import Conditions, as_arrays, check_arrays
from throughtime.data.npy import read_npy
from throughtime.data.sequences import Sequences, write_sequences
from throughtime.data.splits import HeldOut
from throughtime.errors import DataError, RunError
from throughtime.facts import read_json
from throughtime.files import atomic_file, write_atomically

LINES, HELD_OUT = "lines.npy", "held_out.npy"
CATEGORIES, NUMBERS = "categories.npy", "numbers.npy"
_FINGERPRINT_BYTES = 8


@dataclass(frozen=True)
class PreparedLines(HeldOut):
    """Lines on disk.

    Args:
        lines: N of them, each its tokens and the line's end; without the end where it was cut.
        held_out: (N,), true where a line is for validation.
        categories: (N, K), numbers of values.
        numbers: (N, R).
    """

    lines: Sequences
    held_out: NDArray[np.bool_]
    categories: NDArray[np.int64]
    numbers: NDArray[np.float32]

    @classmethod
    def write(
        cls,
        folder: Path,
        lines: Iterable[NDArray[np.int64]],
        held_out: NDArray[np.bool_],
        conditions: list[tuple[list[int], list[float]]],
    ) -> None:
        """Write lines as `open` reads them.

        `conditions` may grow while the lines are read; there are as many lines as it then has, the first of
        `held_out`.
        """
        write_sequences(
            folder / LINES, lines, np.int32, lambda: "no line is left to learn from: each lacks a condition"
        )
        held_out = held_out[: len(conditions)]
        categories, numbers = as_arrays(conditions)
        for name, array in ((HELD_OUT, held_out), (CATEGORIES, categories), (NUMBERS, numbers)):
            with atomic_file(folder / name) as file:
                np.save(file, array, allow_pickle=False)

    @classmethod
    def open(cls, folder: Path, vocabulary_size: int, conditions: Conditions) -> PreparedLines:
        """Map what lies in a folder.

        Raises:
            RunError: a file is missing, damaged, or does not fit the run.
        """
        lines = Sequences.open(folder / LINES)
        lines.expect_numbers(0, vocabulary_size)
        try:
            held_out, categories, numbers = (
                read_npy(folder / name) for name in (HELD_OUT, CATEGORIES, NUMBERS)
            )
        except FileNotFoundError as error:
            raise RunError(f"{error.filename} is missing: the run folder is incomplete") from None
        except DataError as error:
            raise RunError(str(error)) from None
        N = len(lines)
        fits = (held_out.shape, held_out.dtype) == ((N,), np.dtype(bool))
        wrong = check_arrays(conditions, N, categories, numbers)
        if not fits or wrong or held_out.all():
            raise RunError(f"{folder} is damaged: {wrong or 'its files do not belong to each other'}")
        return cls(lines, held_out, categories, numbers)


@dataclass(frozen=True)
class LineFacts:
    """What scoring and sampling need to know of the training lines.

    Args:
        lines: how many.
        tokens: of all of them, their ends included.
        longest: tokens of the longest one, as it was learned from.
    """

    lines: Annotated[int, Field(ge=1, le=2**53)]
    tokens: Annotated[int, Field(ge=1, le=2**53)]
    longest: Annotated[int, Field(ge=1, le=2**31)]

    def save(self, path: Path) -> None:
        """Write lines.json."""
        write_atomically(path, json.dumps(asdict(self)).encode())

    @classmethod
    def load(cls, path: Path) -> LineFacts:
        """Read what `save` wrote.

        Raises:
            RunError: it is missing or damaged.
        """
        return read_json(path, cls)


class KnownLines:
    """The training lines by their fingerprints, 8 bytes each: enough to say which lines are new.

    Among a million lines, one in 10^13 new ones is taken for a known one.

    Args:
        fingerprints: (N,) uint64, rising.
    """

    def __init__(self, fingerprints: NDArray[np.uint64]) -> None:
        self._fingerprints = fingerprints

    @classmethod
    def of(cls, fingerprints: Iterable[int]) -> KnownLines:
        """The different ones among `fingerprint`s."""
        return cls(np.unique(np.fromiter(fingerprints, np.uint64)))

    def __len__(self) -> int:
        return len(self._fingerprints)

    def __contains__(self, text: object) -> bool:
        one = np.uint64(fingerprint(str(text)))
        place = int(np.searchsorted(self._fingerprints, one))
        return place < len(self) and bool(self._fingerprints[place] == one)

    def save(self, path: Path) -> None:
        """Write known_lines.npy."""
        with atomic_file(path) as file:
            np.save(file, self._fingerprints, allow_pickle=False)

    @classmethod
    def load(cls, path: Path) -> KnownLines:
        """Read what `save` wrote.

        Raises:
            RunError: it is missing or damaged.
        """
        try:
            found = read_npy(path)
        except FileNotFoundError:
            raise RunError(f"{path} is missing: the run folder is incomplete") from None
        except DataError as error:
            raise RunError(str(error)) from None
        if found.dtype != np.uint64 or found.ndim != 1 or not (found[1:] > found[:-1]).all():
            raise RunError(f"{path} is damaged: expected rising whole numbers of 64 bits")
        return cls(found)


def fingerprint(text: str) -> int:
    """64 bits of a line's BLAKE2b digest."""
    content = text.encode("utf-8", "surrogateescape")
    return int.from_bytes(hashlib.blake2b(content, digest_size=_FINGERPRINT_BYTES).digest(), "little")
