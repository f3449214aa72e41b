"""The commands of every task where torch cannot be imported: they say what they say with it."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from throughtime.training import train

SMALL: dict[str, Any] = {"hidden": 8, "batch": 8, "epochs": 1, "threads": 1, "tensorboard": False}

# Put before all other finders, so that nothing of torch can be found however it is asked for.
WITHOUT_TORCH = """
import sys

class NoTorch:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "torchvision", "onnxruntime"):
            raise ImportError("there is none here")

sys.meta_path.insert(0, NoTorch())
"""
# Several commands in one process, as importing torch takes longer than they do: [exit code, output] of each.
COMMANDS = """
import contextlib, io, json, sys
from throughtime.cli import main

answers = []
for arguments in json.loads(sys.argv[1]):
    sys.argv = ["throughtime", *arguments]
    with contextlib.redirect_stdout(io.StringIO()) as output:
        try:
            main()
        except SystemExit as ended:
            answers.append([ended.code or 0, output.getvalue()])
print(json.dumps(answers))
"""


def run(commands: list[list[Any]], folder: Path, torch: bool, given: str) -> tuple[list[Any], str]:
    """[exit code, output] of each command, with the torch backend or without torch; and standard error."""
    backend = ["--backend", "torch"] if torch else []
    words = json.dumps([[*map(str, arguments), *backend] for arguments in commands])
    code = COMMANDS if torch else WITHOUT_TORCH + COMMANDS
    result = subprocess.run(
        [sys.executable, "-c", code, words],
        cwd=folder,
        env={**os.environ, "COLUMNS": "100"},
        input=given,
        capture_output=True,
        text=True,
        encoding="utf-8",
    )
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout), result.stderr


def assert_same(folder: Path, *commands: list[Any], given: str = "") -> list[list[Any]]:
    """Commands answer alike with torch and without it; what each answers, read as JSON Lines."""
    asked = [[*command, "--json"] for command in commands]
    answers = []
    for torch in (True, False):
        found, errors = run(asked, folder, torch, given)
        assert [code for code, _ in found] == [0] * len(commands), errors
        answers.append([read_json(output) for _, output in found])
    for expected, found in zip(*answers, strict=True):
        assert len(found) > 0
        assert_close(found, expected)
    return answers[1]


def read_json(text: str) -> list[Any]:
    """One document, or one a line."""
    try:
        return [json.loads(text)]
    except ValueError:
        return [json.loads(line) for line in text.splitlines()]


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
    labels, lines, _ = assert_same(
        reviews,
        ["predict", "run", "reviews.csv"],
        ["predict", "run"],
        ["eval", "run", "reviews.csv"],
        given="a good film\n\na dull one\n",
    )
    assert (len(labels), len(lines)) == (40, 3)  # a blank line is answered, too


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
    commands = [["predict", "run", "clips"], ["eval", "run", "clips"]]
    given = "".join(f"{x},{y}\n" for x, y in np.load(tmp_path / "clips" / "0.npy"))
    if options:
        assert_same(tmp_path, *commands)
    else:
        pictured = ["predict", "run", "clips/0.npy", "--timeline", "timeline.png"]
        assert len(assert_same(tmp_path, *commands, pictured, ["predict", "run"], given=given)[-1]) == 40


@pytest.mark.parametrize("decoder", ["direct", "autoregressive"])
def test_a_forecaster(tmp_path: Path, decoder: str) -> None:
    rows = [f"{step},{20 + 5 * (step % 7) + (step % 3)}\n" for step in range(150)]
    (tmp_path / "load.csv").write_text("time,load\n" + "".join(rows))
    sizes = {"horizon": 4, "lookback": 14, "distribution": "student-t", "decoder": decoder}
    train(tmp_path / "load.csv", tmp_path / "run", **{**SMALL, **sizes})
    forecast = ["forecast", "run", "load.csv"]
    commands = [forecast, ["eval", "run", "load.csv"], [*forecast, "--anomalies", "--top", "0"]]
    found = assert_same(tmp_path, *commands, [*forecast, "--chart", "fan.png"])
    assert len(found[0]) == 4 and len(found[2]) == 136


@pytest.mark.parametrize("attention", ["none", "luong"])
def test_a_translator(tmp_path: Path, attention: str) -> None:
    pytest.importorskip("sacrebleu")
    pairs = {"one two": "eins zwei", "two": "zwei", "one one two": "eins eins zwei", "two one": "zwei eins"}
    rows = ["source\ttarget", *(f"{one}\t{other}" for one, other in pairs.items())]
    (tmp_path / "pairs.tsv").write_text("\n".join(rows + rows[1:] * 7) + "\n")
    (tmp_path / "new.txt").write_text("two two\n\none three\n")
    options = {"embedding": 6, "tokenizer": "word", "attention": attention}
    train(tmp_path / "pairs.tsv", tmp_path / "run", **SMALL, **options)
    show = [] if attention == "none" else ["--show", "attention.png"]
    answers, *_ = assert_same(
        tmp_path,
        ["translate", "run", "new.txt", *show],
        ["translate", "run", "new.txt", "--coverage-penalty", 0.3, "--beam", 2],
        ["eval", "run", "pairs.tsv"],
        ["predict", "run", "new.txt"],
    )
    assert [one["source"] for one in answers] == ["two two", "", "one three"]


@pytest.mark.parametrize("cnn", ["none", "tuned"])
def test_a_captioner(tmp_path: Path, cnn: str) -> None:
    image = pytest.importorskip("PIL.Image")
    (tmp_path / "photos").mkdir()
    generator = np.random.default_rng(0)
    with (tmp_path / "photos" / "metadata.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["file_name", "caption"])
        for number in range(8):
            pixels = (generator.random((24, 32, 3)) * (120 if number % 2 else 255)).astype(np.uint8)
            image.fromarray(pixels).save(tmp_path / f"photos/{number}.png")
            table.writerow([f"{number}.png", "A dark picture" if number % 2 else "A bright one"])
    options: dict[str, Any] = {"image_size": 16, "image_input": "attention"}
    if cnn != "none":
        from throughtime.encoders.mobilenet import MobileNetV2

        network = MobileNetV2(classes=0)
        file = tmp_path / "mobilenet.npz"
        np.savez(file, **{name: tensor.numpy() for name, tensor in network.state_dict().items()})  # type: ignore[arg-type]
        options = {"image_encoder": str(file), "image_size": 32, "fine_tune": 1}
    train(tmp_path / "photos", tmp_path / "run", embedding=6, image_embedding=5, **SMALL, **options)
    _, drawn, *_ = assert_same(
        tmp_path,
        ["caption", "run", "photos"],
        ["caption", "run", "photos/0.png", "--temperature", 0.8, "--seed", 3, "--show", "out.png"],
        ["predict", "run", "photos/1.png"],
        ["eval", "run", "photos"],
    )
    assert drawn[0]["image"] == "photos/0.png"


def test_what_needs_torch_says_so_in_a_line(reviews: Path) -> None:
    commands = [
        ["predict", "run", "reviews.csv", "--backend", "torch"],
        ["train", "reviews.csv"],
        ["inspect", "run"],
    ]
    found, errors = run(commands, reviews, torch=False, given="")
    assert [code for code, _ in found] == [2] * len(commands)
    assert errors.count("needs PyTorch") == errors.count("\n") == len(commands)


@pytest.mark.parametrize(
    "options, message",
    [
        (["--backend", "jax"], "backend 'jax' is unknown: use native or torch"),
        (["--precision", "fp8"], "precision 'fp8' is unknown: use fp32, bf16, int8"),
        (["--backend", "torch", "--precision", "int8"], "precision int8 is the native backend's"),
    ],
)
def test_a_wrong_choice_of_backend_is_told(reviews: Path, options: list[str], message: str) -> None:
    found, errors = run([["predict", "run", "reviews.csv", *options]], reviews, torch=False, given="")
    assert found[0][0] == 2
    assert message in errors and errors.count("\n") == 1
