"""The tags of sentences, batch by batch, whatever runs the network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from throughtime.data.batches import LengthBatches, pad
from throughtime.data.turns import Turns, one_by_one
from throughtime.program.network import Functions
from throughtime.runtime.outputs import check_output
from throughtime.tasks.word_tagger.decoding import Chain
from throughtime.tasks.word_tagger.lexicon import Batch, Lexicon
from throughtime.tasks.word_tagger.pieces import pieces_of

# Sentences a batch where nothing is learned.
_BATCH = 64


class WordLabeller:
    """A word tagger by its functions.

    Args:
        network: "score", and "spell" where it reads characters.
    """

    def __init__(self, network: Functions) -> None:
        self._network = network
        self._reads_windows = False
        if "spell" in network.functions:
            self._reads_windows = len(network.functions["spell"].inputs[0].shape) == 3

    def emissions(self, batch: Batch) -> tuple[NDArray[np.float32], Chain]:
        """The scores of each word's tags, (T, B, Y), and those of neighbouring tags."""
        inputs: dict[str, NDArray[Any]] = {"words": batch.words, "lengths": batch.lengths}
        if "spell" in self._network.functions:
            letters = batch.windows if self._reads_windows else batch.letters
            spelled = self._network("spell", {"letters": letters, "letter_counts": batch.letter_counts})
            inputs["spellings"] = spelled["spellings"][batch.places]
        found = self._network("score", inputs)
        emissions = check_output(found["emissions"], "the emissions")
        if "transitions" not in found:
            return emissions, Chain.independent(emissions.shape[2])
        return emissions, Chain(check_output(found["transitions"], "the transitions")[0])


@dataclass
class Tagged:
    """What is found of a sentence.

    Args:
        tags: (T,) numbers of tags.
        probabilities: (T,), of each of these, whatever the tags of the others.
        loss: -log p(true tags), in nats; 0 where these are not known.
    """

    tags: NDArray[np.int64]
    probabilities: NDArray[np.float64]
    loss: float = 0.0


def tag_all(
    labeller: WordLabeller,
    lexicon: Lexicon,
    examples: Sequence[NDArray[Any]],
    piece: int,
    truth: Sequence[NDArray[Any]] | None = None,
    progress: Callable[[float], None] | None = None,
    turns: Turns = one_by_one,
) -> list[Tagged]:
    """Tag sentences, in their order.

    Sentences of more words than a piece are read in pieces that overlap; the loss of such a sentence is that
    of its pieces, each counted by the words whose tags are taken from it.

    Args:
        labeller: the network.
        lexicon: the words of the sentences.
        examples: (T_i,) numbers of words each, T_i >= 1.
        piece: the most words that are read together.
        truth: (T_i,) the true tags of each, for the loss.
        progress: called with the share that is done.
        turns: how batches are gone through.
    """
    found = [Tagged(np.zeros(len(example), np.int64), np.zeros(len(example))) for example in examples]
    parts = [
        (number, part)
        for number, example in enumerate(examples)
        for part in pieces_of(len(example), piece, overlap=True)
    ]
    batches = LengthBatches([part.stop - part.start for _, part in parts], _BATCH, 0).in_order()

    def tag(batch: NDArray[np.int64]) -> list[NDArray[Any]]:
        chosen = [parts[index] for index in batch]
        read = lexicon.batch([examples[number][part.start : part.stop] for number, part in chosen])
        emissions, chain = labeller.emissions(read)
        tags = chain.best(emissions, read.lengths)
        likely = np.take_along_axis(chain.marginals(emissions, read.lengths), tags[:, :, None], 2)[:, :, 0]
        losses = np.zeros(len(chosen))
        if truth is not None:
            true = pad([np.asarray(truth[number][part.start : part.stop]) for number, part in chosen])
            losses = chain.losses(emissions, true.astype(np.int64), read.lengths)
        return [tags, likely, losses]

    done = 0
    for batch, (tags, likely, losses) in zip(batches, turns(batches, tag), strict=True):
        for column, (number, part) in enumerate(parts[index] for index in batch):
            kept = slice(part.kept_start - part.start, part.kept_stop - part.start)
            place = slice(part.kept_start, part.kept_stop)
            found[number].tags[place] = tags[kept, column]
            found[number].probabilities[place] = likely[kept, column]
            share = (part.kept_stop - part.kept_start) / (part.stop - part.start)
            found[number].loss += float(losses[column]) * share
        done += len(batch)
        if progress is not None:
            progress(done / len(parts))
    return found
