"""A tagger without torch: a label for every frame."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from throughtime.runtime.cnn import SmallCNN
from throughtime.runtime.layers import Array, State
from throughtime.runtime.network import FP32, Compute, FeedForward, linear_of, recurrent_of
from throughtime.runtime.weights import Weights

if TYPE_CHECKING:
    from throughtime.config.tagger import TaggerNetwork

# Frames that go through the CNN together, so that a long clip needs little memory.
_FRAMES_AT_A_TIME = 64


class Tagger:
    """As `throughtime.models.tagger.Tagger`, in evaluation mode; the caller carries the state.

    Args:
        weights: its tensors.
        config: its options.
        classes: C.
        features: F of the frames; None for pictures, which the run's small CNN reads.
        compute: how matrices are kept and multiplied.
    Attributes:
        looks_ahead: whether a frame's label depends on later frames.
    Raises:
        CheckpointError: the weights are of another network.
    """

    def __init__(
        self,
        weights: Weights,
        config: TaggerNetwork,
        classes: int,
        features: int | None = None,
        compute: Compute = FP32,
    ) -> None:
        self.classes = classes
        without = config.cell == "none"
        self.looks_ahead = config.bidirectional and not without
        self._encoder = (
            SmallCNN(weights, "encoder.", config.encoder_features, compute)
            if features is None
            else _Standardise(weights, "encoder.", features)
        )
        size, reads_backwards = self._encoder.output_size, config.bidirectional
        self._recurrent = (
            FeedForward(weights, "recurrent.", compute, size)
            if without
            else recurrent_of(weights, "recurrent.", config, compute, size, bidirectional=reads_backwards)
        )
        width = self._recurrent.output_size * self._recurrent.directions
        self._output = linear_of(weights, "output", compute, width, classes)
        weights.refuse_unused()

    def encode(self, frames: NDArray[Any]) -> NDArray[np.float32]:
        """The features (N, F) of frames (N, ...), each by itself."""
        starts = range(0, len(frames), _FRAMES_AT_A_TIME)
        return np.concatenate([self._encoder(frames[start : start + _FRAMES_AT_A_TIME]) for start in starts])

    def tag(
        self,
        features: NDArray[np.float32],
        state: State | None = None,
        lengths: NDArray[np.int64] | None = None,
    ) -> tuple[NDArray[np.float32], State]:
        """Logits (T, B, C) of features (T, B, F), and the state after each clip's last frame."""
        outputs, state = self._recurrent(features, state, lengths)
        return self._output(outputs), state

    def carry(self, state: State, kept: NDArray[np.int64], beginning: int) -> State:
        """A chunk's state: rows `kept` of the state before, then so many that begin a clip."""
        new = self._recurrent.initial_state(beginning)
        return tuple(np.concatenate([old[:, kept], part], 1) for old, part in zip(state, new, strict=True))


class _Standardise:
    """As `throughtime.encoders.frames.Standardise`."""

    def __init__(self, weights: Weights, prefix: str, features: int) -> None:
        self.output_size = features
        self._mean, self._scale = (
            weights.tensor(f"{prefix}{name}", (features,)) for name in ("mean", "scale")
        )

    def __call__(self, frames: NDArray[Any]) -> Array:
        return (frames.astype(np.float32) - self._mean) * self._scale
