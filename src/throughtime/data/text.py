"""Text files as blocks of characters or bytes, read as a stream so that a file may be larger than memory."""

from __future__ import annotations

import codecs
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

from throughtime.errors import DataError

DecodingErrors = Literal["strict", "replace"]
Progress = Callable[[int], None]

BLOCK_BYTES = 1 << 22

_OTHER_BYTE_ORDER_MARKS = {
    # UTF-32 before UTF-16: the little-endian mark of the one begins with that of the other.
    codecs.BOM_UTF32_LE: "UTF-32",
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}
_LONGEST_MARK = 4


def read_byte_blocks(
    path: str | Path, block_bytes: int = BLOCK_BYTES, progress: Progress | None = None
) -> Iterator[bytes]:
    """Read a file in blocks of bytes, as they are.

    Args:
        path: the file.
        block_bytes: size of a block in bytes; the last one is shorter.
        progress: called with the number of bytes read so far.
    Raises:
        DataError: the file is missing, empty, a folder or unreadable.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            done = 0
            while block := file.read(block_bytes):
                done += len(block)
                yield block
                if progress is not None:
                    progress(done)
    except FileNotFoundError:
        raise DataError(f"{path}: no such file (the working directory is {Path.cwd()})") from None
    except IsADirectoryError:
        raise DataError(f"{path} is a folder, not a text file: name one file in it") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from None
    if done == 0:
        raise DataError(f"{path} is empty: there is nothing to read")


def read_blocks(
    path: str | Path,
    errors: DecodingErrors = "strict",
    block_bytes: int = BLOCK_BYTES,
    progress: Progress | None = None,
) -> Iterator[str]:
    """Read a UTF-8 file in blocks of text; a byte order mark is dropped, line ends stay as they are.

    Args:
        path: the file.
        errors: "strict" raises at the first invalid byte; "replace" reads U+FFFD in its place.
        block_bytes: how many bytes to read at once.
        progress: called with the number of bytes read so far.
    Raises:
        DataError: the file is missing, empty, unreadable or not UTF-8 (the message names the byte's offset).
    """
    blocks = _with_whole_mark(read_byte_blocks(path, block_bytes, progress))
    first = next(blocks)
    _refuse_other_encodings(path, first)
    pending = first.removeprefix(codecs.BOM_UTF8)
    if not pending:
        raise DataError(f"{path} holds nothing but a byte order mark: there is nothing to read")
    offset = len(first) - len(pending)  # of the first byte of `pending` in the file
    line = 1
    for block in itertools.chain([b""], blocks):
        data = pending + block
        text, used = _decode(path, data, errors, offset, line, final=False)
        pending = data[used:]
        offset += used
        line += data.count(b"\n", 0, used)
        if text:
            yield text
    if pending:
        yield _decode(path, pending, errors, offset, line, final=True)[0]


def _with_whole_mark(blocks: Iterator[bytes]) -> Iterator[bytes]:
    """The same bytes, with a first block long enough to hold any byte order mark, and what follows it."""
    first = b""
    for block in blocks:
        first += block
        if len(first) > _LONGEST_MARK:
            break
    yield first
    yield from blocks


def _decode(
    path: str | Path, data: bytes, errors: str, offset: int, line: int, final: bool
) -> tuple[str, int]:
    try:
        return codecs.utf_8_decode(data, errors, final)
    except UnicodeDecodeError as error:
        line += data.count(b"\n", 0, error.start)
        raise DataError(
            f"{path}: byte 0x{data[error.start]:02x} at offset {offset + error.start} (line {line}) is not "
            f"UTF-8: pass --errors replace to read such bytes as U+FFFD, or --tokenizer byte to model the "
            f"bytes themselves"
        ) from None


def _refuse_other_encodings(path: str | Path, data: bytes) -> None:
    for mark, name in _OTHER_BYTE_ORDER_MARKS.items():
        if data.startswith(mark):
            raise DataError(
                f"{path} begins with a {name} byte order mark, and text has to be UTF-8: convert it, for "
                f"example with iconv -f {name} -t UTF-8"
            )
