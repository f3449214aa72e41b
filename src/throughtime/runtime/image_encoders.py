"""Features of pictures without torch: what a captioner makes of what was cached of an image."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from throughtime.runtime.cnn import SmallImageCNN
from throughtime.runtime.layers import Array
from throughtime.runtime.mobilenet import FEATURES, PARTS, MobileNetV2
from throughtime.runtime.network import Compute
from throughtime.runtime.weights import Weights


class Encoder(Protocol):
    """What reads images.

    Attributes:
        size: F, the number of features.
    """

    size: int

    def __call__(self, cached: NDArray[Any]) -> Array:
        """Features (B, F), or (B, P, F) for a grid, of what was cached (B, ...)."""
        ...


class ReadyFeatures:
    """As `throughtime.encoders.encoder.ReadyFeatures`: nothing is left to do but the features' scale.

    Args:
        weights: the network's tensors.
        prefix: of their names.
        size: F.
    """

    def __init__(self, weights: Weights, prefix: str, size: int) -> None:
        self.size = size
        self._mean, self._deviation = (
            weights.tensor(f"{prefix}{name}", (size,)) for name in ("mean", "deviation")
        )

    def __call__(self, cached: NDArray[Any]) -> Array:
        return (cached.astype(np.float32) - self._mean) / self._deviation


class MobileNetTail:
    """As `throughtime.encoders.encoder.MobileNetTail`: the blocks that were trained with the recurrence.

    Args:
        weights: the network's tensors.
        prefix: of their names.
        blocks: how many of the 19 parts, from the end.
        grid: give (B, P, 1280) instead of (B, 1280).
        compute: how matrices are kept and multiplied.
    """

    def __init__(self, weights: Weights, prefix: str, blocks: int, grid: bool, compute: Compute) -> None:
        self._blocks = MobileNetV2(weights, f"{prefix}blocks.", PARTS - blocks, compute=compute)
        self._grid = grid
        self.size = FEATURES

    def __call__(self, cached: NDArray[Any]) -> Array:
        maps = self._blocks(np.ascontiguousarray(cached.transpose(0, 2, 3, 1), np.float32))
        return maps.reshape(len(maps), -1, FEATURES) if self._grid else maps.mean((1, 2))


def image_encoder(
    weights: Weights,
    prefix: str,
    shape: tuple[int, ...],
    blocks: int,
    ready: bool,
    grid: bool,
    compute: Compute,
) -> Encoder:
    """The encoder that a captioner was trained with.

    Args:
        weights: the network's tensors.
        prefix: of the encoder's.
        shape: of what is cached of an image.
        blocks: of a MobileNetV2 that were trained; 0 is none.
        ready: what is cached are features.
        grid: whether places are wanted.
        compute: how matrices are kept and multiplied.
    """
    if blocks:
        return MobileNetTail(weights, prefix, blocks, grid, compute)
    if ready:
        return ReadyFeatures(weights, prefix, shape[-1])
    return SmallImageCNN(weights, prefix, shape[0], grid, compute)
