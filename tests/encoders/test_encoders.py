"""The frozen and the trained part of a CNN together, models of the user's, and our own small CNN."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from throughtime.encoders.encoder import MobileNetTail, ReadyFeatures
from throughtime.encoders.frozen import CallableEncoder, MobileNetEncoder, OnnxEncoder, PixelEncoder
from throughtime.encoders.mobilenet import MobileNetV2, load_mobilenet
from throughtime.encoders.small_image_cnn import SmallImageCNN
from throughtime.errors import DataError, OptionError, RunError

PIXELS = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "mobilenet.safetensors"
    network = MobileNetV2(classes=3)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 1.0
    # Batch statistics of real signals: without them random weights let every signal die on its way.
    network.train()(torch.randn(8, 3, 64, 64))
    save_file(network.state_dict(), path)
    return path


@pytest.mark.parametrize("blocks", [1, 4])
@pytest.mark.parametrize("grid", [False, True])
def test_frozen_and_trained_blocks_together_are_the_whole_network(
    weights: Path, blocks: int, grid: bool
) -> None:
    cached = MobileNetEncoder(weights, 64, grid, trained_blocks=blocks)(PIXELS)
    tail = MobileNetTail(load_mobilenet(weights), blocks, grid, cached.shape[1:])
    whole = MobileNetEncoder(weights, 64, grid)(PIXELS)
    assert cached.dtype == np.float16
    found = tail(torch.from_numpy(cached)).detach().numpy()
    assert tail.places == 4
    assert found.shape == whole.shape == ((2, 4, 1280) if grid else (2, 1280))
    assert np.abs(found - whole.astype(np.float32)).max() < 2e-2 * np.abs(whole).max()


def test_trained_blocks_keep_their_batch_statistics(weights: Path) -> None:
    tail = MobileNetTail(load_mobilenet(weights), 2, grid=False, shape=(160, 2, 2)).train()
    cached = torch.randn(3, 160, 2, 2)
    before = {name: tensor.clone() for name, tensor in tail.named_buffers()}
    tail(cached).sum().backward()
    assert before and all(torch.equal(before[name], tensor) for name, tensor in tail.named_buffers())
    assert all(parameter.grad is not None for parameter in tail.parameters())


def test_an_image_size_that_mobilenet_cannot_halve_five_times(weights: Path) -> None:
    with pytest.raises(OptionError, match="--image-size must be a multiple of 32 for MobileNetV2, not 100"):
        MobileNetEncoder(weights, 100, grid=False)


def test_our_own_cnn_knows_where_things_are() -> None:
    """The same dot in another place gives other features, as one vector and as a grid."""
    torch.manual_seed(0)
    left, right = torch.zeros(2, 1, 32, 32, 3, dtype=torch.uint8)
    left[:, 10:14, 4:8], right[:, 10:14, 24:28] = 255, 255
    for grid in (False, True):
        cnn = SmallImageCNN(32, grid)
        assert cnn(left).shape == ((1, 16, 128) if grid else (1, 128))
        assert not torch.allclose(cnn(left), cnn(right), atol=1e-3)
    assert PixelEncoder(32)(left.numpy()).dtype == np.uint8


def export(path: Path, channels_first: bool, grid: bool, batch: int | str = "batch") -> Path:
    """An ONNX file, written by hand: an exporter would be another dependency."""
    onnx = pytest.importorskip("onnx")
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    shape = [batch, 3, 8, 8] if channels_first else [batch, 8, 8, 3]
    axes = [2, 3] if channels_first else [1, 2]
    if grid:
        numbers = [
            onnx.numpy_helper.from_array(np.array(a), n)
            for n, a in (("starts", [0, 0]), ("ends", [8, 8]), ("axes", axes), ("steps", [2, 2]))
        ]
        node = helper.make_node("Slice", ["image", "starts", "ends", "axes", "steps"], ["out"])
    else:
        numbers = [onnx.numpy_helper.from_array(np.array(axes), "axes")]
        node = helper.make_node("ReduceMean", ["image", "axes"], ["out"], keepdims=0)
    graph = helper.make_graph(
        [node],
        "means",
        [helper.make_tensor_value_info("image", kind, shape)],
        [helper.make_tensor_value_info("out", kind, None)],
        numbers,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.save(model, path)
    return path


@pytest.mark.parametrize("batch", ["batch", 1])
@pytest.mark.parametrize("channels_first", [True, False])
@pytest.mark.parametrize("grid", [True, False])
def test_an_onnx_model_of_either_layout_gives_the_same(
    tmp_path: Path, channels_first: bool, grid: bool, batch: int | str
) -> None:
    pytest.importorskip("onnxruntime")
    model = export(tmp_path / "cnn.onnx", channels_first, grid, batch)
    # The model's own size wins over the option.
    encoder = OnnxEncoder(model, 224, grid, "unit")
    assert encoder.image_size == 8
    pixels = PIXELS[:, :8, :8]
    found = encoder(pixels)
    if grid:
        expected = (pixels[:, ::2, ::2] / 255).reshape(2, 16, 3)
        assert found == pytest.approx(expected, abs=1e-3)
    else:
        assert found == pytest.approx((pixels / 255).mean((1, 2)), abs=1e-5)


def test_what_is_no_onnx_model_of_images_is_named(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    onnx = pytest.importorskip("onnx")
    with pytest.raises(DataError, match="no such file"):
        OnnxEncoder(tmp_path / "none.onnx", 224, False, "unit")
    (tmp_path / "broken.onnx").write_bytes(b"nothing")
    with pytest.raises(DataError, match=r"broken\.onnx cannot be read as ONNX"):
        OnnxEncoder(tmp_path / "broken.onnx", 224, False, "unit")
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    graph = helper.make_graph(
        [helper.make_node("Identity", ["x"], ["y"])],
        "vectors",
        [helper.make_tensor_value_info("x", kind, [1, 5])],
        [helper.make_tensor_value_info("y", kind, [1, 5])],
    )
    model = helper.make_model(graph, ir_version=9, opset_imports=[helper.make_opsetid("", 18)])
    onnx.save(model, tmp_path / "v.onnx")
    with pytest.raises(DataError, match=r"expected one batch of images"):
        OnnxEncoder(tmp_path / "v.onnx", 224, False, "unit")
    constant = helper.make_node("Constant", [], ["y"], value_float=1.0)
    graph = helper.make_graph([constant], "none", [], [helper.make_tensor_value_info("y", kind, [])])
    model = helper.make_model(graph, ir_version=9, opset_imports=[helper.make_opsetid("", 18)])
    onnx.save(model, tmp_path / "n.onnx")
    with pytest.raises(DataError, match=r"n\.onnx reads \[\]: expected one batch"):
        OnnxEncoder(tmp_path / "n.onnx", 224, False, "unit")
    content = export(tmp_path / "cnn.onnx", True, False, "batch").read_bytes()
    (tmp_path / "cnn.onnx").write_bytes(content.replace(b"batch", b"b\xe1tch"))
    with pytest.raises(DataError, match=r"cannot be read as ONNX: .*utf-8"):
        OnnxEncoder(tmp_path / "cnn.onnx", 8, False, "unit")


def test_a_function_of_the_users_may_give_arrays_or_tensors() -> None:
    def channels(pixels: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(pixels).permute(0, 3, 1, 2).double()

    assert CallableEncoder(channels, 64, grid=False)(PIXELS) == pytest.approx(PIXELS.mean((1, 2)), rel=1e-5)
    assert CallableEncoder(channels, 64, grid=True)(PIXELS).shape == (2, 64 * 64, 3)
    with pytest.raises(DataError, match="the encoder function gives"):
        CallableEncoder(lambda pixels: np.ones(2), 64, grid=False)(PIXELS)


@pytest.mark.parametrize("places", [(), (4,)])
def test_ready_features_lose_their_mean_and_deviation(places: tuple[int, ...]) -> None:
    scale, offset = np.array([0.01, 1.0, 300.0]), np.array([5.0, 0.0, -40.0])
    # More images than are read at once.
    images = np.random.default_rng(0).normal(size=(2500, *places, 3)) * scale + offset
    encoder = ReadyFeatures(3, grid=bool(places)).double()
    encoder.measure(images)
    assert encoder.mean.numpy() == pytest.approx(images.reshape(-1, 3).mean(0))
    found = encoder(torch.from_numpy(images)).reshape(-1, 3)
    assert found.mean(0).numpy() == pytest.approx(np.zeros(3), abs=1e-9)
    assert found[:, 2].std(correction=0).item() == pytest.approx(1)


def test_a_feature_that_never_moves_is_not_blown_up() -> None:
    encoder = ReadyFeatures(2, grid=False)
    encoder.measure(np.array([[1.0, 7.0], [3.0, 7.0]], dtype=np.float32))
    assert encoder(torch.tensor([[4.0, 7.1]])).tolist() == [[2.0, pytest.approx(0.1 / 0.025, rel=1e-4)]]
    still = ReadyFeatures(1, grid=False)
    still.measure(np.full((3, 1), 2.0, dtype=np.float32))
    assert still(torch.tensor([[3.0]])).item() == 1


@pytest.mark.parametrize("side", [0, 4097, 2**40])
def test_an_onnx_model_of_impossible_images_is_refused(tmp_path: Path, side: int) -> None:
    pytest.importorskip("onnxruntime")
    onnx = pytest.importorskip("onnx")
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    graph = helper.make_graph(
        [helper.make_node("GlobalAveragePool", ["x"], ["y"])],
        "cnn",
        [helper.make_tensor_value_info("x", kind, ["batch", 3, side, 32])],
        [helper.make_tensor_value_info("y", kind, ["batch", 3, 1, 1])],
    )
    onnx.save(
        helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)]),
        tmp_path / "cnn.onnx",
    )
    with pytest.raises(DataError, match=r"cnn\.onnx reads images of [\d,]+ pixels a side: expected 1 to"):
        OnnxEncoder(tmp_path / "cnn.onnx", 64, False, "unit")


def test_an_onnx_model_that_loads_and_cannot_run_is_named(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    onnx = pytest.importorskip("onnx")
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    # Wider than high: images are squares.
    ends = [helper.make_tensor_value_info(name, kind, ["batch", 3, 8, 9]) for name in ("image", "features")]
    graph = helper.make_graph([helper.make_node("Relu", ["image"], ["features"])], "cnn", ends[:1], ends[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.save(model, tmp_path / "cnn.onnx")
    with pytest.raises(DataError, match=r"cnn\.onnx cannot run: .*dimensions") as raised:
        OnnxEncoder(tmp_path / "cnn.onnx", 8, False, "unit")(PIXELS[:, :8, :8])
    assert "\n" not in str(raised.value)


def test_of_a_damaged_onnx_model_nothing_but_the_error_is_said(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("onnxruntime")
    onnx = pytest.importorskip("onnx")
    # It has neither inputs nor nodes: onnxruntime fails an assertion of its own.
    model = onnx.helper.make_model(onnx.helper.make_graph([], "nothing", [], []), ir_version=9)
    onnx.save(model, tmp_path / "cnn.onnx")
    with pytest.raises(DataError, match=r"cnn\.onnx cannot be read as ONNX"):
        OnnxEncoder(tmp_path / "cnn.onnx", 8, True, "unit")
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_features_that_are_not_finite_are_not_measured(wrong: float) -> None:
    features = np.ones((5, 3), np.float16)
    features[2, 1] = wrong
    with pytest.raises(RunError, match="the features of the training images hold NaN or infinity"):
        ReadyFeatures(3, grid=False).measure(features)
