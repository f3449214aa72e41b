"""A program's operations in ONNX's operators, one to one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from throughtime.interchange.graph import Graph
from throughtime.program.program import WEIGHT, Function, Node, Operand

_SAME = {
    **{"neg": "Neg", "abs": "Abs", "exp": "Exp", "log": "Log", "sqrt": "Sqrt", "sigmoid": "Sigmoid"},
    **{"tanh": "Tanh", "relu": "Relu", "softplus": "Softplus", "erf": "Erf", "add": "Add", "sub": "Sub"},
    **{"mul": "Mul", "div": "Div", "max": "Max", "min": "Min", "less": "Less", "less_equal": "LessOrEqual"},
    **{"equal": "Equal", "and": "And", "or": "Or", "not": "Not", "where": "Where", "matmul": "MatMul"},
}
_REDUCTIONS = {"mean": "ReduceMean", "amax": "ReduceMax", "amin": "ReduceMin"}
_FLOAT = 1  # onnx.TensorProto.FLOAT, which is not imported before it is needed

Shaped = Callable[[Sequence[int | str]], str]
Scan = Callable[[Node, Sequence[str]], list[str]]


class Weights:
    """A network's tensors in a graph: each goes into it once, turned or as it is, wherever it is used.

    Args:
        graph: the outermost graph.
        arrays: by name.
    """

    def __init__(self, graph: Graph, arrays: Mapping[str, NDArray[Any]]) -> None:
        self._graph = graph
        self._arrays = arrays
        self._kept: dict[tuple[str, bool], str] = {}

    def __call__(self, name: str, turned: bool) -> str:
        """The value that a tensor is, transposed where it is to be multiplied from the right."""
        if (name, turned) not in self._kept:
            array = np.asarray(self._arrays[name], np.float32)
            self._kept[name, turned] = self._graph.weight(array.T if turned else array, name)
        return self._kept[name, turned]


def convert(
    graph: Graph,
    function: Function,
    inputs: Mapping[str, str],
    weights: Callable[[str, bool], str],
    shaped: Shaped,
    scan: Scan | None = None,
) -> list[str]:
    """Write a function's nodes into a graph.

    Args:
        graph: the graph.
        function: the nodes.
        inputs: values by the names of the function's inputs.
        weights: (name, whether transposed) -> value.
        shaped: sides, of which some are free -> the shape as a value.
        scan: writes the nodes that are scans: the outputs, and the state after.
    Returns:
        The values of the outputs.
    """
    values = dict(inputs)

    def value_of(operand: Operand, integer: bool = False, turned: bool = False) -> str:
        if not isinstance(operand, str):
            return graph.scalar(int(operand) if integer else operand, "int64" if integer else "float32")
        if operand.startswith(WEIGHT):
            return weights(operand.removeprefix(WEIGHT), turned)
        return graph.node("Transpose", values[operand], perm=[1, 0]) if turned else values[operand]

    for node in function.nodes:
        types = [function.type_of(operand).dtype for operand in node.operands]
        integer = "int64" in types and "float32" not in types
        # MatMul wants matrices with a column for each output.
        operands = [
            value_of(operand, integer, node.operation == "linear" and place == 1)
            for place, operand in enumerate(node.operands)
        ]
        if node.operation == "scan" and scan is not None:
            for number, value in enumerate(scan(node, operands)):
                values[node.name if number == 0 else f"{node.name}.{number - 1}"] = value
        else:
            values[node.name] = _node(graph, function, node, operands, shaped)
    return [value_of(operand) for operand in function.outputs]


def _node(graph: Graph, function: Function, node: Node, operands: list[str], shaped: Shaped) -> str:
    operation, attributes = node.operation, node.attributes
    if operation in _SAME:
        return graph.node(_SAME[operation], *operands)
    if operation in _RULES:
        return _RULES[operation](graph, operands, attributes)
    if operation in _REDUCTIONS:
        return graph.node(_REDUCTIONS[operation], operands[0], axes=[attributes["axis"]], keepdims=1)
    shape = list(function.type_of(node.operands[0]).shape) if node.operands else []
    if operation == "layer_norm":
        if len(operands) == 1:
            operands = [*operands, graph.weight(np.ones(int(shape[-1]), np.float32), "ones")]
        return graph.node("LayerNormalization", *operands, axis=-1, epsilon=attributes["epsilon"])
    if operation == "take":
        if len(operands) == 2:
            return graph.node("Gather", *operands, axis=0)
        indices = [graph.node("Unsqueeze", index, graph.numbers(-1)) for index in operands[1:]]
        return graph.node("GatherND", operands[0], graph.join(indices, axis=-1))
    if operation == "grid_means":
        # Adaptive pooling is a product with a matrix of means from both sides; its cells may overlap.
        rows, columns = (
            _means(int(side), cells)
            for side, cells in zip(shape[2:], (attributes["rows"], attributes["columns"]), strict=True)
        )
        down = graph.node("MatMul", graph.weight(rows, "rows"), operands[0])
        return graph.node("MatMul", down, graph.weight(columns.T, "columns"))
    if operation == "range":
        end = graph.node("Squeeze", shaped(attributes["shape"]), graph.numbers(0))
        return graph.node("Range", graph.scalar(0, "int64"), end, graph.scalar(1, "int64"))
    assert operation in ("reshape", "expand")
    return graph.node(operation.title(), operands[0], shaped(attributes["shape"]))


def _linear(graph: Graph, operands: list[str], attributes: Mapping[str, Any]) -> str:
    product = graph.node("MatMul", *operands[:2])
    return graph.node("Add", product, operands[2]) if len(operands) == 3 else product


def _slice(graph: Graph, operands: list[str], attributes: Mapping[str, Any]) -> str:
    ends = [graph.numbers(attributes[name]) for name in ("start", "stop", "axis")]
    return graph.node("Slice", operands[0], *ends)


def _conv2d(graph: Graph, operands: list[str], attributes: Mapping[str, Any]) -> str:
    return graph.node(
        "Conv",
        *operands,
        strides=list(attributes["stride"]),
        pads=list(attributes["padding"]) * 2,
        group=attributes["groups"],
    )


def _one_hot(graph: Graph, operands: list[str], attributes: Mapping[str, Any]) -> str:
    values = graph.weight(np.array([0, 1], dtype=np.float32), "zero_one")
    return graph.node("OneHot", operands[0], graph.scalar(attributes["classes"], "int64"), values, axis=-1)


def _means(size: int, cells: int) -> NDArray[np.float32]:
    """(cells, size): torch.nn.AdaptiveAvgPool2d along one axis."""
    means = np.zeros((cells, size), np.float32)
    for row in range(cells):
        begin, end = row * size // cells, -(-(row + 1) * size // cells)
        means[row, begin:end] = 1 / (end - begin)
    return means


_RULES: dict[str, Callable[[Graph, list[str], Mapping[str, Any]], str]] = {
    "linear": _linear,
    "slice": _slice,
    "conv2d": _conv2d,
    "one_hot": _one_hot,
    "sum": lambda graph, operands, a: graph.node(
        "ReduceSum", operands[0], graph.numbers(a["axis"]), keepdims=1
    ),
    "softmax": lambda graph, operands, a: graph.node("Softmax", operands[0], axis=a["axis"]),
    "permute": lambda graph, operands, a: graph.node("Transpose", operands[0], perm=list(a["order"])),
    "concat": lambda graph, operands, a: graph.node("Concat", *operands, axis=a["axis"]),
    "float": lambda graph, operands, a: graph.node("Cast", operands[0], to=_FLOAT),
    "pad": lambda graph, operands, a: graph.node(
        "Pad", operands[0], graph.numbers(*a["before"], *a["after"]), graph.scalar(0.0)
    ),
    "full_like": lambda graph, operands, a: graph.node(
        "Expand", graph.scalar(a["value"]), graph.node("Shape", operands[0])
    ),
}
