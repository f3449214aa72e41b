"""A corpus of many files, or behind URLs: which files, the pieces they are read in, and the text of a piece.

The text of a corpus is that of its files one after the other, in the order of their names. A document, which
is a text file or a row of JSON Lines or Parquet, ends with a newline; where it has none, it gets one.
"""

from __future__ import annotations

import gzip
import json
import re
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import accumulate
from pathlib import PurePosixPath
from typing import Any, BinaryIO, Literal, TypeVar, cast

from throughtime.data.limits import LINE
from throughtime.data.lines import check_text, shown
from throughtime.data.parquet import parquet_columns, parquet_groups, parquet_rows
from throughtime.data.sources import Source, find_files
from throughtime.data.text import DecodingErrors, decode_blocks
from throughtime.encodings import UTF8
from throughtime.errors import DataError

# Enough that starting one costs little, and few enough that a kill loses little.
PIECE_BYTES = 64 << 20
# What is read and handed on at once.
_BLOCK = 1 << 20
_TEXTS = (".txt", ".text", ".md")
_JSON_LINES = (".jsonl", ".ndjson")
_PARQUET = ".parquet"

Kind = Literal["text", "jsonl", "parquet"]
Block = TypeVar("Block", str, bytes)


@dataclass(frozen=True)
class CorpusForm:
    """How the files of a corpus are written.

    Args:
        column: of JSON Lines and Parquet, that holds the text.
        encoding, errors: of text files.
        skip_bad: leave out rows without a text.
    """

    column: str = "text"
    encoding: str = UTF8
    errors: DecodingErrors = "strict"
    skip_bad: bool = False


@dataclass(frozen=True)
class Piece:
    """A part of a file that is read by itself.

    Args:
        source: the file.
        begin, end: of the part, in bytes, or for Parquet in row groups; None is the end of the file.
    """

    source: Source
    begin: int = 0
    end: int | None = None

    @property
    def name(self) -> str:
        """For messages."""
        return str(self.source)

    def as_json(self) -> dict[str, Any]:
        """What `from_json` reads."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Piece:
        """The piece that `as_json` wrote."""
        return cls(Source(**value["source"]), value["begin"], value["end"])


class BadRows:
    """Counts rows that are left out, or refuses them."""

    def __init__(self, skip: bool) -> None:
        self._skip = skip
        self.count = 0

    def add(self, message: str) -> None:
        """A row that cannot be used.

        Raises:
            DataError: none is to be left out.
        """
        if not self._skip:
            raise DataError(f"{message} (pass --skip-bad to leave such rows out)")
        self.count += 1


def kind_of(source: Source) -> Kind:
    """How a file is read, by its name."""
    suffix = _suffix(source.name)
    return "jsonl" if suffix in _JSON_LINES else "parquet" if suffix == _PARQUET else "text"


def find_corpus(pattern: str) -> list[Source]:
    """The files of a corpus.

    Raises:
        DataError: there are none.
        MissingExtraError: the URL needs a library that is not installed.
    """
    return find_files([pattern], lambda source: is_corpus_file(source, pattern))


def is_corpus_file(source: Source, pattern: str) -> bool:
    """Whether a file that a pattern stands for is read: by its name, or because the pattern asks for it."""
    suffix, asked = _suffix(source.name), _suffix(Source(pattern).name)
    return suffix in (*_TEXTS, *_JSON_LINES, _PARQUET) or (bool(asked) and suffix == asked)


def pieces_of(sources: Sequence[Source], form: CorpusForm, size: int = PIECE_BYTES) -> list[Piece]:
    """Cut files into pieces, always at the same places.

    Args:
        sources: the files.
        form: how they are written.
        size: of a piece, about, in bytes.
    Raises:
        DataError: a file cannot be read.
    """
    return [piece for source in sources for piece in _cut(source, form, size)]


def _cut(source: Source, form: CorpusForm, size: int) -> Iterator[Piece]:
    kind = kind_of(source)
    if kind == "parquet":
        yield from _row_groups(source, size)
        return
    packed = source.name.lower().endswith(".gz")
    # In other encodings a byte does not say where a character ends; archives are read from their beginning.
    if packed or "::" in source.url or source.size is None or (kind == "text" and form.encoding != UTF8):
        yield Piece(source)
        return
    begin = 0
    with opened(source) as file:
        while source.size - begin > size * 3 // 2:
            end = _next_cut(file, begin + size, kind)
            if end is None:
                break
            yield Piece(source, begin, end)
            begin = end
    yield Piece(source, begin)


def _next_cut(file: BinaryIO, position: int, kind: Kind) -> int | None:
    """The first place from a position on where a piece may end: behind a line, or between two words."""
    file.seek(position)
    before = b""
    while block := file.read(_BLOCK):
        data, start = before + block, position - len(before)
        if kind == "jsonl":
            if (found := data.find(b"\n")) >= 0:
                return start + found + 1
        else:
            # As the tokenisers cut: whitespace with something else before it.
            for match in re.finditer(rb"[^\s](?=[ \t\r\n])", data):
                last = data[max(match.end() - 4, 0) : match.end()].decode(errors="ignore")[-1:]
                if last and not last.isspace():
                    return start + match.end()
        position += len(block)
        before = data[-4:] if kind == "text" else b""
    return None


def _row_groups(source: Source, size: int) -> Iterator[Piece]:
    begin = total = 0
    groups = parquet_groups(source.path)
    for number, group in enumerate(groups):
        total += sum(chunk.size for chunk in group.chunks)
        if total >= size:
            yield Piece(source, begin, number + 1)
            begin, total = number + 1, 0
    if begin < len(groups):
        yield Piece(source, begin, len(groups))


def byte_blocks(piece: Piece, form: CorpusForm, bad: BadRows) -> Iterator[bytes]:
    """The text of a piece as bytes of UTF-8; of a text file, its bytes as they are.

    Raises:
        DataError: as of `text_blocks`.
    """
    if kind_of(piece.source) == "text":
        yield from _with_last_newline(_file_blocks(piece), piece, b"\n")
    else:
        yield from (block.encode() for block in text_blocks(piece, form, bad))


def text_blocks(piece: Piece, form: CorpusForm, bad: BadRows) -> Iterator[str]:
    """The text of a piece, in blocks.

    Args:
        piece: what to read.
        form: how it is written.
        bad: takes rows that cannot be used.
    Raises:
        DataError: the file cannot be read, is damaged, or is not what its name says.
    """
    kind = kind_of(piece.source)
    if kind == "text":
        blocks = decode_blocks(piece.name, _file_blocks(piece), form.errors, form.encoding, piece.begin)
        yield from _with_last_newline(blocks, piece, "\n")
        return
    rows = _json_rows(piece, form, bad) if kind == "jsonl" else _parquet_rows(piece, form, bad)
    pending: list[str] = []
    length = 0
    for text in rows:
        pending.append(text if text.endswith("\n") else text + "\n")
        length += len(pending[-1])
        if length >= _BLOCK:
            yield "".join(pending)
            pending, length = [], 0
    if pending:
        yield "".join(pending)


def _file_blocks(piece: Piece) -> Iterator[bytes]:
    """The bytes of a piece of a text file."""
    packed = piece.source.name.lower().endswith(".gz")
    with opened(piece.source) as file:
        content = cast(BinaryIO, gzip.GzipFile(fileobj=file)) if packed else file
        if piece.begin:
            content.seek(piece.begin)
        left = None if piece.end is None else piece.end - piece.begin
        while left is None or left > 0:
            block = content.read(_BLOCK if left is None else min(_BLOCK, left))
            if not block:
                break
            left = None if left is None else left - len(block)
            yield block


def _with_last_newline(blocks: Iterator[Block], piece: Piece, newline: Block) -> Iterator[Block]:
    """The same text, with a newline at the end of the file."""
    last = newline
    for block in blocks:
        yield block
        last = block or last
    if piece.end is None and not last.endswith(newline):
        yield newline


def _json_rows(piece: Piece, form: CorpusForm, bad: BadRows) -> Iterator[str]:
    for number, line in enumerate(_lines(piece), 1):
        if not line.strip():
            continue
        where = f"{piece.name} line {number}"
        if piece.begin:
            where += f" behind byte {piece.begin:,}"
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            bad.add(f"{where} is no JSON")
            continue
        text = row.get(form.column) if isinstance(row, dict) else None
        if not isinstance(text, str):
            known = f": it has {', '.join(map(str, list(row)[:8]))}" if isinstance(row, dict) else ""
            bad.add(f"{where} has no text in {form.column!r}{known}")
            continue
        try:
            yield check_text(text)
        except DataError as error:
            bad.add(f"{where}: {error}")


def _lines(piece: Piece) -> Iterator[bytes]:
    rest = b""
    for block in _file_blocks(piece):
        *lines, rest = (rest + block).split(b"\n")
        yield from lines
        if len(rest) > 4 * LINE.value:
            raise DataError(f"{piece.name} has a line that is too long: {LINE.exceeded()}")
    if rest:
        yield rest


def _parquet_rows(piece: Piece, form: CorpusForm, bad: BadRows) -> Iterator[str]:
    path = piece.source.path
    names = parquet_columns(path)
    if form.column not in names:
        raise DataError(
            f"{piece.name} has no column {form.column!r}: it has {', '.join(names)[:200]} (--text-column)"
        )
    ends = list(accumulate((group.rows for group in parquet_groups(path)), initial=0))
    first, last = ends[piece.begin], ends[-1 if piece.end is None else piece.end]

    def report(row: int, fault: str) -> None:
        bad.add(f"{piece.name} row {row}: {fault}")

    for row, values in parquet_rows(path, report, first, last, [form.column]):
        text = values[form.column]
        if isinstance(text, str):
            yield text
        else:
            bad.add(f"{piece.name} row {row} has no text in {form.column!r}, but {shown(text)}")


@contextmanager
def opened(source: Source) -> Iterator[BinaryIO]:
    """A file of a corpus; what goes wrong while it is read names it.

    Raises:
        DataError: it cannot be read, or is damaged.
    """
    try:
        with source.open() as file:
            yield file
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(f"{source} is damaged or no gzip file: {error}") from None
    except OSError as error:
        raise DataError(f"{source} cannot be read: {error.strerror or error}") from None


def _suffix(name: str) -> str:
    """The end of a file's name in lower case, without .gz."""
    return PurePosixPath(name.lower().removesuffix(".gz")).suffix
