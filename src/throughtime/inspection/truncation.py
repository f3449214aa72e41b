"""How much of the gradient a chunk length keeps.

The full gradient of a window's mean loss is compared with that of truncated BPTT, which carries the state
from chunk to chunk and cuts the gradient there. Cost: a forward and a backward pass for each chunk length.

Source: the bias of truncated BPTT, Aicher, Foti and Fox 2019 (arXiv 1905.07473).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from throughtime.cells import State
from throughtime.errors import OptionError
from throughtime.notebooks import picture_of, table
from throughtime.recurrent import Recurrent

# (T, N, ...) inputs of a chunk, their targets and the state -> the SUM of the chunk's losses, and the state.
ChunkLoss = Callable[[Tensor, Any, State | None], tuple[Tensor, State]]


@dataclass(frozen=True)
class ChunkError:
    """One chunk length against the full gradient.

    Args:
        chunk: its length in steps.
        cosine: between the two gradients.
        relative_norm: |truncated| / |full|.
        kept: cosine x relative norm (at most 1): the share of the full gradient that the truncated one
            contains in its direction.
        error: |truncated - full| / |full|: stricter, 0 where nothing is lost.
    """

    chunk: int
    cosine: float
    relative_norm: float
    kept: float
    error: float


@dataclass(frozen=True)
class TruncationError:
    """Chunk lengths in increasing order; the last one is the whole window."""

    chunks: list[ChunkError]

    def smallest(self, share: float) -> int | None:
        """The smallest chunk from which on at least this share of the gradient is kept; None for none."""
        found = None
        for error in reversed(self.chunks):
            if error.kept < share:
                break
            found = error.chunk
        return found

    def figure(self) -> Any:
        """The share of the gradient that each chunk length keeps, as a figure of matplotlib."""
        from throughtime.inspection.plots import truncation_figure

        return truncation_figure({"": self})

    def _repr_html_(self) -> str:
        heads = ("chunk", "cosine", "relative norm", "kept", "error")
        return table((vars(one).values() for one in self.chunks), heads) + picture_of(self.figure())  # type: ignore[arg-type]


def truncation_error(
    parameters: Sequence[nn.Parameter],
    chunk_loss: ChunkLoss,
    inputs: Tensor,
    targets: Any,
    chunks: Sequence[int] | None = None,
    state: State | None = None,
) -> TruncationError:
    """Compare truncated gradients with the full one over a window.

    Args:
        parameters: with respect to which; their .grad is left alone.
        chunk_loss: (inputs (t, N, ...), targets (t, N, ...), state) -> sum of the losses, and the new state.
        inputs, targets: (T, N, ...), the window.
        chunks: lengths in [1, T]; None is 1, 2, 4, ... T.
        state: before the window.
    Raises:
        OptionError: a chunk length is out of range.
    """
    T = inputs.shape[0]
    if chunks is None:
        chunks = [2**power for power in range(T.bit_length()) if 2**power < T]
    for chunk in chunks:
        if not 1 <= chunk <= T:
            raise OptionError(f"a chunk length is {chunk}, expected 1 to the window's {T} steps")
    lengths = sorted({*chunks, T})

    def gradient(chunk: int) -> Tensor:
        carried, total = state, [torch.zeros_like(parameter) for parameter in parameters]
        for start in range(0, T, chunk):
            part = slice(start, start + chunk)
            loss, carried = chunk_loss(inputs[part], targets[part], carried)
            for whole, piece in zip(
                total, torch.autograd.grad(loss, list(parameters), allow_unused=True), strict=True
            ):
                if piece is not None:
                    whole += piece
            carried = Recurrent.detach(carried)
        return torch.cat([part.flatten().double() for part in total])

    full = gradient(T)
    norm = full.norm().item()
    errors = []
    for chunk in lengths:
        truncated = full if chunk == T else gradient(chunk)
        size = truncated.norm().item()
        cosine = (truncated @ full).item() / (size * norm) if size * norm else float(chunk == T)
        relative = size / norm if norm else 1.0
        error = (truncated - full).norm().item() / norm if norm else 0.0
        errors.append(ChunkError(chunk, cosine, relative, cosine * min(relative, 1.0), error))
    return TruncationError(errors)
