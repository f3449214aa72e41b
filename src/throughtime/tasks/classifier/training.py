"""Training a classifier: one label for each example."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from throughtime.data.sequences import Sequences
from throughtime.metrics.classification import accuracy, confusion_matrix, macro_f1
from throughtime.models.functions import TorchNetwork
from throughtime.tasks.classifier.model import Classifier, Ensemble
from throughtime.tasks.classifier.options import ClassifierTraining
from throughtime.tasks.classifier.prediction import Labeller, all_logits, as_batch
from throughtime.tasks.classifier.prepared import PreparedExamples
from throughtime.training.examples import ExampleTask
from throughtime.training.task import StepLoss


class Classification(ExampleTask):
    """Cross entropy over labelled examples; the weights with the lowest loss on the validation examples stay.

    The loss picks them and not the accuracy, which moves in steps of 1/N, ties often, and says nothing of how
    wrong a wrong answer is: on a few hundred examples its best epoch is mostly the luckiest one.

    Args:
        model: the network, on its device.
        prepared: the examples to learn from and those to measure on.
        classes: C.
        config: batch, seed, class weights.
        what: what the examples are, in the plural.
    """

    loss_name = "loss in nats per example"

    def __init__(
        self,
        model: Classifier | Ensemble,
        prepared: PreparedExamples,
        classes: int,
        config: ClassifierTraining,
        what: str = "examples",
    ) -> None:
        training = prepared.training
        super().__init__(model, prepared.examples.lengths[training], config)
        self._classifier = model
        self._examples = prepared.examples
        self._targets = prepared.targets
        self._training = training
        self._validation = prepared.validation
        self._what = what
        members: list[Classifier] = list(model.members)  # type: ignore[arg-type]
        self._pooling = members[0].config.pooling
        weights = class_weights(config.class_weights, self._targets[training], classes)
        self._weights = torch.from_numpy(weights).to(self.device)

    def facts(self) -> str:
        return (
            f"{len(self._training):,} training {self._what} of {len(self._weights)} labels, "
            f"{len(self._validation):,} to validate on"
        )

    def describe(self, metrics: dict[str, float]) -> str:
        return (
            f"loss {metrics['val_loss']:.4f}, accuracy {metrics['val_accuracy']:.2%}, "
            f"macro F1 {metrics['val_macro_f1']:.4f}"
        )

    def loss(self, examples: NDArray[np.int64]) -> StepLoss:
        numbers = self._training[examples]
        padded, sizes = as_batch([self._examples[number] for number in numbers])
        inputs, lengths = torch.from_numpy(padded).to(self.device), torch.from_numpy(sizes)
        targets = torch.from_numpy(self._targets[numbers]).to(self.device)
        if isinstance(self._classifier, Ensemble):
            logits = self._classifier.each(inputs, lengths)  # (M, B, C): each member has a loss of its own
            targets = targets.repeat(len(logits))
            logits = logits.flatten(0, 1)
        else:
            logits = self._classifier(inputs, lengths)
        return StepLoss(weighted_loss(logits, targets, self._weights), len(numbers))

    def evaluate(self, progress: Callable[[float], None] | None = None) -> dict[str, float]:
        if not len(self._validation):
            return {}
        was_training = self._classifier.training
        labeller = Labeller(TorchNetwork(self._classifier), self._pooling)
        logits = all_logits(labeller, _Part(self._examples, self._validation), progress)
        self._classifier.train(was_training)
        targets = self._targets[self._validation]
        scored = confusion_matrix(targets, logits.argmax(1), logits.shape[1])
        loss = weighted_loss(torch.from_numpy(logits), torch.from_numpy(targets), self._weights.cpu())
        return {
            "val_loss": loss.item(),
            "val_accuracy": accuracy(scored),
            "val_macro_f1": macro_f1(scored),
        }


class _Part:
    """Some of the examples, read as they are asked for."""

    def __init__(self, examples: Sequences, numbers: NDArray[np.int64]) -> None:
        self._examples = examples
        self._numbers = numbers

    def __len__(self) -> int:
        return len(self._numbers)

    def __getitem__(self, index: int) -> NDArray[Any]:
        return self._examples[int(self._numbers[index])]


def class_weights(
    kind: Literal["none", "balanced"], targets: NDArray[np.int64], classes: int
) -> NDArray[np.float32]:
    """How much an example of each class counts: (C,), 1 on average over the examples.

    balanced: N / (C * n_c), so that the classes count alike in sum (King and Zeng 2001).
    """
    if kind == "none":
        return np.ones(classes, dtype=np.float32)
    counts = np.bincount(targets, minlength=classes)
    return (len(targets) / (classes * np.maximum(counts, 1))).astype(np.float32)


def weighted_loss(logits: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
    """The mean over examples of -w log softmax(logits)[target], in nats.

    Divided by the number of examples and not by the sum of their weights: a batch of frequent classes alone
    must not pull as hard as one with a rare one.

    Args:
        logits: (B, C), any float type; half precision is summed in float32.
        targets: (B,) int64.
        weights: (C,).
    """
    losses = F.cross_entropy(logits.float(), targets, reduction="none")
    return (losses * weights[targets]).mean()
