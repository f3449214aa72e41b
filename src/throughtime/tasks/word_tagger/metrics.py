"""How good the tags of sentences are: token accuracy, and entities where tags mark spans."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from throughtime.data.labels import Labels
from throughtime.metrics.classification import accuracy, add_confusion, macro_f1, majority
from throughtime.tasks.word_tagger.entities import EntityScores, marks_spans
from throughtime.tasks.word_tagger.prediction import Tagged


class TagScores:
    """Scores of tagged sentences.

    Args:
        labels: the tags' names.
    Attributes:
        confusion: (Y, Y): row the true tag, column the predicted one.
        entities: where the tags mark spans.
    """

    def __init__(self, labels: Labels) -> None:
        self._labels = labels
        self.confusion = np.zeros((len(labels), len(labels)), np.int64)
        self.entities = EntityScores() if marks_spans(labels.names) else None

    def add(self, truth: NDArray[Any], predicted: NDArray[Any]) -> None:
        """Take in the tags of a sentence, as numbers."""
        add_confusion(self.confusion, truth, predicted)
        if self.entities is not None:
            names = self._labels.names
            self.entities.add([names[tag] for tag in truth], [names[tag] for tag in predicted])

    def figures(self) -> dict[str, float]:
        """accuracy, macro_f1 and majority of words; precision, recall and f1 of spans where there are any."""
        found = {
            "accuracy": accuracy(self.confusion),
            "macro_f1": macro_f1(self.confusion),
            "majority": majority(self.confusion),
        }
        return found | ({} if self.entities is None else self.entities.totals)


def score(tagged: Sequence[Tagged], truth: Sequence[NDArray[Any]], labels: Labels) -> tuple[float, TagScores]:
    """The loss in nats a word, and the scores, of tagged sentences with their true tags."""
    scores = TagScores(labels)
    for found, true in zip(tagged, truth, strict=True):
        scores.add(np.asarray(true), found.tags)
    words = sum(len(true) for true in truth)
    return sum(found.loss for found in tagged) / words, scores
