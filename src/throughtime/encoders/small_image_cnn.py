"""A small convolutional network of our own, for pictures that a person could draw; it learns from scratch."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from throughtime.encoders.encoder import Encoder

# Channels and stride of each convolution. The last one sees 31 pixels: a whole shape, not only its edge.
_LAYERS = ((16, 2), (32, 2), (64, 2), (64, 1))
STRIDE = 8
FEATURES = 128


class SmallImageCNN(Encoder):
    """Four convolutions; then the features of each place, or one vector of the whole image.

    The vector comes from a layer over all places, not from their mean: the mean forgets where things are.

    Args:
        image_size: S, a multiple of 8.
        grid: give (B, (S / 8)^2, 128) instead of (B, 128).
    """

    def __init__(self, image_size: int, grid: bool) -> None:
        super().__init__(FEATURES, grid, (image_size, image_size, 3))
        self.reads = ((image_size, image_size, 3), "uint8", "RGB pixels")
        self.places = (image_size // STRIDE) ** 2
        layers: list[nn.Module] = []
        channels = 3
        for outputs, stride in _LAYERS:
            # Group normalisation: it has no running statistics, so training and use see the same network.
            layers += [
                nn.Conv2d(channels, outputs, 3, stride, 1, bias=False),
                nn.GroupNorm(outputs // 8, outputs),
                nn.ReLU(),
            ]
            channels = outputs
        self.features = nn.Sequential(*layers)
        side = image_size // STRIDE
        self.position = nn.Parameter(_places(side, channels)) if grid else None
        self.output = nn.Linear(channels if grid else side * side * channels, FEATURES)

    def forward(self, cached: Tensor) -> Tensor:
        """Features of pixels (B, S, S, 3), uint8."""
        images = cached.permute(0, 3, 1, 2).to(self.output.weight.dtype) / 127.5 - 1
        places = self.features(images).flatten(2).transpose(1, 2)  # (B, P, C)
        if self.position is None:
            return torch.relu(self.output(places.flatten(1)))
        # Without its position a place could not say that it is the left one.
        return torch.relu(self.output(places + self.position))


def _places(side: int, channels: int) -> Tensor:
    """Where each place of a grid is, (side^2, C): row and column, from -1 to 1, in directions by chance."""
    along = torch.linspace(-1, 1, side) if side > 1 else torch.zeros(1)
    return torch.cartesian_prod(along, along) @ torch.randn(2, channels)
