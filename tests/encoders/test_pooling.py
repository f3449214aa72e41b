"""Pooling over time: against a plain loop over each sequence alone, values and gradients."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from throughtime.encoders.pooling import POOLINGS, Pooling
from throughtime.errors import OptionError

LENGTHS = torch.tensor([5, 1, 3])


def plainly(pooling: Pooling, sequence: Tensor) -> Tensor:
    """One sequence (T, F), without padding, as the definition says it."""
    if pooling.kind == "last":
        if pooling.directions == 1:
            return sequence[-1]
        half = sequence.shape[1] // 2
        return torch.cat([sequence[-1, :half], sequence[0, half:]])
    if pooling.kind == "mean":
        return sum(sequence, torch.zeros(sequence.shape[1], dtype=sequence.dtype)) / len(sequence)
    if pooling.kind == "max":
        return torch.stack([max(column) for column in sequence.T])
    scores = [torch.tanh(pooling.attention(step)) @ pooling.context for step in sequence]
    total = sum(torch.exp(score) for score in scores)
    return sum(torch.exp(score) / total * step for score, step in zip(scores, sequence, strict=True))


@pytest.mark.parametrize("directions", [1, 2])
@pytest.mark.parametrize("kind", POOLINGS)
def test_values_and_gradients_are_those_of_a_plain_loop(kind: str, directions: int) -> None:
    torch.manual_seed(0)
    pooling = Pooling(kind, 6, directions).double()
    outputs = torch.randn(5, 3, 6, dtype=torch.float64, requires_grad=True)
    weights = torch.randn(3, 6, dtype=torch.float64)
    pooled = pooling(outputs, LENGTHS)
    parameters = [outputs, *pooling.parameters()]
    gradients = torch.autograd.grad((pooled * weights).sum(), parameters)

    expected = torch.stack([plainly(pooling, outputs[:length, row]) for row, length in enumerate(LENGTHS)])
    torch.testing.assert_close(pooled, expected)
    for gradient, other in zip(
        gradients, torch.autograd.grad((expected * weights).sum(), parameters), strict=True
    ):
        torch.testing.assert_close(gradient, other)
    for row, length in enumerate(LENGTHS):
        assert (gradients[0][length:, row] == 0).all()


@pytest.mark.parametrize("kind", POOLINGS)
@pytest.mark.parametrize("filler", [float("nan"), float("inf"), 1e9])
def test_what_lies_past_a_length_never_counts(kind: str, filler: float) -> None:
    torch.manual_seed(0)
    pooling = Pooling(kind, 4)
    outputs = torch.randn(5, 3, 4)
    expected = pooling(outputs, LENGTHS)
    for row, length in enumerate(LENGTHS):
        outputs[length:, row] = filler
    assert torch.equal(pooling(outputs, LENGTHS), expected)


def test_literal_values() -> None:
    outputs = torch.tensor([[[1.0, -4.0]], [[3.0, -2.0]], [[9.0, 9.0]]])
    lengths = torch.tensor([2])
    assert Pooling("last", 2)(outputs, lengths).tolist() == [[3, -2]]
    assert Pooling("last", 2, directions=2)(outputs, lengths).tolist() == [[3, -4]]
    assert Pooling("mean", 2)(outputs, lengths).tolist() == [[2, -3]]
    assert Pooling("max", 2)(outputs, lengths).tolist() == [[3, -2]]


def test_attention_weights_sum_to_one_over_the_real_steps() -> None:
    torch.manual_seed(0)
    weights = Pooling("attention", 4).weights(torch.randn(5, 3, 4), LENGTHS)
    torch.testing.assert_close(weights.sum(0), torch.ones(3))
    assert (weights[1:, 1] == 0).all()
    assert (weights[3:, 2] == 0).all()


def test_an_unknown_kind_is_refused_with_the_known_ones() -> None:
    with pytest.raises(OptionError, match="last, mean, max, attention"):
        Pooling("sum", 4)
