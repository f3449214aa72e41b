"""A cell's program as work on rows: what one sequence's step does to flat vectors of numbers.

The native executor knows vectors, not tensors. Here the axes go: every value that belongs to a sequence becomes
a flat row, every operation on axes a choice of elements, every product a matrix times a row. On the way what is
fixed is computed once, slices move before the operations that they cut (the four gates of an LSTM become four
products of H rows each), and a product with joined vectors becomes a sum of products, so that the share of the
inputs, which does not wait for the state, shows.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from throughtime.errors import RunError
from throughtime.program.operations import OPERATIONS
from throughtime.program.program import WEIGHT, CellProgram, Function

Array = NDArray[np.float32]

# Beyond this a choice of elements is made one by one, not piece by piece.
_MOST_PIECES = 64
_MOST_ELEMENTS = 1 << 24


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


@dataclass(frozen=True)
class Row:
    """A value with the axes that the program gives it; one of them is the batch's, "B".

    Args:
        value: its elements, the batch's axis left out.
        shape: with that axis.
    """

    value: Value
    shape: tuple[Any, ...]

    @property
    def axes(self) -> tuple[int, ...]:
        """The shape without the batch's axis."""
        return tuple(side for side in self.shape if side != "B")


# A tensor that is the same for all rows has no batch axis, and is an array.
Found = Row | NDArray[Any]


@dataclass
class Step:
    """A whole step on rows.

    Args:
        inputs: of the cell, and its old state.
        output: what a step gives out.
        state: the new state.
    """

    inputs: Input
    old: list[Input]
    output: Value
    state: list[Value]


def lower(cell: CellProgram, weights: Mapping[str, NDArray[Any]], zoneout: Sequence[float] = ()) -> Step:
    """A cell's `project` and `step` together, as rows.

    Args:
        cell: the program.
        weights: its weights, by the names that they have in it.
        zoneout: for each tensor of the state the share of the old one that each step keeps.
    Raises:
        RunError: an operation has no form for single rows.
    """
    inputs = Input(cell.input_size, "inputs")
    old = [Input(size, f"state.{part}") for part, size in enumerate(cell.state_sizes)]
    (projected,) = _run(cell.project, {"inputs": Row(inputs, ("B", inputs.size))}, weights)
    states = {value.name: Row(value, ("B", value.size)) for value in old}
    output, *new = _run(cell.step, {"projected": projected, **states}, weights)
    values = [_row_of(found, size) for found, size in zip(new, cell.state_sizes, strict=True)]
    first = _row_of(output, cell.output_size)
    kept = [
        value if not rate else lane("add", value, lane("mul", constant(rate), lane("sub", before, value)))
        for value, before, rate in zip(values, old, zoneout or [0.0] * len(old), strict=True)
    ]
    first = kept[0] if first is values[0] else _apart(first)
    return Step(inputs, old, first, [value if value is mine else _apart(value) for value, mine in zip(kept, old)])


def _run(function: Function, inputs: dict[str, Found], weights: Mapping[str, NDArray[Any]]) -> list[Found]:
    values: dict[str, Found] = dict(inputs)
    for name in function.weights:
        values[f"{WEIGHT}{name}"] = np.asarray(weights[name], np.float32)
    for node in function.nodes:
        operands = [
            values[operand] if isinstance(operand, str) else np.float32(operand) for operand in node.operands
        ]
        try:
            values[node.name] = _node(node.operation, operands, dict(node.attributes))
        except _NoRowsError as error:
            raise RunError(f"node {node.name!r} ({node.operation}): {error}") from None
    return [
        values[operand] if isinstance(operand, str) else np.float32(operand) for operand in function.outputs
    ]


def _apart(value: Value) -> Value:
    """A copy of what is an old state, which is overwritten."""
    return lane("copy", value) if isinstance(value, (Input, Slice)) else value


class _NoRowsError(Exception):
    """An operation that does not treat each row by itself."""


def _node(operation: str, operands: list[Any], attributes: dict[str, Any]) -> Found:
    rows = [operand for operand in operands if isinstance(operand, Row)]
    if not rows:
        if "B" in attributes.get("shape", ()):
            return _expanded_constant(operands[0], tuple(attributes["shape"]))
        with np.errstate(all="ignore"):
            return np.asarray(OPERATIONS[operation].compute(*operands, **attributes))
    if OPERATIONS[operation].pointwise:
        return _pointwise(operation, operands)
    if operation == "full_like":
        return Row(constant(attributes["value"], rows[0].value.size), rows[0].shape)
    if operation == "linear":
        return _linear(*operands)
    if operation == "matmul":
        return _matmul(*operands)
    if operation == "layer_norm":
        return _layer_norm(operands[0], operands[1:], attributes["epsilon"])
    if operation in ("sum", "mean", "amax", "amin"):
        return _reduce(operation, operands[0], attributes["axis"])
    if operation == "softmax":
        row, axis = operands[0], attributes["axis"]
        powers = _pointwise("exp", [_pointwise("sub", [row, _reduce("amax", row, axis)])])
        return _pointwise("div", [powers, _reduce("sum", powers, axis)])
    if operation == "concat":
        return _concat(operands, attributes["axis"])
    return _rearranged(operation, operands[0], attributes)


# ---- builders that simplify


def constant(value: Any, size: int = 1) -> Constant:
    """A number, or an array of them."""
    array = np.ascontiguousarray(np.broadcast_to(np.asarray(value, np.float32).reshape(-1), (size,)))
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
        return Product(size, tuple(segments), None if value.bias is None else value.bias[start : start + size])
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
        if all(one.source is slices[0].source for one in slices) and ends[:-1] == [s.start for s in slices[1:]]:
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


# ---- operations on tensors as operations on rows


def _pointwise(operation: str, operands: list[Any]) -> Row:
    shapes = [operand.shape for operand in operands]
    rank = max(map(len, shapes))
    padded = [(1,) * (rank - len(shape)) + tuple(shape) for shape in shapes]
    out: list[Any] = []
    for sides in zip(*padded, strict=True):
        out.append("B" if "B" in sides else max((side for side in sides), default=1))
        if 0 in sides:
            out[-1] = 0
        if "B" in sides and any(side not in ("B", 1) for side in sides):
            raise _NoRowsError("it joins the batch's axis with another")
    batch = out.index("B")
    axes = tuple(side for side in out if side != "B")
    values = []
    for operand, shape in zip(operands, padded, strict=True):
        mine = shape[:batch] + shape[batch + 1 :]
        if isinstance(operand, Row):
            values.append(_spread(operand.value, mine, axes))
        elif operand.size == 1:
            values.append(constant(operand))
        else:
            values.append(constant(np.broadcast_to(operand.reshape(mine), axes), math.prod(axes)))
    result = lane(operation, *values)
    size = math.prod(axes)
    return Row(result if result.size == size else Lane(size, operation, tuple(values)), tuple(out))


def _spread(value: Value, shape: tuple[int, ...], axes: tuple[int, ...]) -> Value:
    """A row of one shape, repeated to another."""
    if shape == axes:
        return value
    size = _bounded(axes)
    if isinstance(value, Constant) and value.array.size == 1:
        return Constant(size, value.array)
    index = np.broadcast_to(np.arange(value.size).reshape(shape), axes).reshape(-1)
    return choose(value, index)


def _linear(x: Found, weight: Found, bias: Found | None = None) -> Found:
    if not isinstance(x, Row) or isinstance(weight, Row):
        raise _NoRowsError("its matrix depends on the inputs")
    if x.shape[-1] == "B":
        raise _NoRowsError("it mixes the sequences of a batch")
    rows, columns = weight.shape
    pieces = [
        _product(take(x.value, at, columns), weight)
        for at in range(0, x.value.size, max(columns, 1))
    ]
    value = Row(join(pieces), (*x.shape[:-1], rows))
    if bias is None:
        return value
    if not isinstance(bias, Row) and isinstance(value.value, Product) and value.value.bias is None:
        shift = np.tile(bias, value.value.size // rows) if rows else bias
        return Row(Product(value.value.size, value.value.segments, shift), value.shape)
    return _pointwise("add", [value, bias])


def _product(value: Value, matrix: Array) -> Value:
    """matrix (rows, columns) times a row; a sum over the pieces of a joined row."""
    rows = len(matrix)
    if isinstance(value, Constant):
        with np.errstate(all="ignore"):
            return constant(matrix @ np.broadcast_to(value.array, (value.size,)), rows)
    if isinstance(value, Concat):
        total: Value | None = None
        at = 0
        for piece in value.pieces:
            part = _product(piece, np.ascontiguousarray(matrix[:, at : at + piece.size]))
            total = part if total is None else lane("add", total, part)
            at += piece.size
        assert total is not None
        return total
    if isinstance(value, Slice):
        return Product(rows, (Segment(value.source, value.start, matrix),), None)
    return Product(rows, (Segment(value, 0, matrix),), None)


def _matmul(a: Found, b: Found) -> Row:
    if isinstance(a, Row) and not isinstance(b, Row):
        if a.shape[-1] == "B":
            raise _NoRowsError("it mixes the sequences of a batch")
        return _times_fixed(a, b)
    if isinstance(b, Row) and not isinstance(a, Row):
        turned = _matmul(_rearranged("permute", b, {"order": _swapped(len(b.shape))}), a.swapaxes(-1, -2))
        return _rearranged("permute", turned, {"order": _swapped(len(turned.shape))})
    assert isinstance(a, Row) and isinstance(b, Row)
    # Both belong to the sequence: every pair of elements is multiplied, and the pairs are summed.
    left = _rearranged("reshape", a, {"shape": (*a.shape, 1)})
    right = _rearranged("reshape", b, {"shape": (*b.shape[:-2], 1, *b.shape[-2:])})
    pairs = _pointwise("mul", [left, right])
    total = _reduce("sum", pairs, len(pairs.shape) - 2)
    return Row(total.value, (*total.shape[:-2], total.shape[-1]))


def _swapped(rank: int) -> list[int]:
    return [*range(rank - 2), rank - 1, rank - 2]


def _times_fixed(a: Row, b: NDArray[Any]) -> Row:
    """(..., M, K) of a row times fixed (..., K, N)."""
    K, N = b.shape[-2:]
    rank = max(len(a.shape), b.ndim)
    left = (1,) * (rank - len(a.shape)) + a.shape
    right = (1,) * (rank - b.ndim) + b.shape
    out = [x if x == "B" or y == 1 else y if x == 1 else x for x, y in zip(left[:-2], right[:-2], strict=True)]
    out += [left[-2], N]
    axes = tuple(1 if side == "B" else side for side in out[:-1])
    numbers = np.arange(a.value.size).reshape(tuple(1 if side == "B" else side for side in left))
    numbers = np.broadcast_to(numbers, (*axes, K)).reshape(-1, K)
    matrices = np.broadcast_to(b.reshape(right), (*axes[:-1], K, N))
    pieces = []
    for place, index in zip(np.ndindex(axes), numbers, strict=True):
        matrix = np.ascontiguousarray(matrices[place[:-1]].T)
        pieces.append(_product(choose(a.value, index), matrix))
    return Row(join(pieces), tuple(out))


def _layer_norm(row: Row, scales: list[Found], epsilon: float) -> Row:
    length = row.shape[-1]
    if length == "B":
        raise _NoRowsError("it mixes the sequences of a batch")
    normal = Row(Normalise(row.value.size, row.value, length, epsilon), row.shape)
    for operation, scale in zip(("mul", "add"), scales, strict=False):
        normal = _pointwise(operation, [normal, scale])
    return normal


def _reduce(kind: str, row: Row, axis: int) -> Row:
    if row.shape[axis] == "B":
        raise _NoRowsError("it mixes the sequences of a batch")
    length = row.shape[axis]
    order = [other for other in range(len(row.shape)) if other != axis] + [axis]
    value = _rearranged("permute", row, {"order": order}).value
    size = value.size // length
    if kind == "amin":
        result = lane("neg", Reduce(size, "max", lane("neg", value), length))
    else:
        result = Reduce(size, "max" if kind == "amax" else "sum", value, length)
    if kind == "mean":
        result = lane("mul", result, constant(1 / length))
    return Row(result, (*row.shape[:axis], 1, *row.shape[axis + 1 :]))


def _concat(operands: list[Any], axis: int) -> Row:
    rows = [operand for operand in operands if isinstance(operand, Row)]
    batch = rows[0].shape.index("B")
    if axis == batch or any(row.shape.index("B") != batch for row in rows) or len(rows) < len(operands):
        raise _NoRowsError("it mixes the sequences of a batch")
    mine = axis - (batch < axis)
    sides = [row.shape[axis] for row in rows]
    shape = (*rows[0].shape[:axis], sum(sides), *rows[0].shape[axis + 1 :])
    together = join([row.value for row in rows])
    starts = np.cumsum([0, *(row.value.size for row in rows)])
    numbers = [
        start + np.arange(row.value.size).reshape(row.axes)
        for start, row in zip(starts, rows, strict=False)
    ]
    return Row(choose(together, np.concatenate(numbers, mine).reshape(-1)), shape)


def _rearranged(operation: str, row: Row, attributes: dict[str, Any]) -> Row:
    """reshape, permute, expand, slice: the elements in the order that NumPy gives their numbers."""
    batch = row.shape.index("B")
    numbers = np.arange(row.value.size).reshape([1 if side == "B" else side for side in row.shape])
    if operation == "reshape":
        shape = tuple(attributes["shape"])
        if "B" not in shape or math.prod(shape[: shape.index("B")]) != math.prod(row.shape[:batch]):
            raise _NoRowsError("it joins the batch's axis with another")
        return Row(row.value, shape)
    if operation == "expand":
        shape = tuple(attributes["shape"])
        _bounded(tuple(side for side in shape if side != "B"))
        numbers = np.broadcast_to(numbers, [1 if side == "B" else side for side in shape])
    elif operation == "permute":
        shape = tuple(row.shape[axis] for axis in attributes["order"])
        numbers = numbers.transpose(attributes["order"])
    elif operation == "slice":
        axis, start, stop = attributes["axis"], attributes["start"], attributes["stop"]
        if axis == batch:
            raise _NoRowsError("it takes sequences of a batch apart")
        shape = (*row.shape[:axis], stop - start, *row.shape[axis + 1 :])
        numbers = OPERATIONS["slice"].compute(numbers, axis, start, stop)
    else:
        raise _NoRowsError("it has no form for single rows")
    return Row(choose(row.value, numbers.reshape(-1)), shape)


def _expanded_constant(value: NDArray[Any], shape: tuple[Any, ...]) -> Row:
    axes = [1 if side == "B" else side for side in shape]
    size = _bounded(tuple(axes))
    return Row(constant(np.broadcast_to(value, axes).reshape(-1), size), shape)


def _row_of(found: Found, size: int) -> Value:
    return found.value if isinstance(found, Row) else constant(found, size)


def _bounded(axes: tuple[int, ...]) -> int:
    size = math.prod(axes)
    if size > _MOST_ELEMENTS:
        raise _NoRowsError(f"{size} numbers a row are too many")
    return size
