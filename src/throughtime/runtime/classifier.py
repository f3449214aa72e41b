"""A classifier without torch: one label for a whole sequence."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from throughtime.runtime.layers import Array
from throughtime.runtime.network import (
    FP32,
    Compute,
    FeedForward,
    linear_of,
    log_softmax,
    recurrent_of,
    softmax,
)
from throughtime.runtime.weights import Weights

if TYPE_CHECKING:
    from throughtime.config.classifier import ClassifierNetwork


class Classifier:
    """As `throughtime.models.classifier.Classifier`, in evaluation mode.

    Args:
        weights: its tensors.
        config: its options.
        classes: C.
        vocabulary_size: V, for tokens; None for numbers.
        features: F, for numbers.
        prefix: of the tensors' names, where it is one of several.
        compute: how matrices are kept and multiplied.
    Raises:
        CheckpointError: the weights are of another network.
    """

    def __init__(
        self,
        weights: Weights,
        config: ClassifierNetwork,
        classes: int,
        vocabulary_size: int | None = None,
        features: int | None = None,
        prefix: str = "",
        compute: Compute = FP32,
    ) -> None:
        size = config.embedding
        self._embedding: Array | None = None
        if vocabulary_size is not None:
            self._embedding = weights.tensor(f"{prefix}embedding.weight", (vocabulary_size + 1, size))
        elif features is not None:
            size = features
            self._mean, self._deviation = (
                weights.tensor(f"{prefix}{name}", (size,)) for name in ("mean", "deviation")
            )
        else:
            raise ValueError("give vocabulary_size for tokens, or features for numbers")
        name, reads_backwards = f"{prefix}recurrent.", config.bidirectional
        self._recurrent = (
            FeedForward(weights, name, compute, size)
            if config.cell == "none"
            else recurrent_of(weights, name, config, compute, size, bidirectional=reads_backwards)
        )
        pooled = self._recurrent.output_size * self._recurrent.directions
        self._pooling = _Pooling(weights, f"{prefix}pooling.", config.pooling, compute, pooled)
        self._output = linear_of(weights, f"{prefix}output", compute, pooled, classes)
        self._directions = self._recurrent.directions

    def logits(self, inputs: NDArray[Any], lengths: NDArray[np.int64]) -> NDArray[np.float32]:
        """Logits (B, C) of tokens (T, B) int64 or numbers (T, B, F) float32, and lengths (B,)."""
        if self._embedding is not None:
            steps = self._embedding[inputs]
        else:
            steps = (inputs - self._mean) / self._deviation
        outputs, _ = self._recurrent(steps, lengths=lengths)
        return self._output(self._pooling(outputs, lengths, self._directions))


class Ensemble:
    """Several classifiers that answer together.

    Args:
        members: with the same inputs and classes.
    """

    def __init__(self, members: list[Classifier]) -> None:
        self._members = members

    def logits(self, inputs: NDArray[Any], lengths: NDArray[np.int64]) -> NDArray[np.float32]:
        """The logarithm of the mean of the members' probabilities, (B, C); arguments as of `Classifier`."""
        each = np.stack([log_softmax(member.logits(inputs, lengths)) for member in self._members])
        highest = each.max(0)
        return highest + np.log(np.exp(each - highest).sum(0)) - np.float32(math.log(len(each)))


def load_classifier(
    weights: Weights,
    config: ClassifierNetwork,
    classes: int,
    vocabulary_size: int | None = None,
    features: int | None = None,
    compute: Compute = FP32,
) -> Classifier | Ensemble:
    """The classifier, or the ensemble, that a run's weights are of; arguments as of `Classifier`."""
    prefixes = [f"members.{number}." for number in range(config.members)] if config.members > 1 else [""]
    members = [
        Classifier(weights, config, classes, vocabulary_size, features, prefix, compute)
        for prefix in prefixes
    ]
    weights.refuse_unused()
    return members[0] if config.members == 1 else Ensemble(members)


class _Pooling:
    """As `throughtime.encoders.pooling.Pooling`."""

    def __init__(self, weights: Weights, prefix: str, kind: str, compute: Compute, size: int) -> None:
        self._kind = kind
        if kind == "attention":
            self._attention = linear_of(weights, f"{prefix}attention", compute, size, size)
            self._context = weights.tensor(f"{prefix}context", (size,))

    def __call__(self, outputs: Array, lengths: NDArray[np.int64], directions: int) -> Array:
        """(T, B, F) to (B, F)."""
        if self._kind == "last":
            last = outputs[lengths - 1, np.arange(outputs.shape[1])]
            if directions == 2:
                half = outputs.shape[2] // 2
                last[:, half:] = outputs[0, :, half:]
            return last
        real = np.arange(len(outputs))[:, None] < lengths
        if self._kind == "max":
            return np.where(real[:, :, None], outputs, np.float32(-np.inf)).max(0)
        summed = np.where(real[:, :, None], outputs, np.float32(0))
        if self._kind == "mean":
            return summed.sum(0) / lengths[:, None].astype(np.float32)
        scores = np.tanh(self._attention(outputs)) @ self._context
        weights = softmax(np.where(real, scores, np.float32(-np.inf)), axis=0)
        return (summed * weights[:, :, None]).sum(0)
