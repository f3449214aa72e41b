"""A cell's program as work on rows: what one sequence's step does to flat vectors of numbers.

The native executor knows vectors, not tensors. Here the axes go: every value that belongs to a sequence
becomes a flat row, every operation on axes a choice of elements, every product a matrix times a row. On the
way what is fixed is computed once, slices move before the operations that they cut (the four gates of an LSTM
become four products of H rows each), and a product with joined vectors becomes a sum of products, so that the
share of the inputs, which does not wait for the state, shows.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from throughtime.errors import RunError
from throughtime.program.operations import OPERATIONS
from throughtime.program.program import WEIGHT, CellProgram, Function
from throughtime.runtime.planning.rows import (
    Array,
    Concat,
    Constant,
    Input,
    Lane,
    Normalise,
    Product,
    Reduce,
    Segment,
    Slice,
    Stored,
    Value,
    choose,
    constant,
    join,
    lane,
    take,
)

_MOST_ELEMENTS = 1 << 24


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
    (projected,) = run_on_rows(cell.project, {"inputs": Row(inputs, ("B", inputs.size))}, weights)
    states = {value.name: Row(value, ("B", value.size)) for value in old}
    output, *new = run_on_rows(cell.step, {"projected": projected, **states}, weights)
    values = [_row_of(found, size) for found, size in zip(new, cell.state_sizes, strict=True)]
    first = _row_of(output, cell.output_size)
    kept = [
        value if not rate else lane("add", value, lane("mul", constant(rate), lane("sub", before, value)))
        for value, before, rate in zip(values, old, zoneout or [0.0] * len(old), strict=True)
    ]
    first = kept[0] if first is values[0] else _apart(first)
    return Step(
        inputs,
        old,
        first,
        [value if value is mine else _apart(value) for value, mine in zip(kept, old, strict=True)],
    )


def run_on_rows(
    function: Function,
    inputs: Mapping[str, Found],
    weights: Mapping[str, NDArray[Any]],
    stored: Collection[str] | None = None,
) -> list[Found]:
    """A function's outputs as rows.

    Args:
        function: the program.
        inputs: rows by the names that it has for them.
        weights: its weights; arrays of whole numbers only stand for them (planning/training.py).
        stored: the names of values that are not taken apart where they are joined; None where nobody else
            wants any.
    Raises:
        RunError: an operation has no form for single rows.
    """
    values: dict[str, Found] = dict(inputs)
    for name in function.weights:
        weight = weights[name]
        values[f"{WEIGHT}{name}"] = weight if weight.dtype.kind == "i" else np.asarray(weight, np.float32)
    for node in function.nodes:
        operands = [
            values[operand] if isinstance(operand, str) else np.float32(operand) for operand in node.operands
        ]
        try:
            values[node.name] = _node(node.operation, operands, dict(node.attributes))
        except _NoRowsError as error:
            raise RunError(f"node {node.name!r} ({node.operation}): {error}") from None
        found = values[node.name]
        if stored is not None and isinstance(found, Row):
            value = found.value
            # What others want lies in one piece, and one number for a whole row is computed once.
            together = isinstance(value, (Concat, Lane, Product)) and node.name in stored
            if together or (isinstance(value, Lane) and value.size == 1):
                values[node.name] = Row(Stored(value.size, value), found.shape)
    return [
        values[operand] if isinstance(operand, str) else np.asarray(operand, np.float32)
        for operand in function.outputs
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
    pieces = [_product(take(x.value, at, columns), weight) for at in range(0, x.value.size, max(columns, 1))]
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
        if not value.array.any():
            return constant(0, rows)
        if matrix.dtype.kind == "i":
            raise _NoRowsError("it multiplies a weight with fixed numbers")
        with np.errstate(all="ignore"):
            return constant(matrix @ np.broadcast_to(value.array, (value.size,)), rows)
    if isinstance(value, Concat):
        total: Value | None = None
        at = 0
        for piece in value.pieces:
            part = _product(piece, matrix[:, at : at + piece.size])
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
    out = [
        x if x == "B" or y == 1 else y if x == 1 else x for x, y in zip(left[:-2], right[:-2], strict=True)
    ]
    out += [left[-2], N]
    axes = tuple(1 if side == "B" else side for side in out[:-1])
    numbers = np.arange(a.value.size).reshape(tuple(1 if side == "B" else side for side in left))
    numbers = np.broadcast_to(numbers, (*axes, K)).reshape(-1, K)
    matrices = np.broadcast_to(b.reshape(right), (*axes[:-1], K, N))
    pieces = []
    for place, index in zip(np.ndindex(axes), numbers, strict=True):
        pieces.append(_product(choose(a.value, index), matrices[place[:-1]].T))
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
        start + np.arange(row.value.size).reshape(row.axes) for start, row in zip(starts, rows, strict=False)
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
