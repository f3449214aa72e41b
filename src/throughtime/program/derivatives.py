"""The derivatives of operations, in terms of operations.

A rule gets the builder, the node and the gradient of its result, and returns that of each operand; None where
there is none. Shapes may still be those of the result: whoever calls sums over what was repeated.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from throughtime.program.building import Builder
from throughtime.program.operations import Shape
from throughtime.program.program import Node, Operand

Rule = Callable[[Builder, Node, Operand], Sequence[Operand | None]]


def zeros(built: Builder, shape: Shape) -> Operand:
    """Rows of zeros."""
    return built.add("expand", 0.0, shape=list(shape))


def _abs(b: Builder, node: Node, g: Operand) -> list[Operand | None]:
    (x,) = node.operands
    falls = b.add("where", b.add("less", x, 0.0), b.add("neg", g), 0.0)
    return [b.add("where", b.add("less", 0.0, x), g, falls)]


def _sigmoid(b: Builder, node: Node, g: Operand) -> list[Operand | None]:
    return [b.add("mul", g, b.add("mul", node.name, b.add("sub", 1.0, node.name)))]


def _tanh(b: Builder, node: Node, g: Operand) -> list[Operand | None]:
    return [b.add("mul", g, b.add("sub", 1.0, b.add("mul", node.name, node.name)))]


def _erf(b: Builder, node: Node, g: Operand) -> list[Operand | None]:
    (x,) = node.operands
    bell = b.add("exp", b.add("neg", b.add("mul", x, x)))
    return [b.add("mul", g, b.add("mul", bell, 2 / math.sqrt(math.pi)))]


def _multiply(b: Builder, node: Node, g: Operand) -> list[Operand | None]:
    x, y = node.operands
    return [b.add("mul", g, y), b.add("mul", g, x)]


def _divide(b: Builder, node: Node, g: Operand) -> list[Operand | None]:
    _, y = node.operands
    upper = b.add("div", g, y)
    return [upper, b.add("neg", b.add("mul", upper, node.name))]


def _extreme(b: Builder, node: Node, g: Operand) -> list[Operand | None]:
    """The larger or smaller of two takes all; equals share, but a bound leaves all to what it bounds."""
    x, y = node.operands
    if not (isinstance(x, str) and isinstance(y, str)):
        value, bound = (x, y) if isinstance(x, str) else (y, x)
        pair = (bound, value) if node.operation == "max" else (value, bound)
        gradient = b.add("where", b.add("less_equal", *pair), g, 0.0)
        return [gradient if operand is value else None for operand in node.operands]
    half = b.add("mul", g, 0.5)
    x_wins = b.add("less", y, x) if node.operation == "max" else b.add("less", x, y)
    y_wins = b.add("less", x, y) if node.operation == "max" else b.add("less", y, x)
    return [
        b.add("where", x_wins, g, b.add("where", y_wins, 0.0, half)),
        b.add("where", y_wins, g, b.add("where", x_wins, 0.0, half)),
    ]


def _where(b: Builder, node: Node, g: Operand) -> list[Operand | None]:
    condition = node.operands[0]
    return [None, b.add("where", condition, g, 0.0), b.add("where", condition, 0.0, g)]


def _mean(b: Builder, node: Node, g: Operand) -> list[Operand | None]:
    (x,) = node.operands
    length = b.shape(x)[node.attributes["axis"]]
    assert isinstance(length, int)
    return [b.add("expand", b.add("mul", g, 1 / length), shape=list(b.shape(x)))]


def _extreme_of_axis(b: Builder, node: Node, g: Operand) -> list[Operand | None]:
    (x,) = node.operands
    found = b.add("where", b.add("equal", x, node.name), 1.0, 0.0)
    share = b.add("div", g, b.add("sum", found, axis=node.attributes["axis"]))
    return [b.add("mul", found, share)]


def _softmax(b: Builder, node: Node, g: Operand) -> list[Operand | None]:
    axis = node.attributes["axis"]
    together = b.add("sum", b.add("mul", g, node.name), axis=axis)
    return [b.add("mul", node.name, b.add("sub", g, together))]


def _permute(b: Builder, node: Node, g: Operand) -> list[Operand | None]:
    order = list(node.attributes["order"])
    return [b.add("permute", g, order=[order.index(axis) for axis in range(len(order))])]


def _concat(b: Builder, node: Node, g: Operand) -> list[Operand | None]:
    axis, at = node.attributes["axis"], 0
    pieces: list[Operand | None] = []
    for operand in node.operands:
        width = b.shape(operand)[axis]
        assert isinstance(width, int)
        pieces.append(b.add("slice", g, axis=axis, start=at, stop=at + width))
        at += width
    return pieces


def _matmul(b: Builder, node: Node, g: Operand) -> list[Operand | None]:
    x, y = node.operands

    def swapped(operand: Operand) -> Operand:
        rank = len(b.shape(operand))
        return b.add("permute", operand, order=[*range(rank - 2), rank - 1, rank - 2])

    return [b.add("matmul", g, swapped(y)), b.add("matmul", swapped(x), g)]


def normal(b: Builder, result: Operand, inverse: Operand, g: Operand) -> Operand:
    """The derivative of a row less its mean over its deviation; `inverse` is 1 over that deviation."""
    axis = len(b.shape(g)) - 1
    shift = b.add("mean", g, axis=axis)
    tilt = b.add("mul", result, b.add("mean", b.add("mul", g, result), axis=axis))
    return b.add("mul", inverse, b.add("sub", b.add("sub", g, shift), tilt))


def _none(b: Builder, node: Node, g: Operand) -> list[Operand | None]:
    return [None] * len(node.operands)


# `slice` and the weights of `linear` are the caller's: their gradients are put together from several nodes.
RULES: dict[str, Rule] = {
    "neg": lambda b, node, g: [b.add("neg", g)],
    "abs": _abs,
    "exp": lambda b, node, g: [b.add("mul", g, node.name)],
    "log": lambda b, node, g: [b.add("div", g, node.operands[0])],
    "sqrt": lambda b, node, g: [b.add("div", b.add("mul", g, 0.5), node.name)],
    "sigmoid": _sigmoid,
    "tanh": _tanh,
    "relu": lambda b, node, g: [b.add("where", b.add("less", 0.0, node.name), g, 0.0)],
    "softplus": lambda b, node, g: [b.add("mul", g, b.add("sigmoid", node.operands[0]))],
    "erf": _erf,
    "add": lambda b, node, g: [g, g],
    "sub": lambda b, node, g: [g, b.add("neg", g)],
    "mul": _multiply,
    "div": _divide,
    "max": _extreme,
    "min": _extreme,
    "less": _none,
    "less_equal": _none,
    "equal": _none,
    "and": _none,
    "or": _none,
    "not": _none,
    "where": _where,
    "matmul": _matmul,
    "sum": lambda b, node, g: [b.add("expand", g, shape=list(b.shape(node.operands[0])))],
    "mean": _mean,
    "amax": _extreme_of_axis,
    "amin": _extreme_of_axis,
    "softmax": _softmax,
    "reshape": lambda b, node, g: [b.add("reshape", g, shape=list(b.shape(node.operands[0])))],
    "expand": lambda b, node, g: [g],
    "permute": _permute,
    "concat": _concat,
    "full_like": _none,
}
