"""NumPy's files, believed only where what their headers announce fits the bytes that are there."""

from __future__ import annotations

import math
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from throughtime.data.limits import EXAMPLE_BYTES
from throughtime.data.lines import expect_file
from throughtime.errors import DataError

# Deflated numbers become up to so many times smaller; a file of nothing but zeros 1,000 times.
_ORDINARY_RATIO = 50
# Beyond that NumPy's own arithmetic overflows, also where another side is 0.
_LONGEST = 2**40


def read_npy(path: str | Path) -> NDArray[Any]:
    """The array of a .npy file, in memory.

    Raises:
        FileNotFoundError: there is no such file.
        DataError: it is damaged, or an array of objects.
    """
    return np.array(map_npy(path))


def map_npy(path: str | Path) -> NDArray[Any]:
    """The array of a .npy file, mapped into memory.

    Raises:
        FileNotFoundError: there is no such file.
        DataError: it is damaged, or an array of objects.
    """
    path = Path(path)
    with _damage(path), path.open("rb") as file:
        shape, fortran, dtype = _read_header(file, path.stat().st_size)
        if not math.prod(shape):  # nothing to map
            return np.empty(shape, dtype)
        return np.memmap(path, dtype, "r", file.tell(), shape, "F" if fortran else "C")


def npz_names(path: str | Path) -> list[str]:
    """The names of the arrays in a .npz file.

    Raises:
        FileNotFoundError, DataError: as `read_npy`.
    """
    with _damage(Path(path)), zipfile.ZipFile(path) as archive:
        return [entry.filename.removesuffix(".npy") for entry in archive.infolist()]


def read_npz(path: str | Path, name: str) -> NDArray[Any]:
    """One array of a .npz file.

    Args:
        path: the file.
        name: of the array, as `npz_names` gives it.
    Raises:
        FileNotFoundError, DataError: as `read_npy`; or the array is far larger than the file, and above the
            limit.
    """
    path = Path(path)
    with _damage(path), zipfile.ZipFile(path) as archive:
        known = {entry.filename.removesuffix(".npy"): entry for entry in archive.infolist()}
        entry = known[name]
        with archive.open(entry) as file:
            shape, _, dtype = _read_header(file, entry.file_size)
            # As 32-bit numbers small ones grow.
            size = math.prod(shape) * max(dtype.itemsize, 4)
            if size > _ORDINARY_RATIO * path.stat().st_size:
                EXAMPLE_BYTES.check(size, f"{path}: the array {name!r} holds")
        with archive.open(entry) as file:
            return np.lib.format.read_array(file, allow_pickle=False)


def _read_header(file: IO[bytes], size: int) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Shape, order and type; the file then stands at the first number.

    Args:
        file: at its beginning.
        size: of all of it, in bytes.
    """
    version = np.lib.format.read_magic(file)
    if version not in ((1, 0), (2, 0), (3, 0)):
        raise ValueError(f"version {version[0]}.{version[1]} of the format is unknown")
    # The third version is the second with names in UTF-8, and has no reader of its own that is public.
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, fortran, dtype = read(file)
    if dtype.hasobject:
        raise ValueError("it holds Python's objects, which could run any program when they are read")
    if not dtype.itemsize:  # of these any number would fit into the file
        raise ValueError(f"its header announces {dtype}, which is no type of numbers")
    fits = math.prod(shape) * dtype.itemsize <= size - file.tell()
    if min(shape, default=0) < 0 or max(shape, default=0) > _LONGEST or not fits:
        raise ValueError(f"it is cut off: its header announces {dtype} {shape}")
    return shape, fortran, dtype


@contextmanager
def _damage(path: Path) -> Iterator[None]:
    """What reading a damaged file raises, as a DataError with its name."""
    expect_file(path)
    try:
        with warnings.catch_warnings():
            # That Python 2 wrote it is no reason to print two lines.
            warnings.simplefilter("ignore", UserWarning)
            yield
    except (FileNotFoundError, DataError):
        raise
    except IsADirectoryError:
        raise DataError(f"{path} is a folder, not a file of NumPy") from None
    # zipfile, zlib, NumPy, and Python's own parser, which reads the header: they have no common parent.
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(f"{path} is damaged, or not a file of NumPy: {reason}") from None
