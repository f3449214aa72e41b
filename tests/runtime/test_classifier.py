"""Classifiers without torch say what they say with it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from tests.networks import one_label, weights_of  # noqa: E402
from throughtime.capture.network import capture_network  # noqa: E402
from throughtime.models.functions import TorchNetwork  # noqa: E402
from throughtime.runtime.network import Network  # noqa: E402
from throughtime.tasks.classifier.model import Classifier, Ensemble  # noqa: E402
from throughtime.tasks.classifier.options import ClassifierNetwork  # noqa: E402
from throughtime.tasks.classifier.prediction import Labeller  # noqa: E402

CLASSES, VOCABULARY = 3, 11
STATISTICS = ([1.0, -2.0, 0.0], [3.0, 0.5, 1.0])
LENGTHS = np.array([7, 1, 4])
OPTIONS: list[dict[str, Any]] = [
    *({"pooling": pooling} for pooling in ("last", "mean", "max", "attention")),
    *({"pooling": pooling, "bidirectional": False} for pooling in ("last", "attention")),
    *({"cell": "none", "pooling": pooling, "layers": 2} for pooling in ("last", "mean", "max", "attention")),
    {"cell": "rnn", "activation": "relu", "layers": 2},
    {"cell": "gru", "reset_after": False},
    {"cell": "lstm", "projection": 3, "layers": 2, "pooling": "attention"},
    {"cell": "lstm", "peephole": True, "coupled": True, "layer_norm": True, "zoneout": 0.2},
    {"members": 3},
    {"members": 2, "cell": "none"},
]


def pair(options: dict[str, Any], tokens: bool) -> tuple[Labeller, Labeller]:
    torch.manual_seed(2)
    config = ClassifierNetwork(**{"hidden": 6, "embedding": 5, **options})
    known: dict[str, Any] = {"vocabulary_size": VOCABULARY} if tokens else {"statistics": STATISTICS}
    made = [Classifier(config, one_label(CLASSES), **known) for _ in range(config.members)]
    model = made[0] if len(made) == 1 else Ensemble(made)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.3)
    native = Network(capture_network(model), weights_of(model))
    return Labeller(TorchNetwork(model), config.pooling), Labeller(native, config.pooling)


@pytest.mark.parametrize("tokens", [True, False], ids=["tokens", "numbers"])
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_logits_are_those_of_torch(options: dict[str, Any], tokens: bool) -> None:
    with_torch, native = pair(options, tokens)
    generator = np.random.default_rng(3)
    if tokens:
        inputs: Any = generator.integers(0, VOCABULARY + 1, (7, 3))
    else:
        inputs = generator.normal(size=(7, 3, 3)).astype(np.float32)
        inputs[5:, 2] = np.nan  # past its length
    found = native.outputs(inputs, LENGTHS)
    assert found.dtype == np.float32 and found.shape == (3, CLASSES)
    np.testing.assert_allclose(found, with_torch.outputs(inputs, LENGTHS), rtol=1e-5, atol=2e-6)


@pytest.mark.parametrize(
    "options",
    [
        *({"pooling": pooling} for pooling in ("last", "mean", "max")),
        {"bidirectional": False, "layers": 2, "cell": "lstm"},
        {"cell": "none", "layers": 2, "pooling": "mean"},
        {"members": 2},
        {"layers": 2},  # and those that are read as a whole
        {"pooling": "attention"},
    ],
    ids=str,
)
@pytest.mark.parametrize("length", [7, 8, 9, 23])
def test_a_long_sequence_is_read_in_blocks_and_nothing_changes(
    options: dict[str, Any], length: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, native = pair(options, tokens=False)
    inputs = np.random.default_rng(1).normal(size=(length, 1, 3)).astype(np.float32)
    whole = native.outputs(inputs, np.array([length]))
    monkeypatch.setattr("throughtime.tasks.classifier.prediction._BLOCK_STEPS", 4)
    blocks = native.outputs(inputs, np.array([length]))
    if options.get("pooling") == "mean":
        np.testing.assert_allclose(blocks, whole, rtol=1e-5, atol=1e-6)
    else:
        np.testing.assert_array_equal(blocks, whole)
