"""The two layers that every recurrent network is made of: a matrix product, and a cell through time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from throughtime import _native
from throughtime.errors import CheckpointError, OptionError
from throughtime.runtime.weights import Weights

State = tuple[NDArray[np.float32], ...]
Array = NDArray[np.float32]

PRECISIONS = ("fp32", "bf16", "int8")
CELLS = ("rnn", "lstm", "gru")


def check_precision(precision: str) -> None:
    """Raise OptionError for a precision that does not exist, or a THROUGHTIME_ISA that does not run here."""
    if precision not in PRECISIONS:
        raise OptionError(f"precision {precision!r} is unknown: use {', '.join(PRECISIONS)}")
    try:
        _native.isa()
    except RuntimeError as error:
        raise OptionError(f"THROUGHTIME_ISA: {error}") from None


class Linear:
    """y = W x + b with packed weights.

    Args:
        weight: W (O, I) float32.
        bias: b (O,) float32, or None.
        precision: how the weights are kept: "fp32", "bf16" or "int8".
        threads: that share a product.
        isa: the instruction set; "" takes the widest of this CPU.
    Raises:
        OptionError: the precision is unknown.
        ValueError: the shapes do not fit.
    """

    def __init__(
        self,
        weight: Array,
        bias: Array | None = None,
        precision: str = "fp32",
        threads: int = 1,
        isa: str = "",
    ) -> None:
        check_precision(precision)
        self.output_size, self.input_size = weight.shape
        self._threads = threads
        self._native = _native.Linear(
            np.ascontiguousarray(weight, dtype=np.float32),
            None if bias is None else np.ascontiguousarray(bias, dtype=np.float32),
            precision,
            isa,
        )

    def __call__(self, inputs: Array) -> Array:
        """(..., I) float32 -> (..., O) float32."""
        flat = np.ascontiguousarray(inputs, dtype=np.float32).reshape(-1, inputs.shape[-1])
        return self._native(flat, self._threads).reshape(*inputs.shape[:-1], self.output_size)


class Recurrent:
    """A cell through time, as `throughtime.Recurrent` in evaluation mode.

    Args:
        weights: the network's tensors; which options an LSTM has is seen from them.
        prefix: of the names, such as "recurrent.".
        cell: "rnn", "lstm" or "gru".
        layers: L.
        bidirectional: a second cell in each layer reads backwards.
        zoneout: a unit moves by (1 - zoneout) of its step, the mean of what it does in training.
        activation: of the rnn: "tanh" or "relu".
        reset_after: of the gru: reset after the matrix product.
        precision: how matrices are kept, see `Linear`.
        threads: that share a step.
        isa: the instruction set; "" takes the widest of this CPU.
    Attributes:
        state_sizes: the sizes of the tensors that the state is made of, the hidden state first.
        output_size: of a step, one direction.
        directions: D.
    Raises:
        OptionError: the cell is another.
        CheckpointError: a tensor is missing or has another shape.
    """

    def __init__(
        self,
        weights: Mapping[str, NDArray[Any]],
        prefix: str,
        cell: str,
        *,
        layers: int,
        bidirectional: bool = False,
        zoneout: float = 0.0,
        activation: str = "tanh",
        reset_after: bool = True,
        precision: str = "fp32",
        threads: int = 1,
        isa: str = "",
    ) -> None:
        check_precision(precision)
        if cell not in CELLS:
            raise OptionError(
                f"the native backend has the cells {', '.join(CELLS)}, and not {cell!r}: use --backend torch"
            )
        found = weights if isinstance(weights, Weights) else Weights(weights)
        self.directions = 2 if bidirectional else 1
        self._threads = threads
        self._layers: list[_native.Layer] = []
        inputs: int | None = None
        for number in range(layers * self.directions):
            if number and number % self.directions == 0:
                inputs = self._layers[-1].state_sizes[0] * self.directions
            name = f"{prefix}cells.{number}."
            tensors = layer_tensors(found, name)
            if inputs is not None:
                found.tensor(f"{name}weight_ih", (None, inputs))
            inputs = found.tensor(f"{name}weight_ih", (None, None)).shape[1]
            try:
                layer = _native.Layer(
                    tensors, cell, activation, reset_after, zoneout, zoneout, precision, isa
                )
            except ValueError as error:
                raise CheckpointError(
                    f"{found.name}: {name[:-1]} does not fit config.toml: {error}"
                ) from None
            if number == 0:
                self.input_size = inputs
            self._layers.append(layer)
        self.state_sizes = tuple(self._layers[0].state_sizes)
        self.output_size = self.state_sizes[0]
        self._initial = tuple(
            found.optional(f"{prefix}initial.{part}", (len(self._layers), size))
            for part, size in enumerate(self.state_sizes)
        )

    def initial_state(self, batch_size: int) -> State:
        """The state before the first step, arrays (L * D, B, S)."""
        state = []
        for size, learned in zip(self.state_sizes, self._initial, strict=True):
            part = np.zeros((len(self._layers), batch_size, size), np.float32)
            if learned is not None:
                part += learned[:, None]
            state.append(part)
        return tuple(state)

    def __call__(
        self, inputs: Array, state: State | None = None, lengths: Sequence[int] | NDArray[Any] | None = None
    ) -> tuple[Array, State]:
        """Run all layers over a batch of sequences.

        Args:
            inputs: (T, B, I) float32, time first.
            state: what the previous call returned, or None for the initial state. It is not changed.
            lengths: (B,) whole numbers in [0, T]; steps past a length are ignored, and a row of length 0
                keeps its state. None means T for all.
        Returns:
            The outputs (T, B, D * output size), zero past each length, and the state at each last step (in
            the backward direction: after its first).
        Raises:
            ValueError: a shape does not fit, or a length is out of range (the message names the row).
        """
        state = self.initial_state(inputs.shape[1]) if state is None else state
        counted = None if lengths is None else np.ascontiguousarray(lengths, dtype=np.int64)
        outputs = np.ascontiguousarray(inputs, dtype=np.float32)
        finals: list[State] = []
        for first in range(0, len(self._layers), self.directions):
            both = []
            for number in range(first, first + self.directions):
                mine = [np.ascontiguousarray(part[number], dtype=np.float32) for part in state]
                backward = number > first
                both.append(self._layers[number].scan(outputs, mine, counted, backward, self._threads))
            outputs = np.concatenate([output for output, _ in both], -1) if len(both) > 1 else both[0][0]
            finals += [final for _, final in both]
        return outputs, tuple(np.stack(parts) for parts in zip(*finals, strict=True))


def layer_tensors(weights: Weights, prefix: str) -> dict[str, Array]:
    """A layer's tensors by the names that they have behind the prefix, as the native part takes them.

    Raises:
        CheckpointError: a tensor is not finite, or there is none.
    """
    names = [name for name in weights if name.startswith(prefix)]
    tensors = {name[len(prefix) :]: np.ascontiguousarray(weights[name], dtype=np.float32) for name in names}
    for needed in ("weight_ih", "weight_hh"):
        if needed not in tensors:
            raise CheckpointError(
                f"{weights.name} lacks {prefix}{needed}: it does not belong to this config.toml"
            )
    return tensors
