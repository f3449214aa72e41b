"""Language models of PyTorch as runs of ours."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from throughtime.data import Tokenizer
from throughtime.errors import DataError, RunError
from throughtime.interchange import import_language_model

TOKENIZER = Tokenizer.train_on_texts("character", ["to be, or not"])
V = TOKENIZER.vocabulary_size


class Theirs(nn.Module):
    """A language model as people write it."""

    def __init__(self, rnn: nn.RNNBase, embedding: int | None, size: int, bias: bool = True) -> None:
        super().__init__()
        self.embed = None if embedding is None else nn.Embedding(V, embedding)
        self.rnn = rnn
        self.head = nn.Linear(size, V, bias=bias)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        x = nn.functional.one_hot(tokens, V).float() if self.embed is None else self.embed(tokens)
        return self.head(self.rnn(x)[0])


MODELS: dict[str, tuple[Theirs, dict[str, Any]]] = {
    "lstm": (Theirs(nn.LSTM(3, 5, num_layers=2), 3, 5), {}),
    "gru, one-hot": (Theirs(nn.GRU(V, 5), None, 5), {}),
    "rnn, relu": (Theirs(nn.RNN(3, 5, nonlinearity="relu"), 3, 5), {"activation": "relu"}),
    "lstm, projection": (Theirs(nn.LSTM(3, 5, proj_size=2), 3, 2), {}),
    "no biases in the recurrence": (Theirs(nn.LSTM(3, 5, bias=False), 3, 5), {}),
    "no bias in the output layer": (Theirs(nn.GRU(3, 5), 3, 5, bias=False), {}),
    "as wide inside as outside": (Theirs(nn.LSTM(5, 5), 5, 5), {}),
    "the same without a bias": (
        Theirs(nn.LSTM(5, 5), 5, 5, bias=False),
        {"embedding": "embed.weight", "output": "head.weight"},
    ),
}


@pytest.mark.parametrize("name", MODELS)
def test_the_run_gives_the_models_logits(name: str, tmp_path: Path) -> None:
    theirs, options = MODELS[name]
    run = import_language_model(theirs.state_dict(), TOKENIZER, tmp_path / "run", **options)
    tokens = torch.randint(V, (7, 2))
    with torch.inference_mode():
        logits, _ = run.model(tokens)
        torch.testing.assert_close(logits, theirs(tokens))
    assert run.config.model.embedding == (0 if theirs.embed is None else theirs.rnn.input_size)
    assert len(run.sample("to", length=5, seed=1)) == len("to") + 5


@pytest.mark.parametrize("saved_twice", [True, False])
def test_tied_weights_are_seen(saved_twice: bool, tmp_path: Path) -> None:
    theirs = Theirs(nn.LSTM(5, 5), 5, 5)
    assert theirs.embed is not None
    theirs.embed.weight = theirs.head.weight
    state = dict(theirs.state_dict())
    if not saved_twice:
        del state["embed.weight"]
    run = import_language_model(state, TOKENIZER, tmp_path / "run")
    assert run.config.model.tie_weights
    tokens = torch.randint(V, (7, 2))
    with torch.inference_mode():
        torch.testing.assert_close(run.model(tokens)[0], theirs(tokens))


def test_a_file_will_do(tmp_path: Path) -> None:
    theirs, _ = MODELS["lstm"]
    save_file(theirs.state_dict(), tmp_path / "weights.safetensors")
    run = import_language_model(tmp_path / "weights.safetensors", TOKENIZER, tmp_path / "run")
    assert run.config.source == str(tmp_path / "weights.safetensors")
    assert {path.name for path in run.folder.iterdir()} == {
        "README.md",
        "config.json",
        "config.toml",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    }
    with pytest.raises(RunError, match="run exists already"):
        import_language_model(theirs.state_dict(), TOKENIZER, tmp_path / "run")


def test_what_is_no_such_model_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    state = MODELS["lstm"][0].state_dict()
    wide = MODELS["the same without a bias"][0].state_dict()
    other = Tokenizer.train_on_texts("character", ["abc"])
    for weights, tokenizer, options, message in [
        ({**state, "norm.weight": torch.ones(5)}, TOKENIZER, {}, r"holds norm\.weight \(5,\) besides"),
        (
            state,
            other,
            {},
            r"which matrix is the output, \(3, 5\) for 3 tokens, cannot be told among embed",
        ),
        (wide, TOKENIZER, {}, r"is the output.*--output names it"),
        (wide, TOKENIZER, {"output": "x"}, r"is the output, .* embed\.weight \(8, 5\), head\.weight"),
        (state, TOKENIZER, {"embedding": "head.weight"}, "which matrix is the embedding"),
        (nn.LSTM(3, 5, bidirectional=True).state_dict(), TOKENIZER, {}, "has seen the next token"),
        (nn.Linear(3, 5).state_dict(), TOKENIZER, {}, "no recurrent layer"),
        ({f"weight_ih_l{'1' * 5000}": torch.ones(8, 2)}, TOKENIZER, {}, r"begin with weight_ih_l1{49}$"),
    ]:
        with pytest.raises(DataError, match=message):
            import_language_model(weights, tokenizer, tmp_path / "run", **options)
        assert not (tmp_path / "run").exists()


def test_numpy_is_enough(tmp_path: Path) -> None:
    state = {name: tensor.numpy() for name, tensor in MODELS["lstm"][0].state_dict().items()}
    np.savez(tmp_path / "weights.npz", **state)
    assert (
        import_language_model(tmp_path / "weights.npz", TOKENIZER, tmp_path / "run").config.model.layers == 2
    )
