"""Convolutions in NumPy, the channels last.

With the channels last a 1x1 convolution is a matrix product as it stands, and a 3x3 one is after its patches
have been laid side by side.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from throughtime.errors import OptionError
from throughtime.runtime.layers import FP32, Array, Compute, Linear

SAME = None


class Convolution:
    """A convolution over all channels: (B, H, W, C) to (B, h, w, O).

    Args:
        weight: (O, C, k, l).
        bias: (O,), or None.
        stride: down and to the right.
        padding: zeros above and below, and on the left and the right; SAME pads as TensorFlow does.
        compute: how the weights are kept and multiplied.
    """

    def __init__(
        self,
        weight: Array,
        bias: Array | None,
        stride: Sequence[int] = (1, 1),
        padding: Sequence[int] | None = SAME,
        compute: Compute = FP32,
    ) -> None:
        self._sizes, self._stride, self._padding = weight.shape[2:], stride, padding
        self._product = Linear(weight.reshape(len(weight), -1), bias, compute.precision, compute.threads)

    def __call__(self, images: Array) -> Array:
        down, right = self._stride
        padded = pad(images, self._sizes, self._stride, self._padding)
        if self._sizes == (1, 1):
            return self._product(padded[:, ::down, ::right])
        patches = sliding_window_view(padded, self._sizes, axis=(1, 2))
        patches = patches[:, ::down, ::right]  # (B, h, w, C, k, l)
        return self._product(np.ascontiguousarray(patches.reshape(*patches.shape[:3], -1)))


class DepthwiseConvolution:
    """A convolution of each channel by itself: (B, H, W, C) to (B, h, w, C).

    Args:
        weight: (C, 1, k, l).
        bias: (C,).
        stride, padding: as for `Convolution`.
    """

    def __init__(
        self,
        weight: Array,
        bias: Array,
        stride: Sequence[int] = (1, 1),
        padding: Sequence[int] | None = SAME,
    ) -> None:
        self._taps = np.ascontiguousarray(weight[:, 0].transpose(1, 2, 0))  # (k, l, C)
        self._bias, self._stride, self._padding = bias, stride, padding

    def __call__(self, images: Array) -> Array:
        sizes, (down, right) = self._taps.shape[:2], self._stride
        padded = pad(images, sizes, self._stride, self._padding)
        height, width = (
            (side - size) // step + 1
            for side, size, step in zip(padded.shape[1:3], sizes, self._stride, strict=True)
        )
        sums = np.empty((len(images), height, width, images.shape[3]), np.float32)
        sums[:] = self._bias
        product = np.empty_like(sums)
        for y, x in np.ndindex(*sizes):
            seen = padded[:, y : y + down * height : down, x : x + right * width : right]
            sums += np.multiply(seen, self._taps[y, x], out=product)
        return sums


def pad(images: Array, sizes: Sequence[int], stride: Sequence[int], padding: Sequence[int] | None) -> Array:
    """Zeros around images (B, H, W, C) for a convolution of these sizes and strides; see `Convolution`."""
    around = []
    for axis, (side, size, step) in enumerate(zip(images.shape[1:3], sizes, stride, strict=True)):
        if padding is not None:
            around.append((padding[axis], padding[axis]))
        else:
            # They differ where a stride of 2 meets an even size: TensorFlow pads right and bottom only.
            total = max((-(-side // step) - 1) * step + size - side, 0)
            around.append((total // 2, total - total // 2))
    return np.pad(images, ((0, 0), *around, (0, 0))) if np.any(around) else images


def normalise(pixels: NDArray[np.uint8], how: str) -> Array:
    """Pixels (B, H, W, 3) as a network was trained to read them, float32.

    Args:
        pixels: RGB.
        how: "imagenet" (subtract its mean, divide by its standard deviation), "symmetric" (-1 to 1) or
            "unit" (0 to 1).
    Raises:
        OptionError: another word.
    """
    if how not in ("imagenet", "symmetric", "unit"):
        raise OptionError(f"pixels {how!r} is unknown: use imagenet, symmetric or unit")
    images = pixels.astype(np.float32)
    images /= 127.5 if how == "symmetric" else 255
    if how == "symmetric":
        images -= 1
    elif how == "imagenet":
        images -= np.array([0.485, 0.456, 0.406], np.float32)
        images /= np.array([0.229, 0.224, 0.225], np.float32)
    return images
