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
    """What a segment looks like, beside its own numbers: (T, B, W * F) -> (T, B, C + N * F).

    A window of W steps holds a segment of N and what is around it. Convolutions over its steps, each followed
    by a normalisation and a ReLU, find shapes wherever they lie in it: the largest value of each channel
    counts. Each channel is normalised over the window, so that a shape counts and not how large it is; how
    large it is the segment's own numbers say. A window's vector depends on that window alone.

    Args:
        features: F, of a step.
        segment: N.
        around: steps on either side of it, (W - N) / 2.
        layers: of convolutions.
    Source: convolutions before a recurrence: Ordóñez and Roggen 2016; the normalisation: Ulyanov et al. 2016.
    """

    def __init__(self, features: int, segment: int, around: int, layers: int) -> None:
        super().__init__()
        self.features, self.segment, self.around = features, segment, around
        self.output_size = CHANNELS + segment * features
        seen = [_SEEN[min(layer, len(_SEEN) - 1)] for layer in range(layers)]
        self.convolutions = nn.ModuleList(
            nn.Conv2d(
                CHANNELS if layer else features, CHANNELS, (size, 1), padding=(size // 2, 0), bias=False
            )
            for layer, size in enumerate(seen)
        )
        self.norms = nn.ModuleList(nn.GroupNorm(CHANNELS, CHANNELS, eps=_EPSILON) for _ in seen)

    def forward(self, steps: Tensor) -> Tensor:
        """Windows, step after step, as `segmented` makes them."""
        T, B = steps.shape[:2]
        windows = steps.flatten(0, 1).unflatten(1, (-1, self.features))  # (T * B, W, F)
        shapes = windows.transpose(1, 2).unsqueeze(-1)
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            shapes = norm(convolution(shapes)).relu()
        found = shapes.squeeze(-1).amax(2).unflatten(0, (T, B))
        begin = self.around * self.features
        return torch.cat([found, steps[:, :, begin : begin + self.segment * self.features]], -1)
