"""Layers, directions and lengths in ONNX: its own RNN, LSTM and GRU where they fit, Scan elsewhere."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from throughtime.interchange.graph import FLOAT, Graph
from throughtime.interchange.onnx_cells import OnnxCell
from throughtime.interchange.recurrence_weights import Array, CellWeights, RecurrenceWeights

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


class OnnxRecurrence:
    """A `throughtime.Recurrent` in evaluation.

    Args:
        graph: the outermost graph.
        weights: of all cells.
    """

    def __init__(self, graph: Graph, weights: RecurrenceWeights) -> None:
        self._graph = graph
        self.weights = weights
        self.state_names = weights.state_names

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
        graph, D, L = self._graph, self.weights.directions, self.weights.layers
        rows = [graph.split(part, [D] * L, axis=0) for part in state] if state is not None else None
        finals: list[list[str]] = []
        for layer in range(L):
            cells = self.weights.cells[layer * D : (layer + 1) * D]
            own = None if rows is None else [part[layer] for part in rows]
            if is_standard(cells[0]) and self.weights.zoneout is None:
                inputs, final = _standard(graph, cells, inputs, own, lengths)
            else:
                inputs, final = self._scan(cells, inputs, own, lengths)
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
        graph, rows = self._graph, self.weights.layers
        layers = [graph.split(part, [1] * rows, axis=0) for part in state]
        axis = graph.numbers(0)
        finals: list[list[str]] = []
        for layer, weights in enumerate(self.weights.cells):
            cell = OnnxCell(graph, weights)
            old = [graph.node("Squeeze", part[layer], axis) for part in layers]
            new = self._keep_some(graph, cell.step(graph, cell.project(graph, inputs), old), old)
            inputs = new[0]
            finals.append([graph.node("Unsqueeze", part, axis) for part in new])
        return inputs, [graph.join(parts, axis=0) for parts in zip(*finals, strict=True)]

    def zeros(self, like: str) -> list[str]:
        """A state of zeros, (L * D, B, S) each, for as many rows as `like` (B, ...) has."""
        graph, rows = self._graph, len(self.weights.cells)
        B = graph.node("Shape", like, start=0, end=1)
        shapes = (
            graph.join([graph.numbers(rows), B, graph.numbers(size)], axis=0)
            for size in self.weights.state_sizes
        )
        return [graph.node("Expand", graph.scalar(0.0), shape) for shape in shapes]

    def _scan(
        self, cells: tuple[CellWeights, ...], inputs: str, state: list[str] | None, lengths: Lengths | None
    ) -> tuple[str, list[str]]:
        """One layer as a loop over the cell's step."""
        graph = self._graph
        outputs: list[str] = []
        finals: list[list[str]] = []
        for direction, weights in enumerate(cells):
            cell = OnnxCell(graph, weights)
            projected = cell.project(graph, inputs)
            if state is None:
                first = [_zeros(graph, inputs, size) for size in weights.state_sizes]
            else:
                first = [
                    graph.node("Gather", part, graph.scalar(direction, "int64"), axis=0) for part in state
                ]
            body = self._body(cell, lengths is not None)
            sequences = [projected] if lengths is None else [projected, lengths.mask]
            *final, output = graph.scan(body, first, sequences, 1, backward=direction == 1)
            outputs.append(output)
            finals.append([graph.node("Unsqueeze", part, graph.numbers(0)) for part in final])
        state = [graph.join(parts, axis=0) for parts in zip(*finals, strict=True)]
        return graph.join(outputs, axis=-1), state

    def _body(self, cell: OnnxCell, masked: bool) -> Graph:
        """The graph of one step of a loop."""
        weights, body = cell.weights, Graph(self._graph)
        shapes: list[tuple[int | str, ...]] = [("B", size) for size in weights.state_sizes]
        state = [
            body.body_input(name, FLOAT, shape) for name, shape in zip(self.state_names, shapes, strict=True)
        ]
        projected = body.body_input("projected", FLOAT, ("B", weights["weight_ih"].shape[0]))
        new = self._keep_some(body, cell.step(body, projected, state), state)
        output = new[0]
        if masked:
            counts = body.body_input("counts", "bool", ("B", 1))
            output = body.node("Where", counts, output, body.scalar(0.0))
            new = [body.node("Where", counts, *pair) for pair in zip(new, state, strict=True)]
        for part, shape in zip(new, shapes, strict=True):
            body.body_output(part, FLOAT, shape)
        body.body_output(output, FLOAT, shapes[0])
        return body

    def _keep_some(self, graph: Graph, new: list[str], old: list[str]) -> list[str]:
        """Zoneout in evaluation: the mean of what it draws in training (Krueger et al. 2017)."""
        if self.weights.zoneout is None:
            return new
        kept = []
        for part, before, rate in zip(new, old, self.weights.zoneout, strict=True):
            change = graph.node("Mul", graph.scalar(rate), graph.node("Sub", before, part))
            kept.append(graph.node("Add", part, change))
        return kept


def is_standard(cell: CellWeights) -> bool:
    """Whether ONNX has an operator for the cell.

    ONNX's LSTM has no projection and no layer normalisation. Its `input_forget` is not used for coupled
    gates: the standard does not say which of the two is computed from the other.
    """
    return not any(cell.options.get(name) for name in ("projection", "coupled", "layer_norm"))


def _standard(
    graph: Graph,
    cells: tuple[CellWeights, ...],
    inputs: str,
    state: list[str] | None,
    lengths: Lengths | None,
) -> tuple[str, list[str]]:
    """One layer as one node."""
    kind, D, H = cells[0].kind, len(cells), cells[0].hidden_size

    def stacked(name: str) -> Array:
        return np.stack([_reordered(cell[name], kind) for cell in cells])

    W, R = graph.weight(stacked("weight_ih"), "W"), graph.weight(stacked("weight_hh"), "R")
    B = ""
    if cells[0].get("bias_ih") is not None:
        B = graph.weight(np.concatenate([stacked("bias_ih"), stacked("bias_hh")], 1), "B")
    arguments = [inputs, W, R, B, "" if lengths is None else lengths.counts, *(state or [""])]
    options = {"hidden_size": H, "direction": "bidirectional" if D == 2 else "forward"}
    if kind == "rnn":
        options["activations"] = ["Tanh" if cells[0].options["activation"] == "tanh" else "Relu"] * D
    elif kind == "gru":
        options["linear_before_reset"] = int(cells[0].options["reset_after"])
    elif cells[0].options["peephole"]:
        i, f, o = np.stack([cell["weight_peephole"] for cell in cells], 1)
        P = graph.weight(np.concatenate([i, o, f], 1), "P")
        arguments += [""] * (7 - len(arguments)) + [P]
    outputs, *final = graph.nodes(kind.upper(), 1 + len(cells[0].state_sizes), *arguments, **options)
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


def _zeros(graph: Graph, inputs: str, size: int) -> str:
    """(B, size), for inputs (T, B, ...)."""
    shape = graph.join([graph.node("Shape", inputs, start=1, end=2), graph.numbers(size)], axis=0)
    return graph.node("Expand", graph.scalar(0.0), shape)
