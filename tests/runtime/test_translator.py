"""Translators without torch: the same log-probabilities, translations, attention and losses as with it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from tests.networks import weights_of  # noqa: E402
from tests.tasks.translator.test_search import search  # noqa: E402
from throughtime.capture.network import capture_network  # noqa: E402
from throughtime.data.sequences import Sequences  # noqa: E402
from throughtime.models.functions import TorchNetwork  # noqa: E402
from throughtime.runtime.network import Network  # noqa: E402
from throughtime.tasks.translator.model import Translator as TorchModel  # noqa: E402
from throughtime.tasks.translator.options import TranslatorNetwork  # noqa: E402
from throughtime.tasks.translator.prediction import PairBatch, TokenPairs, Translator, evaluate  # noqa: E402

SOURCE, TARGET = 9, 7
OPTIONS: list[dict[str, Any]] = [
    {},
    {"attention": "none"},
    {"attention": "none", "bidirectional": False, "tie_weights": False, "layers": 2},
    {"attention_score": "dot"},
    {"input_feeding": True},
    {"input_feeding": True, "attention_score": "dot", "tie_weights": False, "zoneout": 0.2},
    {"attention": "bahdanau"},
    {"attention": "bahdanau", "layers": 2, "decoder_layers": 1, "cell": "gru", "reset_after": False},
    {"attention": "bahdanau", "zoneout": 0.3, "decoder_layers": 2, "layer_norm": True},
    {"cell": "gru", "layers": 2, "encoder_hidden": 5},
    {"cell": "rnn", "tie_weights": False, "bidirectional": False},
    {"projection": 3, "peephole": True, "coupled": True, "encoder_hidden": 8},
    {"shared": True},
]


def pair(options: dict[str, Any]) -> tuple[Translator, Translator]:
    torch.manual_seed(4)
    options = dict(options)
    shared = options.pop("shared", False)
    target = SOURCE if shared else TARGET
    config = TranslatorNetwork(hidden=8, embedding=6, **options)
    model = TorchModel(config, SOURCE, target, shared)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(2).add_(torch.randn_like(parameter) * 0.2)
    networks = TorchNetwork(model), Network(capture_network(model), weights_of(model))
    with_torch, native = (Translator(network, SOURCE, target, target + 1) for network in networks)
    return with_torch, native


def sources(lengths: list[int]) -> list[np.ndarray]:
    generator = np.random.default_rng(0)
    return [generator.integers(TARGET, size=length) for length in lengths]


@pytest.mark.parametrize("coverage", [0.0, 0.5])
@pytest.mark.parametrize("width", [1, 4, 30])
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_translations_are_those_of_torch(options: dict[str, Any], width: int, coverage: float) -> None:
    with_torch, native = (translator.searcher(coverage) for translator in pair(options))
    texts = sources([5, 1, 3, 8])
    for found, expected in zip(
        *(search(one, texts, width, length_penalty=0.8) for one in (native, with_torch)), strict=True
    ):
        assert [one.tokens for one in found] == [one.tokens for one in expected]
        for name in ("log_probability", "score"):
            assert [getattr(one, name) for one in found] == pytest.approx(
                [getattr(one, name) for one in expected], rel=2e-5
            )


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_attention_and_losses_are_those_of_torch(options: dict[str, Any]) -> None:
    with_torch, native = pair(options)
    texts, end = sources([5, 1, 3, 8]), native.end
    targets = [np.array([1, 2, end]), np.array([end]), np.array([3, 3, 3, 3]), np.array([0, 4, end])]
    found, expected = (one.searcher().attend(texts, targets) for one in (native, with_torch))
    if expected is None:
        assert found is None
    else:
        assert found is not None
        for ours, theirs in zip(found, expected, strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-6)
    pairs = TokenPairs(Sequences.in_memory(texts), Sequences.in_memory(sources([3, 4, 0, 6])))
    batch = PairBatch.gather(native, pairs, np.arange(4))
    for ours, theirs in zip(native.score(batch), with_torch.score(batch), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=2e-5, atol=1e-6)
    assert evaluate(native, pairs, 3) == pytest.approx(evaluate(with_torch, pairs, 3), rel=1e-5)
