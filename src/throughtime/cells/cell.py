"""What every recurrent cell is: one equation, split into the part with the state and the part without."""

from __future__ import annotations

import copy
import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from throughtime.errors import OptionError

State = tuple[Tensor, ...]


def _letters(count: int) -> list[str]:
    """Names of the parts of a state in an example: h, c, and s3 and so on."""
    return ["h", "c", *(f"s{number}" for number in range(3, count + 1))][:count]


def _described(value: object) -> str:
    """What a step returned, by its types."""
    if isinstance(value, (tuple, list)):
        return f"a {type(value).__name__} of {', '.join(map(_described, value)) or 'nothing'}"
    return "a tensor" if isinstance(value, Tensor) else f"a {type(value).__name__}"


class Cell(nn.Module, ABC):
    """One step of a recurrence. Subclass it to run your own equation with `throughtime.Recurrent`.

    A cell gives its sizes, `project` (what does not depend on the state, for all steps at once) and `step`
    (the recurrence). Everything else (layers, directions, lengths, dropout, zoneout) is `Recurrent`'s.

    Example:
        class MinimalGatedUnit(Cell):                       # Zhou et al. 2016
            def __init__(self, input_size, hidden_size):
                super().__init__(input_size, hidden_size, state_sizes=(hidden_size,))
                self.forget = nn.Linear(input_size + hidden_size, hidden_size)
                self.candidate = nn.Linear(input_size + hidden_size, hidden_size)

            def step(self, x, state):
                (h,) = state
                f = torch.sigmoid(self.forget(torch.cat([x, h], -1)))
                n = torch.tanh(self.candidate(torch.cat([x, f * h], -1)))
                h = (1 - f) * h + f * n
                return h, (h,)

    Args:
        input_size: I.
        hidden_size: H.
        state_sizes: the sizes of the tensors that the state is made of, the hidden state first.
        output_size: the size of what a step gives out; None is that of the hidden state.
    """

    def __init__(
        self, input_size: int, hidden_size: int, state_sizes: tuple[int, ...], output_size: int | None = None
    ) -> None:
        super().__init__()
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.state_sizes = state_sizes
        self.output_size = state_sizes[0] if output_size is None else output_size

    if TYPE_CHECKING:
        # torch says Any of a call, and nothing of a subclass's parameters.
        def __call__(self, inputs: Tensor, state: State | None = None) -> tuple[Tensor, State]: ...
        def __getattr__(self, name: str) -> Any: ...

    def initial_state(self, batch_size: int, like: Tensor) -> State:
        """Zeros, (B, S) for each size S of the state, with the dtype and device of `like`."""
        return tuple(like.new_zeros(batch_size, size) for size in self.state_sizes)

    def project(self, inputs: Tensor) -> Tensor:
        """The part of the equation without the state. (..., I) -> (..., P); P is the cell's own choice."""
        return inputs

    @abstractmethod
    def step(self, projected: Tensor, state: State) -> tuple[Tensor, State]:
        """One step of the recurrence.

        Args:
            projected: (B, P), one time step of what `project` returned.
            state: tensors (B, S), one for each of `state_sizes`.
        Returns:
            The output (B, output_size) and the new state.
        """

    def checked_step(self, projected: Tensor, state: State) -> tuple[Tensor, State]:
        """As `step`, which a user may have written.

        Raises:
            OptionError: it returned something else than an output and a state.
        """
        found = self.step(projected, state)
        if isinstance(found, tuple) and len(found) == 2:
            output, new = found
            if isinstance(output, Tensor) and isinstance(new, tuple) and len(new) == len(state):
                return output, new
        parts = "".join(f"{name}, " for name in _letters(len(state)))
        raise OptionError(
            f"{type(self).__name__}.step returned {_described(found)}; it has to return the output and the "
            f"new state, which is a tuple of {len(state)} tensor{'s' if len(state) > 1 else ''}: "
            f"`return h, ({parts[: -1 if len(state) == 1 else -2]})`"
        )

    def gates(self, projected: Tensor, state: State) -> dict[str, Tensor]:
        """What the gates of a step are, (B, H) each, by name; empty for a cell without gates.

        Args:
            projected, state: as for `step`.
        """
        return {}

    def forward(self, inputs: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """One step from raw inputs (B, I); None is the initial state."""
        if state is None:
            state = self.initial_state(inputs.shape[0], inputs)
        return self.checked_step(self.project(inputs), state)

    def with_parameters(self, find: Callable[[str], Tensor]) -> Cell:
        """The same equation on other tensors, which are shared, not copied.

        Args:
            find: gives the tensor for a parameter's name.
        """
        twin = copy.copy(self)
        twin._parameters = {  # type: ignore[assignment]
            name: None if own is None else find(name) for name, own in self._parameters.items()
        }
        return twin

    def extra_repr(self) -> str:
        return f"{self.input_size}, {self.hidden_size}"


class GatedCell(Cell):
    """A cell with stacked gate matrices, named and initialised as in torch.nn.

    Parameters: weight_ih (G*H, I), weight_hh (G*H, S), bias_ih (G*H,), bias_hh (G*H,), where G is the number
    of gates and S the size of the hidden state.

    Attributes:
        gate_names: of the blocks of H rows in the matrices, from the top.
    """

    gate_names: tuple[str, ...]

    bias_ih: Tensor
    bias_hh: Tensor

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        gates: int,
        state_sizes: tuple[int, ...],
        bias: bool = True,
    ) -> None:
        super().__init__(input_size, hidden_size, state_sizes)
        rows = gates * hidden_size
        self.weight_ih = nn.Parameter(torch.empty(rows, input_size))
        self.weight_hh = nn.Parameter(torch.empty(rows, state_sizes[0]))
        self.register_parameter("bias_ih", nn.Parameter(torch.empty(rows)) if bias else None)
        self.register_parameter("bias_hh", nn.Parameter(torch.empty(rows)) if bias else None)

    def reset_parameters(self) -> None:
        """Draw every parameter from U(-1/sqrt(H), 1/sqrt(H)), in the order in which torch.nn does."""
        bound = 1 / math.sqrt(self.hidden_size) if self.hidden_size > 0 else 0
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -bound, bound)

    @property
    def joint_bias(self) -> Tensor | None:
        """b_ih + b_hh; two biases exist because torch.nn and cuDNN have two."""
        return None if self.bias_ih is None or self.bias_hh is None else self.bias_ih + self.bias_hh
