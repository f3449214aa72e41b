"""Functions of programs in PyTorch, one operation after the other, under autograd."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from throughtime.kernels import products
from throughtime.program import Function
from throughtime.program.program import WEIGHT, Operand


def run(
    function: Function,
    inputs: Mapping[str, Tensor],
    weights: Mapping[str, Tensor],
    precision: str = "fp32",
) -> list[Tensor]:
    """Compute a function; a free size is that of the first axis of its inputs.

    Args:
        function: what to compute.
        inputs: its inputs.
        weights: its weights.
        precision: of the products of rows with a matrix: fp32, or bf16 with float32 for all the rest.
    """
    operations = _OPERATIONS if precision == "fp32" else _ROUNDED
    values: dict[Operand, Any] = {**inputs, **{f"{WEIGHT}{name}": one for name, one in weights.items()}}
    like = next((value for value in values.values()), torch.zeros(()))
    size = next(iter(inputs.values())).shape[0] if inputs else 1

    def value_of(operand: Operand) -> Tensor:
        return values[operand] if isinstance(operand, str) else like.new_full((), operand)

    for node in function.nodes:
        attributes = dict(node.attributes)
        if "shape" in attributes:
            attributes["shape"] = [_resolved(side, size) for side in attributes["shape"]]
        # A number stays one, so that it does not become a tensor that PyTorch has to wrap again.
        operands = [values[o] if isinstance(o, str) else o for o in node.operands]
        if node.operation in _OF_TENSORS:
            operands = [value_of(operand) for operand in node.operands]
        values[node.name] = operations[node.operation](*operands, **attributes)
    return [value_of(operand) for operand in function.outputs]


def _resolved(side: int | str, size: int) -> int:
    return math.prod(size if part == "B" else int(part) for part in str(side).split("*"))


def _slice(x: Tensor, axis: int, start: int, stop: int) -> Tensor:
    return x.narrow(axis, start, stop - start)


def _layer_norm(x: Tensor, *scales: Tensor, epsilon: float) -> Tensor:
    return F.layer_norm(x, x.shape[-1:], *scales, eps=epsilon)


def _reduction(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    return lambda x, axis: function(x, axis, keepdim=True)


def _concat(*pieces: Tensor, axis: int) -> Tensor:
    return torch.cat(pieces, axis)


def _reshape(x: Tensor, shape: Sequence[int]) -> Tensor:
    return x.reshape(shape)


# Those that PyTorch gives only for tensors.
_OF_TENSORS = frozenset(("max", "min", "less", "less_equal", "equal", "where", "sub", "div", "expand"))

_OPERATIONS: dict[str, Callable[..., Tensor]] = {
    "neg": torch.neg,
    "abs": torch.abs,
    "exp": torch.exp,
    "log": torch.log,
    "sqrt": torch.sqrt,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "relu": torch.relu,
    "softplus": F.softplus,
    "erf": torch.erf,
    "add": lambda x, y: x + y,
    "sub": torch.sub,
    "mul": lambda x, y: x * y,
    "div": torch.div,
    "max": torch.maximum,
    "min": torch.minimum,
    "less": torch.lt,
    "less_equal": torch.le,
    "equal": torch.eq,
    "and": torch.logical_and,
    "or": torch.logical_or,
    "not": torch.logical_not,
    "where": torch.where,
    "linear": products.linear,
    "matmul": torch.matmul,
    "sum": _reduction(torch.sum),
    "mean": _reduction(torch.mean),
    "amax": _reduction(torch.amax),
    "amin": _reduction(torch.amin),
    "softmax": lambda x, axis: torch.softmax(x, axis),
    "layer_norm": _layer_norm,
    "reshape": _reshape,
    "expand": lambda x, shape: x.expand(shape),
    "permute": lambda x, order: x.permute(order),
    "slice": _slice,
    "concat": _concat,
    "full_like": lambda x, value: torch.full_like(x, value),
}

_ROUNDED = {**_OPERATIONS, "linear": products.rounded_linear}
