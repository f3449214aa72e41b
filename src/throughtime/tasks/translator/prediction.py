"""How probable a translator finds given translations, batch by batch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from throughtime.data.batches import LengthBatches, pad
from throughtime.data.sequences import Sequences
from throughtime.data.turns import Turns, one_by_one
from throughtime.program.network import Functions
from throughtime.tasks.translator.search import TranslationSearcher


class Tokens(Protocol):
    """What pairs have at their ends.

    Attributes:
        source_end: behind every source.
        start: what the decoder reads first.
        end: behind every target.
    """

    source_end: int
    start: int
    end: int


class Scorer(Tokens, Protocol):
    """What knows how probable given translations are."""

    def score(self, batch: PairBatch) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """For each token that a batch wants, in the order of `wanted[counts]`: the loss in nats, and whether
        it is the most probable one.
        """
        ...


class Translator:
    """A translator by its functions.

    Args:
        network: its functions.
        source_end, end, start: the tokens behind those of the vocabularies.
    """

    def __init__(self, network: Functions, source_end: int, end: int, start: int) -> None:
        self._network = network
        self.source_end, self.end, self.start = source_end, end, start

    def searcher(self, coverage_penalty: float = 0.0) -> TranslationSearcher:
        """The translator as beam search wants it; a penalty of beta keeps count of the attention."""
        return TranslationSearcher(self._network, self.source_end, self.end, self.start, coverage_penalty)

    def score(self, batch: PairBatch) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """As of `Scorer`."""
        searcher = self.searcher()
        state = searcher.read(batch.source, batch.source_lengths)
        losses, right = np.zeros(batch.wanted.shape), np.zeros(batch.wanted.shape, bool)
        rows = np.arange(batch.wanted.shape[1])
        for t, (read, wanted) in enumerate(zip(batch.read, batch.wanted, strict=True)):
            logs, state = searcher.step(read, state)
            losses[t], right[t] = -logs[rows, wanted], logs.argmax(-1) == wanted
        return losses[batch.counts], right[batch.counts]


@dataclass(frozen=True)
class TokenPairs:
    """Pairs as tokens, without START and END.

    Args:
        sources, targets: as many of each.
    """

    sources: Sequences
    targets: Sequences

    def __len__(self) -> int:
        return len(self.sources)

    @property
    def lengths(self) -> NDArray[np.int64]:
        """(N, 2), with END."""
        return self.lengths_of(slice(None))

    def lengths_of(self, pairs: NDArray[np.int64] | slice) -> NDArray[np.int64]:
        """The same of some of them."""
        return np.stack([self.sources.lengths[pairs], self.targets.lengths[pairs]], 1) + 1


@dataclass(frozen=True)
class PairBatch:
    """Pairs beside each other, as the network wants them.

    Args:
        source: (S, B) int64, each ending in END.
        source_lengths: (B,).
        read: (T, B), each beginning with START.
        wanted: (T, B), each ending in END.
        counts: (T, B) bool, false at padding.
    """

    source: NDArray[np.int64]
    source_lengths: NDArray[np.int64]
    read: NDArray[np.int64]
    wanted: NDArray[np.int64]
    counts: NDArray[np.bool_]

    @classmethod
    def gather(
        cls, tokens: Tokens, pairs: TokenPairs, examples: NDArray[np.int64], least: tuple[int, ...] = (0, 0)
    ) -> PairBatch:
        """The pairs of these numbers, of `least` (S, T) steps or more."""
        sources = [np.append(pairs.sources[i], tokens.source_end).astype(np.int64) for i in examples]
        targets = [pairs.targets[i].astype(np.int64) for i in examples]
        read = pad([np.concatenate([[tokens.start], target]) for target in targets], tokens.end, least[1])
        wanted = pad([np.append(target, tokens.end) for target in targets], tokens.end, least[1])
        counts = np.arange(len(wanted))[:, None] <= np.array([len(target) for target in targets])
        source_lengths = np.array([len(source) for source in sources])
        return cls(pad(sources, tokens.source_end, least[0]), source_lengths, read, wanted, counts)


def evaluate(
    translator: Scorer,
    pairs: TokenPairs,
    batch: int,
    progress: Callable[[float], None] | None = None,
    turns: Turns = one_by_one,
) -> dict[str, float]:
    """The mean loss over all target tokens, without smoothing, and the share that is predicted right.

    Args:
        translator: the network.
        pairs: at least one.
        batch: pairs at once.
        progress: called with the share that is done.
        turns: how batches are gone through.
    """
    total, right, count = 0.0, 0, 0
    batches = LengthBatches(pairs.lengths, batch, seed=0).in_order()

    def score(examples: NDArray[np.int64]) -> tuple[NDArray[Any], ...]:
        return translator.score(PairBatch.gather(translator, pairs, examples))

    for number, (losses, hits) in enumerate(turns(batches, score), 1):
        total += float(losses.sum())
        right += int(hits.sum())
        count += len(losses)
        if progress is not None:
            progress(number / len(batches))
    return {"val_loss": total / count, "val_token_accuracy": right / count}
