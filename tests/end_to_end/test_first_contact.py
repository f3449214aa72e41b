"""The first hour of a new user at the command line: what is said first, what is refused, what goes on."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.commands import throughtime

SMALL = ["--hidden", "8", "--embedding", "6", "--epochs", "1", "--batch", "8"]
TEXT = [
    "--layers",
    "1",
    "--chunk",
    "16",
    "--batch",
    "4",
    "--hidden",
    "8",
    "--embedding",
    "4",
    "--epochs",
    "1",
]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with reviews.csv and a run that was trained with columns of other names."""
    folder = tmp_path_factory.mktemp("first")
    rows = [
        f"{number},a {word} film,{stars}\n"
        for number, (word, stars) in enumerate([("good", 5), ("dull", 1)] * 15)
    ]
    (folder / "reviews.csv").write_text("id,review,stars\n" + "".join(rows))
    (folder / "text.txt").write_text("the quick brown fox jumps over the lazy dog. " * 40)
    refused = throughtime("train", "reviews.csv", "--out", "run", folder=folder)
    assert refused.returncode == 2 and "--text-column review --label-column stars" in refused.stderr
    columns = ["--text-column", "2", "--label-column", "stars"]
    result = throughtime("train", "reviews.csv", "--out", "run", *columns, *SMALL, folder=folder)
    assert result.returncode == 0, result.stderr
    said = "reviews.csv: 3 columns; `stars` has 2 values: classification of `review` (`id` is not read)"
    assert result.stderr.splitlines()[0] == said
    return folder


def test_lines_are_answered_one_by_one_blank_ones_too(trained: Path) -> None:
    given = "a good film\n\na dull film\n"
    table = throughtime("predict", "run", folder=trained, given=given).stdout.splitlines()
    assert len(table) == 4 and table[0].split()[:2] == ["label", "probability"] and table[2] == ""
    found = throughtime("predict", "run", "--probabilities", "--json", folder=trained, given=given).stdout
    answers = [json.loads(line) for line in found.splitlines()]
    assert [answer["label"] is None for answer in answers] == [False, True, False]
    assert sum(answers[0]["probabilities"].values()) == pytest.approx(1)
    header = throughtime("predict", "run", "--probabilities", "--csv", folder=trained, given="\na\n").stdout
    assert header.splitlines()[0] == "input,label,probability,probability of 1,probability of 5"


def test_eval_on_the_training_data_warns(trained: Path) -> None:
    result = throughtime("eval", "run", "reviews.csv", folder=trained)
    assert "reviews.csv is what run was trained on" in result.stderr
    (trained / "other.csv").write_text((trained / "reviews.csv").read_text())
    assert "trained on" not in throughtime("eval", "run", "other.csv", folder=trained).stderr


def test_overwrite_replaces_a_run_only_once_the_new_one_can_be_trained(trained: Path) -> None:
    out = ["--out", "again", *TEXT]
    assert throughtime("train", "text.txt", *out, folder=trained).returncode == 0
    refused = throughtime("train", "text.txt", *out, folder=trained)
    assert refused.returncode == 2 and "or replace it with --overwrite" in refused.stderr
    before = (trained / "again" / "model.safetensors").read_bytes()
    (trained / "short.txt").write_text("short")
    failed = throughtime("train", "short.txt", *out, "--overwrite", folder=trained)
    assert failed.returncode == 2 and "training tokens" in failed.stderr
    assert (trained / "again" / "model.safetensors").read_bytes() == before
    result = throughtime("train", "text.txt", *out, "--seed", "7", "--overwrite", folder=trained)
    assert result.returncode == 0, result.stderr
    assert (trained / "again" / "model.safetensors").read_bytes() != before
    assert not list(trained.glob(".again*"))
    (trained / "mine").mkdir()
    (trained / "mine" / "note.txt").write_text("keep")
    kept = throughtime("train", "text.txt", "--out", "mine", "--overwrite", *TEXT, folder=trained)
    assert kept.returncode == 2 and "mine is no run folder" in kept.stderr
    assert (trained / "mine" / "note.txt").read_text() == "keep"


def test_a_run_without_an_evaluation_is_sampled_from_its_checkpoint(trained: Path) -> None:
    assert throughtime("train", "text.txt", "--out", "early", *TEXT, folder=trained).returncode == 0
    whole = throughtime("sample", "early", "--greedy", "--length", "20", folder=trained)
    # Without validation the last weights are the best ones, and those of the checkpoint.
    (trained / "early" / "model.safetensors").unlink()
    for backend in ("native", "torch"):
        options = ["--greedy", "--length", "20", "--backend", backend]
        result = throughtime("sample", "early", *options, folder=trained)
        assert result.returncode == 0, result.stderr
        assert result.stdout == whole.stdout
        assert "weights of its checkpoint" in result.stderr
    shown = throughtime("info", "early", folder=trained)
    assert "those of the last checkpoint" in shown.stdout


def test_what_belongs_to_the_machine_may_change_on_resuming(trained: Path) -> None:
    assert throughtime("train", "text.txt", "--out", "go", *TEXT, folder=trained).returncode == 0
    result = throughtime(
        "train",
        "--resume",
        "go",
        "--device",
        "cpu",
        "--epochs",
        "2",
        "--checkpoint-seconds",
        "5",
        folder=trained,
    )
    assert result.returncode == 0, result.stderr
    assert "--device auto and goes on with cpu" in result.stderr
    refused = throughtime("train", "--resume", "go", "--hidden", "9", folder=trained)
    assert (
        refused.returncode == 2
        and "--threads, --device, --checkpoint-seconds and --track may change" in refused.stderr
    )


def test_a_folder_without_a_checkpoint_is_not_to_be_deleted(trained: Path) -> None:
    (trained / "go" / "checkpoints" / "last.safetensors").unlink()
    result = throughtime("train", "--resume", "go", folder=trained)
    assert result.returncode == 2 and "cannot be trained further" in result.stderr
    assert "delete" not in result.stderr and "remove" not in result.stderr


def test_an_option_that_would_do_nothing_is_refused_before_anything_is_read(trained: Path) -> None:
    result = throughtime("train", "text.txt", "--cell", "gru", "--peephole", folder=trained)
    assert result.returncode == 2
    assert "--peephole would do nothing: it needs --cell lstm" in result.stderr


def test_ctrl_c_while_the_program_still_loads_is_silent(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "class Interrupt:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'throughtime.cli.app': raise KeyboardInterrupt\n"
        "sys.meta_path.insert(0, Interrupt())\n"
        "from throughtime.cli import main; main()"
    )
    result = subprocess.run([sys.executable, "-c", code, "--help"], capture_output=True, text=True)
    assert (result.returncode, result.stderr) == (130, "")


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_ctrl_c_in_the_first_moments_leaves_no_traceback(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("the quick brown fox " * 100)
    code = "from throughtime.cli import main; print('on', flush=True); main()"
    for delay in (0.0, 0.05, 0.15, 0.3):
        command = [sys.executable, "-c", code, "train", "text.txt", "--out", "run"]
        with subprocess.Popen(
            command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(0.01 + delay)
            process.send_signal(signal.SIGINT)
            _, errors = process.communicate(timeout=60)
        assert "Traceback" not in errors
