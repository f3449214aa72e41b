"""How probable lines are, and how surprising: nats for each, and those of its oddest stretch."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from throughtime import _native
from throughtime.data.tokenizer import Tokenizer
from throughtime.errors import UnknownTokenError
from throughtime.notebooks import table
from throughtime.runtime.engine import Engine
from throughtime.runtime.outputs import check_finite
from throughtime.runtime.stepper import EngineState
from throughtime.tasks.language_model.line_writing import end_token
from throughtime.tasks.language_model.lines import Line

# Lines that are held at once: sorted by length in such a pool, little of a batch is padding.
_POOL = 16_384
_SLOTS = 256
# Numbers of a block of logits, which should stay in the cache.
_LOGITS = 1 << 19


@dataclass(frozen=True)
class LineScore:
    """What a model says of a line.

    Args:
        line: its number in the file.
        text: the line.
        nats: -log of its probability, its end included.
        tokens: that were predicted, its end included.
        characters: Unicode code points, without the end.
        surprise: of the line's most surprising stretch, in nats: see `Bursts`.
        unknown: characters that training never saw.
    """

    line: int
    text: str
    nats: float
    tokens: int
    characters: int
    surprise: float
    unknown: int = 0

    @property
    def nats_per_character(self) -> float:
        """The nats over the characters and the end."""
        return self.nats / (self.characters + 1)


@dataclass(frozen=True)
class LineEvaluation:
    """How well a model predicts lines.

    Args:
        nats_per_token: the mean loss over all tokens and the lines' ends.
        nats_per_line: the mean over lines.
        lines: how many.
        tokens: predicted: all of them, and an end for each line.
        characters: Unicode code points, without the ends.
        unknown: characters that training never saw.
        lines_per_second: speed of the evaluation.
    """

    nats_per_token: float
    nats_per_line: float
    lines: int
    tokens: int
    characters: int
    unknown: int
    lines_per_second: float

    @property
    def perplexity(self) -> float:
        """exp of the mean loss a token."""
        return math.exp(min(self.nats_per_token, 700.0))

    @property
    def nats_per_character(self) -> float:
        """All nats over all characters and ends, which compares tokenisers."""
        return self.nats_per_token * self.tokens / (self.characters + self.lines)

    @property
    def bits_per_character(self) -> float:
        """The same in bits."""
        return self.nats_per_character / math.log(2)

    def _repr_html_(self) -> str:
        more = {"perplexity": self.perplexity, "bits_per_character": self.bits_per_character}
        return table({**asdict(self), **more}.items())


class ParallelLines(Protocol):
    """A network that reads N lines side by side and gives the logits after each token."""

    vocabulary_size: int
    threads: int

    def begin(self, states: Any, rows: NDArray[np.int64]) -> None:
        """Begin lines with these rows of some states; None is the network's own first state."""
        ...

    def read(self, tokens: NDArray[np.int64]) -> NDArray[np.float32]:
        """Read tokens (N, T); the logits (N, T, V) after each."""
        ...

    def end(self) -> None:
        """Let go of what the lines needed."""
        ...


def score_lines(
    network: ParallelLines,
    tokenizer: Tokenizer,
    lines: Iterable[tuple[Line, tuple[list[int], list[float]]]],
    first_states: Callable[[Sequence[tuple[list[int], list[float]]]], Any],
    unknown_nats: float,
) -> Iterator[LineScore]:
    """Score lines, in their order.

    Args:
        network: the model.
        tokenizer: its vocabulary.
        lines: each with its conditions, as `Conditions.encode` gave them.
        first_states: the states of lines with these conditions, as `network.begin` takes them.
        unknown_nats: what a character costs that training never saw: it is not read.
    Raises:
        NotANumberError: the model's output is NaN.
    """
    end = end_token(tokenizer)
    pool: list[tuple[Line, NDArray[np.int64], int]] = []
    conditions: list[tuple[list[int], list[float]]] = []

    def scored() -> Iterator[LineScore]:
        states = first_states(conditions)
        found = _score_pool(network, [tokens for _, tokens, _ in pool], end, states)
        for (line, tokens, unknown), (nats, surprise) in zip(pool, found, strict=True):
            extra = unknown * unknown_nats
            yield LineScore(
                line.number,
                line.text,
                float(nats + extra),
                len(tokens) + unknown,
                len(line.text),
                float(surprise + extra),
                unknown,
            )

    for line, values in lines:
        tokens, unknown = encode_known(tokenizer, line.text)
        pool.append((line, np.append(tokens, end), unknown))
        conditions.append(values)
        if len(pool) >= _POOL:
            yield from scored()
            pool, conditions = [], []
    if pool:
        yield from scored()


def encode_known(tokenizer: Tokenizer, text: str) -> tuple[NDArray[np.int64], int]:
    """A line's tokens, and how many of its characters have none."""
    try:
        return tokenizer.encode(text), 0
    except UnknownTokenError:
        known = frozenset(tokenizer.token_texts())
        kept = "".join(character for character in text if character in known)
        return tokenizer.encode(kept), len(text) - len(kept)


def _score_pool(
    network: ParallelLines, lines: Sequence[NDArray[np.int64]], end: int, states: Any
) -> NDArray[np.float64]:
    """For each line: its nats, and those of its most surprising stretch (N, 2)."""
    found = np.zeros((len(lines), 2))
    order = np.argsort([len(line) for line in lines], kind="stable")
    for start in range(0, len(order), _SLOTS):
        rows = order[start : start + _SLOTS]
        longest = len(lines[int(rows[-1])])
        targets = np.full((len(rows), longest), -1, np.int64)
        for place, row in enumerate(rows):
            targets[place, : len(lines[int(row)])] = lines[int(row)]
        inputs = np.full_like(targets, end)
        inputs[:, 1:] = np.where(targets[:, :-1] < 0, end, targets[:, :-1])
        network.begin(states, rows)
        bursts, nats, place = Bursts(len(rows)), np.zeros(len(rows)), 0
        try:
            while place < longest:
                piece = slice(place, min(longest, place + _steps(len(rows), network)))
                place = piece.stop
                logits = network.read(np.ascontiguousarray(inputs[:, piece]))
                losses, entropies = _losses(logits, targets[:, piece], network.threads)
                nats += losses.sum(1)
                bursts.add(losses - entropies)
        finally:
            network.end()
        found[rows, 0], found[rows, 1] = nats, bursts.largest
    return found


def _losses(
    logits: NDArray[np.float32], targets: NDArray[np.int64], threads: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The loss of each target, and the one that the model expected there, in nats; (N, T) each."""
    flat = logits.reshape(-1, logits.shape[-1])
    found = _native.surprise(flat, np.ascontiguousarray(targets.reshape(-1)), threads)
    both = check_finite(found, "the lines").astype(np.float64).reshape(*targets.shape, 2)
    return both[..., 0], both[..., 1]


class Bursts:
    """The largest sum over a stretch of neighbouring tokens of loss - entropy - 1, for each of N lines.

    The entropy is the loss that the model expects at a place: a random number in a log costs many nats and
    surprises nobody, whatever it is. What is left is summed over the stretch where the sum is largest, so
    that one odd word counts the same in a short line and in a long one. The nat that each token has to exceed
    keeps small deviations from adding up.

    Args:
        rows: N.
    Attributes:
        largest: (N,), in nats, 0 or above.
    Source: cumulative sums, Page 1954 ("Continuous inspection schemes"), of a language model's losses.
    """

    _DRIFT = 1.0

    def __init__(self, rows: int) -> None:
        self._sums = np.zeros(rows)
        self.largest = np.zeros(rows)

    def add(self, excess: NDArray[np.float64]) -> None:
        """Go on with loss - entropy (N, T) of the next tokens; 0 behind a line's end."""
        for column in excess.T:
            self._sums = np.maximum(self._sums + column - self._DRIFT, 0)
            np.maximum(self.largest, self._sums, out=self.largest)


def _steps(rows: int, network: ParallelLines) -> int:
    return max(1, _LOGITS // (rows * network.vocabulary_size))


class EngineLines:
    """Lines in the slots of an engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.vocabulary_size = engine.vocabulary_size
        self.threads = engine.threads(_SLOTS)
        self._slots = engine.open(0)

    def begin(self, states: EngineState | None, rows: NDArray[np.int64]) -> None:
        """As the protocol says."""
        self._slots = self._engine.open(len(rows))
        if states is not None:
            self._engine.set_states(self._slots, states.states[rows])

    def read(self, tokens: NDArray[np.int64]) -> NDArray[np.float32]:
        """As the protocol says."""
        logits = self._engine.read(self._slots, tokens, all_logits=True)
        return logits.reshape(*tokens.shape, self.vocabulary_size)

    def end(self) -> None:
        """As the protocol says."""
        self._engine.close(self._slots)
        self._slots = self._engine.open(0)
