"""Captions from a writer whose probabilities are written down here."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from throughtime.generation import SamplingOptions
from throughtime.tasks.captioner.generation import best_captions, greedy_captions, sample_captions

V, END, NEVER = 3, 3, -100.0


class Chain:
    """A writer whose next token depends on the last one and on the image (a number) alone.

    Args:
        first: (V + 1,) logits of the first token; the image is added to token 0's.
        after: (V + 1, V + 1), the logits after each token.
    """

    vocabulary_size = V

    def __init__(self, first: list[float], after: list[list[float]]) -> None:
        self._first = np.array(first, dtype=np.float32)
        self._after = np.array(after, dtype=np.float32)
        self.fed = 0

    def begin(self, images: NDArray[Any]) -> tuple[NDArray[np.float32], Any]:
        logits = np.tile(self._first, (len(images), 1))
        logits[:, 0] += images
        return logits, np.arange(len(images))

    def feed(self, tokens: NDArray[np.int64], state: Any) -> tuple[NDArray[np.float32], Any]:
        assert len(tokens) == len(state)
        self.fed += 1
        return self._after[tokens], state

    @staticmethod
    def select(state: Any, rows: NDArray[np.int64]) -> Any:
        return state[rows]


def log(*probabilities: float) -> list[float]:
    return [float(np.log(p)) if p else NEVER for p in probabilities]


# Greedy begins with 0 (0.6), whose continuations are weak; 1 (0.4) is followed by END for sure.
GARDEN_PATH = Chain(
    log(0.6, 0.4, 0, 0), [log(0.3, 0.3, 0, 0.4), log(0, 0, 0, 1), log(0, 0, 0, 1), log(0, 0, 0, 1)]
)


def test_greedy_takes_the_most_probable_token_until_end() -> None:
    assert greedy_captions(GARDEN_PATH, np.zeros(2), 5) == [[0, END], [0, END]]


def test_beam_search_finds_what_greedy_passes_by() -> None:
    best = best_captions(GARDEN_PATH, np.float64(0), width=2, max_length=5)[0]
    assert best.tokens == (1, END)
    assert best.log_probability == pytest.approx(np.log(0.4), abs=1e-5)
    assert best_captions(GARDEN_PATH, np.float64(0), width=1, max_length=5)[0].tokens == (0, END)


def test_a_word_reward_makes_captions_longer_up_to_a_length() -> None:
    # Each word is as probable as END.
    chain = Chain(log(0.5, 0, 0, 0.5), [log(0.5, 0, 0, 0.5)] * 4)

    def best(**options: Any) -> tuple[int, ...]:
        return best_captions(chain, np.float64(0), 3, 6, **options)[0].tokens

    assert best() == (END,)
    assert len(best(word_reward=1.0)) == 6
    assert best(word_reward=1.0, rewarded_length=3) == (0, 0, END)


def test_each_image_has_its_own_caption_and_stops_on_its_own() -> None:
    chain = Chain(log(0, 1, 0, 0), [log(0, 0, 1, 0), log(0, 0, 0, 1), log(0, 0, 0, 1), log(0, 0, 0, 1)])
    # The second image makes token 0 certain.
    assert greedy_captions(chain, np.array([0.0, 200.0]), 5) == [[1, END], [0, 2, END]]


def test_a_caption_that_does_not_end_is_cut_at_the_limit_without_another_step() -> None:
    chain = Chain(log(1, 0, 0, 0), [log(1, 0, 0, 0)] * 4)
    assert greedy_captions(chain, np.zeros(1), 3) == [[0, 0, 0]]
    assert chain.fed == 2
    assert best_captions(chain, np.float64(0), 2, 3)[0].tokens == (0, 0, 0)


def test_forbidden_tokens_are_never_written() -> None:
    assert greedy_captions(GARDEN_PATH, np.zeros(1), 5, never=[0]) == [[1, END]]
    found = best_captions(GARDEN_PATH, np.float64(0), 3, 5, never=[1])
    assert all(1 not in hypothesis.tokens for hypothesis in found)


def test_drawn_captions_follow_the_probabilities_and_the_seed() -> None:
    images = np.zeros(4000)
    drawn = sample_captions(GARDEN_PATH, images, 6, SamplingOptions(), seed=3)
    first = np.mean([caption[0] == 1 for caption in drawn])
    assert first == pytest.approx(0.4, abs=0.03)
    assert drawn == sample_captions(GARDEN_PATH, images, 6, SamplingOptions(), seed=3)
    assert drawn != sample_captions(GARDEN_PATH, images, 6, SamplingOptions(), seed=4)
    assert all(END not in caption[:-1] for caption in drawn)
