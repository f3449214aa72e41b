"""What a Parquet file announces of its parts, before any of them is decoded.

pyarrow tells it as well, but where a footer is damaged it ends the whole process: the C++ exception that it
throws then passes a function that lets none through. A footer is a struct of Thrift's compact protocol, of
which little is needed to pass over what is not asked for.

Source: https://github.com/apache/parquet-format (parquet.thrift), and
    https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from throughtime.data.sources import Source

_MAGIC = b"PAR1"
# Structs inside structs: the format has 6.
_DEEPEST = 32

# Numbers of fields in parquet.thrift.
_ROW_GROUPS, _COLUMNS, _ROWS, _METADATA = 4, 1, 3, 3
_PATH, _VALUES, _SIZE, _STORED = 3, 5, 6, 7


@dataclass(frozen=True)
class Chunk:
    """A column's part of a row group.

    Args:
        name: of the column, with dots where it is inside of others.
        values: how many, nulls and the elements of lists included.
        size: bytes before compression.
        stored: bytes in the file.
    """

    name: str
    values: int
    size: int
    stored: int


@dataclass(frozen=True)
class RowGroup:
    """Rows that lie together.

    Args:
        rows: how many.
        chunks: of its columns.
    """

    rows: int
    chunks: list[Chunk]


def read_footer(path: Path | Source) -> list[RowGroup]:
    """The row groups of a file.

    Raises:
        OSError: it cannot be read.
        ValueError: it is no Parquet, or damaged.
    """
    with path.open("rb") as file:
        end = file.seek(0, 2)
        file.seek(max(0, end - 8))
        tail = file.read(8)
        size = int.from_bytes(tail[:4], "little")
        if tail[4:] != _MAGIC or size > end - 8:
            raise ValueError("it does not end as a Parquet file does")
        file.seek(end - 8 - size)
        content = file.read(size)
    try:
        groups = _Reader(content).struct()[_ROW_GROUPS]
        return [RowGroup(int(group[_ROWS]), [_chunk(one) for one in group[_COLUMNS]]) for group in groups]
    except (IndexError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"its footer is damaged ({error!r})") from None


def _chunk(column: dict[int, Any]) -> Chunk:
    facts = column[_METADATA]
    name = b".".join(facts[_PATH]).decode("utf-8", "replace")
    return Chunk(name, int(facts[_VALUES]), int(facts[_SIZE]), int(facts[_STORED]))


class _Reader:
    """Values of the compact protocol, one behind the other."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._at = 0

    def struct(self, depth: int = 0) -> dict[int, Any]:
        """The fields of a struct, by their numbers."""
        fields: dict[int, Any] = {}
        number = 0
        while head := self._byte():
            number = number + (head >> 4) if head >> 4 else self._signed()
            kind = head & 15
            # The value of a boolean field is in its head.
            fields[number] = kind == 1 if kind in (1, 2) else self._value(kind, depth)
        return fields

    def _value(self, kind: int, depth: int) -> Any:
        if depth > _DEEPEST:
            raise ValueError("its footer is nested too deeply")
        if kind in (4, 5, 6):
            return self._signed()
        if kind == 8:
            return self._take(self._unsigned())
        if kind in (9, 10):
            head = self._byte()
            return self._list(self._unsigned() if head >> 4 == 15 else head >> 4, head & 15, depth)
        if kind == 11:
            count = self._unsigned()
            kinds = self._byte() if count else 0
            return [self._list(1, one, depth) for _ in range(count) for one in (kinds >> 4, kinds & 15)]
        if kind == 12:
            return self.struct(depth + 1)
        sizes = {1: 1, 2: 1, 3: 1, 7: 8, 13: 16}
        if kind not in sizes:
            raise ValueError(f"its footer holds a value of the unknown type {kind}")
        return self._take(sizes[kind])

    def _list(self, count: int, kind: int, depth: int) -> list[Any]:
        return [self._value(kind, depth + 1) for _ in range(count)]

    def _byte(self) -> int:
        self._at += 1
        return self._content[self._at - 1]

    def _take(self, count: int) -> bytes:
        self._at += count
        if self._at > len(self._content):
            raise IndexError("cut off")
        return self._content[self._at - count : self._at]

    def _unsigned(self) -> int:
        found = 0
        for place in range(0, 70, 7):
            part = self._byte()
            found |= (part & 127) << place
            if part < 128:
                return found
        raise ValueError("its footer holds a number that is too long")

    def _signed(self) -> int:
        found = self._unsigned()
        return (found >> 1) ^ -(found & 1)
