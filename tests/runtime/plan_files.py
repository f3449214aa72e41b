"""Plans as files for native/tests, which knows nothing of Python."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tests.capture.cells import every_cell
from throughtime.capture import capture_cell, capture_step
from throughtime.kernels.chunk import Plan as ChunkPlan
from throughtime.program.gradient import derive
from throughtime.program.variants import COUNTS, with_counts, with_zoneout
from throughtime.runtime.planning.flat import FlatPlan
from throughtime.runtime.planning.plan import Plan

PROGRAM, TRAINING = range(2)
# All kinds of work that a plan has, and no more: under a sanitizer each takes seconds.
CELLS = ("gru reset before", "learned start", "mogrifier", "slstm of odd heads", "interleaved", "layer norm")


def write_plan(path: Path, kind: int, plan: FlatPlan) -> None:
    """A file for native/tests/test_plans.cpp: whole numbers of 64 bits, and arrays of 32-bit floats."""
    with path.open("wb") as file:
        np.array([kind, len(plan.numbers), *plan.numbers, len(plan.arrays)], np.int64).tofile(file)
        for array in plan.arrays:
            np.array([array.ndim, *array.shape], np.int64).tofile(file)
            array.tofile(file)


def write_plans(folder: Path) -> list[Path]:
    """The plans of some cells, to run and to train them with zoneout and steps that do not count."""
    written = []

    def write(name: str, kind: int, plan: FlatPlan) -> None:
        written.append(folder / f"{name.replace(' ', '-')}.plan")
        write_plan(written[-1], kind, plan)

    cells = every_cell()
    for name in CELLS:
        cell = cells[name]
        weights = {key: tensor.detach().numpy() for key, tensor in cell.state_dict().items()}
        rates = [0.1] * len(cell.state_sizes)
        write(f"{name} runs", PROGRAM, Plan(capture_cell(cell), weights, rates).flat())
        step = with_counts(with_zoneout(capture_step(cell), rates, False))
        plan = ChunkPlan(derive(step, frozenset([COUNTS])))
        write(f"{name} trains forward", TRAINING, plan.flat(plan.training.forward))
        write(f"{name} trains backward", TRAINING, plan.flat(plan.training.backward))
    return written
