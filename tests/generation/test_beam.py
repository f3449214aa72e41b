"""Beam search, held to an exhaustive search over small vocabularies."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from throughtime.errors import OptionError
from throughtime.generation import Hypothesis, beam_search, beam_search_batch


class RandomModel:
    """Next-token log-probabilities that depend on the whole prefix; the state is the prefix itself."""

    def __init__(self, vocabulary_size: int, seed: int) -> None:
        self.vocabulary_size = vocabulary_size
        self.seed = seed

    def log_probabilities(self, prefix: tuple[int, ...]) -> np.ndarray:
        # The leading 1 keeps the prefixes () and (0,) apart: a seed's trailing zeros do not count.
        logits = np.random.default_rng([self.seed, len(prefix), *prefix, 1]).normal(size=self.vocabulary_size)
        return logits - np.log(np.exp(logits).sum())

    def step(self, tokens, state):
        prefixes = [(*prefix, int(token)) for prefix, token in zip(state, tokens, strict=True)]
        return np.stack([self.log_probabilities(prefix) for prefix in prefixes]), prefixes

    def search(self, **options) -> list[Hypothesis]:
        return beam_search(self.step, self.log_probabilities(()), [()], select_prefixes, **options)


def select_prefixes(state, indices):
    return [state[index] for index in indices]


def every_hypothesis(
    model: RandomModel,
    max_length: int,
    end_token: int | None,
    length_penalty: float,
    word_reward: float = 0.0,
    rewarded_length: int | None = None,
):
    """All finished sequences with their scores, best first."""
    hypotheses = []
    for length in range(1, max_length + 1):
        for tokens in itertools.product(range(model.vocabulary_size), repeat=length):
            ends = tokens[-1] == end_token
            if end_token in tokens[:-1] or not (ends or length == max_length):
                continue
            total = sum(model.log_probabilities(tokens[:i])[token] for i, token in enumerate(tokens))
            score = total / ((5 + length) / 6) ** length_penalty
            score += word_reward * min(length, rewarded_length or max_length)
            hypotheses.append(Hypothesis(tokens, total, score))
    return sorted(hypotheses, key=lambda hypothesis: -hypothesis.score)


@settings(max_examples=60, deadline=None)
@given(
    vocabulary_size=st.integers(1, 4),
    max_length=st.integers(1, 4),
    with_end=st.booleans(),
    length_penalty=st.sampled_from([0.0, 0.6, 1.0, 2.0]),
    word_reward=st.sampled_from([0.0, 0.5, 2.0]),
    rewarded_length=st.sampled_from([None, 1, 2, 9]),
    seed=st.integers(0, 10_000),
)
def test_a_beam_as_wide_as_the_space_finds_all_sequences_in_order(
    vocabulary_size, max_length, with_end, length_penalty, word_reward, rewarded_length, seed
):
    model = RandomModel(vocabulary_size, seed)
    end_token = vocabulary_size - 1 if with_end else None
    found = model.search(
        width=vocabulary_size**max_length,
        max_length=max_length,
        end_token=end_token,
        length_penalty=length_penalty,
        word_reward=word_reward,
        rewarded_length=rewarded_length,
    )
    expected = every_hypothesis(model, max_length, end_token, length_penalty, word_reward, rewarded_length)
    assert [hypothesis.tokens for hypothesis in found] == [hypothesis.tokens for hypothesis in expected]
    np.testing.assert_allclose([h.score for h in found], [h.score for h in expected])
    np.testing.assert_allclose([h.log_probability for h in found], [h.log_probability for h in expected])


@pytest.mark.parametrize("seed", range(10))
def test_width_one_is_greedy_search(seed):
    model = RandomModel(5, seed)
    tokens: tuple[int, ...] = ()
    while len(tokens) < 8 and (not tokens or tokens[-1] != 4):
        tokens = (*tokens, int(np.argmax(model.log_probabilities(tokens))))
    assert [h.tokens for h in model.search(width=1, max_length=8, end_token=4)] == [tokens]


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), width=st.integers(1, 6), length_penalty=st.sampled_from([0.0, 1.0]))
def test_results_are_distinct_sorted_and_carry_their_true_probability(seed, width, length_penalty):
    model = RandomModel(4, seed)
    found = model.search(width=width, max_length=6, end_token=0, length_penalty=length_penalty)
    assert 1 <= len(found) <= width
    assert len({hypothesis.tokens for hypothesis in found}) == len(found)
    assert [h.score for h in found] == sorted((h.score for h in found), reverse=True)
    for hypothesis in found:
        total = sum(
            model.log_probabilities(hypothesis.tokens[:i])[t] for i, t in enumerate(hypothesis.tokens)
        )
        assert hypothesis.log_probability == pytest.approx(total)
        assert 0 not in hypothesis.tokens[:-1]


def test_a_worse_first_token_can_win():
    # Greedy takes token 0 (0.6) and is then left with halves; token 1 (0.4) is followed by certainty.
    first = np.log([0.6, 0.4])
    following = {0: np.log([0.5, 0.5]), 1: np.array([0.0, -np.inf])}

    def step(tokens, state):
        return np.stack([following[int(token)] for token in tokens]), state

    def search(width):
        return beam_search(step, first, None, lambda state, indices: state, width=width, max_length=2)

    assert search(width=1)[0].tokens == (0, 0)
    assert search(width=2)[0].tokens == (1, 0)


def test_length_penalty_and_word_reward_favour_longer_sequences():
    # Ending at once: 0.4; going on for two more tokens: 0.6 * 0.6 * 1 = 0.36.
    tables = [np.log([0.6, 0.4]), np.log([0.6, 0.4]), np.array([-np.inf, 0.0])]

    def step(tokens, position):
        return np.tile(tables[position + 1], (len(tokens), 1)), position + 1

    def best(length_penalty, **options):
        return beam_search(
            step,
            tables[0],
            0,
            lambda position, indices: position,
            width=3,
            max_length=3,
            end_token=1,
            length_penalty=length_penalty,
            **options,
        )[0]

    assert best(0.0).tokens == (1,)
    assert best(1.0).tokens == (0, 0, 1)
    assert best(1.0).score == pytest.approx(np.log(0.36) * 6 / 8)
    # Two words more are worth ln(0.4 / 0.36) = 0.105 nats, if they count.
    assert best(0.0, word_reward=0.05).tokens == (1,)
    assert best(0.0, word_reward=0.06).tokens == (0, 0, 1)
    assert best(0.0, word_reward=0.06).score == pytest.approx(np.log(0.36) + 3 * 0.06)
    assert best(0.0, word_reward=9.0, rewarded_length=1).tokens == (1,)


def test_state_rows_follow_their_hypotheses():
    # The state is an array, reordered by indexing, as a recurrent state is; it sums the tokens seen.
    def step(tokens, sums):
        sums = sums + tokens
        return np.log(np.full((len(tokens), 3), 1 / 3)) - 0.01 * sums[:, None], sums

    found = beam_search(
        step, np.log([0.2, 0.3, 0.5]), np.zeros(1), lambda sums, rows: sums[rows], width=27, max_length=3
    )
    for hypothesis in found:
        first, second, _ = hypothesis.tokens
        expected = np.log([0.2, 0.3, 0.5][first]) + 2 * np.log(1 / 3) - 0.01 * (2 * first + second)
        assert hypothesis.log_probability == pytest.approx(expected)


def test_search_stops_once_nothing_can_improve():
    steps = 0

    def step(tokens, state):
        nonlocal steps
        steps += 1
        return np.tile(np.log([0.01, 0.99]), (len(tokens), 1)), state

    beam_search(
        step, np.log([0.01, 0.99]), None, lambda state, indices: state, width=2, max_length=100, end_token=1
    )
    assert steps < 5


def test_a_search_that_might_never_end_is_refused_before_its_first_step():
    with pytest.raises(OptionError, match=r"10,000 tokens at most, .* not 9,223,372,036,854,775,807"):
        beam_search(_no_step, np.log([0.5, 0.5]), None, _no_step, width=2, max_length=2**63 - 1, end_token=1)


def _no_step(*_):
    raise AssertionError("a step was taken")


def test_impossible_tokens_are_never_part_of_a_result():
    first = np.array([0.0, -np.inf, -np.inf])
    found = beam_search(
        lambda tokens, state: (np.tile(first, (len(tokens), 1)), state),
        first,
        None,
        lambda state, indices: state,
        width=5,
        max_length=3,
    )
    assert [hypothesis.tokens for hypothesis in found] == [(0, 0, 0)]


@pytest.mark.parametrize(
    "options",
    [
        {"width": 0},
        {"width": 1001},
        {"max_length": 0},
        {"length_penalty": -1.0},
        {"length_penalty": 1e10},
        {"word_reward": -1.0},
        {"word_reward": np.nan},
        {"word_reward": 1e308},
        {"rewarded_length": 0},
        {"end_token": 3},
        {"end_token": -1},
    ],
)
def test_an_option_out_of_range_is_named(options):
    with pytest.raises(OptionError, match=next(iter(options))):
        RandomModel(3, 0).search(**{"width": 2, "max_length": 2, **options})


@pytest.mark.parametrize(
    ("bad", "message"),
    [([2.0, 1.0], "position 1 .*log_softmax"), ([np.nan, -1.0], "for position 1 is not a number")],
)
def test_logits_in_place_of_log_probabilities_are_refused(bad, message):
    with pytest.raises(ValueError, match=message):
        beam_search(lambda tokens, state: (bad, state), bad, None, lambda state, rows: state, 1, 2)


def test_a_step_that_returns_another_shape_is_refused():
    with pytest.raises(ValueError, match=r"position 2 have shape \(1, 2\), expected \(1, 3\)"):
        beam_search(
            lambda tokens, state: (np.zeros((1, 2)), state),
            np.zeros(3),
            None,
            lambda state, rows: state,
            width=1,
            max_length=2,
        )


class SideBySide:
    """Several random models searched at once: a row of the state is (which model, its prefix)."""

    def __init__(self, models: list[RandomModel]) -> None:
        self.models = models
        self.rows_stepped: list[int] = []

    def first(self):
        return np.stack([model.log_probabilities(()) for model in self.models])

    def step(self, tokens, state):
        self.rows_stepped.append(len(tokens))
        rows = [(number, (*prefix, int(t))) for (number, prefix), t in zip(state, tokens, strict=True)]
        return np.stack([self.models[number].log_probabilities(prefix) for number, prefix in rows]), rows

    def search(self, **options) -> list[list[Hypothesis]]:
        state = [(number, ()) for number in range(len(self.models))]
        return beam_search_batch(self.step, self.first(), state, select_prefixes, end_token=0, **options)


@settings(max_examples=40, deadline=None)
@given(
    seeds=st.lists(st.integers(0, 10_000), min_size=1, max_size=5),
    width=st.integers(1, 6),
    length_penalty=st.sampled_from([0.0, 1.0]),
    data=st.data(),
)
def test_searches_side_by_side_find_what_each_finds_alone(seeds, width, length_penalty, data):
    models = [RandomModel(4, seed) for seed in seeds]
    lengths = [data.draw(st.integers(1, 7)) for _ in models]
    together = SideBySide(models).search(width=width, max_lengths=lengths, length_penalty=length_penalty)
    for model, length, found in zip(models, lengths, together, strict=True):
        alone = model.search(width=width, max_length=length, end_token=0, length_penalty=length_penalty)
        assert found == alone


def test_a_search_that_is_over_takes_no_more_rows():
    # Lengths 1, 2 and 8: after the first step only two searches go on, then one.
    searches = SideBySide([RandomModel(5, seed) for seed in range(3)])
    searches.search(width=2, max_lengths=[1, 2, 8])
    assert searches.rows_stepped[0] == 4
    assert max(searches.rows_stepped[1:]) == 2


def test_a_penalty_moves_the_choice_to_the_sequence_that_has_none():
    # The end comes at once with 0.6, or after token 1 with 0.4; the one that ends at once loses 1 nat.
    first = np.log([[0.6, 0.4]])
    sure = np.array([[0.0, -np.inf]])

    def search(penalty):
        return beam_search_batch(
            lambda tokens, state: (np.repeat(sure, len(tokens), 0), np.ones(len(tokens))),
            first,
            np.zeros(1),
            lambda state, rows: state[rows],
            width=2,
            max_lengths=[4],
            end_token=0,
            penalties=lambda state: np.where(state == 0, penalty, 0.0),
        )[0]

    assert [h.tokens for h in search(penalty=0.0)] == [(0,), (1, 0)]
    found = search(penalty=-1.0)
    assert [h.tokens for h in found] == [(1, 0), (0,)]
    assert found[1].score == pytest.approx(np.log(0.6) - 1.0)
    assert found[1].log_probability == pytest.approx(np.log(0.6))


def test_no_sources_have_no_translations():
    assert (
        beam_search_batch(
            lambda tokens, state: (np.zeros((0, 3)), state),
            np.zeros((0, 3)),
            None,
            lambda state, rows: state,
            width=2,
            max_lengths=[],
        )
        == []
    )
