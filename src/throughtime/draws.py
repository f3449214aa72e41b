"""Random numbers that belong to the rows of a batch, whichever process holds them. Needs torch.

Where several processes share out a batch, each draws for all of its rows and takes those of its own: stream k
is dropped out in the same places as in one process, and all generators stay in step. In one process all but
`dropout` are torch's own functions.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from throughtime import _native

# Which rows of how many are here. Of the process and not of a thread: gradients are computed in others.
_here: tuple[slice, int] | None = None


@contextmanager
def drawn_for(rows: slice, of: int) -> Iterator[None]:
    """Draw as for a batch of `of` rows, of which `rows` are here; the gradient belongs into it, too."""
    global _here
    before, _here = _here, (rows, of)
    try:
        yield
    finally:
        _here = before


def rows_drawn(count: int) -> tuple[int, slice]:
    """For how many rows to draw where `count` are here, and which of them these are."""
    if _here is None:
        return count, slice(None)
    rows, of = _here
    if rows.stop - rows.start != count:
        raise AssertionError(f"{count} rows are not the {rows.stop - rows.start} of this process")
    return of, rows


def dropout(values: Tensor, probability: float, training: bool, rows: int = 1) -> Tensor:
    """`torch.nn.functional.dropout`; on the CPU with random numbers of our own.

    PyTorch draws a number in 3 to 5 ns there, keeps a mask, and multiplies by it. Here only a key is drawn
    from its generator. Numbers are made from the key and an element's place, and once more for the gradient.

    Args:
        rows: the axis of the batch.
    """
    if not training or probability == 0:
        return values
    if _is_for_native(values) and 0 < probability < 1:
        shape, count, here = values.shape, *rows_drawn(values.shape[rows])
        sizes = math.prod(shape[:rows]), count, here.start or 0, shape[rows], math.prod(shape[rows + 1 :])
        key = int(torch.randint(2**63 - 1, ()))
        return _Dropout.apply(values, probability, sizes, key)  # type: ignore[no-any-return]
    if _here is None:
        return F.dropout(values, probability)
    joint = _for_all(values, rows)
    return values * _taken(F.dropout(joint.fill_(1), probability), values, rows)


def _is_for_native(values: Tensor) -> bool:
    return (
        values.device.type == "cpu"
        and values.dtype == torch.float32
        and not torch.compiler.is_compiling()
        and torch._C._functorch.peek_interpreter_stack() is None  # type: ignore[attr-defined]
    )


class _Dropout(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, values: Tensor, probability: float, sizes: tuple[int, int, int, int, int], key: int
    ) -> Tensor:
        ctx.settings = (probability, sizes, key)
        values = values.contiguous()
        dropped = torch.empty_like(values)
        threads = torch.get_num_threads()
        _native.dropout(values.data_ptr(), dropped.data_ptr(), sizes, key, probability, threads)
        return dropped

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:  # type: ignore[override]
        return _Dropout.apply(gradient, *ctx.settings), None, None, None


def uniform(shape: Sequence[int], device: torch.device, rows: int = 1) -> Tensor:
    """`torch.rand`."""
    if _here is None:
        return torch.rand(shape, device=device)
    count, here = rows_drawn(shape[rows])
    drawn = torch.rand(*shape[:rows], count, *shape[rows + 1 :], device=device)
    return drawn.narrow(rows, here.start, shape[rows])


def uniform_like(values: Tensor, rows: int = 1) -> Tensor:
    """`torch.rand_like`."""
    if _here is None:
        return torch.rand_like(values)
    return _taken(torch.rand_like(_for_all(values, rows)), values, rows)


def normal_like(values: Tensor, rows: int = 1) -> Tensor:
    """`torch.randn_like`."""
    if _here is None:
        return torch.randn_like(values)
    return _taken(torch.randn_like(_for_all(values, rows)), values, rows)


def one_of_each(probabilities: Tensor) -> Tensor:
    """One number for each row of probabilities (B, V), as `torch.multinomial` draws it: (B,)."""
    if _here is None:
        return torch.multinomial(probabilities, 1).squeeze(1)
    # What torch does, too: the largest of p / q, with q from the exponential distribution.
    drawn = _for_all(probabilities, 0).exponential_(1)
    return (probabilities / _taken(drawn, probabilities, 0)).argmax(-1)


def _for_all(values: Tensor, rows: int) -> Tensor:
    """As `values`, with all rows of the joint batch, in the same order of memory: so are numbers drawn."""
    count, _ = rows_drawn(values.shape[rows])
    order = sorted(range(values.dim()), key=values.stride, reverse=True)
    shape = list(values.shape)
    shape[rows] = count
    joint = values.new_empty([shape[axis] for axis in order])
    return joint.permute([order.index(axis) for axis in range(values.dim())])


def _taken(drawn: Tensor, values: Tensor, rows: int) -> Tensor:
    """The rows of what was drawn that are here."""
    _, here = rows_drawn(values.shape[rows])
    return drawn.narrow(rows, here.start, values.shape[rows])
