"""Sequences of different lengths in one file, mapped into memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from throughtime.data.npy import map_npy, read_npy
from throughtime.errors import DataError, RunError
from throughtime.files import atomic_file


class Sequences:
    """Arrays (T_i, ...) one behind the other in a .npy file, with their ends in another beside it.

    Example:
        write_sequences(folder / "tokens.npy", arrays)
        sequences = Sequences.open(folder / "tokens.npy")
        sequences[3], sequences.lengths

    Args:
        values: (sum of T_i, ...).
        ends: (N,), of each sequence in the values.
        name: what errors call them.
    Attributes:
        lengths: (N,) int64.
    """

    def __init__(self, values: NDArray[Any], ends: NDArray[np.int64], name: str = "the sequences") -> None:
        self._name = name
        self._values = values
        self._starts = np.concatenate([[0], ends[:-1]]).astype(np.int64)
        self._ends = ends
        self.lengths = ends - self._starts

    def __len__(self) -> int:
        return len(self._ends)

    def __getitem__(self, index: int) -> NDArray[Any]:
        return self._values[self._starts[index] : self._ends[index]]

    @property
    def values(self) -> NDArray[Any]:
        """(sum of T_i, ...), all sequences one behind the other."""
        return self._values

    @classmethod
    def in_memory(cls, arrays: Sequence[NDArray[Any]]) -> Sequences:
        """The same without a file, of at least one array."""
        return cls(np.concatenate(arrays), np.cumsum([len(array) for array in arrays]))

    @classmethod
    def open(cls, path: str | Path) -> Sequences:
        """Map what `write_sequences` wrote.

        Raises:
            RunError: a file is missing or damaged.
        """
        path = Path(path)
        try:
            values, ends = map_npy(path), read_npy(_ends_path(path))
        except FileNotFoundError as error:
            raise RunError(f"{error.filename} is missing: the run folder is incomplete") from None
        except DataError as error:
            raise RunError(str(error)) from None
        if not _fit(values, ends):
            raise RunError(f"{path} is damaged: the ends of its sequences do not fit")
        return cls(values, ends.astype(np.int64), str(path))

    def expect_numbers(self, least: int, below: int) -> None:
        """Hold whole numbers, one a step, against what they count: tokens, labels.

        Raises:
            RunError: they are something else, or one is not in [least, below).
        """
        if self._values.shape[1:] or self._values.dtype.kind not in "iu":
            raise self._strange("a whole number")
        if not self._values.size:
            return
        # As Python's numbers: the types differ in width and sign.
        smallest, largest = int(self._values.min()), int(self._values.max())
        if smallest < least or largest >= below:
            wrong = smallest if smallest < least else largest
            raise RunError(
                f"{self._name} does not belong to this run, or is damaged: it holds {wrong}, expected "
                f"numbers from {least} to {below - 1}"
            )

    def expect_steps(self, shape: tuple[int, ...], dtype: DTypeLike) -> None:
        """Hold what one step is against what the network reads.

        Args:
            shape: of a step.
            dtype: of its numbers, to the width and the order of their bytes: PyTorch takes them as they are.
        Raises:
            RunError: it is something else.
        """
        if self._values.shape[1:] != shape or self._values.dtype != np.dtype(dtype):
            raise self._strange(f"{np.dtype(dtype)} {shape}")

    def _strange(self, expected: str) -> RunError:
        return RunError(
            f"{self._name} does not belong to this run, or is damaged: each step is {self._values.dtype} "
            f"{self._values.shape[1:]}, expected {expected}"
        )


def _fit(values: NDArray[Any], ends: NDArray[Any]) -> bool:
    """Whether ends are whole numbers, one at least, that grow up to the number of steps."""
    if ends.dtype.kind not in "iu" or ends.ndim != 1 or values.ndim < 1 or not len(ends):
        return False
    # As Python's numbers, since differences of 64 bits wrap around.
    within = int(ends.min()) >= 0 and int(ends[-1]) == len(values)
    return within and bool((ends[1:] >= ends[:-1]).all())


def write_sequences(
    path: str | Path,
    arrays: Iterable[Any],
    dtype: Any = None,
    none: Callable[[], str] = lambda: "there is not a single example",
) -> Sequences:
    """Write arrays (T_i, ...) that agree in everything but T_i.

    Args:
        path: a .npy file; the ends go to NAME.ends.npy beside it.
        arrays: read once, one after the other; they go to the disk as they come.
        dtype: of the file; None is that of the first array.
        none: what is said where there are none, asked once they were read.
    Raises:
        DataError: there are none.
        ValueError: the arrays do not agree.
    """
    path = Path(path)
    ends: list[int] = []

    def counted() -> Iterator[NDArray[Any]]:
        for array in map(np.asarray, arrays):
            ends.append((ends[-1] if ends else 0) + len(array))
            yield array

    write_blocks(path, counted(), dtype)
    if not ends:
        raise DataError(none())
    with atomic_file(_ends_path(path)) as file:
        np.save(file, np.array(ends, dtype=np.int64), allow_pickle=False)
    return Sequences.open(path)


def write_blocks(path: str | Path, blocks: Iterable[NDArray[Any]], dtype: Any = None) -> int:
    """Write arrays (N_i, ...) one behind the other as a .npy file; without any, no file is written.

    Not through a mapped file: on a full disk, that would end the process.

    Args:
        path: the file.
        blocks: read once, one after the other; they go to the disk as they come.
        dtype: of the file; None is that of the first block.
    Returns:
        How many rows it has.
    Raises:
        ValueError: the blocks do not agree in the rest of their shape.
    """
    remaining = iter(blocks)
    first = next(remaining, None)
    if first is None:
        return 0
    kind = np.dtype(dtype if dtype is not None else first.dtype).newbyteorder("<")
    rest, rows = first.shape[1:], 0
    with atomic_file(path) as file:
        # Room for any count, so that the header can be written last, over the first one.
        header: dict[str, Any] = {"descr": kind.str, "fortran_order": False, "shape": (2**62, *rest)}
        np.lib.format.write_array_header_2_0(file, header)
        size = file.tell()
        for block in chain([first], remaining):
            if block.shape[1:] != rest:
                raise ValueError(f"an array has shape {block.shape}, expected (T, *{rest})")
            file.write(np.ascontiguousarray(block, dtype=kind).data)
            rows += len(block)
        file.seek(0)
        _write_padded_header(file, {**header, "shape": (rows, *rest)}, size)
    return rows


def _write_padded_header(file: Any, header: dict[str, Any], size: int) -> None:
    """A header of exactly `size` bytes: the format allows spaces before the final newline."""
    text = repr(header).encode("latin1")
    text += b" " * (size - 12 - len(text) - 1) + b"\n"
    file.write(b"\x93NUMPY\x02\x00" + len(text).to_bytes(4, "little") + text)


def _ends_path(path: Path) -> Path:
    return path.with_name(path.stem + ".ends.npy")
