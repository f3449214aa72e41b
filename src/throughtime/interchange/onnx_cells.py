"""The cells' equations in ONNX operators: `project` and `step`, as in `throughtime.cells`."""

from __future__ import annotations

import numpy as np

from throughtime.interchange.graph import Graph
from throughtime.interchange.recurrence_weights import Array, CellWeights

_LAYER_NORM_EPSILON = 1e-5  # torch.nn.LayerNorm's default


class OnnxCell:
    """One cell, whose weights go into the graph once, wherever it is used.

    Args:
        graph: the outermost graph.
        weights: of the cell.
    """

    def __init__(self, graph: Graph, weights: CellWeights) -> None:
        self.weights = weights
        self.kind, self._options = weights.kind, weights.options
        self._names: dict[str, str] = {}
        for name, array in self._arrays().items():
            self._names[name] = graph.weight(array, name)

    def _arrays(self) -> dict[str, Array]:
        """What the graph multiplies by and adds: matrices transposed, biases joined where they may be."""
        weights, H = self.weights, self.weights.hidden_size
        arrays: dict[str, Array] = {"W_ih": weights["weight_ih"].T, "W_hh": weights["weight_hh"].T}
        b_ih, b_hh = weights.get("bias_ih"), weights.get("bias_hh")
        if b_ih is not None and b_hh is not None:
            if self.kind == "gru" and self._options["reset_after"]:
                # The reset gate scales the candidate's second bias, so that one stays by itself.
                arrays["b"] = b_ih + np.concatenate([b_hh[: 2 * H], np.zeros_like(b_hh[2 * H :])])
                arrays["b_hn"] = b_hh[2 * H :]
            else:
                arrays["b"] = b_ih + b_hh
        if self.kind == "gru":
            W_hh = arrays.pop("W_hh")
            arrays |= {"W_hh_gates": W_hh[:, : 2 * H], "W_hn": W_hh[:, 2 * H :]}
        if self._options.get("peephole"):
            arrays |= {f"p_{i}": row for i, row in enumerate(weights["weight_peephole"])}
        if self._options.get("projection"):
            arrays["W_hr"] = weights["weight_hr"].T
        if self._options.get("layer_norm"):
            names = ("norm_ih.weight", "norm_hh.weight", "norm_cell.weight", "norm_cell.bias")
            arrays |= {name: weights[name] for name in names}
        return arrays

    def project(self, graph: Graph, inputs: str) -> str:
        """The part without the state: (..., I) to (..., G * H)."""
        projected = graph.node("MatMul", inputs, self._names["W_ih"])
        if self._options.get("layer_norm"):
            projected = self._normalise(graph, projected, "norm_ih")
        return graph.node("Add", projected, self._names["b"]) if "b" in self._names else projected

    def step(self, graph: Graph, projected: str, state: list[str]) -> tuple[str, list[str]]:
        """One step: (B, G * H) and the state (B, S) to the output and the new state."""
        equation = {"rnn": self._rnn, "lstm": self._lstm, "gru": self._gru}[self.kind]
        new = equation(graph, projected, state)
        return new[0], new

    def _rnn(self, graph: Graph, projected: str, state: list[str]) -> list[str]:
        recurrent = graph.node("MatMul", state[0], self._names["W_hh"])
        function = "Tanh" if self._options["activation"] == "tanh" else "Relu"
        return [graph.node(function, graph.node("Add", projected, recurrent))]

    def _lstm(self, graph: Graph, projected: str, state: list[str]) -> list[str]:
        h, c = state
        H, coupled = self.weights.hidden_size, self._options["coupled"]
        recurrent = graph.node("MatMul", h, self._names["W_hh"])
        if self._options["layer_norm"]:
            recurrent = self._normalise(graph, recurrent, "norm_hh")
        gates = graph.split(graph.node("Add", projected, recurrent), [H] * (3 if coupled else 4), axis=-1)
        i, (g, o) = gates[0], gates[-2:]
        i = graph.node("Sigmoid", self._peep(graph, i, c, 0))
        if coupled:
            f = graph.node("Sub", graph.scalar(1.0), i)
        else:
            f = graph.node("Sigmoid", self._peep(graph, gates[1], c, 1))
        g = graph.node("Tanh", g)
        c = graph.node("Add", graph.node("Mul", f, c), graph.node("Mul", i, g))
        o = graph.node("Sigmoid", self._peep(graph, o, c, 1 if coupled else 2))
        seen = self._normalise(graph, c, "norm_cell") if self._options["layer_norm"] else c
        h = graph.node("Mul", o, graph.node("Tanh", seen))
        if self._options["projection"]:
            h = graph.node("MatMul", h, self._names["W_hr"])
        return [h, c]

    def _gru(self, graph: Graph, projected: str, state: list[str]) -> list[str]:
        (h,) = state
        H = self.weights.hidden_size
        x_gates, x_n = graph.split(projected, [2 * H, H], axis=-1)
        gates = graph.node("Add", x_gates, graph.node("MatMul", h, self._names["W_hh_gates"]))
        r, z = graph.split(graph.node("Sigmoid", gates), [H, H], axis=-1)
        if self._options["reset_after"]:
            h_n = graph.node("MatMul", h, self._names["W_hn"])
            h_n = graph.node("Add", h_n, self._names["b_hn"]) if "b_hn" in self._names else h_n
            h_n = graph.node("Mul", r, h_n)
        else:
            h_n = graph.node("MatMul", graph.node("Mul", r, h), self._names["W_hn"])
        n = graph.node("Tanh", graph.node("Add", x_n, h_n))
        kept = graph.node("Mul", z, h)
        new = graph.node("Mul", graph.node("Sub", graph.scalar(1.0), z), n)
        return [graph.node("Add", new, kept)]

    def _peep(self, graph: Graph, gate: str, c: str, row: int) -> str:
        if not self._options["peephole"]:
            return gate
        return graph.node("Add", gate, graph.node("Mul", self._names[f"p_{row}"], c))

    def _normalise(self, graph: Graph, value: str, name: str) -> str:
        scale, shift = self._names[f"{name}.weight"], self._names.get(f"{name}.bias", "")
        inputs = [value, scale, shift] if shift else [value, scale]
        return graph.node("LayerNormalization", *inputs, axis=-1, epsilon=_LAYER_NORM_EPSILON)
