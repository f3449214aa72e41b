"""Trainings that are killed, stopped and resumed, in processes of their own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import throughtime as tt
from tests.training.test_trainer import TEXT

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


@pytest.mark.slow  # 50 trainings are killed, and 50 begin or go on
def test_killed_at_random_moments_runs_resume_and_end_the_same(tmp_path: Path) -> None:
    program = Path(__file__).parents[2] / "benchmarks" / "kills.py"
    command = [sys.executable, str(program), "--kills", "50", "--json", str(tmp_path / "kills.json")]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=900)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    found = json.loads((tmp_path / "kills.json").read_text())
    assert found["kills"] == 50
    assert not any(found[name] for name in ("not_resumed", "lost_lines", "doubled_lines", "different_runs"))


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


def test_two_trainings_of_one_run_exclude_each_other(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text(TEXT * 3)
    run = tmp_path / "run"
    first = begin(tmp_path / "text.txt", "--out", run, *OPTIONS, "--epochs", "500")
    try:
        wait_for(run / "model.safetensors", first)
        (run / f".x.{first.pid}.partial").write_text("")
        second = begin("--resume", run)
        _, errors = second.communicate(timeout=120)
        assert second.returncode == 2
        message = f"error: {run} is being written by process {first.pid}: wait until it has ended, or stop it"
        assert errors.decode().splitlines() == [message]
        assert (run / f".x.{first.pid}.partial").exists()
        assert tt.load(run).describe()["step"] is not None  # who reads needs no lock
    finally:
        first.terminate()
        first.wait(60)


@pytest.mark.skipif(
    signal.getsignal(signal.SIGHUP) == signal.SIG_IGN, reason="under nohup, trainings outlive their terminal"
)
def test_a_terminal_that_goes_away_saves(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text(TEXT * 3)
    run = tmp_path / "run"
    number, terminal = os.forkpty()
    if number == 0:
        command = ["train", str(tmp_path / "text.txt"), "--out", str(run), *OPTIONS, "--epochs", "500"]
        os.execv(sys.executable, [sys.executable, "-c", "from throughtime.cli import main; main()", *command])
    deadline = time.monotonic() + 120
    while not (run / "model.safetensors").exists():
        os.read(terminal, 1 << 16)
        assert time.monotonic() < deadline, "training did not begin"
    os.close(terminal)  # the kernel sends SIGHUP, and writing to the terminal fails from here on
    _, status = os.waitpid(number, 0)
    assert os.waitstatus_to_exitcode(status) == 128 + signal.SIGHUP
    assert tt.load(run).describe()["finished"] is False
    assert (run / "loss.png").exists()
