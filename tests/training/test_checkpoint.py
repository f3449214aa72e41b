"""Checkpoint files: round trips, damage, and weights that do not fit."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from throughtime.errors import CheckpointError, RunError
from throughtime.training.checkpoint import (
    Checkpoint,
    load_weights,
    save_tensors,
)


def test_a_checkpoint_reads_back(tmp_path: Path) -> None:
    checkpoint = Checkpoint({"step": 3, "text": "한", "none": None, "pi": 3.141592653589793})
    checkpoint.add("model", {"a.b": torch.randn(3, 4)[:, ::2], "empty": torch.zeros(0, 2)})
    checkpoint.add("task", {"carried.0": torch.randn(2).bfloat16()})
    checkpoint.save(tmp_path / "c.safetensors")
    loaded = Checkpoint.load(tmp_path / "c.safetensors")
    assert loaded.state == checkpoint.state
    assert sorted(loaded.tensors) == ["model.a.b", "model.empty", "task.carried.0"]
    assert torch.equal(loaded.group("model")["a.b"], checkpoint.tensors["model.a.b"])
    assert torch.equal(loaded.group("task")["carried.0"], checkpoint.tensors["task.carried.0"])


def test_every_truncation_is_an_error_and_no_crash(tmp_path: Path) -> None:
    path = tmp_path / "c.safetensors"
    Checkpoint({"step": 1}, {"model.w": torch.randn(5)}).save(path)
    content = path.read_bytes()
    for length in range(len(content)):
        path.write_bytes(content[:length])
        with pytest.raises(CheckpointError, match=r"c\.safetensors is damaged"):
            Checkpoint.load(path)
    with pytest.raises(CheckpointError, match="is missing"):
        Checkpoint.load(tmp_path / "none")


def test_files_of_other_versions_and_without_state_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "c.safetensors"
    for metadata in ({}, {"version": "9"}, {"version": "2"}, {"version": "2", "state": "{"}):
        save_tensors(path, {"a": torch.zeros(1)}, metadata)
        with pytest.raises(CheckpointError, match=r"version|damaged"):
            Checkpoint.load(path)


def test_weights_that_do_not_fit_are_named() -> None:
    model = nn.Linear(3, 2)
    good = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    cases = [
        ({**good, "weight": torch.zeros(2, 4)}, r"weight has shape \(2, 4\), expected \(2, 3\)"),
        ({"weight": good["weight"]}, "lacks bias"),
        ({**good, "extra": torch.zeros(1)}, "holds extra, which the model does not have"),
        ({**good, "bias": torch.tensor([0.0, float("nan")])}, "bias holds NaN"),
    ]
    for tensors, message in cases:
        with pytest.raises(RunError, match=message):
            load_weights(model, tensors, "m.safetensors")
    load_weights(model, good, "m.safetensors")
