"""A small network of every kind: the torch module, and what its weights say natively."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

torch = pytest.importorskip("torch")

from throughtime.config.captioner import CaptionerNetwork  # noqa: E402
from throughtime.config.classifier import ClassifierNetwork  # noqa: E402
from throughtime.config.tagger import TaggerNetwork  # noqa: E402
from throughtime.config.translator import TranslatorNetwork  # noqa: E402
from throughtime.encoders.encoder import ReadyFeatures  # noqa: E402
from throughtime.encoders.frames import SmallCNN, Standardise  # noqa: E402
from throughtime.encoders.small_image_cnn import SmallImageCNN  # noqa: E402
from throughtime.models.captioner import Captioner as TorchCaptioner  # noqa: E402
from throughtime.models.classifier import Classifier as TorchClassifier  # noqa: E402
from throughtime.models.tagger import Tagger as TorchTagger  # noqa: E402
from throughtime.models.translator import Translator as TorchTranslator  # noqa: E402
from throughtime.prediction.frames import label_whole_clip  # noqa: E402
from throughtime.runtime import Weights  # noqa: E402
from throughtime.runtime.captioner import Captioner, CaptionWriter  # noqa: E402
from throughtime.runtime.classifier import load_classifier  # noqa: E402
from throughtime.runtime.image_encoders import image_encoder  # noqa: E402
from throughtime.runtime.network import Compute  # noqa: E402
from throughtime.runtime.tagger import Tagger  # noqa: E402
from throughtime.runtime.translator import Translator  # noqa: E402

Case = tuple[torch.nn.Module, Callable[[Weights, Compute], NDArray[np.float32]]]
LSTM: dict[str, Any] = {"cell": "lstm", "peephole": True, "projection": 3, "layer_norm": True, "layers": 2}


def classifier(**options: Any) -> Case:
    config = ClassifierNetwork(hidden=4, embedding=3, **options)

    def use(weights: Weights, compute: Compute) -> NDArray[np.float32]:
        inputs = np.array([[0, 5], [1, 0], [2, 0]])
        return load_classifier(weights, config, 2, 5, compute=compute).logits(inputs, np.array([3, 1]))

    return TorchClassifier(config, 2, 5), use


def numbers() -> Case:
    config = ClassifierNetwork(hidden=4, cell="rnn")

    def use(weights: Weights, compute: Compute) -> NDArray[np.float32]:
        native = load_classifier(weights, config, 2, features=2, compute=compute)
        return native.logits(np.ones((3, 1, 2), np.float32), np.array([3]))

    return TorchClassifier(config, 2, statistics=([0.0, 1.0], [1.0, 2.0])), use


def tagger(pictures: bool, **options: Any) -> Case:
    config = TaggerNetwork(hidden=4, encoder_features=3, **options)
    encoder = SmallCNN(3) if pictures else Standardise(torch.zeros(3), torch.ones(3))
    frames = np.zeros((5, 16, 16, 3), np.uint8) if pictures else np.ones((5, 3), np.float32)

    def use(weights: Weights, compute: Compute) -> NDArray[np.float32]:
        return label_whole_clip(Tagger(weights, config, 2, None if pictures else 3, compute), [frames])

    return TorchTagger(config, encoder, 2), use


def translator(**options: Any) -> Case:
    config = TranslatorNetwork(hidden=8, embedding=6, **options)

    def use(weights: Weights, compute: Compute) -> NDArray[np.float32]:
        searcher = Translator(weights, config, 5, 4, compute).searcher(0.5)
        _, state = searcher.begin([np.array([1, 2])])
        return searcher.step(np.array([1]), state)[0]

    return TorchTranslator(config, 5, 4), use


def captioner(image_input: Any, pixels: bool) -> Case:
    grid = image_input == "attention"
    config = CaptionerNetwork(
        hidden=4, embedding=3, image_embedding=5, attention_size=2, image_input=image_input
    )
    encoder = SmallImageCNN(16, grid) if pixels else ReadyFeatures(6, grid)
    images = (
        np.zeros((1, 16, 16, 3), np.uint8) if pixels else np.ones((1, 4, 6) if grid else (1, 6), np.float32)
    )

    def use(weights: Weights, compute: Compute) -> NDArray[np.float32]:
        own = image_encoder(weights, "encoder.", images.shape[1:], 0, not pixels, grid, compute)
        writer = CaptionWriter(Captioner(weights, config, 5, own, compute=compute))
        weights.refuse_unused()
        return writer.begin(images)[0]

    return TorchCaptioner(config, 5, encoder), use


CASES: dict[str, Callable[[], Case]] = {
    "classifier": lambda: classifier(pooling="attention", **LSTM),
    "ensemble": lambda: classifier(cell="none", layers=2),
    "numbers": numbers,
    "tagger": lambda: tagger(False, cell="gru", bidirectional=True),
    "tagger of pictures": lambda: tagger(True, cell="none"),
    "luong": lambda: translator(input_feeding=True),
    "bahdanau": lambda: translator(attention="bahdanau", tie_weights=False, cell="gru", layers=2),
    "every-step": lambda: captioner("every-step", False),
    "first-input": lambda: captioner("first-input", True),
    "initial-state": lambda: captioner("initial-state", False),
    "attention": lambda: captioner("attention", True),
    "attention to features": lambda: captioner("attention", False),
}
