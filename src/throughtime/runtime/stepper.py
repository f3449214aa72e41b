"""An engine as text generation and evaluation want it: the state in the caller's hands."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from throughtime.runtime.engine import Engine
from throughtime.runtime.sampling import Sampler

# Logits that are held at once; more would leave the cache.
_LOGITS_AT_ONCE = 1 << 20


@dataclass(frozen=True)
class EngineState:
    """States (N, S) outside the engine; who keeps one can go back to it."""

    states: NDArray[np.float32]


class EngineStepper:
    """A language model as `throughtime.generation.text.Stepper` and `Drawer` have it."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._slots = engine.open(0)
        self.vocabulary_size = engine.vocabulary_size

    def feed(
        self, tokens: NDArray[np.int64], state: EngineState | None = None
    ) -> tuple[NDArray[np.float32], EngineState]:
        """Read tokens (N, T), T >= 1; return the logits (N, V) of the token after the last, and the state."""
        slots = self._enter(len(tokens), state)
        return self._engine.read(slots, tokens), EngineState(self._engine.states(slots))

    def draw(
        self, sampler: Sampler, logits: NDArray[np.float32], state: EngineState, count: int
    ) -> tuple[NDArray[np.int64], NDArray[np.float32], EngineState]:
        """Tokens (N, count), the first from logits (N, V); the logits after the last, and the state."""
        slots = self._enter(len(logits), state)
        self._engine.set_logits(slots, logits)
        tokens = self._engine.generate(slots, sampler, count)
        return tokens, self._engine.logits(slots), EngineState(self._engine.states(slots))

    @staticmethod
    def select(state: EngineState, rows: NDArray[np.int64]) -> EngineState:
        """The state whose row i is row rows[i] of the old one."""
        return EngineState(state.states[rows])

    def _enter(self, count: int, state: EngineState | None) -> NDArray[np.int64]:
        """Slots with the states of `count` rows in them."""
        if state is None:
            opened = self._engine.open(count)
            self._engine.close(self._slots)
            self._slots = opened
            return self._slots
        if len(self._slots) < count:
            self._slots = np.concatenate([self._slots, self._engine.open(count - len(self._slots))])
        slots = self._slots[:count]
        self._engine.set_states(slots, state.states)
        return slots


class Streams(Protocol):
    """A text cut into parallel streams, as `throughtime.data.EvaluationStreams` is."""

    predictions: int
    length: int
    batch_size: int

    def chunk(self, start: int, length: int) -> tuple[NDArray[Any], NDArray[Any]]:
        """Inputs and targets (T, B) of the steps [start, start + length); a target below 0 is left out."""
        ...


def mean_loss(engine: Engine, streams: Streams, progress: Callable[[float], None] | None = None) -> float:
    """The mean loss over every prediction of the streams, in nats a token, with carried state.

    Args:
        progress: called with the share that is done.
    """
    slots = engine.open(streams.batch_size)
    steps = max(1, min(64, _LOGITS_AT_ONCE // (streams.batch_size * engine.vocabulary_size)))
    total = 0.0
    try:
        for start in range(0, streams.length, steps):
            inputs, targets = streams.chunk(start, steps)
            logits = engine.read(slots, inputs.T, all_logits=True)
            flat, wanted = logits.reshape(-1, engine.vocabulary_size), targets.T.reshape(-1)
            real = np.flatnonzero(wanted >= 0)
            flat -= flat.max(-1, keepdims=True)
            chosen = flat[real, wanted[real]]
            sums = np.exp(flat, out=flat).sum(-1, dtype=np.float64)
            total += float((np.log(sums[real]) - chosen).sum())
            if progress is not None:
                progress((start + len(inputs)) / streams.length)
    finally:
        engine.close(slots)
    return total / streams.predictions
