"""Truncated against full gradients: closed forms, and autograd cut by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from throughtime import Recurrent
from throughtime.errors import OptionError
from throughtime.inspection import truncation_error


def test_a_scalar_linear_recurrence_loses_exactly_the_far_terms() -> None:
    """h_t = w h_{t-1} + x_t, loss h_T: dh_T/dw cut to K steps is sum_{k<=K} w^(k-1) h_{T-k}."""
    T, w = 40, torch.tensor(0.97, dtype=torch.double, requires_grad=True)
    x = torch.randn(T, dtype=torch.double, generator=torch.Generator().manual_seed(0))
    h = [0.0]
    for t in range(T):
        h.append(0.97 * h[-1] + float(x[t]))

    def chunk_loss(inputs: torch.Tensor, counts: torch.Tensor, state: Any) -> Any:
        value = torch.zeros((), dtype=torch.double) if state is None else state[0]
        for one in inputs:
            value = w * value + one
        return value * counts[-1], (value,)

    counts = torch.zeros(T)
    counts[-1] = 1
    found = truncation_error([w], chunk_loss, x, counts, chunks=[1, 5, 20])  # type: ignore[list-item]
    full = sum(0.97 ** (k - 1) * h[T - k] for k in range(1, T + 1))
    for error in found.chunks:
        expected = sum(0.97 ** (k - 1) * h[T - k] for k in range(1, error.chunk + 1))
        assert error.error == pytest.approx(abs(expected - full) / abs(full), rel=1e-9, abs=1e-12)
        assert error.kept == pytest.approx(np.sign(expected * full) * min(abs(expected / full), 1))
        assert error.relative_norm == pytest.approx(abs(expected / full), rel=1e-9)
        assert error.cosine == pytest.approx(np.sign(expected * full))
    assert found.chunks[-1].chunk == T
    assert found.chunks[-1].kept == pytest.approx(1.0)
    assert found.chunks[-1].error == 0.0


def test_a_network_matches_autograd_cut_by_hand() -> None:
    torch.manual_seed(0)
    recurrent, readout = Recurrent("lstm", 3, 6, num_layers=2).double(), nn.Linear(6, 4).double()
    parameters = [*recurrent.parameters(), *readout.parameters()]
    inputs, targets = torch.randn(10, 2, 3).double(), torch.randint(4, (10, 2))

    def chunk_loss(inputs: torch.Tensor, targets: torch.Tensor, state: Any) -> Any:
        outputs, state = recurrent(inputs, state)
        logits = readout(outputs)
        return nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="sum"), state

    found = truncation_error(parameters, chunk_loss, inputs, targets, chunks=[3])
    state, total = None, 0.0
    for t in range(10):
        if t in (3, 6, 9) and state is not None:
            state = tuple(part.detach() for part in state)
        loss, state = chunk_loss(inputs[t : t + 1], targets[t : t + 1], state)
        total = total + loss
    cut = torch.cat([g.flatten() for g in torch.autograd.grad(total, parameters)])
    whole = torch.cat(
        [g.flatten() for g in torch.autograd.grad(chunk_loss(inputs, targets, None)[0], parameters)]
    )
    error = found.chunks[0]
    assert error.error == pytest.approx(((cut - whole).norm() / whole.norm()).item(), rel=1e-6)
    assert error.kept == pytest.approx(error.cosine * min(error.relative_norm, 1), rel=1e-6)
    assert error.cosine == pytest.approx(torch.cosine_similarity(cut, whole, dim=0).item(), rel=1e-6)
    assert 0 < error.kept < 1
    assert found.smallest(0.0) is not None
    assert found.smallest(0.9999999) == 10
    assert all(parameter.grad is None for parameter in parameters)


def test_the_smallest_chunk_is_that_from_which_on_enough_is_kept() -> None:
    from throughtime.inspection.truncation import ChunkError, TruncationError

    found = TruncationError(
        [ChunkError(c, 1.0, 1.0, kept, 0.0) for c, kept in [(1, 0.96), (2, 0.9), (4, 0.97), (8, 1.0)]]
    )
    assert found.smallest(0.95) == 4
    assert found.smallest(0.99) == 8


def test_a_chunk_out_of_range_is_refused() -> None:
    with pytest.raises(OptionError, match="1 to the window's 4"):
        truncation_error([], lambda *_: (torch.zeros(()), ()), torch.zeros(4, 1), torch.zeros(4), chunks=[5])
