"""Taggers without torch label frames as they do with it: whole clips, streams, and sets of clips."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from tests.networks import weights_of  # noqa: E402
from throughtime.capture.network import capture_network  # noqa: E402
from throughtime.data.labels import Labels  # noqa: E402
from throughtime.data.sequences import Sequences  # noqa: E402
from throughtime.encoders.frames import SmallCNN, Standardise  # noqa: E402
from throughtime.errors import OptionError  # noqa: E402
from throughtime.models.functions import TorchNetwork  # noqa: E402
from throughtime.runtime.network import Network  # noqa: E402
from throughtime.tasks.tagger.frame_targets import FrameLabels  # noqa: E402
from throughtime.tasks.tagger.model import Tagger as TorchModel  # noqa: E402
from throughtime.tasks.tagger.options import TaggerNetwork  # noqa: E402
from throughtime.tasks.tagger.prediction import (  # noqa: E402
    FrameStepper,
    LabelledClips,
    Tagger,
    evaluate,
    outputs_of_clip,
)

C, F = 4, 3
OPTIONS: list[dict[str, Any]] = [
    {},
    {"cell": "gru", "layers": 2},
    {"cell": "gru", "bidirectional": True, "layers": 2},
    {"cell": "rnn", "activation": "relu"},
    {"cell": "none", "layers": 2},
    {"cell": "none", "bidirectional": True},
    {"projection": 3, "bidirectional": True},
    {"layer_norm": True, "zoneout": 0.2},
    {"peephole": True, "coupled": True},
]


def pair(options: dict[str, Any], pictures: bool = False) -> tuple[Tagger, Tagger, TorchModel]:
    torch.manual_seed(4)
    config = TaggerNetwork(**{"hidden": 6, "encoder_features": 5, **options})
    encoder = (
        SmallCNN(5, 20)
        if pictures
        else Standardise(torch.tensor([1.0, 300.0, 2.0]), torch.tensor([2.0, 90.0, 0.0]))
    )
    model = TorchModel(config, encoder, FrameLabels(Labels(map(str, range(C)))))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.3)
    networks = TorchNetwork(model), Network(capture_network(model), weights_of(model))
    with_torch, native = (Tagger(network, model.looks_ahead) for network in networks)
    return with_torch, native, model


def clip(length: int, pictures: bool = False) -> np.ndarray:
    generator = np.random.default_rng(length)
    if pictures:
        return generator.integers(0, 256, (length, 20, 20, 3), dtype=np.uint8)
    return generator.normal((1, 300, 2), (2, 90, 0.1), (length, F)).astype(np.float32)


def assert_close(found: np.ndarray, expected: np.ndarray) -> None:
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=5e-5, atol=5e-6)


@pytest.mark.parametrize("pictures", [False, True], ids=["features", "pictures"])
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_a_whole_clip_and_a_stream(options: dict[str, Any], pictures: bool) -> None:
    with_torch, native, model = pair(options, pictures)
    frames = clip(70, pictures)
    expected = outputs_of_clip(with_torch, [frames])
    assert_close(outputs_of_clip(native, [frames[:9], frames[9:]]), expected)
    with torch.inference_mode():
        logits, _ = model(torch.from_numpy(frames)[:, None])
    np.testing.assert_allclose(expected, logits[:, 0].numpy(), rtol=1e-5, atol=1e-6)
    assert native.looks_ahead == with_torch.looks_ahead
    if native.looks_ahead:
        with pytest.raises(OptionError, match="bidirectional"):
            FrameStepper(native)
        return
    stepper = FrameStepper(native)
    parts = [frames[:1], frames[1:2], frames[2:30], frames[30:]]
    assert_close(np.concatenate([stepper.feed(part) for part in parts]), expected)


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_the_scores_of_clips_of_many_lengths(options: dict[str, Any]) -> None:
    with_torch, native, model = pair(options)
    target = model.target
    generator = np.random.default_rng(0)
    lengths = (300, 20, 7, 270, 1)
    clips = LabelledClips(
        Sequences.in_memory([clip(length) for length in lengths]),
        Sequences.in_memory([generator.integers(-1, C, length) for length in lengths]),
    )
    weights = np.array([1.0, 2.0, 0.5, 1.0], np.float32)
    for given in (None, weights):
        loss, scores = evaluate(native, clips, 2, target, given)
        expected, expected_scores = evaluate(with_torch, clips, 3, target, given)
        assert loss == pytest.approx(expected, rel=1e-5)
        assert scores.result() == pytest.approx(expected_scores.result(), abs=1e-6)
