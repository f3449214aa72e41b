"""Token numbers on disk, mapped into memory: a text is tokenised once, and may be larger than memory."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from throughtime.errors import DataError, OptionError, RunError
from throughtime.files import atomic_file, write_atomically

_VERSION = 1
# A check that takes longer shows how far it is.
_SILENT_SECONDS = 2.0


@dataclass(frozen=True)
class TokenFile:
    """Token numbers in a file.

    Args:
        path: the file.
        tokens: (N,) unsigned, read from the file as needed.
        vocabulary_size: every token is below it.
        sha256: of the file's bytes.
    """

    path: Path
    tokens: NDArray[np.unsignedinteger]
    vocabulary_size: int
    sha256: str

    @property
    def count(self) -> int:
        """N, the number of tokens."""
        return len(self.tokens)

    @classmethod
    def open(cls, path: str | Path) -> TokenFile:
        """Map a file that `write_tokens` wrote. The tokens are not read: `verify` does that.

        Args:
            path: the file; its description lies beside it as PATH.json.
        Raises:
            RunError: the file or its description is missing, of another size, or damaged.
        """
        path = Path(path)
        try:
            description = json.loads(_description_path(path).read_text(encoding="utf-8"))
            if description["version"] != _VERSION:
                raise RunError(
                    f"{path} has version {description['version']}, and this Throughtime reads {_VERSION}"
                )
            vocabulary_size, count = int(description["vocabulary_size"]), int(description["count"])
            dtype = token_type(vocabulary_size)
            if description["dtype"] != dtype.str:
                raise ValueError(f"{vocabulary_size} tokens are not kept as {description['dtype']!r}")
            if path.stat().st_size != count * dtype.itemsize:
                raise RunError(f"{path} has {path.stat().st_size} bytes, expected {count * dtype.itemsize}")
            tokens = np.memmap(path, dtype=dtype, mode="r", shape=(count,))
            return cls(path, tokens, vocabulary_size, str(description["sha256"]))
        except FileNotFoundError as error:
            raise RunError(f"{error.filename} is missing: tokenise the text again") from None
        except (OSError, KeyError, TypeError, ValueError, OverflowError, RecursionError) as error:
            raise RunError(f"{path} or its description is damaged: {error}") from None

    def verify(self, progress: Callable[[int, int], None] | None = None) -> None:
        """Read all of the file once and compare the checksum: 0.7 s for 1 GB.

        Args:
            progress: called with bytes done and to do, once it has taken two seconds.
        Raises:
            RunError: the file is damaged.
        """
        digest, done, begin = hashlib.sha256(), 0, time.monotonic()
        # Read and not mapped, so that a large file does not fill the memory.
        with self.path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
                done += len(block)
                if progress is not None and time.monotonic() - begin > _SILENT_SECONDS:
                    progress(done, self.tokens.nbytes)
        if digest.hexdigest() != self.sha256:
            raise RunError(
                f"{self.path} is damaged: its checksum is not that in {_description_path(self.path).name}; "
                f"copy it again, or train anew"
            )


def write_tokens(
    path: str | Path,
    blocks: Iterable[NDArray[np.int64]],
    vocabulary_size: int,
    progress: Callable[[int], None] | None = None,
) -> TokenFile:
    """Write blocks of token numbers as one file, little-endian, in the narrowest unsigned type.

    Args:
        path: the file; a description is written beside it as PATH.json.
        blocks: (N,) arrays, one after the other.
        vocabulary_size: every token has to be below it.
        progress: called with the number of tokens written so far.
    Raises:
        DataError: there is no token at all.
        ValueError: a token is outside the vocabulary.
    """
    path = Path(path)
    width = token_type(vocabulary_size).itemsize
    digest, count = hashlib.sha256(), 0
    with atomic_file(path) as file:
        for data in token_bytes(blocks, vocabulary_size):
            digest.update(data)
            file.write(data)
            count += len(data) // width
            if progress is not None:
                progress(count)
        if count == 0:
            raise DataError("the text has no tokens")
    describe_tokens(path, count, digest.hexdigest(), vocabulary_size)
    return TokenFile.open(path)


def token_bytes(blocks: Iterable[NDArray[np.int64]], vocabulary_size: int) -> Iterator[bytes]:
    """Token numbers as they lie in a file.

    Raises:
        ValueError: a token is outside the vocabulary.
    """
    dtype = token_type(vocabulary_size)
    for block in blocks:
        if block.size and (block.min() < 0 or block.max() >= vocabulary_size):
            raise ValueError(f"a token is outside the vocabulary of {vocabulary_size} tokens")
        yield block.astype(dtype).tobytes()


def describe_tokens(path: Path, count: int, sha256: str, vocabulary_size: int) -> None:
    """Write the description of a token file beside it.

    Args:
        path: the token file.
        count: how many tokens it has, or will have.
        sha256: of its bytes.
        vocabulary_size: every token is below it.
    """
    description = {
        "version": _VERSION,
        "dtype": token_type(vocabulary_size).str,
        "count": count,
        "sha256": sha256,
        "vocabulary_size": vocabulary_size,
    }
    write_atomically(_description_path(path), json.dumps(description, indent=1).encode())


def split(
    tokens: NDArray[np.unsignedinteger], validation_fraction: float
) -> tuple[NDArray[np.unsignedinteger], NDArray[np.unsignedinteger]]:
    """Cut tokens into training (the beginning) and validation (the end); views, nothing is copied.

    Raises:
        OptionError: the fraction is not in [0, 1).
    """
    if not 0 <= validation_fraction < 1:
        raise OptionError(f"validation_fraction must be from 0 to below 1, not {validation_fraction}")
    count = int(len(tokens) * (1 - validation_fraction))
    return tokens[:count], tokens[count:]


def token_type(vocabulary_size: int) -> np.dtype[Any]:
    """The smallest type that holds every token."""
    return np.dtype("<u1" if vocabulary_size <= 1 << 8 else "<u2" if vocabulary_size <= 1 << 16 else "<u4")


def _description_path(path: Path) -> Path:
    return path.with_name(path.name + ".json")
