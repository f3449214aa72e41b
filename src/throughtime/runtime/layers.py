"""The two layers that every recurrent network is made of: a matrix product, and a cell through time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from throughtime import _native
from throughtime.arrays import real_numbers, whole_numbers
from throughtime.errors import CheckpointError, OptionError
from throughtime.program.program import CellProgram
from throughtime.program.reference import initial_state
from throughtime.runtime.planning.plan import Plan
from throughtime.runtime.weights import PRECISIONS, Weights

State = tuple[NDArray[np.float32], ...]
Array = NDArray[np.float32]

CELLS = ("rnn", "lstm", "gru")
ACTIVATIONS = ("tanh", "relu")
MOST_THREADS = 256

# What a cell's tensors are called behind its prefix: those of a group are all there, or none is. A matrix has
# "weight_" in front, all others are vectors.
_MATRICES = ("weight_ih", "weight_hh")
_OPTIONAL = {
    "rnn": (("bias_ih", "bias_hh"),),
    "gru": (("bias_ih", "bias_hh"),),
    "lstm": (
        ("bias_ih", "bias_hh"),
        ("weight_hr",),
        ("weight_peephole",),
        ("norm_ih.weight", "norm_hh.weight", "norm_cell.weight", "norm_cell.bias"),
    ),
}


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


def check_precision(precision: str) -> None:
    """Raise OptionError for a precision that does not exist, or a THROUGHTIME_ISA that does not run here."""
    if precision not in PRECISIONS:
        raise OptionError(f"precision {precision!r} is unknown: use {', '.join(PRECISIONS)}")
    try:
        _native.isa()
    except RuntimeError as error:
        raise OptionError(f"THROUGHTIME_ISA: {error}") from None


def check_threads(threads: int, least: int = 1) -> None:
    """Raise OptionError for a number of threads that cannot be; 0 leaves it to the engine, where it may."""
    if not _is_whole(threads) or not least <= threads <= MOST_THREADS:
        auto = "" if least else ", or 0 for what is fastest"
        raise OptionError(f"threads must be from 1 to {MOST_THREADS}{auto}, not {threads!r:.40}")


def check_recurrence(cell: str, layers: int, zoneout: float, activation: str) -> None:
    """Raise OptionError for options of `Recurrent` that no network has (the message names the option).

    A cell that is none of `CELLS` is what the program beside the weights says.
    """
    if not isinstance(cell, str):
        raise OptionError(f"cell is {cell!r:.60}, which is no name")
    if not _is_whole(layers) or layers < 1:
        raise OptionError(f"layers must be a whole number, 1 or above, not {layers!r}")
    # Written so that NaN fails it.
    if not isinstance(zoneout, (int, float)) or not 0 <= zoneout < 1:
        raise OptionError(f"zoneout must be from 0 to below 1, not {zoneout!r}")
    if activation not in ACTIVATIONS:
        raise OptionError(f"activation {activation!r} is unknown: use {' or '.join(ACTIVATIONS)}")


class Linear:
    """y = W x + b with packed weights.

    Args:
        weight: W (O, I) float32.
        bias: b (O,) float32, or None.
        precision: how the weights are kept: "fp32", "bf16" or "int8".
        threads: that share a product.
        isa: the instruction set; "" takes the widest of this CPU.
    Raises:
        OptionError: the precision is unknown, or the number of threads is out of range.
        ValueError: the shapes do not fit.
    """

    def __init__(
        self,
        weight: ArrayLike,
        bias: ArrayLike | None = None,
        precision: str = "fp32",
        threads: int = 1,
        isa: str = "",
    ) -> None:
        check_precision(precision)
        check_threads(threads)
        matrix = real_numbers(weight, "weight")
        vector = None if bias is None else real_numbers(bias, "bias")
        if matrix.ndim != 2 or (vector is not None and vector.shape != matrix.shape[:1]):
            shape = "" if vector is None else f" and bias {vector.shape}"
            raise ValueError(f"weight has the shape {matrix.shape}{shape}, expected (O, I) and (O,)")
        self.output_size, self.input_size = matrix.shape
        self._threads = threads
        self._native = _native.Linear(matrix, vector, precision, isa)

    def __call__(self, inputs: ArrayLike) -> Array:
        """(..., I) float32 -> (..., O) float32.

        Raises:
            ValueError: the last dimension is another.
        """
        array = real_numbers(inputs, "inputs")
        if array.shape[-1:] != (self.input_size,):
            raise ValueError(f"inputs have the shape {array.shape}, expected (..., {self.input_size})")
        products = self._native(array.reshape(-1, self.input_size), self._threads)
        return products.reshape(*array.shape[:-1], self.output_size)


class Recurrent:
    """A cell through time, as `throughtime.Recurrent` in evaluation mode.

    Args:
        weights: the network's tensors; which options an LSTM has is seen from them.
        prefix: of the names, such as "recurrent.".
        cell: "rnn", "lstm" or "gru"; any other is run by its program, which comes with the weights.
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
        OptionError: an option is out of its range (the message names it), or the cell is another and has no
            program.
        CheckpointError: a tensor is missing, has another shape, or is one that no such cell has; or the
            layers do not agree.
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
        check_recurrence(cell, layers, zoneout, activation)
        check_threads(threads)
        found = weights if isinstance(weights, Weights) else Weights(weights)
        self.directions = 2 if bidirectional else 1
        self._threads = threads
        self._layers: list[_native.Layer] = []
        known: set[str] = set()
        begins: list[tuple[Array, ...]] = []  # where each cell's state begins, of those with a program
        inputs: int | None = None
        for number in range(layers * self.directions):
            if number and number % self.directions == 0:
                inputs = self._layers[-1].output_size * self.directions
            name = f"{prefix}cells.{number}."
            try:
                if cell in CELLS:
                    tensors = layer_tensors(found, name, cell, inputs)
                    inputs = tensors["weight_ih"].shape[1]
                    layer = _native.Layer(
                        tensors, cell, activation, reset_after, zoneout, zoneout, precision, isa
                    )
                else:
                    program = cell_program(found, name, cell, inputs)
                    tensors = program_tensors(found, name, program)
                    inputs = program.input_size
                    rates = [zoneout] * len(program.state_sizes)
                    plan = Plan(program, tensors, rates).flat()
                    layer = _native.Layer.of_plan(plan.numbers, plan.arrays, precision, isa)
                    begins.append(initial_state(program, tensors, 1))
                known |= {name + key for key in tensors}
            except OptionError:
                raise
            except ValueError as error:
                raise CheckpointError(
                    f"{found.name}: {name[:-1]} does not fit config.toml: {error}"
                ) from None
            if number == 0:
                self.input_size = inputs
            elif (layer.state_sizes, layer.output_size) != (
                self._layers[0].state_sizes,
                self._layers[0].output_size,
            ):
                raise CheckpointError(
                    f"{found.name}: {name[:-1]} has a state of {layer.state_sizes} numbers, and the first "
                    f"layer one of {self._layers[0].state_sizes}"
                )
            self._layers.append(layer)
        self.state_sizes = tuple(self._layers[0].state_sizes)
        self.output_size = self._layers[0].output_size
        names = [f"{prefix}initial.{part}" for part in range(len(self.state_sizes))]
        self._initial = initial_states(found, names, len(self._layers), self.state_sizes)
        if begins and self._initial[0] is None:
            self._initial = tuple(np.concatenate(parts) for parts in zip(*begins, strict=True))
        found.refuse_others((f"{prefix}cells.", f"{prefix}initial."), known.union(names))

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
        self, inputs: ArrayLike, state: State | None = None, lengths: ArrayLike | None = None
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
            ValueError: a shape does not fit, or a length is no whole number or out of range (the message
                names the row).
        """
        outputs = real_numbers(inputs, "inputs")
        if outputs.ndim != 3 or outputs.shape[2] != self.input_size:
            raise ValueError(f"inputs have the shape {outputs.shape}, expected (T, B, {self.input_size})")
        rows = outputs.shape[1]
        state = self.initial_state(rows) if state is None else self._as_state(state, rows)
        counted = None if lengths is None else np.ascontiguousarray(whole_numbers(lengths, "lengths"))
        if counted is not None and counted.shape != (rows,):
            raise ValueError(f"lengths have the shape {counted.shape}, expected ({rows},), one a sequence")
        finals: list[State] = []
        for first in range(0, len(self._layers), self.directions):
            both = []
            for number in range(first, first + self.directions):
                mine = [part[number] for part in state]
                backward = number > first
                both.append(self._layers[number].scan(outputs, mine, counted, backward, self._threads))
            outputs = np.concatenate([output for output, _ in both], -1) if len(both) > 1 else both[0][0]
            finals += [final for _, final in both]
        return outputs, tuple(np.stack(parts) for parts in zip(*finals, strict=True))

    def _as_state(self, state: Sequence[ArrayLike], rows: int) -> State:
        parts = tuple(real_numbers(part, "the state") for part in state)
        shapes = tuple(part.shape for part in parts)
        expected = tuple((len(self._layers), rows, size) for size in self.state_sizes)
        if shapes != expected:
            raise ValueError(f"the state has the shapes {list(shapes)}, expected {list(expected)}")
        return parts


def layer_tensors(weights: Weights, prefix: str, cell: str, inputs: int | None = None) -> dict[str, Array]:
    """A layer's tensors by the names that they have behind the prefix, as the native part takes them.

    Args:
        inputs: I, where it is known.
    Raises:
        CheckpointError: a tensor is missing, is no matrix or vector of floats, or is none of this cell's.
    """
    names = list(_MATRICES)
    for group in _OPTIONAL[cell]:
        if any(prefix + name in weights for name in group):
            names += group
    weights.refuse_others((prefix,), {prefix + name for name in names})
    tensors = {}
    for name in names:
        columns = (inputs if name == "weight_ih" else None,) if name.startswith("weight_") else ()
        tensors[name] = weights.tensor(prefix + name, (None, *columns))
    return tensors


def cell_program(weights: Weights, prefix: str, cell: str, inputs: int | None = None) -> CellProgram:
    """The program of a cell that is none of `CELLS`.

    Args:
        inputs: I, where it is known.
    Raises:
        OptionError: there is none.
        CheckpointError: it reads another number of inputs.
    """
    program = weights.programs.get(prefix.removesuffix("."))
    if program is None:
        raise OptionError(
            f"cell {cell[:60]!r} has no program for {prefix.removesuffix('.')}, and without one the native "
            f"backend runs {', '.join(CELLS)} only: train the run again, or use --backend torch"
        )
    if inputs is not None and program.input_size != inputs:
        raise CheckpointError(
            f"{weights.name}: the program of {prefix[:-1]} reads {program.input_size} numbers, and gets "
            f"{inputs}"
        )
    return program


def program_tensors(weights: Weights, prefix: str, program: CellProgram) -> dict[str, Array]:
    """The tensors that a cell's program reads, by the names that they have in it.

    Raises:
        CheckpointError: one is missing or has another shape, or there are more.
    """
    read = {name: type for function in program.functions.values() for name, type in function.weights.items()}
    weights.refuse_others((prefix,), {prefix + name for name in read})
    shapes = {name: tuple(int(side) for side in type.shape) for name, type in read.items()}
    return {name: weights.tensor(prefix + name, shape) for name, shape in shapes.items()}


def initial_states(
    weights: Weights, names: Sequence[str], layers: int, sizes: Sequence[int | None]
) -> tuple[Array | None, ...]:
    """The learned states before the first step, (L, S) for each tensor of the state; None where they are 0.

    Raises:
        CheckpointError: one has another shape, or only some of them are there.
    """
    if not any(name in weights for name in names):
        return (None,) * len(names)
    return tuple(weights.tensor(name, (layers, size)) for name, size in zip(names, sizes, strict=True))


def _is_whole(value: object) -> bool:
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)
