"""A network's functions as ONNX graphs."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from throughtime.interchange.graph import Graph
from throughtime.interchange.onnx_operations import Weights, convert
from throughtime.interchange.onnx_recurrence import Lengths, OnnxRecurrence, lengths_of
from throughtime.program.network import Functions, NamedFunction, NetworkProgram, Port
from throughtime.program.program import Node

STEP, SEQUENCE, ENCODER, SPELL, BEGIN = "step", "sequence", "encoder", "spell", "begin"

# What is one at a time where time is dropped.
_SINGULAR = {"tokens": "token", "frames": "frame"}


@dataclass(frozen=True)
class GraphPlan:
    """Which functions a graph is made of.

    Args:
        functions: their names; each reads what those before it gave.
        dropped: letters of sizes that are 1 here, and whose axes its ports do not have: a step is a sequence
            without T.
    """

    functions: tuple[str, ...]
    dropped: str = ""

    def ports(self, functions: Mapping[str, NamedFunction]) -> tuple[list[Port], list[Port]]:
        """The inputs and the outputs of the graph."""
        inputs: dict[str, Port] = {}
        outputs: dict[str, Port] = {}
        for name in self.functions:
            named = functions[name]
            inputs |= {port.name: port for port in named.inputs if port.name not in outputs}
            read = {port.name for port in named.inputs}
            outputs = {name: port for name, port in outputs.items() if name not in read}
            outputs |= {port.name: port for port in named.outputs}
        kept = [port for port in inputs.values() if not self._says_nothing(port)]
        return [self._without(port) for port in kept], [self._without(port) for port in outputs.values()]

    def inner(self, port: Port) -> str:
        """The name that a function has for an input of the graph."""
        plural = {singular: name for name, singular in _SINGULAR.items()}
        return plural.get(port.name, port.name) if "T" in self.dropped else port.name

    def axes(self, port: Port) -> list[int]:
        """The axes of a function's port that the graph's port lacks."""
        return [axis for axis, side in enumerate(port.shape) if str(side) in (*self.dropped,)]

    def _says_nothing(self, port: Port) -> bool:
        """Lengths of what has one step."""
        return isinstance(port.below, str) and port.below in self.dropped

    def _without(self, port: Port) -> Port:
        axes = self.axes(port)
        shape = tuple(side for axis, side in enumerate(port.shape) if axis not in axes)
        return replace(port, name=_SINGULAR.get(port.name, port.name) if axes else port.name, shape=shape)


# Of each task: its graphs.
PLANS: dict[str, dict[str, GraphPlan]] = {
    "language-model": {STEP: GraphPlan(("sequence",), "T"), SEQUENCE: GraphPlan(("sequence",))},
    "classifier": {SEQUENCE: GraphPlan(("sequence",))},
    "tagger": {STEP: GraphPlan(("encode", "tag"), "T"), SEQUENCE: GraphPlan(("encode", "tag"))},
    "transcriber": {STEP: GraphPlan(("score",), "T"), SEQUENCE: GraphPlan(("score",))},
    "translator": {ENCODER: GraphPlan(("encoder",)), STEP: GraphPlan(("step",), "W")},
    "captioner": {ENCODER: GraphPlan(("encoder",)), STEP: GraphPlan(("step",))},
    "word-tagger": {SPELL: GraphPlan(("spell",)), SEQUENCE: GraphPlan(("score",))},
    "forecaster": {SEQUENCE: GraphPlan(("forecast",))},
}


def plans_of(task: str, program: NetworkProgram) -> tuple[dict[str, GraphPlan], dict[str, str]]:
    """The graphs that a network has, and those that it lacks with the reason."""
    plans, missing = dict(PLANS[task]), {}
    if "begin" in program.functions and task == "language-model":
        plans[BEGIN] = GraphPlan((BEGIN,))
    if task == "classifier":
        missing[STEP] = "a classifier answers once the whole sequence is read: use sequence.onnx"
    if task == "word-tagger" and "spell" not in program.functions:
        del plans[SPELL]
        missing[SPELL] = "it reads no characters: sequence.onnx reads words alone"
    if task == "forecaster" and "forecast" not in program.functions:
        plans = {ENCODER: GraphPlan(("read",)), STEP: GraphPlan(("step",))}
        missing[SEQUENCE] = (
            "its decoder is autoregressive: encoder.onnx reads a window, step.onnx says a step"
        )
    elif task == "forecaster":
        missing[STEP] = "its decoder says all steps at once: use sequence.onnx"
    reads_both_ways = any(recurrence.directions == 2 for recurrence in program.recurrences.values())
    if reads_both_ways and task in ("tagger", "transcriber"):
        del plans[STEP]
        missing[STEP] = f"a bidirectional {task} needs the frames that come after: use sequence.onnx"
    return plans, missing


def build_graph(program: NetworkProgram, plan: GraphPlan, arrays: Mapping[str, NDArray[Any]]) -> Graph:
    """Write a graph.

    Args:
        program: of the network.
        plan: which of its functions.
        arrays: its weights.
    """
    graph = Graph()
    inputs, outputs = plan.ports(program.functions)
    weights = Weights(graph, arrays)
    values: dict[str, str] = {}
    given = {port.name: port for name in plan.functions for port in program.functions[name].inputs}
    for port in inputs:
        value = graph.input(port)
        axes = plan.axes(given[plan.inner(port)])
        values[plan.inner(port)] = graph.node("Unsqueeze", value, graph.numbers(*axes)) if axes else value
    recurrences: dict[str, OnnxRecurrence] = {}

    def recurrence(name: str) -> OnnxRecurrence:
        if name not in recurrences:
            recurrences[name] = OnnxRecurrence(graph, program, name, arrays)
        return recurrences[name]

    for name in plan.functions:
        named = program.functions[name]
        sizes = _Sizes(graph, named, values, plan.dropped)
        scan = _Scan(graph, named, sizes, recurrence)
        known = {port.name: values.get(port.name, "") for port in named.inputs}
        found = convert(graph, named.function, known, weights, sizes, scan)
        values |= {port.name: value for port, value in zip(named.outputs, found, strict=True)}
    last = {port.name: port for name in plan.functions for port in program.functions[name].outputs}
    for port in outputs:
        axes = plan.axes(last[port.name])
        value = values[port.name]
        graph.output(graph.node("Squeeze", value, graph.numbers(*axes)) if axes else value, port)
    return graph


class _Scan:
    """Writes the scans of a function: a step where the time is dropped, else a whole sequence.

    Args:
        graph: the graph.
        named: the function.
        sizes: of this graph.
        recurrence: its recurrences by name.
    """

    def __init__(
        self, graph: Graph, named: NamedFunction, sizes: _Sizes, recurrence: Callable[[str], OnnxRecurrence]
    ) -> None:
        self._graph, self._named, self._sizes, self._recurrence = graph, named, sizes, recurrence
        self._lengths: dict[str, Lengths] = {}

    def __call__(self, node: Node, operands: Sequence[str]) -> list[str]:
        graph, inputs = self._graph, operands[0]
        recurrence, has_lengths = self._recurrence(node.attributes["recurrence"]), node.attributes["lengths"]
        state = list(operands[1 : len(operands) - has_lengths])
        if self._sizes.is_one(self._named.function.type_of(node.operands[0]).shape[0]):
            axis = graph.numbers(0)
            row = graph.node("Squeeze", inputs, axis)
            state = state or recurrence.initial_state(graph.node("Shape", row, start=0, end=1))
            output, after = recurrence.step(row, state)
            return [graph.node("Unsqueeze", output, axis), *after]
        lengths = None
        if has_lengths:
            if operands[-1] not in self._lengths:
                self._lengths[operands[-1]] = lengths_of(graph, operands[-1], inputs)
            lengths = self._lengths[operands[-1]]
        output, after = recurrence.run(inputs, state or None, lengths)
        return [output, *after]


class _Sizes:
    """Shapes with free sides as values of a graph.

    Args:
        graph: the graph.
        named: the function, whose ports say where a letter can be read off.
        values: of its inputs.
        dropped: letters that stand for 1.
    """

    def __init__(self, graph: Graph, named: NamedFunction, values: Mapping[str, str], dropped: str) -> None:
        self._graph, self._named, self._values, self._dropped = graph, named, values, dropped
        self._found: dict[str, str] = {}

    def is_one(self, side: int | str) -> bool:
        """Whether a side is 1 in this graph."""
        return self._parts(side) == []

    def __call__(self, sides: Sequence[int | str]) -> str:
        parts = [self._parts(side) for side in sides]
        if not any(isinstance(part, str) for side in parts for part in side):
            return self._graph.numbers(*(math.prod(map(int, side)) for side in parts))
        return self._graph.join([self._side(side) for side in parts], axis=0)

    def _parts(self, side: int | str) -> list[int | str]:
        if isinstance(side, int):
            return [side] if side != 1 else []
        parts = [part for part in side.split("*") if part not in self._dropped]
        return [int(part) if part.isdigit() else part for part in parts]

    def _side(self, parts: Sequence[int | str]) -> str:
        """An array of one number."""
        values = [
            self._letter(part) if isinstance(part, str) else self._graph.numbers(part) for part in parts
        ]
        product = values[0] if values else self._graph.numbers(1)
        for value in values[1:]:
            product = self._graph.node("Mul", product, value)
        return product

    def _letter(self, letter: str) -> str:
        if letter not in self._found:
            port, axis = next(
                (port, port.shape.index(letter))
                for port in self._named.inputs
                if letter in port.shape and self._values.get(port.name)
            )
            value = self._values[port.name]
            self._found[letter] = self._graph.node("Shape", value, start=axis, end=axis + 1)
        return self._found[letter]


def call_graph(
    network: Functions, plan: GraphPlan, functions: Mapping[str, NamedFunction], inputs: Mapping[str, Any]
) -> dict[str, NDArray[Any]]:
    """What a network says to the inputs of a graph: the other side of a comparison.

    Args:
        network: computes the functions.
        plan: of the graph.
        functions: with their ports.
        inputs: by the names of the graph's ports.
    """
    ports, outputs = plan.ports(functions)
    values = {plan.inner(port): np.asarray(inputs[port.name]) for port in ports}
    found: dict[str, Port] = {}
    for name in plan.functions:
        named = functions[name]
        rows = next(iter(inputs.values())).shape[0]
        for port in named.inputs:
            if port.name not in values:  # lengths of what has one step
                values[port.name] = np.ones(rows, np.int64)
            elif values[port.name].ndim < len(port.shape):
                values[port.name] = np.expand_dims(values[port.name], tuple(plan.axes(port)))
        values |= network(name, {port.name: values[port.name] for port in named.inputs})
        found |= {port.name: port for port in named.outputs}
    return {port.name: np.squeeze(values[port.name], tuple(plan.axes(found[port.name]))) for port in outputs}
