"""A small network of every kind, with all weights drawn; and inputs for what it can be asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from throughtime.data.labels import Labels
from throughtime.encoders.encoder import MobileNetTail, ReadyFeatures
from throughtime.encoders.frames import SmallCNN, Standardise
from throughtime.encoders.mobilenet import MobileNetV2
from throughtime.encoders.small_image_cnn import SmallImageCNN
from throughtime.interchange.check import random_inputs
from throughtime.program.network import Port
from throughtime.runtime import Weights
from throughtime.targets.kinds import Numbers, OneLabel, SeveralLabels, Target
from throughtime.targets.numbers import NumberFacts
from throughtime.targets.options import NumberLoss
from throughtime.tasks.captioner.model import Captioner
from throughtime.tasks.captioner.options import CaptionerNetwork
from throughtime.tasks.classifier.model import Classifier, Ensemble
from throughtime.tasks.classifier.options import ClassifierNetwork
from throughtime.tasks.forecaster.model import AutoregressiveForecaster, Forecaster
from throughtime.tasks.forecaster.options import ForecasterNetwork
from throughtime.tasks.forecaster.windows import Shape
from throughtime.tasks.language_model.model import LanguageModel
from throughtime.tasks.language_model.options import LanguageNetwork
from throughtime.tasks.tagger.model import Tagger
from throughtime.tasks.tagger.options import TaggerNetwork
from throughtime.tasks.transcriber.model import Transcriber
from throughtime.tasks.transcriber.options import TranscriberNetwork
from throughtime.tasks.translator.model import Translator
from throughtime.tasks.translator.options import TranslatorNetwork
from throughtime.tasks.word_tagger.model import WordTagger
from throughtime.tasks.word_tagger.options import WordTaggerNetwork

EVERY_OPTION: dict[str, Any] = {
    "cell": "lstm",
    "peephole": True,
    "projection": 3,
    "layer_norm": True,
    "coupled": True,
    "layers": 2,
    "zoneout": 0.2,
}
SIZES = ({"B": 3, "T": 4, "S": 6, "W": 2}, {"B": 1, "T": 1, "S": 1, "W": 1}, {"B": 2, "T": 7, "S": 3, "W": 5})


def one_label(count: int) -> OneLabel:
    return OneLabel(Labels(map(str, range(count))))


def numbers(loss: NumberLoss) -> Numbers:
    facts = NumberFacts(("a", "b"), (1.0, -2.0), (3.0, 0.5), loss, (0.1, 0.5, 0.9), 0.8)
    return Numbers(facts)


def language_model(**options: Any) -> torch.nn.Module:
    return LanguageModel(LanguageNetwork(**{"hidden": 4, "embedding": 3, **options}), 5)


def lines_model(
    categories: tuple[int, ...] = (3, 2), numbers: tuple[tuple[float, float], ...] = (), **options: Any
) -> torch.nn.Module:
    config = LanguageNetwork(**{"hidden": 4, "embedding": 3, **options})
    return LanguageModel(config, 5, categories, numbers)


def classifier(
    members: int = 1,
    tokens: bool = True,
    target: Target | None = None,
    more: Mapping[str, Any] | None = None,
    **options: Any,
) -> torch.nn.Module:
    config = ClassifierNetwork(**{"hidden": 4, "embedding": 3, **options})
    target = target or one_label(2)
    known: dict[str, Any] = {"vocabulary_size": 5} if tokens else {"statistics": ([0.0, 1.0], [1.0, 2.0])}
    made = [Classifier(config, target, **{**known, **(more or {})}) for _ in range(members)]
    return made[0] if members == 1 else Ensemble(made)


def tagger(pictures: bool, target: Target | None = None, **options: Any) -> torch.nn.Module:
    config = TaggerNetwork(**{"hidden": 4, "encoder_features": 3, **options})
    encoder = SmallCNN(3, 20) if pictures else Standardise(torch.zeros(3), torch.ones(3))
    return Tagger(config, encoder, target or one_label(2))


def word_tagger(**options: Any) -> torch.nn.Module:
    sizes = {"hidden": 4, "embedding": 3, "character_embedding": 2, "character_features": 6}
    return WordTagger(WordTaggerNetwork(**{**sizes, **options}), 5, 7, 3)


def transcriber(**options: Any) -> torch.nn.Module:
    config = TranscriberNetwork(**{"hidden": 4, "layers": 1, **options})
    return Transcriber(config, [0.0, 1.0, -1.0], [1.0, 2.0, 0.5], 5)


def translator(target: int = 4, **options: Any) -> torch.nn.Module:
    return Translator(TranslatorNetwork(**{"hidden": 8, "embedding": 6, **options}), 5, target, target == 5)


def captioner(image_input: str, kind: str) -> torch.nn.Module:
    grid = image_input == "attention"
    sizes: dict[str, Any] = {"hidden": 4, "embedding": 3, "image_embedding": 5, "attention_size": 2}
    config = CaptionerNetwork(image_input=image_input, **sizes)  # type: ignore[arg-type]
    if kind == "pixels":
        return Captioner(config, 5, SmallImageCNN(16, grid))
    if kind == "mobilenet":
        return Captioner(config, 5, MobileNetTail(MobileNetV2(0), 2, grid, (160, 4, 4)))
    return Captioner(config, 5, ReadyFeatures(6, grid, (4, 6) if grid else None))


def forecaster(bare: bool = False, **options: Any) -> torch.nn.Module:
    config = ForecasterNetwork(**{"hidden": 4, "segment": 1 if bare else 3, **options})
    shape = Shape(6, 4, 0, 0, 0) if bare else Shape(6, 4, 5, 3, 2)
    return Forecaster(config, shape)


def autoregressive(bare: bool = False, **options: Any) -> torch.nn.Module:
    config = ForecasterNetwork(**{"hidden": 4, "segment": 1, "decoder": "autoregressive", **options})
    return AutoregressiveForecaster(config, Shape(6, 4, 0, 0, 0) if bare else Shape(6, 4, 3, 3, 2))


_MAKERS: dict[str, Callable[[], torch.nn.Module]] = {
    "language model": lambda: language_model(layers=2),
    "one-hot with a learned state": lambda: language_model(
        embedding=0, cell="gru", learned_initial_state=True, zoneout=0.1
    ),
    "a cell of our own": lambda: language_model(cell="mogrifier", cell_option={"rounds": 3}),
    **{
        f"classifier by {pooling}, {directions}": lambda pooling=pooling, directions=directions: classifier(
            pooling=pooling, bidirectional=directions == 2, layers=1
        )
        for pooling in ("last", "mean", "max", "attention")
        for directions in (1, 2)
    },
    "lines with conditions": lambda: lines_model(layers=2, zoneout=0.1),
    "lines with numbers": lambda: lines_model(
        (), ((1.0, 2.0), (0.0, 0.5)), cell="gru", learned_initial_state=True
    ),
    "classifier, every option": lambda: classifier(pooling="attention", **EVERY_OPTION),
    "classifier without recurrence": lambda: classifier(cell="none", layers=2),
    "pairs of texts": lambda: classifier(more={"pairs": True}, cell="lstm"),
    "pairs with something beside": lambda: classifier(
        2, more={"pairs": True, "categories": (3, 2), "numbers": ((1.0, 2.0),)}, pooling="attention"
    ),
    "numbers with something beside": lambda: classifier(
        tokens=False, more={"categories": (4,), "numbers": ((0.0, 1.0), (5.0, 2.0))}
    ),
    "ensemble with categories beside": lambda: classifier(2, more={"categories": (3,)}, bidirectional=False),
    "ensemble": lambda: classifier(3),
    "ensemble both ways": lambda: classifier(2, cell="gru", bidirectional=True, layers=1),
    "numbers": lambda: classifier(tokens=False, cell="rnn", activation="relu"),
    "segments that convolutions look at": lambda: classifier(
        tokens=False, more={"window": 1, "statistics": ([0.5] * 3, [2.0] * 3)}, convolutions=4
    ),
    "ensemble of convolutions": lambda: classifier(
        2, tokens=False, more={"window": 1}, convolutions=1, bidirectional=False
    ),
    **{
        f"{what} of {members}": lambda target=target, members=members: classifier(members, target=target)
        for what, target in {
            "several labels": SeveralLabels("abc"),
            **{f"numbers by {loss}": numbers(loss) for loss in ("squared", "gaussian", "quantile")},
        }.items()
        for members in (1, 3)
    },
    "tagger of several labels": lambda: tagger(False, SeveralLabels("abc")),
    "tagger of numbers": lambda: tagger(False, numbers("gaussian"), cell="gru"),
    "tagger": lambda: tagger(False, layers=2),
    "tagger both ways": lambda: tagger(False, cell="gru", bidirectional=True, reset_after=False),
    "tagger of pictures": lambda: tagger(True),
    "tagger without recurrence": lambda: tagger(True, cell="none"),
    "transcriber": lambda: transcriber(bidirectional=False, layers=2),
    "transcriber both ways": lambda: transcriber(**{**EVERY_OPTION, "projection": 0}),
    "word tagger": lambda: word_tagger(),
    "word tagger with a CNN": lambda: word_tagger(characters="cnn", cell="gru", bidirectional=False),
    "word tagger of words alone": lambda: word_tagger(characters="none", crf=False, **EVERY_OPTION),
    "no attention": lambda: translator(attention="none", **EVERY_OPTION),
    "luong": lambda: translator(),
    "luong, dot": lambda: translator(attention_score="dot", cell="gru"),
    "luong, fed": lambda: translator(input_feeding=True),
    "bahdanau": lambda: translator(attention="bahdanau", tie_weights=False, cell="gru", layers=2),
    "shared vocabulary": lambda: translator(5, bidirectional=False),
    **{
        f"captioner, {way} of {kind}": lambda way=way, kind=kind: captioner(way, kind)
        for way in ("every-step", "first-input", "initial-state", "attention")
        for kind in ("features", "pixels")
    },
    **{
        f"forecaster, {distribution}": lambda distribution=distribution: forecaster(distribution=distribution)
        for distribution in ("point", "gaussian", "student-t", "quantiles", "negative-binomial")
    },
    "forecaster of nothing but values": lambda: forecaster(True, window_norm="none", highway=False),
    "forecaster, every option": lambda: forecaster(window_norm="mean", **EVERY_OPTION),
    "autoregressive forecaster": lambda: autoregressive(distribution="student-t", layers=2),
    "autoregressive forecaster of values": lambda: autoregressive(True, window_norm="mean", cell="lstm"),
    "captioner of a MobileNet": lambda: captioner("initial-state", "mobilenet"),
    "captioner attending to a MobileNet": lambda: captioner("attention", "mobilenet"),
}
NETWORKS = tuple(_MAKERS)


def make(name: str) -> torch.nn.Module:
    """The network, in evaluation mode, with every parameter and statistic away from where it begins."""
    torch.manual_seed(0)
    model = _MAKERS[name]().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.uniform_(-0.5, 0.5)
        for module in model.modules():
            if isinstance(module, torch.nn.BatchNorm2d) and module.running_mean is not None:
                assert module.running_var is not None
                module.running_mean.uniform_(-0.1, 0.1)
                module.running_var.uniform_(0.5, 2.0)
    return model


def weights_of(model: torch.nn.Module) -> Weights:
    return Weights({name: tensor.numpy() for name, tensor in model.state_dict().items()}, "model")


def draw(ports: Sequence[Port], sizes: Mapping[str, int], seed: int = 0) -> dict[str, Any]:
    """Inputs as the ports say; see `random_inputs`."""
    return random_inputs(tuple(ports), sizes, np.random.default_rng(seed))
