"""Language models of random weights, one of every kind of cell."""

from __future__ import annotations

from functools import cache
from typing import Any

import torch

import throughtime as tt
from tests.capture.cells import LearnedStart
from tests.runtime.test_own_cells import weights_of
from throughtime.cells import Cell
from throughtime.runtime import Engine
from throughtime.runtime.weights import Weights

V, H = 19, 12
PRECISIONS = ("fp32", "bf16", "int8")
CELLS: dict[str, tuple[str | type[Cell], dict[str, Any]]] = {
    "rnn": ("rnn", {}),
    "gru": ("gru", {"zoneout": 0.2}),
    "lstm": ("lstm", {}),
    "projected": ("lstm", {"projection": 5}),
    "normalised": ("lstm", {"layer_norm": True, "zoneout": 0.2}),
    "mogrifier": ("mogrifier", {"zoneout": 0.1}),
    "slstm": ("slstm", {}),
    "mingru": ("mingru", {}),
    "learned start": (LearnedStart, {}),
}


@cache
def engine(name: str, precision: str = "fp32", threads: int = 1) -> Engine:
    """A model of random weights; its output is no part of the state for "learned start"."""
    cell, options = CELLS[name]
    torch.manual_seed(4)
    recurrent = tt.Recurrent(cell, V, H, 2, **options).eval()
    head = torch.nn.Linear(recurrent(torch.zeros(1, 1, V))[0].shape[-1], V)
    found = weights_of(recurrent) if name in ("mogrifier", "slstm", "mingru", "learned start") else None
    tensors = {
        "output.weight": 6 * head.weight.detach().numpy(),
        "output.bias": head.bias.detach().numpy(),
        **{f"recurrent.{key}": tensor.detach().numpy() for key, tensor in recurrent.state_dict().items()},
    }
    programs = {} if found is None else {f"recurrent{key[1:]}": one for key, one in found.programs.items()}
    known = {key: options[key] for key in ("zoneout",) if key in options}
    settings = {"cell": cell if isinstance(cell, str) else "own", "layers": 2, "embedding": 0, **known}
    return Engine.from_tensors(settings, Weights(tensors, programs=programs), precision, threads)
