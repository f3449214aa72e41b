"""The parts that the networks of several tasks have: made from a run's weights and options."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from throughtime.runtime.layers import Array, Linear, Recurrent, State
from throughtime.runtime.weights import Weights

if TYPE_CHECKING:
    from throughtime.config.recurrence import RecurrenceConfig


@dataclass(frozen=True)
class Compute:
    """How matrices are kept and multiplied.

    Args:
        precision: "fp32", "bf16" or "int8".
        threads: that share a product.
    """

    precision: str = "fp32"
    threads: int = 1


FP32 = Compute()

# Of each cell; an LSTM whose gates are coupled has one less.
_GATES = {"rnn": 1, "lstm": 4, "gru": 3}


def recurrent_of(
    weights: Weights,
    prefix: str,
    config: RecurrenceConfig,
    compute: Compute,
    inputs: int,
    hidden: int | None = None,
    layers: int | None = None,
    bidirectional: bool = False,
) -> Recurrent:
    """The recurrence of a network.

    Args:
        weights: the network's tensors.
        prefix: of the recurrence's tensors, such as "recurrent.".
        config: its options.
        compute: how matrices are kept and multiplied.
        inputs: I.
        hidden, layers: in place of the config's.
        bidirectional: whether it reads backwards as well.
    Raises:
        CheckpointError: the tensors are not those of these options.
    """
    layers, directions = layers or config.layers, 2 if bidirectional else 1
    H = hidden or config.hidden
    S = config.projection if config.cell == "lstm" and config.projection else H
    if config.cell in _GATES:
        expected: set[str] = set()
        for number in range(layers * directions):
            read = inputs if number < directions else S * directions
            for name, shape in _cell_shapes(config, read, H, S).items():
                weights.expect(f"{prefix}cells.{number}.{name}", shape)
                expected.add(f"{prefix}cells.{number}.{name}")
        # A peephole that the config knows nothing of would be used anyway.
        weights.refuse_others((f"{prefix}cells.", f"{prefix}initial."), expected)
    return Recurrent(
        weights,
        prefix,
        config.cell,
        layers=layers,
        bidirectional=bidirectional,
        zoneout=config.zoneout,
        activation=config.activation,
        reset_after=config.reset_after,
        precision=compute.precision,
        threads=compute.threads,
    )


def _cell_shapes(config: RecurrenceConfig, I: int, H: int, S: int) -> dict[str, tuple[int, ...]]:
    """The tensors of one cell; `Recurrent` itself takes an LSTM's options from what it finds."""
    gates = _GATES[config.cell] - (config.cell == "lstm" and config.coupled)
    G = gates * H
    shapes: dict[str, tuple[int, ...]] = {
        "weight_ih": (G, I),
        "weight_hh": (G, S),
        "bias_ih": (G,),
        "bias_hh": (G,),
    }
    if config.cell != "lstm":
        return shapes
    if S != H:
        shapes["weight_hr"] = (S, H)
    if config.peephole:
        shapes["weight_peephole"] = (gates - 1, H)
    if config.layer_norm:
        shapes |= {f"norm_{name}.weight": (size,) for name, size in (("ih", G), ("hh", G), ("cell", H))}
        shapes["norm_cell.bias"] = (H,)
    return shapes


def linear_of(
    weights: Weights,
    name: str,
    compute: Compute,
    inputs: int | None = None,
    outputs: int | None = None,
    bias: bool = True,
) -> Linear:
    """A linear layer.

    Args:
        weights: the network's tensors.
        name: such as "output", of `output.weight` and `output.bias`.
        precision: how the matrix is kept.
        inputs, outputs: the sizes that it has to have; None takes them as they are.
        bias: whether there is one.
    """
    weight = weights.tensor(f"{name}.weight", (outputs, inputs))
    shift = weights.tensor(f"{name}.bias", (len(weight),)) if bias else None
    return Linear(weight, shift, compute.precision, compute.threads)


class FeedForward:
    """The same layers at every step, in place of a recurrence, with its interface.

    Args:
        weights: the network's tensors, PREFIXlayers.0.weight and so on.
        prefix: such as "recurrent.".
        compute: how matrices are kept and multiplied.
        inputs: I.
    """

    directions = 1

    def __init__(self, weights: Weights, prefix: str, compute: Compute, inputs: int) -> None:
        self._layers = [linear_of(weights, f"{prefix}layers.0", compute, inputs)]
        while f"{prefix}layers.{len(self._layers)}.weight" in weights:
            name = f"{prefix}layers.{len(self._layers)}"
            self._layers.append(linear_of(weights, name, compute, self._layers[-1].output_size))
        self.output_size = self._layers[-1].output_size

    def __call__(self, inputs: Array, state: Any = None, lengths: Any = None) -> tuple[Array, State]:
        """(T, B, I) to (T, B, H), and an empty state."""
        for layer in self._layers:
            inputs = np.maximum(layer(inputs), 0)
        return inputs, ()

    def initial_state(self, batch_size: int) -> State:
        """Empty."""
        return ()


def softmax(scores: NDArray[np.float32], axis: int = -1) -> NDArray[np.float32]:
    """exp(scores) over its sum; -inf gives exactly 0."""
    powers = np.exp(scores - scores.max(axis, keepdims=True))
    return powers / powers.sum(axis, keepdims=True)


def log_softmax(scores: NDArray[np.float32]) -> NDArray[np.float32]:
    """The logarithm of `softmax` over the last axis."""
    shifted = scores - scores.max(-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))


def sigmoid(x: Array) -> Array:
    """1 / (1 + exp(-x)), by way of tanh, which cannot overflow."""
    return np.float32(0.5) * np.tanh(np.float32(0.5) * x) + np.float32(0.5)
