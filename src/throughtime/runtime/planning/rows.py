"""Rows: flat vectors of numbers that belong to one sequence, and what a step computes of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]

# Beyond this a choice of elements is made one by one, not piece by piece.
_MOST_PIECES = 64


@dataclass(frozen=True, eq=False)
class Value:
    """A row of numbers.

    Args:
        size: how many.
    """

    size: int


@dataclass(frozen=True, eq=False)
class Input(Value):
    """The inputs ("inputs") or a tensor of the old state ("state.0"...)."""

    name: str


@dataclass(frozen=True, eq=False)
class Constant(Value):
    """The same for all rows; size 1 stands for as many as are wanted."""

    array: Array


@dataclass(frozen=True, eq=False)
class Lane(Value):
    """Element i of the result depends on element i of the operands."""

    operation: str
    operands: tuple[Value, ...]


@dataclass(frozen=True)
class Segment:
    """Rows of a product: a matrix (rows, columns) times a part of a row.

    Args:
        source: what is multiplied, from `start` on, as many elements as the matrix has columns.
    """

    source: Value
    start: int
    matrix: Array


@dataclass(frozen=True, eq=False)
class Product(Value):
    """Segments one below the other, and what is added to them."""

    segments: tuple[Segment, ...]
    bias: Array | None


@dataclass(frozen=True, eq=False)
class Slice(Value):
    """`size` elements of a row from `start` on."""

    source: Value
    start: int


@dataclass(frozen=True, eq=False)
class Concat(Value):
    """Rows one behind the other."""

    pieces: tuple[Value, ...]


@dataclass(frozen=True, eq=False)
class Stored(Value):
    """A row that lies in memory in one piece, because others want it, too: it is never taken apart."""

    source: Value


@dataclass(frozen=True, eq=False)
class Gather(Value):
    """Elements in another order, or several times."""

    source: Value
    index: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Reduce(Value):
    """Each `length` elements to one: their "sum", or the largest ("max")."""

    kind: str
    source: Value
    length: int


@dataclass(frozen=True, eq=False)
class Normalise(Value):
    """Each `length` elements less their mean, over the root of their variance and `epsilon`."""

    source: Value
    length: int
    epsilon: float


# ---- builders that simplify


def constant(value: Any, size: int = 1) -> Constant:
    """A number, or an array of them; whole numbers stand for elements of weights, and stay what they are."""
    array = np.asarray(value)
    if array.dtype != np.int64:
        array = array.astype(np.float32)
    array = np.ascontiguousarray(np.broadcast_to(array.reshape(-1), (size,)))
    if size > 1 and array.size and (array == array[0]).all():
        array = array[:1]
    return Constant(size, array)


def lane(operation: str, *operands: Value) -> Value:
    """An operation element by element."""
    return Lane(max(operand.size for operand in operands), operation, operands)


def take(value: Value, start: int, size: int) -> Value:
    """Elements from `start` on, cut out before what can be cut before."""
    if start == 0 and size == value.size:
        return value
    if isinstance(value, Constant):
        return Constant(size, value.array if value.array.size == 1 else value.array[start : start + size])
    if isinstance(value, Slice):
        return take(value.source, value.start + start, size)
    if isinstance(value, Lane):
        cut = [operand if _spreads(operand) else take(operand, start, size) for operand in value.operands]
        return Lane(size, value.operation, tuple(cut))
    if isinstance(value, Product):
        segments, at = [], 0
        for segment in value.segments:
            first, last = max(start - at, 0), min(start + size - at, len(segment.matrix))
            if first < last:
                segments.append(Segment(segment.source, segment.start, segment.matrix[first:last]))
            at += len(segment.matrix)
        return Product(
            size, tuple(segments), None if value.bias is None else value.bias[start : start + size]
        )
    if isinstance(value, Concat):
        pieces, at = [], 0
        for piece in value.pieces:
            first, last = max(start - at, 0), min(start + size - at, piece.size)
            if first < last:
                pieces.append(take(piece, first, last - first))
            at += piece.size
        return join(pieces)
    if isinstance(value, Gather):
        return choose(value.source, value.index[start : start + size])
    return Slice(size, value, start)


def _spreads(value: Value) -> bool:
    """Whether it is one number for as many elements as are wanted."""
    return isinstance(value, Constant) and value.array.size == 1


def join(pieces: Sequence[Value]) -> Value:
    """Rows one behind the other; products become one of several segments."""
    flat: list[Value] = []
    for piece in pieces:
        flat += piece.pieces if isinstance(piece, Concat) else [piece]
    flat = [piece for piece in flat if piece.size]
    if len(flat) == 1:
        return flat[0]
    size = sum(piece.size for piece in flat)
    if flat and all(isinstance(piece, Constant) for piece in flat):
        return constant(np.concatenate([np.broadcast_to(p.array, (p.size,)) for p in flat]), size)  # type: ignore[attr-defined]
    if flat and all(isinstance(piece, Product) for piece in flat):
        segments = tuple(segment for piece in flat for segment in piece.segments)  # type: ignore[attr-defined]
        biases = [np.zeros(p.size, np.float32) if p.bias is None else p.bias for p in flat]  # type: ignore[attr-defined]
        return Product(size, segments, np.concatenate(biases) if any(b.any() for b in biases) else None)
    if len(flat) > 1 and all(isinstance(piece, Slice) for piece in flat):
        slices: list[Slice] = flat  # type: ignore[assignment]
        ends = [one.start + one.size for one in slices]
        if all(one.source is slices[0].source for one in slices) and ends[:-1] == [
            s.start for s in slices[1:]
        ]:
            return take(slices[0].source, slices[0].start, size)
    return Concat(size, tuple(flat))


def choose(value: Value, index: NDArray[np.int64]) -> Value:
    """Elements by their numbers: piece by piece where they lie beside each other, else one by one."""
    if not len(index):
        return Constant(0, np.zeros(0, np.float32))
    if isinstance(value, Constant):
        return constant(np.broadcast_to(value.array, (value.size,))[index], len(index))
    if isinstance(value, Gather):
        return choose(value.source, value.index[index])
    breaks = np.flatnonzero(np.diff(index) != 1) + 1
    starts = [0, *breaks.tolist(), len(index)]
    if len(starts) - 1 <= min(_MOST_PIECES, max(1, len(index) // 4)):
        runs = zip(starts[:-1], starts[1:], strict=True)
        return join([take(value, int(index[first]), last - first) for first, last in runs])
    if isinstance(value, Lane):
        cut = [operand if _spreads(operand) else choose(operand, index) for operand in value.operands]
        return Lane(len(index), value.operation, tuple(cut))
    return Gather(len(index), value, np.ascontiguousarray(index))


# ---- looking at values


def base(value: Value) -> Value:
    while isinstance(value, Slice):
        value = value.source
    return value


def reads(value: Value) -> list[tuple[Value, bool]]:
    """What a value is computed from, and whether element by element."""
    if isinstance(value, Lane):
        return [(operand, True) for operand in value.operands]
    if isinstance(value, Product):
        return [(segment.source, False) for segment in value.segments]
    if isinstance(value, Concat):
        return [(piece, False) for piece in value.pieces]
    if isinstance(value, (Slice, Stored, Gather, Reduce, Normalise)):
        return [(value.source, False)]
    return []


def bottom_up(
    value: Value, done: dict[int, Value], alive: list[Value], keep: Callable[[Value], Value]
) -> Value:
    """What `keep` makes of a value, after it has made something of all that the value is computed from.

    Args:
        value: where to begin.
        done: what was made before, by the id of the value.
        alive: takes the values whose ids are in `done`, so that no other value gets one of these.
        keep: a value whose operands are done -> the value in its place.
    """
    alive.append(value)
    stack = [value]
    while stack:
        top = stack[-1]
        waiting = [operand for operand, _ in reads(top) if id(operand) not in done]
        if waiting:
            stack += waiting
            alive += waiting
            continue
        stack.pop()
        if id(top) not in done:
            done[id(top)] = keep(top)
    return done[id(value)]


def with_operands(value: Value, operands: list[Value]) -> Value:
    """The same computation of other values."""
    if all(new is old for new, (old, _) in zip(operands, reads(value), strict=True)):
        return value
    if isinstance(value, Lane):
        return Lane(value.size, value.operation, tuple(operands))
    if isinstance(value, Product):
        segments = tuple(
            Segment(new, segment.start, segment.matrix)
            for new, segment in zip(operands, value.segments, strict=True)
        )
        return Product(value.size, segments, value.bias)
    if isinstance(value, Concat):
        return Concat(value.size, tuple(operands))
    (source,) = operands
    if isinstance(value, Slice):
        return Slice(value.size, source, value.start)
    if isinstance(value, Stored):
        return Stored(value.size, source)
    if isinstance(value, Gather):
        return Gather(value.size, source, value.index)
    if isinstance(value, Reduce):
        return Reduce(value.size, value.kind, source, value.length)
    assert isinstance(value, Normalise)
    return Normalise(value.size, source, value.length, value.epsilon)


def key(value: Value) -> Any:
    if isinstance(value, Constant):
        return ("constant", value.size, value.array.tobytes())
    if isinstance(value, Input):
        return ("input", value.name)
    operands = tuple(id(operand) for operand, _ in reads(value))
    if isinstance(value, Lane):
        return ("lane", value.size, value.operation, operands)
    if isinstance(value, Slice):
        return ("slice", value.size, value.start, operands)
    if isinstance(value, Stored):
        return ("stored", operands)
    if isinstance(value, Reduce):
        return ("reduce", value.size, value.kind, value.length, operands)
    if isinstance(value, Normalise):
        return ("normalise", value.size, value.length, value.epsilon, operands)
    return id(value)
