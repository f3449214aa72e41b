"""The part of a CNN that is not trained: it runs once for each image, and what it gives is cached."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from throughtime.data.numbers import as_float32
from throughtime.errors import DataError, MissingExtraError, OptionError
from throughtime.extras import install_command
from throughtime.facts import shown
from throughtime.files import copy_atomically
from throughtime.runtime.cnn import normalise
from throughtime.runtime.mobilenet import PARTS, STRIDE, MobileNetV2, check_mobilenet, read_mobilenet

Pixels = NDArray[np.uint8]

# Frames that go through the CNN together: more would not be faster on a CPU, and take memory.
_FRAMES_AT_A_TIME = 16

# On the scale of onnxruntime, whose log goes to standard error past Python; an error is also an exception.
_FATAL_ONLY = 4
# Pixels a side, as of --image-size.
_LARGEST = 4096


def keep_cnn(given: str | Path, kept: Path) -> None:
    """Copy a CNN that the user gave into a run folder, which has to work where the file is not.

    Raises:
        DataError: it is missing, or neither .onnx nor the weights of a MobileNetV2, which the message says
            how to get.
    """
    if Path(given).suffix != ".onnx":
        check_mobilenet(given)
    elif not Path(given).is_file():
        raise DataError(f"{given}: no such file (the working directory is {Path.cwd()})")
    copy_atomically(given, kept)


class FrozenEncoder(ABC):
    """Pixels to what the trained part reads.

    Args:
        image_size: S.
    """

    def __init__(self, image_size: int) -> None:
        self.image_size = image_size

    @abstractmethod
    def __call__(self, pixels: Pixels) -> NDArray[Any]:
        """What is cached of images (B, S, S, 3): (B, ...)."""


class PixelEncoder(FrozenEncoder):
    """Nothing is frozen: the pixels themselves are cached."""

    def __call__(self, pixels: Pixels) -> NDArray[Any]:
        return pixels


class MobileNetEncoder(FrozenEncoder):
    """MobileNetV2 up to the blocks that are trained.

    Args:
        weights: a file for `throughtime.runtime.mobilenet.read_mobilenet`.
        image_size: S, a multiple of 32.
        grid: give (B, P, 1280) instead of (B, 1280); without trained blocks only.
        trained_blocks: so many of the 19 parts are left to the trained network; then (B, C, h, w) is cached.
        backend: "native", which needs no torch, or "torch", which is faster on many pictures.
    """

    def __init__(
        self,
        weights: str | Path,
        image_size: int,
        grid: bool,
        trained_blocks: int = 0,
        backend: str = "torch",
    ) -> None:
        super().__init__(image_size)
        if image_size % STRIDE:
            raise OptionError(
                f"--image-size must be a multiple of {STRIDE} for MobileNetV2, not {image_size}"
            )
        make = _torch_maps if backend == "torch" else _native_maps
        self._maps = make(weights, PARTS - trained_blocks)
        self._pools = not trained_blocks
        self._grid = grid

    def __call__(self, pixels: Pixels) -> NDArray[Any]:
        maps = self._maps(pixels)
        return as_features(maps, self._grid, "MobileNetV2") if self._pools else maps.astype(np.float16)


def _native_maps(weights: str | Path, parts: int) -> Callable[[Pixels], NDArray[np.float32]]:
    """The first parts of a MobileNetV2 in NumPy: pixels to (B, C, h, w)."""
    network = MobileNetV2(read_mobilenet(weights), stop=parts)
    return lambda pixels: network(network.normalise(pixels)).transpose(0, 3, 1, 2)


def _torch_maps(weights: str | Path, parts: int) -> Callable[[Pixels], NDArray[np.float32]]:
    """The same in torch."""
    import torch

    from throughtime.encoders.mobilenet import load_mobilenet

    network = load_mobilenet(weights)
    frozen = network.features[:parts]

    def run(pixels: Pixels) -> NDArray[np.float32]:
        with torch.inference_mode():
            return frozen(network.normalise(torch.from_numpy(pixels))).numpy()

    return run


class OnnxEncoder(FrozenEncoder):
    """Any model that the user hands over: one image input, NCHW or NHWC; its first output is taken.

    An output of four dimensions is a feature grid, with the channels on the axis where the image's are.

    Args:
        model: an .onnx file.
        image_size: S; a size that is fixed in the model wins.
        grid: give features of each place.
        pixels: how the model reads them; see `throughtime.runtime.cnn.normalise`.
    Raises:
        DataError: the file is missing, not ONNX, or does not read images.
        MissingExtraError: onnxruntime is not installed.
    """

    def __init__(self, model: str | Path, image_size: int, grid: bool, pixels: str) -> None:
        try:
            import onnxruntime
        except ImportError:
            raise MissingExtraError(
                f"ONNX models need onnxruntime: install it with `{install_command('onnx', 'onnxruntime')}`"
            ) from None
        if not Path(model).is_file():
            raise DataError(f"{model}: no such file (the working directory is {Path.cwd()})")
        options = onnxruntime.SessionOptions()
        options.log_severity_level = _FATAL_ONLY
        try:
            self._session = onnxruntime.InferenceSession(str(model), options, ["CPUExecutionProvider"])
            inputs = [(one.name, one.shape) for one in self._session.get_inputs()]
        # Its exceptions have no common parent of their own.
        except Exception as error:
            raise DataError(f"{model} cannot be read as ONNX: {_reason(error)}") from None
        name, shape = inputs[0] if len(inputs) == 1 else ("", [])
        if len(shape) != 4 or 3 not in (shape[1], shape[3]):
            raise DataError(
                f"{model} reads {shown(inputs)}: expected one batch of images, (B, 3, H, W) or (B, H, W, 3)"
            )
        self._name, self._channels_first = name, shape[1] == 3
        self._one_by_one = shape[0] == 1
        fixed = shape[2]
        if isinstance(fixed, int) and not 1 <= fixed <= _LARGEST:
            raise DataError(
                f"{model} reads images of {fixed:,} pixels a side: expected 1 to {_LARGEST:,}, or a free size"
            )
        super().__init__(fixed if isinstance(fixed, int) else image_size)
        self._path, self._grid, self._pixels = model, grid, pixels

    def __call__(self, pixels: Pixels) -> NDArray[Any]:
        images = normalise(pixels, self._pixels)
        if self._channels_first:
            images = np.ascontiguousarray(images.transpose(0, 3, 1, 2))
        batches = np.split(images, len(images)) if self._one_by_one else [images]
        try:
            found = np.concatenate(
                [np.asarray(self._session.run(None, {self._name: batch})[0]) for batch in batches]
            )
        except Exception as error:
            raise DataError(f"{self._path} cannot run: {_reason(error)}") from None
        if found.ndim == 4 and not self._channels_first:
            found = found.transpose(0, 3, 1, 2)
        return as_features(found, self._grid, str(self._path))


def _reason(error: Exception) -> str:
    """What onnxruntime says, on one line."""
    return " ".join(str(error).split()) or type(error).__name__


class CallableEncoder(FrozenEncoder):
    """A function of the user's: pixels (B, S, S, 3), uint8, to features (B, F) or (B, C, h, w).

    Args:
        function: called with a NumPy array; gives an array or a torch tensor.
        image_size: S.
        grid: give features of each place.
    """

    def __init__(self, function: Callable[[Pixels], Any], image_size: int, grid: bool) -> None:
        super().__init__(image_size)
        self._function, self._grid = function, grid

    def __call__(self, pixels: Pixels) -> NDArray[Any]:
        found = self._function(pixels)
        if hasattr(found, "detach"):
            found = found.detach().cpu().float().numpy()
        return as_features(np.asarray(found), self._grid, "the encoder function")


def in_blocks(encoder: FrozenEncoder) -> Callable[[NDArray[np.uint8]], NDArray[np.float32]]:
    """A frozen CNN for any number of frames (N, S, S, 3) uint8 at a time: features (N, F)."""

    def encode(frames: NDArray[np.uint8]) -> NDArray[np.float32]:
        starts = range(0, len(frames), _FRAMES_AT_A_TIME)
        blocks = [encoder(frames[start : start + _FRAMES_AT_A_TIME]) for start in starts]
        return np.concatenate(blocks).astype(np.float32)

    return encode


def as_features(found: NDArray[Any], grid: bool, name: str) -> NDArray[Any]:
    """Features as the captioner reads them, of whatever a model gave: (B, F), or (B, P, F) for a grid.

    Args:
        found: (B, F), (B, C, h, w), or (B, P, F).
        grid: whether places are wanted; without, they are averaged.
        name: of the model, for errors.
    Raises:
        DataError: the shape is another, or places are wanted and there are none; or a number is NaN,
            infinite, or too large for the bits that it is kept in.
    """
    if found.ndim in (2, 3, 4):
        if 0 in found.shape[1:]:
            raise DataError(f"{name} gives features of shape {found.shape[1:]}, in which there is no number")
        found = as_float32(found, lambda _, *place: f"{name}: feature {list(place)}")
    if found.ndim == 4:
        # (B, C, h, w) to (B, h * w, C)
        found = found.reshape(*found.shape[:2], -1).transpose(0, 2, 1)
    if found.ndim == 3 and grid:
        with np.errstate(over="ignore"):
            features = found.astype(np.float16)  # which halves the cache
        if not np.isfinite(features).all():
            largest = float(np.finfo(np.float16).max)
            raise DataError(f"{name} gives features above {largest:,.0f}, and grids are kept in 16 bits")
    elif found.ndim == 3:
        with np.errstate(over="ignore"):
            features = found.mean(1)
        if not np.isfinite(features).all():  # the sum is beyond 32 bits, and the mean is not
            features = found.mean(1, dtype=np.float64).astype(np.float32)
    elif found.ndim == 2 and not grid:
        features = found
    elif found.ndim == 2:
        raise DataError(
            f"{name} gives one vector for each image, {found.shape[1:]}: attention needs the grid of the "
            f"last convolution; use a model that ends there, or another --image-input"
        )
    else:
        raise DataError(f"{name} gives {found.shape}: expected (B, features) or (B, channels, height, width)")
    return features
