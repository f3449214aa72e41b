"""Products of matrices, looking up rows, and what pictures go through."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import fx

from throughtime.capture.aten.rules import rule
from throughtime.program.program import Operand

if TYPE_CHECKING:
    from throughtime.capture.convert import Converter


@rule("linear")
def _linear(c: Converter, node: fx.Node, x: Any, weight: Any, bias: Any = None) -> Operand:
    more = () if bias is None else (c.operand(bias),)
    return c.add("linear", c.operand(x), c.operand(weight), *more)


@rule("addmm")
def _addmm(
    c: Converter, node: fx.Node, bias: Any, a: Any, b: Any, beta: float = 1, alpha: float = 1
) -> Operand:
    return c.add("add", c.scaled(c.operand(bias), beta), c.scaled(_matmul(c, node, a, b), alpha))


@rule("matmul", "mm", "bmm", "mv")
def _matmul(c: Converter, node: fx.Node, a: Any, b: Any) -> Operand:
    left, right = c.operand(a), c.operand(b)
    if len(c.shape(b)) == 1:  # a vector: a matrix with one row
        row = c.add("reshape", right, shape=[1, *c.shape(b)])
        return c.add("reshape", c.add("linear", left, row), shape=list(c.shape(node)))
    if len(c.shape(b)) == 2 and c.is_fixed(right):
        return c.add("linear", left, c.add("permute", right, order=[1, 0]))
    return c.add("matmul", left, right)


@rule("einsum")
def _einsum(c: Converter, node: fx.Node, equation: str, operands: Sequence[Any], path: Any = None) -> Operand:
    terms, _, result = equation.replace(" ", "").partition("->")
    names = terms.split(",")
    if len(names) != 2 or not result or any(len(set(n)) != len(n) or "." in n for n in (*names, result)):
        raise c.refusal(node, f"its einsum {equation!r} is none of two operands with distinct letters")
    a, b = names
    alone = (set(a) ^ set(b)) - set(result)
    if alone:
        raise c.refusal(node, f"its einsum {equation!r} sums {min(alone)} over one operand: sum before it")
    sides = dict(zip(a, c.shape(operands[0]), strict=True)) | dict(zip(b, c.shape(operands[1]), strict=True))
    free = [x for x in a + b if not isinstance(sides[x], int) and (x in a) != (x in b)]
    if free and free[0] in b:
        a, b, operands = b, a, operands[::-1]
    # A free axis of one operand alone stays in front: each sequence multiplies the same matrices.
    both = [x for x in a if x in b and x in result]
    summed = [x for x in a if x in b and x not in result]
    rows = [x for x in a if x not in b and x not in free]
    columns = [x for x in b if x not in a]

    def arranged(operand: Any, old: str, first: list[str], *groups: list[str]) -> Operand:
        order = [old.index(x) for group in (first, *groups) for x in group]
        value = c.add("permute", c.operand(operand), order=order)
        merged = [c.product([sides[x] for x in group]) for group in groups]
        return c.add("reshape", value, shape=[*(sides[x] for x in first), *merged])

    left = arranged(operands[0], a, [*free, *both], rows, summed)
    right = arranged(operands[1], b, both, summed, columns)
    order = [*free, *both, *rows, *columns]
    value = c.add("reshape", c.add("matmul", left, right), shape=[sides[x] for x in order])
    return c.add("permute", value, order=[order.index(x) for x in result])


@rule("embedding")
def _embedding(c: Converter, node: fx.Node, table: Any, indices: Any, *_: Any) -> Operand:
    return c.add("take", c.operand(table), c.operand(indices))


@rule("index")
def _index(c: Converter, node: fx.Node, x: Any, indices: Sequence[Any]) -> Operand:
    if not all(isinstance(index, fx.Node) and index.meta["val"].dtype == torch.int64 for index in indices):
        raise c.refusal(node, "it indexes by something else than whole numbers: use torch.where for a mask")
    return c.add("take", c.operand(x), *map(c.operand, indices))


@rule("one_hot")
def _one_hot(c: Converter, node: fx.Node, indices: Any, classes: int = -1) -> Operand:
    return c.add("one_hot", c.operand(indices), classes=int(node.meta["val"].shape[-1]))


@rule("arange")
def _arange(c: Converter, node: fx.Node, *_: Any, **__: Any) -> Operand:
    return c.add("range", shape=list(c.shape(node)))


@rule("conv1d", "conv2d")
def _convolution(
    c: Converter,
    node: fx.Node,
    x: Any,
    weight: Any,
    bias: Any = None,
    stride: Sequence[int] = (1,),
    padding: Sequence[int] | str = (0,),
    dilation: Sequence[int] = (1,),
    groups: int = 1,
) -> Operand:
    if set(dilation) != {1}:
        raise c.refusal(node, "its convolution is dilated")
    if isinstance(padding, str):
        raise c.refusal(node, f"its padding is {padding!r}: say how many zeros")
    axes = len(c.shape(x)) - 2
    sizes = {"stride": stride, "padding": padding}
    given = {name: list(size) * (axes // len(size)) for name, size in sizes.items()}
    value, kernel = c.operand(x), c.operand(weight)
    if axes == 1:  # of pictures that are one pixel wide
        value, kernel = (
            c.add("reshape", one, shape=[*c.shape(of), 1]) for one, of in ((value, x), (kernel, weight))
        )
        given = {"stride": [*given["stride"], 1], "padding": [*given["padding"], 0]}
    more = () if bias is None else (c.operand(bias),)
    value = c.add("conv2d", value, kernel, *more, **given, groups=groups)
    return value if axes == 2 else c.add("reshape", value, shape=list(c.shape(node)))


@rule("pad", "constant_pad_nd")
def _pad(c: Converter, node: fx.Node, x: Any, padding: Sequence[int], *more: Any) -> Operand:
    if any(one not in ("constant", 0, 0.0, None) for one in more):
        raise c.refusal(node, "it pads with something else than zeros")
    rank = len(c.shape(x))
    before, after = [0] * rank, [0] * rank
    for k in range(len(padding) // 2):  # from the last axis
        before[rank - 1 - k], after[rank - 1 - k] = padding[2 * k], padding[2 * k + 1]
    return c.add("pad", c.operand(x), before=before, after=after)


@rule("adaptive_avg_pool2d")
def _adaptive_avg_pool2d(c: Converter, node: fx.Node, x: Any, size: Any) -> Operand:
    rows, columns = c.shape(node)[2:]
    return c.add("grid_means", c.operand(x), rows=rows, columns=columns)
