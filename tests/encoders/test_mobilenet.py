"""MobileNetV2: its names, both kinds of weights, and what real weights see."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from throughtime.encoders.frozen import keep_cnn
from throughtime.encoders.mobilenet import Convolution, MobileNetV2, load_mobilenet, normalise
from throughtime.errors import DataError, OptionError


@pytest.fixture(scope="module")
def network() -> MobileNetV2:
    """Random weights, with batch statistics that are not the identity."""
    torch.manual_seed(0)
    network = MobileNetV2(classes=10)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.uniform_(-0.1, 0.1)  # type: ignore[union-attr]
            module.running_var.uniform_(0.5, 2.0)  # type: ignore[union-attr]
            nn.init.uniform_(module.weight, 0.8, 1.2)
            nn.init.uniform_(module.bias, -0.1, 0.1)
    return network.eval()


def fold(network: MobileNetV2) -> dict[str, torch.Tensor]:
    """Batch normalisation multiplied into the convolution before it."""
    state, folded = network.state_dict(), {}
    modules = dict(network.named_modules())
    for name, module in modules.items():
        if not isinstance(module, nn.Conv2d):
            continue
        head, _, last = name.rpartition(".")
        norm = modules[f"{head}.{int(last) + 1}"]
        assert isinstance(norm, nn.BatchNorm2d)
        scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)  # type: ignore[operator]
        # Without the normalisation between, a block's layers are counted from its activated pairs.
        folded[f"{name}.weight"] = module.weight * scale.view(-1, 1, 1, 1)
        folded[f"{name}.bias"] = norm.bias - norm.running_mean * scale  # type: ignore[operator]
    for name in ("classifier.1.weight", "classifier.1.bias"):
        folded[name] = state[name]
    return {name: tensor.detach().contiguous() for name, tensor in folded.items()}


def test_it_has_the_names_and_the_size_of_torchvisions() -> None:
    network = MobileNetV2()
    names = network.state_dict().keys()
    assert sum(parameter.numel() for parameter in network.parameters()) == 3_504_872
    assert len(names) == 314
    for name in (
        "features.0.0.weight",
        "features.0.1.running_var",
        "features.1.conv.0.0.weight",
        "features.1.conv.2.bias",
        "features.17.conv.1.1.weight",
        "features.17.conv.3.running_mean",
        "features.18.0.weight",
        "classifier.1.bias",
    ):
        assert name in names


def test_the_grid_is_the_image_divided_by_32_and_the_vector_its_mean(network: MobileNetV2) -> None:
    with torch.inference_mode():
        grid = network(torch.randn(2, 3, 96, 64))
    assert grid.shape == (2, 1280, 3, 2)
    assert torch.allclose(network.pool(grid)[1, 7], grid[1, 7].mean())


@pytest.mark.parametrize("suffix", [".safetensors", ".npz"])
def test_float_weights_are_loaded_with_their_statistics(
    network: MobileNetV2, tmp_path: Path, suffix: str
) -> None:
    path = tmp_path / f"weights{suffix}"
    if suffix == ".npz":
        np.savez(path, **{name: tensor.numpy() for name, tensor in network.state_dict().items()})  # type: ignore[arg-type]
    else:
        save_file(network.state_dict(), path)
    images = torch.randn(1, 3, 64, 64)
    loaded = load_mobilenet(path)
    assert not loaded.symmetric
    with torch.inference_mode():
        assert torch.equal(loaded.classify(images), network.classify(images))


def test_quantised_weights_are_q_times_scale(network: MobileNetV2, tmp_path: Path) -> None:
    """Weights that are multiples of a scale survive the trip exactly."""
    arrays, expected = {}, {}
    for name, tensor in fold(network).items():
        if name.endswith(".bias"):
            arrays[name] = expected[name] = tensor.numpy()
            continue
        layer = name.removesuffix(".weight")
        flat = tensor.reshape(len(tensor), -1)
        scale = (flat.abs().amax(1) / 127).numpy()
        q = np.round(tensor.numpy() / scale.reshape(-1, *[1] * (tensor.dim() - 1))).astype(np.int8)
        arrays[f"{layer}.q"], arrays[f"{layer}.scale"] = q, scale
        expected[name] = q.astype(np.float32) * scale.reshape(-1, *[1] * (tensor.dim() - 1))
    np.savez(tmp_path / "weights.npz", **arrays)  # type: ignore[arg-type]
    state = load_mobilenet(tmp_path / "weights.npz").state_dict()
    assert all(np.array_equal(state[name].numpy(), expected[name]) for name in expected)


def test_folded_weights_compute_what_the_normalised_network_does(network: MobileNetV2) -> None:
    folded = MobileNetV2(classes=10, folded=True, same=False).eval()
    state = fold(network)
    # In a block the projection comes right after the pairs: 3 -> 2 (and 1 -> 1 in the first block).
    folded.load_state_dict(state)
    images = torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        assert torch.allclose(folded(images), network(images), atol=1e-4)


@pytest.mark.parametrize(("size", "expected"), [(6, 3), (7, 4)])
def test_same_padding_begins_where_tensorflow_does(size: int, expected: int) -> None:
    """Stride 2 and a kernel that takes the first of its columns: on even sizes nothing is padded before."""
    convolution = Convolution(1, 1, 3, 2, 1, bias=False, same=True)
    with torch.no_grad():
        convolution.weight.zero_()
        convolution.weight[0, 0, 0, 0] = 1
    image = torch.arange(1.0, size * size + 1).view(1, 1, size, size)
    found = convolution(image)
    assert found.shape[-1] == expected
    # TensorFlow: pad (0, 1) on even sizes, so the first window begins at pixel 0; (1, 1) on odd ones.
    assert found[0, 0, 0, 0] == (1 if size % 2 == 0 else 0)


def test_pixels_are_scaled_as_the_network_expects() -> None:
    pixels = torch.tensor([[[[0, 255, 128]]]], dtype=torch.uint8)
    assert normalise(pixels, "symmetric").flatten().tolist() == pytest.approx(
        [-1, 1, 128 / 127.5 - 1], abs=1e-6
    )
    assert normalise(pixels, "unit").flatten().tolist() == pytest.approx([0, 1, 128 / 255], abs=1e-6)
    expected = [-0.485 / 0.229, (1 - 0.456) / 0.224, (128 / 255 - 0.406) / 0.225]
    assert normalise(pixels, "imagenet").flatten().tolist() == pytest.approx(expected, abs=1e-5)
    with pytest.raises(OptionError, match="'caffe' is unknown"):
        normalise(pixels, "caffe")


def test_damaged_or_foreign_weights_are_named(tmp_path: Path, network: MobileNetV2) -> None:
    with pytest.raises(DataError, match="no such file"):
        load_mobilenet(tmp_path / "none.npz")
    (tmp_path / "broken.npz").write_bytes(b"PK\x03\x04 not an archive")
    with pytest.raises(DataError, match=r"broken.npz cannot be read as weights"):
        load_mobilenet(tmp_path / "broken.npz")
    (tmp_path / "weights.pth").write_bytes(b"")
    with pytest.raises(DataError, match=r"is a pickle.* from \.safetensors or \.npz.*torchvision has"):
        load_mobilenet(tmp_path / "weights.pth")
    state = network.state_dict()
    save_file({n: t for n, t in state.items() if n != "features.3.conv.2.weight"}, tmp_path / "a.safetensors")
    with pytest.raises(DataError, match=r"lacks features\.3\.conv\.2\.weight"):
        load_mobilenet(tmp_path / "a.safetensors")
    state["features.0.0.weight"] = torch.zeros(16, 3, 3, 3)
    save_file(state, tmp_path / "b.safetensors")
    with pytest.raises(DataError, match=r"features\.0\.0\.weight has shape \(16, 3, 3, 3\)"):
        load_mobilenet(tmp_path / "b.safetensors")


def test_real_weights_see_what_the_published_features_saw(shared_data: Path) -> None:
    """The features were made from 224-pixel pictures, the ones here have 128: they can only correlate."""
    from PIL import Image

    cnn, flickr = shared_data / "cnn_weights", shared_data / "flickr8k"
    if not cnn.is_dir() or not flickr.is_dir():
        pytest.skip("needs the data sets cnn_weights and flickr8k")
    network = load_mobilenet(next(cnn.glob("*int8.npz")))
    with np.load(flickr / "mnv2_pooled1280_u8.npz") as published:
        names = published["names"][:600:40]
        expected = 6 * (published["u8"][:600:40].astype(np.float32) / 255) ** 2
    with zipfile.ZipFile(flickr / "images_128.zip") as archive:
        pictures = [
            np.array(Image.open(io.BytesIO(archive.read(name))).convert("RGB").resize((224, 224), 3))
            for name in names
        ]
    with torch.inference_mode():
        found = network.pool(network(network.normalise(torch.from_numpy(np.stack(pictures))))).numpy()
    own = np.array([np.corrcoef(found[k], expected[k])[0, 1] for k in range(len(names))])
    other = np.array([np.corrcoef(found[k], expected[k - 1])[0, 1] for k in range(len(names))])
    assert own.mean() > 0.55
    assert (own > other).all()


def test_a_users_file_is_checked_before_anything_is_read_with_it(
    tmp_path: Path, network: MobileNetV2
) -> None:
    state = network.state_dict()
    save_file(state, tmp_path / "good.safetensors")
    keep_cnn(tmp_path / "good.safetensors", tmp_path / "kept.safetensors")
    assert (tmp_path / "kept.safetensors").read_bytes() == (tmp_path / "good.safetensors").read_bytes()
    save_file({"embedding.weight": torch.zeros(2, 2)}, tmp_path / "other.safetensors")
    state["features.18.0.weight"] = torch.zeros(640, 320, 1, 1)
    save_file(state, tmp_path / "narrow.safetensors")
    for name, message in [
        ("other.safetensors", r"lacks features\.0\.0\.weight: these are not the weights .*torchvision has"),
        ("narrow.safetensors", r"features\.18\.0\.weight.*these are not the weights .*torchvision has"),
        ("none.safetensors", r"no such file .*torchvision has"),
        ("none.onnx", "no such file"),
    ]:
        with pytest.raises(DataError, match=message):
            keep_cnn(tmp_path / name, tmp_path / "new")
        assert not (tmp_path / "new").exists()
