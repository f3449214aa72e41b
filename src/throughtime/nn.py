"""RNN, LSTM and GRU as torch.nn has them, on the kernels of Throughtime.

They are subclasses of torch.nn's. Arguments, parameters, messages, and all that works on a torch.nn.LSTM
(state dicts, parametrizations, pruning, `torch.func.functional_call`) are PyTorch's own. What differs is the
way through time, wherever a kernel of Throughtime is faster than PyTorch's call.

A single step has nothing to gain: RNNCell, LSTMCell and GRUCell are torch.nn's.
"""

from __future__ import annotations

import copy
import functools
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import GRUCell, LSTMCell, RNNCell
from torch.nn.utils.rnn import PackedSequence

from throughtime.recurrent import Recurrent, run_eagerly

__all__ = ["GRU", "LSTM", "RNN", "GRUCell", "LSTMCell", "RNNCell", "recurrent_of"]


def recurrent_of(module: nn.RNNBase) -> Recurrent:
    """A Recurrent that computes with the weights that a torch.nn.RNN, LSTM or GRU has at this moment.

    The tensors are shared, not copied: gradients go to the module, and changes in place show in both.
    """
    return _with_weights(_without_weights(**_arguments(module)), module)


class _Layers(nn.RNNBase):
    """What the three classes share: the way through time."""

    @run_eagerly
    def forward(self, input: Tensor | PackedSequence, hx: Any = None) -> tuple[Any, Any]:
        """As torch.nn's: (T, B, I), (B, T, I) with batch_first, (T, I) unbatched, or a PackedSequence.

        Args:
            input: float, of the weights' dtype.
            hx: h (L * D, B, H), for the LSTM (h, c); unbatched without B; None is zeros.
        Returns:
            The outputs in the form of the input, and the last state in the form of hx.
        Raises:
            RuntimeError, ValueError: as torch.nn, with the same messages.
        """
        if isinstance(input, PackedSequence) or not self._runs_here(input, hx):
            return super().forward(input, hx)
        state = hx if hx is None or self.mode == "LSTM" else (hx,)
        recurrent = _with_weights(copy.copy(_plan(**_arguments(self))), self)
        if input.dim() == 3:
            outputs, final = recurrent(input, state)
        else:
            batch = 0 if self.batch_first else 1
            state = None if state is None else tuple(part.unsqueeze(1) for part in state)
            outputs, final = recurrent(input.unsqueeze(batch), state)
            outputs, final = outputs.squeeze(batch), tuple(part.squeeze(1) for part in final)
        return outputs, (final if self.mode == "LSTM" else final[0])

    def _runs_here(self, input: Tensor, hx: Any) -> bool:
        """Whether a kernel of Throughtime's is faster than PyTorch's call, and everything fits.

        What does not fit goes to PyTorch, which refuses it in its own words.
        """
        if input.dim() not in (2, 3) or 0 in input.shape:
            return False
        steps = input.unsqueeze(1) if input.dim() == 2 else input
        steps = steps.transpose(0, 1) if self.batch_first and input.dim() == 3 else steps
        plan = _plan(**_arguments(self))
        if plan.kernel_for(steps)[0].name == "torch":
            return False
        rows = (len(plan.cells), *steps.shape[1 : input.dim() - 1])
        expected = [(*rows, size) for size in plan.state_sizes]
        state = () if hx is None else hx if self.mode == "LSTM" else (hx,)
        return (
            input.shape[-1] == self.input_size
            and {part.dtype for part in (input, *state)} == {self.all_weights[0][0].dtype}
            and (hx is None or [tuple(part.shape) for part in state] == expected)
        )


class RNN(_Layers, nn.RNN):
    """torch.nn.RNN, tanh or relu. See `throughtime.cells.RNN` for the equation."""


class LSTM(_Layers, nn.LSTM):
    """torch.nn.LSTM, with proj_size. See `throughtime.cells.LSTM` for the equations."""


class GRU(_Layers, nn.GRU):
    """torch.nn.GRU (reset after the matrix product). See `throughtime.cells.GRU` for the equations."""


def _arguments(module: nn.RNNBase) -> dict[str, Any]:
    """What makes a Recurrent of the module's kind and sizes."""
    if module.mode == "LSTM":
        options: dict[str, Any] = {"cell": "lstm", "projection": module.proj_size}
    elif module.mode == "GRU":
        options = {"cell": "gru"}
    else:
        options = {"cell": "rnn", "activation": module.mode.removeprefix("RNN_").lower()}
    names = ("input_size", "hidden_size", "num_layers", "bias", "batch_first", "dropout", "bidirectional")
    return options | {name: getattr(module, name) for name in names}


def _without_weights(**arguments: Any) -> Recurrent:
    with torch.device("meta"):
        return Recurrent(**arguments)


# Making a Recurrent takes longer than a step of it, and copies of one cost little.
_plan = functools.lru_cache(maxsize=64)(_without_weights)


def _with_weights(recurrent: Recurrent, module: nn.RNNBase) -> Recurrent:
    """Give a Recurrent the weights of a module."""

    def find(name: str, index: int) -> Tensor:
        layer, backward = divmod(index, recurrent.directions)
        return getattr(module, f"{name}_l{layer}{'_reverse' if backward else ''}")

    cells = [
        cell.with_parameters(functools.partial(find, index=index))  # type: ignore[union-attr]
        for index, cell in enumerate(recurrent.cells)
    ]
    # Assigned as a whole: a copy shares the dictionary with its original.
    recurrent._modules = {"cells": nn.ModuleList(cells)}
    recurrent.training = module.training
    return recurrent
