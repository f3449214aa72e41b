"""The part of a CNN that is not trained: it runs once for each image, and what it gives is cached."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from throughtime.data.image_features import as_features
from throughtime.errors import DataError, MissingExtraError, OptionError

Pixels = NDArray[np.uint8]


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
        weights: a file for `load_mobilenet`.
        image_size: S, a multiple of 32.
        grid: give (B, P, 1280) instead of (B, 1280); without trained blocks only.
        trained_blocks: so many of the 19 parts are left to `MobileNetTail`; then (B, C, h, w) is cached.
    """

    def __init__(self, weights: str | Path, image_size: int, grid: bool, trained_blocks: int = 0) -> None:
        super().__init__(image_size)
        from throughtime.encoders.mobilenet import STRIDE, load_mobilenet

        if image_size % STRIDE:
            raise OptionError(
                f"--image-size must be a multiple of {STRIDE} for MobileNetV2, not {image_size}"
            )
        self.model = load_mobilenet(weights)
        self._parts = self.model.features[: len(self.model.features) - trained_blocks]
        self._pools = not trained_blocks
        self._grid = grid

    def __call__(self, pixels: Pixels) -> NDArray[Any]:
        import torch

        with torch.inference_mode():
            maps = self._parts(self.model.normalise(torch.from_numpy(pixels)))
            if not self._pools:
                return maps.numpy().astype(np.float16)
            return as_features(maps.numpy(), self._grid, "MobileNetV2")


class OnnxEncoder(FrozenEncoder):
    """Any model that the user hands over: one image input, NCHW or NHWC; its first output is taken.

    An output of four dimensions is a feature grid, with the channels on the axis where the image's are.

    Args:
        model: an .onnx file.
        image_size: S; a size that is fixed in the model wins.
        grid: give features of each place.
        pixels: how the model reads them; see `throughtime.encoders.mobilenet.normalise`.
    Raises:
        DataError: the file is missing, not ONNX, or does not read images.
        MissingExtraError: onnxruntime is not installed.
    """

    def __init__(self, model: str | Path, image_size: int, grid: bool, pixels: str) -> None:
        try:
            import onnxruntime
        except ImportError:
            raise MissingExtraError(
                "ONNX models need onnxruntime: install it with `pip install onnxruntime`"
            ) from None
        if not Path(model).is_file():
            raise DataError(f"{model}: no such file (the working directory is {Path.cwd()})")
        try:
            self._session = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
        # Its exceptions have no common parent of their own.
        except Exception as error:
            raise DataError(f"{model} cannot be read as ONNX: {str(error).splitlines()[0]}") from None
        inputs = self._session.get_inputs()
        shape = inputs[0].shape
        if len(inputs) != 1 or len(shape) != 4 or 3 not in (shape[1], shape[3]):
            raise DataError(
                f"{model} reads {[(one.name, one.shape) for one in inputs]}: expected one batch of images, "
                f"(B, 3, H, W) or (B, H, W, 3)"
            )
        self._name, self._channels_first = inputs[0].name, shape[1] == 3
        self._one_by_one = shape[0] == 1
        fixed = shape[2]
        super().__init__(fixed if isinstance(fixed, int) else image_size)
        self._path, self._grid, self._pixels = model, grid, pixels

    def __call__(self, pixels: Pixels) -> NDArray[Any]:
        import torch

        from throughtime.encoders.mobilenet import normalise

        images = normalise(torch.from_numpy(pixels), self._pixels).numpy()
        if not self._channels_first:
            images = np.ascontiguousarray(images.transpose(0, 2, 3, 1))
        batches = np.split(images, len(images)) if self._one_by_one else [images]
        found = np.concatenate(
            [np.asarray(self._session.run(None, {self._name: batch})[0]) for batch in batches]
        )
        if found.ndim == 4 and not self._channels_first:
            found = found.transpose(0, 3, 1, 2)
        return as_features(found, self._grid, str(self._path))


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
