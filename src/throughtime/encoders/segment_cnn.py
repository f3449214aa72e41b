"""Segments of a sequence to vectors: convolutions over the steps of each and over those around it."""

from __future__ import annotations

import torch
from torch import Tensor, nn

CHANNELS = 64
# Steps that the first convolution sees, the second, and all others (Wang et al. 2017, "Time series
# classification from scratch", has 8, 5 and 3).
_SEEN = (7, 5, 3)
# Of what is divided by: silence stays silence, and is not blown up to the size of a signal.
_EPSILON = 1e-2


class SegmentCNN(nn.Module):
    """What the steps of a window look like, and how large they are: (T, B, W * F) -> (T, B, C + 2 F).

    Convolutions over the W steps of a segment and what is around it, each followed by a normalisation and a
    ReLU, find shapes wherever they lie: the largest value of each channel counts. Each channel is normalised
    over the window, so that a shape counts and not its size. The size is said beside it: the mean and the
    deviation of each feature. A window's vector depends on that window alone.

    Args:
        features: F, of a step.
        layers: of convolutions.
    Source: convolutions before a recurrence: Ordóñez and Roggen 2016; the normalisation: Ulyanov et al. 2016.
    """

    def __init__(self, features: int, layers: int) -> None:
        super().__init__()
        self.features = features
        self.output_size = CHANNELS + 2 * features
        seen = [_SEEN[min(layer, len(_SEEN) - 1)] for layer in range(layers)]
        self.convolutions = nn.ModuleList(
            nn.Conv1d(CHANNELS if layer else features, CHANNELS, size, padding=size // 2, bias=False)
            for layer, size in enumerate(seen)
        )
        self.norms = nn.ModuleList(nn.GroupNorm(CHANNELS, CHANNELS, eps=_EPSILON) for _ in seen)

    def forward(self, steps: Tensor) -> Tensor:
        """Windows, step after step, as `segmented` makes them."""
        windows = steps.flatten(0, 1).unflatten(1, (-1, self.features))  # (T * B, W, F)
        mean = windows.mean(1)
        deviation = ((windows - mean.unsqueeze(1)).square().mean(1) + _EPSILON**2).sqrt()
        shapes = windows.transpose(1, 2)
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            shapes = norm(convolution(shapes)).relu()
        found = torch.cat([shapes.amax(2), mean, deviation], -1)
        return found.unflatten(0, steps.shape[:2])
