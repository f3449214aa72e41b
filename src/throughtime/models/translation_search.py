"""A translator as beam search wants it: NumPy in, NumPy out, the state by hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from throughtime.data.batches import pad
from throughtime.models.attention import Memory
from throughtime.models.decoder import DecoderState
from throughtime.models.translator import Translator
from throughtime.prediction.pairs import PairBatch

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
    coverage: Tensor


class TorchTranslator:
    """A translator as predictions want it: NumPy in, NumPy out.

    Args:
        model: it is put in evaluation mode.
    Attributes:
        source_end, end, start: the tokens behind those of the tokenizers.
    """

    def __init__(self, model: Translator) -> None:
        self._model = model.eval()
        self.source_end, self.end, self.start = model.source_end, model.end, model.start

    def searcher(self, coverage_penalty: float = 0.0) -> TranslationSearcher:
        """The translator as beam search wants it."""
        return TranslationSearcher(self._model, coverage_penalty)

    @torch.inference_mode()
    def score(self, batch: PairBatch) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """The loss in nats of each token that a batch wants, and whether it is the most probable one."""
        device = self._model.target_embedding.weight.device
        source, read, wanted, counts = (
            torch.from_numpy(array).to(device)
            for array in (batch.source, batch.read, batch.wanted, batch.counts)
        )
        readouts, _ = self._model(source, torch.from_numpy(batch.source_lengths), read)
        logits, wanted = self._model.logits(readouts, counts).float(), wanted[counts]
        losses = F.cross_entropy(logits, wanted, reduction="none")
        return losses.double().cpu().numpy(), (logits.argmax(-1) == wanted).cpu().numpy()


class TranslationSearcher:
    """Steps for `beam_search_batch`.

    Args:
        model: the translator; it is put in evaluation mode.
        coverage_penalty: beta; above 0 the state keeps count of the attention.
    """

    def __init__(self, model: Translator, coverage_penalty: float = 0.0) -> None:
        self._model = model.eval()
        self._device = model.target_embedding.weight.device
        self._coverage_penalty = coverage_penalty if model.decoder.attention is not None else 0.0
        self.end_token = model.end

    @torch.inference_mode()
    def begin(self, sources: Sequence[NDArray[np.int64]]) -> tuple[NDArray[np.float32], SearchState]:
        """Read sources, each without END, and predict the first token.

        Returns:
            The log-probabilities (B, V + 1), END the last, and the state.
        """
        tokens, lengths = self._sources(sources)
        memory, decoder = self._model.encode(tokens, lengths)
        places = len(tokens) if self._coverage_penalty else 0
        coverage = torch.zeros(len(sources), places, device=self._device)
        state = SearchState(decoder, memory, np.arange(len(sources)), coverage)
        return self._advance(np.full(len(sources), self._model.start), state)

    @torch.inference_mode()
    def step(self, tokens: NDArray[np.int64], state: SearchState) -> tuple[NDArray[np.float32], SearchState]:
        """Read a token each; return the log-probabilities (W, V + 1) of the next, and the state."""
        return self._advance(tokens, state)

    @torch.inference_mode()
    def select(self, state: SearchState, rows: NDArray[np.int64]) -> SearchState:
        """The state whose row i is row rows[i] of the old one; the rows of a source stay together."""
        index = torch.from_numpy(rows).to(self._device)
        sources, memory = state.sources[rows], state.memory
        remaining, counts = np.unique(sources, return_counts=True)
        beside = np.repeat(remaining, counts[0])
        if len(beside) == len(sources) and (beside == sources).all():
            # As a rule: every source has as many hypotheses, so the memory need not be copied for each.
            if memory is not None and len(remaining) < len(memory.values):
                memory = memory.select(torch.from_numpy(remaining).to(self._device))
                sources = np.repeat(np.arange(len(remaining)), counts[0])
        elif memory is not None:
            memory = memory.select(torch.from_numpy(sources).to(self._device))
            sources = np.arange(len(rows))
        return SearchState(
            state.decoder.select(index), memory, sources, state.coverage.index_select(0, index)
        )

    def penalties(self, state: SearchState) -> NDArray[np.float64]:
        """The coverage penalty (W,) of each hypothesis.

            beta * sum over places i of log(min(sum over steps j of p_ij, 1))

        Source: Wu et al. 2016, equation 14.
        """
        if not self._coverage_penalty or state.memory is None:
            return np.zeros(len(state.sources))
        mask = state.memory.mask[torch.from_numpy(state.sources).to(self._device)]
        logs = state.coverage.clamp(_LEAST_COVERAGE, 1.0).log().masked_fill(~mask, 0.0)
        return (self._coverage_penalty * logs.sum(-1)).double().cpu().numpy()

    @torch.inference_mode()
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
        source, lengths = self._sources(sources)
        read = pad([np.append(self._model.start, target[:-1]).astype(np.int64) for target in targets])
        _, weights = self._model(source, lengths, torch.from_numpy(read).to(self._device))
        if weights is None:
            return None
        found = weights.float().cpu().numpy()
        return [found[i, : len(target), : lengths[i]] for i, target in enumerate(targets)]

    def _sources(self, sources: Sequence[NDArray[np.int64]]) -> tuple[Tensor, Tensor]:
        """Tokens (S, B) with END behind each, and the lengths (B,)."""
        ended = [np.append(source, self._model.source_end).astype(np.int64) for source in sources]
        tokens = torch.from_numpy(pad(ended, self._model.source_end)).to(self._device)
        return tokens, torch.tensor([len(source) for source in ended])

    def _advance(self, tokens: Any, state: SearchState) -> tuple[NDArray[np.float32], SearchState]:
        embedded = self._model.target_embedding(torch.from_numpy(tokens).to(self._device))
        readout, weights, decoder = self._model.decoder.step(embedded, state.decoder, state.memory)
        log_probabilities = self._model.logits(readout).float().log_softmax(-1)
        coverage = state.coverage
        if self._coverage_penalty and weights is not None:
            coverage = coverage + weights
        state = replace(state, decoder=decoder, coverage=coverage)
        return log_probabilities.cpu().numpy(), state
