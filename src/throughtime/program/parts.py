"""A step in three parts, by what each waits for: the weights, the inputs, the state.

What only the weights decide (`fixed`) is computed once a call, and products of the inputs alone (`ahead`)
for all steps at once; what remains is the recurrence (`step`). On the way composite operations become simple
ones: a bias is added by itself, a product of joined rows becomes a sum of products, a batched product one
product a matrix, so that each kind of derivative is written once.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from throughtime.program.building import Builder, function_of
from throughtime.program.operations import Shape, Type
from throughtime.program.program import WEIGHT, Function, Node, Operand

FIXED = "fixed."
AHEAD = "ahead."
# What a value waits for, each with all before it.
_WEIGHTS, _INPUTS, _STATE = range(3)


@dataclass(frozen=True)
class Parts:
    """A step taken apart.

    Args:
        fixed: the cell's weights -> the tensors that `ahead` and `step` read as their weights.
        fixed_names: the names of those tensors, in the order of `fixed`'s outputs.
        ahead: projected -> the rows that `step` reads beside or in place of it.
        step: the rows of `ahead`, and what else it reads, and the state -> output, new state.
        normals: nodes of `step` that are a row less its mean over its deviation: (row, 1 / deviation).
    """

    fixed: Function
    fixed_names: tuple[str, ...]
    ahead: Function
    step: Function
    normals: Mapping[str, tuple[Operand, Operand]]


def take_apart(step: Function) -> Parts:
    """Cut a cell's step; its first input is "projected".

    Raises:
        ValueError: a matrix of a product depends on both sides' rows in a way that has no simple form.
    """
    simple = _Simple(step)
    waits = simple.waits
    outputs = tuple(simple.outputs)
    # Products of the inputs alone, and all that they are computed from, run for all steps at once.
    ahead: set[Operand] = set()
    for node in reversed(list(simple.nodes.values())):
        is_product = node.operation in ("linear", "matmul")
        if waits[node.name] == _INPUTS and (is_product or node.name in ahead):
            ahead |= {node.name, *(o for o in node.operands if waits.get(o) == _INPUTS)}
    ahead &= set(simple.nodes)

    fixed: dict[Operand, str] = {}
    streams: dict[Operand, Operand] = {}
    ahead_outputs: list[Operand] = []
    ahead_nodes: list[Node] = []
    step_nodes: list[Node] = []
    reshaped: list[Node] = []

    def renamed(operand: Operand, within: bool) -> Operand:
        if not isinstance(operand, str):
            return operand
        if waits[operand] == _WEIGHTS:
            fixed.setdefault(operand, f"{FIXED}{operand}")
            return f"{WEIGHT}{fixed[operand]}"
        if within or (operand not in ahead and operand != "projected"):
            return operand
        if operand not in streams:
            shape = simple.shape(operand)
            flat: Shape = ("B", math.prod(side for side in shape if isinstance(side, int)))
            name = f"{AHEAD}{operand}"
            streams[operand] = name
            ahead_outputs.append(operand)
            if shape != flat:
                if shape[0] != "B":
                    raise ValueError("a product of the inputs does not have the batch in front")
                ahead_nodes.append(Node(f"flat.{operand}", "reshape", (operand,), {"shape": list(flat)}))
                ahead_outputs[-1] = f"flat.{operand}"
                reshaped.append(Node(f"whole.{operand}", "reshape", (name,), {"shape": list(shape)}))
                streams[operand] = f"whole.{operand}"
        return streams[operand]

    for node in simple.nodes.values():
        if waits[node.name] == _WEIGHTS:
            continue
        within = node.name in ahead
        operands = tuple(renamed(operand, within) for operand in node.operands)
        target = ahead_nodes if within else step_nodes
        target.append(Node(node.name, node.operation, operands, node.attributes))
    outputs = tuple(renamed(operand, within=False) for operand in outputs)
    if not streams:  # a step that reads no inputs still has as many steps as they have
        renamed("projected", within=False)
    weights = {name: Type("float32", simple.shape(operand)) for operand, name in fixed.items()}
    ahead_nodes.sort(key=lambda node: node.name.startswith("flat."))
    whole = Function(
        {"projected": simple.inputs["projected"]},
        _read(weights, ahead_nodes),
        tuple(ahead_nodes),
        tuple(ahead_outputs),
    )
    inputs: dict[str, Type] = {}
    for operand, output in zip(streams, ahead_outputs, strict=True):
        inputs[f"{AHEAD}{operand}"] = whole.type_of(output)
    inputs |= {name: found for name, found in simple.inputs.items() if name != "projected"}
    return Parts(
        function_of(simple.nodes.values(), {}, simple.weights, tuple(fixed)),
        tuple(fixed.values()),
        whole,
        function_of([*reshaped, *step_nodes], inputs, weights, outputs),
        simple.normals,
    )


def _read(weights: Mapping[str, Type], nodes: list[Node]) -> dict[str, Type]:
    read = {operand for node in nodes for operand in node.operands}
    return {name: found for name, found in weights.items() if f"{WEIGHT}{name}" in read}


class _Simple(Builder):
    """The same function of simple operations only.

    Attributes:
        waits: for each operand what it waits for.
        normals: as `Parts` has them.
        outputs: of the function.
    """

    def __init__(self, step: Function) -> None:
        super().__init__(step.inputs, step.weights)
        self.waits: dict[Operand, int] = {f"{WEIGHT}{name}": _WEIGHTS for name in step.weights}
        self.waits |= {name: _INPUTS if name == "projected" else _STATE for name in step.inputs}
        self.normals: dict[str, tuple[Operand, Operand]] = {}
        new: dict[Operand, Operand] = {}
        for node in step.nodes:
            operands = [new.get(operand, operand) for operand in node.operands]
            new[node.name] = self._simple(node, operands)
        self.outputs = tuple(new.get(operand, operand) for operand in step.outputs)

    def wait(self, operand: Operand) -> int:
        """What an operand waits for; a number waits for nothing."""
        return self.waits.get(operand, _WEIGHTS)

    def add(self, operation: str, *operands: Operand, **attributes: Any) -> Operand:
        """As every builder's."""
        result = super().add(operation, *operands, **attributes)
        if isinstance(result, str) and result not in self.waits:
            repeats = "B" in attributes.get("shape", ())  # weights for each sequence are no weights
            self.waits[result] = _STATE if repeats else max(map(self.wait, operands))
        return result

    def _simple(self, node: Node, operands: list[Operand]) -> Operand:
        waits = [self.wait(operand) for operand in operands]
        if max(waits) != _WEIGHTS and node.operation == "linear":
            return _linear(self, operands)
        if max(waits) != _WEIGHTS and node.operation == "matmul" and min(waits) == _WEIGHTS:
            return _matmul_with_fixed(self, operands, fixed_first=waits[0] == _WEIGHTS)
        if max(waits) == _STATE and node.operation == "layer_norm":
            return _layer_norm(self, operands, node.attributes["epsilon"])
        return self.add(node.operation, *operands, **node.attributes)


def _linear(built: _Simple, operands: list[Operand]) -> Operand:
    x, weight, *bias = operands
    if built.wait(weight) != _WEIGHTS:
        raise ValueError("a matrix depends on the inputs or the state")
    node = built.nodes.get(x) if isinstance(x, str) else None
    pieces: list[tuple[Operand, Operand]] = [(x, weight)]
    if node is not None and node.operation == "concat" and node.attributes["axis"] == len(built.shape(x)) - 1:
        pieces, at = [], 0
        for part in node.operands:
            width = built.shape(part)[-1]
            assert isinstance(width, int)
            pieces.append((part, built.add("slice", weight, axis=1, start=at, stop=at + width)))
            at += width
    # The inputs' share first, and the bias with it: both are there before the state is.
    pieces.sort(key=lambda piece: built.wait(piece[0]))
    total: Operand | None = None
    for number, (part, matrix) in enumerate(pieces):
        takes_bias = number == 0 and bias and built.wait(part) <= _INPUTS
        product = built.add("linear", part, matrix, *(bias if takes_bias else ()))
        if number == 0 and bias and not takes_bias:
            product = built.add("add", product, bias[0])
        total = product if total is None else built.add("add", total, product)
    assert total is not None
    return total


def _matmul_with_fixed(built: _Simple, operands: list[Operand], fixed_first: bool) -> Operand:
    """A batch of products with fixed matrices as one product a matrix."""
    a, b = operands
    if fixed_first:
        swapped = [
            built.add("permute", operand, order=_swapped(len(built.shape(operand)))) for operand in (b, a)
        ]
        turned = _matmul_with_fixed(built, swapped, fixed_first=False)
        return built.add("permute", turned, order=_swapped(len(built.shape(turned))))
    left, right = built.shape(a), built.shape(b)
    if len(right) == 2 or all(side == 1 for side in right[:-2]):
        matrix = built.add("reshape", b, shape=list(right[-2:]))
        return built.add("linear", a, built.add("permute", matrix, order=[1, 0]))
    rank = max(len(left), len(right))
    left, right = (1,) * (rank - len(left)) + left, (1,) * (rank - len(right)) + right
    a, b = built.add("reshape", a, shape=list(left)), built.add("reshape", b, shape=list(right))
    axis = max(k for k in range(rank - 2) if right[k] != 1)
    count = right[axis]
    if left[axis] not in (1, count) or not isinstance(count, int):
        raise ValueError("it multiplies the batch's axis with a weight's")
    pieces = []
    for k in range(count):
        mine = a if left[axis] == 1 else built.add("slice", a, axis=axis, start=k, stop=k + 1)
        matrix = built.add("slice", b, axis=axis, start=k, stop=k + 1)
        pieces.append(_matmul_with_fixed(built, [mine, matrix], fixed_first=False))
    return built.add("concat", *pieces, axis=axis)


def _swapped(rank: int) -> list[int]:
    return [*range(rank - 2), rank - 1, rank - 2]


def _layer_norm(built: _Simple, operands: list[Operand], epsilon: float) -> Operand:
    x, *scales = operands
    axis = len(built.shape(x)) - 1
    apart = built.add("sub", x, built.add("mean", x, axis=axis))
    variance = built.add("mean", built.add("mul", apart, apart), axis=axis)
    deviation = built.add("sqrt", built.add("add", variance, float(epsilon)))
    inverse = built.add("div", 1.0, deviation)
    result = built.add("mul", apart, inverse)
    assert isinstance(result, str)
    built.normals[result] = (x, inverse)
    for operation, scale in zip(("mul", "add"), scales, strict=False):
        result = built.add(operation, result, scale)
    return result
