"""What a program is: functions of nodes over named values. Data only: nothing in it is executed.

```
weights    weight_ih float32 (28, 5), weight_hh float32 (28, 7) ...
function step (projected float32 (B, 28), state.0 float32 (B, 7), state.1 float32 (B, 7))
    recurrent = linear(state.0, @weight_hh)
    gates = add(projected, recurrent)
    i = slice(gates, axis=1, start=0, stop=7)
    ...
    returns h, h, c
```

An operand is the name of an input or of an earlier node, "@" and the name of a weight, or a number. Shapes
are not written down: they follow from those of the inputs and weights, and following them is the check.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from throughtime.errors import RunError
from throughtime.program.operations import OPERATIONS, Type, count

WEIGHT = "@"
# Far beyond what any cell needs, and what a hostile file may cost at most.
_MOST_NODES = 10_000
_MOST_ELEMENTS = 1 << 26
_LONGEST_NAME = 200
_LONGEST_MESSAGE = 300
_DTYPES = ("float32", "bool", "int64", "uint8")
# A size that may differ from call to call.
_FREE = re.compile("[A-Z]")

Operand = str | float
_CELL_FUNCTIONS = ("initial", "project", "step")


@dataclass(frozen=True)
class Node:
    """One operation.

    Args:
        name: of its result.
        operation: one of `OPERATIONS`.
        operands: names of values, "@" and names of weights, or numbers.
        attributes: what else the operation needs.
    """

    name: str
    operation: str
    operands: tuple[Operand, ...]
    attributes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Function:
    """Nodes from inputs to outputs, in an order in which they can be computed.

    Args:
        inputs: their types by name.
        weights: those of the weights, by name; a node reads them as "@name".
        nodes: each reads what stands before it.
        outputs: operands.
    Raises:
        RunError: a node cannot be computed (the message names it).
    """

    inputs: Mapping[str, Type]
    weights: Mapping[str, Type]
    nodes: tuple[Node, ...]
    outputs: tuple[Operand, ...]

    def __post_init__(self) -> None:
        _ = self.types

    @cached_property
    def types(self) -> dict[str, Type]:
        """The type of every value, by operand."""
        found = {**self.inputs, **{f"{WEIGHT}{name}": type for name, type in self.weights.items()}}
        for node in self.nodes:
            if node.name in found or node.name.startswith(WEIGHT):
                raise RunError(f"node {node.name!r} is there twice")
            for number, inferred in enumerate(self._infer(node, found)):
                found[node.name if number == 0 else f"{node.name}.{number - 1}"] = inferred
        for operand in self.outputs:
            if isinstance(operand, str) and operand not in found:
                raise RunError(f"the output {operand!r} is not computed")
        return found

    def type_of(self, operand: Operand) -> Type:
        """The type of an operand; a number has no axes."""
        return self.types[operand] if isinstance(operand, str) else Type("number", ())

    @staticmethod
    def _infer(node: Node, found: Mapping[str, Type]) -> list[Type]:
        operation = OPERATIONS.get(node.operation)
        if operation is None:
            raise RunError(f"node {node.name!r}: this Throughtime has no operation {node.operation!r}")
        fewest, most = operation.arity
        if not fewest <= len(node.operands) <= most:
            raise RunError(f"node {node.name!r}: {node.operation} has {len(node.operands)} operands")
        if set(node.attributes) != set(operation.attributes):
            raise RunError(
                f"node {node.name!r}: {node.operation} has the attributes "
                f"{', '.join(sorted(map(str, node.attributes))) or 'none'}, expected "
                f"{', '.join(operation.attributes) or 'none'}"
            )
        types = []
        for operand in node.operands:
            if isinstance(operand, str):
                if operand not in found:
                    raise RunError(f"node {node.name!r} reads {operand!r}, which is not computed before it")
                types.append(found[operand])
            else:
                types.append(Type("number", ()))
        try:
            inferred = operation.infer(types, **node.attributes)
        except (ValueError, TypeError) as error:  # an attribute can be anything that JSON has
            raise RunError(f"node {node.name!r} ({node.operation}): {error}") from None
        results = inferred if isinstance(inferred, list) else [inferred]
        for result in results:
            if count(result.shape)[0] > _MOST_ELEMENTS:
                raise RunError(f"node {node.name!r} ({node.operation}): {result.shape} is too large")
        return results


@dataclass(frozen=True)
class CellProgram:
    """A cell as three functions; inputs and states are (B, size).

    Args:
        initial: inputs -> state.0, ...: the state before the first step; of the inputs only B matters.
        project: inputs -> projected.
        step: projected, state.0, ... -> output, state.0, ...
    """

    initial: Function
    project: Function
    step: Function

    @property
    def functions(self) -> dict[str, Function]:
        """The functions by name."""
        return {name: getattr(self, name) for name in _CELL_FUNCTIONS}

    @property
    def input_size(self) -> int:
        """I."""
        return _width(self.project.inputs["inputs"])

    @property
    def state_sizes(self) -> tuple[int, ...]:
        """The sizes of the state's tensors."""
        return tuple(_width(self.step.inputs[name]) for name in state_names(len(self.step.inputs) - 1))

    @property
    def output_size(self) -> int:
        """What a step gives out."""
        return _width(self.step.type_of(self.step.outputs[0]))

    def check(self) -> CellProgram:
        """The program, if its functions fit each other.

        Raises:
            RunError: they do not (the message says what).
        """
        if set(self.project.inputs) != {"inputs"} or len(self.project.outputs) != 1:
            raise RunError("`project` is not a function of `inputs` with one output")
        names = state_names(len(self.step.inputs) - 1)
        if list(self.step.inputs) != ["projected", *names] or not names:
            raise RunError("`step` is not a function of `projected` and `state.0`, `state.1`...")
        if len(self.step.outputs) != len(self.step.inputs):
            raise RunError("`step` does not give an output and as many states as it reads")
        for function in self.functions.values():
            for name, found in function.inputs.items():
                if found.dtype != "float32" or len(found.shape) != 2 or found.shape[0] != "B":
                    raise RunError(f"input {name!r} is {found.dtype} {found.shape}, expected rows of numbers")
        if self.initial.inputs != self.project.inputs:
            raise RunError("`initial` and `project` read different inputs")
        if [self.initial.type_of(operand) for operand in self.initial.outputs] != [
            self.step.inputs[name] for name in names
        ]:
            raise RunError("`initial` does not give the states that `step` reads")
        if self.project.type_of(self.project.outputs[0]) != self.step.inputs["projected"]:
            raise RunError("what `project` gives is not what `step` reads")
        for name, operand in zip(names, self.step.outputs[1:], strict=True):
            if self.step.type_of(operand) != self.step.inputs[name]:
                raise RunError(f"the new {name} has another shape than the old one")
        output = self.step.type_of(self.step.outputs[0])
        if output.dtype != "float32" or len(output.shape) != 2 or output.shape[0] != "B":
            raise RunError(f"the output is {output.dtype} {output.shape}, expected rows of numbers")
        return self


def weights_read(
    weights: Mapping[str, Type], nodes: Sequence[Node], outputs: Sequence[Operand]
) -> dict[str, Type]:
    """Those of the weights that a function reads."""
    read = {operand for node in nodes for operand in node.operands} | set(outputs)
    return {name: type for name, type in weights.items() if f"{WEIGHT}{name}" in read}


def state_names(parts: int) -> list[str]:
    """The names of the state's tensors as inputs of a step."""
    return [f"state.{part}" for part in range(parts)]


def _width(found: Type) -> int:
    side = found.shape[-1]
    if not isinstance(side, int):
        raise RunError(f"{found.shape} has no fixed width")
    return side


# ---- as JSON


def function_to_json(function: Function) -> dict[str, Any]:
    """Inputs, nodes and outputs; the weights are written once for all functions."""
    return {
        "inputs": {name: [type.dtype, list(type.shape)] for name, type in function.inputs.items()},
        "nodes": [
            [node.name, node.operation, list(node.operands), dict(node.attributes)] for node in function.nodes
        ],
        "outputs": list(function.outputs),
    }


def cell_to_json(cell: CellProgram) -> dict[str, Any]:
    """What `cell_from_json` reads."""
    weights = {name: type for function in cell.functions.values() for name, type in function.weights.items()}
    return {
        "weights": {name: [type.dtype, list(type.shape)] for name, type in weights.items()},
        **{name: function_to_json(function) for name, function in cell.functions.items()},
    }


def cell_from_json(given: Any) -> CellProgram:
    """A cell that `cell_to_json` wrote.

    Raises:
        RunError: it is no such thing (the message says what is wrong).
    """
    given = read_table(given, "a cell", ("weights", *_CELL_FUNCTIONS))
    weights = read_types(given["weights"], "weights")
    if any(isinstance(side, str) for type in weights.values() for side in type.shape):
        raise RunError("a weight has a free size")
    return CellProgram(
        **{name: function_from_json(given[name], name, weights) for name in _CELL_FUNCTIONS}
    ).check()


def function_from_json(given: Any, name: str, weights: Mapping[str, Type]) -> Function:
    """A function that `function_to_json` wrote.

    Args:
        name: for messages.
        weights: the types of all weights; the function keeps those that it reads.
    Raises:
        RunError: it is no such thing.
    """
    given = read_table(given, name, ("inputs", "nodes", "outputs"))
    listed = read_list(given["nodes"], f"{name}: nodes", _MOST_NODES)
    nodes = tuple(_node(node, f"{name}: node {number}") for number, node in enumerate(listed))
    inputs = read_types(given["inputs"], f"{name}: inputs")
    outputs = _operands(given["outputs"], f"{name}: outputs")
    try:
        return Function(inputs, weights_read(weights, nodes, outputs), nodes, outputs)
    except RunError as error:
        # Names and attributes come from the file, and may be of any length.
        raise RunError(f"{name}: {error}"[:_LONGEST_MESSAGE]) from None


def _node(given: Any, what: str) -> Node:
    given = read_list(given, what, 4)
    if len(given) != 4 or not all(map(is_name, given[:2])):
        raise RunError(f"{what} is not [name, operation, operands, attributes]")
    if not isinstance(given[3], dict):
        raise RunError(f"{what}: the attributes are no table")
    return Node(given[0], given[1], _operands(given[2], what), given[3])


def _operands(given: Any, what: str) -> tuple[Operand, ...]:
    operands = read_list(given, what, 64)
    for operand in operands:
        number = isinstance(operand, (int, float)) and not isinstance(operand, bool)
        if not (is_name(operand) or (number and abs(operand) < 3e38)):
            raise RunError(f"{what}: {operand!r:.40} is no operand")
    return tuple(operands)


def read_types(given: Any, what: str) -> dict[str, Type]:
    """Types by name, written as [dtype, shape].

    Raises:
        RunError: they are none.
    """
    if not isinstance(given, dict) or len(given) > _MOST_NODES:
        raise RunError(f"{what} is no table of types")
    types = {}
    for name, entry in given.items():
        if not is_name(name):
            raise RunError(f"{what}: {name!r:.40} is no name")
        if not isinstance(entry, list) or len(entry) != 2 or entry[0] not in _DTYPES:
            raise RunError(f"{what}: {name!r} has no type")
        sides = read_list(entry[1], f"{what}: {name!r}", 8)
        for side in sides:
            whole = isinstance(side, int) and not isinstance(side, bool) and 0 <= side <= _MOST_ELEMENTS
            if not whole and not (isinstance(side, str) and _FREE.fullmatch(side)):
                raise RunError(f"{what}: {name!r} has a size {side!r:.40}")
        types[name] = Type(entry[0], tuple(sides))
        if count(types[name].shape)[0] > _MOST_ELEMENTS:
            raise RunError(f"{what}: {name!r} is too large: {types[name].shape}")
    return types


def is_name(given: Any) -> bool:
    """Whether something from a file is a name."""
    return isinstance(given, str) and len(given) <= _LONGEST_NAME and given.isprintable()


def read_table(given: Any, what: str, names: Sequence[str]) -> dict[str, Any]:
    """Something from a file, if it is a table with these names.

    Raises:
        RunError: it is not.
    """
    if not isinstance(given, dict) or set(given) != set(names):
        raise RunError(f"{what} is not a table of {', '.join(names)}")
    return given


def read_list(given: Any, what: str, most: int) -> list[Any]:
    """Something from a file, if it is a list that is not too long.

    Raises:
        RunError: it is not.
    """
    if not isinstance(given, list) or len(given) > most:
        raise RunError(f"{what} is no list, or too long a one")
    return given
