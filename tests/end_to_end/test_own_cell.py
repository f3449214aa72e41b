"""A cell in a file of the user's, through every command; without the file and torch where none is needed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.training.test_trainer import TEXT

CELL = """
import torch
import throughtime as tt
from torch import nn


class MinimalGatedUnit(tt.Cell):  # Zhou et al. 2016
    def __init__(self, input_size, hidden_size, sharpness=1.0):
        super().__init__(input_size, hidden_size, state_sizes=(hidden_size,))
        self.forget = nn.Linear(input_size + hidden_size, hidden_size)
        self.candidate = nn.Linear(input_size + hidden_size, hidden_size)
        self.sharpness = sharpness

    def step(self, x, state):
        (h,) = state
        f = torch.sigmoid(self.sharpness * self.forget(torch.cat([x, h], -1)))
        n = torch.tanh(self.candidate(torch.cat([x, f * h], -1)))
        h = (1 - f) * h + f * n
        return h, (h,)

    def gates(self, x, state):
        f = torch.sigmoid(self.sharpness * self.forget(torch.cat([x, *state], -1)))
        return {"update gate": 1 - f}


class Branches(MinimalGatedUnit):
    def step(self, x, state):
        if x.sum() > 0:
            x = -x
        return super().step(x, state)
"""
OPTIONS = [
    "--hidden",
    "12",
    "--embedding",
    "6",
    "--epochs",
    "2",
    "--chunk",
    "5",
    "--batch",
    "3",
    "--threads",
    "1",
]


def throughtime(
    folder: Path, *arguments: str, without_torch: bool = False
) -> subprocess.CompletedProcess[str]:
    code = "from throughtime.cli import main; main()"
    if without_torch:
        code = f"import sys; sys.modules['torch'] = None; {code}"
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], cwd=folder, capture_output=True, text=True, check=False
    )


@pytest.mark.slow  # nine processes, most of which import torch
def test_a_cell_of_ones_own_goes_everywhere(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text(TEXT)
    (tmp_path / "my_cells.py").write_text(CELL)
    cell = ["--cell", "my_cells.py:MinimalGatedUnit", "--cell-option", "sharpness=2"]
    trained = throughtime(tmp_path, "train", "text.txt", *cell, *OPTIONS, "--out", "run")
    assert trained.returncode == 0, trained.stderr
    assert "MinimalGatedUnit 2 x 12" in trained.stderr
    greedy = ["sample", "run", "--prompt", "the", "--length", "20", "--greedy"]
    in_torch = throughtime(tmp_path, *greedy, "--backend", "torch")
    resumed = throughtime(tmp_path, "train", "--resume", "run", "--epochs", "3")
    assert resumed.returncode == 0, resumed.stderr
    inspected = throughtime(tmp_path, "inspect", "run", "text.txt")
    assert inspected.returncode == 0, inspected.stderr
    assert "update gate" in inspected.stdout and (tmp_path / "run" / "inspection" / "gates.png").exists()
    exported = throughtime(tmp_path, "export", "run", "--onnx", "--json")
    assert exported.returncode == 0, exported.stderr
    quantised = throughtime(tmp_path, "quantize", "run", "--json")
    figures = json.loads(quantised.stdout)["figures"]["loss (nats a token)"]
    assert figures[1] == pytest.approx(figures[0], rel=0.02)

    before = throughtime(tmp_path, *greedy, "--backend", "torch")
    (tmp_path / "my_cells.py").unlink()
    alone = throughtime(tmp_path, *greedy, without_torch=True)
    assert alone.returncode == 0, alone.stderr
    assert alone.stdout == before.stdout and in_torch.returncode == 0
    gone = throughtime(tmp_path, *greedy, "--backend", "torch")
    assert gone.returncode == 2 and "my_cells.py: no such file" in gone.stderr

    (tmp_path / "my_cells.py").write_text(CELL.replace("(1 - f) * h + f * n", "f * h + (1 - f) * n"))
    changed = throughtime(tmp_path, "train", "--resume", "run", "--epochs", "4")
    assert changed.returncode == 2 and "computes something else" in changed.stderr
    (tmp_path / "run" / "cells.py").write_text(CELL)
    config = tmp_path / "run" / "config.toml"
    config.write_text(
        config.read_text().replace(str(tmp_path / "my_cells.py"), str(tmp_path / "run" / "cells.py"))
    )
    inside = throughtime(tmp_path, *greedy)
    assert inside.returncode == 2 and "lies in the run folder itself" in inside.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--cell", "my_cells.py:Branches"],
            "my_cells.py line 28 (`if x.sum() > 0:`): it branches on the value",
        ),
        (["--cell", "my_cells.py:Minimal"], "has no 'Minimal'; its cells are MinimalGatedUnit, Branches"),
        (["--cell", "nowhere.py:Cell"], "nowhere.py: no such file"),
        (["--cell", "broken.py:Cell"], "broken.py line 1: SyntaxError"),
        (
            ["--cell", "my_cells.py:MinimalGatedUnit", "--cell-option", "sharp=1"],
            "does not take these options",
        ),
        (["--cell", "slstm", "--cell-option", "heads"], "is not NAME=VALUE"),
        (["--cell", "slstm", "--cell-option", "heads=5"], "heads must divide hidden_size 12"),
        (["--cell", "gru", "--cell-option", "heads=5"], "whose options are reset_after"),
    ],
)
def test_what_is_wrong_with_a_cell_is_one_line_and_leaves_no_run(
    arguments: list[str], message: str, tmp_path: Path
) -> None:
    (tmp_path / "text.txt").write_text(TEXT)
    (tmp_path / "my_cells.py").write_text(CELL)
    (tmp_path / "broken.py").write_text("def (\n")
    found = throughtime(tmp_path, "train", "text.txt", *arguments, *OPTIONS, "--out", "run")
    assert found.returncode == 2 and message in found.stderr, found.stderr
    assert found.stderr.count("\n") == 1 and not (tmp_path / "run").exists()
