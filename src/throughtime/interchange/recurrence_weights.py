"""The weights of a recurrence as arrays with their options beside them, without PyTorch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from throughtime.config.recurrence import RecurrenceConfig
from throughtime.errors import RunError

Array = NDArray[Any]
# Blocks of rows in the stacked matrices; a coupled LSTM has three.
GATES = {"rnn": 1, "gru": 3, "lstm": 4}


@dataclass(frozen=True)
class CellWeights:
    """One cell of one layer and direction.

    Args:
        kind: "rnn", "lstm" or "gru".
        arrays: by the names that the cell's parameters have in `throughtime.cells`.
        options: the cell's own: activation, reset_after, peephole, projection, coupled, layer_norm.
    """

    kind: str
    arrays: Mapping[str, Array]
    options: Mapping[str, Any] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Array:
        return self.arrays[name]

    def get(self, name: str) -> Array | None:
        """An array, or None where the cell has none of that name."""
        return self.arrays.get(name)

    @property
    def hidden_size(self) -> int:
        """H."""
        gates = GATES[self.kind] - bool(self.options.get("coupled"))
        return self["weight_ih"].shape[0] // gates

    @property
    def input_size(self) -> int:
        """I."""
        return self["weight_ih"].shape[1]

    @property
    def state_sizes(self) -> tuple[int, ...]:
        """S of each tensor of the state, the hidden state first."""
        size = self["weight_hh"].shape[1]
        return (size, self.hidden_size) if self.kind == "lstm" else (size,)


@dataclass(frozen=True)
class RecurrenceWeights:
    """All cells of a `throughtime.Recurrent`.

    Args:
        cells: layer by layer, forward before backward.
        directions: D, 1 or 2.
        zoneout: how much of its old value each unit keeps.
        initial: the learned state before the first step, (L * D, S) each; None is zeros.
    """

    cells: tuple[CellWeights, ...]
    directions: int = 1
    zoneout: float = 0.0
    initial: tuple[Array, ...] | None = None

    @property
    def layers(self) -> int:
        """L."""
        return len(self.cells) // self.directions

    @property
    def state_sizes(self) -> tuple[int, ...]:
        """As of a cell."""
        return self.cells[0].state_sizes

    @property
    def output_size(self) -> int:
        """Of a step, with all directions."""
        return self.state_sizes[0] * self.directions

    @property
    def state_names(self) -> tuple[str, ...]:
        """Of the state's tensors."""
        return ("h", "c")[: len(self.state_sizes)]


def read_recurrence(
    tensors: Mapping[str, Array], config: RecurrenceConfig, prefix: str = "recurrent.", directions: int = 1
) -> RecurrenceWeights:
    """The recurrence among a run's weights.

    Args:
        tensors: the run's weights.
        config: the run's options of the recurrence.
        prefix: of its names.
        directions: D.
    Raises:
        RunError: there is none under that prefix.
    """
    options = config.cell_options()
    cells: list[CellWeights] = []
    while arrays := under(tensors, f"{prefix}cells.{len(cells)}."):
        cells.append(CellWeights(config.cell, arrays, options))
    if not cells or len(cells) % directions:
        raise RunError(f"the weights hold {len(cells)} cells under {prefix!r}: they do not fit config.toml")
    initial = under(tensors, f"{prefix}initial.")
    return RecurrenceWeights(
        tuple(cells),
        directions,
        config.zoneout,
        tuple(initial[str(part)] for part in range(len(initial))) if initial else None,
    )


def under(tensors: Mapping[str, Array], prefix: str) -> dict[str, Array]:
    """The tensors whose names begin with a prefix, without it, as float32."""
    return {
        name[len(prefix) :]: np.asarray(array, dtype=np.float32)
        for name, array in tensors.items()
        if name.startswith(prefix)
    }
