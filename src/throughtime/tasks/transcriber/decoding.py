"""From the probabilities of each step to a text: the best path, and prefix beam search. NumPy only.

A path has a character or the blank for each step. It stands for the text that remains when repetitions are
merged and blanks are dropped: "aa-ab" is "aab". The probability of a text is the sum over all of its paths.

Source: Graves, Fernandez, Gomez and Schmidhuber 2006 ("Connectionist Temporal Classification").
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from throughtime.data.limits import EXAMPLE_BYTES

BLANK = 0

Prefix = tuple[int, ...]


@dataclass(frozen=True)
class Spelled:
    """What was found of one recording.

    Args:
        characters: their numbers.
        steps: at which step each begins.
        log_probability: of the paths that were found for it, together, in nats: at most log p(text).
    """

    characters: Prefix
    steps: tuple[int, ...]
    log_probability: float


def least_steps(characters: Sequence[int]) -> int:
    """The fewest steps that a text can have: one for each character, and a blank between equal ones."""
    return len(characters) + sum(one == two for one, two in zip(characters, characters[1:], strict=False))


def best_path(log_probabilities: NDArray[np.floating]) -> Spelled:
    """The text of the most probable path, which need not be the most probable text.

    Args:
        log_probabilities: (T, V), of each step.
    """
    path = log_probabilities.argmax(1)
    begins = (path != BLANK) & (path != np.concatenate([[BLANK], path[:-1]]))
    steps = np.flatnonzero(begins)
    found = tuple(path[steps].tolist())
    return Spelled(found, tuple(steps.tolist()), float(log_probabilities.max(1).sum(dtype=np.float64)))


def prefix_beam_search(log_probabilities: NDArray[np.floating], width: int) -> Spelled:
    """The most probable text that a search over prefixes finds; exact where no prefix is ever dropped.

    The probability of a prefix is that of all paths so far that stand for it, in two parts: those that end
    with a blank, and those that end with its last character. Only the former can be followed by the same
    character once more.

    Args:
        log_probabilities: (T, V), of each step.
        width: prefixes that are kept at each step.
    Source: Graves and Jaitly 2014, algorithm 1; Hannun, Maas, Jurafsky and Ng 2014, algorithm 1.
    """
    never = -math.inf
    # Of each prefix: log p of its paths that end with a blank, and of those that end with a character.
    beam: dict[Prefix, tuple[float, float]] = {(): (0.0, never)}
    for step in np.asarray(log_probabilities, np.float64):
        # More characters could not stay: each of these makes a prefix that is above those of the others, but
        # for a repetition, which counts less.
        likely = (_largest(step[BLANK + 1 :], width + 1) + BLANK + 1).tolist()
        kept: dict[Prefix, list[int]] = {}
        for prefix in beam:
            kept.setdefault(prefix[:-1], []).extend(prefix[-1:])
        found: dict[Prefix, tuple[float, float]] = {}
        for prefix, (blank, other) in beam.items():
            both, last = _add(blank, other), prefix[-1] if prefix else BLANK
            stays = found.get(prefix, (never, never))
            repeated = other + float(step[last]) if prefix else never
            found[prefix] = _add(stays[0], both + float(step[BLANK])), _add(stays[1], repeated)
            # A less likely character, too, may lead to a prefix that is there already.
            for character in {*likely, *kept.get(prefix, ())}:
                longer = (*prefix, character)
                known = found.get(longer, (never, never))
                before = blank if character == last else both
                found[longer] = known[0], _add(known[1], before + float(step[character]))
        best = sorted(found, key=lambda prefix: _add(*found[prefix]), reverse=True)[:width]
        beam = {prefix: found[prefix] for prefix in best}
    best_prefix = max(beam, key=lambda prefix: _add(*beam[prefix]))
    return Spelled(best_prefix, align(log_probabilities, best_prefix), _add(*beam[best_prefix]))


def log_likelihood(log_probabilities: NDArray[np.floating], characters: Sequence[int]) -> float:
    """log p(text) over all of its paths, in nats; -inf where there are too few steps for it.

    Args:
        log_probabilities: (T, V), of each step.
        characters: of the text.
    Source: Graves et al. 2006, equations 5 to 8.
    """
    if least_steps(characters) > len(log_probabilities):
        return -np.inf
    places, skips = _places(characters)
    steps = np.asarray(log_probabilities, np.float64)
    alpha = np.full(len(places), -np.inf)
    alpha[:2] = steps[0, places[:2]]
    for step in steps[1:]:
        one, two = _shifted(alpha, 1), np.where(skips, _shifted(alpha, 2), -np.inf)
        alpha = np.logaddexp(np.logaddexp(alpha, one), two) + step[places]
    return float(np.logaddexp.reduce(alpha[-2:]))


def align(log_probabilities: NDArray[np.floating], characters: Sequence[int]) -> tuple[int, ...]:
    """At which step each character of a text begins, in the most probable of its paths.

    Args:
        log_probabilities: (T, V), of each step; T is at least `least_steps(characters)`.
        characters: of the text.
    Raises:
        DataError: the table of the search takes more memory than an example may.
    """
    places, skips = _places(characters)
    T, S = len(log_probabilities), len(places)
    EXAMPLE_BYTES.check(T * S, f"finding the places of {len(characters):,} characters in {T:,} steps takes")
    best = np.full(S, -np.inf)
    best[:2] = log_probabilities[0, places[:2]]
    came = np.zeros((T, S), np.int8)
    for step in range(1, T):
        ways = np.stack([best, _shifted(best, 1), np.where(skips, _shifted(best, 2), -np.inf)])
        came[step] = ways.argmax(0)
        best = ways.max(0) + log_probabilities[step, places]
    place = S - 1 if S < 2 or best[-1] >= best[-2] else S - 2
    begins = [0] * len(characters)
    for step in range(T - 1, -1, -1):
        if place % 2:
            begins[place // 2] = step
        place -= int(came[step, place])
    return tuple(begins)


def _places(characters: Sequence[int]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """The places of "-c-a-t-", (2L + 1,), and which of them can be reached without the blank before."""
    places = np.full(2 * len(characters) + 1, BLANK)
    places[1::2] = characters
    skips = (places != BLANK) & (places != np.concatenate([[BLANK, BLANK], places[:-2]])[: len(places)])
    return places, skips


def _shifted(values: NDArray[np.float64], by: int) -> NDArray[np.float64]:
    return np.concatenate([np.full(by, -np.inf), values])[: len(values)]


def _largest(values: NDArray[np.float64], count: int) -> NDArray[np.int64]:
    """The places of the largest values, in no order."""
    if len(values) <= count:
        return np.arange(len(values))
    return np.argpartition(values, -count)[-count:]


def _add(one: float, two: float) -> float:
    """log(exp(one) + exp(two))."""
    low, high = min(one, two), max(one, two)
    return high if low == -math.inf else high + math.log1p(math.exp(low - high))
