"""One vector from the outputs of all steps; what lies past a sequence's length never counts."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from throughtime.errors import OptionError

POOLINGS = ("last", "mean", "max", "attention")


def within(steps: int, lengths: Tensor) -> Tensor:
    """Which of T steps belong to their sequence: (T, B) bool from lengths (B,)."""
    return torch.arange(steps, device=lengths.device)[:, None] < lengths[None, :]


class Pooling(nn.Module):
    """Pool the outputs of a recurrence over time.

    Kinds:
        last: the output after the whole sequence has been read. With two directions both ends: the last step
            of the forward one beside the first step of the backward one, as each has seen everything there.
        mean: the mean over steps.
        max: the largest value of each unit over steps (Collobert and Weston 2008).
        attention: a weighted mean whose weights the network computes from the outputs themselves:
            u_t = tanh(W h_t + b), alpha = softmax(u_t . u) (Yang et al. 2016, equations 5 to 7).

    Args:
        kind: one of `POOLINGS`.
        size: F, of a step's output, with all directions.
        directions: D, 1 or 2: how many equal parts F has.
    Raises:
        OptionError: the kind is unknown.
    """

    def __init__(self, kind: str, size: int, directions: int = 1) -> None:
        super().__init__()
        if kind not in POOLINGS:
            raise OptionError(f"pooling {kind!r} is unknown: use {', '.join(POOLINGS)}")
        self.kind = kind
        self.directions = directions
        if kind == "attention":
            self.attention = nn.Linear(size, size)
            self.context = nn.Parameter(torch.empty(size).uniform_(-(size**-0.5), size**-0.5))

    def forward(self, outputs: Tensor, lengths: Tensor) -> Tensor:
        """Pool each sequence over its own steps.

        Args:
            outputs: (T, B, F).
            lengths: (B,) int64, each in [1, T].
        Returns:
            (B, F).
        """
        lengths = lengths.to(outputs.device)
        if self.kind == "last":
            return self._last(outputs, lengths)
        real = within(len(outputs), lengths)[:, :, None]
        if self.kind == "max":
            return outputs.masked_fill(~real, -torch.inf).amax(0)
        if self.kind == "mean":
            return outputs.masked_fill(~real, 0.0).sum(0) / lengths[:, None]
        weights = self.weights(outputs, lengths)
        return (outputs.masked_fill(~real, 0.0) * weights[:, :, None]).sum(0)

    def weights(self, outputs: Tensor, lengths: Tensor) -> Tensor:
        """How much attention each step gets: (T, B), zero past each length; the sum over time is 1."""
        scores = torch.tanh(self.attention(outputs)) @ self.context
        real = within(len(outputs), lengths.to(outputs.device))
        return scores.masked_fill(~real, -torch.inf).softmax(0)

    def _last(self, outputs: Tensor, lengths: Tensor) -> Tensor:
        rows = torch.arange(outputs.shape[1], device=outputs.device)
        forward = outputs[lengths - 1, rows]
        if self.directions == 1:
            return forward
        half = outputs.shape[2] // 2
        return torch.cat([forward[:, :half], outputs[0, :, half:]], -1)
