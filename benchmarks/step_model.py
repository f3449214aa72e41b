"""The language model that benchmarks/step.py times: its random weights, and the plain computation of a step.

Tensors have the names and layouts of a language-model run's model.safetensors (gates stacked as in torch.nn).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

GATES = {"lstm": 4, "gru": 3, "rnn": 1}


@dataclass(frozen=True)
class Setup:
    """What is timed: one row of the table."""

    cell: str
    hidden: int
    batch: int
    vocabulary: int = 96
    embedding: int = 0
    layers: int = 2

    @property
    def input_size(self) -> int:
        return self.embedding or self.vocabulary

    @property
    def states(self) -> int:
        """Arrays of state a layer has: h, and c for the LSTM."""
        return 2 if self.cell == "lstm" else 1


class Weights:
    """Random weights of one model, drawn as torch.nn does.

    Args:
        setup: the sizes.
        seed: of the draw.
    """

    def __init__(self, setup: Setup, seed: int = 1) -> None:
        generator = np.random.default_rng(seed)
        bound = setup.hidden**-0.5

        def uniform(*shape: int) -> NDArray[np.float32]:
            return generator.uniform(-bound, bound, shape).astype(np.float32)

        self.setup = setup
        self.tensors: dict[str, NDArray[np.float32]] = {}
        if setup.embedding:
            shape = (setup.vocabulary, setup.embedding)
            self.tensors["embedding.weight"] = generator.standard_normal(shape).astype(np.float32)
        rows = GATES[setup.cell] * setup.hidden
        for layer in range(setup.layers):
            columns = setup.hidden if layer else setup.input_size
            self.tensors[f"recurrent.cells.{layer}.weight_ih"] = uniform(rows, columns)
            self.tensors[f"recurrent.cells.{layer}.weight_hh"] = uniform(rows, setup.hidden)
            self.tensors[f"recurrent.cells.{layer}.bias_ih"] = uniform(rows)
            self.tensors[f"recurrent.cells.{layer}.bias_hh"] = uniform(rows)
        self.tensors["output.weight"] = uniform(setup.vocabulary, setup.hidden)
        self.tensors["output.bias"] = uniform(setup.vocabulary)

    @property
    def inputs(self) -> NDArray[np.float32]:
        """(V, I): the vector that stands for each token."""
        one_hot = np.eye(self.setup.vocabulary, dtype=np.float32)
        return self.tensors.get("embedding.weight", one_hot)

    def cell(self, layer: int) -> tuple[NDArray[np.float32], ...]:
        """weight_ih, weight_hh, bias_ih and bias_hh of a layer."""
        names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        return tuple(self.tensors[f"recurrent.cells.{layer}.{name}"] for name in names)

    def input_table(self) -> NDArray[np.float32]:
        """(V, gates x H): W_ih x + b_ih of the first layer for every token, so that a step looks it up."""
        weight_ih, _, bias_ih, _ = self.cell(0)
        return (self.inputs.astype(np.float64) @ weight_ih.T + bias_ih).astype(np.float32)

    def step_bytes(self, bytes_per_weight: int = 4) -> int:
        """Bytes of the matrices that every step must read, with the first layer's input product looked up."""
        matrices = [name for name in self.tensors if "weight_" in name and name != FIRST_INPUT]
        size = sum(self.tensors[name].size for name in [*matrices, "output.weight"])
        return bytes_per_weight * size


FIRST_INPUT = "recurrent.cells.0.weight_ih"


def reference_logits(weights: Weights, tokens: NDArray[np.int64]) -> NDArray[np.float64]:
    """Logits (T, B, V) of tokens (T, B) from zero states, in float64 with the equations written out."""
    setup = weights.setup
    tensors = {name: torch.tensor(value, dtype=torch.float64) for name, value in weights.tensors.items()}
    inputs = torch.tensor(weights.inputs, dtype=torch.float64)
    states = [
        tuple(torch.zeros(setup.batch, setup.hidden, dtype=torch.float64) for _ in range(setup.states))
        for _ in range(setup.layers)
    ]
    logits = []
    for row in torch.from_numpy(tokens):
        x = inputs[row]
        for layer, state in enumerate(states):
            parts = [tensors[f"recurrent.cells.{layer}.{part}"] for part in ("weight_ih", "bias_ih")]
            projected = x @ parts[0].T + parts[1]
            parts = [tensors[f"recurrent.cells.{layer}.{part}"] for part in ("weight_hh", "bias_hh")]
            recurrent = state[0] @ parts[0].T + parts[1]
            states[layer] = _advance(setup.cell, projected, recurrent, state)
            x = states[layer][0]
        logits.append(x @ tensors["output.weight"].T + tensors["output.bias"])
    return torch.stack(logits).numpy()


def _advance(cell: str, projected: Any, recurrent: Any, state: tuple[Any, ...]) -> tuple[Any, ...]:
    """The next state of one layer."""
    if cell == "lstm":
        i, f, g, o = (projected + recurrent).chunk(4, 1)
        c = f.sigmoid() * state[1] + i.sigmoid() * g.tanh()
        return o.sigmoid() * c.tanh(), c
    if cell == "gru":
        (x_r, x_z, x_n), (h_r, h_z, h_n) = projected.chunk(3, 1), recurrent.chunk(3, 1)
        z = (x_z + h_z).sigmoid()
        n = (x_n + (x_r + h_r).sigmoid() * h_n).tanh()
        return ((1 - z) * n + z * state[0],)
    return ((projected + recurrent).tanh(),)
