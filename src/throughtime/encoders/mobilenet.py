"""MobileNetV2: a small convolutional network, with the names of torchvision's weights."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from throughtime.errors import DataError, OptionError
from throughtime.runtime.mobilenet import FEATURES, STAGES, read_mobilenet


class Convolution(nn.Conv2d):
    """A convolution that pads as PyTorch does, or as TensorFlow's "SAME".

    They differ where a stride of 2 meets an even size: PyTorch pads both sides by one, TensorFlow the right
    and the bottom only. Weights have to be used as they were trained.
    """

    def __init__(
        self, inputs: int, outputs: int, kernel: int, stride: int, groups: int, bias: bool, same: bool
    ) -> None:
        padding = 0 if same else (kernel - 1) // 2
        super().__init__(inputs, outputs, kernel, stride, padding, groups=groups, bias=bias)
        self.same = same

    def forward(self, input: Tensor) -> Tensor:
        if not self.same or self.kernel_size[0] == 1:
            return super().forward(input)
        padding: list[int] = []
        for size in (input.shape[3], input.shape[2]):  # F.pad begins with the last dimension
            steps = -(-size // self.stride[0])
            total = max((steps - 1) * self.stride[0] + self.kernel_size[0] - size, 0)
            padding += [total // 2, total - total // 2]
        return super().forward(F.pad(input, padding))


class InvertedResidual(nn.Module):
    """Expand by 1x1, filter each channel by 3x3, project by 1x1 without activation; add the input if it fits.

    Source: Sandler et al. 2018, figure 4.
    """

    def __init__(
        self, inputs: int, outputs: int, stride: int, expansion: int, folded: bool, same: bool
    ) -> None:
        super().__init__()
        middle = inputs * expansion
        layers: list[nn.Module] = []
        if expansion != 1:
            layers.append(_activated(inputs, middle, 1, 1, 1, folded, same))
        layers.append(_activated(middle, middle, 3, stride, middle, folded, same))
        layers.append(Convolution(middle, outputs, 1, 1, 1, bias=folded, same=same))
        if not folded:
            layers.append(nn.BatchNorm2d(outputs))
        self.conv = nn.Sequential(*layers)
        self.adds_input = stride == 1 and inputs == outputs

    def forward(self, inputs: Tensor) -> Tensor:
        return inputs + self.conv(inputs) if self.adds_input else self.conv(inputs)


class MobileNetV2(nn.Module):
    """An image to a grid of features, and to class scores where they are wanted.

    Args:
        classes: size of the last layer; 0 leaves it out.
        folded: batch normalisation is folded into convolutions that have a bias.
        same: pad as TensorFlow does; see `Convolution`.
    Attributes:
        symmetric: whether pixels are read as RGB / 127.5 - 1 (TensorFlow's weights) rather than with
            ImageNet's mean and standard deviation (torchvision's).
    Source: Sandler, Howard, Zhu, Zhmoginov and Chen 2018, arXiv 1801.04381.
    """

    def __init__(self, classes: int = 1000, folded: bool = False, same: bool = False) -> None:
        super().__init__()
        self.folded = folded
        self.symmetric = same
        layers: list[nn.Module] = [_activated(3, 32, 3, 2, 1, folded, same)]
        channels = 32
        for expansion, outputs, blocks, stride in STAGES:
            for block in range(blocks):
                first_stride = stride if block == 0 else 1
                layers.append(InvertedResidual(channels, outputs, first_stride, expansion, folded, same))
                channels = outputs
        layers.append(_activated(channels, FEATURES, 1, 1, 1, folded, same))
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(FEATURES, classes)) if classes else None

    def forward(self, images: Tensor) -> Tensor:
        """The grid (B, 1280, H / 32, W / 32) of normalised images (B, 3, H, W); see `normalise`."""
        return self.features(images)

    def pool(self, grid: Tensor) -> Tensor:
        """The mean over the grid, (B, 1280): what the last layer reads."""
        return grid.mean((2, 3))

    def classify(self, images: Tensor) -> Tensor:
        """Scores (B, classes) before the softmax.

        Raises:
            ValueError: the network was made without its last layer.
        """
        if self.classifier is None:
            raise ValueError("this MobileNetV2 has no classifier")
        return self.classifier(self.pool(self(images)))

    def normalise(self, pixels: Tensor) -> Tensor:
        """Pixels (B, H, W, 3), uint8, as the network was trained to read them: (B, 3, H, W) float32."""
        return normalise(pixels, "symmetric" if self.symmetric else "imagenet")


def normalise(pixels: Tensor, how: str) -> Tensor:
    """Pixels (B, H, W, 3), uint8, to (B, 3, H, W) float32.

    Args:
        how: "imagenet" (subtract its mean, divide by its standard deviation), "symmetric" (-1 to 1) or
            "unit" (0 to 1).
    Raises:
        OptionError: another word.
    """
    images = pixels.permute(0, 3, 1, 2).float()
    if how == "unit":
        return images / 255
    if how == "symmetric":
        return images / 127.5 - 1
    if how == "imagenet":
        mean = images.new_tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)
        deviation = images.new_tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)
        return (images / 255 - mean) / deviation
    raise OptionError(f"pixels {how!r} is unknown: use imagenet, symmetric or unit")


def load_mobilenet(path: str | Path) -> MobileNetV2:
    """A MobileNetV2 with the weights of a file, in evaluation mode.

    Args:
        path: see `throughtime.runtime.mobilenet.read_mobilenet`. Folded weights are TensorFlow's: they are
            padded and scaled as it does.
    Raises:
        DataError: the file is missing, damaged or holds another network (the message names the array).
    """
    arrays = read_mobilenet(path)
    folded = "features.0.1.running_mean" not in arrays
    weights = {name: torch.from_numpy(array) for name, array in arrays.items()}
    name = "classifier.1.weight"
    classes = weights[name].shape[0] if name in weights else 0
    if classes:
        # Some files hold the last layer as a 1x1 convolution.
        weights[name] = weights[name].reshape(classes, -1)
    model = MobileNetV2(classes, folded=folded, same=folded)
    expected = model.state_dict()
    for key, tensor in expected.items():
        if key.endswith("num_batches_tracked"):
            weights.setdefault(key, tensor)
        elif key not in weights:
            raise DataError(f"{path} lacks {key}: these are not the weights of a MobileNetV2 of width 1.0")
        elif weights[key].shape != tensor.shape:
            raise DataError(
                f"{path}: {key} has shape {tuple(weights[key].shape)}, expected {tuple(tensor.shape)}: only "
                f"width 1.0 is supported"
            )
    model.load_state_dict({key: weights[key] for key in expected})
    return model.eval()


def _activated(
    inputs: int, outputs: int, kernel: int, stride: int, groups: int, folded: bool, same: bool
) -> nn.Sequential:
    layers: list[nn.Module] = [Convolution(inputs, outputs, kernel, stride, groups, bias=folded, same=same)]
    if not folded:
        layers.append(nn.BatchNorm2d(outputs))
    layers.append(nn.ReLU6())
    return nn.Sequential(*layers)
