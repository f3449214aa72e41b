"""Scans, norms, sums and what else runs along an axis."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import fx

from throughtime.capture.aten.rules import rule
from throughtime.program.program import Operand

if TYPE_CHECKING:
    from throughtime.capture.convert import Converter


@rule("recurrence")
def _scan(
    c: Converter,
    node: fx.Node,
    inputs: Any,
    state: Sequence[Any],
    lengths: Any,
    name: str,
    output_size: int,
    state_sizes: Sequence[int],
    rows: int,
) -> list[Operand]:
    operands = [inputs, *state, *([] if lengths is None else [lengths])]
    result = c.add(
        "scan",
        *map(c.operand, operands),
        recurrence=name,
        lengths=lengths is not None,
        output_size=output_size,
        state_sizes=list(state_sizes),
        rows=rows,
    )
    return [result, *(f"{result}.{part}" for part in range(len(state_sizes)))]


@rule("batch_norm", "_native_batch_norm_legit_no_training")
def _batch_norm(
    c: Converter, node: fx.Node, x: Any, weight: Any, bias: Any, mean: Any, variance: Any, *rest: Any
) -> Operand:
    epsilon = next(value for value in reversed(rest) if isinstance(value, float))
    deviation = c.add("sqrt", c.add("add", c.operand(variance), epsilon))
    scale = c.add("div", 1.0 if weight is None else c.operand(weight), deviation)
    shift = c.add("mul", c.operand(mean), scale)
    shift = c.add("sub", 0.0 if bias is None else c.operand(bias), shift)
    return _per_channel(c, c.operand(x), len(c.shape(x)), c.shape(x)[1], scale, shift)


def _per_channel(
    c: Converter, x: Operand, rank: int, channels: int, scale: Operand | None, shift: Operand | None
) -> Operand:
    """x scaled and shifted along its second axis."""
    for operation, value in (("mul", scale), ("add", shift)):
        if value is not None:
            spread = c.add("reshape", value, shape=[channels] + [1] * (rank - 2))
            x = c.add(operation, x, spread)
    return x


@rule("layer_norm")
def _layer_norm(
    c: Converter,
    node: fx.Node,
    x: Any,
    shape: Sequence[int],
    weight: Any = None,
    bias: Any = None,
    eps: float = 1e-5,
    *_: Any,
) -> Operand:
    if len(shape) != 1:
        raise c.refusal(node, "it normalises over several axes: flatten them before")
    value = c.operand(x)
    if weight is None:
        value = c.add("layer_norm", value, epsilon=float(eps))
        return value if bias is None else c.add("add", value, c.operand(bias))
    scales = [c.operand(weight)] + ([] if bias is None else [c.operand(bias)])
    return c.add("layer_norm", value, *scales, epsilon=float(eps))


@rule("rms_norm")
def _rms_norm(
    c: Converter, node: fx.Node, x: Any, shape: Sequence[int], weight: Any = None, eps: float | None = None
) -> Operand:
    value = c.operand(x)
    epsilon = torch.finfo(torch.float32).eps if eps is None else eps
    squares = c.add("mean", c.add("mul", value, value), axis=len(c.shape(x)) - 1)
    value = c.add("div", value, c.add("sqrt", c.add("add", squares, float(epsilon))))
    return value if weight is None else c.add("mul", value, c.operand(weight))


@rule("group_norm")
def _group_norm(
    c: Converter,
    node: fx.Node,
    x: Any,
    groups: int,
    weight: Any = None,
    bias: Any = None,
    eps: float = 1e-5,
    *_: Any,
) -> Operand:
    shape = c.shape(x)
    if len(shape) < 2 or not isinstance(shape[1], int):
        raise c.refusal(node, "its group norm is not of rows of features")
    inside = c.product([shape[1] // groups, *shape[2:]])
    value = c.add("reshape", c.operand(x), shape=[shape[0], groups, inside])
    value = c.add("reshape", c.add("layer_norm", value, epsilon=float(eps)), shape=list(shape))
    scales = (None if given is None else c.operand(given) for given in (weight, bias))
    return _per_channel(c, value, len(shape), shape[1], *scales)


@rule("sum", "mean", "amax", "amin")
def _reduce(c: Converter, node: fx.Node, x: Any, dim: Any = None, keepdim: bool = False, **_: Any) -> Operand:
    rank = len(c.shape(x))
    axes = range(rank) if dim is None or dim == [] else [dim] if isinstance(dim, int) else dim
    value = c.operand(x)
    for axis in sorted(axis % rank for axis in axes):
        c.refuse_batch(node, x, axis)
        value = c.add(c.name(node), value, axis=axis)
    return c.add("reshape", value, shape=list(c.shape(node)))


@rule("logsumexp")
def _logsumexp(c: Converter, node: fx.Node, x: Any, dim: Any, keepdim: bool = False) -> Operand:
    (axis,) = [dim] if isinstance(dim, int) else dim
    axis %= len(c.shape(x))
    c.refuse_batch(node, x, axis)
    highest = c.add("amax", c.operand(x), axis=axis)
    powers = c.add("exp", c.add("sub", c.operand(x), highest))
    value = c.add("add", c.add("log", c.add("sum", powers, axis=axis)), highest)
    return c.add("reshape", value, shape=list(c.shape(node)))


@rule("softmax", "_softmax")
def _softmax(c: Converter, node: fx.Node, x: Any, dim: int, *_: Any, **__: Any) -> Operand:
    axis = dim % len(c.shape(x))
    c.refuse_batch(node, x, axis)
    return c.add("softmax", c.operand(x), axis=axis)


@rule("log_softmax", "_log_softmax")
def _log_softmax(c: Converter, node: fx.Node, x: Any, dim: int, *_: Any, **__: Any) -> Operand:
    axis = dim % len(c.shape(x))
    c.refuse_batch(node, x, axis)
    shifted = c.add("sub", c.operand(x), c.add("amax", c.operand(x), axis=axis))
    return c.add("sub", shifted, c.add("log", c.add("sum", c.add("exp", shifted), axis=axis)))
