"""Training a word tagger: the probability of each sentence's tags, and words that it has to do without."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from throughtime.data.batches import pad
from throughtime.data.labels import Labels
from throughtime.draws import uniform
from throughtime.models.functions import TorchNetwork
from throughtime.tasks.word_tagger.entities import marks_spans
from throughtime.tasks.word_tagger.metrics import score
from throughtime.tasks.word_tagger.model import WordTagger
from throughtime.tasks.word_tagger.options import WordTaggerConfig
from throughtime.tasks.word_tagger.prediction import WordLabeller, tag_all
from throughtime.tasks.word_tagger.prepared import PreparedSentences
from throughtime.training.examples import ExampleTask
from throughtime.training.task import StepLoss


class WordTagging(ExampleTask):
    """-log p(tags) of sentences, in nats a word; the weights with the best validation score stay.

    The score is the F1 of entities where tags mark spans, and the share of right tags elsewhere.

    Args:
        model: the network, on its device.
        prepared: the sentences to learn from and those to measure on.
        labels: the tags' names.
        config: all options.
    """

    unit = "words"
    loss_name = "loss in nats per word"
    higher_is_better = True

    def __init__(
        self, model: WordTagger, prepared: PreparedSentences, labels: Labels, config: WordTaggerConfig
    ) -> None:
        training = prepared.training
        super().__init__(model, prepared.examples.lengths[training], config.training)
        self._tagger = model
        self._prepared = prepared
        self._labels = labels
        self._piece = config.data.piece
        self._training, self._validation = training, prepared.validation
        self.objective = objective_of(labels)
        rare = config.model.rare_words
        # The unknown word itself is never dropped; it is one already.
        chances = np.append(rare / np.maximum(rare + prepared.counts, 1e-9), 0.0)
        self._chances = torch.from_numpy(chances.astype(np.float32)).to(self.device)

    def facts(self) -> str:
        words = int(self._prepared.examples.lengths[self._training].sum())
        return (
            f"{len(self._training):,} training sentences of {words:,} words with {len(self._labels)} tags, "
            f"{len(self._validation):,} to validate on"
        )

    def describe(self, metrics: dict[str, float]) -> str:
        said = f"loss {metrics['val_loss']:.4f}, accuracy {metrics['val_accuracy']:.2%}"
        return f"{said}, entity F1 {metrics['val_f1']:.2%}" if "val_f1" in metrics else said

    def loss(self, examples: NDArray[np.int64], joint: NDArray[np.int64] | None = None) -> StepLoss:
        numbers = self._training[examples]
        least = 0 if joint is None else int(self._prepared.examples.lengths[self._training[joint]].max())
        batch = self._prepared.lexicon.batch([self._prepared.examples[number] for number in numbers], least)
        tags = pad([self._prepared.tags[number] for number in numbers], least=least).astype(np.int64)
        lengths = torch.from_numpy(batch.lengths)
        letters = batch.windows if self._tagger.reads_windows else batch.letters
        emissions = self._tagger(
            self._without_rare(self._tensor(batch.words)),
            lengths,
            self._tensor(letters),
            torch.from_numpy(batch.letter_counts),
            self._tensor(batch.places),
        )
        words = int(batch.lengths.sum())
        return StepLoss(
            sentence_losses(self._tagger, emissions, self._tensor(tags), lengths).sum() / words, words
        )

    def evaluate(self, progress: Callable[[float], None] | None = None) -> dict[str, float]:
        if not len(self._validation):
            return {}
        was_training = self._tagger.training
        examples = [self._prepared.examples[number] for number in self._validation]
        truth = [self._prepared.tags[number] for number in self._validation]
        labeller = WordLabeller(TorchNetwork(self._tagger))
        tagged = tag_all(
            labeller, self._prepared.lexicon, examples, self._piece, truth, progress, self.sharing.turns
        )
        self._tagger.train(was_training)
        loss, scores = score(tagged, truth, self._labels)
        figures = scores.figures()
        kept = [name for name in ("accuracy", "precision", "recall", "f1") if name in figures]
        return {"val_loss": loss, **{f"val_{name}": figures[name] for name in kept}}

    def _without_rare(self, words: Tensor) -> Tensor:
        """Some words read as unknown, rare ones the more often.

        Source: Kiperwasser and Goldberg 2016, section 4 ("word dropout"); of words that occur once, Lample et
        al. 2016.
        """
        chances = self._chances[words]
        return words.masked_fill(uniform(words.shape, words.device) < chances, len(self._chances) - 1)

    def _tensor(self, array: NDArray[np.int64]) -> Tensor:
        return torch.from_numpy(array).to(self.device)


def objective_of(labels: Labels) -> str:
    """The metric by which weights are kept."""
    return "val_f1" if marks_spans(labels.names) else "val_accuracy"


def sentence_losses(model: WordTagger, emissions: Tensor, tags: Tensor, lengths: Tensor) -> Tensor:
    """-log p(tags) of each sentence, (B,), in nats.

    Args:
        model: with a CRF, or without one, where tags do not mind each other.
        emissions: (T, B, Y), of any float type; they are summed in float32 at least.
        tags: (T, B).
        lengths: (B,).
    """
    if emissions.dtype in (torch.bfloat16, torch.float16):
        emissions = emissions.float()
    if model.crf is not None:
        with torch.autocast(emissions.device.type, enabled=False):
            return model.crf(emissions, tags, lengths)
    losses = F.cross_entropy(emissions.flatten(0, 1), tags.flatten(), reduction="none").view_as(tags)
    real = torch.arange(len(tags), device=tags.device)[:, None] < lengths.to(tags.device)[None, :]
    return losses.masked_fill(~real, 0.0).sum(0)
