"""How weights begin."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from throughtime.cells import LSTM
from throughtime.cells.cell import GatedCell
from throughtime.config import RecurrenceConfig


@torch.no_grad()
def initialise(model: nn.Module, config: RecurrenceConfig) -> None:
    """Draw the weights of a network's recurrences as `config.initialisation` says.

    orthogonal: recurrent matrices orthogonal, their biases 0 and the LSTM's forget bias as configured.
    uniform: every weight of the network from U(-initial_range, initial_range). torch: as torch.nn draws.
    """
    if config.initialisation == "torch":
        return
    if config.initialisation == "uniform":
        for parameter in model.parameters():
            nn.init.uniform_(parameter, -config.initial_range, config.initial_range)
    for cell in model.modules():
        if not isinstance(cell, GatedCell):
            continue
        if config.initialisation == "orthogonal":
            nn.init.orthogonal_(cell.weight_hh)
            for bias in (cell.bias_ih, cell.bias_hh):
                if bias is not None:
                    nn.init.zeros_(bias)
        if isinstance(cell, LSTM):
            if cell.layer_norm:
                for norm in (cell.norm_ih, cell.norm_hh, cell.norm_cell):
                    norm.reset_parameters()
            if config.initialisation == "orthogonal":
                cell.set_forget_bias(config.forget_bias)


@contextmanager
def sizes_only() -> Iterator[None]:
    """Networks that are built inside have the shapes of their tensors, and take no memory for them."""
    with torch.device("meta"), _DrawsNothing(), warnings.catch_warnings():
        # Weights of a frozen CNN are loaded into what has no memory.
        warnings.simplefilter("ignore", UserWarning)
        yield


class _DrawsNothing(TorchFunctionMode):
    """Leaves out the drawing of weights: without memory it would only import torch's compiler (1.4 s)."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if getattr(func, "__name__", "") in ("normal_", "uniform_", "kaiming_uniform_"):
            return args[0] if args else kwargs["tensor"]
        return func(*args, **kwargs)
