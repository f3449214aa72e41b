"""Influence: a linear model's by hand, and a language model's against finite differences."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from throughtime.config.language_model import LanguageNetwork
from throughtime.inspection.influence import by_lag, influence, language_model_influence
from throughtime.models import LanguageModel


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
