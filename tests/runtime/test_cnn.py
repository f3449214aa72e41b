"""Pictures to features without torch: the same numbers as the torch networks give."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

from throughtime.encoders.frozen import MobileNetEncoder  # noqa: E402
from throughtime.encoders.mobilenet import Convolution as TorchConvolution  # noqa: E402
from throughtime.encoders.mobilenet import MobileNetV2 as TorchMobileNetV2  # noqa: E402
from throughtime.encoders.mobilenet import normalise as torch_normalise  # noqa: E402
from throughtime.errors import DataError, OptionError  # noqa: E402
from throughtime.program.operations import OPERATIONS  # noqa: E402
from throughtime.runtime import Weights  # noqa: E402
from throughtime.runtime.cnn import (  # noqa: E402
    SAME,
    Convolution,
    DepthwiseConvolution,
    normalise,
)
from throughtime.runtime.mobilenet import MobileNetV2, read_mobilenet  # noqa: E402

GENERATOR = np.random.default_rng(7)


def pixels(count: int, height: int, width: int) -> np.ndarray:
    return GENERATOR.integers(0, 256, (count, height, width, 3), dtype=np.uint8)


def weights_of(model: nn.Module) -> Weights:
    return Weights({name: tensor.numpy() for name, tensor in model.state_dict().items()})


def shaken(model: nn.Module) -> nn.Module:
    """With every parameter and statistic away from where it begins."""
    torch.manual_seed(3)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.uniform_(-0.1, 0.1)
                module.running_var.uniform_(0.5, 2.0)
    return model.eval()


@pytest.mark.parametrize("same", [False, True])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("size, groups", [(1, 1), (3, 1), (3, 6)])
@pytest.mark.parametrize("height, width", [(8, 9), (5, 2)])
def test_convolutions(height: int, width: int, size: int, groups: int, stride: int, same: bool) -> None:
    torch.manual_seed(1)
    layer = TorchConvolution(6, 6, size, stride, groups, bias=True, same=same)
    images = torch.randn(2, 6, height, width)
    padding = SAME if same else ((size - 1) // 2,) * 2
    weight, bias = (part.detach().numpy() for part in (layer.weight, layer.bias))
    native = (
        Convolution(weight, bias, (stride, stride), padding)
        if groups == 1
        else DepthwiseConvolution(weight, bias, (stride, stride), padding)
    )
    found = native(images.numpy().transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    np.testing.assert_allclose(found, layer(images).detach().numpy(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("groups", [1, 3])
@pytest.mark.parametrize("sizes, padding", [((5, 1), (2, 0)), ((1, 4), (0, 0)), ((2, 3), (1, 1))])
def test_convolutions_that_are_not_square(
    sizes: tuple[int, int], padding: tuple[int, int], groups: int
) -> None:
    torch.manual_seed(1)
    layer = nn.Conv2d(3, 3, sizes, (2, 1), padding, groups=groups)
    images = torch.randn(2, 3, 7, 6)
    weight, bias = (part.detach().numpy() for part in (layer.weight, layer.bias))
    kind = Convolution if groups == 1 else DepthwiseConvolution
    found = kind(weight, bias, (2, 1), padding)(images.numpy().transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    expected = layer(images).detach().numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    options = {"stride": [2, 1], "padding": list(padding), "groups": groups}
    plain = OPERATIONS["conv2d"].compute(images.numpy(), weight, bias, **options)
    np.testing.assert_allclose(plain, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("how", ["imagenet", "symmetric", "unit"])
def test_pixels_are_scaled_alike(how: str) -> None:
    images = pixels(2, 4, 5)
    expected = torch_normalise(torch.from_numpy(images), how).numpy().transpose(0, 2, 3, 1)
    np.testing.assert_allclose(normalise(images, how), expected, rtol=1e-6, atol=1e-6)
    with pytest.raises(OptionError, match="'caffe' is unknown"):
        normalise(images, "caffe")


@pytest.fixture(scope="module")
def network() -> TorchMobileNetV2:
    return shaken(TorchMobileNetV2(classes=0))  # type: ignore[return-value]


@pytest.mark.parametrize("folded", [False, True])
def test_mobilenet(network: TorchMobileNetV2, folded: bool) -> None:
    model = shaken(TorchMobileNetV2(classes=0, folded=True, same=True)) if folded else network
    images = pixels(2, 64, 96)
    with torch.inference_mode():
        expected = model(model.normalise(torch.from_numpy(images))).numpy()  # type: ignore[operator]
    native = MobileNetV2(weights_of(model))
    assert native.folded == folded
    found = native(native.normalise(images)).transpose(0, 3, 1, 2)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize("blocks", [0, 1, 4, 18])
@pytest.mark.parametrize("grid", [False, True])
def test_the_frozen_part_and_its_tail(
    network: TorchMobileNetV2, tmp_path: Path, blocks: int, grid: bool
) -> None:
    path = tmp_path / "cnn.npz"
    np.savez(path, **{name: tensor.numpy() for name, tensor in network.state_dict().items()})  # type: ignore[arg-type]
    images = pixels(2, 64, 64)
    native, with_torch = (
        MobileNetEncoder(path, 64, grid, blocks, backend)(images) for backend in ("native", "torch")
    )
    assert native.dtype == with_torch.dtype and native.shape == with_torch.shape
    # float16, which caches are kept in, has three digits.
    scale = np.abs(with_torch).max()
    np.testing.assert_allclose(native, with_torch, rtol=2e-3, atol=1e-3 * scale)


def test_quantised_weights_are_read_and_damaged_ones_named(tmp_path: Path) -> None:
    np.savez(tmp_path / "q.npz", **{"a.q": np.array([[2], [-3]], np.int8), "a.scale": np.array([0.5, 2.0])})
    assert read_mobilenet(tmp_path / "q.npz")["a.weight"].tolist() == [[1.0], [-6.0]]
    np.savez(tmp_path / "r.npz", **{"a.q": np.array([[2]], np.int8)})
    with pytest.raises(DataError, match="the quantised layer a has no a.scale"):
        read_mobilenet(tmp_path / "r.npz")
    for name, message in (("none.npz", "no such file"), ("x.pth", "come from .safetensors or .npz")):
        with pytest.raises(DataError, match=message):
            read_mobilenet(tmp_path / name)
    (tmp_path / "x.safetensors").write_bytes(b"no weights at all")
    with pytest.raises(DataError, match="x.safetensors cannot be read as weights: is damaged"):
        read_mobilenet(tmp_path / "x.safetensors")


def test_weights_that_unpack_to_gigabytes_are_refused(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "zeros.npz", **{"a.bias": np.zeros(300 << 20, np.int8)})
    assert (tmp_path / "zeros.npz").stat().st_size < 1 << 20
    with pytest.raises(
        DataError, match=r"zeros\.npz unpacks to 314,57\d,\d+ bytes, and a MobileNetV2 has 14 mi"
    ):
        read_mobilenet(tmp_path / "zeros.npz")
