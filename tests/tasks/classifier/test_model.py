"""The classifier: no sequence knows of its batch mates, unknown words are zero, every option learns."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.nn import functional as F

from tests.networks import one_label
from throughtime.tasks.classifier.model import Classifier, Ensemble, FeedForward, drop_words
from throughtime.tasks.classifier.options import ClassifierNetwork

LENGTHS = torch.tensor([7, 1, 4])
SMALL: dict[str, Any] = {"hidden": 5, "embedding": 4}
VARIANTS: list[dict[str, Any]] = [
    {"pooling": "last"},
    {"pooling": "mean", "cell": "gru", "layers": 2},
    {"pooling": "max", "cell": "rnn", "bidirectional": False},
    {"pooling": "attention", "layer_norm": True},
    {"pooling": "last", "cell": "none"},
    {"pooling": "last", "projection": 3, "bidirectional": True},
    {"pooling": "max", "initialisation": "uniform"},
]


def build(**options: Any) -> Classifier:
    torch.manual_seed(1)
    return Classifier(ClassifierNetwork(**{**SMALL, **options}), target=one_label(3), vocabulary_size=9)


@pytest.mark.parametrize("options", VARIANTS)
def test_logits_do_not_depend_on_the_rest_of_the_batch(options: dict[str, Any]) -> None:
    model = build(**options).double().eval()
    tokens = torch.randint(10, (7, 3))
    together = model(tokens, LENGTHS)
    for row, length in enumerate(LENGTHS):
        alone = model(tokens[:length, row : row + 1], LENGTHS[row : row + 1])
        torch.testing.assert_close(together[row : row + 1], alone)


@pytest.mark.parametrize("cell", ["lstm", "none"])
def test_what_lies_past_a_length_is_ignored_in_features(cell: str) -> None:
    statistics = ([1.0, 2.0], [3.0, 0.5])
    model = Classifier(
        ClassifierNetwork(hidden=5, cell=cell), target=one_label(2), statistics=statistics
    ).eval()
    features = torch.randn(7, 3, 2)
    expected = model(features, LENGTHS)
    for row, length in enumerate(LENGTHS):
        features[length:, row] = 1e6
    assert torch.equal(model(features, LENGTHS), expected)


@pytest.mark.parametrize(("cell", "window"), [("lstm", None), ("none", None), ("gru", 2)])
def test_nan_past_a_length_reaches_no_gradient(cell: str, window: int | None) -> None:
    width = 2 if window is None else 2 * 16
    config = ClassifierNetwork(hidden=5, cell=cell, convolutions=2, output_dropout=0)
    model = Classifier(config, one_label(2), statistics=([1.0] * width, [3.0] * width), window=window)
    features, found = torch.randn(7, 3, width), []
    for past in (0.0, torch.nan):
        for row, length in enumerate(LENGTHS):
            features[length:, row] = past
        model.zero_grad()
        model(features, LENGTHS).square().sum().backward()
        found.append([parameter.grad for parameter in model.parameters()])
    for expected, gradient in zip(*found, strict=True):
        assert expected is not None and gradient is not None and torch.equal(gradient, expected)


def test_features_are_standardised_inside() -> None:
    torch.manual_seed(0)
    config = ClassifierNetwork(hidden=5)
    raw = Classifier(config, one_label(2), statistics=([0.0, 0.0], [1.0, 1.0])).eval()
    scaled = Classifier(config, one_label(2), statistics=([10.0, -1.0], [4.0, 0.5])).eval()
    weights = {name: value for name, value in raw.state_dict().items() if name not in ("mean", "deviation")}
    scaled.load_state_dict(weights, strict=False)
    inputs = torch.randn(4, 2, 2)
    lengths = torch.tensor([4, 2])
    stretched = inputs * torch.tensor([4.0, 0.5]) + torch.tensor([10.0, -1.0])
    torch.testing.assert_close(scaled(stretched, lengths), raw(inputs, lengths))
    assert {"mean", "deviation"} <= set(scaled.state_dict())


@pytest.mark.parametrize("initialisation", ["orthogonal", "uniform", "torch"])
def test_the_unknown_token_is_zero_and_stays_so(initialisation: str) -> None:
    model = build(initialisation=initialisation, word_dropout=0.5)
    optimizer = torch.optim.AdamW(model.parameters(), 0.1)
    for _ in range(3):
        loss = F.cross_entropy(model(torch.full((4, 2), 9), torch.tensor([4, 3])), torch.tensor([0, 1]))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert model.embedding is not None
    assert (model.embedding.weight[9] == 0).all()
    assert (model.embedding.weight[:9] != 0).any()


def test_an_ensemble_answers_with_the_mean_of_its_members_probabilities() -> None:
    torch.manual_seed(1)
    members = [
        Classifier(ClassifierNetwork(**SMALL), target=one_label(3), vocabulary_size=9).eval()
        for _ in range(3)
    ]
    tokens = torch.randint(10, (7, 3))
    expected = sum(member(tokens, LENGTHS).softmax(-1) for member in members) / 3
    answer = Ensemble(members)(tokens, LENGTHS)
    torch.testing.assert_close(answer.exp(), expected)
    assert not torch.equal(members[0](tokens, LENGTHS), members[1](tokens, LENGTHS))


def test_noise_on_numbers_is_in_standard_deviations_and_in_training_only() -> None:
    torch.manual_seed(0)
    config = ClassifierNetwork(hidden=4, input_noise=0.5, cell="none")
    model = Classifier(config, one_label(2), statistics=([3.0], [10.0]))
    features = torch.full((1000, 2, 1), 3.0)
    noise = model._standardise(features)
    assert noise.std().item() == pytest.approx(0.5, rel=0.1) and abs(noise.mean().item()) < 0.05
    assert not model.eval()._standardise(features).any()


def test_a_dropped_word_looks_as_an_unknown_one() -> None:
    torch.manual_seed(0)
    embedded = torch.randn(50, 20, 4)
    dropped = drop_words(embedded, 0.3, training=True)
    hidden = (dropped == 0).all(-1)
    assert torch.equal(dropped[~hidden], embedded[~hidden])
    assert 0.25 < hidden.float().mean() < 0.35
    assert drop_words(embedded, 0.3, training=False) is embedded


def test_a_layer_without_recurrence_sees_each_step_alone() -> None:
    torch.manual_seed(0)
    layer = FeedForward(3, 4, num_layers=2).eval()
    inputs = torch.randn(6, 2, 3)
    outputs, _ = layer(inputs)
    assert torch.equal(outputs.flip(0), layer(inputs.flip(0))[0])


@pytest.mark.parametrize("options", VARIANTS)
def test_every_variant_learns_which_token_comes_first(options: dict[str, Any]) -> None:
    if options.get("cell") == "none":
        pytest.skip("without recurrence it cannot: the next test")
    assert _accuracy_at_first_token(options) > 0.95


def test_without_recurrence_the_order_is_not_seen() -> None:
    assert _accuracy_at_first_token({"cell": "none", "pooling": "mean"}) < 0.8


def _accuracy_at_first_token(options: dict[str, Any]) -> float:
    """Train on sequences that hold a 0 and a 1 each; the label says which is the first of the two."""
    still = {"input_dropout": 0.0, "output_dropout": 0.0, "word_dropout": 0.0, "hidden": 12}
    model = build(**{**options, **still})
    generator = torch.Generator().manual_seed(5)
    tokens = torch.randint(2, 9, (6, 128), generator=generator)
    places = torch.stack([torch.randperm(6, generator=generator)[:2] for _ in range(128)], 1)
    tokens.scatter_(0, places[:1], 0).scatter_(0, places[1:], 1)
    labels = (places[0] > places[1]).long()
    lengths = torch.full((128,), 6)
    optimizer = torch.optim.AdamW(model.parameters(), 0.02)
    for _ in range(150):
        loss = F.cross_entropy(model(tokens, lengths), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return (model(tokens, lengths).argmax(1) == labels).float().mean().item()
