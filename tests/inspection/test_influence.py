"""Influence: a linear model's by hand, and a language model's against finite differences."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from throughtime.errors import NotANumberError
from throughtime.inspection.influence import (
    by_lag,
    caption_influence,
    influence,
    language_model_influence,
    shares,
    translation_influence,
)
from throughtime.tasks.language_model.model import LanguageModel
from throughtime.tasks.language_model.options import LanguageNetwork


def test_a_linear_function_has_its_weights_as_influence() -> None:
    weights = torch.tensor([[3.0, 4.0], [0.0, 0.0], [0.0, 1.0]])
    norms = influence(lambda x: (x * weights[:, None]).sum((0, 2)), torch.randn(3, 2, 2))
    np.testing.assert_allclose(norms, [[5, 5], [0, 0], [1, 1]])
    np.testing.assert_allclose(by_lag(norms), [1 / 6, 0, 5 / 6])


@pytest.mark.parametrize("embedding", [0, 4])
def test_a_language_models_influence_is_its_derivative(embedding: int) -> None:
    torch.manual_seed(0)
    config = LanguageNetwork(hidden=6, embedding=embedding, layers=1, dropout=0, output_dropout=0)
    model = LanguageModel(config, 5).double().eval()
    tokens = np.array([[0, 3], [1, 1], [4, 2]])
    norms, targets = language_model_influence(model, tokens)
    assert norms.shape == (3, 2)
    logits, _ = model(torch.from_numpy(tokens))
    np.testing.assert_array_equal(targets, logits[-1].argmax(-1).numpy())
    vectors = (
        model.embedding(torch.from_numpy(tokens))
        if model.embedding is not None
        else torch.nn.functional.one_hot(torch.from_numpy(tokens), 5).double()
    ).detach()

    def value(vectors: torch.Tensor) -> torch.Tensor:
        outputs, _ = model.recurrent(vectors)
        return model.output(outputs[-1]).log_softmax(-1)[0, targets[0]].detach()

    difference = torch.zeros(vectors.shape[-1], dtype=torch.double)
    for unit in range(len(difference)):
        moved = vectors.clone()
        moved[1, 0, unit] += 1e-6
        difference[unit] = (value(moved) - value(vectors)) / 1e-6
    assert norms[1, 0] == pytest.approx(difference.norm().item(), rel=1e-4)


def test_a_given_target_is_taken() -> None:
    model = LanguageModel(LanguageNetwork(hidden=4, embedding=3), 5).eval()
    _, targets = language_model_influence(model, np.zeros((2, 3), dtype=int), targets=np.array([1, 2, 4]))
    assert targets.tolist() == [1, 2, 4]


def test_a_translations_influence_is_its_derivative() -> None:
    from throughtime.tasks.translator.model import Translator
    from throughtime.tasks.translator.options import TranslatorNetwork

    for attention, shared in (("none", False), ("luong", True), ("bahdanau", False)):
        torch.manual_seed(0)
        config = TranslatorNetwork(hidden=8, embedding=6, attention=attention)  # type: ignore[arg-type]
        model = Translator(config, 5, 5 if shared else 4, shared).double().eval()
        source, target = np.array([1, 3, 2]), np.array([0, 2, model.end])
        read, written = translation_influence(model, source, target)
        assert read.shape == (3, 4)
        assert written.shape == (3, 3)
        # A word cannot have mattered to one that was written before it.
        np.testing.assert_array_equal(np.triu(written, 1), 0)
        assert (read > 0).all()
        assert (np.diag(written) > 0).all()
        # By finite differences: the second source token on the first written one.
        fed = torch.tensor([[model.start], [0], [2]])
        tokens = torch.tensor([[1], [3], [2], [model.source_end]])
        step = torch.zeros(6, dtype=torch.double)

        def value(shift: torch.Tensor, model: Translator = model, tokens=tokens, fed=fed) -> float:  # noqa: ANN001
            hook = model.source_embedding.register_forward_hook(
                lambda _m, _i, out: out + shift if len(out) == 4 else out
            )
            readouts, _ = model(tokens, torch.tensor([4]), fed)
            hook.remove()
            return model.logits(readouts)[0, 0].log_softmax(-1)[0].item()

        for unit in range(6):
            shift = torch.zeros(4, 1, 6, dtype=torch.double)
            shift[1, 0, unit] = 1e-6
            step[unit] = (value(shift) - value(torch.zeros_like(shift))) / 1e-6
        assert read[0, 1] == pytest.approx(step.norm().item(), rel=1e-3)


@pytest.mark.parametrize("image_input", ["every-step", "first-input", "initial-state", "attention"])
def test_a_captions_influence_reaches_the_image_and_no_later_word(image_input: str) -> None:
    from throughtime.encoders.encoder import ReadyFeatures
    from throughtime.tasks.captioner.model import Captioner
    from throughtime.tasks.captioner.options import CaptionerNetwork

    torch.manual_seed(0)
    network = CaptionerNetwork(hidden=8, embedding=6, image_input=image_input)  # type: ignore[arg-type]
    model = Captioner(network, 5, ReadyFeatures(7, image_input == "attention")).eval()
    image = np.random.default_rng(0).random((4, 7) if image_input == "attention" else (7,), np.float32)
    features, words = caption_influence(model, image, np.array([2, 4, 5]))
    assert features.shape == (3, 4 if image_input == "attention" else 1)
    assert (features.sum(axis=1) > 0).all()
    np.testing.assert_array_equal(np.triu(words, 1), 0)
    assert (np.diag(words) > 0).all()


def test_where_nothing_mattered_there_are_no_shares() -> None:
    assert shares(np.array([[1.0, 3.0], [0.0, 0.0]])).tolist() == [[0.25, 0.75], [0, 0]]
    with pytest.raises(NotANumberError, match="output for the influence is not a number"):
        shares(np.array([[1.0, np.inf]]))
