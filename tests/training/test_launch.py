"""Beginning and going on: what of a checkpoint is refused, what a killed start leaves, threads."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.training.test_trainer import SMALL, TEXT, Interrupter, assert_same_outcome
from throughtime.errors import CheckpointError, DataError, RunError
from throughtime.run import Run
from throughtime.training import Interrupted, resume, train
from throughtime.training.checkpoint import CHECKPOINT, Checkpoint, save_tensors
from throughtime.training.progress import Progress
from throughtime.training.trainer import Trainer


class Remarks(Progress):
    """Keeps what the user would read."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def remark(self, text: str) -> None:
        self.texts.append(text)


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was stopped in the middle of an epoch."""
    folder = tmp_path_factory.mktemp("stopped")
    (folder / "text.txt").write_text(TEXT)
    with pytest.raises(Interrupted):
        train(folder / "text.txt", out=folder / "run", show=Interrupter(13), watch="gradients", **SMALL)
    return folder / "run"


def set_number(*names: str, value: Any) -> Callable[[Checkpoint], None]:
    def change(checkpoint: Checkpoint) -> None:
        inner = checkpoint.state
        for name in names[:-1]:
            inner = inner[name]
        inner[names[-1]] = value

    return change


def set_tensor(name: str, value: torch.Tensor | None) -> Callable[[Checkpoint], None]:
    def change(checkpoint: Checkpoint) -> None:
        if value is None:
            del checkpoint.tensors[name]
        else:
            checkpoint.tensors[name] = value

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (set_tensor("optimizer.1.exp_avg", torch.zeros(7)), r"optimizer\.1\.exp_avg has shape \(7,\)"),
        (set_tensor("optimizer.1.exp_avg", None), r"lacks optimizer\.1\.exp_avg"),
        (set_number("optimizer", value={"parameters": []}), "lacks the optimizer's state, after 13 steps"),
        (set_tensor("model.output.bias", torch.zeros(3)), r"model\.output\.bias has shape \(3,\)"),
        (
            set_tensor("model.output.bias", torch.zeros(28, dtype=torch.int64)),
            r"model\.output\.bias (is|has)",
        ),
        (set_tensor("model.more", torch.zeros(3)), r"holds model\.more"),
        (set_tensor("task.carried.0", torch.zeros(2, 4, 12)), r"task\.carried\.0 has shape \(2, 4, 12\)"),
        (set_tensor("task.carried.1", None), r"lacks task\.carried\.1"),
        (set_tensor("task.carried.0", torch.zeros(2, 3, 12).half()), r"task\.carried\.0 is torch\.float16"),
        (set_tensor("random.cpu", torch.zeros(9, dtype=torch.uint8)), r"random\.cpu has shape \(9,\)"),
        (set_tensor("random.cpu", torch.zeros(5056, dtype=torch.uint8)), r"random\.cpu is no state"),
        (set_tensor("random.cpu", None), r"lacks random\.cpu"),
        (set_tensor("other.x", torch.zeros(1)), "'other'"),
        (set_number("position", "step", value=-5), r"position\.step is -5"),
        (set_number("position", "tokens", value=2**70), r"position\.tokens is"),
        (set_number("position", "window", "loss", value=float("nan")), r"position\.window\.loss is nan"),
        (set_number("plateau", "waited", value=9), r"plateau\.waited is 9"),
        (set_number("task", "position", value=10**6), r"task\.position is 1000000"),
        (set_number("task", "chunk", value=0), r"task\.chunk is 0"),
        (set_number("task", "lengths", "state", "state", value=2**128), r"task\.lengths\.state\.state is"),
        (set_number("task", "watch", "norms", value=["x"]), r"task\.watch\.norms is 'x'"),
        (set_number("threads", value=10**9), r"threads is 1000000000"),
        (set_number("log_bytes", value=-1), r"log_bytes is -1"),
        (set_number("log_bytes", value=10**6), r"metrics\.jsonl has [0-9,]+ bytes, and had 1,000,000"),
        (set_number("more", value=1), "holds more"),
    ],
)
def test_a_checkpoint_is_checked_before_it_is_used(
    stopped: Path, tmp_path: Path, change: Callable[[Checkpoint], None], message: str
) -> None:
    folder = tmp_path / "run"
    shutil.copytree(stopped, folder)
    checkpoint = Checkpoint.load(folder / CHECKPOINT)
    change(checkpoint)
    checkpoint.save(folder / CHECKPOINT)
    metrics = (folder / "metrics.jsonl").read_bytes()
    with pytest.raises(CheckpointError, match=message) as raised:
        resume(folder)
    assert str(folder) in str(raised.value) and "\n" not in str(raised.value)
    assert (folder / "metrics.jsonl").read_bytes() == metrics


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="it looks for open files in /proc")
def test_a_refused_checkpoint_leaves_no_log_open(stopped: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(stopped, folder)
    (folder / "metrics.jsonl").write_bytes(b"")
    with pytest.raises(CheckpointError) as raised:
        resume(folder)
    assert raised.tb is not None  # it holds the frames, and with them what nobody closed
    descriptors = [path for path in Path("/proc/self/fd").iterdir() if path.is_symlink()]
    assert str(folder / "metrics.jsonl") not in [os.readlink(path) for path in descriptors]


def test_a_flipped_bit_is_found(stopped: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(stopped, folder)
    for name, message in (
        (str(CHECKPOINT), r"last\.safetensors is damaged: its checksum"),
        ("tokens/text.bin", r"text\.bin is damaged: its checksum"),
    ):
        whole = (folder / name).read_bytes()
        flipped = bytearray(whole)
        flipped[-20] ^= 1
        (folder / name).write_bytes(flipped)
        with pytest.raises(RunError, match=message):
            resume(folder)
        (folder / name).write_bytes(whole)


def test_metrics_that_were_cut_are_not_filled_up(stopped: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(stopped, folder)
    whole = (folder / "metrics.jsonl").read_bytes()
    (folder / "metrics.jsonl").write_bytes(whole[:-3])
    with pytest.raises(CheckpointError, match=rf"metrics\.jsonl has {len(whole) - 3:,} bytes, and had"):
        resume(folder)
    assert (folder / "metrics.jsonl").read_bytes() == whole[:-3]


class Killed(BaseException):
    """Stands for SIGKILL: whatever would be tidied up is not."""


@pytest.mark.parametrize("moment", ["prepare", "checkpoint"])
def test_a_run_that_was_killed_before_its_first_checkpoint_begins_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    (tmp_path / "text.txt").write_text(TEXT)
    train(tmp_path / "text.txt", out=tmp_path / "whole", **SMALL)
    folder = tmp_path / "killed"

    def die(*_: Any, **__: Any) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        # What is made of the folder after a real error stays as it is after a kill.
        patch.setattr(shutil, "rmtree", lambda *_, **__: None)
        if moment == "prepare":
            patch.setattr("throughtime.tasks.language_model.run.write_tokens", die)
        else:
            patch.setattr(Trainer, "_checkpoint", die)
        with pytest.raises(Killed):
            train(tmp_path / "text.txt", out=folder, **SMALL)
    assert (folder / "config.toml").exists() and not (folder / CHECKPOINT).exists()
    (folder / "tokens").mkdir(exist_ok=True)
    (folder / "tokens" / ".text.bin.1.partial").write_bytes(b"half")
    with pytest.raises(RunError, match=r"exists already.*--resume"):
        train(tmp_path / "text.txt", out=folder, **SMALL)
    (tmp_path / "text.txt").rename(tmp_path / "elsewhere.txt")
    with pytest.raises(DataError, match="no such file"):
        resume(folder)
    (tmp_path / "elsewhere.txt").rename(tmp_path / "text.txt")
    show = Remarks()
    resume(folder, show)
    assert "begins from the start" in show.texts[0]
    assert_same_outcome(tmp_path / "whole", folder)
    assert sorted(path.name for path in (folder / "tokens").iterdir()) == ["text.bin", "text.bin.json"]


def test_a_folder_that_was_only_begun_counts_as_empty(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text(TEXT)
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / ".lock").write_text("1")
    (folder / ".config.toml.1.partial").write_text("")
    train(tmp_path / "text.txt", out=folder, **SMALL)
    assert (folder / CHECKPOINT).exists()


def test_links_in_a_run_folder_are_not_written_through(stopped: Path, tmp_path: Path) -> None:
    for name in ("metrics.jsonl", "checkpoints", "tokens"):
        folder, outside = tmp_path / f"run-{name}", tmp_path / f"outside-{name}"
        shutil.copytree(stopped, folder)
        (folder / name).rename(outside)
        (folder / name).symlink_to(outside)
        with pytest.raises(RunError, match=rf"{name} is a symbolic link, and nothing is written through one"):
            resume(folder)
    folder, outside = tmp_path / "run", tmp_path / "outside"
    shutil.copytree(stopped, folder)
    outside.write_bytes(b"mine")
    for name in ("loss.png", "model.safetensors", "config.toml"):
        if name == "config.toml":
            outside.write_bytes((folder / name).read_bytes())
        (folder / name).unlink(missing_ok=True)
        (folder / name).symlink_to(outside)
    content = outside.read_bytes()
    resume(folder, epochs=3)
    assert outside.read_bytes() == content
    assert not [path for path in folder.rglob("*") if path.is_symlink()]


def test_other_threads_are_taken_and_their_price_is_said(stopped: Path, tmp_path: Path) -> None:
    try:
        for threads, message in ((2, r"had 1 threads and goes on with 2.*last bits"), (1, None)):
            folder, show = tmp_path / f"run{threads}", Remarks()
            shutil.copytree(stopped, folder)
            run, _ = resume(folder, show, threads=threads)
            assert run.config.training.threads == threads
            assert Checkpoint.load(folder / CHECKPOINT).state["threads"] == threads
            assert bool(show.texts) == (message is not None)
    finally:
        torch.set_num_threads(1)


def test_a_checkpoint_of_a_larger_machine_goes_on_with_a_warning(
    stopped: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, show = tmp_path / "run", Remarks()
    shutil.copytree(stopped, folder)
    checkpoint = Checkpoint.load(folder / CHECKPOINT)
    checkpoint.state["threads"] = 4
    checkpoint.save(folder / CHECKPOINT)
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    try:
        resume(folder, show)
    finally:
        torch.set_num_threads(1)
    assert "2 processors, and --threads 2 would be faster" in show.texts[0]


def test_a_model_without_gradients_in_some_parts_resumes(tmp_path: Path) -> None:
    options = {**SMALL, "learned_initial_state": True, "evaluate_every": 5}
    (tmp_path / "text.txt").write_text(TEXT)
    with pytest.raises(Interrupted):
        train(tmp_path / "text.txt", out=tmp_path / "run", show=Interrupter(3), **options)
    resume(tmp_path / "run")


def test_the_last_line_has_the_last_epoch(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text(TEXT)
    train(tmp_path / "text.txt", out=tmp_path / "run", **{**SMALL, "epochs": 1, "evaluate_every": 20})
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    epochs = [line["epoch"] for line in lines]
    assert epochs == sorted(epochs)
    assert epochs[-1] == 1.0


def test_info_says_what_is_wrong_with_a_position(stopped: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(stopped, folder)
    save_tensors(folder / "model.safetensors", {"output.weight": torch.zeros(1, 1)}, {})
    for position in ({"step": "x"}, [], None, 3):
        checkpoint = Checkpoint.load(folder / CHECKPOINT)
        checkpoint.state["position"] = position
        checkpoint.save(tmp_path / "c")
        shutil.copy(folder / CHECKPOINT, tmp_path / "whole")
        shutil.copy(tmp_path / "c", folder / CHECKPOINT)
        with pytest.raises(CheckpointError, match="position"):
            Run.open(folder).describe()
        shutil.copy(tmp_path / "whole", folder / CHECKPOINT)


def test_a_longer_training_that_was_killed_goes_on(stopped: Path, tmp_path: Path) -> None:
    class Kill(Progress):
        def stepped(self, *_: Any) -> None:
            raise Killed

    folder = tmp_path / "run"
    shutil.copytree(stopped, folder)
    resume(folder)
    with pytest.raises(Killed):
        resume(folder, Kill(), epochs=3)
    _, position = resume(folder)
    assert (position.epoch, position.finished) == (3, True)
