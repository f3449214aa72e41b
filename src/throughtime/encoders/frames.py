"""Frames to vectors: what a tagger's recurrence reads at each step."""

from __future__ import annotations

import torch
from torch import Tensor, nn

# Three halvings of the small CNN; a smaller frame would leave nothing of the picture.
SMALLEST_FRAME = 16
_GRID = 4


class Standardise(nn.Module):
    """(x - mean) / deviation with the statistics of the training frames; (..., F) -> (..., F).

    The statistics are saved with the weights: what reads the features later needs both.

    Args:
        mean: (F,).
        deviation: (F,); a feature that never changes has 0, and becomes 0.
    """

    def __init__(self, mean: Tensor, deviation: Tensor) -> None:
        super().__init__()
        self.output_size = len(mean)
        self.reads = ((len(mean),), "float32", "features, not standardised")
        self.register_buffer("mean", mean.float())
        # Only what is constant up to rounding: dividing by that would blow rounding up into a signal.
        constant = deviation <= 1e-6 * mean.abs().clamp(min=1e-6)
        scale = torch.where(constant, torch.zeros_like(deviation), 1 / deviation.clamp(min=1e-30))
        self.register_buffer("scale", scale.float())

    def forward(self, frames: Tensor) -> Tensor:
        return (frames.float() - self.mean) * self.scale  # type: ignore[operator]


class SmallCNN(nn.Module):
    """A small picture to a vector: three strided convolutions, a grid of 4 x 4, a linear layer.

    The grid is kept, where many CNNs average over it: a motion is a change of place, and an average has none.
    The normalisation is by groups, not by batch, so that a frame's vector depends on that frame alone: in a
    batch, in a stream, in training and afterwards.

    Args:
        output_size: F.
        frame_size: H and W of the frames.
    Source: group normalisation: Wu and He 2018.
    """

    def __init__(self, output_size: int = 64, frame_size: int = 64) -> None:
        super().__init__()
        self.output_size = output_size
        self.reads = ((frame_size, frame_size, 3), "uint8", "RGB pixels")
        channels = (3, 16, 32, 64)
        layers: list[nn.Module] = []
        for before, after in zip(channels, channels[1:], strict=False):
            layers += [nn.Conv2d(before, after, 3, stride=2, padding=1), nn.GroupNorm(4, after), nn.ReLU()]
        self.convolutions = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(_GRID))
        self.output = nn.Linear(channels[-1] * _GRID**2, output_size)
        self.norm = nn.LayerNorm(output_size)

    def forward(self, frames: Tensor) -> Tensor:
        """(N, H, W, 3) uint8, as decoders give it -> (N, F)."""
        pictures = frames.permute(0, 3, 1, 2).float().div(127.5).sub(1)
        return self.norm(self.output(self.convolutions(pictures).flatten(1)))
