"""Trackers beside a training: they get every line once, and the training goes on without them."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.trackers.recording import Wandb
from throughtime.run.history import METRICS
from throughtime.trackers.following import KNOWN, Trackers

CONFIG = {"task": "language-model", "training": {"epochs": 2}}
LINES: list[dict[str, Any]] = [
    {"step": 2, "epoch": 0.5, "tokens": 8, "seconds": 1, "train_loss": 3.0, "gradient_norm": 1.0},
    {"step": 4, "epoch": 1.0, "tokens": 16, "seconds": 2, "train_loss": 2.0, "learning_rate": 0.1},
    {"step": 4, "epoch": 1.0, "tokens": 16, "seconds": 2, "val_loss": 2.5, "warning": "a word"},
    {"step": 6, "epoch": 1.5, "tokens": 24, "seconds": 3, "train_loss": 1.5, "tokens_per_second": 8.0},
]
AS_TOLD = [
    {"global_step": 2, "epoch": 0.5, "train/loss": 3.0, "grad_norm": 1.0},
    {"global_step": 4, "epoch": 1.0, "train/loss": 2.0, "lr": 0.1},
    {"global_step": 4, "epoch": 1.0, "val/loss": 2.5},
    {"global_step": 6, "epoch": 1.5, "train/loss": 1.5, "tokens_per_second": 8.0},
]


def follow(
    folder: Path, lines: list[dict[str, Any]], said: list[str], name: str = "wandb", **more: Any
) -> None:
    """Log lines as a training does, and end it."""
    trackers = Trackers(folder, [name], CONFIG, said.append, **more)
    for line in lines:
        with (folder / METRICS).open("a") as file:
            file.write(json.dumps(line) + "\n")
        trackers.wrote(line)
    (folder / "loss.png").write_bytes(b"a picture")
    trackers.artifact(folder / "loss.png")
    trackers.close()
    trackers.close()


@pytest.fixture(params=["wandb", "trackio", "wandb offline"])
def library(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Wandb:
    name, _, mode = request.param.partition(" ")
    found = Wandb(name, offline=mode == "offline")
    monkeypatch.setitem(sys.modules, name, found)
    return found


def test_a_tracker_gets_every_line_under_the_names_that_people_know(library: Wandb, tmp_path: Path) -> None:
    said: list[str] = []
    follow(tmp_path, LINES, said, library.__name__)
    assert said == []
    (rows,) = library.runs.values()
    assert [rows[number] for number in range(len(LINES))] == AS_TOLD
    assert library.configs == [CONFIG]
    assert library.calls[-1] == "finish"
    if library.__name__ == "wandb":
        assert library.calls[1:3] == ["define_metric global_step None", "define_metric * global_step"]
        assert "save loss.png" in library.calls


def test_after_a_kill_and_a_resume_nothing_is_doubled_and_nothing_lost(
    library: Wandb, tmp_path: Path
) -> None:
    said: list[str] = []
    follow(tmp_path, LINES[:3], said, library.__name__)
    # The checkpoint was written after the first line: what came later is cut off, and logged again.
    (tmp_path / METRICS).write_text(json.dumps(LINES[0]) + "\n")
    follow(tmp_path, LINES[1:], said, library.__name__)
    assert said == []
    (rows,) = library.runs.values()
    assert [rows[number] for number in sorted(rows)] == AS_TOLD


def test_a_tracker_that_joins_late_is_told_what_was_before(library: Wandb, tmp_path: Path) -> None:
    (tmp_path / METRICS).write_text("".join(json.dumps(line) + "\n" for line in LINES[:2]))
    follow(tmp_path, LINES[2:], [], library.__name__)
    (rows,) = library.runs.values()
    assert [rows[number] for number in sorted(rows)] == AS_TOLD


@pytest.mark.parametrize("call", ["init", "log", "save loss.png", "finish"])
def test_a_failing_call_is_one_remark(call: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    library = Wandb("wandb")
    library.fails_at = call
    monkeypatch.setitem(sys.modules, "wandb", library)
    said: list[str] = []
    follow(tmp_path, LINES, said)
    assert len(said) == 1
    assert said[0].startswith("wandb failed, and the training goes on without it: the network is unreachable")
    assert f"`throughtime track {tmp_path} --to wandb`" in said[0]
    assert (tmp_path / METRICS).read_text().count("\n") == len(LINES)


def test_a_tracker_that_hangs_is_left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    library = Wandb("wandb")
    library.gate.clear()
    monkeypatch.setitem(sys.modules, "wandb", library)
    said: list[str] = []
    follow(tmp_path, LINES, said, patience=0.05)
    library.gate.set()
    assert len(said) == 1 and "was still sending 0.05 seconds after the end" in said[0]


@pytest.mark.parametrize("name", ["wandb", "trackio", "mlflow", "tensorboard"])
def test_a_library_that_is_missing_is_one_remark(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setattr("throughtime.trackers.tensorboard.find_spec", lambda name: None)
    said: list[str] = []
    follow(tmp_path, LINES, said, name)
    assert len(said) == 1 and f"{name} is not installed: install it with `" in said[0]


def test_a_damaged_note_is_one_remark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "wandb", Wandb("wandb"))
    (tmp_path / KNOWN).write_text('{"wandb": {"run": 3}}')
    said: list[str] = []
    follow(tmp_path, LINES, said)
    assert len(said) == 1 and "trackers.json is damaged" in said[0]


def test_what_a_library_prints_is_no_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "wandb", Wandb("wandb"))
    follow(tmp_path, LINES, [])
    print("a result")
    found = capsys.readouterr()
    assert (found.out, found.err) == ("a result\n", "wandb greets\n")


def test_the_folds_of_a_run_are_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    library = Wandb("trackio")
    monkeypatch.setitem(sys.modules, "trackio", library)
    folder = tmp_path / "reviews" / "folds" / "3"
    folder.mkdir(parents=True)
    follow(folder, LINES, [], "trackio")
    (name,) = library.runs
    assert name.startswith("reviews-fold-3-")
