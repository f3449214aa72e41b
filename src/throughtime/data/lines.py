"""Lines of text from files and from standard input: bounded in length, with faults named by their line."""

from __future__ import annotations

import gzip
import io
import itertools
import os
import re
import sys
import zlib
from collections.abc import Iterator
from io import BufferedIOBase
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from throughtime.data.limits import LINE
from throughtime.encodings import UTF8
from throughtime.errors import DataError

if TYPE_CHECKING:
    from throughtime.data.sources import Source

STANDARD_INPUT = "standard input"

_SURROGATE = re.compile("[\ud800-\udfff]")
NOT_UTF8 = "is not UTF-8"
# Bytes that are not UTF-8 are read as these, so that the line that holds them is known, and can be left out.
_ESCAPED_BYTES = range(0xDC80, 0xDD00)
# Bytes in one read: what a pipe holds, on Linux.
_CHUNK = 1 << 16


def read_lines(
    path: str | Path | Source, newline: str = "", encoding: str = UTF8, start: int = 0, first: int = 1
) -> Iterator[str]:
    """The lines of a text file, plain or .gz, with their ends; a byte order mark is dropped.

    Args:
        path: the file.
        newline: as for `open`: "" ends a line at LF, CR or both, and keeps them; "\\n" at LF only.
        encoding: of the text.
        start: the byte to begin at, where a line begins; of files that are not compressed.
        first: the number of that line, for errors.
    Yields:
        Lines that may hold bytes that cannot be decoded: see `check_text`.
    Raises:
        DataError: the file is missing, unreadable, damaged, or a line is too long (the message names it).
    """
    path = Path(path) if isinstance(path, str) else path
    try:
        with _open(path, newline, encoding, start) as file:
            yield from _bounded(file, str(path), first)
    except FileNotFoundError:
        raise DataError(f"{path}: no such file (the working directory is {Path.cwd()})") from None
    except IsADirectoryError:
        raise DataError(f"{path} is a folder, not a text file: name one file in it") from None
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(f"{path} is damaged or no gzip file: {error}") from None
    except (OSError, ValueError) as error:  # ValueError: a name with a zero byte
        raise DataError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from None


def read_whole(path: Path, encoding: str = UTF8) -> str:
    """A text file that is one example.

    Raises:
        DataError: as of `read_lines`, or the text is longer than a line may be.
    """
    lines: list[str] = []
    length = 0
    for line in read_lines(path, encoding=encoding):
        lines.append(line)
        length += len(line)
        if length > LINE.value:
            raise DataError(f"{path} has more than {LINE.value:,} characters, and is read as one text")
    return "".join(lines)


def standard_input() -> Iterator[str]:
    """The lines of standard input without their ends, each as soon as it is there.

    Yields:
        Lines that may hold bytes that are not UTF-8: see `check_text`.
    Raises:
        DataError: it cannot be read, or a line is too long.
    """
    return itertools.chain.from_iterable(standard_input_blocks())


def standard_input_blocks() -> Iterator[list[str]]:
    """As `standard_input`: all lines that have come, at least one, without waiting for more.

    Who types, or waits for each answer, gives one at a time; a pipe gives as many as it holds.
    """
    if sys.stdin is None:  # closed by whoever started the process
        return
    source: Any = getattr(sys.stdin, "buffer", None)
    try:
        if source is None:
            yield from ([line.rstrip("\r\n")] for line in sys.stdin)
            return
        is_first = True
        for block in _blocks(source, STANDARD_INPUT):
            # Whatever the locale says: text is UTF-8 everywhere in Throughtime.
            lines = [line.decode("utf-8", "surrogateescape").rstrip("\r\n") for line in block]
            if is_first:
                lines[0] = lines[0].removeprefix("\ufeff")
            is_first = False
            yield lines
    except OSError as error:
        raise DataError(f"{STANDARD_INPUT} cannot be read: {error.strerror or error}") from None


def expect_file(path: Path) -> None:
    """Raise DataError for a pipe or a device, which cannot be read twice or in parts, and may never end."""
    if os.path.exists(path) and not (os.path.isfile(path) or os.path.isdir(path)):
        raise DataError(
            f"{path} is a pipe or a device, and such data is read more than once: write what it gives into a "
            f"file, and name that"
        )


def check_text(text: str) -> str:
    """The text, where it is Unicode throughout.

    Raises:
        DataError: it holds a byte that is not UTF-8, or half of a surrogate pair, which nothing can encode.
    """
    if not text.isascii() and (found := _SURROGATE.search(text)):
        code = ord(found[0])
        if code in _ESCAPED_BYTES:
            raise DataError(f"byte 0x{code - 0xDC00:02x} {NOT_UTF8}")
        raise DataError(f"U+{code:04X} is half of a surrogate pair, and no character")
    return text


def shown(value: object) -> str:
    """A user's value as an error quotes it: as Python writes it, and not longer than a line."""
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:60]}... ({len(text):,} characters)"


def _open(path: Path | Source, newline: str, encoding: str, start: int) -> TextIO:
    name = "utf-8-sig" if encoding == UTF8 and not start else encoding
    how: Any = {"encoding": name, "errors": "surrogateescape", "newline": newline}
    if isinstance(path, Path):
        if path.suffix.lower() == ".gz":
            return gzip.open(path, "rt", **how)
        file = path.open("rb")
    else:
        file = path.open()
        if path.suffix.lower() == ".gz":
            return gzip.open(file, "rt", **how)
    if start:  # a pipe has no places
        file.seek(start)
    return io.TextIOWrapper(file, **how)


def _bounded(file: TextIO, name: str, number: int) -> Iterator[str]:
    """The lines of a file."""
    longest = LINE.value
    while line := file.readline(longest + 1):
        _check_length(len(line), name, number)
        yield line
        number += 1


def _blocks(source: BufferedIOBase, name: str) -> Iterator[list[bytes]]:
    """The lines that each read completes."""
    number, rest = 1, bytearray()
    while chunk := source.read1(_CHUNK):
        rest += chunk
        if b"\n" in chunk:
            *block, last = bytes(rest).split(b"\n")
            for place, line in enumerate(block):
                _check_length(len(line), name, number + place)
            yield block
            number, rest = number + len(block), bytearray(last)
        _check_length(len(rest), name, number)
    if rest:
        yield [bytes(rest)]


def _check_length(length: int, name: str, number: int) -> None:
    if length > LINE.value:
        raise DataError(f"{name} line {number} is too long: {LINE.exceeded()}")
