"""Attention: literal numbers, the equations of the papers, and padding that gets nothing."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from throughtime.errors import OptionError
from throughtime.models.attention import Attention, BahdanauAttention, LuongAttention

Q, M = 3, 4


def every_attention() -> list[Attention]:
    torch.manual_seed(1)
    return [
        LuongAttention(Q, M, "general").double(),
        LuongAttention(M, M, "dot").double(),
        BahdanauAttention(Q, M).double(),
    ]


def batch(lengths: list[int], seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Values (S, B, M) and the mask (S, B)."""
    generator = torch.Generator().manual_seed(seed)
    values = torch.randn(max(lengths), len(lengths), M, generator=generator, dtype=torch.float64)
    return values, torch.arange(max(lengths))[:, None] < torch.tensor(lengths)


def queries(attention: Attention, sources: int, steps: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(5)
    return torch.randn(sources, steps, attention.query_size, generator=generator, dtype=torch.float64)


def test_dot_scores_by_hand():
    # Two places with values (1, 0) and (0, 1); the query (ln 3, 0) scores ln 3 and 0: weights 3/4 and 1/4.
    attention = LuongAttention(2, 2, "dot")
    values = torch.tensor([[[1.0, 0.0]], [[0.0, 1.0]]])
    memory = attention.remember(values, torch.ones(2, 1, dtype=torch.bool))
    context, weights = attention(torch.tensor([[[np.log(3.0), 0.0]]], dtype=torch.float32), memory)
    torch.testing.assert_close(weights, torch.tensor([[[0.75, 0.25]]]))
    torch.testing.assert_close(context, torch.tensor([[[0.75, 0.25]]]))


def test_general_is_the_query_times_a_matrix_times_the_value():
    attention = every_attention()[0]
    values, mask = batch([5])
    query = queries(attention, 1, 1)
    _, weights = attention(query, attention.remember(values, mask))
    scores = torch.stack([query[0, 0] @ attention.weight.weight @ values[s, 0] for s in range(5)])
    torch.testing.assert_close(weights[0, 0], scores.softmax(0))


def test_bahdanau_is_a_tanh_layer_over_query_and_value():
    attention = every_attention()[2]
    values, mask = batch([5])
    query = queries(attention, 1, 1)
    _, weights = attention(query, attention.remember(values, mask))
    W, U = attention.query_weight.weight, attention.memory_weight.weight
    v = attention.score_weight.weight[0]
    scores = torch.stack([v @ torch.tanh(W @ query[0, 0] + U @ values[s, 0]) for s in range(5)])
    torch.testing.assert_close(weights[0, 0], scores.softmax(0))


@pytest.mark.parametrize("attention", every_attention(), ids=["general", "dot", "bahdanau"])
def test_padding_gets_exactly_no_weight_and_the_rest_sums_to_one(attention):
    lengths = [6, 1, 3]
    values, mask = batch(lengths)
    _, weights = attention(queries(attention, 3, 4), attention.remember(values, mask))
    for row, length in enumerate(lengths):
        assert (weights[row, :, length:] == 0).all()
        torch.testing.assert_close(weights[row].sum(-1), torch.ones(4, dtype=torch.float64))


@pytest.mark.parametrize("attention", every_attention(), ids=["general", "dot", "bahdanau"])
def test_what_stands_in_the_padding_changes_nothing(attention):
    values, mask = batch([6, 2])
    other = values.masked_fill(~mask.unsqueeze(-1), 1e6)
    query = queries(attention, 2, 3)
    for ours, theirs in zip(
        attention(query, attention.remember(values, mask)),
        attention(query, attention.remember(other, mask)),
        strict=True,
    ):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=0)


@pytest.mark.parametrize("attention", every_attention(), ids=["general", "dot", "bahdanau"])
def test_several_queries_are_each_as_alone(attention):
    values, mask = batch([4, 5])
    query = queries(attention, 2, 3)
    memory = attention.remember(values, mask)
    together, _ = attention(query, memory)
    for t in range(3):
        torch.testing.assert_close(together[:, t : t + 1], attention(query[:, t : t + 1], memory)[0])


def test_dot_with_unequal_sizes_is_refused():
    with pytest.raises(OptionError, match="4 against 3.*general"):
        LuongAttention(Q, M, "dot")
