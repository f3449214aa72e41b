"""Captioning as a user types it."""

from __future__ import annotations

import csv
import json
import subprocess
from pathlib import Path

import numpy as np
import pytest

from tests.commands import throughtime

Image = pytest.importorskip("PIL.Image")

SMALL = [
    "--hidden",
    12,
    "--embedding",
    6,
    "--image-size",
    16,
    "--batch",
    8,
    "--no-tensorboard",
    "--threads",
    1,
]


def run(*arguments: object, folder: Path) -> subprocess.CompletedProcess[str]:
    return throughtime(*map(str, arguments), folder=folder)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """photos/ with twelve pictures, dark or bright, and the run of an attention model."""
    folder = tmp_path_factory.mktemp("captioning")
    (folder / "photos").mkdir()
    with (folder / "photos" / "metadata.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["file_name", "caption"])
        for number in range(12):
            level = 30 if number % 2 else 220
            Image.fromarray(np.full((24, 32, 3), level, dtype=np.uint8)).save(folder / f"photos/{number}.png")
            table.writerow([f"{number}.png", "A dark picture" if number % 2 else "A bright one"])
    result = run(
        "train", "photos", "--out", "run", "--image-input", "attention", "--epochs", 2, *SMALL, folder=folder
    )
    assert result.returncode == 0, result.stderr
    # The task was found out from the folder, and what to do next is said.
    assert "validation loss" in result.stderr and "BLEU-4" in result.stderr
    assert "throughtime caption run" in result.stderr
    return folder


def test_a_caption_is_printed_on_its_own_and_several_with_their_names(trained: Path) -> None:
    one = run("caption", "run", "photos/0.png", folder=trained)
    assert one.returncode == 0, one.stderr
    assert one.stdout.count("\n") == 1 and "photos" not in one.stdout
    several = run("caption", "run", "photos", folder=trained)
    assert [line.split(":")[0] for line in several.stdout.splitlines()[:2]] == [
        "photos/0.png",
        "photos/1.png",
    ]
    assert len(several.stdout.splitlines()) == 12


def test_json_and_predict_agree(trained: Path) -> None:
    caption = json.loads(run("caption", "run", "photos/0.png", "--json", folder=trained).stdout)
    predicted = json.loads(run("predict", "run", "photos/0.png", "--json", folder=trained).stdout)
    assert caption == predicted
    assert set(caption) == {"image", "caption", "log_probability"}


def test_the_picture_shows_the_attention(trained: Path) -> None:
    result = run("caption", "run", "photos/0.png", "--beam", 2, "--show", "out.png", folder=trained)
    assert result.returncode == 0, result.stderr
    with Image.open(trained / "out.png") as picture:
        assert picture.width > 200 and picture.height > 100
    unknown = run("caption", "run", "photos/0.png", "--show", "out.xyz", folder=trained)
    assert unknown.returncode == 2 and "out.xyz" in unknown.stderr and "Traceback" not in unknown.stderr


def test_influence_is_drawn(trained: Path) -> None:
    result = run("caption", "run", "photos/0.png", "--beam", 2, "--influence", "i.png", folder=trained)
    assert result.returncode == 0, result.stderr
    assert (trained / "i.png").read_bytes().startswith(b"\x89PNG")


def test_metrics_of_a_labelled_folder(trained: Path) -> None:
    figures = json.loads(run("eval", "run", "photos", "--json", folder=trained).stdout)
    assert {"bleu1", "bleu4", "rouge_l", "cider_d"} <= set(figures)
    assert figures["images"] == 12


def test_draws_differ_by_seed_and_repeat_by_seed(trained: Path) -> None:
    def draw(seed: int) -> str:
        arguments = ("caption", "run", "photos", "--temperature", 3, "--seed", seed)
        return run(*arguments, folder=trained).stdout

    assert draw(1) == draw(1) != draw(2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["caption", "run", "none.png"], "none.png: no such file"),
        (["caption", "run", "run/config.toml"], "config.toml cannot be read as an image"),
        (["caption", "run", "photos/0.png", "--top-k", 3], "give a --temperature as well"),
        (["caption", "none", "photos/0.png"], "none: no such run folder"),
        (["caption", "run", "photos", "--show", "out.png"], "--show and --influence draw one picture"),
        (["train", "photos", "--out", "x", "--fine-tune", 2], "fine_tune needs --image-encoder"),
        (["train", "empty", "--task", "captioner", "--out", "x"], "the folder is empty"),
    ],
)
def test_mistakes_are_one_line(trained: Path, arguments: list[object], message: str) -> None:
    (trained / "empty").mkdir(exist_ok=True)
    result = run(*arguments, folder=trained)
    assert result.returncode == 2
    assert message in result.stderr.replace("\n", " ") and "Traceback" not in result.stderr
    assert not (trained / "x").exists()


def test_bad_pictures_are_skipped_with_a_count(trained: Path) -> None:
    (trained / "broken.png").write_bytes(b"nothing")
    result = run("caption", "run", "broken.png", "photos/0.png", "--skip-bad", folder=trained)
    assert result.returncode == 0
    assert len(result.stdout.splitlines()) == 1
    assert "left out 1 bad example" in result.stderr and "broken.png" in result.stderr


def test_the_n_best_captions_come_with_their_probabilities(trained: Path) -> None:
    one = run("caption", "run", "photos/0.png", "--no-consensus", folder=trained).stdout.strip()
    best = run(
        "caption", "run", "photos/0.png", "--no-consensus", "--n-best", 2, folder=trained
    ).stdout.splitlines()
    assert len(best) == 2 and best[0].split("\t")[1] == one
    refused = run("caption", "run", "photos/0.png", "--n-best", 2, "--temperature", 1, folder=trained)
    assert refused.returncode == 2 and "--n-best 2 needs a --beam" in refused.stderr
