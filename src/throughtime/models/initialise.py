"""How weights begin."""

from __future__ import annotations

import torch
from torch import nn

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
