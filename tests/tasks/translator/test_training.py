"""Learning to translate: what a batch is, what the loss is, and a training that goes on bit for bit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from throughtime.data.sequences import Sequences
from throughtime.tasks.translator.model import Translator
from throughtime.tasks.translator.options import PairTraining, TranslatorNetwork
from throughtime.tasks.translator.prediction import TokenPairs, evaluate
from throughtime.tasks.translator.training import Translation
from throughtime.training.checkpoint import CHECKPOINT, Checkpoint
from throughtime.training.progress import Progress
from throughtime.training.trainer import Interrupted, Trainer

VOCABULARY = 6
END, START = VOCABULARY, VOCABULARY + 1


def token_pairs(count: int = 40, seed: int = 0) -> TokenPairs:
    """Each target is its source backwards."""
    generator = np.random.default_rng(seed)
    arrays = [generator.integers(VOCABULARY, size=generator.integers(1, 7)) for _ in range(count)]
    return TokenPairs(Sequences.in_memory(arrays), Sequences.in_memory([array[::-1] for array in arrays]))


def task(
    pairs: TokenPairs | None = None, validation: TokenPairs | None = None, **options: Any
) -> Translation:
    torch.manual_seed(1)
    config = TranslatorNetwork(
        hidden=8,
        embedding=6,
        **{name: options.pop(name) for name in ("dropout", "attention") if name in options},
    )
    model = Translator(config, VOCABULARY, VOCABULARY)
    options = {"batch": 8, "epochs": 2, "log_every": 1, "tensorboard": False, **options}
    return Translation(model, pairs or token_pairs(), validation, PairTraining(**options))


def test_the_loss_is_the_mean_over_the_tokens_of_all_pairs_whatever_the_batch():
    pairs = token_pairs(7)
    translator = task(pairs)
    translator.model.eval()
    alone = evaluate(translator, pairs, 1)
    together = evaluate(translator, pairs, 7)
    assert together["val_loss"] == pytest.approx(alone["val_loss"], rel=1e-5)
    assert together["val_token_accuracy"] == pytest.approx(alone["val_token_accuracy"])


def test_the_validation_loss_is_not_smoothed():
    pairs = token_pairs(5)
    smooth, plain = (task(pairs, pairs, label_smoothing=share).evaluate() for share in (0.4, 0.0))
    assert smooth == plain
    assert task(pairs).evaluate() == {}


def test_evaluation_leaves_dropout_as_it_was_and_draws_nothing():
    training = task(validation=token_pairs(5), dropout=0.5)
    training.model.train()
    before = torch.get_rng_state()
    assert training.evaluate() == training.evaluate()
    assert training.model.training
    assert torch.equal(before, torch.get_rng_state())


def test_scheduled_sampling_rises_in_a_straight_line():
    training = task(scheduled_sampling=0.4, epochs=2)
    rates = []
    for epoch in range(2):
        training.start_epoch(epoch)
        for _ in range(5):
            rates.append(training._sampling_rate())
            training.next_loss()
    np.testing.assert_allclose(rates, 0.4 * np.arange(10) / 10)


@pytest.mark.parametrize("options", [{}, {"attention": "bahdanau"}, {"scheduled_sampling": 0.5}])
def test_a_training_that_was_stopped_goes_on_bit_for_bit(tmp_path: Path, options: dict[str, Any]):
    def trainer(folder: Path, show: Progress) -> Trainer:
        folder.mkdir(exist_ok=True)
        training = task(validation=token_pairs(6, seed=1), dropout=0.3, **options)
        torch.manual_seed(9)
        return Trainer(training, training._config, folder, show)

    class StopAfter(Progress):
        def stepped(self, position, *_: Any) -> None:
            import os
            import signal

            if position.step == 7:  # in the middle of the second epoch
                os.kill(os.getpid(), signal.SIGINT)

    whole, parts = tmp_path / "whole", tmp_path / "parts"
    trainer(whole, Progress()).train()
    with pytest.raises(Interrupted):
        trainer(parts, StopAfter()).train()
    resumed = trainer(parts, Progress())
    torch.manual_seed(1234)  # the checkpoint has to bring its own
    resumed.resume(Checkpoint.load(parts / CHECKPOINT))
    resumed.train()
    assert (whole / "model.safetensors").read_bytes() == (parts / "model.safetensors").read_bytes()
    assert (parts / CHECKPOINT).exists()


def test_training_lowers_the_validation_loss():
    training = task(validation=token_pairs(30, seed=1), epochs=5)
    before = training.evaluate()["val_loss"]
    optimizer = torch.optim.Adam(training.model.parameters(), 1e-2)
    for epoch in range(5):
        training.start_epoch(epoch)
        while (step := training.next_loss()) is not None:
            optimizer.zero_grad()
            step.loss.backward()
            optimizer.step()
    assert training.evaluate()["val_loss"] < before - 0.1
