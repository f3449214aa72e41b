"""ONNX Runtime as a peer of benchmarks/step.py, in the ways that someone who knows it would try.

The embedding lies inside the graph, the state stays in buffers bound once and used in turns (an output may
not be written over the input it depends on), and a step is one `run_with_iobinding` that allocates nothing.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from step_model import GATES, Weights

# torch.nn stacks an LSTM's gates i, f, g, o and ONNX i, o, f, g; a GRU's r, z, n are z, r, n there.
OPERATOR_ORDER = {"lstm": (0, 3, 1, 2), "gru": (1, 0, 2), "rnn": (0,)}
# By hand, gates with the same activation lie side by side, so that one node does them all.
UNROLLED_ORDER = {"lstm": (0, 1, 3, 2), "gru": (0, 1, 2), "rnn": (0,)}


def reordered(rows: NDArray[np.float32], cell: str, order: dict[str, tuple[int, ...]]) -> NDArray[np.float32]:
    """The blocks of rows, one for each gate, in another order."""
    blocks = np.split(rows, GATES[cell])
    return np.ascontiguousarray(np.concatenate([blocks[gate] for gate in order[cell]]))


class Graph:
    """A step's graph as it is built; `node` adds one and names its output."""

    def __init__(self, weights: Weights, unrolled: bool, product: str) -> None:
        self.weights = weights
        self.setup = weights.setup
        self.product = product
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        final = self._unrolled() if unrolled else self._operators()
        self.linear(
            final, weights.tensors["output.weight"], self.constant(weights.tensors["output.bias"]), "logits"
        )

    def constant(self, value: NDArray[Any]) -> str:
        name = f"constant{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def node(self, kind: str, *inputs: str, out: str | list[str] | None = None, **attributes: Any) -> str:
        outputs = out if isinstance(out, list) else [out or f"value{len(self.nodes)}"]
        self.nodes.append(helper.make_node(kind, list(inputs), outputs, **attributes))
        return outputs[0]

    def linear(self, x: str, weight: NDArray[np.float32], bias: str, out: str | None = None) -> str:
        """x W^T + bias. Gemm is one node, but the quantiser wants MatMul."""
        if self.product == "blocks":
            return self.node("Add", self._block_product(x, weight), bias, out=out)
        matrix = self.constant(weight.T)
        if self.product == "gemm":
            return self.node("Gemm", x, matrix, bias, out=out)
        return self.node("Add", self.node("MatMul", x, matrix), bias, out=out)

    def _block_product(self, x: str, weight: NDArray[np.float32]) -> str:
        """x W^T with W in 8 bits, a scale for every 32 of a row: the operator made for language models."""
        rows, columns = weight.shape
        size = 32
        blocks = weight.reshape(rows, columns // size, size)
        scales = np.maximum(np.abs(blocks).max(2), 1e-12) / 127
        codes = (np.rint(blocks / scales[..., None]) + 128).astype(np.uint8)
        constants = [self.constant(codes), self.constant(scales.reshape(-1))]
        # Level 4 lets the kernel quantise the activations and multiply integers.
        sizes = {"K": columns, "N": rows, "bits": 8, "block_size": size, "accuracy_level": 4}
        return self.node("MatMulNBits", x, *constants, domain="com.microsoft", **sizes)

    def _operators(self) -> str:
        """ONNX's own recurrent operators, one a layer, over a sequence of one step."""
        cell, hidden = self.setup.cell, self.setup.hidden
        tokens = self.node("Unsqueeze", "tokens", self.constant(np.array([0])))
        x = self.node("Gather", self.constant(self.weights.inputs), tokens)
        for layer in range(self.setup.layers):
            parts = [reordered(part, cell, OPERATOR_ORDER) for part in self.weights.cell(layer)]
            constants = [
                self.constant(value[None]) for value in (*parts[:2], np.concatenate([parts[2], parts[3]]))
            ]
            # The state keeps the operator's own layout, (directions, B, H): no reshaping.
            states = [f"state{layer}_{part}" for part in range(self.setup.states)]
            news = [f"new_{name}" for name in states]
            extra = {"linear_before_reset": 1} if cell == "gru" else {}
            self.node(cell.upper(), x, *constants, "", *states, out=["", *news], hidden_size=hidden, **extra)
            x = news[0]
        return self.node("Squeeze", x, self.constant(np.array([0])))

    def _unrolled(self) -> str:
        """Plain products; the first layer's input product is a table with a row for each token."""
        cell = self.setup.cell
        below = ""
        for layer in range(self.setup.layers):
            names = [f"state{layer}_{part}" for part in range(self.setup.states)]
            w_ih, w_hh, b_ih, b_hh = (
                reordered(part, cell, UNROLLED_ORDER) for part in self.weights.cell(layer)
            )
            table = reordered(self.weights.input_table().T, cell, UNROLLED_ORDER).T
            if cell == "gru":
                if layer:
                    projected = self.linear(below, w_ih, self.constant(b_ih))
                else:
                    projected = self.node("Gather", self.constant(table), "tokens")
                recurrent = self.linear(names[0], w_hh, self.constant(b_hh))
                below = self._gru(projected, recurrent, names[0])
                continue
            if layer:
                # One product with both matrices side by side reads as much and starts half as often.
                joined = self.node("Concat", below, names[0], axis=1)
                gates = self.linear(joined, np.concatenate([w_ih, w_hh], 1), self.constant(b_ih + b_hh))
            else:
                row = self.node("Gather", self.constant(table + b_hh), "tokens")
                gates = self.linear(names[0], w_hh, row)
            below = (
                self._lstm(gates, names[1], names)
                if cell == "lstm"
                else self.node("Tanh", gates, out=f"new_{names[0]}")
            )
        return below

    def _split(self, x: str, sizes: list[int]) -> list[str]:
        outputs = [f"part{len(self.nodes)}_{index}" for index in range(len(sizes))]
        lengths = self.constant(np.array([size * self.setup.hidden for size in sizes]))
        self.node("Split", x, lengths, out=outputs, axis=1)
        return outputs

    def _lstm(self, gates: str, c: str, names: list[str]) -> str:
        sigmoids, g = self._split(gates, [3, 1])
        i, f, o = self._split(self.node("Sigmoid", sigmoids), [1, 1, 1])
        kept = self.node("Mul", f, c)
        c = self.node("Add", kept, self.node("Mul", i, self.node("Tanh", g)), out=f"new_{names[1]}")
        return self.node("Mul", o, self.node("Tanh", c), out=f"new_{names[0]}")

    def _gru(self, projected: str, recurrent: str, h: str) -> str:
        x_rz, x_n = self._split(projected, [2, 1])
        h_rz, h_n = self._split(recurrent, [2, 1])
        r, z = self._split(self.node("Sigmoid", self.node("Add", x_rz, h_rz)), [1, 1])
        n = self.node("Tanh", self.node("Add", x_n, self.node("Mul", r, h_n)))
        # (1 - z) n + z h with one product less.
        change = self.node("Mul", z, self.node("Sub", h, n))
        return self.node("Add", n, change, out=f"new_{h}")

    def model(self, state_rank: int) -> onnx.ModelProto:
        setup = self.setup
        shape = [1] * (state_rank - 2) + [setup.batch, setup.hidden]
        states = [f"state{layer}_{part}" for layer in range(setup.layers) for part in range(setup.states)]

        def declare(name: str) -> Any:
            return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)

        tokens = helper.make_tensor_value_info("tokens", TensorProto.INT64, [setup.batch])
        logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, [setup.batch, setup.vocabulary])
        graph = helper.make_graph(
            self.nodes,
            "step",
            [tokens, *map(declare, states)],
            [logits, *(declare(f"new_{name}") for name in states)],
            self.constants,
        )
        domains = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
        return helper.make_model(graph, opset_imports=domains, ir_version=9)


class OnnxRuntime:
    """One session with one choice of graph, precision and settings.

    Args:
        form: "operator" or "unrolled".
        precision: "fp32", "int8" (quantize_dynamic), or "int8 blocks" (MatMulNBits, 8 bits in blocks of 32).
        settings: session configuration entries, and `channels` for one scale a column.
    """

    library = "onnxruntime"

    def __init__(self, form: str, precision: str = "fp32", spinning: bool = True, **settings: Any) -> None:
        self.form = form
        self.spinning = spinning
        self.settings = settings
        self.precision = precision.split()[0]
        self.scheme = precision
        words = ["ORT", precision, form, *(key for key, value in settings.items() if value)]
        self.name = " ".join(words if spinning else [*words, "no spinning"])

    def prepare(self, weights: Weights, batch: int, threads: int) -> None:
        unrolled = self.form == "unrolled"
        whole = self.scheme == "fp32" and unrolled and not self.settings.get("matmul")
        product = "blocks" if self.scheme == "int8 blocks" else "gemm" if whole else "matmul"
        model = self._quantised(Graph(weights, unrolled, product).model(2 if unrolled else 3))
        options = ort.SessionOptions()
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
        options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        options.add_session_config_entry("session.intra_op.allow_spinning", str(int(self.spinning)))
        if self.settings.get("unpacked"):
            options.add_session_config_entry("session.disable_prepacking", "1")
        self.session = ort.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        self._bind(weights, batch)

    def _quantised(self, model: onnx.ModelProto) -> onnx.ModelProto:
        if self.scheme != "int8":
            return model
        from onnxruntime.quantization import QuantType, quantize_dynamic

        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "int8.onnx"
            quantize_dynamic(
                model,
                path,
                weight_type=QuantType.QInt8,
                per_channel=bool(self.settings.get("channels")),
                op_types_to_quantize=["MatMul", "LSTM"],
            )
            return onnx.load(path)

    def _bind(self, weights: Weights, batch: int) -> None:
        self.tokens = np.zeros(batch, np.int64)
        self.logits = np.zeros((batch, weights.setup.vocabulary), np.float32)
        names = [value.name for value in self.session.get_inputs() if value.name != "tokens"]
        shape = self.session.get_inputs()[1].shape
        self.buffers = [[np.zeros(shape, np.float32) for _ in names] for _ in range(2)]
        self.bindings = []
        for old, new in (self.buffers, self.buffers[::-1]):
            binding = self.session.io_binding()
            tokens = self.tokens
            binding.bind_input("tokens", "cpu", 0, np.int64, tokens.shape, tokens.ctypes.data)
            binding.bind_output("logits", "cpu", 0, np.float32, self.logits.shape, self.logits.ctypes.data)
            for name, before, after in zip(names, old, new, strict=True):
                binding.bind_input(name, "cpu", 0, np.float32, before.shape, before.ctypes.data)
                binding.bind_output(f"new_{name}", "cpu", 0, np.float32, after.shape, after.ctypes.data)
            self.bindings.append(binding)
        self.here, self.there = self.bindings

    def reset(self) -> None:
        for buffers in self.buffers:
            for buffer in buffers:
                buffer[...] = 0

    def step(self, tokens: NDArray[np.int64]) -> NDArray[np.float32]:
        self.tokens[...] = tokens
        self.session.run_with_iobinding(self.here)
        self.here, self.there = self.there, self.here
        return self.logits


def contenders(cell: str) -> list[OnnxRuntime]:
    """Every setting worth trying; the best of them counts."""
    made = [
        OnnxRuntime("operator"),
        OnnxRuntime("operator", unpacked=True),
        OnnxRuntime("operator", spinning=False),
        OnnxRuntime("unrolled"),
        OnnxRuntime("unrolled", unpacked=True),
        OnnxRuntime("unrolled", spinning=False),
        OnnxRuntime("unrolled", matmul=True),
        OnnxRuntime("unrolled", "int8"),
        OnnxRuntime("unrolled", "int8", channels=True),
        OnnxRuntime("unrolled", "int8", spinning=False),
        OnnxRuntime("unrolled", "int8 blocks"),
    ]
    if cell == "lstm":  # The only cell whose operator ONNX Runtime has in int8.
        made.append(OnnxRuntime("operator", "int8"))
        made.append(OnnxRuntime("operator", "int8", channels=True))
    return made
