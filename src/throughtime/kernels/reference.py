"""The plain loop over time steps: runs every cell, and defines what the other kernels must return."""

from __future__ import annotations

import torch
from torch import Tensor

from throughtime.cells import Cell, State
from throughtime.draws import uniform_like
from throughtime.kernels.scan import Kernel, Scan


def run(scan: Scan) -> tuple[Tensor, State]:
    """Run the layer step by step, the backward direction from the end."""
    outputs, finals = [], []
    for direction, cell in enumerate(scan.cells):
        state = tuple(part[direction] for part in scan.state)
        output, final = _one_direction(cell, scan, state, backward=direction == 1)
        outputs.append(output)
        finals.append(final)
    state = tuple(torch.stack(parts) for parts in zip(*finals, strict=True))
    return torch.cat(outputs, dim=-1), state


def _one_direction(cell: Cell, scan: Scan, state: State, backward: bool) -> tuple[Tensor, State]:
    projected = cell.project(scan.inputs).unbind(0)
    outputs: list[Tensor] = []
    for t in reversed(range(len(projected))) if backward else range(len(projected)):
        output, new_state = cell.checked_step(projected[t], state)
        if scan.zoneout is not None:
            kept = _zoneout(new_state, state, scan.zoneout, scan.training)
            # A cell whose output is its hidden state gives out the hidden state that goes on.
            output = kept[0] if output is new_state[0] else output
            new_state = kept
        if scan.mask is not None:
            counts = scan.mask[t].unsqueeze(-1)
            output = torch.where(counts, output, 0)
            new_state = tuple(
                torch.where(counts, new, old) for new, old in zip(new_state, state, strict=True)
            )
        state = new_state
        outputs.append(output)
    if not outputs:
        return scan.inputs.new_zeros(0, scan.inputs.shape[1], cell.output_size), state
    return torch.stack(outputs[::-1] if backward else outputs), state


def _zoneout(new: State, old: State, rates: tuple[float, ...], training: bool) -> State:
    """Keep old values at random; in evaluation, their mean (Krueger et al. 2017)."""
    if not training:
        return tuple(n + rate * (o - n) for n, o, rate in zip(new, old, rates, strict=True))
    return tuple(
        torch.where(uniform_like(n, 0) < rate, o, n) for n, o, rate in zip(new, old, rates, strict=True)
    )


REFERENCE = Kernel("reference", lambda scan: None, run)
