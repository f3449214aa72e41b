"""Beam search over any step function: language models, captions, translations."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from throughtime.errors import OptionError

State = TypeVar("State")


@dataclass(frozen=True)
class Hypothesis:
    """A finished sequence.

    Args:
        tokens: what was generated; the end token, where one came, is the last.
        log_probability: the sum over the tokens.
        score: the log-probability after length normalisation; the search ranks by it.
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
        width: 1 or above; the number of beginnings kept, and of results at most.
        max_length: 1 or above; in tokens, with the end token.
        end_token: in [0, V); None where sequences end by length only.
        length_penalty: alpha, 0 or above; the score is log-probability / ((5 + length) / 6) ** alpha.
            0 ranks by probability, which favours short sequences.
    Returns:
        At most `width` hypotheses, best first; fewer where fewer are possible.
    Raises:
        OptionError: an option is out of range.
        ValueError: log-probabilities have a wrong shape, are NaN or are above 0 (the message names the
            position).
    Source: length normalisation Wu et al. 2016, equation 14 (without the coverage penalty).
    """
    if width < 1 or max_length < 1:
        raise OptionError(f"width and max_length must be 1 or above, not {width} and {max_length}")
    if not 0 <= length_penalty < np.inf:
        raise OptionError(f"length_penalty must be 0 or above, not {length_penalty}")
    log_probabilities = np.atleast_2d(np.asarray(first_log_probabilities, dtype=np.float64))
    vocabulary_size = log_probabilities.shape[-1]
    if end_token is not None and not 0 <= end_token < vocabulary_size:
        raise OptionError(f"end_token must be in [0, {vocabulary_size}), not {end_token}")

    live_tokens = np.zeros((1, 0), dtype=np.int64)
    live_totals = np.zeros(1)
    finished: list[Hypothesis] = []
    for length in range(1, max_length + 1):
        _check(log_probabilities, (len(live_totals), vocabulary_size), position=length)
        totals = live_totals[:, None] + log_probabilities
        if end_token is not None:
            best_rows, best_tokens = _best(totals, width)
            for row in best_rows[best_tokens == end_token]:
                ended = (*live_tokens[row].tolist(), end_token)
                finished.append(_hypothesis(ended, totals[row, end_token], length_penalty))
            totals[:, end_token] = -np.inf
        rows, tokens = _best(totals, width)
        live_tokens = np.concatenate([live_tokens[rows], tokens[:, None]], axis=1)
        live_totals = totals[rows, tokens]
        finished = sorted(finished, key=_descending_score)[:width]
        if len(rows) == 0 or length == max_length:
            break
        # Log-probabilities only fall and the divisor only grows: no live sequence can end above this bound.
        bound = live_totals[0] / _normaliser(max_length, length_penalty)
        if len(finished) == width and finished[-1].score >= bound:
            return finished
        next_log_probabilities, state = step(tokens, select(state, rows))
        log_probabilities = np.asarray(next_log_probabilities, dtype=np.float64)

    if live_tokens.shape[1] == max_length:
        for tokens, total in zip(live_tokens.tolist(), live_totals, strict=True):
            finished.append(_hypothesis(tuple(tokens), total, length_penalty))
    return sorted(finished, key=_descending_score)[:width]


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
        raise ValueError(
            f"log-probabilities of position {position} hold NaN or a value above 0: pass log_softmax(logits)"
        )


def _normaliser(length: int, length_penalty: float) -> float:
    return ((5 + length) / 6) ** length_penalty


def _hypothesis(tokens: tuple[int, ...], log_probability: np.float64, length_penalty: float) -> Hypothesis:
    score = log_probability / _normaliser(len(tokens), length_penalty)
    return Hypothesis(tokens, float(log_probability), float(score))


def _descending_score(hypothesis: Hypothesis) -> float:
    return -hypothesis.score
