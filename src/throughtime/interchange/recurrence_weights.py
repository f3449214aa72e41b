"""The weights of a recurrence as arrays with their options beside them, without PyTorch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from throughtime.errors import OptionError

if TYPE_CHECKING:
    from throughtime.recurrent import Recurrent

Array = NDArray[Any]

# Blocks of rows in the stacked matrices; a coupled LSTM has three.
GATES = {"rnn": 1, "lstm": 4, "gru": 3}
# The options of each cell, as its class and config.toml have them.
_OPTIONS = {
    "rnn": ("activation",),
    "gru": ("reset_after",),
    "lstm": ("peephole", "projection", "coupled", "layer_norm"),
}


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
        zoneout: for each tensor of the state, how much of its old value a unit keeps; None is off.
        initial: the learned state before the first step, (L * D, S) each; None is zeros.
    """

    cells: tuple[CellWeights, ...]
    directions: int = 1
    zoneout: tuple[float, ...] | None = None
    initial: tuple[Array, ...] | None = None

    @classmethod
    def of(cls, recurrent: Recurrent) -> RecurrenceWeights:
        """The weights of one of Throughtime's layers.

        Raises:
            OptionError: it has a cell of the user's own.
        """
        from throughtime.cells import CELLS

        kinds = {cell: kind for kind, cell in CELLS.items()}
        cells = []
        for cell in recurrent.cells:
            kind = kinds.get(type(cell))  # type: ignore[arg-type]
            if kind not in GATES:
                raise OptionError(
                    f"others have no cell like {type(cell).__name__}: only {', '.join(GATES)} can go there"
                )
            options = {name: getattr(cell, name) for name in _OPTIONS[kind]}
            arrays = {name: _array(tensor) for name, tensor in cell.state_dict().items()}
            cells.append(CellWeights(kind, arrays, options))
        initial = None if recurrent.initial is None else tuple(_array(part) for part in recurrent.initial)
        return cls(tuple(cells), recurrent.directions, recurrent.zoneout, initial)

    def arguments(self) -> dict[str, Any]:
        """What `throughtime.Recurrent` is made with."""
        first = self.cells[0]
        arguments: dict[str, Any] = {
            "cell": first.kind,
            "input_size": first.input_size,
            "hidden_size": first.hidden_size,
            "num_layers": self.layers,
            "bidirectional": self.directions == 2,
            "bias": first.get("bias_ih") is not None,
            **first.options,
        }
        if self.zoneout is not None:
            arguments["zoneout"] = self.zoneout
        if self.initial is not None:
            arguments["learned_initial_state"] = True
        return arguments

    def tensors(self) -> dict[str, Array]:
        """The arrays by the names that they have in the `state_dict` of a `throughtime.Recurrent`."""
        named = {
            f"cells.{number}.{name}": array
            for number, cell in enumerate(self.cells)
            for name, array in cell.arrays.items()
        }
        return named | {f"initial.{number}": part for number, part in enumerate(self.initial or ())}

    def build(self) -> Recurrent:
        """The layer with these weights. Needs torch.

        Raises:
            MissingExtraError: torch is not installed.
        """
        from throughtime.run import require_torch

        require_torch()
        import torch

        from throughtime.recurrent import Recurrent

        recurrent = Recurrent(**self.arguments())
        recurrent.load_state_dict(
            {name: torch.from_numpy(np.array(array)) for name, array in self.tensors().items()}
        )
        return recurrent

    @property
    def layers(self) -> int:
        """L."""
        return len(self.cells) // self.directions

    @property
    def output_size(self) -> int:
        """The size of a step's output, with all directions."""
        return self.cells[0].state_sizes[0] * self.directions


def _array(tensor: Any) -> Array:
    return tensor.detach().cpu().float().numpy()
