"""Layers, directions and lengths in ONNX: its own RNN, LSTM and GRU where they fit, Scan elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from throughtime.interchange.graph import FLOAT, Graph
from throughtime.interchange.onnx_operations import Weights, convert
from throughtime.program.network import NetworkProgram
from throughtime.program.program import CellProgram, Function, state_names
from throughtime.program.reference import initial_state

Array = NDArray[Any]

# ONNX's gates among ours: i o f c from i f g o, z r h from r z n.
_GATES = {"rnn": (0,), "lstm": (0, 3, 1, 2), "gru": (1, 0, 2)}


@dataclass(frozen=True)
class Lengths:
    """Which steps of a batch count, in the two forms that ONNX's operators take.

    Args:
        counts: (B,) int32.
        mask: (T, B, 1) bool.
    """

    counts: str
    mask: str


def lengths_of(graph: Graph, lengths: str, sequence: str) -> Lengths:
    """From lengths (B,) int64 and any sequence (T, ...)."""
    T = graph.node("Squeeze", graph.node("Shape", sequence, start=0, end=1), graph.numbers(0))
    steps = graph.node("Range", graph.scalar(0, "int64"), T, graph.scalar(1, "int64"))
    mask = graph.node(
        "Less",
        graph.node("Unsqueeze", steps, graph.numbers(1)),
        graph.node("Unsqueeze", lengths, graph.numbers(0)),
    )
    return Lengths(graph.node("Cast", lengths, to=_INT32), graph.node("Unsqueeze", mask, graph.numbers(2)))


_INT32 = 6  # onnx.TensorProto.INT32, which is not imported before it is needed


class OnnxCell:
    """One cell, whose weights go into the graph once, wherever it is used.

    Args:
        graph: the outermost graph.
        kind: "rnn", "lstm", "gru" or another.
        options: of the kind that do not show in the arrays.
        program: what the cell computes.
        arrays: its weights by the names that they have in it.
    """

    def __init__(
        self,
        graph: Graph,
        kind: str,
        options: Mapping[str, Any],
        program: CellProgram,
        arrays: Mapping[str, Array],
    ) -> None:
        self.kind, self.options, self.program, self.arrays = kind, options, program, arrays
        self._weights = Weights(graph, arrays)

    @property
    def is_standard(self) -> bool:
        """Whether ONNX has an operator for the cell.

        ONNX's LSTM has no projection and no layer normalisation. Its `input_forget` is not used for coupled
        gates: the standard does not say which of the two is computed from the other.
        """
        if self.kind not in _GATES or {"weight_hr", "norm_ih.weight"} & set(self.arrays):
            return False
        return len(self.arrays["weight_hh"]) == len(_GATES[self.kind]) * self.arrays["weight_hh"].shape[1]

    @property
    def projected_size(self) -> int:
        """Of what does not depend on the state."""
        return int(self.program.step.inputs["projected"].shape[1])

    def project(self, graph: Graph, inputs: str) -> str:
        """The part without the state: (..., I) to (..., P)."""
        # A program's rows have one axis in front: time and batch become one, and two again.
        rows = graph.node("Reshape", inputs, graph.numbers(-1, self.program.input_size))
        (flat,) = self._run(graph, self.program.project, {"inputs": rows})
        leading = graph.node("Shape", inputs, start=0, end=-1)
        shape = graph.join([leading, graph.numbers(self.projected_size)], axis=0)
        return graph.node("Reshape", flat, shape)

    def step(self, graph: Graph, projected: str, state: list[str]) -> tuple[str, list[str]]:
        """One step: (B, P) and the state (B, S) to the output and the new state."""
        inputs = {"projected": projected, **dict(zip(state_names(len(state)), state, strict=True))}
        output, *new = self._run(graph, self.program.step, inputs)
        return output, new

    def _run(self, graph: Graph, function: Function, inputs: Mapping[str, str]) -> list[str]:
        def shaped(sides: Sequence[int | str]) -> str:
            # Of a cell only B is free. A size of 1 keeps the other operand's: the batch's axis is there
            # already, or broadcasts later.
            free = [side for side in sides if not isinstance(side, int)]
            return graph.numbers(*(side if isinstance(side, int) else -1 if free else 1 for side in sides))

        return convert(graph, function, inputs, self._weights, shaped)


class OnnxRecurrence:
    """A `throughtime.Recurrent` in evaluation.

    Args:
        graph: the outermost graph.
        program: of the network.
        name: of the recurrence.
        arrays: the network's weights.
    """

    def __init__(self, graph: Graph, program: NetworkProgram, name: str, arrays: Mapping[str, Array]) -> None:
        self._graph = graph
        layout = program.recurrences[name]
        self.layers, self.directions, self.zoneout = layout.layers, layout.directions, layout.zoneout
        names = [layout.cell(number) for number in range(self.layers * self.directions)]
        self.cells = [
            OnnxCell(graph, layout.kind, layout.options, program.cells[cell], under(arrays, f"{cell}."))
            for cell in names
        ]
        first = self.cells[0].program
        self.state_sizes, self.output_size = first.state_sizes, first.output_size
        self._learned: list[Array] | None = None
        if layout.learned_state:
            self._learned = [arrays[layout.initial(part)] for part in range(len(self.state_sizes))]

    def run(
        self, inputs: str, state: list[str] | None = None, lengths: Lengths | None = None
    ) -> tuple[str, list[str]]:
        """All layers over a batch of sequences.

        Args:
            inputs: (T, B, I).
            state: (L * D, B, S) each; None is zeros.
            lengths: from 0 to T; None counts every step.
        Returns:
            The outputs (T, B, D * S), zero past each length, and the state after the last steps; for a
            sequence of length 0 that is the state given.
        """
        graph, D, L = self._graph, self.directions, self.layers
        if state is None and self._learned is not None:
            state = self.initial_state(graph.node("Shape", inputs, start=1, end=2))
        rows = [graph.split(part, [D] * L, axis=0) for part in state] if state is not None else None
        finals: list[list[str]] = []
        for layer in range(L):
            cells = self.cells[layer * D : (layer + 1) * D]
            own = None if rows is None else [part[layer] for part in rows]
            if cells[0].is_standard and not self.zoneout:
                inputs, final = _standard(graph, cells, inputs, own, lengths)
            else:
                inputs, final = self._scan(cells, inputs, own, lengths, layer * D)
            finals.append(final)
        return inputs, [graph.join(parts, axis=0) for parts in zip(*finals, strict=True)]

    def step(self, inputs: str, state: list[str]) -> tuple[str, list[str]]:
        """One step, as plain operators.

        With onnxruntime they are as fast as a step of its LSTM or GRU (2 x 512: 0.20 and 0.13 ms for both),
        and runtimes for small devices know them where they lack the larger ones.

        Args:
            inputs: (B, I).
            state: (L, B, S) each.
        Returns:
            The output (B, S), and the new state.
        """
        graph, axis = self._graph, self._graph.numbers(0)
        layers = [graph.split(part, [1] * self.layers, axis=0) for part in state]
        finals: list[list[str]] = []
        for layer, cell in enumerate(self.cells):
            old = [graph.node("Squeeze", part[layer], axis) for part in layers]
            inputs, new = self._keep_some(graph, *cell.step(graph, cell.project(graph, inputs), old), old)
            finals.append([graph.node("Unsqueeze", part, axis) for part in new])
        return inputs, [graph.join(parts, axis=0) for parts in zip(*finals, strict=True)]

    def initial_state(self, B: str) -> list[str]:
        """The state before the first step, (L * D, B, S) each; B is a shape of one side."""
        axis = self._graph.numbers(0)
        cells = [self._begin(number, B) for number in range(len(self.cells))]
        return [
            self._graph.join([self._graph.node("Unsqueeze", part, axis) for part in parts], axis=0)
            for parts in zip(*cells, strict=True)
        ]

    def _begin(self, number: int, B: str) -> list[str]:
        """The state of one cell before its first step, (B, S) each."""
        if self._learned is not None:
            parts = [part[number : number + 1] for part in self._learned]
        else:
            cell = self.cells[number]
            parts = [np.asarray(part, np.float32) for part in initial_state(cell.program, cell.arrays, 1)]
        graph = self._graph
        return [
            graph.node("Expand", graph.weight(part, "initial"), graph.join([B, graph.numbers(1)], axis=0))
            for part in parts
        ]

    def _scan(
        self, cells: list[OnnxCell], inputs: str, state: list[str] | None, lengths: Lengths | None, first: int
    ) -> tuple[str, list[str]]:
        """One layer as a loop over the cell's step."""
        graph = self._graph
        outputs: list[str] = []
        finals: list[list[str]] = []
        for direction, cell in enumerate(cells):
            projected = cell.project(graph, inputs)
            if state is None:
                begin = self._begin(first + direction, graph.node("Shape", inputs, start=1, end=2))
            else:
                begin = [
                    graph.node("Gather", part, graph.scalar(direction, "int64"), axis=0) for part in state
                ]
            body = self._body(cell, lengths is not None)
            sequences = [projected] if lengths is None else [projected, lengths.mask]
            *final, output = graph.scan(body, begin, sequences, 1, backward=direction == 1)
            outputs.append(output)
            finals.append([graph.node("Unsqueeze", part, graph.numbers(0)) for part in final])
        state = [graph.join(parts, axis=0) for parts in zip(*finals, strict=True)]
        return graph.join(outputs, axis=-1), state

    def _body(self, cell: OnnxCell, masked: bool) -> Graph:
        """The graph of one step of a loop."""
        body = Graph(self._graph)
        shapes: list[tuple[int | str, ...]] = [("B", size) for size in self.state_sizes]
        state = [body.body_input("state", FLOAT, shape) for shape in shapes]
        projected = body.body_input("projected", FLOAT, ("B", cell.projected_size))
        output, new = self._keep_some(body, *cell.step(body, projected, state), state)
        if masked:
            counts = body.body_input("counts", "bool", ("B", 1))
            output = body.node("Where", counts, output, body.scalar(0.0))
            new = [body.node("Where", counts, *pair) for pair in zip(new, state, strict=True)]
        for part, shape in zip(new, shapes, strict=True):
            body.body_output(part, FLOAT, shape)
        body.body_output(output, FLOAT, ("B", self.output_size))
        return body

    def _keep_some(self, graph: Graph, output: str, new: list[str], old: list[str]) -> tuple[str, list[str]]:
        """Zoneout in evaluation: the mean of what it draws in training (Krueger et al. 2017)."""
        if not self.zoneout:
            return output, new
        kept = []
        for part, before, rate in zip(new, old, self.zoneout, strict=True):
            change = graph.node("Mul", graph.scalar(rate), graph.node("Sub", before, part))
            kept.append(graph.node("Add", part, change))
        return (kept[0] if output == new[0] else output), kept


def _standard(
    graph: Graph,
    cells: list[OnnxCell],
    inputs: str,
    state: list[str] | None,
    lengths: Lengths | None,
) -> tuple[str, list[str]]:
    """One layer as one node."""
    kind, D, arrays = cells[0].kind, len(cells), cells[0].arrays
    H = arrays["weight_hh"].shape[1]

    def stacked(name: str) -> Array:
        return np.stack([_reordered(cell.arrays[name], kind) for cell in cells])

    W, R = graph.weight(stacked("weight_ih"), "W"), graph.weight(stacked("weight_hh"), "R")
    B = ""
    if "bias_ih" in arrays:
        B = graph.weight(np.concatenate([stacked("bias_ih"), stacked("bias_hh")], 1), "B")
    arguments = [inputs, W, R, B, "" if lengths is None else lengths.counts, *(state or [""])]
    options = {"hidden_size": H, "direction": "bidirectional" if D == 2 else "forward"}
    if kind == "rnn":
        options["activations"] = ["Tanh" if cells[0].options["activation"] == "tanh" else "Relu"] * D
    elif kind == "gru":
        options["linear_before_reset"] = int(cells[0].options["reset_after"])
    elif "weight_peephole" in arrays:
        i, f, o = np.stack([cell.arrays["weight_peephole"] for cell in cells], 1)
        P = graph.weight(np.concatenate([i, o, f], 1), "P")
        arguments += [""] * (7 - len(arguments)) + [P]
    outputs, *final = graph.nodes(kind.upper(), 2 + (kind == "lstm"), *arguments, **options)
    if lengths is not None and state is not None:
        # The standard leaves open what the state is after no steps; onnxruntime's is zero.
        counts = graph.node("Greater", lengths.counts, graph.scalar(0, "int32"))
        has_steps = graph.node("Unsqueeze", counts, graph.numbers(1))
        final = [graph.node("Where", has_steps, *pair) for pair in zip(final, state, strict=True)]
    if D == 1:
        return graph.node("Squeeze", outputs, graph.numbers(1)), final
    outputs = graph.node("Transpose", outputs, perm=[0, 2, 1, 3])  # (T, D, B, H) to (T, B, D, H)
    return graph.node("Reshape", outputs, graph.numbers(0, 0, D * H)), final


def _reordered(rows: Array, kind: str) -> Array:
    """Our stacked gates in ONNX's order."""
    blocks = rows.reshape(len(_GATES[kind]), -1, *rows.shape[1:])
    return blocks[list(_GATES[kind])].reshape(rows.shape)


def under(tensors: Mapping[str, Array], prefix: str) -> dict[str, Array]:
    """The tensors whose names begin with a prefix, without it, as float32."""
    return {
        name[len(prefix) :]: np.asarray(array, dtype=np.float32)
        for name, array in tensors.items()
        if name.startswith(prefix)
    }
