"""What a kernel is asked to do: one recurrent layer over a batch of sequences."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from throughtime.cells import Cell, State


@dataclass(frozen=True)
class Scan:
    """One layer through time.

    Args:
        cells: one cell, or the forward and the backward one.
        inputs: (T, B, I).
        state: for each state tensor of the cell (D, B, S), D the number of directions.
        mask: (T, B) bool, true where a step counts; None where all do.
        lengths: (B,) int64 on the CPU, where the mask is that of right-padded sequences, else None.
        zoneout: probability to keep a unit's old value, for each state tensor; None is off.
        training: whether zoneout draws (else it takes the mean).
    """

    cells: tuple[Cell, ...]
    inputs: Tensor
    state: State
    mask: Tensor | None = None
    lengths: Tensor | None = None
    zoneout: tuple[float, ...] | None = None
    training: bool = False


@dataclass(frozen=True)
class Kernel:
    """A way to run a scan.

    Args:
        name: what `kernel=` and reports call it.
        reason_against: why it cannot run a scan, or None where it can.
        run: the outputs (T, B, D * output size), zero where masked, and the state after the last step.
        reason_to_leave: why "auto" leaves a scan that it can run to a kernel behind it, or None.
    """

    name: str
    reason_against: Callable[[Scan], str | None]
    run: Callable[[Scan], tuple[Tensor, State]]
    reason_to_leave: Callable[[Scan], str | None] = lambda scan: None
