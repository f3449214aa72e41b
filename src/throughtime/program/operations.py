"""The operations of programs: for each the shape that it gives and its value in NumPy, side by side.

A shape is a tuple of sizes; a size is a whole number, a name such as "B" for one that is free, or a product
such as "B*4". A function of `shape` raises ValueError where the operands do not fit; a function of `compute`
may trust that they do.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

Size = int | str
# "B", and products such as "B*4".
_FREE_SIZE = re.compile(r"[A-Z](\*[A-Z]|\*[0-9]{1,9})*")
Shape = tuple[Size, ...]
Array = NDArray[Any]


@dataclass(frozen=True)
class Type:
    """What is known of a value before it is computed.

    Args:
        dtype: "float32", "bool", "int64" or "uint8"; "number" of a number that stands in the program itself,
            which is of the type of what it meets.
        shape: its sizes.
    """

    dtype: str
    shape: Shape


@dataclass(frozen=True)
class Operation:
    """One kind of node.

    Args:
        arity: the fewest and the most operands.
        attributes: the names of those that a node has to have.
        infer: (operand types, **attributes) -> the type of the result; a list where there are several.
        compute: (operand arrays, **attributes) -> the result.
        pointwise: element i of the result depends on element i of the operands only.
    """

    arity: tuple[int, int]
    attributes: tuple[str, ...]
    infer: Callable[..., Type | list[Type]]
    compute: Callable[..., Array]
    pointwise: bool = False


def broadcast(*shapes: Shape) -> Shape:
    """The shape of a pointwise result.

    Raises:
        ValueError: two sizes differ and neither is 1.
    """
    rank = max(map(len, shapes))
    sides: list[Size] = []
    for axis in range(-rank, 0):
        found = {shape[axis] for shape in shapes if len(shape) >= -axis} - {1}
        if len(found) > 1:
            raise ValueError(f"the shapes {', '.join(map(str, shapes))} do not fit each other")
        sides.append(found.pop() if found else 1)
    return tuple(sides)


def count(shape: Sequence[Size]) -> tuple[int, tuple[str, ...]]:
    """How many elements a shape has: a number, and the free sizes that it is to be multiplied with."""
    factors = [factor for side in shape for factor in str(side).split("*")]
    free = sorted(factor for factor in factors if not factor.isdigit())
    return math.prod(int(factor) for factor in factors if factor.isdigit()), tuple(free)


def _floats(types: Sequence[Type]) -> None:
    for found in types:
        if found.dtype not in ("float32", "number"):
            raise ValueError(f"an operand is {found.dtype}, expected float32")


def _integers(types: Sequence[Type]) -> None:
    for found in types:
        if found.dtype != "int64":
            raise ValueError(f"an index is {found.dtype}, expected int64")


def _common(types: Sequence[Type]) -> str:
    """The one type of numbers that operands have; those in the program itself go with any."""
    found = {type.dtype for type in types} - {"number"} or {"float32"}
    if len(found) > 1 or not found <= {"float32", "int64"}:
        raise ValueError(f"the operands are {' and '.join(sorted(found))}, expected float32 or int64")
    return found.pop()


def _pointwise(types: Sequence[Type]) -> Type:
    _floats(types)
    return Type("float32", broadcast(*(found.shape for found in types)))


def _arithmetic(types: Sequence[Type]) -> Type:
    return Type(_common(types), broadcast(*(found.shape for found in types)))


def _compare(types: Sequence[Type]) -> Type:
    _common(types)
    return Type("bool", broadcast(*(found.shape for found in types)))


def _logical(types: Sequence[Type]) -> Type:
    if any(found.dtype != "bool" for found in types):
        raise ValueError("an operand is float32, expected bool")
    return Type("bool", broadcast(*(found.shape for found in types)))


def _where(types: Sequence[Type]) -> Type:
    if types[0].dtype != "bool":
        raise ValueError("the condition is float32, expected bool")
    _floats(types[1:])
    return Type("float32", broadcast(*(found.shape for found in types)))


def _linear(types: Sequence[Type]) -> Type:
    _floats(types)
    x, weight = types[0].shape, types[1].shape
    if len(weight) != 2 or not x or x[-1] != weight[1]:
        raise ValueError(f"a matrix {weight} does not fit a vector {x}")
    if len(types) == 3 and types[2].shape != (weight[0],):
        raise ValueError(f"a bias {types[2].shape} does not fit a matrix {weight}")
    return Type("float32", (*x[:-1], weight[0]))


def _taken(types: Sequence[Type]) -> Type:
    shape, indices = types[0].shape, types[1:]
    _integers(indices)
    if len(indices) > len(shape):
        raise ValueError(f"{shape} lacks some of {len(indices)} axes to take from")
    return Type(types[0].dtype, (*broadcast(*(found.shape for found in indices)), *shape[len(indices) :]))


def _one_hot(types: Sequence[Type], classes: int) -> Type:
    _integers(types)
    if isinstance(classes, bool) or not isinstance(classes, int) or not 0 < classes < 1 << 26:
        raise ValueError(f"there cannot be {classes!r} classes")
    return Type("float32", (*types[0].shape, classes))


def _range(types: Sequence[Type], shape: Any) -> Type:
    shape = _shape(shape)
    if len(shape) != 1:
        raise ValueError(f"{shape} is no shape of a range")
    return Type("int64", shape)


def _sides(given: Any, count: int, least: int) -> list[int]:
    """Whole numbers such as a stride's: as many as are wanted, none too small and none out of reason."""
    whole = isinstance(given, (list, tuple)) and all(
        type(one) is int and least <= one < 4096 for one in given
    )
    if not whole or len(given) != count:
        raise ValueError(f"{given!r} is not {count} whole numbers from {least}")
    return list(given)


def _convolved(types: Sequence[Type], stride: Any, padding: Any, groups: int) -> Type:
    _floats(types)
    x, weight = types[0].shape, types[1].shape
    stride, padding = _sides(stride, 2, 1), _sides(padding, 2, 0)
    if len(x) != 4 or len(weight) != 4 or not all(type(side) is int and side for side in (*x[1:], *weight)):
        raise ValueError(f"a convolution {weight} does not fit images {x}")
    (_, C, *sides), (O, own, *sizes) = x, weight
    # Either all channels mix, or each goes by itself: what the executors can do.
    if groups not in (1, C) or own * groups != C or (groups == C and groups > 1 and O != C):
        raise ValueError(f"a convolution {weight} of {groups!r} groups does not fit {C} channels")
    if len(types) == 3 and types[2].shape != (O,):
        raise ValueError(f"a bias {types[2].shape} does not fit a convolution {weight}")
    after = [
        (side + 2 * pad - size) // step + 1
        for side, size, step, pad in zip(sides, sizes, stride, padding, strict=True)  # type: ignore[call-overload]
    ]
    if min(after) < 1:
        raise ValueError(f"a convolution {weight} does not fit images {x}")
    return Type("float32", (x[0], O, *after))


def _grid_of_means(types: Sequence[Type], rows: int, columns: int) -> Type:
    _floats(types)
    shape = types[0].shape
    sides = _sides([rows, columns], 2, 1)
    if len(shape) != 4 or not all(isinstance(side, int) and side for side in shape[2:]):
        raise ValueError(f"{shape} are no images")
    return Type("float32", (*shape[:2], *sides))


def _padded(types: Sequence[Type], before: Any, after: Any) -> Type:
    _floats(types)
    shape = types[0].shape
    before, after = _sides(before, len(shape), 0), _sides(after, len(shape), 0)
    sides = []
    for side, first, last in zip(shape, before, after, strict=True):
        if (first or last) and not isinstance(side, int):
            raise ValueError(f"{shape} cannot be padded by {before} and {after}")
        sides.append(side + first + last if isinstance(side, int) else side)
    return Type("float32", tuple(sides))


def _scanned(
    types: Sequence[Type], recurrence: str, lengths: bool, output_size: int, state_sizes: Any, rows: int
) -> list[Type]:
    x = types[0]
    sizes = _sides([output_size, rows, *state_sizes], 2 + len(state_sizes), 0)
    if not isinstance(recurrence, str) or not isinstance(lengths, bool):
        raise ValueError("its attributes are of another type")
    _floats(types[:1])
    if len(x.shape) != 3:
        raise ValueError(f"inputs {x.shape} are no sequences (T, B, I)")
    T, B, _ = x.shape
    states = [Type("float32", (rows, B, size)) for size in sizes[2:]]
    given = list(types[1 : len(types) - lengths])
    if given and given != states:
        raise ValueError(f"the state {[found.shape for found in given]} is not {[s.shape for s in states]}")
    if lengths and (len(types) < 2 or types[-1] != Type("int64", (B,))):
        raise ValueError(f"the lengths {types[-1]} are no whole numbers ({B},)")
    return [Type("float32", (T, B, output_size)), *states]


def _matmul(types: Sequence[Type]) -> Type:
    _floats(types)
    a, b = types[0].shape, types[1].shape
    if len(a) < 2 or len(b) < 2 or a[-1] != b[-2]:
        raise ValueError(f"matrices {a} and {b} cannot be multiplied")
    return Type("float32", (*broadcast(a[:-2], b[:-2]), a[-2], b[-1]))


def _axis(shape: Shape, axis: Any) -> int:
    if isinstance(axis, bool) or not isinstance(axis, int) or not 0 <= axis < len(shape):
        raise ValueError(f"axis {axis!r} does not exist in {shape}")
    return axis


def _reduced(types: Sequence[Type], axis: int) -> Type:
    _floats(types)
    shape = types[0].shape
    axis = _axis(shape, axis)
    if shape[axis] == 0:
        raise ValueError(f"axis {axis} of {shape} has nothing in it")
    return Type("float32", (*shape[:axis], 1, *shape[axis + 1 :]))


def _along(types: Sequence[Type], axis: int) -> Type:
    _reduced(types, axis)
    return types[0]


def _normalised(types: Sequence[Type], epsilon: float) -> Type:
    _floats(types)
    shape = types[0].shape
    if not shape or shape[-1] == 0 or not isinstance(shape[-1], int):
        raise ValueError(f"there is nothing to normalise in {shape}")
    for found in types[1:]:
        if found.shape != shape[-1:]:
            raise ValueError(f"a gain or a shift {found.shape} does not fit {shape}")
    if not isinstance(epsilon, (int, float)) or isinstance(epsilon, bool) or not 0 <= epsilon < math.inf:
        raise ValueError(f"epsilon is {epsilon!r}")
    return types[0]


def _shape(given: Any) -> Shape:
    if not isinstance(given, (list, tuple)) or len(given) > 8:
        raise ValueError(f"{given!r} is not a shape")
    for side in given:
        free = isinstance(side, str) and _FREE_SIZE.fullmatch(side)
        if isinstance(side, bool) or not (free or (isinstance(side, int) and side >= 0)):
            raise ValueError(f"{given!r} is not a shape")
    return tuple(given)


def _reshaped(types: Sequence[Type], shape: Any) -> Type:
    shape = _shape(shape)
    if count(shape) != count(types[0].shape):
        raise ValueError(f"{types[0].shape} cannot become {shape}")
    return Type(_dtype(types), shape)


def _expanded(types: Sequence[Type], shape: Any) -> Type:
    shape = _shape(shape)
    if broadcast(types[0].shape, shape) != shape:
        raise ValueError(f"{types[0].shape} cannot be repeated to {shape}")
    return Type(_dtype(types), shape)


def _dtype(types: Sequence[Type]) -> str:
    return "float32" if types[0].dtype == "number" else types[0].dtype


def _permuted(types: Sequence[Type], order: Any) -> Type:
    shape = types[0].shape
    whole = isinstance(order, (list, tuple)) and all(type(axis) is int for axis in order)
    if not whole or sorted(order) != list(range(len(shape))):
        raise ValueError(f"{order!r} is not an order of the axes of {shape}")
    return Type(types[0].dtype, tuple(shape[axis] for axis in order))


def _sliced(types: Sequence[Type], axis: int, start: int, stop: int) -> Type:
    shape = types[0].shape
    side = shape[_axis(shape, axis)]
    if any(isinstance(end, bool) or not isinstance(end, int) for end in (start, stop)):
        raise ValueError(f"{start!r}:{stop!r} is not a range")
    # Of an axis whose size is free only the first place is sure to be there.
    if not 0 <= start <= stop <= (side if isinstance(side, int) else 1):
        raise ValueError(f"{start}:{stop} lies outside axis {axis} of {shape}")
    return Type(types[0].dtype, (*shape[:axis], stop - start, *shape[axis + 1 :]))


def _joined(types: Sequence[Type], axis: int) -> Type:
    shape = types[0].shape
    axis = _axis(shape, axis)
    total = 0
    for found in types:
        if len(found.shape) != len(shape) or found.dtype != types[0].dtype:
            raise ValueError("what is joined has different ranks or types")
        side = found.shape[axis]
        others = (*found.shape[:axis], *found.shape[axis + 1 :])
        if not isinstance(side, int) or others != (*shape[:axis], *shape[axis + 1 :]):
            raise ValueError(f"{shape} and {found.shape} cannot be joined at axis {axis}")
        total += side
    return Type(types[0].dtype, (*shape[:axis], total, *shape[axis + 1 :]))


def _slices(x: Array, axis: int, start: int, stop: int) -> Array:
    return x[(slice(None),) * axis + (slice(start, stop),)]


def _filled(types: Sequence[Type], value: float) -> Type:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    # A whole number may be more than any float; infinity is one.
    if not (is_number and (abs(value) < 3e38 or abs(value) == math.inf)):
        raise ValueError(f"{value!r:.40} is not a number to fill with")
    return Type("float32", types[0].shape)


def _sigmoid(x: Array) -> Array:
    return np.float32(0.5) * np.tanh(np.float32(0.5) * x) + np.float32(0.5)


def _normalise(x: Array, *scales: Array, epsilon: float) -> Array:
    centred = x - x.mean(-1, keepdims=True, dtype=np.float64)
    variance = np.square(centred).mean(-1, keepdims=True)
    result = (centred / np.sqrt(variance + epsilon)).astype(x.dtype)
    if scales:
        result = result * scales[0]
    return result + scales[1] if len(scales) == 2 else result


def _softmax(x: Array, axis: int) -> Array:
    powers = np.exp(x - x.max(axis, keepdims=True))
    return powers / powers.sum(axis, keepdims=True)


def _convolve(x: Array, weight: Array, *bias: Array, stride: Any, padding: Any, groups: int) -> Array:
    top, left = padding
    sizes, (down, right) = weight.shape[2:], stride
    x = np.pad(x, ((0, 0), (0, 0), (top, top), (left, left)))
    windows = sliding_window_view(x, sizes, axis=(2, 3))[:, :, ::down, ::right]  # (N, C, h, w, k, l)
    formula = "nchwyx,ocyx->nohw" if groups == 1 else "nchwyx,cyx->nchw"
    sums = np.einsum(formula, windows, weight if groups == 1 else weight[:, 0], optimize=True)
    return sums + bias[0][:, None, None] if bias else sums


def _means(x: Array, rows: int, columns: int) -> Array:
    # Cells overlap by a row where their number does not divide the side.
    for axis, cells in ((2, rows), (3, columns)):
        side = x.shape[axis]
        spans = [(cell * side // cells, -(-(cell + 1) * side // cells)) for cell in range(cells)]
        x = np.stack([_slices(x, axis, *span).mean(axis) for span in spans], axis)
    return x


def _erf(x: Array) -> Array:
    return np.vectorize(math.erf, otypes=[x.dtype])(x) if x.size else x


def _one_hot_of(indices: Array, classes: int) -> Array:
    rows = np.zeros((*indices.shape, classes), np.float32)
    np.put_along_axis(rows, indices[..., None], 1, -1)
    return rows


def _pad(x: Array, before: Sequence[int], after: Sequence[int]) -> Array:
    return np.pad(x, list(zip(before, after, strict=True)))


def _as_floats(x: Array) -> Array:
    return x if x.dtype.kind == "f" else x.astype(np.float32)


def _no_scan(*operands: Array, **attributes: Any) -> Array:
    raise ValueError("a scan is computed by the network that it stands in")


def _unary(compute: Callable[[Array], Array]) -> Operation:
    return Operation((1, 1), (), _pointwise, compute, pointwise=True)


def _binary(compute: Callable[[Array, Array], Array], infer: Callable[..., Type] = _pointwise) -> Operation:
    return Operation((2, 2), (), infer, compute, pointwise=True)


def _reduction(compute: Callable[..., Array]) -> Operation:
    return Operation((1, 1), ("axis",), _reduced, lambda x, axis: compute(x, axis=axis, keepdims=True))


OPERATIONS: dict[str, Operation] = {
    "neg": _unary(np.negative),
    "abs": _unary(np.abs),
    "exp": _unary(np.exp),
    "log": _unary(np.log),
    "sqrt": _unary(np.sqrt),
    "sigmoid": _unary(_sigmoid),
    "tanh": _unary(np.tanh),
    "relu": _unary(lambda x: np.maximum(x, 0)),
    "softplus": _unary(lambda x: np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))),
    "erf": _unary(_erf),
    "add": _binary(np.add, _arithmetic),
    "sub": _binary(np.subtract, _arithmetic),
    "mul": _binary(np.multiply, _arithmetic),
    "div": _binary(np.divide),
    "max": _binary(np.maximum),
    "min": _binary(np.minimum),
    "less": _binary(np.less, _compare),
    "less_equal": _binary(np.less_equal, _compare),
    "equal": _binary(np.equal, _compare),
    "and": _binary(np.logical_and, _logical),
    "or": _binary(np.logical_or, _logical),
    "not": Operation((1, 1), (), _logical, np.logical_not, pointwise=True),
    "where": Operation((3, 3), (), _where, np.where, pointwise=True),
    "linear": Operation((2, 3), (), _linear, lambda x, W, *b: x @ W.T + b[0] if b else x @ W.T),
    "matmul": Operation((2, 2), (), _matmul, np.matmul),
    "sum": _reduction(np.sum),
    "mean": _reduction(np.mean),
    "amax": _reduction(np.max),
    "amin": _reduction(np.min),
    "softmax": Operation((1, 1), ("axis",), _along, _softmax),
    "layer_norm": Operation((1, 3), ("epsilon",), _normalised, _normalise),
    "reshape": Operation((1, 1), ("shape",), _reshaped, lambda x, shape: x.reshape(shape)),
    "expand": Operation((1, 1), ("shape",), _expanded, lambda x, shape: np.broadcast_to(x, shape)),
    "permute": Operation((1, 1), ("order",), _permuted, lambda x, order: x.transpose(order)),
    "slice": Operation((1, 1), ("axis", "start", "stop"), _sliced, _slices),
    "concat": Operation((1, 64), ("axis",), _joined, lambda *xs, axis: np.concatenate(xs, axis)),
    "float": Operation((1, 1), (), lambda types: Type("float32", types[0].shape), _as_floats, pointwise=True),
    "range": Operation((0, 0), ("shape",), _range, lambda shape: np.arange(shape[0])),
    "take": Operation((2, 3), (), _taken, lambda x, *indices: x[indices]),
    "one_hot": Operation((1, 1), ("classes",), _one_hot, _one_hot_of),
    "pad": Operation((1, 1), ("before", "after"), _padded, _pad),
    "conv2d": Operation((2, 3), ("stride", "padding", "groups"), _convolved, _convolve),
    "grid_means": Operation((1, 1), ("rows", "columns"), _grid_of_means, _means),
    "scan": Operation(
        (1, 16), ("recurrence", "lengths", "output_size", "state_sizes", "rows"), _scanned, _no_scan
    ),
    "full_like": Operation((1, 1), ("value",), _filled, lambda x, value: np.full_like(x, value)),
}
