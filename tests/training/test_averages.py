"""Averages of weights: moving, of the last evaluations; and the weights of the best evaluations."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from tests.training.test_trainer import SMALL, TEXT
from throughtime.errors import CheckpointError
from throughtime.run.history import read_metrics
from throughtime.run.position import Position
from throughtime.training import Interrupted, resume, train
from throughtime.training.averages import KeptWeights, MovingAverage
from throughtime.training.callbacks import EvaluationEvent, StepEvent
from throughtime.training.checkpoint import CHECKPOINT, Checkpoint, read_tensors, save_tensors
from throughtime.training.progress import Progress


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "text.txt"
    path.write_text(TEXT)
    return path


class Remarks(Progress):
    """Keeps what a user would be told."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def remark(self, text: str) -> None:
        self.said.append(text)


def test_a_moving_average_is_the_sum_that_its_equation_says() -> None:
    torch.manual_seed(0)
    model = nn.Linear(3, 2)
    average = MovingAverage(model, 0.5)
    expected = model.weight.detach().double()
    for step in range(1, 20):
        with torch.no_grad():
            model.weight += torch.randn(2, 3)
        average.update(step)
        decay = min(0.5, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * model.weight.detach().double()
    own = model.weight.detach().clone()
    with average.in_place():
        assert torch.allclose(model.weight.double(), expected, atol=1e-6)
    assert torch.equal(model.weight, own)
    assert torch.allclose(average.tensors["weight"].double(), expected, atol=1e-6)


def test_without_a_decay_nothing_is_kept_or_changed() -> None:
    model = nn.Linear(2, 2)
    average = MovingAverage(model, 0.0)
    average.update(1)
    own = model.weight.detach().clone()
    with average.in_place():
        assert torch.equal(model.weight, own)
    assert average.tensors == {}


def test_a_training_evaluates_and_keeps_its_moving_average(tmp_path: Path, text: Path) -> None:
    options: dict[str, Any] = {**SMALL, "epochs": 4, "learning_rate": 0.02, "validation_fraction": 0.2}
    plain = train(text, out=tmp_path / "plain", **options)
    run = train(text, out=tmp_path / "ema", ema=0.9, **options)
    checkpoint, other = (Checkpoint.load(one.folder / CHECKPOINT) for one in (run, plain))
    for name, tensor in other.group("model").items():
        assert torch.equal(checkpoint.group("model")[name], tensor), (
            "the average must not change the training"
        )
    weights, _ = read_tensors(run.folder / "model.safetensors")
    averages = checkpoint.group("ema")
    assert averages and all(torch.equal(weights[name], tensor) for name, tensor in averages.items())
    losses = [[e["val_loss"] for e in read_metrics(one.folder) if "val_loss" in e] for one in (plain, run)]
    assert losses[0] != losses[1]


def test_a_damaged_moving_average_is_refused(tmp_path: Path, text: Path) -> None:
    run = train(text, out=tmp_path / "run", ema=0.9, **SMALL)
    checkpoint = Checkpoint.load(run.folder / CHECKPOINT)
    name = next(name for name in checkpoint.tensors if name.startswith("ema."))
    del checkpoint.tensors[name]
    checkpoint.save(run.folder / CHECKPOINT)
    with pytest.raises(CheckpointError, match=f"lacks {name}"):
        resume(run.folder, epochs=3)


@pytest.mark.parametrize("keep", ["best", "last"])
def test_the_mean_of_the_last_weights_is_tried_at_the_end(tmp_path: Path, text: Path, keep: str) -> None:
    show = Remarks()
    run = train(text, out=tmp_path / "run", show=show, average=3, keep=keep, evaluate_every=5, **SMALL)
    entries = read_metrics(run.folder)
    steps = [entry["step"] for entry in entries if "val_loss" in entry]
    files = sorted((run.folder / "checkpoints").glob("step-*"), key=lambda path: int(path.stem[5:]))
    assert [int(path.stem[5:]) for path in files] == steps[-3:]
    (mean,) = (entry["mean_val_loss"] for entry in entries if "mean_val_loss" in entry)
    best = min(entry["val_loss"] for entry in entries if "val_loss" in entry)
    (said,) = (one for one in show.said if "mean of the weights of the last 3 evaluations" in one)
    assert said.endswith("(kept)") == (keep == "last" or mean < best)
    weights, _ = read_tensors(run.folder / "model.safetensors")
    if said.endswith("(kept)"):
        kept = [read_tensors(path)[0] for path in files]
        for name, tensor in weights.items():
            assert torch.allclose(tensor, torch.stack([one[name] for one in kept]).mean(0), atol=1e-6)


def test_one_evaluation_has_no_mean_and_the_user_hears_it(tmp_path: Path, text: Path) -> None:
    show = Remarks()
    train(text, out=tmp_path / "run", show=show, average=3, **{**SMALL, "epochs": 1})
    assert any("--average had nothing to do" in one for one in show.said)


def test_the_best_weights_are_kept_and_the_very_best_is_the_runs(tmp_path: Path, text: Path) -> None:
    options: dict[str, Any] = {**SMALL, "evaluate_every": 3, "learning_rate": 0.02, "epochs": 3}
    run = train(text, out=tmp_path / "run", keep_best=2, **options)
    entries = [entry for entry in read_metrics(run.folder) if "val_loss" in entry]
    best = sorted(entries, key=lambda entry: entry["val_loss"])[:2]
    files = {path.name for path in (run.folder / "checkpoints").glob("step-*")}
    assert files == {f"step-{entry['step']}.safetensors" for entry in best}
    first = run.folder / "checkpoints" / f"step-{best[0]['step']}.safetensors"
    assert first.read_bytes() == (run.folder / "model.safetensors").read_bytes()
    first.unlink()
    with pytest.raises(CheckpointError, match=f"{first.name} is missing"):
        resume(run.folder, epochs=4)


def test_files_of_later_evaluations_go_when_an_earlier_checkpoint_is_resumed(tmp_path: Path) -> None:
    kept = KeptWeights(tmp_path, last=1, best=2, higher_is_better=True)
    for step, score in ((1, 0.5), (2, 0.7), (3, 0.6), (4, 0.1)):
        kept.add(step, score, {"w": torch.tensor([float(step)])}, {})
    assert len([*tmp_path.iterdir()]) == 4  # until the checkpoint is written
    kept.clear()
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"step-{n}.safetensors" for n in (2, 3, 4)]


def test_a_mean_of_files_that_do_not_belong_together_is_refused(tmp_path: Path) -> None:
    kept = KeptWeights(tmp_path, last=2, best=1, higher_is_better=False)
    kept.add(1, 1.0, {"w": torch.zeros(2)}, {})
    kept.add(2, 0.9, {"w": torch.zeros(2)}, {})
    save_tensors(tmp_path / "step-2.safetensors", {"w": torch.zeros(3)}, {})
    with pytest.raises(CheckpointError, match="step-2.safetensors: w has shape"):
        kept.mean()


def test_what_a_callback_reads_is_the_averaged_run(tmp_path: Path, text: Path) -> None:
    found: list[float] = []

    def look(event: EvaluationEvent) -> None:
        weights, _ = read_tensors(event.run.folder / "model.safetensors")
        found.append(sum(float(tensor.double().sum()) for tensor in weights.values()))

    def count(event: StepEvent) -> None:
        assert event.step > 0

    run = train(text, out=tmp_path / "run", ema=0.8, keep="last", on_evaluation=look, on_step=count, **SMALL)
    weights, _ = read_tensors(run.folder / "model.safetensors")
    assert found[-1] == sum(float(tensor.double().sum()) for tensor in weights.values())


def test_a_signal_in_the_last_evaluation_leaves_the_mean_to_be_tried(tmp_path: Path, text: Path) -> None:
    options: dict[str, Any] = {**SMALL, "average": 3, "evaluate_every": 5}
    steps = 2 * options["evaluate_every"]

    class Stop(Remarks):
        def evaluated(self, position: Position, *_: Any) -> None:
            if position.step == steps:
                os.kill(os.getpid(), signal.SIGINT)

    # The training is over when early stopping says so in the evaluation that the signal comes in.
    stopping = {**options, "early_stopping": 1, "learning_rate": 1e-12, "schedule": "constant"}
    with pytest.raises(Interrupted):
        train(text, out=tmp_path / "run", show=Stop(), **stopping)
    assert Checkpoint.load(tmp_path / "run" / CHECKPOINT).state["position"]["finished"]
    show = Remarks()
    run, _ = resume(tmp_path / "run", show)
    assert any("mean of the weights of the last" in one for one in show.said)
    assert any("mean_val_loss" in entry for entry in read_metrics(run.folder))
    again = Remarks()
    resume(tmp_path / "run", again)
    assert not any("mean of the weights" in one for one in again.said)
