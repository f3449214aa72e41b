"""Beam search over any step function: language models, captions, translations."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from throughtime.errors import OptionError
from throughtime.runtime.outputs import check_output

State = TypeVar("State")

# Scores stay numbers below these, whatever the length; papers use penalties of about 1, rewards below 2 nats.
MAX_PENALTY = 10.0
MAX_REWARD = 100.0
# Wider than in any paper. Ten thousand beginnings of a thousand tokens take minutes, and gigabytes.
MAX_WIDTH = 1000
# Nothing of a search is seen before its end, which a model that gives the end token too little never reaches.
MAX_LENGTH = 10_000


@dataclass(frozen=True)
class Hypothesis:
    """A finished sequence.

    Args:
        tokens: what was generated; the end token, where one came, is the last.
        log_probability: the sum over the tokens.
        score: the log-probability after length normalisation and penalties; the search ranks by it.
    """

    tokens: tuple[int, ...]
    log_probability: float
    score: float


def beam_search(
    step: Callable[[NDArray[np.int64], State], tuple[ArrayLike, State]],
    first_log_probabilities: ArrayLike,
    state: State,
    select: Callable[[State, NDArray[np.int64]], State],
    width: int,
    max_length: int,
    end_token: int | None = None,
    length_penalty: float = 0.0,
    word_reward: float = 0.0,
    rewarded_length: int | None = None,
) -> list[Hypothesis]:
    """Find the most probable sequences, keeping the `width` best beginnings at every step.

    A sequence is finished by the end token or at `max_length` tokens. The end token has to rank among the
    best `width` continuations to finish one, so that width 1 without a length penalty is greedy search.

    Args:
        step: (tokens (W,) int64, state of W rows) -> (log-probabilities (W, V) of the next token, state of
            W rows); W is at most `width` and varies.
        first_log_probabilities: (V,) or (1, V), of the first token, after the prompt, image or source.
        state: of one row, that of `first_log_probabilities`.
        select: (state, indices (W,) int64) -> the state whose row i is row indices[i] of the old one.
        width: from 1 to `MAX_WIDTH`; the number of beginnings kept, and of results at most.
        max_length: from 1 to `MAX_LENGTH`; in tokens, with the end token.
        end_token: in [0, V); None where sequences end by length only.
        length_penalty: alpha, from 0 to `MAX_PENALTY`; the score is
            log-probability / ((5 + length) / 6) ** alpha. 0 ranks by probability, which favours short
            sequences.
        word_reward: r, from 0 to `MAX_REWARD`, in nats; r * min(length, rewarded_length) is added to the
            score.
        rewarded_length: in tokens, with the end token; None is `max_length`. A bound keeps a loop of words,
            each more probable than exp(-r), from paying for ever.
    Returns:
        At most `width` hypotheses, best first; fewer where fewer are possible.
    Raises:
        OptionError: an option is out of range.
        NotANumberError: log-probabilities are NaN (the message names the position).
        ValueError: log-probabilities have a wrong shape, or are above 0 (likewise).
    Source: length normalisation Wu et al. 2016, equation 14 (the coverage penalty: `beam_search_batch`);
        word reward He et al. 2016 ("Improved Neural Machine Translation with SMT Features"), its bound
        Huang, Zhao and Ma 2017 ("When to Finish?").
    """
    if max_length > MAX_LENGTH:
        most = f"{MAX_LENGTH:,} tokens at most, an end among them"
        raise OptionError(f"a beam search writes {most}, not {max_length:,}")
    first = np.atleast_2d(np.asarray(first_log_probabilities, dtype=np.float64))
    _check(first, (1, first.shape[-1]), position=1)
    return beam_search_batch(
        step,
        first,
        state,
        select,
        width,
        [max_length],
        end_token,
        length_penalty,
        word_reward=word_reward,
        rewarded_length=rewarded_length,
    )[0]


def beam_search_batch(
    step: Callable[[NDArray[np.int64], State], tuple[ArrayLike, State]],
    first_log_probabilities: ArrayLike,
    state: State,
    select: Callable[[State, NDArray[np.int64]], State],
    width: int,
    max_lengths: Sequence[int],
    end_token: int | None = None,
    length_penalty: float = 0.0,
    penalties: Callable[[State], ArrayLike] | None = None,
    word_reward: float = 0.0,
    rewarded_length: int | None = None,
) -> list[list[Hypothesis]]:
    """Several searches side by side, each as `beam_search` would do it alone, with one model step for all.

    The rows of a step are those of the searches that still go on, in the order of the sources, each with at
    most `width`: `select` drops the rows of a search that is over.

    Args:
        step, select, width, end_token, length_penalty, word_reward, rewarded_length: as for `beam_search`.
        first_log_probabilities: (B, V), one row a source.
        state: of B rows.
        max_lengths: B lengths, each 1 or above and with the end token; sources bound them, no constant does.
        penalties: state of W rows -> (W,), each 0 or below, that is added to the score of a sequence which
            ends with a token drawn from this state: the coverage penalty of Wu et al. 2016.
    Returns:
        For each source what `beam_search` returns.
    Raises:
        OptionError, NotANumberError, ValueError: as `beam_search`.
    """
    if not 1 <= width <= MAX_WIDTH or min(max_lengths, default=1) < 1:
        raise OptionError(
            f"width must be from 1 to {MAX_WIDTH:,} and max_length 1 or above, not {width} and "
            f"{min(max_lengths, default=1)}"
        )
    check_range("length_penalty", length_penalty, MAX_PENALTY)
    check_range("word_reward", word_reward, MAX_REWARD)
    if rewarded_length is not None and rewarded_length < 1:
        raise OptionError(f"rewarded_length must be 1 or above, not {rewarded_length}")
    log_probabilities = np.asarray(first_log_probabilities, dtype=np.float64)
    vocabulary_size = log_probabilities.shape[-1]
    if end_token is not None and not 0 <= end_token < vocabulary_size:
        raise OptionError(f"end_token must be in [0, {vocabulary_size}), not {end_token}")

    searches = [
        _Search(width, length, end_token, _Score(length_penalty, word_reward, rewarded_length or length))
        for length in max_lengths
    ]
    running, position = searches, 1
    while running:
        _check(log_probabilities, (sum(len(s.totals) for s in running), vocabulary_size), position)
        bonus = np.zeros(len(log_probabilities))
        if penalties is not None:
            bonus = np.asarray(penalties(state), dtype=np.float64)
        all_rows, all_tokens, offset = [], [], 0
        for search in running:
            here = slice(offset, offset + len(search.totals))
            rows, tokens = search.advance(log_probabilities[here], bonus[here])
            if not search.is_over:
                all_rows.append(rows + offset)
                all_tokens.append(tokens)
            offset = here.stop
        running = [search for search in running if not search.is_over]
        if running:
            next_state = select(state, np.concatenate(all_rows))
            next_log_probabilities, state = step(np.concatenate(all_tokens), next_state)
            log_probabilities = np.asarray(next_log_probabilities, dtype=np.float64)
            position += 1
    return [search.finished for search in searches]


def check_range(option: str, value: float, largest: float) -> None:
    """Refuse a penalty or a reward that is not in [0, largest].

    Raises:
        OptionError: it is outside, or NaN.
    """
    if not 0 <= value <= largest:
        raise OptionError(f"{option} must be from 0 to {largest:g}, not {value:g}")


@dataclass(frozen=True)
class _Score:
    """By what finished sequences are ranked: the log-probability, and what makes up for length."""

    length_penalty: float
    word_reward: float
    rewarded_length: int

    def __call__(self, log_probability: float, length: int) -> float:
        normaliser = ((5 + length) / 6) ** self.length_penalty
        return log_probability / normaliser + self.word_reward * min(length, self.rewarded_length)


class _Search:
    """The search for one source: the beginnings that are alive, and what is finished."""

    def __init__(self, width: int, max_length: int, end_token: int | None, score: _Score) -> None:
        self._width = width
        self._max_length = max_length
        self._end_token = end_token
        self._score = score
        self._tokens = np.zeros((1, 0), dtype=np.int64)
        self.totals = np.zeros(1)
        self.finished: list[Hypothesis] = []
        self.is_over = False

    def advance(
        self, log_probabilities: NDArray[np.float64], penalties: NDArray[np.float64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Take one token more.

        Args:
            log_probabilities: (W, V), after each of the W live beginnings.
            penalties: (W,), for those that end here.
        Returns:
            Of which beginning, and by which token, each of the new ones goes on.
        """
        totals = self.totals[:, None] + log_probabilities
        length = self._tokens.shape[1] + 1
        # With as many more as there can be ends among them, so that one selection finds ends and beginnings.
        rows, tokens = _best(totals, self._width + len(totals))
        if self._end_token is not None:
            is_end = tokens == self._end_token
            for row in rows[: self._width][is_end[: self._width]]:
                ended = (*self._tokens[row].tolist(), self._end_token)
                self._finish(ended, float(totals[row, self._end_token]), float(penalties[row]))
            rows, tokens = rows[~is_end], tokens[~is_end]
        rows, tokens = rows[: self._width], tokens[: self._width]
        self._tokens = np.concatenate([self._tokens[rows], tokens[:, None]], axis=1)
        self.totals = totals[rows, tokens]
        if length == self._max_length:
            for ended, total, row in zip(self._tokens.tolist(), self.totals, rows, strict=True):
                self._finish(tuple(ended), float(total), float(penalties[row]))
        self.finished = sorted(self.finished, key=_descending_score)[: self._width]
        self.is_over = len(rows) == 0 or length == self._max_length or self._is_settled()
        return rows, tokens

    def _is_settled(self) -> bool:
        """Whether no live beginning can still end among the best."""
        # Log-probabilities only fall, divisor and reward only grow, and penalties are 0 or below.
        bound = self._score(float(self.totals[0]), self._max_length)
        return len(self.finished) == self._width and self.finished[-1].score >= bound

    def _finish(self, tokens: tuple[int, ...], log_probability: float, penalty: float) -> None:
        score = self._score(log_probability, len(tokens)) + penalty
        self.finished.append(Hypothesis(tokens, log_probability, score))


def _best(totals: NDArray[np.float64], width: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows and columns of the `width` largest totals, best first; ties by row, then token; never -inf."""
    flat = totals.ravel()
    threshold = -np.inf
    if width < flat.size:
        # Select, then sort what remains: sorting all W x V totals would take longer than the model's step.
        threshold = np.partition(flat, flat.size - width)[flat.size - width]
    possible = np.flatnonzero((flat >= threshold) & (flat > -np.inf))
    best = possible[np.argsort(-flat[possible], kind="stable")[:width]]
    rows, columns = np.divmod(best, totals.shape[1])
    return rows.astype(np.int64), columns.astype(np.int64)


def _check(log_probabilities: NDArray[np.float64], expected: tuple[int, int], position: int) -> None:
    if log_probabilities.shape != expected:
        raise ValueError(
            f"log-probabilities of position {position} have shape {log_probabilities.shape}, "
            f"expected {expected}"
        )
    # The tolerance leaves room for a float16 log-softmax.
    if not (log_probabilities <= 1e-2).all():
        check_output(log_probabilities, f"position {position}")
        raise ValueError(
            f"log-probabilities of position {position} hold a value above 0: pass log_softmax(logits)"
        )


def _descending_score(hypothesis: Hypothesis) -> float:
    return -hypothesis.score
