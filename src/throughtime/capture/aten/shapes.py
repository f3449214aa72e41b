"""The same numbers in another shape, and parts of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from torch import fx

from throughtime.capture.aten.rules import rule
from throughtime.program.program import Operand

if TYPE_CHECKING:
    from throughtime.capture.convert import Converter


@rule(
    "view",
    "reshape",
    "_unsafe_view",
    "flatten",
    "unflatten",
    "unsqueeze",
    "squeeze",
    "view_as",
    "_reshape_alias",
)
def _reshape(c: Converter, node: fx.Node, x: Any, *_: Any) -> Operand:
    return c.add("reshape", c.operand(x), shape=list(c.shape(node)))


@rule("expand", "expand_as", "broadcast_to")
def _expand(c: Converter, node: fx.Node, x: Any, *_: Any, **__: Any) -> Operand:
    return c.add("expand", c.operand(x), shape=list(c.shape(node)))


@rule("repeat", "tile")
def _repeat(c: Converter, node: fx.Node, x: Any, repeats: Sequence[int]) -> Operand:
    shape = list(c.shape(x))
    value = c.operand(x)
    if len(shape) < len(repeats):
        shape = [1] * (len(repeats) - len(shape)) + shape
        value = c.add("reshape", value, shape=shape)
    for axis, times in enumerate(repeats):
        if times != 1:
            if shape[axis] == 1:
                shape[axis] = c.shape(node)[axis]
                value = c.add("expand", value, shape=list(shape))
            else:
                c.refuse_batch(node, x, axis)
                shape[axis] = shape[axis] * times
                value = c.add("concat", *([value] * times), axis=axis)
    return value


@rule("permute")
def _permute(c: Converter, node: fx.Node, x: Any, dims: Sequence[int]) -> Operand:
    return c.add("permute", c.operand(x), order=[axis % len(dims) for axis in dims])


@rule("transpose", "t", "swapaxes", "numpy_T")
def _transpose(c: Converter, node: fx.Node, x: Any, first: int = 0, second: int = 1) -> Operand:
    rank = len(c.shape(x))
    order = list(range(rank))
    if rank > 1:
        first, second = first % rank, second % rank
        order[first], order[second] = second, first
    return c.add("permute", c.operand(x), order=order)


@rule("slice", "narrow")
def _slice(
    c: Converter, node: fx.Node, x: Any, dim: int = 0, start: Any = None, end: Any = None, step: int = 1
) -> Operand:
    axis = dim % len(c.shape(x))
    side = c.shape(x)[axis]
    start = 0 if start is None else start
    if c.name(node) == "narrow":
        end = start + end
    if not isinstance(side, int):
        if (start, step) == (0, 1) and (end is None or not isinstance(end, int) or end >= 1 << 62):
            return c.operand(x)
        raise c.refusal(node, "it takes sequences of a batch apart: a step sees each by itself")
    first, last, step = slice(start, end, step).indices(side)
    if step == 1:
        return c.add("slice", c.operand(x), axis=axis, start=first, stop=max(first, last))
    parts = [c.add("slice", c.operand(x), axis=axis, start=k, stop=k + 1) for k in range(first, last, step)]
    return c.add("concat", *parts, axis=axis)


@rule("select")
def _select(c: Converter, node: fx.Node, x: Any, dim: int, index: int) -> Operand:
    axis = dim % len(c.shape(x))
    c.refuse_batch(node, x, axis)
    side = c.shape(x)[axis]
    if not isinstance(side, int) and index != 0:
        raise c.refusal(node, "it selects a place of an axis whose size is free, and only the first is sure")
    start = index % side if isinstance(side, int) else 0
    value = c.add("slice", c.operand(x), axis=axis, start=start, stop=start + 1)
    return c.add("reshape", value, shape=list(c.shape(node)))


@rule("chunk", "split", "split_with_sizes", "tensor_split", "unbind", "unsafe_chunk", "unsafe_split")
def _split(c: Converter, node: fx.Node, x: Any, *args: Any, **named: Any) -> list[Operand]:
    parts = node.meta["val"]
    unbound = c.name(node) == "unbind"
    dim = named.get("dim", args[0 if unbound else 1] if len(args) > (0 if unbound else 1) else 0)
    axis = dim % len(c.shape(x))
    c.refuse_batch(node, x, axis)
    found, start = [], 0
    for part in parts:
        width = 1 if unbound else int(part.shape[axis])
        value = c.add("slice", c.operand(x), axis=axis, start=start, stop=start + width)
        found.append(c.add("reshape", value, shape=c.sizes(part.shape)) if unbound else value)
        start += width
    return found


@rule("cat", "concat", "concatenate")
def _cat(c: Converter, node: fx.Node, parts: Sequence[Any], dim: int = 0) -> Operand:
    axis = dim % len(c.shape(node))
    c.refuse_batch(node, parts[0], axis)
    return c.add("concat", *map(c.operand, parts), axis=axis)


@rule("stack")
def _stack(c: Converter, node: fx.Node, parts: Sequence[Any], dim: int = 0) -> Operand:
    shape = list(c.shape(node))
    axis = dim % len(shape)
    shape[axis] = 1
    return c.add("concat", *(c.add("reshape", c.operand(p), shape=shape) for p in parts), axis=axis)
