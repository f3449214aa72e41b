"""A classifier without torch: one label for a whole sequence."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from throughtime.errors import CheckpointError
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


# Steps of a long sequence that are read together: 16 MB of outputs of 256 units, and calling costs nothing.
_BLOCK = 1 << 14


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
            if not (self._deviation > 0).all():
                raise CheckpointError(f"{weights.name}: {prefix}deviation holds numbers that are not above 0")
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
        # Layers that read both ways need all outputs of the one below; attention needs both directions.
        self._goes_in_blocks = (self._directions == 1 or config.layers == 1) and config.pooling != "attention"

    def logits(self, inputs: NDArray[Any], lengths: NDArray[np.int64]) -> NDArray[np.float32]:
        """Logits (B, C) of tokens (T, B) int64 or numbers (T, B, F) float32, and lengths (B,)."""
        if self._goes_in_blocks and len(inputs) > _BLOCK and inputs.shape[1] == 1:
            return self._output(self._pooled_in_blocks(inputs[: lengths[0]]))
        outputs, _ = self._recurrent(self._steps(inputs), lengths=lengths)
        return self._output(self._pooling(outputs, lengths, self._directions))

    def _steps(self, inputs: NDArray[Any]) -> Array:
        """What the recurrence reads."""
        if self._embedding is not None:
            return self._embedding[inputs]
        return (inputs - self._mean) / self._deviation

    def _pooled_in_blocks(self, inputs: NDArray[Any]) -> Array:
        """One sequence (T, 1, ...), pooled, (1, D * H).

        Its outputs are never in memory together: those of six hours of sound would take 2 GB, three times
        over. Each direction is read for itself, so that blocks may come in its order; the outputs of the
        other, which come along, are passed over.
        """
        size, pooled = self._recurrent.output_size, []
        for direction in range(self._directions):
            pool, state = self._pooling.running(), None
            starts = range(0, len(inputs), _BLOCK)
            for start in reversed(starts) if direction else starts:
                outputs, state = self._recurrent(self._steps(inputs[start : start + _BLOCK]), state)
                own = outputs[:, :, direction * size : (direction + 1) * size]
                pool.add(own[::-1] if direction else own)
            pooled.append(pool.result())
        return np.concatenate(pooled, -1)


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


class _RunningPool:
    """Pools the outputs (T_i, 1, H) of blocks in the order in which the recurrence has read them."""

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self._steps = 0
        self._pool: NDArray[Any] | None = None

    def add(self, outputs: Array) -> None:
        """Take the next block."""
        self._steps += len(outputs)
        if self._kind == "last":
            self._pool = outputs[-1].copy()
        elif self._kind == "max":
            block = outputs.max(0)
            self._pool = block if self._pool is None else np.maximum(self._pool, block)
        else:
            block = outputs.sum(0, dtype=np.float64)
            self._pool = block if self._pool is None else self._pool + block

    def result(self) -> Array:
        """(1, H)."""
        assert self._pool is not None
        return (self._pool / self._steps if self._kind == "mean" else self._pool).astype(np.float32)


class _Pooling:
    """As `throughtime.encoders.pooling.Pooling`."""

    def __init__(self, weights: Weights, prefix: str, kind: str, compute: Compute, size: int) -> None:
        self._kind = kind
        if kind == "attention":
            self._attention = linear_of(weights, f"{prefix}attention", compute, size, size)
            self._context = weights.tensor(f"{prefix}context", (size,))

    def running(self) -> _RunningPool:
        """The same for one direction of one sequence, block by block."""
        return _RunningPool(self._kind)

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
