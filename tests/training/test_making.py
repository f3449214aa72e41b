"""What the first line of a training says of the kernels."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from throughtime import Cell, Recurrent
from throughtime.cells import State
from throughtime.training.making import kernels_of


class Forgetful(Cell):
    """Draws random numbers, which no program does."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size, state_sizes=(hidden_size,))
        self.linear = nn.Linear(input_size + hidden_size, hidden_size)

    def step(self, projected: Tensor, state: State) -> tuple[Tensor, State]:
        h = torch.tanh(self.linear(torch.cat([projected, state[0]], -1)))
        return nn.functional.dropout(h, 0.5, self.training), (h,)


def test_it_names_the_kernel_that_a_precision_gets() -> None:
    def kernels(cell: Any, precision: str, hidden: int = 4) -> str:
        return kernels_of(Recurrent(cell, 3, hidden), precision, 8, torch.device("cpu"))

    assert kernels("gru", "bf16") == kernels("gru", "fp32") == "native"
    assert (kernels("lstm", "fp32", 400), kernels("lstm", "bf16", 400)) == ("torch", "native")


def test_it_says_why_a_cell_trains_in_the_loop() -> None:
    said = kernels_of(Recurrent(Forgetful, 3, 4), "bf16", 8, torch.device("cpu"))
    assert said.startswith("reference (native: Forgetful cannot become a program")
    assert "dropout" in said
