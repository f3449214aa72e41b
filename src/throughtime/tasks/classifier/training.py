"""Training a classifier: one label, several labels or numbers for each example."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from throughtime.models.functions import TorchNetwork
from throughtime.targets.kinds import Target
from throughtime.tasks.classifier.given import SECOND_LENGTHS
from throughtime.tasks.classifier.model import Classifier, Ensemble
from throughtime.tasks.classifier.options import ClassifierTraining
from throughtime.tasks.classifier.prediction import Labeller, all_outputs
from throughtime.tasks.classifier.prepared import PreparedExamples
from throughtime.training.examples import ExampleTask
from throughtime.training.task import StepLoss


class Classification(ExampleTask):
    """The target's loss over examples; the weights with the lowest loss on the validation examples stay.

    The loss picks them and not the accuracy, which moves in steps of 1/N, ties often, and says nothing of how
    wrong a wrong answer is: on a few hundred examples its best epoch is mostly the luckiest one.

    Args:
        model: the network, on its device.
        prepared: the examples to learn from and those to measure on.
        target: what is learned of each example.
        config: batch, seed, class weights.
        what: what the examples are, in the plural.
    """

    def __init__(
        self,
        model: Classifier | Ensemble,
        prepared: PreparedExamples,
        target: Target,
        config: ClassifierTraining,
        what: str = "examples",
    ) -> None:
        training = prepared.training
        lengths = prepared.examples.lengths[training]
        if prepared.second is not None:
            lengths = np.stack([lengths, prepared.second.lengths[training]], 1)
        super().__init__(model, lengths, config)
        self._lengths = lengths.reshape(len(training), -1)
        self.loss_name = f"loss in {target.loss_unit} per example"
        self._classifier = model
        self._target = target
        self._given = prepared.given
        self._targets = prepared.targets
        self._training = training
        self._validation = prepared.validation
        self._what = what
        members: list[Classifier] = list(model.members)  # type: ignore[arg-type]
        self._pooling = members[0].config.pooling
        self._weights = (
            target.weights(self._targets[training]) if config.class_weights == "balanced" else None
        )
        self._own_weights = None if self._weights is None else torch.from_numpy(self._weights).to(self.device)

    def facts(self) -> str:
        return (
            f"{len(self._training):,} training {self._what} with {self._target.counted}, "
            f"{len(self._validation):,} to validate on"
        )

    def describe(self, metrics: dict[str, float]) -> str:
        return self._target.describe(metrics)

    def loss(self, examples: NDArray[np.int64], joint: NDArray[np.int64] | None = None) -> StepLoss:
        numbers = self._training[examples]
        padded, sizes, beside = self._given.batch(numbers, self.longest(joint))
        inputs, lengths = torch.from_numpy(padded).to(self.device), torch.from_numpy(sizes)
        more = [self._as_tensor(name, array) for name, array in beside.items()]
        truth = torch.from_numpy(self._target.for_loss(self._targets[numbers])).to(self.device)
        if isinstance(self._classifier, Ensemble):
            outputs = self._classifier.each(inputs, lengths, *more)  # (M, B, W): each member has its own loss
            truth = torch.cat([truth] * len(outputs))
            outputs = outputs.flatten(0, 1)
        else:
            outputs = self._classifier(inputs, lengths, *more)
        if self.own_loss is not None:
            everyone = torch.ones(len(outputs), dtype=torch.bool, device=self.device)
            return StepLoss(self.own_loss(outputs, truth, everyone), len(numbers))
        # Divided by the number of examples and not by the sum of their weights: a batch of frequent classes
        # alone must not pull as hard as one with a rare one.
        losses = self._target.losses(outputs, truth, self._own_weights)
        return StepLoss(losses.mean(), len(numbers))

    def longest(self, joint: NDArray[np.int64] | None) -> tuple[int, int]:
        """The steps of a batch, and of its second texts, that a share of it has as well."""
        if joint is None:
            return 0, 0
        steps = self._lengths[joint].max(0)
        return int(steps[0]), int(steps[-1])

    def evaluate(self, progress: Callable[[float], None] | None = None) -> dict[str, float]:
        if not len(self._validation):
            return {}
        was_training = self._classifier.training
        labeller = Labeller(TorchNetwork(self._classifier), self._pooling, self._target.port)
        outputs = all_outputs(labeller, self._given.part(self._validation), progress, self.sharing.turns)
        self._classifier.train(was_training)
        truth = self._targets[self._validation]
        scores = self._target.scores()
        scores.add(truth, self._target.decide(outputs))
        loss = self._target.losses_of(outputs, truth, self._weights).mean()
        return {"val_loss": float(loss), **{f"val_{name}": value for name, value in scores.result().items()}}

    def _as_tensor(self, name: str, array: NDArray[Any]) -> torch.Tensor:
        """On the device, but for lengths, which packing wants on the CPU."""
        tensor = torch.from_numpy(np.ascontiguousarray(array))
        return tensor if name == SECOND_LENGTHS else tensor.to(self.device)
