"""From the probabilities of each step to a text, held to counting every path."""

from __future__ import annotations

import math
from collections import defaultdict
from itertools import groupby, product

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from throughtime.tasks.transcriber.decoding import (
    BLANK,
    align,
    best_path,
    least_steps,
    log_likelihood,
    prefix_beam_search,
)


def drawn(steps: int, outputs: int, seed: int, scale: float = 1.5) -> np.ndarray:
    scores = scale * np.random.default_rng(seed).standard_normal((steps, outputs))
    return scores - np.logaddexp.reduce(scores, 1, keepdims=True)


def collapsed(path: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(one for one, _ in groupby(path) if one != BLANK)


def every_text(log_probabilities: np.ndarray) -> dict[tuple[int, ...], float]:
    """The probability of each text, summed over all paths."""
    found: defaultdict[tuple[int, ...], float] = defaultdict(float)
    steps, outputs = log_probabilities.shape
    for path in product(range(outputs), repeat=steps):
        found[collapsed(path)] += math.exp(sum(log_probabilities[range(steps), path]))
    return found


@given(st.integers(1, 6), st.integers(2, 4), st.integers(0, 1000))
def test_the_search_finds_the_most_probable_text_and_its_probability(
    steps: int, outputs: int, seed: int
) -> None:
    log_probabilities = drawn(steps, outputs, seed)
    texts = every_text(log_probabilities)
    found = prefix_beam_search(log_probabilities, 10_000)
    assert texts[found.characters] == pytest.approx(max(texts.values()))
    assert math.exp(found.log_probability) == pytest.approx(texts[found.characters])


@given(st.integers(1, 6), st.integers(0, 1000))
def test_the_probability_of_a_text_is_that_of_all_its_paths(steps: int, seed: int) -> None:
    log_probabilities = drawn(steps, 3, seed)
    texts = every_text(log_probabilities)
    for length in range(4):
        for text in product((1, 2), repeat=length):
            expected = texts.get(text, 0.0)
            assert math.exp(log_likelihood(log_probabilities, text)) == pytest.approx(expected)
            assert (expected == 0) == (least_steps(text) > steps)


def test_the_probability_is_that_of_torch() -> None:
    log_probabilities = drawn(30, 6, 0)
    text = [1, 1, 5, 2, 2, 3]
    (expected,) = torch.nn.functional.ctc_loss(
        torch.from_numpy(log_probabilities)[:, None],
        torch.tensor([text]),
        torch.tensor([30]),
        torch.tensor([6]),
        reduction="none",
    )
    assert -log_likelihood(log_probabilities, text) == pytest.approx(float(expected))


def test_characters_that_a_narrow_beam_passes_over_change_nothing() -> None:
    # With 40 characters and 3 prefixes, most characters are never looked at; a wide beam cut by hand says so.
    for seed in range(20):
        log_probabilities = drawn(8, 40, seed, 3.0)
        found = prefix_beam_search(log_probabilities, 3)
        assert found.characters == slowly(log_probabilities, 3)


def slowly(log_probabilities: np.ndarray, width: int) -> tuple[int, ...]:
    """The same search with every character tried after every prefix."""
    beam: dict[tuple[int, ...], tuple[float, float]] = {(): (1.0, 0.0)}
    for step in np.exp(log_probabilities):
        found: defaultdict[tuple[int, ...], list[float]] = defaultdict(lambda: [0.0, 0.0])
        for prefix, (blank, other) in beam.items():
            found[prefix][0] += (blank + other) * step[BLANK]
            if prefix:
                found[prefix][1] += other * step[prefix[-1]]
            for character in range(1, len(step)):
                before = blank if prefix[-1:] == (character,) else blank + other
                found[(*prefix, character)][1] += before * step[character]
        kept = sorted(found, key=lambda prefix: sum(found[prefix]), reverse=True)[:width]
        beam = {prefix: (found[prefix][0], found[prefix][1]) for prefix in kept}
    return max(beam, key=lambda prefix: sum(beam[prefix]))


def test_the_best_path_is_read_without_repetitions_and_blanks() -> None:
    path = [0, 1, 1, 0, 1, 2, 2, 0]
    log_probabilities = np.log(np.full((8, 3), 0.1) + 0.7 * np.eye(3)[path])
    found = best_path(log_probabilities)
    assert (found.characters, found.steps) == ((1, 1, 2), (1, 4, 5))
    assert align(log_probabilities, (1, 1, 2)) == (1, 4, 5)
    assert best_path(np.log(np.full((2, 3), 0.1) + 0.7 * np.eye(3)[[0, 0]])).characters == ()


@given(st.integers(3, 6), st.integers(0, 300))
def test_characters_begin_where_the_best_of_the_text_s_paths_has_them(steps: int, seed: int) -> None:
    log_probabilities = drawn(steps, 3, seed)
    text = (1, 2)
    paths = [path for path in product(range(3), repeat=steps) if collapsed(path) == text]
    best = max(paths, key=lambda path: sum(log_probabilities[range(steps), path]))
    assert align(log_probabilities, text) == (best.index(1), best.index(2))


def test_a_beam_finds_what_the_best_path_misses() -> None:
    # The blank is the likeliest at each step, and the text "a" has three paths against one.
    log_probabilities = np.log(np.array([[0.6, 0.4], [0.6, 0.4]]))
    assert best_path(log_probabilities).characters == ()
    assert prefix_beam_search(log_probabilities, 2).characters == (1,)
