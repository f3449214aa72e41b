"""What the first line of a training says of the kernels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tests.training.test_trainer import SMALL
from throughtime import Cell, Recurrent
from throughtime.cells import State
from throughtime.run.summary import summary
from throughtime.training import resume, train
from throughtime.training.checkpoint import CHECKPOINT, Checkpoint
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


def test_a_run_remembers_it(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("to be or not to be\n" * 40)
    run = train(tmp_path / "text.txt", out=tmp_path / "run", cell="gru", **SMALL)
    assert run.describe()["trained_on"] == {
        "kernels": "native",
        "threads": 1,
        "torch": torch.__version__,
    }
    assert "trained on" in str(summary(run.describe(), run.objective))
    # A checkpoint from before it was written says nothing of it, and goes on.
    checkpoint = Checkpoint.load(run.folder / CHECKPOINT)
    del checkpoint.state["kernels"]
    checkpoint.save(run.folder / CHECKPOINT)
    assert run.describe()["trained_on"]["kernels"] == ""
    resume(run.folder, epochs=3)
