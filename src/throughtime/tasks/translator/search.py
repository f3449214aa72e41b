"""A translator by its functions as beam search wants it, whatever runs them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from throughtime.arrays import log_softmax
from throughtime.program.network import Functions

# A place that was never looked at would be a penalty without end.
_LEAST_COVERAGE = 1e-9
_MEMORY = ("values", "keys", "lengths")

Parts = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class SearchState:
    """The state of W hypotheses over A sources.

    Args:
        carried: what changes from step to step, by name; row i is hypothesis i's.
        memory: of A sources, or of W rows where hypotheses are not as many for each source; empty without
            attention.
        sources: (W,), which row of the memory each hypothesis is about.
        coverage: (W, S), the attention that each place has had, the last prediction's included; S is 0
            where nobody asked.
    """

    carried: Parts
    memory: Parts
    sources: NDArray[np.int64]
    coverage: NDArray[np.float32]


class TranslationSearcher:
    """Steps for `beam_search_batch`.

    Args:
        network: its functions encoder and step.
        source_end, end, start: the tokens behind those of the vocabularies.
        coverage_penalty: beta; above 0 the state keeps count of the attention.
    """

    def __init__(
        self, network: Functions, source_end: int, end: int, start: int, coverage_penalty: float = 0.0
    ) -> None:
        self._network = network
        self._ports = {port.name: port for port in network.functions["step"].inputs}
        self._attends = "values" in self._ports
        self._coverage_penalty = coverage_penalty if self._attends else 0.0
        self._source_end, self._start = source_end, start
        self.end_token = end

    def begin(self, sources: Sequence[NDArray[np.int64]]) -> tuple[NDArray[np.float32], SearchState]:
        """Read sources, each without END; the log-probabilities (B, V + 1) of the first token, the state."""
        state = self.read(*self._padded(sources))
        return self.step(np.full(len(sources), self._start), state)

    def read(self, source: NDArray[np.int64], lengths: NDArray[np.int64]) -> SearchState:
        """Read sources (S, B), each ending in END, and lengths (B,): the state before START."""
        found = self._network("encoder", {"source": source, "lengths": lengths})
        memory = {name: part for name, part in found.items() if name in _MEMORY}
        if self._attends:
            memory["lengths"] = lengths
        B = len(lengths)
        carried = {name: part for name, part in found.items() if name not in _MEMORY}
        if "feed" in self._ports:
            carried["feed"] = np.zeros((B, self._ports["feed"].width), np.float32)
        places = len(source) if self._coverage_penalty else 0
        return SearchState(carried, memory, np.arange(B), np.zeros((B, places), np.float32))

    def step(self, tokens: NDArray[np.int64], state: SearchState) -> tuple[NDArray[np.float32], SearchState]:
        """Read a token each; return the log-probabilities (W, V + 1) of the next, and the state."""
        found, state = self.advance(tokens, state)
        return log_softmax(found["logits"]), state

    def advance(self, tokens: NDArray[np.int64], state: SearchState) -> tuple[dict[str, Any], SearchState]:
        """Read a token each; return all that the step gives, a row for each hypothesis, and the state."""
        A = len(state.memory["lengths"]) if state.memory else len(tokens)
        inputs = {"token": tokens.reshape(A, -1), **state.memory}
        for name, part in state.carried.items():
            axis = self._axis(name)
            inputs[name] = part.reshape(*part.shape[:axis], A, -1, *part.shape[axis + 1 :])
        found = self._network("step", inputs)
        for name, part in found.items():
            axis = self._axis(name.removeprefix("new_"))
            found[name] = part.reshape(*part.shape[:axis], len(tokens), *part.shape[axis + 2 :])
        carried = {name: found[f"new_{name}"] for name in state.carried}
        coverage = state.coverage + found["attention"] if self._coverage_penalty else state.coverage
        return found, SearchState(carried, state.memory, state.sources, coverage)

    def select(self, state: SearchState, rows: NDArray[np.int64]) -> SearchState:
        """The state whose row i is row rows[i] of the old one; the rows of a source stay together."""
        sources, memory = state.sources[rows], state.memory
        remaining, counts = np.unique(sources, return_counts=True)
        beside = np.repeat(remaining, counts[0])
        if len(beside) == len(sources) and (beside == sources).all():
            # As a rule: every source has as many hypotheses, so the memory need not be copied for each.
            if memory and len(remaining) < len(memory["lengths"]):
                memory = {name: part[remaining] for name, part in memory.items()}
            sources = np.repeat(np.arange(len(remaining)), counts[0]) if memory else sources
        elif memory:
            memory = {name: part[sources] for name, part in memory.items()}
            sources = np.arange(len(rows))
        carried = {name: np.take(part, rows, self._axis(name)) for name, part in state.carried.items()}
        return SearchState(carried, memory, sources, state.coverage[rows])

    def penalties(self, state: SearchState) -> NDArray[np.float64]:
        """beta * sum over places i of log(min(sum over steps j of p_ij, 1)), for each hypothesis (W,).

        Source: Wu et al. 2016, equation 14.
        """
        if not self._coverage_penalty:
            return np.zeros(len(state.sources))
        logs = np.log(np.clip(state.coverage.astype(np.float64), _LEAST_COVERAGE, 1.0))
        lengths = state.memory["lengths"][state.sources]
        counts = np.arange(logs.shape[1]) < lengths[:, None]
        return self._coverage_penalty * np.where(counts, logs, 0.0).sum(-1)

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
        if not self._attends:
            return None
        tokens, lengths = self._padded(sources)
        longest = max(map(len, targets))
        read = np.zeros((longest, len(targets)), np.int64)
        for column, target in enumerate(targets):
            read[: len(target), column] = [self._start, *target[:-1]]
        state, steps = self.read(tokens, lengths), []
        for one in read:
            found, state = self.advance(one, state)
            steps.append(found["attention"])
        weights = np.stack(steps, 1)
        return [weights[i, : len(target), : lengths[i]] for i, target in enumerate(targets)]

    def _axis(self, name: str) -> int:
        """Which axis of an input or an output of a step counts the sources; hypotheses are the next."""
        return self._ports[name].axis("B") if name in self._ports else 0

    def _padded(self, sources: Sequence[NDArray[np.int64]]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Tokens (S, B) with END behind each, and the lengths (B,)."""
        lengths = np.array([len(source) + 1 for source in sources])
        tokens = np.full((lengths.max(), len(sources)), self._source_end, np.int64)
        for column, source in enumerate(sources):
            tokens[: len(source), column] = source
        return tokens, lengths
