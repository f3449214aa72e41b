"""The training loop: clipping, resume bit for bit, early stopping, divergence, what the folder holds."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

import throughtime as tt
from tests.trackers.recording import Wandb
from throughtime.config import TrainingConfig, resolve
from throughtime.errors import CheckpointError, DataError, DivergedError, OptionError, RunError
from throughtime.run import CONFIG
from throughtime.run.history import read_metrics
from throughtime.training import Interrupted, resume, start, train
from throughtime.training.checkpoint import CHECKPOINT, Checkpoint
from throughtime.training.log import draw_loss
from throughtime.training.machine import resolve_precision
from throughtime.training.progress import Progress
from throughtime.training.trainer import Position, clip_gradients

TEXT = "To be, or not to be, that is the question:\nWhether 'tis nobler in the mind to suffer\n" * 12
SMALL: dict[str, Any] = {
    "hidden": 12,
    "embedding": 6,
    "batch": 3,
    "chunk": 10,
    "epochs": 2,
    "log_every": 7,
    "threads": 1,
    "tensorboard": False,
}


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "text.txt"
    path.write_text(TEXT)
    return path


class Interrupter(Progress):
    """Sends SIGINT to this process after a number of steps."""

    def __init__(self, at: int) -> None:
        self.at = at

    def stepped(self, position: Position, *_: Any) -> None:
        if position.step == self.at:
            os.kill(os.getpid(), signal.SIGINT)


def outcome(folder: Path) -> tuple[dict[str, torch.Tensor], list[dict[str, Any]], dict[str, Any]]:
    """All that has to be equal bit for bit: tensors, metrics and position, without the measured times."""
    checkpoint = Checkpoint.load(folder / CHECKPOINT)
    metrics = read_metrics(folder)
    for entry in metrics:
        entry.pop("seconds"), entry.pop("tokens_per_second", None)
    state = checkpoint.state
    state["position"].pop("seconds"), state["position"]["window"].pop("seconds"), state.pop("log_bytes")
    return checkpoint.tensors, metrics, state


def assert_same_outcome(one: Path, two: Path) -> None:
    (tensors, metrics, state), (others, other_metrics, other_state) = outcome(one), outcome(two)
    assert sorted(tensors) == sorted(others)
    for name, tensor in tensors.items():
        assert torch.equal(tensor, others[name]), name
    assert metrics == other_metrics
    assert state == other_state
    for path in [one / "model.safetensors", *(one / "checkpoints").glob("step-*")]:
        assert path.read_bytes() == (two / path.relative_to(one)).read_bytes()
    assert len([*(one / "checkpoints").iterdir()]) == len([*(two / "checkpoints").iterdir()])


VARIANTS: list[dict[str, Any]] = [
    {},
    {"cell": "gru", "optimizer": "sgd", "momentum": 0.9, "schedule": "plateau", "evaluate_every": 5},
    {"cell": "rnn", "chunk_mode": "random", "precision": "bf16", "learned_initial_state": True},
    {"dropout": 0.3, "zoneout": 0.1, "locked_dropout": True, "embedding": 0, "schedule": "zaremba"},
    {"chunk": 0, "clip_value": 0.01, "validation_fraction": 0.0, "epochs": 20, "log_every": 3},
    {"layer_norm": True, "zoneout": 0.1, "kernel": "native"},
    {"ema": 0.9, "average": 3, "keep_best": 2, "evaluate_every": 4},
]


@pytest.mark.parametrize("options", VARIANTS)
@pytest.mark.parametrize("at", [1, 13])
def test_a_stopped_training_goes_on_bit_for_bit(
    tmp_path: Path, text: Path, options: dict[str, Any], at: int
) -> None:
    options = {**SMALL, **options}
    train(text, out=tmp_path / "whole", **options)
    with pytest.raises(Interrupted) as raised:
        train(text, out=tmp_path / "parts", show=Interrupter(at), **options)
    assert raised.value.step == at
    with pytest.raises(Interrupted):
        resume(tmp_path / "parts", Interrupter(at + 1))
    resume(tmp_path / "parts")
    assert_same_outcome(tmp_path / "whole", tmp_path / "parts")


def test_the_same_seed_trains_the_same_model_and_another_seed_another(tmp_path: Path, text: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        train(text, out=tmp_path / name, seed=seed, **SMALL)
    weights = [(tmp_path / name / "model.safetensors").read_bytes() for name in "abc"]
    assert weights[0] == weights[1] != weights[2]


def test_training_learns_and_keeps_the_best_weights(tmp_path: Path, text: Path) -> None:
    run = train(text, out=tmp_path / "run", **{**SMALL, "epochs": 15, "hidden": 32, "learning_rate": 0.02})
    losses = [entry["val_loss"] for entry in read_metrics(run.folder) if "val_loss" in entry]
    assert len(losses) == 15
    assert min(losses) < 1.3 < 2.0 < losses[0]
    held_out = tmp_path / "held_out.txt"
    held_out.write_text(TEXT[int(len(TEXT) * 0.9) :])
    # the same text, cut into the streams of the evaluation during training
    assert run.evaluate(held_out, streams=16).nats_per_token == pytest.approx(min(losses), rel=1e-5)


def test_metrics_have_the_promised_fields(tmp_path: Path, text: Path) -> None:
    run = train(text, out=tmp_path / "run", **SMALL)
    lines = [json.loads(line) for line in (run.folder / "metrics.jsonl").read_text().splitlines()]
    for line in lines:
        assert {"step", "epoch", "tokens", "seconds"} <= set(line)
    training = [line for line in lines if "train_loss" in line]
    assert all({"gradient_norm", "learning_rate", "tokens_per_second"} <= set(line) for line in training)
    assert [line["step"] for line in lines] == sorted(line["step"] for line in lines)
    assert lines[-1]["tokens"] == 2 * 3 * ((int(len(TEXT) * 0.9) - 1) // 3)
    assert {path.name for path in run.folder.iterdir()} == {
        ".lock",
        "README.md",
        "checkpoints",
        "config.json",
        "config.toml",
        "loss.png",
        "metrics.jsonl",
        "model.safetensors",
        "program.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "tokens",
    }


def test_tensorboard_gets_the_same_numbers(tmp_path: Path, text: Path) -> None:
    run = train(text, out=tmp_path / "run", **{**SMALL, "tensorboard": True})
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(run.folder))
    events.Reload()
    written = [entry for entry in read_metrics(run.folder) if "val_loss" in entry]
    found = [(event.step, event.value) for event in events.Scalars("val/loss")]
    assert found == [(entry["step"], pytest.approx(entry["val_loss"])) for entry in written]


def test_a_training_goes_on_whatever_becomes_of_a_tracker(
    tmp_path: Path, text: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = Wandb("wandb")
    monkeypatch.setitem(sys.modules, "wandb", library)
    monkeypatch.setitem(sys.modules, "mlflow", None)
    said: list[str] = []
    show = Progress()
    show.remark = said.append  # type: ignore[method-assign]
    run = train(text, out=tmp_path / "run", show=show, track=["wandb", "mlflow"], **SMALL)
    assert [remark for remark in said if "mlflow failed, and the training goes on without it" in remark]
    (rows,) = library.runs.values()
    entries = read_metrics(run.folder)
    assert [rows[place].get("train/loss") for place in range(len(entries))] == [
        entry.get("train_loss") for entry in entries
    ]
    longer, _ = resume(run.folder, epochs=3, track=["wandb"])
    assert longer.config.training.track == ["wandb"]
    assert len(rows) == len(read_metrics(run.folder)) > len(entries)


def test_early_stopping_ends_the_training(tmp_path: Path, text: Path) -> None:
    # A rate this low cannot improve float32 weights.
    options = {**SMALL, "epochs": 9, "early_stopping": 2, "learning_rate": 1e-12, "schedule": "constant"}
    _, position = start(resolve(options, {"source": str(text)}), tmp_path / "run", Progress())
    assert position.finished
    assert position.epoch < 9


def test_a_longer_training_goes_on_after_the_last_epoch(tmp_path: Path, text: Path) -> None:
    train(text, out=tmp_path / "run", **SMALL)
    with pytest.raises(OptionError, match="not above the 2 epochs already done"):
        resume(tmp_path / "run", epochs=2)
    run, position = resume(tmp_path / "run", epochs=3)
    assert (position.epoch, run.config.training.epochs) == (3, 3)
    again, same = resume(tmp_path / "run")
    assert same.step == position.step


def test_divergence_stops_and_keeps_the_last_good_checkpoint(tmp_path: Path, text: Path) -> None:
    options = {**SMALL, "optimizer": "sgd", "learning_rate": 1e6, "clip_norm": 0.0, "warmup": 0.0}
    with pytest.raises(DivergedError, match=r"diverged at step \d+: .*lower --learning-rate"):
        train(text, out=tmp_path / "run", **options)
    tensors = Checkpoint.load(tmp_path / "run" / CHECKPOINT).group("model")
    assert all(tensor.isfinite().all() for tensor in tensors.values())


def test_a_watched_divergence_says_where_the_gradient_used_to_be(tmp_path: Path, text: Path) -> None:
    options = {**SMALL, "optimizer": "sgd", "learning_rate": 1e6, "clip_norm": 0.0, "warmup": 0.0}
    with pytest.raises(DivergedError, match=r"90th percentile of the gradient's norm was \d"):
        train(text, out=tmp_path / "run", watch="gradients", **options)


@pytest.mark.parametrize("every", [1, 4, 7])
def test_no_step_is_evaluated_twice(tmp_path: Path, text: Path, every: int) -> None:
    run = train(text, out=tmp_path / "run", **{**SMALL, "evaluate_every": every})
    steps = [entry["step"] for entry in read_metrics(run.folder) if "val_loss" in entry]
    last = max(entry["step"] for entry in read_metrics(run.folder))
    assert steps == sorted({*range(every, last + 1, every), last})


def test_gradients_are_clipped_by_exactly_threshold_over_norm() -> None:
    def model() -> torch.nn.Linear:
        linear = torch.nn.Linear(2, 1, bias=False)
        linear.weight.grad = torch.tensor([[3.0, -4.0]])
        return linear

    one = model()
    assert clip_gradients(one, max_norm=2.5, max_value=0) == 5
    assert one.weight.grad is not None
    assert one.weight.grad.tolist() == [[1.5, -2.0]]
    two = model()
    assert clip_gradients(two, max_norm=0, max_value=3.5) == 5
    assert two.weight.grad is not None
    assert two.weight.grad.tolist() == [[3.0, -3.5]]
    three = model()
    assert clip_gradients(three, max_norm=6, max_value=0) == 5
    assert three.weight.grad is not None
    assert three.weight.grad.tolist() == [[3.0, -4.0]]


def test_what_cannot_start_leaves_nothing_behind(tmp_path: Path, text: Path) -> None:
    short, invalid = tmp_path / "short.txt", tmp_path / "invalid.txt"
    short.write_text("abc")
    invalid.write_bytes(b"abc\xff" * 100)
    for source, message in [
        (short, r"2 training tokens are fewer than one chunk of 10 steps in 3 streams \(31\)"),
        (invalid, "byte 0xff at offset 3"),
        (tmp_path / "none.txt", "no such file"),
    ]:
        with pytest.raises(DataError, match=message):
            train(source, out=tmp_path / "run", **SMALL)
        assert not (tmp_path / "run").exists()
    # Names that PyTorch knows, too: one without numbers, one of a module that is missing, one it warns of.
    for device in ("abacus", "meta", "hpu", "mkldnn"):
        with pytest.raises(OptionError, match=f"--device '{device}' is unknown: use auto, cpu"):
            train(text, out=tmp_path / "run", device=device, **SMALL)
    train(text, out=tmp_path / "run", **SMALL)
    with pytest.raises(RunError, match=r"exists already.*--resume"):
        train(text, out=tmp_path / "run", **SMALL)


def test_damaged_runs_are_named(tmp_path: Path, text: Path) -> None:
    folder = tmp_path / "run"
    train(text, out=folder, **SMALL)
    checkpoint = folder / CHECKPOINT
    content = checkpoint.read_bytes()
    checkpoint.write_bytes(content[: len(content) // 2])
    with pytest.raises(CheckpointError, match=r"last\.safetensors is damaged"):
        resume(folder)
    checkpoint.unlink()
    with pytest.raises(RunError, match=r"has trained weights and no checkpoints/last\.safetensors"):
        resume(folder)
    with pytest.raises(RunError, match="not a run folder"):
        resume(tmp_path)
    # another model's weights
    other = train(text, out=tmp_path / "other", **{**SMALL, "hidden": 13})
    (folder / "model.safetensors").write_bytes((other.folder / "model.safetensors").read_bytes())
    with pytest.raises(RunError, match=r"expected .*: it does not belong to this config"):
        _ = tt.load(folder).model


def test_precision_is_fp32_unless_asked_for() -> None:
    cpu = torch.device("cpu")
    assert resolve_precision(TrainingConfig(), cpu) == "fp32"
    assert resolve_precision(TrainingConfig(precision="bf16"), cpu) == "bf16"
    assert resolve_precision(TrainingConfig(precision="auto"), cpu) in ("fp32", "bf16")


def test_the_picture_is_drawn_without_a_display(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").write_text(
        '{"step": 1, "epoch": 0.5, "train_loss": 2.0}\n{"step": 2, "epoch": 1.0, "val_loss": 1.5}\n{"cut off'
    )
    assert draw_loss(tmp_path).read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("option", ["hidden", "layers", "embedding"])
def test_sizes_of_another_config_are_refused_before_they_take_memory(
    option: str, tmp_path: Path, text: Path
) -> None:
    folder = tmp_path / "run"
    with pytest.raises(Interrupted):
        train(text, out=folder, show=Interrupter(2), **SMALL)
    config = (folder / CONFIG).read_text()
    size = next(line for line in config.splitlines() if line.startswith(f"{option} ="))
    (folder / CONFIG).write_text(config.replace(size, f"{option} = {60 if option == 'layers' else 65_536}"))
    with pytest.raises(CheckpointError, match=r"last\.safetensors.* does not belong to this config\.toml"):
        resume(folder)
