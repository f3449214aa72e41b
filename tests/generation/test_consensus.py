"""Consensus: the hypothesis that the others agree with."""

from __future__ import annotations

import numpy as np
import pytest

from throughtime.generation import Hypothesis
from throughtime.generation.consensus import consensus

END = 9


def hypotheses(*probabilities_and_tokens: tuple[float, tuple[int, ...]]) -> list[Hypothesis]:
    return [
        Hypothesis((*tokens, END), float(np.log(p)), float(np.log(p)))
        for p, tokens in probabilities_and_tokens
    ]


def test_two_that_share_their_words_go_before_the_most_probable_one() -> None:
    found = hypotheses((0.4, (1, 2)), (0.3, (3, 4, 5)), (0.3, (3, 4, 6)))
    # Words: 0.3 * (1 + 2/3), pairs: 0.3 * (1 + 1/2), against 0.4 for both.
    assert [one.tokens[:-1] for one in consensus(found, END)] == [(3, 4, 5), (3, 4, 6), (1, 2)]


def test_what_is_probable_enough_needs_no_agreement() -> None:
    found = hypotheses((0.9, (1, 2)), (0.05, (3, 4, 5)), (0.05, (3, 4, 6)))
    assert consensus(found, END)[0] is found[0]


def test_the_order_of_words_counts() -> None:
    found = hypotheses((0.3, (2, 1)), (0.3, (1, 2, 3)), (0.2, (1, 2)), (0.2, (4,)))
    # All three share 1 and 2; (1, 2, 3) and (1, 2) share the pair as well.
    assert [one.tokens[:-1] for one in consensus(found, END)][:2] == [(1, 2), (1, 2, 3)]


def test_only_the_ratio_of_the_weights_counts() -> None:
    found = hypotheses((0.4, (1, 2)), (0.3, (3, 4, 5)), (0.3, (3, 4, 6)))
    far = [Hypothesis(one.tokens, one.log_probability, one.score - 2000) for one in found]
    assert [one.tokens for one in consensus(far, END)] == [one.tokens for one in consensus(found, END)]


@pytest.mark.parametrize("tokens", [(), (1,), (1, 2, 3)])
def test_one_alone_stays(tokens: tuple[int, ...]) -> None:
    found = hypotheses((0.5, tokens))
    assert consensus(found, END) == found


def test_those_that_agree_alike_keep_their_order() -> None:
    found = hypotheses((0.3, (1, 2)), (0.3, (3, 4)), (0.3, (5, 6)))
    assert consensus(found, END) == found
