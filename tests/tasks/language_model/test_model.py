"""The language model: shapes, options, initialisation, and the stepper of generation."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from throughtime.tasks.language_model.model import LanguageModel, TorchStepper
from throughtime.tasks.language_model.options import LanguageNetwork

V = 11


def make(**options: Any) -> LanguageModel:
    torch.manual_seed(0)
    return LanguageModel(LanguageNetwork(**{"hidden": 8, "embedding": 5, **options}), V)


OPTIONS: list[dict[str, Any]] = [
    {},
    {"embedding": 0},
    {"embedding": 8, "tie_weights": True},
    {"cell": "gru", "reset_after": False},
    {"cell": "rnn", "activation": "relu", "learned_initial_state": True},
    {"projection": 4, "peephole": True, "layer_norm": True, "coupled": True},
    {"locked_dropout": True, "input_dropout": 0.3, "zoneout": 0.2},
    {"initialisation": "uniform"},
    {"initialisation": "torch"},
]


@pytest.mark.parametrize("options", OPTIONS)
def test_logits_do_not_see_the_future_and_chunks_join(options: dict[str, Any]) -> None:
    model = make(**options).eval()
    tokens = torch.randint(V, (9, 2))
    logits, state = model(tokens)
    assert logits.shape == (9, 2, V)
    changed = tokens.clone()
    changed[5:] = (changed[5:] + 1) % V
    torch.testing.assert_close(model(changed)[0][:5], logits[:5])
    first, middle = model(tokens[:4])
    second, last = model(tokens[4:], middle)
    torch.testing.assert_close(torch.cat([first, second]), logits)
    for one, two in zip(last, state, strict=True):
        torch.testing.assert_close(one, two)


@pytest.mark.parametrize("options", OPTIONS)
def test_every_weight_gets_a_gradient(options: dict[str, Any]) -> None:
    model = make(**options)
    model(torch.randint(V, (6, 3)))[0].square().sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.any(), name


def test_orthogonal_initialisation_with_the_forget_bias() -> None:
    model = make(forget_bias=1.5)
    for cell in model.recurrent.cells:
        w = cell.weight_hh
        torch.testing.assert_close(w.T @ w, torch.eye(8), rtol=0, atol=1e-5)
        bias = cell.bias_ih + cell.bias_hh
        assert bias[8:16].tolist() == [1.5] * 8
        assert not bias[:8].any() and not bias[16:].any()


def test_uniform_initialisation_keeps_its_range() -> None:
    model = make(initialisation="uniform", initial_range=0.05)
    for parameter in model.parameters():
        assert parameter.abs().max() <= 0.05
        assert parameter.std() > 0.02


def test_tied_weights_are_one_parameter() -> None:
    model = make(embedding=8, tie_weights=True)
    assert model.embedding is not None
    assert model.output.weight is model.embedding.weight
    untied = make(embedding=8)
    difference = sum(p.numel() for p in untied.parameters()) - sum(p.numel() for p in model.parameters())
    assert difference == 8 * V


def test_dropout_acts_in_training_only() -> None:
    model = make(dropout=0.5, output_dropout=0.5, input_dropout=0.5)
    tokens = torch.randint(V, (6, 3))
    assert not torch.equal(model(tokens)[0], model(tokens)[0])
    model.eval()
    assert torch.equal(model(tokens)[0], model(tokens)[0])


@pytest.mark.parametrize("options", OPTIONS)
def test_the_stepper_reads_as_the_model_does(options: dict[str, Any]) -> None:
    model = make(**options).eval()
    tokens = torch.randint(V, (7, 3))
    expected = model(tokens)[0].detach()
    stepper = TorchStepper(model)
    logits, state = stepper.feed(tokens[:4].T.numpy())
    np.testing.assert_allclose(logits, expected[3].numpy(), rtol=1e-4, atol=1e-5)
    order = np.array([2, 0, 0])
    state = stepper.select(state, order)
    for t in range(4, 7):
        logits, state = stepper.feed(tokens[t : t + 1].T.numpy()[order], state)
        np.testing.assert_allclose(logits, expected[t].numpy()[order], rtol=1e-4, atol=1e-5)
