"""A label for every frame, as a user types it."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.commands import throughtime
from throughtime.demos.clips import write_clips

pytest.importorskip("av")
SMALL = ["--hidden", "8", "--epochs", "1", "--batch", "2", "--chunk", "16", "--threads", "1"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with clips/ and a run made by the command."""
    folder = tmp_path_factory.mktemp("frames")
    write_clips(folder / "clips", 4, np.random.default_rng(0))
    result = throughtime("train", "clips", "--out", "run", "--json", *SMALL, folder=folder)
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["best_val_loss"] > 0
    assert "3 video clips with 288 frames and 5 labels, 1 validation clip" in result.stderr
    return folder


def test_predictions_come_as_json_lines_or_csv(trained: Path) -> None:
    clip = "clips/clip_000.mp4"
    lines = throughtime("predict", "run", clip, "--json", folder=trained).stdout.splitlines()
    rows = list(
        csv.DictReader(io.StringIO(throughtime("predict", "run", clip, "--csv", folder=trained).stdout))
    )
    assert [json.loads(line)["label"] for line in lines] == [row["label"] for row in rows]
    assert (rows[0]["start"], rows[-1]["end"]) == ("0", "96")


def test_a_timeline_is_drawn_beside_the_table(trained: Path) -> None:
    arguments = [
        "predict",
        "run",
        "clips/clip_000.mp4",
        "--timeline",
        "a.png",
        "--labels",
        "clips/clip_000.csv",
    ]
    table = throughtime(*arguments, folder=trained)
    assert table.returncode == 0, table.stderr
    assert "start seconds" in table.stdout and "clip_000.mp4" in table.stdout
    assert (trained / "a.png").read_bytes().startswith(b"\x89PNG")


def test_evaluation_prints_the_scores(trained: Path) -> None:
    result = throughtime("eval", "run", "clips", "--json", folder=trained)
    scores = json.loads(result.stdout)
    assert scores["frames"] == 4 * 96
    assert {"accuracy", "macro_f1", "edit", "f1@10", "f1@25", "f1@50"} <= set(scores)
    assert "tagger" in throughtime("info", "run", folder=trained).stdout


def test_a_users_mistakes_are_one_line_each(trained: Path, tmp_path: Path) -> None:
    (trained / "broken.mp4").write_bytes((trained / "clips" / "clip_000.mp4").read_bytes()[:2000])
    for arguments, message in [
        (["predict", "run", "broken.mp4"], "broken.mp4 is broken or cut off"),
        (["predict", "run", "clips", "--timeline", "a.png"], "--timeline draws one clip, and there are 4"),
        (["predict", "run"], "video is not read from standard input"),
        (["eval", "run", "none"], "none holds no metadata.csv"),
    ]:
        result = throughtime(*arguments, folder=trained)
        assert result.returncode == 2
        assert message in result.stderr and "Traceback" not in result.stderr
        assert len(result.stderr.strip().splitlines()) == 1
    result = throughtime("predict", "run", "broken.mp4", "clips/clip_000.mp4", "--skip-bad", folder=trained)
    assert result.returncode == 0
    assert "left out 1 bad example" in result.stderr


def test_a_sensor_is_answered_line_by_line(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    (tmp_path / "data").mkdir()
    lines = ["file_name,labels"]
    for number in range(3):
        np.savetxt(tmp_path / "data" / f"{number}.csv", generator.random((30, 2)), delimiter=",")
        (tmp_path / "data" / f"{number}.txt").write_text("a\n" * 15 + "b\n" * 15)
        lines.append(f"{number}.csv,{number}.txt")
    (tmp_path / "data" / "metadata.csv").write_text("\n".join(lines))
    assert throughtime("train", "data", "--out", "run", *SMALL, folder=tmp_path).returncode == 0
    code = "from throughtime.cli import main; main()"
    process = subprocess.Popen(
        [sys.executable, "-c", code, "predict", "run", "--json"],
        cwd=tmp_path,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None and process.stdout is not None
    for number in range(3):
        # The answer has to come before the next line is written.
        process.stdin.write("0.5,0.25\n")
        process.stdin.flush()
        answer = json.loads(process.stdout.readline())
        assert answer["frame"] == number and answer["label"] in "ab"
    process.stdin.close()
    assert process.wait(60) == 0
