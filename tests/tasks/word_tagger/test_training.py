"""Training a word tagger: the loss, rare words, resuming."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from throughtime.tasks.word_tagger.training import WordTagging, sentence_losses
from throughtime.training import resume, train

from .runs import SMALL, trained, write_names


def task_of(folder: Path, **options: float) -> WordTagging:
    run = trained(folder, epochs=1, **options)
    task = run.make_task(run.build_model(), torch.device("cpu"))
    assert isinstance(task, WordTagging)
    return task


def test_the_loss_is_a_mean_over_words(tmp_path: Path) -> None:
    task = task_of(tmp_path, rare_words=0.0)
    task.model.eval()
    one, two = task.loss(np.array([0])), task.loss(np.array([1]))
    both = task.loss(np.array([0, 1]))
    assert both.tokens == one.tokens + two.tokens
    expected = (one.loss * one.tokens + two.loss * two.tokens) / both.tokens
    assert both.loss.item() == pytest.approx(expected.item(), rel=1e-5)


def test_rare_words_are_hidden_the_more_often(tmp_path: Path) -> None:
    task = task_of(tmp_path, rare_words=4.0)
    words = torch.arange(len(task._chances)).repeat(4_000, 1)
    hidden = (task._without_rare(words) == len(task._chances) - 1).float().mean(0)
    counts = torch.from_numpy(task._prepared.counts)
    torch.testing.assert_close(hidden[:-1], 4 / (4 + counts).float(), atol=0.05, rtol=0)


def test_without_a_crf_the_loss_is_the_cross_entropy(tmp_path: Path) -> None:
    run = trained(tmp_path, epochs=1, crf=False)
    model = run.build_model()
    emissions, tags = torch.randn(3, 2, 4), torch.randint(4, (3, 2))
    found = sentence_losses(model, emissions, tags, torch.tensor([3, 1]))
    expected = torch.nn.functional.cross_entropy(emissions[:1, 1], tags[:1, 1])
    assert found[1].item() == pytest.approx(expected.item())


def test_a_training_that_is_stopped_ends_with_the_same_bits(tmp_path: Path) -> None:
    source = write_names(tmp_path / "n.conll")
    whole = train(source, out=tmp_path / "whole", **SMALL, epochs=3, schedule="constant", warmup=0.0)
    train(source, out=tmp_path / "part", **SMALL, epochs=1, schedule="constant", warmup=0.0)
    part, _ = resume(tmp_path / "part", epochs=3)
    assert (whole.folder / "model.safetensors").read_bytes() == (
        part.folder / "model.safetensors"
    ).read_bytes()


def test_two_trainings_with_one_seed_are_equal(tmp_path: Path) -> None:
    source = write_names(tmp_path / "n.conll")
    runs = [train(source, out=tmp_path / name, **SMALL, epochs=1) for name in ("a", "b")]
    first, second = ((run.folder / "model.safetensors").read_bytes() for run in runs)
    assert first == second
