"""Weights that do not fit their config.toml are refused by name, whatever is wrong with them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from throughtime.config.captioner import CaptionerNetwork  # noqa: E402
from throughtime.config.classifier import ClassifierNetwork  # noqa: E402
from throughtime.config.tagger import TaggerNetwork  # noqa: E402
from throughtime.config.translator import TranslatorNetwork  # noqa: E402
from throughtime.encoders.encoder import ReadyFeatures  # noqa: E402
from throughtime.encoders.frames import SmallCNN, Standardise  # noqa: E402
from throughtime.encoders.small_image_cnn import SmallImageCNN  # noqa: E402
from throughtime.errors import CheckpointError, OptionError  # noqa: E402
from throughtime.models.captioner import Captioner as TorchCaptioner  # noqa: E402
from throughtime.models.classifier import Classifier as TorchClassifier  # noqa: E402
from throughtime.models.tagger import Tagger as TorchTagger  # noqa: E402
from throughtime.models.translator import Translator as TorchTranslator  # noqa: E402
from throughtime.prediction.frames import label_whole_clip  # noqa: E402
from throughtime.runtime import Weights  # noqa: E402
from throughtime.runtime.captioner import Captioner, CaptionWriter  # noqa: E402
from throughtime.runtime.classifier import load_classifier  # noqa: E402
from throughtime.runtime.image_encoders import image_encoder  # noqa: E402
from throughtime.runtime.tagger import Tagger  # noqa: E402
from throughtime.runtime.translator import Translator  # noqa: E402

Case = tuple[torch.nn.Module, Callable[[Weights], Any]]
LSTM: dict[str, Any] = {"cell": "lstm", "peephole": True, "projection": 3, "layer_norm": True, "layers": 2}


def classifier(**options: Any) -> Case:
    config = ClassifierNetwork(hidden=4, embedding=3, **options)

    def use(weights: Weights) -> Any:
        inputs = np.array([[0, 5], [1, 0], [2, 0]])
        return load_classifier(weights, config, 2, 5).logits(inputs, np.array([3, 1]))

    return TorchClassifier(config, 2, 5), use


def numbers() -> Case:
    config = ClassifierNetwork(hidden=4, cell="rnn")

    def use(weights: Weights) -> Any:
        return load_classifier(weights, config, 2, features=2).logits(
            np.ones((3, 1, 2), np.float32), np.array([3])
        )

    return TorchClassifier(config, 2, statistics=([0.0, 1.0], [1.0, 2.0])), use


def tagger(pictures: bool, **options: Any) -> Case:
    config = TaggerNetwork(hidden=4, encoder_features=3, **options)
    encoder = SmallCNN(3) if pictures else Standardise(torch.zeros(3), torch.ones(3))
    frames = np.zeros((5, 16, 16, 3), np.uint8) if pictures else np.ones((5, 3), np.float32)

    def use(weights: Weights) -> Any:
        return label_whole_clip(Tagger(weights, config, 2, None if pictures else 3), [frames])

    return TorchTagger(config, encoder, 2), use


def translator(**options: Any) -> Case:
    config = TranslatorNetwork(hidden=8, embedding=6, **options)

    def use(weights: Weights) -> Any:
        searcher = Translator(weights, config, 5, 4).searcher(0.5)
        _, state = searcher.begin([np.array([1, 2])])
        return searcher.step(np.array([1]), state)

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

    def use(weights: Weights) -> Any:
        own = image_encoder(weights, "encoder.", images.shape[1:], 0, not pixels, grid, "fp32")
        writer = CaptionWriter(Captioner(weights, config, 5, own))
        weights.refuse_unused()
        return writer.begin(images)

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


def changed(array: np.ndarray) -> Iterator[np.ndarray]:
    """Tensors that do not fit where one was."""
    for axis in range(array.ndim):
        yield np.concatenate([array, array.take([0], axis)], axis)
        yield array.take(range(array.shape[axis] - 1), axis)
        yield array.take([], axis)
    yield array[None]
    yield array.reshape(-1)[0]
    yield np.full_like(array, np.nan)
    yield np.zeros(array.shape, np.int64)


@pytest.mark.parametrize("name", CASES)
def test_no_tensor_of_another_shape_or_type_gets_through(name: str) -> None:
    torch.manual_seed(0)
    model, use = CASES[name]()
    tensors = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
    use(Weights(tensors))
    for which, array in tensors.items():
        with pytest.raises(CheckpointError):
            use(Weights({other: kept for other, kept in tensors.items() if other != which}))
        with pytest.raises(CheckpointError):
            use(Weights({**tensors, f"{which}.more": array}))
        for other in changed(array):
            if other.shape == array.shape and other.dtype == array.dtype and np.array_equal(other, array):
                continue
            with pytest.raises(CheckpointError):
                use(Weights({**tensors, which: other}))


def test_a_cell_that_only_torch_has_is_named() -> None:
    model, _ = tagger(False)
    weights = Weights({name: tensor.numpy() for name, tensor in model.state_dict().items()})
    config = TaggerNetwork(hidden=4).model_copy(update={"cell": "mine"})
    with pytest.raises(OptionError, match="the cells rnn, lstm, gru, and not 'mine': use --backend torch"):
        Tagger(weights, config, 2, 3)


def test_options_of_an_lstm_that_the_config_does_not_name_are_refused() -> None:
    torch.manual_seed(0)
    with_peephole = TorchTagger(
        TaggerNetwork(hidden=4, peephole=True), Standardise(torch.zeros(3), torch.ones(3)), 2
    )
    weights = Weights({name: tensor.numpy() for name, tensor in with_peephole.state_dict().items()})
    with pytest.raises(CheckpointError, match="holds 'recurrent.cells.0.weight_peephole', which the model"):
        Tagger(weights, TaggerNetwork(hidden=4), 2, 3)
