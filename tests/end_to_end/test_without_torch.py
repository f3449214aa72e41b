"""The commands of every task where torch cannot be imported: they say what they say with it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from throughtime.training import train

SMALL: dict[str, Any] = {"hidden": 8, "batch": 8, "epochs": 2, "threads": 1, "tensorboard": False}

# Put before all other finders, so that nothing of torch can be found however it is asked for.
WITHOUT_TORCH = """
import sys

class NoTorch:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "torchvision"):
            raise ImportError("there is no torch here")

sys.meta_path.insert(0, NoTorch())
"""


def run(*arguments: Any, folder: Path, torch: bool, given: str = "") -> subprocess.CompletedProcess[str]:
    """A command, with the torch backend or without torch."""
    code = ("" if torch else WITHOUT_TORCH) + "from throughtime.cli import main; main()"
    backend = ["--backend", "torch"] if torch else []
    command = [sys.executable, "-c", code, *map(str, arguments), *backend]
    environment = {**os.environ, "COLUMNS": "100"}
    return subprocess.run(
        command, cwd=folder, env=environment, input=given, capture_output=True, text=True, encoding="utf-8"
    )


def assert_same(*arguments: Any, folder: Path, given: str = "") -> list[Any]:
    """A command answers alike with torch and without it; what it answers, read as JSON Lines."""
    answers = []
    for torch in (True, False):
        result = run(*arguments, "--json", folder=folder, torch=torch, given=given)
        assert result.returncode == 0, result.stderr
        text = result.stdout
        one = arguments[0] == "eval"
        answers.append([json.loads(text)] if one else [json.loads(line) for line in text.splitlines()])
    with_torch, without = answers
    assert len(without) == len(with_torch) > 0
    for expected, found in zip(with_torch, without, strict=True):
        assert_close(found, expected)
    return without


def assert_close(found: Any, expected: Any) -> None:
    if isinstance(expected, dict):
        assert list(found) == list(expected)
        for name in expected:
            if name != "seconds":
                assert_close(found[name], expected[name])
    elif isinstance(expected, list):
        assert len(found) == len(expected)
        for pair in zip(found, expected, strict=True):
            assert_close(*pair)
    elif isinstance(expected, float):
        # Some figures are rounded to four digits before they are shown.
        assert found == pytest.approx(expected, rel=1e-4, abs=2e-4)
    else:
        assert found == expected


@pytest.fixture(scope="module")
def reviews(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("reviews")
    rows = [f"a {word} film,{label}\n" for word, label in [("good", "pos"), ("dull", "neg")] * 20]
    (folder / "reviews.csv").write_text("text,label\n" + "".join(rows))
    train(folder / "reviews.csv", folder / "run", embedding=6, tokenizer="word", members=2, **SMALL)
    return folder


def test_a_classifier(reviews: Path) -> None:
    labels = assert_same("predict", "run", "reviews.csv", folder=reviews)
    assert len(labels) == 40
    assert_same("predict", "run", folder=reviews, given="a good film\n\na dull one\n")
    assert_same("eval", "run", "reviews.csv", folder=reviews)


@pytest.mark.parametrize("options", [{}, {"bidirectional": True, "cell": "gru"}], ids=["causal", "both ways"])
def test_a_tagger(tmp_path: Path, options: dict[str, Any]) -> None:
    (tmp_path / "clips").mkdir()
    generator = np.random.default_rng(0)
    lines = ["file_name,labels"]
    for number, length in enumerate((40, 25, 33, 18)):
        np.save(tmp_path / "clips" / f"{number}.npy", generator.normal((1000, 0), (300, 0.01), (length, 2)))
        rows = [f"{start},{start + length // 2},{'ab'[start > 0]}" for start in (0, length // 2)]
        (tmp_path / "clips" / f"{number}.csv").write_text("\n".join(["start,end,label", *rows]) + "\n")
        lines.append(f"{number}.npy,{number}.csv")
    (tmp_path / "clips" / "metadata.csv").write_text("\n".join(lines) + "\n")
    train(tmp_path / "clips", tmp_path / "run", **{**SMALL, **options})
    assert_same("predict", "run", "clips", folder=tmp_path)
    assert_same("eval", "run", "clips", folder=tmp_path)
    if not options:
        given = "".join(f"{x},{y}\n" for x, y in np.load(tmp_path / "clips" / "0.npy"))
        assert len(assert_same("predict", "run", folder=tmp_path, given=given)) == 40


@pytest.mark.parametrize("attention", ["none", "luong", "bahdanau"])
def test_a_translator(tmp_path: Path, attention: str) -> None:
    pairs = {"one two": "eins zwei", "two": "zwei", "one one two": "eins eins zwei", "two one": "zwei eins"}
    rows = ["source\ttarget", *(f"{one}\t{other}" for one, other in pairs.items())]
    (tmp_path / "pairs.tsv").write_text("\n".join(rows + rows[1:] * 7) + "\n")
    (tmp_path / "new.txt").write_text("two two\n\none three\n")
    options = {"embedding": 6, "tokenizer": "word", "attention": attention}
    train(tmp_path / "pairs.tsv", tmp_path / "run", **SMALL, **options)
    answers = assert_same("translate", "run", "new.txt", folder=tmp_path)
    assert [one["source"] for one in answers] == ["two two", "", "one three"]
    assert_same("translate", "run", "new.txt", "--coverage-penalty", 0.3, "--beam", 2, folder=tmp_path)
    assert_same("eval", "run", "pairs.tsv", folder=tmp_path)
    assert_same("predict", "run", "new.txt", folder=tmp_path)


def test_what_needs_torch_says_so_in_a_line(reviews: Path) -> None:
    for arguments in (["predict", "run", "reviews.csv", "--backend", "torch"], ["train", "reviews.csv"]):
        result = run(*arguments, folder=reviews, torch=False)
        assert result.returncode == 2
        assert "needs PyTorch" in result.stderr and result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "options, message",
    [
        (["--backend", "jax"], "backend 'jax' is unknown: use native or torch"),
        (["--precision", "fp8"], "precision 'fp8' is unknown: use fp32, bf16, int8"),
        (["--backend", "torch", "--precision", "int8"], "precision int8 is the native backend's"),
    ],
)
def test_a_wrong_choice_of_backend_is_told(reviews: Path, options: list[str], message: str) -> None:
    result = run("predict", "run", "reviews.csv", *options, folder=reviews, torch=False)
    assert result.returncode == 2
    assert message in result.stderr and result.stderr.count("\n") == 1
