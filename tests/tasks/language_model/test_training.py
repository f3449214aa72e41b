"""Truncated BPTT: losses, carried state, where the gradient is cut, evaluation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from throughtime.data import EvaluationStreams
from throughtime.saved import Saved
from throughtime.tasks.language_model.model import LanguageModel
from throughtime.tasks.language_model.options import LanguageNetwork, StreamTraining
from throughtime.tasks.language_model.training import LanguageModelling, evaluate
from throughtime.training import train
from throughtime.training.progress import Progress

V = 7
TOKENS = np.random.default_rng(0).integers(V, size=400).astype(np.uint8)


def make(cell: str = "lstm", **training: Any) -> LanguageModelling:
    torch.manual_seed(0)
    config = LanguageNetwork(cell=cell, hidden=6, embedding=5, dropout=0, output_dropout=0)  # type: ignore[arg-type]
    model = LanguageModel(config, V).double()
    task = LanguageModelling(model, TOKENS[:300], TOKENS[300:], StreamTraining(batch=4, **training))
    task.start_epoch(0)
    return task


@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
@pytest.mark.parametrize("chunk", [1, 5, 16])
def test_chunk_gradients_are_those_of_hand_cut_autograd(cell: str, chunk: int) -> None:
    task = make(cell, chunk=chunk)
    model = task.model
    assert isinstance(model, LanguageModel)
    length = 299 // 4
    inputs = torch.tensor(TOKENS[: 4 * length].reshape(4, length).astype(np.int64).T)
    targets = torch.tensor(TOKENS[1 : 4 * length + 1].reshape(4, length).astype(np.int64).T)
    layers = list(model.recurrent.cells)
    assert model.embedding is not None
    state = [layer.initial_state(4, model.output.weight) for layer in layers]
    for start in range(0, 3 * chunk, chunk):
        step = task.next_loss()
        assert step is not None
        found = torch.autograd.grad(step.loss, list(model.parameters()))
        state = [tuple(part.detach() for part in layer_state) for layer_state in state]
        losses = []
        for t in range(start, start + chunk):
            signal = model.embedding(inputs[t])
            for index, layer in enumerate(layers):
                signal, state[index] = layer(signal, state[index])
            logits = model.output(signal)
            losses.append(-torch.log_softmax(logits, -1).gather(1, targets[t][:, None]).mean())
        loss = torch.stack(losses).mean()
        expected = torch.autograd.grad(loss, list(model.parameters()))
        for one, two in zip(found, expected, strict=True):
            torch.testing.assert_close(one, two)


def test_full_bptt_is_one_chunk_an_epoch() -> None:
    task = make(chunk=0)
    step = task.next_loss()
    assert step is not None
    assert step.tokens == 4 * (299 // 4)
    assert task.epoch_progress == 1.0
    assert task.next_loss() is None


def test_an_epoch_reads_every_step_and_a_new_one_starts_afresh() -> None:
    task = make(chunk=10)
    first = task.next_loss()
    tokens = first.tokens if first else 0
    while step := task.next_loss():
        tokens += step.tokens
    assert tokens == 4 * (299 // 4)
    task.start_epoch(1)
    again = task.next_loss()
    assert first is not None and again is not None
    assert again.loss.item() == first.loss.item()


def test_random_chunks_scale_the_learning_rate() -> None:
    task = make(chunk=20, chunk_mode="random")
    steps = []
    while step := task.next_loss():
        steps.append(step)
    assert len({step.tokens for step in steps}) > 1
    for step in steps:
        assert step.learning_rate_scale == pytest.approx(step.tokens / 4 / 20)


def test_position_and_carried_state_go_on_where_they_were() -> None:
    task = make(chunk=7, chunk_mode="random")
    for _ in range(3):
        task.next_loss()
    state, tensors = task.state()
    tensors = {name: tensor.clone() for name, tensor in tensors.items()}
    expected = [step.loss.item() for step in iter(task.next_loss, None)]
    other = make(chunk=7, chunk_mode="random")
    other.restore(Saved(state, "c.safetensors"), tensors)
    assert [step.loss.item() for step in iter(other.next_loss, None)] == expected


@pytest.mark.parametrize("streams", [1, 3, 50])
def test_evaluation_is_the_mean_over_all_predictions(streams: int) -> None:
    task = make()
    model = task.model
    assert isinstance(model, LanguageModel)
    evaluation = EvaluationStreams(TOKENS[:100], streams)
    losses: list[float] = []
    length = evaluation.length
    model.eval()
    for start in range(0, 99, length):
        piece = torch.tensor(TOKENS[start : min(start + length + 1, 100)].astype(np.int64))
        logits, _ = model(piece[:-1, None])
        losses += (-torch.log_softmax(logits[:, 0], -1).gather(1, piece[1:, None])[:, 0]).tolist()
    model.train()
    assert len(losses) == 99
    assert evaluate(model, evaluation) == pytest.approx(np.mean(losses), rel=1e-5)
    assert model.training


def test_evaluation_leaves_no_trace_in_the_random_generator() -> None:
    task = make()
    before = torch.get_rng_state()
    assert task.evaluate()["val_loss"] > 0
    assert torch.equal(torch.get_rng_state(), before)


def test_showing_samples_changes_no_weights(tmp_path: Path) -> None:
    class Samples(Progress):
        def __init__(self) -> None:
            self.texts: list[str] = []

        def sampled(self, text: str) -> None:
            self.texts.append(text)

    (tmp_path / "text.txt").write_text("the quick brown fox " * 60)
    options: dict[str, Any] = {
        "hidden": 8, "layers": 1, "embedding": 6, "batch": 2, "chunk": 16, "epochs": 2, "threads": 1,
        "tensorboard": False, "output_dropout": 0.2,
    }  # fmt: skip
    show = Samples()
    train(tmp_path / "text.txt", out=tmp_path / "shown", show=show, show_samples=True, **options)
    train(tmp_path / "text.txt", out=tmp_path / "plain", **options)
    assert len(show.texts) == 2 and all(len(text) > 50 for text in show.texts)
    shown, plain = ((tmp_path / name / "model.safetensors").read_bytes() for name in ("shown", "plain"))
    assert shown == plain
