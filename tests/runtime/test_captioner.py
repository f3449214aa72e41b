"""Captioners without torch: the same logits, captions, attention and probabilities as with it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from tests.networks import weights_of  # noqa: E402
from throughtime.capture.network import capture_network  # noqa: E402
from throughtime.encoders.encoder import Encoder as TorchEncoder  # noqa: E402
from throughtime.encoders.encoder import MobileNetTail, ReadyFeatures  # noqa: E402
from throughtime.encoders.mobilenet import MobileNetV2  # noqa: E402
from throughtime.encoders.small_image_cnn import SmallImageCNN  # noqa: E402
from throughtime.generation import SamplingOptions  # noqa: E402
from throughtime.models.functions import TorchNetwork  # noqa: E402
from throughtime.runtime.network import Network  # noqa: E402
from throughtime.tasks.captioner.generation import best_captions, sample_captions  # noqa: E402
from throughtime.tasks.captioner.model import Captioner  # noqa: E402
from throughtime.tasks.captioner.options import CaptionerNetwork  # noqa: E402
from throughtime.tasks.captioner.writer import CaptionWriter  # noqa: E402

V, F, P, N = 7, 6, 4, 3
INPUTS = ("every-step", "first-input", "initial-state", "attention", "late-attention")
OPTIONS: list[dict[str, Any]] = [
    {},
    {"cell": "gru", "layers": 2, "image_embedding": 0},
    {"cell": "rnn", "zoneout": 0.2},
    {"projection": 4, "layers": 2},
    {"layer_norm": True, "peephole": True, "coupled": True},
]


def network(encoder: TorchEncoder, image_input: str, **options: Any) -> Captioner:
    sizes = {"hidden": 9, "embedding": 5, "image_embedding": 3, "attention_size": 4, **options}
    torch.manual_seed(0)
    model = Captioner(CaptionerNetwork(image_input=image_input, **sizes), V, encoder)  # type: ignore[arg-type]
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(1.3).add_(torch.randn_like(parameter) * 0.1)
        if isinstance(encoder, ReadyFeatures):
            encoder.mean.normal_()
            encoder.deviation.uniform_(0.5, 2)
    return model


def pair(model: Captioner) -> tuple[CaptionWriter, CaptionWriter]:
    native = Network(capture_network(model), weights_of(model))
    return CaptionWriter(TorchNetwork(model), V), CaptionWriter(native, V)


def assert_writes_alike(model: Captioner, images: np.ndarray, tolerance: float = 2e-5) -> None:
    with_torch, native = pair(model)

    def assert_close(found: Any, expected: Any) -> None:
        np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance)

    expected, state = with_torch.begin(images)
    found, own = native.begin(images)
    assert found.dtype == np.float32 and found.shape == (len(images), V + 1)
    assert_close(found, expected)
    rows = np.array([1, 0, 0, 1])
    state, own = with_torch.select(state, rows), native.select(own, rows)
    for tokens in ([0, 1, 2, 3], [4, 4, 0, 6]):
        expected, state = with_torch.feed(np.array(tokens), state)
        found, own = native.feed(np.array(tokens), own)
        assert_close(found, expected)
    for width in (1, 4):
        ours, theirs = (
            best_captions(writer, images[0], width, 9, 0.7, [2]) for writer in (native, with_torch)
        )
        assert [one.tokens for one in ours] == [one.tokens for one in theirs]
        assert_close([one.log_probability for one in ours], [one.log_probability for one in theirs])
    drawn = [
        sample_captions(writer, images, 9, SamplingOptions(temperature=0.9), 5)
        for writer in (native, with_torch)
    ]
    assert drawn[0] == drawn[1]
    caption = np.array([3, 0, 6, V])
    ours, theirs = (writer.log_probability(images[:1], caption, [2]) for writer in (native, with_torch))
    assert ours == pytest.approx(theirs, rel=tolerance)
    looked, expected = (writer.attention(images[:1], caption) for writer in (native, with_torch))
    assert (looked is None) == (expected is None)
    if looked is not None:
        assert_close(looked, expected)


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("image_input", INPUTS)
def test_features_become_the_captions_of_torch(image_input: str, options: dict[str, Any]) -> None:
    grid = image_input.endswith("attention")
    model = network(ReadyFeatures(F, grid, (P, F) if grid else None), image_input, **options)
    shape = (N, P, F) if grid else (N, F)
    images = np.random.default_rng(1).normal(size=shape).astype(np.float16 if grid else np.float32)
    assert_writes_alike(model, images)


@pytest.mark.parametrize("image_input", INPUTS)
def test_so_do_pixels_by_our_own_cnn(image_input: str) -> None:
    torch.manual_seed(2)
    model = network(SmallImageCNN(16, image_input.endswith("attention")), image_input)
    images = np.random.default_rng(1).integers(0, 256, (N, 16, 16, 3), dtype=np.uint8)
    assert_writes_alike(model, images, 1e-4)


@pytest.mark.parametrize("image_input", ["every-step", "attention", "late-attention"])
def test_so_do_images_by_a_mobilenet_that_was_trained_further(image_input: str) -> None:
    torch.manual_seed(2)
    encoder = MobileNetTail(MobileNetV2(0), 2, image_input.endswith("attention"), (160, 2, 2))
    torch.manual_seed(0)
    sizes: dict[str, Any] = {"hidden": 9, "embedding": 5, "image_embedding": 3, "attention_size": 4}
    config = CaptionerNetwork(image_input=image_input, fine_tune=2, **sizes)  # type: ignore[arg-type]
    model = Captioner(config, V, encoder)
    images = np.random.default_rng(1).normal(size=(N, 160, 2, 2)).astype(np.float16)
    assert_writes_alike(model, images, 1e-4)
