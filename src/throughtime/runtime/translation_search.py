"""A translator without torch as beam search wants it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from throughtime.runtime.attention import Memory
from throughtime.runtime.decoder import DecoderState
from throughtime.runtime.layers import Array
from throughtime.runtime.network import log_softmax
from throughtime.runtime.translator import Translator

# A place that was never looked at would be a penalty without end.
_LEAST_COVERAGE = 1e-9


@dataclass(frozen=True)
class SearchState:
    """The state of W hypotheses over A sources.

    Args:
        decoder: of W rows.
        memory: of A sources, or of W rows where hypotheses are not as many for each source.
        sources: (W,), which row of the memory each hypothesis is about.
        coverage: (W, S), the attention that each place has had, the last prediction's included; S is 0
            where nobody asked.
    """

    decoder: DecoderState
    memory: Memory | None
    sources: NDArray[np.int64]
    coverage: Array


class TranslationSearcher:
    """Steps for `beam_search_batch`; as `throughtime.models.translation_search.TranslationSearcher`.

    Args:
        model: the translator.
        coverage_penalty: beta; above 0 the state keeps count of the attention.
    """

    def __init__(self, model: Translator, coverage_penalty: float = 0.0) -> None:
        self._model = model
        self._coverage_penalty = coverage_penalty if model.decoder.attention is not None else 0.0
        self.end_token = model.end

    def begin(self, sources: Sequence[NDArray[np.int64]]) -> tuple[NDArray[np.float32], SearchState]:
        """Read sources, each without END; the log-probabilities (B, V + 1) of the first token, the state."""
        tokens, lengths = self._sources(sources)
        memory, decoder = self._model.encode(tokens, lengths)
        places = len(tokens) if self._coverage_penalty else 0
        coverage = np.zeros((len(sources), places), np.float32)
        state = SearchState(decoder, memory, np.arange(len(sources)), coverage)
        return self.step(np.full(len(sources), self._model.start), state)

    def step(self, tokens: NDArray[np.int64], state: SearchState) -> tuple[NDArray[np.float32], SearchState]:
        """Read a token each; return the log-probabilities (W, V + 1) of the next, and the state."""
        readout, weights, decoder = self._model.step(tokens, state.decoder, state.memory)
        coverage = state.coverage
        if self._coverage_penalty and weights is not None:
            coverage = coverage + weights
        return log_softmax(self._model.logits(readout)), replace(state, decoder=decoder, coverage=coverage)

    def select(self, state: SearchState, rows: NDArray[np.int64]) -> SearchState:
        """The state whose row i is row rows[i] of the old one; the rows of a source stay together."""
        sources, memory = state.sources[rows], state.memory
        remaining, counts = np.unique(sources, return_counts=True)
        beside = np.repeat(remaining, counts[0])
        if len(beside) == len(sources) and (beside == sources).all():
            # As a rule: every source has as many hypotheses, so the memory need not be copied for each.
            if memory is not None and len(remaining) < len(memory.values):
                memory = memory.select(remaining)
                sources = np.repeat(np.arange(len(remaining)), counts[0])
        elif memory is not None:
            memory = memory.select(sources)
            sources = np.arange(len(rows))
        return SearchState(state.decoder.select(rows), memory, sources, state.coverage[rows])

    def penalties(self, state: SearchState) -> NDArray[np.float64]:
        """beta * sum over places i of log(min(sum over steps j of p_ij, 1)), for each hypothesis (W,).

        Source: Wu et al. 2016, equation 14.
        """
        if not self._coverage_penalty or state.memory is None:
            return np.zeros(len(state.sources))
        logs = np.log(np.clip(state.coverage.astype(np.float64), _LEAST_COVERAGE, 1.0))
        return self._coverage_penalty * np.where(state.memory.mask[state.sources], logs, 0.0).sum(-1)

    def attend(
        self, sources: Sequence[NDArray[np.int64]], targets: Sequence[NDArray[np.int64]]
    ) -> list[NDArray[np.float32]] | None:
        """Where each target token looked, found by reading the targets once more.

        Args:
            sources: without END.
            targets: with END where it was reached.
        Returns:
            (T_i, S_i + 1) for each pair, the last column the source's END; None without attention.
        """
        if self._model.decoder.attention is None:
            return None
        tokens, lengths = self._sources(sources)
        longest = max(map(len, targets))
        read = np.zeros((longest, len(targets)), np.int64)
        for column, target in enumerate(targets):
            read[: len(target), column] = [self._model.start, *target[:-1]]
        memory, state = self._model.encode(tokens, lengths)
        _, weights = self._model.read(read, state, memory)
        assert weights is not None
        return [weights[i, : len(target), : lengths[i]] for i, target in enumerate(targets)]

    def _sources(self, sources: Sequence[NDArray[np.int64]]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Tokens (S, B) with END behind each, and the lengths (B,)."""
        lengths = np.array([len(source) + 1 for source in sources])
        tokens = np.full((lengths.max(), len(sources)), self._model.source_end, np.int64)
        for column, source in enumerate(sources):
            tokens[: len(source), column] = source
        return tokens, lengths
