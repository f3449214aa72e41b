"""MobileNetV2 in NumPy: the same pictures to the same features where torch is not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from throughtime.errors import CheckpointError, DataError
from throughtime.runtime.cnn import SAME, Convolution, DepthwiseConvolution, normalise
from throughtime.runtime.layers import FP32, Array, Compute
from throughtime.runtime.weights import Weights, read_weights

FEATURES = 1280
# How much smaller than the image the feature grid is: five convolutions of stride 2.
STRIDE = 32

# Expansion, output channels, blocks, stride of the first block (Sandler et al. 2018, table 2).
STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
PARTS = 2 + sum(blocks for _, _, blocks, _ in STAGES)

_NORM_EPSILON = 1e-5
# Bytes of an .npz once it is unpacked: the weights are 14 MB, and a small file may unpack to gigabytes.
_LARGEST = 256 << 20

# A file with these endings is a pickle, which could run anything: it is never read.
_PICKLES = (".pth", ".pt", ".bin", ".pkl")
_NOT_OURS = ": it does not belong to this config.toml"
_HOW_TO_GET = (
    "torchvision has the weights of MobileNetV2: `from torchvision.models import mobilenet_v2; "
    "from safetensors.torch import save_file; save_file(mobilenet_v2(weights='DEFAULT').state_dict(), "
    "'mobilenet.safetensors')`"
)

Layer = Callable[[Array], Array]


class MobileNetV2:
    """The convolutional part, or some of its 19 parts.

    Args:
        weights: with torchvision's names and batch normalisation, or folded; see `read_mobilenet`.
        prefix: of the names of the parts.
        first: the first part.
        stop: the part behind the last.
        compute: how matrices are kept and multiplied.
    Raises:
        CheckpointError: a tensor is missing or has another shape.
    """

    def __init__(
        self,
        weights: Weights,
        prefix: str = "features.",
        first: int = 0,
        stop: int = PARTS,
        compute: Compute = FP32,
    ) -> None:
        # Folded weights are TensorFlow's, which pads and scales otherwise.
        self.folded = not any(name.endswith("running_mean") for name in weights)
        self._weights, self._compute = weights, compute
        parts: list[tuple[Layer, bool]] = (
            [(self._convolution(f"{prefix}0", 3, 32, 2), False)] if not first else []
        )
        channels, number = 32, 1
        for expansion, outputs, blocks, stride in STAGES:
            for block in range(blocks):
                if first <= number < stop:
                    steps = stride if block == 0 else 1
                    layer = self._block(f"{prefix}{number}.conv", channels, outputs, steps, expansion)
                    parts.append((layer, steps == 1 and channels == outputs))
                channels, number = outputs, number + 1
        if stop == PARTS:
            parts.append((self._convolution(f"{prefix}{PARTS - 1}", channels, FEATURES, 1, 1), False))
        self._parts = parts

    def __call__(self, maps: Array) -> Array:
        """(B, H, W, C), the channels last, to (B, h, w, C')."""
        for layer, adds_input in self._parts:
            maps = maps + layer(maps) if adds_input else layer(maps)
        return maps

    def normalise(self, pixels: NDArray[np.uint8]) -> Array:
        """Pixels (B, H, W, 3), uint8, as the network was trained to read them."""
        return normalise(pixels, "symmetric" if self.folded else "imagenet")

    def _block(self, name: str, inputs: int, outputs: int, stride: int, expansion: int) -> Layer:
        """Expand by 1x1, filter each channel by 3x3, project by 1x1 without activation."""
        middle, layers = inputs * expansion, []
        if expansion != 1:
            layers.append(self._convolution(f"{name}.0", inputs, middle, 1, 1))
        weight, bias = self._fold(f"{name}.{len(layers)}", (middle, 1, 3, 3))
        layers.append(_clipped(DepthwiseConvolution(weight, bias, (stride, stride), self._padding(3))))
        last = len(layers)
        weight, bias = self._fold(name, (outputs, middle, 1, 1), str(last), str(last + 1))
        layers.append(Convolution(weight, bias, padding=(0, 0), compute=self._compute))

        def run(maps: Array) -> Array:
            for layer in layers:
                maps = layer(maps)
            return maps

        return run

    def _convolution(self, name: str, inputs: int, outputs: int, stride: int, size: int = 3) -> Layer:
        weight, bias = self._fold(name, (outputs, inputs, size, size))
        return _clipped(Convolution(weight, bias, (stride, stride), self._padding(size), self._compute))

    def _padding(self, size: int) -> tuple[int, int] | None:
        return SAME if self.folded else ((size - 1) // 2, (size - 1) // 2)

    def _fold(
        self, name: str, shape: tuple[int, ...], convolution: str = "0", norm: str = "1"
    ) -> tuple[Array, Array]:
        """Weight and bias of a convolution, with the batch normalisation behind it folded in."""
        weights, channels = self._weights, shape[:1]
        weight = weights.tensor(f"{name}.{convolution}.weight", shape)
        if self.folded:
            return weight, weights.tensor(f"{name}.{convolution}.bias", channels)
        gain, shift, mean, variance = (
            weights.tensor(f"{name}.{norm}.{part}", channels)
            for part in ("weight", "bias", "running_mean", "running_var")
        )
        if (counter := f"{name}.{norm}.num_batches_tracked") in weights:
            weights[counter]  # it belongs to the network, and means nothing here
        scale = gain.astype(np.float64) / np.sqrt(variance.astype(np.float64) + _NORM_EPSILON)
        folded = weight * scale.reshape(-1, 1, 1, 1)
        return folded.astype(np.float32), (shift - mean * scale).astype(np.float32)


def _clipped(layer: Layer) -> Layer:
    """A layer, then ReLU6."""

    def run(maps: Array) -> Array:
        maps = layer(maps)
        return np.clip(maps, 0, 6, out=maps)

    return run


def read_mobilenet(path: str | Path) -> Weights:
    """The weights of a MobileNetV2.

    Args:
        path: .safetensors or .npz. Either torchvision's names with batch normalisation
            (`features.0.0.weight`, `features.0.1.running_mean`...), or folded convolutions: `NAME.weight` and
            `NAME.bias`, or `NAME.q` (int8), `NAME.scale` (a number for each output channel) and `NAME.bias`.
    Raises:
        DataError: the file is missing or damaged.
    """
    path = Path(path)
    try:
        if path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as file:
                size = sum(entry.file_size for entry in file.zip.infolist())
                if size > _LARGEST:
                    raise DataError(f"{path} unpacks to {size:,} bytes, and a MobileNetV2 has 14 million")
                arrays = dict(file)
        elif path.suffix == ".safetensors":
            arrays = dict(read_weights(path))
        elif path.suffix in _PICKLES:
            raise DataError(
                f"{path} is a pickle, which could run anything when it is read: MobileNetV2's weights come "
                f"from .safetensors or .npz. {_HOW_TO_GET}"
            )
        else:
            raise DataError(
                f"{path}: a CNN is read from .safetensors or .npz with MobileNetV2's weights, or from .onnx. "
                f"{_HOW_TO_GET}"
            )
    except DataError:
        raise
    # zipfile.BadZipFile and others: what NumPy raises for a damaged archive has no common parent.
    except Exception as error:
        if not path.exists():
            raise DataError(
                f"{path}: no such file (the working directory is {Path.cwd()}). {_HOW_TO_GET}"
            ) from None
        reason = str(error).removeprefix(f"{path} ") if isinstance(error, CheckpointError) else error
        raise DataError(f"{path} cannot be read as weights: {reason}") from None
    return Weights(_dequantise(arrays), str(path))


def check_mobilenet(path: str | Path) -> None:
    """Read every array that the convolutions need, with its shape.

    Args:
        path: see `read_mobilenet`.
    Raises:
        DataError: the file is missing, damaged, or holds another network; the message says where weights are.
    """
    weights = read_mobilenet(path)
    try:
        MobileNetV2(weights)
    except CheckpointError as error:
        raise DataError(
            f"{str(error).removesuffix(_NOT_OURS)}: these are not the weights of a MobileNetV2 of width 1.0 "
            f"by torchvision's names (features.0.0.weight, 32 x 3 x 3 x 3, and so on). {_HOW_TO_GET}"
        ) from None


def _dequantise(arrays: dict[str, NDArray]) -> dict[str, NDArray]:
    """float32 weights, w = q * scale; whatever is stored otherwise is taken as it is."""
    weights: dict[str, NDArray] = {}
    for name, array in arrays.items():
        if name.endswith(".q"):
            layer = name.removesuffix(".q")
            if f"{layer}.scale" not in arrays:
                raise DataError(f"the quantised layer {layer} has no {layer}.scale")
            scale = arrays[f"{layer}.scale"].astype(np.float32)
            weights[f"{layer}.weight"] = array.astype(np.float32) * scale.reshape(-1, *[1] * (array.ndim - 1))
        elif not name.endswith(".scale"):
            whole = array.dtype.kind in "iu"
            weights[name] = array.copy() if whole else array.astype(np.float32)
    return weights
