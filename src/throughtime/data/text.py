"""Text files as blocks of characters or bytes, read as a stream so that a file may be larger than memory."""

from __future__ import annotations

import codecs
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

from throughtime.encodings import MARKS, UTF8, guess_encoding
from throughtime.errors import DataError

DecodingErrors = Literal["strict", "replace"]
Progress = Callable[[int], None]

BLOCK_BYTES = 1 << 22

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
    encoding: str = UTF8,
) -> Iterator[str]:
    """Read a file in blocks of text; a byte order mark is dropped, line ends stay as they are.

    Args:
        path: the file.
        errors: "strict" raises at the first invalid byte; "replace" reads U+FFFD in its place.
        block_bytes: how many bytes to read at once.
        progress: called with the number of bytes read so far.
        encoding: of the text.
    Raises:
        DataError: the file is missing, empty, unreadable or not in this encoding (the message names the
            byte's offset).
    """
    yield from decode_blocks(path, read_byte_blocks(path, block_bytes, progress), errors, encoding)


def decode_blocks(
    path: str | Path,
    blocks: Iterator[bytes],
    errors: DecodingErrors = "strict",
    encoding: str = UTF8,
    begin: int = 0,
) -> Iterator[str]:
    """Blocks of bytes as blocks of text, as `read_blocks` reads a file.

    Args:
        path: where they are from, for errors.
        blocks: one after the other; no character has to be whole in one.
        errors, encoding: as of `read_blocks`.
        begin: of the first block in the file, in bytes.
    Raises:
        DataError: as of `read_blocks`, but for the file itself.
    """
    blocks = _with_whole_mark(blocks)
    if encoding != UTF8:
        yield from _other_encoding(path, blocks, encoding, errors)
        return
    first = next(blocks)
    pending = first
    if not begin:
        _refuse_other_encodings(path, first)
        pending = first.removeprefix(codecs.BOM_UTF8)
    if first and not pending:
        raise DataError(f"{path} holds nothing but a byte order mark: there is nothing to read")
    offset = begin + len(first) - len(pending)  # of the first byte of `pending` in the file
    line = 0 if begin else 1  # nobody has counted the lines before
    for block in itertools.chain([b""], blocks):
        data = pending + block
        text, used = _decode(path, data, errors, offset, line, final=False)
        pending = data[used:]
        offset += used
        line += data.count(b"\n", 0, used) if line else 0
        if text:
            yield text
    if pending:
        yield _decode(path, pending, errors, offset, line, final=True)[0]


def _other_encoding(path: str | Path, blocks: Iterator[bytes], encoding: str, errors: str) -> Iterator[str]:
    decoder = codecs.getincrementaldecoder(encoding)(errors)
    try:
        for block in blocks:
            if text := decoder.decode(block):
                yield text
        if text := decoder.decode(b"", final=True):
            yield text
    except UnicodeError as error:
        raise DataError(f"{path} is not {encoding}, as --encoding says: {error}") from None


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
        line += data.count(b"\n", 0, error.start) if line else 0
        at = f"{offset + error.start}" + (f" (line {line})" if line else "")
        raise DataError(
            f"{path}: byte 0x{data[error.start]:02x} at offset {at} is not "
            f"UTF-8: {_advice(data[error.start :])}"
        ) from None


def _advice(data: bytes) -> str:
    guessed = guess_encoding(data[:BLOCK_BYTES])
    others = "--errors replace reads such bytes as U+FFFD, and --tokenizer byte models the bytes themselves"
    if guessed is None:
        return others
    return f"it looks like {guessed[1]}, which `train --encoding {guessed[0]}` reads; {others}"


def _refuse_other_encodings(path: str | Path, data: bytes) -> None:
    for mark, name in MARKS.items():
        if data.startswith(mark):
            raise DataError(
                f"{path} begins with a {name} byte order mark, and is read as UTF-8: pass "
                f"--encoding {name.lower()}"
            )
