"""How a slot of an engine draws its tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from throughtime.errors import OptionError
from throughtime.runtime import generators
from throughtime.runtime.sampling import SamplingOptions

# As native/draws.h has it.
MOST_STOPS = 64


class Ended(IntEnum):
    """Why a slot has left a call of `Engine.advance`."""

    LIMIT = 0  # it has as many tokens as it was to draw
    STOP = 1  # it has drawn a stop token, and read it
    FAILED = 2  # its logits hold NaN: it is as it was before the call


def _seed_zero() -> tuple[int, ...]:
    return _words_of(0)


def _words_of(seed: int) -> tuple[int, ...]:
    return tuple(generators.seeded(seed, [0])[0].tolist())


@dataclass(frozen=True)
class Draws:
    """What decides the tokens of a slot, besides its logits.

    Args:
        options: how to turn logits into a token.
        generator: the four words of `throughtime.runtime.generators`; `seeded` makes them.
        stop: a slot that has drawn one of these tokens leaves the call; up to 64.
    Raises:
        OptionError: there are more stop tokens.
    """

    options: SamplingOptions = SamplingOptions()
    generator: tuple[int, ...] = field(default_factory=_seed_zero)
    stop: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if len(self.stop) > MOST_STOPS:
            raise OptionError(f"a slot takes up to {MOST_STOPS} stop tokens, not {len(self.stop)}")

    @classmethod
    def seeded(cls, options: SamplingOptions | None = None, seed: int = 0, stop: Sequence[int] = ()) -> Draws:
        """The draws of a seed: those of `Sampler(options, vocabulary_size, seed, rows=1)`.

        Raises:
            OptionError: the seed is no whole number, 0 or above, or there are too many stop tokens.
        """
        generators.check_seed(seed)
        return cls(options or SamplingOptions(), _words_of(seed), tuple(stop))


def to_arrays(draws: Sequence[Draws]) -> tuple[NDArray[Any], ...]:
    """What the native part takes: options (N, 5), generators (N, 4), all stop tokens, how many each has."""
    options = np.array(
        [
            (o.temperature, o.top_k, o.top_p, o.min_p, o.repetition_penalty)
            for o in (one.options for one in draws)
        ],
        np.float64,
    ).reshape(-1, 5)
    words = np.array([one.generator for one in draws], np.uint64).reshape(-1, generators.WORDS)
    stops = np.array([token for one in draws for token in one.stop], np.int64)
    return options, words, stops, np.array([len(one.stop) for one in draws], np.int64)


def from_arrays(
    options: NDArray[Any], words: NDArray[Any], stops: NDArray[Any], counts: NDArray[Any]
) -> list[Draws]:
    """The inverse of `to_arrays`."""
    ends = np.cumsum(counts)
    return [
        Draws(
            SamplingOptions(row[0], int(row[1]), *row[2:]),
            tuple(generator),
            tuple(stops[end - count : end].tolist()),
        )
        for row, generator, end, count in zip(
            options.tolist(), words.tolist(), ends.tolist(), counts.tolist(), strict=True
        )
    ]
