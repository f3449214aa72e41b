"""Choosing among what a beam search found by what the hypotheses agree on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence

import numpy as np

from throughtime.generation.beam import Hypothesis

# Words and pairs of words. Longer ones would be rewarded by the pairs that they consist of.
_ORDERS = (1, 2)


def consensus(hypotheses: Sequence[Hypothesis], end_token: int | None = None) -> list[Hypothesis]:
    """Order hypotheses by the agreement that is to be expected with what the model might say, best first.

    The agreement of two sequences is the F measure of their n-grams, the mean over single tokens and pairs.
    The expectation is over the hypotheses themselves, each as probable as exp(score) says: a caption that
    is a little less probable, but shares its words with many others, goes before one that stands alone.

    Args:
        hypotheses: of a beam search, 1 or more.
        end_token: left out of the comparison.
    Returns:
        The same hypotheses; those that agree alike stay in their order.
    Source: minimum Bayes risk, Kumar and Byrne 2004; of captions, Devlin et al. 2015 ("Exploring Nearest
        Neighbor Approaches for Image Captioning", section 3.2).
    """
    counts = [
        [_ngrams([token for token in one.tokens if token != end_token], order) for order in _ORDERS]
        for one in hypotheses
    ]
    scores = np.array([one.score for one in hypotheses])
    weights = np.exp(scores - scores.max())
    agreement = np.array([[_agreement(one, other) for other in counts] for one in counts]) @ weights
    return [hypotheses[index] for index in np.argsort(-agreement, kind="stable")]


def _agreement(first: list[Counter[Hashable]], second: list[Counter[Hashable]]) -> float:
    total = 0.0
    for some, others in zip(first, second, strict=True):
        common = sum((some & others).values())
        # Two that have no n-gram of this order agree in nothing.
        total += 2 * common / max(1, sum(some.values()) + sum(others.values()))
    return total / len(first)


def _ngrams(tokens: Sequence[int], order: int) -> Counter[Hashable]:
    return Counter(tuple(tokens[start : start + order]) for start in range(len(tokens) - order + 1))
