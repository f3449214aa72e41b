"""A recurrence run step by step, with every state kept as a node of the autograd graph."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from throughtime import nn as tt_nn
from throughtime.cells import Cell, State
from throughtime.errors import OptionError
from throughtime.recurrent import Recurrent


@dataclass(frozen=True)
class LayerTrace:
    """One layer in one direction.

    Args:
        cell: the equation.
        projected: (T, B, P), what `cell.project` made of the layer's inputs.
        states: T + 1 states (B, S), from the one before the first step; in the backward direction the first
            is the one before step T - 1, which is read first.
        backward: whether it reads from the end.
    """

    cell: Cell
    projected: Tensor
    states: list[State]
    backward: bool = False

    def part(self, index: int) -> list[Tensor]:
        """One tensor of the state at each step, without the initial one: 0 is h, 1 is an LSTM's c."""
        return [state[index] for state in self.states[1:]]


@dataclass(frozen=True)
class Trace:
    """A whole recurrence.

    Args:
        layers: layer by layer, forward before backward.
        outputs: (T, B, D * output size).
    """

    layers: list[LayerTrace]
    outputs: Tensor


def as_recurrent(module: nn.Module) -> Recurrent:
    """The module itself, or a Recurrent that shares the weights of a torch.nn.RNN, LSTM or GRU.

    What is measured is the user's module, also after its next training step.

    Raises:
        OptionError: it is neither.
    """
    if isinstance(module, Recurrent):
        return module
    if not isinstance(module, nn.RNNBase):
        raise OptionError(
            f"{type(module).__name__} is no recurrent layer: give a Recurrent or a torch.nn.LSTM"
        )
    return tt_nn.recurrent_of(module)


def trace(
    recurrent: Recurrent, inputs: Tensor, state: State | None = None, cell_path_only: bool = False
) -> Trace:
    """Run all layers, without dropout and zoneout, by the cells' own equations.

    Args:
        recurrent: any.
        inputs: (T, B, I), time first whatever `batch_first` says; T >= 1.
        state: as in `Recurrent.forward`.
        cell_path_only: cut the gradient at every hidden state that enters a step, so that what is left goes
            through the rest of the state: an LSTM's cell state.
    Raises:
        ValueError: a shape does not fit.
    """
    if inputs.dim() != 3 or inputs.shape[0] < 1 or inputs.shape[2] != recurrent.input_size:
        raise ValueError(
            f"inputs have shape {tuple(inputs.shape)}, expected (T, B, {recurrent.input_size}), T >= 1"
        )
    if state is None:
        state = recurrent.initial_state(inputs.shape[1], inputs)
    layers: list[LayerTrace] = []
    outputs = inputs
    for layer in range(recurrent.num_layers):
        pieces = []
        for direction in range(recurrent.directions):
            row = layer * recurrent.directions + direction
            cell: Cell = recurrent.cells[row]  # type: ignore[assignment]
            initial = tuple(part[row] for part in state)
            one, output = _trace_layer(cell, outputs, initial, direction == 1, cell_path_only)
            layers.append(one)
            pieces.append(output)
        outputs = torch.cat(pieces, dim=-1)
    return Trace(layers, outputs)


def _trace_layer(
    cell: Cell, inputs: Tensor, state: State, backward: bool, cell_path_only: bool
) -> tuple[LayerTrace, Tensor]:
    projected = cell.project(inputs)
    states, outputs = [state], []
    steps = projected.unbind(0)
    for one in reversed(steps) if backward else steps:
        if cell_path_only:
            state = (state[0].detach(), *state[1:])
        output, state = cell.step(one, state)
        outputs.append(output)
        states.append(state)
    output = torch.stack(outputs[::-1] if backward else outputs)
    return LayerTrace(cell, projected, states, backward), output
