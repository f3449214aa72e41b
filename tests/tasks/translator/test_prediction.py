"""Losses of given translations: what a batch of pairs is, and that batches do not change the mean."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from throughtime.data.sequences import Sequences
from throughtime.tasks.translator.prediction import PairBatch, TokenPairs, evaluate

END, START = 6, 7


class Copier:
    """Loses the token's number, plus a hundredth of the source's length; is right about even tokens."""

    source_end, end, start = END, END, START

    def searcher(self, coverage_penalty: float = 0.0) -> Any:
        raise NotImplementedError

    def score(self, batch: PairBatch) -> Any:
        losses = batch.wanted + batch.source_lengths / 100
        return losses[batch.counts], (batch.wanted % 2 == 0)[batch.counts]


def test_start_and_end_are_where_they_belong() -> None:
    pairs = TokenPairs(
        Sequences.in_memory([np.array([1, 2, 3]), np.array([4])]),
        Sequences.in_memory([np.array([5]), np.array([2, 3])]),
    )
    batch = PairBatch.gather(Copier(), pairs, np.array([0, 1]))
    assert batch.source.T.tolist() == [[1, 2, 3, END], [4, END, END, END]]
    assert batch.source_lengths.tolist() == [4, 2]
    assert batch.read.T.tolist() == [[START, 5, END], [START, 2, 3]]
    assert batch.wanted.T.tolist() == [[5, END, END], [2, 3, END]]
    assert batch.counts.T.tolist() == [[True, True, False], [True, True, True]]
    assert pairs.lengths.tolist() == [[4, 2], [2, 3]]


@pytest.mark.parametrize("batch", [1, 4, 100])
def test_the_mean_is_over_the_tokens_of_all_pairs_whatever_the_batch(batch: int) -> None:
    generator = np.random.default_rng(0)
    sources, targets = (
        [generator.integers(6, size=length) for length in generator.integers(1, 9, 30)] for _ in range(2)
    )
    tokens = [np.append(target, END) for target in targets]
    losses = [token + (len(source) + 1) / 100 for token, source in zip(tokens, sources, strict=True)]
    shares: list[float] = []
    pairs = TokenPairs(Sequences.in_memory(sources), Sequences.in_memory(targets))
    found = evaluate(Copier(), pairs, batch, shares.append)
    assert found["val_loss"] == pytest.approx(np.concatenate(losses).mean())
    assert found["val_token_accuracy"] == pytest.approx((np.concatenate(tokens) % 2 == 0).mean())
    assert shares[-1] == 1
