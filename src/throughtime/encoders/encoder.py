"""The part of a CNN that is trained with the recurrence, and what it reads of an image."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from throughtime.encoders.mobilenet import FEATURES, MobileNetV2
from throughtime.errors import RunError

# Of the features' mean deviation: one that hardly moves in training would be blown up by its first surprise.
_DEVIATION_FLOOR = 0.05


class Encoder(nn.Module, ABC):
    """The part of a CNN that belongs to the trained model: reads what the frozen part left of an image.

    Args:
        size: F, the number of features.
        grid: give the features of each place, for attention; else one vector for each image.
        shape: of what is cached of an image.
    Attributes:
        reads: shape, dtype and meaning of what is cached of an image.
        places: P, of a grid.
    """

    def __init__(self, size: int, grid: bool, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.size = size
        self.grid = grid
        self.reads = (shape, "float32", "of the CNN, not standardised")
        self.places = shape[0]

    @abstractmethod
    def forward(self, cached: Tensor) -> Tensor:
        """Features (B, F), or (B, P, F) for a grid, of what was cached (B, ...)."""


class ReadyFeatures(Encoder):
    """Features of a frozen CNN, or computed elsewhere: nothing is left to do but their scale.

    The features' mean and standard deviation over the training images are removed: networks differ by
    orders of magnitude in both, and the recurrence should not have to learn that. `measure` takes them; they
    are saved with the weights.

    Args:
        size, grid, shape: as for `Encoder`; None is (F,).
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, size: int, grid: bool, shape: tuple[int, ...] | None = None) -> None:
        super().__init__(size, grid, shape or (size,))
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("deviation", torch.ones(size))

    def measure(self, images: NDArray[Any]) -> None:
        """Take mean and deviation from the training images.

        Args:
            images: (N, F), or (N, P, F) for a grid, whose places count alike; any float type.
        Raises:
            RunError: they are not finite.
        """
        count, axes = images.size // self.size, tuple(range(images.ndim - 1))

        def mean_of(values: Callable[[NDArray[np.float64]], NDArray[np.float64]]) -> NDArray[np.float64]:
            total = np.zeros(self.size)
            # A thousand images at once: the file may be larger than the memory.
            for start in range(0, len(images), 1000):
                total += values(np.asarray(images[start : start + 1000], dtype=np.float64)).sum(axes)
            return total / count

        with np.errstate(invalid="ignore", over="ignore"):
            mean = mean_of(lambda part: part)
            deviation = np.sqrt(mean_of(lambda part: np.square(part - mean)))
        if not np.isfinite(deviation).all():
            raise RunError("the features of the training images hold NaN or infinity: the run is damaged")
        floor = _DEVIATION_FLOOR * deviation.mean() or 1.0
        self.mean.copy_(torch.from_numpy(mean))
        self.deviation.copy_(torch.from_numpy(np.maximum(deviation, floor)))

    def forward(self, cached: Tensor) -> Tensor:
        return (cached.to(self.mean.dtype) - self.mean) / self.deviation


class MobileNetTail(Encoder):
    """The last blocks of a MobileNetV2, trained together with the recurrence.

    Batch normalisation keeps the statistics that it came with: a batch of captions is too small to measure
    new ones.

    Args:
        model: the network with its weights.
        blocks: how many of its 19 parts, from the end.
        grid: give (B, P, 1280) instead of (B, 1280).
        shape: (C, H, W) of the maps that are cached of an image.
    """

    def __init__(self, model: MobileNetV2, blocks: int, grid: bool, shape: tuple[int, ...]) -> None:
        super().__init__(FEATURES, grid, shape)
        self.blocks = model.features[len(model.features) - blocks :]
        rows, columns = shape[1:]
        for module in self.blocks.modules():
            if isinstance(module, nn.Conv2d):
                rows, columns = -(-rows // module.stride[0]), -(-columns // module.stride[1])
        self.places = rows * columns
        self.eval()

    def forward(self, cached: Tensor) -> Tensor:
        maps = self.blocks(cached.to(next(self.parameters()).dtype))
        return maps.flatten(2).transpose(1, 2) if self.grid else maps.mean((2, 3))

    def train(self, mode: bool = True) -> MobileNetTail:
        super().train(mode)
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()
        return self
