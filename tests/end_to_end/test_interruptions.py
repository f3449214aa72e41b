"""Trainings that are killed, stopped and resumed, in processes of their own."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.training.test_trainer import TEXT, assert_same_outcome

OPTIONS = [
    *("--hidden", "12", "--embedding", "6", "--batch", "3", "--chunk", "5", "--epochs", "6"),
    *("--log-every", "7", "--threads", "1", "--chunk-mode", "random", "--checkpoint-seconds", "0"),
]

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals are POSIX")


def begin(*arguments: str | Path) -> subprocess.Popen[bytes]:
    command = [
        sys.executable,
        "-c",
        "from throughtime.cli import main; main()",
        "train",
        *map(str, arguments),
    ]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def wait_for(path: Path, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 120
    while not path.exists():
        assert process.poll() is None and time.monotonic() < deadline, "training did not begin"
        time.sleep(0.01)


@pytest.mark.slow  # starts about six processes that import torch
def test_killed_at_random_moments_a_run_resumes_and_ends_the_same(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text(TEXT)
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    process = begin(tmp_path / "text.txt", "--out", whole, *OPTIONS)
    assert process.wait(timeout=300) == 0
    rng = random.Random(os.environ.get("PYTEST_SEED", time.time_ns()))
    checkpoint = killed / "checkpoints" / "last.safetensors"
    kills = 0
    while True:
        first = not checkpoint.exists()
        process = (
            begin(tmp_path / "text.txt", "--out", killed, *OPTIONS) if first else begin("--resume", killed)
        )
        wait_for(checkpoint, process)
        if kills == 4:
            assert process.wait(timeout=300) == 0
            break
        # long enough to import torch, and then to die at any moment of a step or a checkpoint
        time.sleep(rng.uniform(0.0, 0.4) if first else rng.uniform(1.0, 4.0))
        process.kill()
        process.wait()
        kills += 1
    assert_same_outcome(whole, killed)
    assert not [path for path in killed.rglob("*") if path.suffix == ".partial" and "last" not in path.name]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_saves_and_exits_cleanly(tmp_path: Path, number: signal.Signals, code: int) -> None:
    (tmp_path / "text.txt").write_text(TEXT * 3)
    run = tmp_path / "run"
    process = begin(tmp_path / "text.txt", "--out", run, *OPTIONS, "--epochs", "500")
    wait_for(run / "checkpoints" / "last.safetensors", process)
    time.sleep(0.3)
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == code
    assert b"Stopped and saved at step" in errors
    assert b"--resume" in errors
    assert b"Traceback" not in errors
    assert (run / "loss.png").exists()
