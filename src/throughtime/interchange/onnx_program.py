"""Programs in ONNX's operators, one to one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from throughtime.interchange.graph import Graph
from throughtime.program.program import WEIGHT, CellProgram, Function, Node, Operand, state_names

_SAME = {
    **{"neg": "Neg", "abs": "Abs", "exp": "Exp", "log": "Log", "sqrt": "Sqrt", "sigmoid": "Sigmoid"},
    **{"tanh": "Tanh", "relu": "Relu", "softplus": "Softplus", "erf": "Erf", "add": "Add", "sub": "Sub"},
    **{"mul": "Mul", "div": "Div", "max": "Max", "min": "Min", "less": "Less", "less_equal": "LessOrEqual"},
    **{"equal": "Equal", "and": "And", "or": "Or", "not": "Not", "where": "Where", "matmul": "MatMul"},
}
_REDUCTIONS = {"mean": "ReduceMean", "amax": "ReduceMax", "amin": "ReduceMin"}


class OnnxProgramCell:
    """A cell's program, whose weights go into the graph once, wherever it is used.

    Args:
        graph: the outermost graph.
        program: of the cell.
        weights: its weights by the names that they have in it.
    """

    def __init__(self, graph: Graph, program: CellProgram, weights: Mapping[str, NDArray[Any]]) -> None:
        self.program = program
        self._arrays = weights
        self._graph = graph
        self._kept: dict[tuple[str, bool], str] = {}

    def project(self, graph: Graph, inputs: str) -> str:
        """The part without the state: (..., I) to (..., P)."""
        # A program's rows have one axis in front: time and batch become one, and two again.
        width = self.program.step.inputs["projected"].shape[1]
        rows = graph.node("Reshape", inputs, graph.numbers(-1, self.program.input_size))
        (flat,) = self._run(graph, self.program.project, {"inputs": rows})
        leading = graph.node("Shape", inputs, start=0, end=-1)
        return graph.node("Reshape", flat, graph.join([leading, graph.numbers(int(width))], axis=0))

    def step(self, graph: Graph, projected: str, state: list[str]) -> tuple[str, list[str]]:
        """One step: (B, P) and the state (B, S) to the output and the new state."""
        inputs = {"projected": projected, **dict(zip(state_names(len(state)), state, strict=True))}
        output, *new = self._run(graph, self.program.step, inputs)
        return output, new

    def _run(self, graph: Graph, function: Function, inputs: Mapping[str, str]) -> list[str]:
        values = dict(inputs)

        def value_of(operand: Operand, turned: bool = False) -> str:
            if not isinstance(operand, str):
                return graph.scalar(operand)
            if operand.startswith(WEIGHT):
                return self._weight(operand.removeprefix(WEIGHT), turned)
            return graph.node("Transpose", values[operand], perm=[1, 0]) if turned else values[operand]

        for node in function.nodes:
            # MatMul wants matrices with a column for each output.
            places = [
                (operand, node.operation == "linear" and k == 1) for k, operand in enumerate(node.operands)
            ]
            operands = [value_of(*place) for place in places]
            values[node.name] = self._node(graph, function, node, operands)
        return [value_of(operand) for operand in function.outputs]

    def _weight(self, name: str, turned: bool) -> str:
        if (name, turned) not in self._kept:
            array = np.asarray(self._arrays[name], np.float32)
            self._kept[name, turned] = self._graph.weight(array.T if turned else array, name)
        return self._kept[name, turned]

    def _node(self, graph: Graph, function: Function, node: Node, operands: list[str]) -> str:
        operation, attributes = node.operation, node.attributes
        if operation in _SAME:
            return graph.node(_SAME[operation], *operands)
        if operation == "linear":
            product = graph.node("MatMul", *operands[:2])
            return graph.node("Add", product, operands[2]) if len(operands) == 3 else product
        if operation == "sum":
            return graph.node("ReduceSum", operands[0], graph.numbers(attributes["axis"]), keepdims=1)
        if operation in _REDUCTIONS:
            return graph.node(_REDUCTIONS[operation], operands[0], axes=[attributes["axis"]], keepdims=1)
        if operation == "softmax":
            return graph.node("Softmax", operands[0], axis=attributes["axis"])
        if operation == "layer_norm":
            if len(operands) == 1:
                width = function.type_of(node.operands[0]).shape[-1]
                operands = [*operands, graph.weight(np.ones(int(width), np.float32), "ones")]
            return graph.node("LayerNormalization", *operands, axis=-1, epsilon=attributes["epsilon"])
        if operation == "reshape":
            sides = [side if isinstance(side, int) else -1 for side in attributes["shape"]]
            return graph.node("Reshape", operands[0], graph.numbers(*sides))
        if operation == "expand":
            # A size of 1 keeps the other operand's: the batch's axis is there already, or broadcasts later.
            sides = [side if isinstance(side, int) else 1 for side in attributes["shape"]]
            return graph.node("Expand", operands[0], graph.numbers(*sides))
        if operation == "permute":
            return graph.node("Transpose", operands[0], perm=list(attributes["order"]))
        if operation == "slice":
            ends = [graph.numbers(attributes[name]) for name in ("start", "stop", "axis")]
            return graph.node("Slice", operands[0], *ends)
        if operation == "concat":
            return graph.node("Concat", *operands, axis=attributes["axis"])
        assert operation == "full_like"
        return graph.node("Expand", graph.scalar(attributes["value"]), graph.node("Shape", operands[0]))
