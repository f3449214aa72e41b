"""Functions built node by node, each computation once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from throughtime.program.operations import OPERATIONS, Shape, Type
from throughtime.program.program import WEIGHT, Function, Node, Operand, weights_read


class Builder:
    """A graph that grows.

    Args:
        inputs: their types by name.
        weights: the weights that nodes may read, by name.
    Attributes:
        nodes: by the names of their results, in an order in which they can be computed.
    """

    def __init__(self, inputs: Mapping[str, Type], weights: Mapping[str, Type]) -> None:
        self.inputs, self.weights = dict(inputs), dict(weights)
        self.nodes: dict[str, Node] = {}
        self._types: dict[str, Type] = {
            **self.inputs,
            **{f"{WEIGHT}{name}": found for name, found in self.weights.items()},
        }
        self._same: dict[Any, str] = {}

    def type_of(self, operand: Operand) -> Type:
        """The type of an operand; a number has no axes."""
        return self._types[operand] if isinstance(operand, str) else Type("float32", ())

    def shape(self, operand: Operand) -> Shape:
        """The shape of an operand."""
        return self.type_of(operand).shape

    def add_input(self, name: str, shape: Shape) -> str:
        """One input more."""
        self.inputs[name] = self._types[name] = Type("float32", shape)
        return name

    def add(self, operation: str, *operands: Operand, **attributes: Any) -> Operand:
        """The operand that a computation's result is; what changes nothing adds no node."""
        simple = self._simplified(operation, operands, attributes)
        if simple is not None:
            return simple
        key = (operation, operands, tuple(sorted((name, _frozen(v)) for name, v in attributes.items())))
        if key not in self._same:
            name = f"n{len(self.nodes)}"
            types = [self.type_of(operand) for operand in operands]
            inferred = OPERATIONS[operation].infer(types, **attributes)
            assert isinstance(inferred, Type)  # a step has no scan in it
            self._types[name] = inferred
            self.nodes[name] = Node(name, operation, operands, attributes)
            self._same[key] = name
        return self._same[key]

    def _simplified(
        self, operation: str, operands: Sequence[Operand], attributes: Mapping[str, Any]
    ) -> Operand | None:
        first = operands[0]
        if operation in ("reshape", "expand") and tuple(attributes["shape"]) == self.shape(first):
            return first
        if operation == "permute" and list(attributes["order"]) == sorted(attributes["order"]):
            return first
        if operation == "concat" and len(operands) == 1:
            return first
        if operation == "neg" and isinstance(first, str) and first in self.nodes:
            node = self.nodes[first]
            return node.operands[0] if node.operation == "neg" else None
        if len(operands) == 2:
            for one, other in (operands, operands[::-1]):
                neutral = {"add": 0.0, "mul": 1.0}.get(operation)
                if neutral is not None and not isinstance(one, str) and one == neutral:
                    return other
        return None

    def function(self, outputs: Sequence[Operand], inputs: Iterable[str] | None = None) -> Function:
        """What computes some operands, and nothing else.

        Args:
            outputs: operands.
            inputs: the names of the function's inputs, also those that nothing reads; None is all.
        """
        return function_of(
            self.nodes.values(),
            {name: self.inputs[name] for name in (self.inputs if inputs is None else inputs)},
            self.weights,
            outputs,
        )


def function_of(
    nodes: Iterable[Node], inputs: Mapping[str, Type], weights: Mapping[str, Type], outputs: Sequence[Operand]
) -> Function:
    """The function of those nodes on which the outputs depend."""
    wanted: set[Operand] = set(outputs)
    kept = []
    for node in reversed(list(nodes)):
        if node.name in wanted:
            kept.append(node)
            wanted.update(node.operands)
    ordered = tuple(kept[::-1])
    return Function(inputs, weights_read(weights, ordered, outputs), ordered, tuple(outputs))


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, (list, tuple)) else value
