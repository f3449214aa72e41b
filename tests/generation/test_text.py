"""Text from a model, with a model whose distribution is known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from throughtime.data import Tokenizer
from throughtime.errors import NotANumberError, OptionError, UnknownTokenError
from throughtime.generation import SamplingOptions
from throughtime.generation.text import line_end, most_probable, stream

ALPHABET = "\n abcdefghij"


class Counter:
    """Predicts the next letter of the alphabet with near certainty; its state is how many tokens it read."""

    def __init__(self, vocabulary_size: int, sure: float = 51.0) -> None:
        self.vocabulary_size = vocabulary_size
        self.sure = sure
        self.longest = 0

    def feed(self, tokens: NDArray[np.int64], state: Any = None) -> tuple[NDArray[np.float32], Any]:
        self.longest = max(self.longest, tokens.shape[1])
        read = np.zeros(len(tokens)) if state is None else state
        logits = np.ones((len(tokens), self.vocabulary_size), dtype=np.float32)
        logits[np.arange(len(tokens)), (tokens[:, -1] + 1) % self.vocabulary_size] = self.sure
        return logits, read + tokens.shape[1]

    def select(self, state: Any, rows: NDArray[np.int64]) -> Any:
        return state[rows]


@pytest.fixture
def tokenizer(tmp_path: Path) -> Tokenizer:
    (tmp_path / "t.txt").write_text(ALPHABET)
    return Tokenizer.train("character", tmp_path / "t.txt")


def write(tokenizer: Tokenizer, prompt: str, length: int, **options: Any) -> list[str]:
    samples = options.pop("samples", 1)
    model = Counter(tokenizer.vocabulary_size, options.pop("sure", 51.0))
    sampling = SamplingOptions(**options.pop("sampling", {}))
    texts = [""] * samples
    for row, text in stream(model, tokenizer, prompt, length, sampling, samples=samples, **options):
        assert text
        texts[row] += text
    return texts


def test_the_text_follows_the_prompt(tokenizer: Tokenizer) -> None:
    assert write(tokenizer, "ab", 5, seed=1) == ["cdefg"]
    assert write(tokenizer, "ab", 0) == [""]
    assert write(tokenizer, "", 3, seed=1) == [" ab"]  # begins after a line's end
    assert write(tokenizer, "a", 2, samples=3, sampling={"temperature": 0}) == ["bc"] * 3


def test_a_long_prompt_is_read_in_pieces(tokenizer: Tokenizer) -> None:
    model = Counter(tokenizer.vocabulary_size)
    pieces = list(stream(model, tokenizer, "ab" * 1000, 1, SamplingOptions(temperature=0)))
    assert pieces == [(0, "c")]
    assert model.longest <= 256


def test_each_sample_stops_by_itself(tokenizer: Tokenizer) -> None:
    assert write(tokenizer, "a", 9, stop=["e"], seed=0) == ["bcd"]
    texts = write(tokenizer, "a", 300, stop=["cd"], samples=4, seed=2, sure=1.0)
    assert len({len(text) for text in texts}) > 1
    assert all("cd" not in text for text in texts)


def test_text_held_back_for_a_stop_string_comes_at_the_end(tokenizer: Tokenizer) -> None:
    assert write(tokenizer, "a", 3, stop=["dz"], seed=0) == ["bcd"]


def test_the_same_seed_draws_the_same_text_whatever_the_batch(tokenizer: Tokenizer) -> None:
    one = write(tokenizer, "a", 40, seed=7, sure=1.0)
    assert write(tokenizer, "a", 40, seed=7, sure=1.0) == one
    assert write(tokenizer, "a", 40, seed=7, sure=1.0, samples=5)[0] == one[0]
    assert write(tokenizer, "a", 40, seed=8, sure=1.0) != one


def test_the_repetition_penalty_sees_the_prompt(tokenizer: Tokenizer) -> None:
    options = {"temperature": 0, "repetition_penalty": 1e6}
    assert write(tokenizer, "ba", 1, sampling={"temperature": 0}) == ["b"]
    # "a" and "b" are seen and penalised to nearly 0; the first of the others is a line's end
    assert write(tokenizer, "ba", 1, sampling=options) == ["\n"]


def test_beam_search_finds_the_most_probable(tokenizer: Tokenizer) -> None:
    model = Counter(tokenizer.vocabulary_size, 6.0)
    found = most_probable(model, tokenizer, "a", 4, width=3)
    assert found[0][0] == "bcde"
    assert len(found) == 3
    probability = np.exp(5) / (np.exp(5) + tokenizer.vocabulary_size - 1)
    assert found[0][1] == pytest.approx(4 * np.log(probability))
    assert most_probable(model, tokenizer, "a", 4, width=1, stop=["d"])[0][0] == "bc"
    assert most_probable(model, tokenizer, "a", 0, width=1) == [("", 0.0)]


def test_wrong_input_is_refused(tokenizer: Tokenizer) -> None:
    with pytest.raises(UnknownTokenError, match="the prompt, line 1, column 2"):
        write(tokenizer, "aé", 3)
    with pytest.raises(OptionError, match="length"):
        write(tokenizer, "a", -1)
    with pytest.raises(OptionError, match="samples"):
        write(tokenizer, "a", 1, samples=0)


def test_a_vocabulary_without_line_ends_begins_with_its_first_token(tmp_path: Path) -> None:
    (tmp_path / "t.txt").write_text("abc")
    assert line_end(Tokenizer.train("character", tmp_path / "t.txt")) == 0


class Lost(Counter):
    """Its output is NaN after so many tokens."""

    def feed(self, tokens: NDArray[np.int64], state: Any = None) -> tuple[NDArray[np.float32], Any]:
        logits, state = super().feed(tokens, state)
        return np.where(state[:, None] > 5, np.float32(np.nan), logits), state


class LostInADraw(Lost):
    """Draws as an engine does, whose sampler finds NaN in the middle of a call."""

    def draw(self, sampler: Any, logits: Any, state: Any, count: int) -> Any:
        tokens = []
        for _ in range(count):
            tokens.append(sampler.sample(logits))
            logits, state = self.feed(tokens[-1][:, None], state)
        return np.stack(tokens, 1), logits, state


def test_a_model_whose_output_is_no_number_writes_nothing_made_of_it(tokenizer: Tokenizer) -> None:
    for model in (Lost(len(ALPHABET)), LostInADraw(len(ALPHABET))):
        with pytest.raises(NotANumberError, match="output for the text so far is not a number"):
            list(stream(model, tokenizer, "ab", 40, SamplingOptions(), seed=1))
        with pytest.raises(NotANumberError, match="for position 5 is not a number"):
            most_probable(model, tokenizer, "ab", 40, width=2)


def test_numbers_beyond_reason_are_refused(tokenizer: Tokenizer) -> None:
    with pytest.raises(OptionError, match="samples must be from 1 to 4,096, not 1,000,000,000"):
        next(stream(Counter(len(ALPHABET)), tokenizer, "a", 1, SamplingOptions(), samples=10**9))
