"""Convolutions in NumPy, the channels last, and the two small networks that are trained with a recurrence.

With the channels last a 1x1 convolution is a matrix product as it stands, and a 3x3 one is after its patches
have been laid side by side.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from throughtime.errors import OptionError
from throughtime.runtime.layers import Array, Linear
from throughtime.runtime.network import FP32, Compute, linear_of
from throughtime.runtime.weights import Weights

_NORM_EPSILON = np.float32(1e-5)
_GRID = 4  # of `SmallCNN`, as throughtime.encoders.frames has it


class Convolution:
    """A convolution over all channels: (B, H, W, C) to (B, h, w, O).

    Args:
        weight: (O, C, k, k).
        bias: (O,), or None.
        stride: in both directions.
        same: pad as TensorFlow's "SAME" does; else (k - 1) / 2 on every side, as PyTorch does.
        compute: how the weights are kept and multiplied.
    """

    def __init__(
        self, weight: Array, bias: Array | None, stride: int = 1, same: bool = False, compute: Compute = FP32
    ) -> None:
        self._size, self._stride, self._same = weight.shape[2], stride, same
        self._product = Linear(weight.reshape(len(weight), -1), bias, compute.precision, compute.threads)

    def __call__(self, images: Array) -> Array:
        if self._size == 1:
            return self._product(images[:, :: self._stride, :: self._stride])
        padded = pad(images, self._size, self._stride, self._same)
        patches = sliding_window_view(padded, (self._size, self._size), axis=(1, 2))
        patches = patches[:, :: self._stride, :: self._stride]  # (B, h, w, C, k, k)
        return self._product(np.ascontiguousarray(patches.reshape(*patches.shape[:3], -1)))


class DepthwiseConvolution:
    """A convolution of each channel by itself: (B, H, W, C) to (B, h, w, C).

    Args:
        weight: (C, 1, k, k).
        bias: (C,).
        stride, same: as for `Convolution`.
    """

    def __init__(self, weight: Array, bias: Array, stride: int = 1, same: bool = False) -> None:
        self._taps = np.ascontiguousarray(weight[:, 0].transpose(1, 2, 0))  # (k, k, C)
        self._bias, self._stride, self._same = bias, stride, same

    def __call__(self, images: Array) -> Array:
        size, stride = len(self._taps), self._stride
        padded = pad(images, size, stride, self._same)
        height, width = ((side - size) // stride + 1 for side in padded.shape[1:3])
        sums = np.empty((len(images), height, width, images.shape[3]), np.float32)
        sums[:] = self._bias
        product = np.empty_like(sums)
        for y, x in np.ndindex(size, size):
            seen = padded[:, y : y + stride * height : stride, x : x + stride * width : stride]
            sums += np.multiply(seen, self._taps[y, x], out=product)
        return sums


def pad(images: Array, size: int, stride: int, same: bool) -> Array:
    """Zeros around images (B, H, W, C), as many as a convolution of this size and stride wants."""
    padding = []
    for side in images.shape[1:3]:
        total = size - 1
        before = total // 2
        if same:
            total = max((-(-side // stride) - 1) * stride + size - side, 0)
            before = total // 2
        padding.append((before, total - before))
    return np.pad(images, ((0, 0), *padding, (0, 0)))


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


class SmallCNN:
    """As `throughtime.encoders.frames.SmallCNN`.

    Args:
        weights: the network's tensors.
        prefix: of their names.
        output_size: F.
        compute: how matrices are kept and multiplied.
    """

    def __init__(self, weights: Weights, prefix: str, output_size: int, compute: Compute) -> None:
        self._layers: list[tuple[Convolution, _GroupNorm]] = []
        channels = 3
        for layer, outputs in zip((0, 3, 6), (16, 32, 64), strict=True):
            name = f"{prefix}convolutions.{layer}"
            weight = weights.tensor(f"{name}.weight", (outputs, channels, 3, 3))
            bias = weights.tensor(f"{name}.bias", (outputs,))
            norm = _GroupNorm(weights, f"{prefix}convolutions.{layer + 1}", 4, outputs)
            self._layers.append((Convolution(weight, bias, 2, compute=compute), norm))
            channels = outputs
        self.output_size = output_size
        self._output = linear_of(weights, f"{prefix}output", compute, channels * _GRID**2, output_size)
        self._gain = weights.tensor(f"{prefix}norm.weight", (output_size,))
        self._shift = weights.tensor(f"{prefix}norm.bias", (output_size,))

    def __call__(self, frames: NDArray[np.uint8]) -> Array:
        """(N, H, W, 3) uint8 -> (N, F)."""
        maps = normalise(frames, "symmetric")
        for convolution, norm in self._layers:
            maps = np.maximum(norm(convolution(maps)), 0)
        grid = _average_to_grid(maps).transpose(0, 3, 1, 2)  # the linear layer reads channel by channel
        features = self._output(np.ascontiguousarray(grid).reshape(len(grid), -1))
        return normalised(features) * self._gain + self._shift


class SmallImageCNN:
    """As `throughtime.encoders.SmallImageCNN`.

    Args:
        weights: the network's tensors.
        prefix: of their names.
        image_size: S, a multiple of 8.
        grid: give the features of each place.
        compute: how matrices are kept and multiplied.
    """

    def __init__(self, weights: Weights, prefix: str, image_size: int, grid: bool, compute: Compute) -> None:
        self._layers: list[tuple[Convolution, _GroupNorm]] = []
        channels = 3
        for layer, outputs, stride in ((0, 16, 2), (3, 32, 2), (6, 64, 2), (9, 64, 1)):
            weight = weights.tensor(f"{prefix}features.{layer}.weight", (outputs, channels, 3, 3))
            norm = _GroupNorm(weights, f"{prefix}features.{layer + 1}", outputs // 8, outputs)
            self._layers.append((Convolution(weight, None, stride, compute=compute), norm))
            channels = outputs
        places = (image_size // 8) ** 2  # three convolutions of stride 2
        self._position = weights.tensor(f"{prefix}position", (places, channels)) if grid else None
        reads = channels if grid else places * channels
        self._output = linear_of(weights, f"{prefix}output", compute, reads)
        self.size = self._output.output_size

    def __call__(self, cached: NDArray[Any]) -> Array:
        """Features (B, 128), or (B, P, 128) for a grid, of pixels (B, S, S, 3), uint8."""
        maps = normalise(cached, "symmetric")
        for convolution, norm in self._layers:
            maps = np.maximum(norm(convolution(maps)), 0)
        places = maps.reshape(len(maps), -1, maps.shape[3])
        if self._position is None:
            return np.maximum(self._output(places.reshape(len(places), -1)), 0)
        return np.maximum(self._output(places + self._position), 0)


def normalised(x: Array, axes: int | tuple[int, ...] = -1) -> Array:
    """Zero mean and unit variance over some axes."""
    centred = x - x.mean(axes, keepdims=True)
    return centred / np.sqrt(np.square(centred).mean(axes, keepdims=True) + _NORM_EPSILON)


class _GroupNorm:
    """Zero mean and unit variance over each group of channels of each image; then gain and shift."""

    def __init__(self, weights: Weights, name: str, groups: int, channels: int) -> None:
        self._groups = groups
        self._gain = weights.tensor(f"{name}.weight", (channels,))
        self._shift = weights.tensor(f"{name}.bias", (channels,))

    def __call__(self, maps: Array) -> Array:
        grouped = maps.reshape(len(maps), -1, self._groups, maps.shape[3] // self._groups)
        grouped = normalised(grouped, (1, 3))
        return grouped.reshape(maps.shape) * self._gain + self._shift


def _average_to_grid(maps: Array) -> Array:
    """(N, H, W, C) to (N, 4, 4, C): means over cells that may overlap by a row where 4 does not divide."""
    rows, columns = (
        [(i * n // _GRID, -(-(i + 1) * n // _GRID)) for i in range(_GRID)] for n in maps.shape[1:3]
    )
    return np.stack(
        [
            np.stack([maps[:, top:bottom, left:right].mean((1, 2)) for left, right in columns], 1)
            for top, bottom in rows
        ],
        1,
    )
