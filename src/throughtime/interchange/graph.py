"""A small builder of ONNX graphs: nodes are written like calls, names are found by themselves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from throughtime.errors import MissingExtraError, OptionError, RunError
from throughtime.extras import install_command
from throughtime.program.network import Port

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, ValueInfoProto

# The lowest opset with LayerNormalization: onnxruntime 1.13 and newer, and most other runtimes, can read it.
OPSET = 17
# The version of the file format that came with that opset; a newer one would shut out older runtimes.
IR_VERSION = 8
# Protocol buffers cannot be longer.
_MOST_BYTES = 2**31 - 2**20

FLOAT = "float32"


class Graph:
    """A graph in the making. Values are the names of the tensors that nodes give out.

    Example:
        graph = Graph()
        x = graph.input(Port("x", FLOAT, ("B", 3), "what is doubled"))
        graph.output(graph.node("Add", x, x), Port("y", FLOAT, ("B", 3), "twice x"))
        model = graph.model("double")

    Args:
        parent: of the body of a Scan, the graph around it: its values can be used inside.
    """

    def __init__(self, parent: Graph | None = None) -> None:
        self._root: Graph = self if parent is None else parent._root
        self._nodes: list[Any] = []
        self._inputs: list[ValueInfoProto] = []
        self._outputs: list[ValueInfoProto] = []
        self._constants: list[Any] = []
        self._known: dict[tuple[str, tuple[int, ...], bytes], str] = {}
        self._count = 0
        self.inputs: list[Port] = []
        self.outputs: list[Port] = []

    def input(self, port: Port) -> str:
        """Declare an input."""
        self._inputs.append(_value_info(port.name, port.dtype, port.shape))
        self.inputs.append(port)
        return port.name

    def output(self, value: str, port: Port) -> None:
        """Give a value out under the port's name."""
        self._nodes.append(_helper().make_node("Identity", [value], [port.name]))
        self._outputs.append(_value_info(port.name, port.dtype, port.shape))
        self.outputs.append(port)

    def weight(self, array: NDArray[Any], name: str) -> str:
        """An array that is part of the model; `name` helps whoever looks at the graph."""
        return self._root._add_constant(np.ascontiguousarray(array), name)

    def numbers(self, *values: int) -> str:
        """A small array of int64: the shapes and axes that operators take as inputs."""
        array = np.array(values, dtype=np.int64)
        return self._root._add_small(array, "numbers")

    def scalar(self, value: float, dtype: str = FLOAT) -> str:
        """One number."""
        return self._root._add_small(np.array(value, dtype=dtype), "scalar")

    def node(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """Apply an operator that gives out one value; "" stands for an input that is left out."""
        return self.nodes(operator, 1, *inputs, **attributes)[0]

    def nodes(self, operator: str, count: int, *inputs: str, **attributes: Any) -> list[str]:
        """Apply an operator that gives out `count` values."""
        outputs = [self._root._name(operator.lower()) for _ in range(count)]
        self._nodes.append(_helper().make_node(operator, list(inputs), outputs, **attributes))
        return outputs

    def split(self, value: str, sizes: Sequence[int], axis: int) -> list[str]:
        """Cut a value along an axis."""
        if len(sizes) == 1:
            return [value]
        return self.nodes("Split", len(sizes), value, self.numbers(*sizes), axis=axis)

    def join(self, values: Sequence[str], axis: int) -> str:
        """Concatenate along an axis."""
        return values[0] if len(values) == 1 else self.node("Concat", *values, axis=axis)

    def scan(
        self,
        body: Graph,
        state: Sequence[str],
        sequences: Sequence[str],
        outputs: int,
        backward: bool,
    ) -> list[str]:
        """Run a graph through time.

        Args:
            body: its inputs are the state's tensors and one step of each sequence; its outputs the new state
                and one step of each sequence that comes out.
            state: before the first step.
            sequences: (T, ...) each.
            outputs: how many sequences come out.
            backward: from the last step to the first.
        Returns:
            The state after the last step, then the sequences.
        """
        return self.nodes(
            "Scan",
            len(state) + outputs,
            *state,
            *sequences,
            body=body._graph("step"),
            num_scan_inputs=len(sequences),
            scan_input_directions=[int(backward)] * len(sequences),
            scan_output_directions=[int(backward)] * outputs,
        )

    def body_input(self, name: str, dtype: str, shape: tuple[int | str, ...]) -> str:
        """An input of a Scan's body."""
        name = self._root._name(name)
        self._inputs.append(_value_info(name, dtype, shape))
        return name

    def body_output(self, value: str, dtype: str, shape: tuple[int | str, ...]) -> None:
        """An output of a Scan's body."""
        name = self.node("Identity", value)
        self._outputs.append(_value_info(name, dtype, shape))

    def model(self, name: str, about: dict[str, str] | None = None) -> ModelProto:
        """The finished model, checked by onnx.

        Args:
            name: of the graph.
            about: goes to the file's metadata.
        Raises:
            OptionError: it is larger than an ONNX file can be.
            RunError: its parts do not fit each other: the weights are of another network.
        """
        import onnx

        size = sum(len(constant.raw_data) for constant in self._constants)
        if size > _MOST_BYTES:
            raise OptionError(f"the model has {size / 1e9:.1f} GB of weights, and an ONNX file holds 2 GB")
        model = onnx.helper.make_model(
            self._graph(name),
            producer_name="throughtime",
            ir_version=IR_VERSION,
            opset_imports=[onnx.helper.make_opsetid("", OPSET)],
        )
        onnx.helper.set_model_props(model, about or {})
        try:
            onnx.checker.check_model(model, full_check=True)
        except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
            said = " ".join(str(error).split())
            raise RunError(
                f"{name} is no valid graph: do the weights belong to this network? ({said:.200})"
            ) from None
        return model

    def _graph(self, name: str) -> GraphProto:
        return _helper().make_graph(self._nodes, name, self._inputs, self._outputs, self._constants)

    def _name(self, hint: str) -> str:
        self._count += 1
        return f"{hint}_{self._count}"

    def _add_constant(self, array: NDArray[Any], hint: str) -> str:
        from onnx import numpy_helper

        name = self._name(hint)
        self._constants.append(numpy_helper.from_array(array, name))
        return name

    def _add_small(self, array: NDArray[Any], hint: str) -> str:
        """The same number is stored once."""
        key = (str(array.dtype), array.shape, array.tobytes())
        if key not in self._known:
            self._known[key] = self._add_constant(array, hint)
        return self._known[key]


def require_onnx() -> None:
    """Raise MissingExtraError where onnx is not installed."""
    try:
        import onnx  # noqa: F401
    except ImportError:
        raise MissingExtraError(
            f"export to ONNX needs onnx: install it with `{install_command('export')}`"
        ) from None


def _helper() -> Any:
    from onnx import helper

    return helper


def _value_info(name: str, dtype: str, shape: tuple[int | str, ...]) -> ValueInfoProto:
    from onnx import helper

    element = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    return helper.make_tensor_value_info(name, element, shape)
