"""What the gates do: where they stand open or shut, how long they remember, which units are dead."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from throughtime.cells import Cell, State
from throughtime.errors import OptionError
from throughtime.inspection.trace import as_recurrent, trace

BINS = 50
SHUT, OPEN = 0.1, 0.9
# A unit that never moves by more than this is no use to what reads it.
_DEAD = 1e-3
# A unit of tanh beyond this for nearly all steps passes no gradient on.
_SATURATED, _SATURATED_SHARE = 0.99, 0.95


@dataclass(frozen=True)
class GateStatistics:
    """One gate of one layer, over all steps and sequences.

    Args:
        layer: "layer 1", "layer 2 backward"...
        gate: "forget gate"...
        histogram: (50,) shares, over equal bins of [low, high].
        low, high: the range: 0 to 1 for a gate, -1 to 1 for a candidate, wider where a user's
            values are.
        mean: over everything.
        shut, open: the shares below 0.1 and above 0.9; None for a candidate.
        unit_means: (H,), each unit's mean.
    """

    layer: str
    gate: str
    histogram: NDArray[np.float64]
    low: float
    high: float
    mean: float
    shut: float | None
    open: float | None
    unit_means: NDArray[np.float64]

    @property
    def time_scales(self) -> NDArray[np.float64] | None:
        """(H,): steps after which a unit's memory has fallen to 1/e, -1 / ln f; for gates that keep a state.

        f is the geometric mean of a step's factor, approximated by the unit's mean. The GRU's update gate
        keeps with z as the LSTM's forget gate does with f.
        """
        if self.gate not in ("forget gate", "update gate"):
            return None
        with np.errstate(divide="ignore"):
            return -1 / np.log(np.clip(self.unit_means, 1e-12, 1 - 1e-12))


@dataclass(frozen=True)
class UnitStatistics:
    """The hidden units of one layer.

    Args:
        layer: its name.
        dead: units whose hidden state moves by less than 0.001.
        saturated: units with |h| above 0.99 in more than 95 % of the steps.
        units: H.
    """

    layer: str
    dead: int
    saturated: int
    units: int


def gate_statistics(
    module: nn.Module, inputs: Tensor, state: State | None = None
) -> tuple[list[GateStatistics], list[UnitStatistics]]:
    """Run sequences and look at every gate and every hidden unit.

    Args:
        module: a `Recurrent`, or a torch.nn.RNN, LSTM or GRU.
        inputs: (T, N, I).
        state: before them.
    Returns:
        The gates, layer by layer (none for a cell without gates), and the units of each layer.
    """
    recurrent = as_recurrent(module)
    with torch.no_grad():
        traced = trace(recurrent, inputs, state)
        gates: list[GateStatistics] = []
        units: list[UnitStatistics] = []
        for index, layer in enumerate(traced.layers):
            name = f"layer {index // recurrent.directions + 1}{' backward' if layer.backward else ''}"
            steps = layer.projected.flip(0) if layer.backward else layer.projected
            values: dict[str, list[Tensor]] = {}
            for projected, before in zip(steps, layer.states, strict=False):
                for gate, value in _checked(layer.cell, layer.cell.gates(projected, before)).items():
                    values.setdefault(gate, []).append(value)
            gates += [_gate(name, gate, torch.stack(parts)) for gate, parts in values.items()]
            units.append(_units(name, torch.stack(layer.part(0))))
    return gates, units


def _checked(cell: Cell, gates: Any) -> dict[str, Tensor]:
    """What a cell, which a user may have written, says of its gates.

    Raises:
        OptionError: that is no dictionary of tensors (B, H).
    """
    if isinstance(gates, dict) and all(isinstance(one, Tensor) and one.ndim == 2 for one in gates.values()):
        return gates
    raise OptionError(
        f"{type(cell).__name__}.gates has to return a dictionary of tensors (B, H) by name: "
        '`return {"forget gate": f}`'
    )


def _gate(layer: str, gate: str, values: Tensor) -> GateStatistics:
    numbers = values.flatten(0, 1).double().cpu().numpy()
    least, most = float(numbers.min()), float(numbers.max())
    low = min(-1.0, least) if gate == "candidate" or least < 0 else 0.0
    high = max(1.0, most)
    counts, _ = np.histogram(numbers, BINS, (low, high))
    is_gate = (low, high) == (0.0, 1.0)
    return GateStatistics(
        layer,
        gate,
        counts / numbers.size,
        low,
        high,
        float(numbers.mean()),
        float((numbers < SHUT).mean()) if is_gate else None,
        float((numbers > OPEN).mean()) if is_gate else None,
        numbers.mean(axis=0),
    )


def _units(layer: str, hidden: Tensor) -> UnitStatistics:
    numbers = hidden.flatten(0, 1)
    moved = numbers.amax(0) - numbers.amin(0)
    saturated = (numbers.abs() > _SATURATED).double().mean(0) > _SATURATED_SHARE
    return UnitStatistics(
        layer, int((moved < _DEAD).sum()), int((saturated & (moved >= _DEAD)).sum()), numbers.shape[-1]
    )
