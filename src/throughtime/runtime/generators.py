"""Random generators as rows of whole numbers: NumPy's PCG64, which the native part moves on.

A generator is four words of 64 bits: the upper and lower half of its state, then of its increment.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from throughtime.errors import OptionError
from throughtime.facts import shown
from throughtime.saved import Saved

WORDS = 4
_HEXADECIMAL = re.compile("[0-9a-f]{32}")
_LOWER = (1 << 64) - 1


def check_seed(seed: object) -> None:
    """Raise OptionError unless a seed is a whole number, 0 or above."""
    if not isinstance(seed, (int, np.integer)) or isinstance(seed, bool) or seed < 0:
        raise OptionError(f"seed must be a whole number, 0 or above, not {shown(seed)}")


def seeded(seed: int, rows: Iterable[int]) -> NDArray[np.uint64]:
    """The generators (N, 4) of some rows of a seed: no two rows or seeds share their numbers.

    Source: O'Neill 2014 (PCG XSL RR 128/64); seeds are spread by NumPy's SeedSequence.
    """
    words = np.empty((0, WORDS), np.uint64)
    made = [np.random.PCG64(np.random.SeedSequence(int(seed), spawn_key=(row,))).state for row in rows]
    if made:
        words = np.array([_words(one["state"]["state"], one["state"]["inc"]) for one in made], np.uint64)
    return words


def advanced(words: NDArray[np.uint64], steps: int) -> NDArray[np.uint64]:
    """A generator (4,) after so many more numbers."""
    generator = np.random.PCG64(0)
    state, increment = (int(words[place]) << 64 | int(words[place + 1]) for place in (0, 2))
    generator.state = {**generator.state, "state": {"state": state, "inc": increment}}
    generator.advance(steps)
    return np.array(_words(generator.state["state"]["state"], increment), np.uint64)


def to_json(generators: NDArray[np.uint64]) -> list[dict[str, str]]:
    """Generators (N, 4) as JSON holds them.

    The 128-bit numbers go as hexadecimal text: many JSON readers would round them to doubles.
    """
    return [
        {
            "state": f"{int(row[0]):016x}{int(row[1]):016x}",
            "increment": f"{int(row[2]):016x}{int(row[3]):016x}",
        }
        for row in generators
    ]


def from_json(saved: Iterable[Saved]) -> NDArray[np.uint64]:
    """The generators (N, 4) that `to_json` wrote.

    Raises:
        CheckpointError: one is damaged.
    """
    rows = []
    for one in saved:
        with one:
            numbers = {name: one.text(name) for name in ("state", "increment")}
        for name, number in numbers.items():
            if not _HEXADECIMAL.fullmatch(number):
                one.refuse(name, number, "32 hexadecimal digits")
        rows.append(_words(int(numbers["state"], 16), int(numbers["increment"], 16)))
    return np.array(rows, np.uint64).reshape(-1, WORDS)


def _words(state: int, increment: int) -> tuple[int, ...]:
    return state >> 64, state & _LOWER, increment >> 64, increment & _LOWER
