"""The two layers that every recurrent network is made of: a matrix product, and a cell through time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from throughtime.errors import CheckpointError, OptionError
from throughtime.runtime.weights import Weights

State = tuple[NDArray[np.float32], ...]
Array = NDArray[np.float32]

PRECISIONS = ("fp32", "bf16", "int8")
_CELLS = ("rnn", "lstm", "gru")
_NORM_EPSILON = np.float32(1e-5)


class Linear:
    """y = x W^T + b.

    Args:
        weight: W (O, I) float32.
        bias: b (O,) float32, or None.
        precision: how the weights are kept: "fp32", "bf16" or "int8".
    Raises:
        OptionError: the precision is unknown.
    """

    def __init__(self, weight: Array, bias: Array | None = None, precision: str = "fp32") -> None:
        if precision not in PRECISIONS:
            raise OptionError(f"precision {precision!r} is unknown: use {', '.join(PRECISIONS)}")
        self._transposed = np.ascontiguousarray(weight.T)
        self._bias = bias
        self.output_size, self.input_size = weight.shape

    def __call__(self, inputs: Array) -> Array:
        """(..., I) float32 -> (..., O) float32."""
        outputs = inputs @ self._transposed
        if self._bias is not None:
            outputs += self._bias
        return outputs


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
    ) -> None:
        if cell not in _CELLS:
            raise OptionError(
                f"the native backend has the cells {', '.join(_CELLS)}, and not {cell!r}: use --backend torch"
            )
        found = weights if isinstance(weights, Weights) else Weights(weights)
        self.directions = 2 if bidirectional else 1
        self._zoneout = np.float32(zoneout)
        self._cells: list[_RNN | _LSTM | _GRU] = []
        inputs: int | None = None
        for number in range(layers * self.directions):
            if number and number % self.directions == 0:
                inputs = self._cells[-1].state_sizes[0] * self.directions
            name = f"{prefix}cells.{number}."
            if cell == "lstm":
                self._cells.append(_LSTM(found, name, inputs, precision))
            elif cell == "gru":
                self._cells.append(_GRU(found, name, inputs, precision, reset_after))
            else:
                self._cells.append(_RNN(found, name, inputs, precision, activation))
            inputs = self._cells[-1].input_size
        self.input_size = self._cells[0].input_size
        self.state_sizes = self._cells[0].state_sizes
        self.output_size = self.state_sizes[0]
        self._initial = tuple(
            found.optional(f"{prefix}initial.{part}", (len(self._cells), size))
            for part, size in enumerate(self.state_sizes)
        )

    def initial_state(self, batch_size: int) -> State:
        """The state before the first step, arrays (L * D, B, S)."""
        state = []
        for size, learned in zip(self.state_sizes, self._initial, strict=True):
            part = np.zeros((len(self._cells), batch_size, size), np.float32)
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
            lengths: (B,) whole numbers in [1, T]; steps past a length are ignored. None means T for all.
        Returns:
            The outputs (T, B, D * output size), zero past each length, and the state at each last step (in
            the backward direction: after its first).
        """
        T, B = inputs.shape[:2]
        state = self.initial_state(B) if state is None else state
        counts = None if lengths is None else (np.arange(T)[:, None] < np.asarray(lengths))[:, :, None]
        finals: list[State] = []
        outputs = inputs
        for first in range(0, len(self._cells), self.directions):
            both = [
                self._run(number, outputs, tuple(part[number] for part in state), counts)
                for number in range(first, first + self.directions)
            ]
            outputs = np.concatenate([output for output, _ in both], -1) if len(both) > 1 else both[0][0]
            finals += [final for _, final in both]
        return outputs, tuple(np.stack(parts) for parts in zip(*finals, strict=True))

    def _run(
        self, number: int, inputs: Array, state: State, counts: NDArray[np.bool_] | None
    ) -> tuple[Array, State]:
        """One direction of one layer: (T, B, I) to (T, B, output size), and the state (B, S)."""
        cell = self._cells[number]
        projected = cell.project(inputs)
        outputs = np.empty((*inputs.shape[:2], self.output_size), np.float32)
        backward = self.directions == 2 and number % 2 == 1
        for t in reversed(range(len(inputs))) if backward else range(len(inputs)):
            new = cell.step(projected[t], state)
            if self._zoneout:
                pairs = zip(new, state, strict=True)
                new = tuple(after + self._zoneout * (before - after) for after, before in pairs)
            outputs[t] = new[0] if counts is None else np.where(counts[t], new[0], 0)
            if counts is not None:
                pairs = zip(new, state, strict=True)
                new = tuple(np.where(counts[t], after, before) for after, before in pairs)
            state = new
        return outputs, state


class _RNN:
    """h_t = tanh(W_ih x_t + b + W_hh h_{t-1}), or relu."""

    def __init__(
        self, weights: Weights, name: str, inputs: int | None, precision: str, activation: str
    ) -> None:
        matrix, recurrent, bias = _matrices(weights, name, inputs, 1)
        self.project = Linear(matrix, bias, precision)
        self._recurrent = Linear(recurrent, None, precision)
        self._relu = activation == "relu"
        self.input_size, self.state_sizes = matrix.shape[1], (recurrent.shape[1],)

    def step(self, projected: Array, state: State) -> State:
        h = projected + self._recurrent(state[0])
        return (np.maximum(h, 0) if self._relu else np.tanh(h),)


class _LSTM:
    """As `throughtime.cells.LSTM`, with all its variants."""

    def __init__(self, weights: Weights, name: str, inputs: int | None, precision: str) -> None:
        hidden = weights.shape(f"{name}weight_hr")[-1:] or weights.shape(f"{name}weight_hh")[-1:]
        rows = weights.shape(f"{name}weight_ih")[:1]
        self._coupled = bool(hidden and rows and hidden[0] and rows[0] == 3 * hidden[0])
        gates = 3 if self._coupled else 4
        matrix, recurrent, bias = _matrices(weights, name, inputs, gates, hidden[0] if hidden else None)
        H = len(matrix) // gates
        S = recurrent.shape[1]
        self._norm_ih = weights.optional(f"{name}norm_ih.weight", (gates * H,))
        self._norms = (
            None
            if self._norm_ih is None
            else (
                weights.tensor(f"{name}norm_hh.weight", (gates * H,)),
                weights.tensor(f"{name}norm_cell.weight", (H,)),
                weights.tensor(f"{name}norm_cell.bias", (H,)),
            )
        )
        self._bias = bias
        self._input = Linear(matrix, None if self._norms else bias, precision)
        self._recurrent = Linear(recurrent, None, precision)
        self._peephole = weights.optional(f"{name}weight_peephole", (gates - 1, H))
        projection = weights.optional(f"{name}weight_hr", (S, H))
        self._projection = None if projection is None else Linear(projection, None, precision)
        if projection is None and S != H:
            raise CheckpointError(
                f"{weights.name}: {name}weight_hh is {recurrent.shape}, expected {H} columns"
            )
        self.input_size, self.state_sizes = matrix.shape[1], (S, H)

    def project(self, inputs: Array) -> Array:
        projected = self._input(inputs)
        if self._norm_ih is None:
            return projected
        projected = _normalise(projected) * self._norm_ih
        return projected if self._bias is None else projected + self._bias

    def step(self, projected: Array, state: State) -> State:
        h, c = state
        recurrent = self._recurrent(h)
        gates = projected + (recurrent if self._norms is None else _normalise(recurrent) * self._norms[0])
        parts = np.split(gates, 3 if self._coupled else 4, -1)
        i, g, o = parts[0], parts[-2], parts[-1]
        peephole = self._peephole
        i = _sigmoid(i if peephole is None else i + peephole[0] * c)
        f = 1 - i
        if not self._coupled:
            f = _sigmoid(parts[1] if peephole is None else parts[1] + peephole[1] * c)
        c = f * c + i * np.tanh(g)
        o = _sigmoid(o if peephole is None else o + peephole[-1] * c)
        read = c if self._norms is None else _normalise(c) * self._norms[1] + self._norms[2]
        h = o * np.tanh(read)
        return (h if self._projection is None else self._projection(h)), c


class _GRU:
    """As `throughtime.cells.GRU`, in both conventions."""

    def __init__(
        self, weights: Weights, name: str, inputs: int | None, precision: str, reset_after: bool
    ) -> None:
        matrix, recurrent, _ = _matrices(weights, name, inputs, 3)
        H = recurrent.shape[1]
        self.project = Linear(matrix, weights.optional(f"{name}bias_ih", (3 * H,)), precision)
        bias = weights.optional(f"{name}bias_hh", (3 * H,))
        self._gates, self._candidate = (
            Linear(recurrent[rows], None if bias is None else bias[rows], precision)
            for rows in (slice(2 * H), slice(2 * H, None))
        )
        self._reset_after = reset_after
        self.input_size, self.state_sizes = matrix.shape[1], (H,)

    def step(self, projected: Array, state: State) -> State:
        (h,) = state
        x_r, x_z, x_n = np.split(projected, 3, -1)
        h_r, h_z = np.split(self._gates(h), 2, -1)
        r, z = _sigmoid(x_r + h_r), _sigmoid(x_z + h_z)
        n = x_n + (r * self._candidate(h) if self._reset_after else self._candidate(r * h))
        n = np.tanh(n)
        return (n + z * (h - n),)


def _sigmoid(x: Array) -> Array:
    """1 / (1 + exp(-x)), by way of tanh, which cannot overflow."""
    return np.float32(0.5) * np.tanh(np.float32(0.5) * x) + np.float32(0.5)


def _normalise(x: Array) -> Array:
    """Zero mean and unit variance over the last axis."""
    centred = x - x.mean(-1, keepdims=True)
    return centred / np.sqrt(np.square(centred).mean(-1, keepdims=True) + _NORM_EPSILON)


def _matrices(
    weights: Weights, name: str, inputs: int | None, gates: int, hidden: int | None = None
) -> tuple[Array, Array, Array | None]:
    """weight_ih (G * H, I), weight_hh (G * H, S), and the sum of the biases (G * H,) or None."""
    recurrent = weights.tensor(f"{name}weight_hh", (None if hidden is None else gates * hidden, None))
    rows = gates * (recurrent.shape[1] if hidden is None else hidden)
    recurrent = weights.tensor(f"{name}weight_hh", (rows, None))
    matrix = weights.tensor(f"{name}weight_ih", (rows, inputs))
    bias_ih = weights.optional(f"{name}bias_ih", (rows,))
    bias_hh = weights.optional(f"{name}bias_hh", (rows,))
    return matrix, recurrent, None if bias_ih is None or bias_hh is None else bias_ih + bias_hh
