"""Disks that are full or read-only: one line with the file, and what was saved stays."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.training.test_trainer import SMALL, TEXT, assert_same_outcome
from throughtime.cli import main
from throughtime.errors import RunError
from throughtime.run import Run
from throughtime.training import launch, resume, train
from throughtime.training.progress import Progress

resource = pytest.importorskip("resource", reason="limits are POSIX")

LOGGING: dict[str, Any] = {**SMALL, "epochs": 6, "log_every": 1, "hidden": 4, "embedding": 4}
FEW = ["--hidden", "4", "--embedding", "4", "--batch", "3", "--chunk", "10", "--epochs", "1"]
FEW += ["--threads", "1", "--no-tensorboard"]


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """No file of this process may become larger: EFBIG, which is met where ENOSPC would be."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Mounts a small disk with options such as size=100k."""
    folder = tmp_path / "disk"
    folder.mkdir()

    def mount(options: str) -> Path:
        command = ["mount", "-t", "tmpfs", "-o", options, "throughtime", str(folder)]
        try:
            subprocess.run(command, check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError) as error:
            pytest.skip(f"only root can mount a small disk ({error})")
        return folder

    yield mount
    # Lazily: tokens may still be mapped.
    subprocess.run(["umount", "-l", str(folder)], capture_output=True)


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "text.txt"
    path.write_text(TEXT)
    return path


@pytest.mark.parametrize(
    ("name", "limit", "options"),
    [
        ("metrics.jsonl", 30_000, {}),
        # The first checkpoint has no optimizer's state yet, and fits.
        ("checkpoints/last.safetensors", 12_000, {"log_every": 1000}),
    ],
)
def test_a_training_that_met_a_full_disk_goes_on_bit_for_bit(
    tmp_path: Path, text: Path, name: str, limit: int, options: dict[str, Any]
) -> None:
    whole, folder = tmp_path / "whole", tmp_path / "run"
    options = {**LOGGING, "checkpoint_seconds": 0.0, **options}
    train(text, out=whole, **options)
    with largest_file(limit), pytest.raises(RunError) as raised:
        train(text, out=folder, **options)
    message = str(raised.value)
    assert message.startswith(f"{folder}/{name}")
    assert "File too large. The last checkpoint is kept" in message
    assert f"`throughtime train --resume {folder}`" in message
    assert not list(folder.rglob("*.partial"))
    resume(folder)
    assert_same_outcome(whole, folder)


def test_a_training_whose_events_meet_a_full_disk_goes_on_without_them(
    tmp_path: Path, text: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launch, "draw_loss", lambda *_: None)
    # The events of a line are longer than the line.
    options: dict[str, Any] = {**LOGGING, "tensorboard": True}
    whole = train(text, out=tmp_path / "whole", **options).folder
    sizes = {path: path.stat().st_size for path in whole.rglob("*") if path.is_file()}
    (events,) = (path for path in sizes if path.name.startswith("events"))
    largest = max(size for path, size in sizes.items() if path != events and path.suffix != ".png")
    assert largest + 100 < sizes[events]
    said: list[str] = []
    show = Progress()
    show.remark = said.append  # type: ignore[method-assign]
    with largest_file(largest + 100):
        train(text, out=tmp_path / "run", show=show, **options)
    (remark,) = (text for text in said if "tensorboard" in text)
    assert remark.startswith("tensorboard failed, and the training goes on without it: ")
    assert "File too large" in remark
    assert_same_outcome(whole, tmp_path / "run")


def test_a_training_on_a_small_disk_goes_on_after_making_room(
    small_disk: Callable[[str], Path], tmp_path: Path, text: Path
) -> None:
    folder = small_disk("size=72k") / "run"
    train(text, out=tmp_path / "whole", **LOGGING)
    with pytest.raises(RunError, match=r"disk/run/.*: No space left on device\. The last checkpoint is kept"):
        train(text, out=folder, **LOGGING)
    subprocess.run(["mount", "-o", "remount,size=10m", str(folder.parent)], check=True)
    resume(folder)
    assert_same_outcome(tmp_path / "whole", folder)


def test_data_that_does_not_fit_leaves_nothing_behind(tmp_path: Path, text: Path) -> None:
    with largest_file(900), pytest.raises(OSError) as raised:  # tokens take 1,020 bytes
        train(text, out=tmp_path / "run", **SMALL)
    assert raised.value.filename == str(tmp_path / "run" / "tokens" / "text.bin")
    assert not (tmp_path / "run").exists()


def test_the_picture_of_the_loss_does_not_lose_the_training(
    tmp_path: Path, text: Path, call: Callable[..., tuple[int, str]]
) -> None:
    run = tmp_path / "run"
    with largest_file(20_000):
        code, errors = call("train", text, "--out", run, *FEW, "--quiet")
    assert (code, errors) == (2, f"error: {run / 'loss.png'}: File too large\n")
    assert Run.open(run).describe()["finished"]


@pytest.fixture
def call(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str]]:
    """Runs a command in this process: its exit code, and what it says on standard error."""

    def run(*arguments: str | Path) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["throughtime", *map(str, arguments)])
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        code = ended.value.code
        assert isinstance(code, int)
        return code, capfd.readouterr().err

    return run


def test_every_command_names_the_file_that_it_cannot_write(
    small_disk: Callable[[str], Path], text: Path, call: Callable[..., tuple[int, str]]
) -> None:
    disk = small_disk("size=10m")
    train(text, out=disk / "run", **SMALL)
    table = disk / "table.csv"
    table.write_text("text,label\n" + "good,yes\nbad,no\n" * 20)
    train(table, out=disk / "labels", hidden=4, epochs=1, threads=1, tensorboard=False)
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    run = disk / "run"
    for arguments, file in (
        (("train", "--resume", run), run / ".lock"),
        (("train", text, "--out", disk / "new"), disk / "new"),
        (("inspect", run, "--lags", "5", "--windows", "1"), run / "inspection"),
        (("compare", run, "--out", disk / "page", "--lags", "5", "--windows", "1"), disk / "page"),
        (("quantize", run), disk / "run-int8"),
        (("export", run, "--onnx"), run / "onnx"),
        (("eval", disk / "labels", table), disk / "labels" / "confusion-table.json"),
        (("demo", "sentiment", "--write", disk / "data"), disk / "data"),
    ):
        code, errors = call(*arguments)
        said = [line for line in errors.splitlines() if line.strip() and not line.startswith("measuring")]
        lines = [line for line in said if "trained on" not in line]
        assert code == 2, errors
        assert lines == [f"error: {file}: Read-only file system"]
    assert call("sample", run, "--length", "5", "--seed", "1")[0] == 0
    assert call("info", run)[0] == 0


def test_quantize_that_met_a_full_disk_leaves_nothing_half(
    tmp_path: Path, text: Path, call: Callable[..., tuple[int, str]]
) -> None:
    train(text, out=tmp_path / "run", **SMALL)
    with largest_file(2_000):
        code, errors = call("quantize", tmp_path / "run")
    assert code == 2
    assert errors.startswith(f"error: {tmp_path / 'run-int8'}/") and errors.endswith(": File too large\n")
    assert not (tmp_path / "run-int8").exists()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
@pytest.mark.parametrize("json", [(), ("--json",)])
def test_results_that_cannot_be_printed_are_an_error(
    tmp_path: Path, text: Path, json: tuple[str, ...]
) -> None:
    train(text, out=tmp_path / "run", **SMALL)
    command = [
        sys.executable,
        "-c",
        "from throughtime.cli import main; main()",
        "info",
        str(tmp_path / "run"),
    ]
    with open("/dev/full", "w") as full:
        ended = subprocess.run([*command, *json], stdout=full, stderr=subprocess.PIPE, text=True, timeout=120)
        assert ended.returncode == 2
        assert ended.stderr == "error: standard output: No space left on device\n"
        # Nowhere to say it: still no traceback and no other code.
        assert subprocess.run([*command, *json], stdout=full, stderr=full, timeout=120).returncode == 2


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_progress_that_cannot_be_shown_stops_no_training(
    tmp_path: Path, text: Path, call: Callable[..., tuple[int, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    full = open("/dev/full", "w")  # noqa: SIM115 - closing it fails, too
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stderr", full)
        assert call("train", text, "--out", tmp_path / "run", *FEW)[0] == 0
    with pytest.raises(OSError):
        full.close()
