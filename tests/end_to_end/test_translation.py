"""Translation as a user types it: train, translate, eval, predict, and the errors on the way."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.commands import throughtime

SMALL = ["--hidden", "16", "--embedding", "8", "--tokenizer", "word", "--epochs", "2", "--batch", "8"]
ENGLISH = ["one two", "two", "one one two", "two one"] * 8
GERMAN = ["eins zwei", "zwei", "eins eins zwei", "zwei eins"] * 8


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two parallel files and a run folder made from them by the command."""
    folder = tmp_path_factory.mktemp("translation")
    (folder / "train.en.gz").write_bytes(gzip.compress("".join(line + "\n" for line in ENGLISH).encode()))
    (folder / "train.de").write_text("".join(line + "\n" for line in GERMAN))
    result = throughtime(
        "train", "train.en.gz", "--target", "train.de", "--out", "run", *SMALL, folder=folder
    )
    assert result.returncode == 0, result.stderr
    assert "29 training pairs, 3 to validate on" in result.stderr
    assert "throughtime translate run" in result.stderr
    return folder


def test_each_line_is_answered_before_the_next_is_sent(trained: Path) -> None:
    command = [sys.executable, "-c", "from throughtime.cli import main; main()", "translate", "run"]
    process = subprocess.Popen(
        command, cwd=trained, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=os.environ
    )
    assert process.stdin is not None and process.stdout is not None
    answers = []
    for line in ("one two", "", "two"):
        process.stdin.write(line + "\n")
        process.stdin.flush()
        answers.append(process.stdout.readline())  # would wait for ever if the answer waited for more input
    process.stdin.close()
    assert process.stdout.read() == ""
    assert process.wait(timeout=60) == 0
    assert all(answer.endswith("\n") for answer in answers)
    assert answers[1] == "\n"


def test_a_file_gives_a_line_for_each_line(trained: Path) -> None:
    (trained / "in.txt").write_text("one\n\ntwo two\n")
    result = throughtime("translate", "run", "in.txt", folder=trained)
    assert result.returncode == 0, result.stderr
    assert len(result.stdout.splitlines()) == 3
    assert result.stdout.splitlines()[1] == ""


def test_json_has_the_alignment_and_show_draws_it(trained: Path) -> None:
    (trained / "in.txt").write_text("one two\ntwo\n")
    result = throughtime(
        "translate", "run", "in.txt", "--json", "--beam", "2", "--show", "a.png", folder=trained
    )
    assert result.returncode == 0, result.stderr
    first = json.loads(result.stdout.splitlines()[0])
    assert first["source"] == "one two"
    assert first["source_tokens"] == ["one", "two", "<end>"]
    assert [len(row) for row in first["attention"]] == [3] * len(first["target_tokens"])
    assert (trained / "a.png").read_bytes().startswith(b"\x89PNG")


def test_influence_is_drawn_and_the_recurrences_are_inspected(trained: Path) -> None:
    (trained / "in.txt").write_text("one two\n")
    result = throughtime("translate", "run", "in.txt", "--influence", "i.png", folder=trained)
    assert result.returncode == 0, result.stderr
    if result.stdout.strip():
        assert (trained / "i.png").read_bytes().startswith(b"\x89PNG")
    result = throughtime("inspect", "run", "--json", folder=trained)
    assert result.returncode == 0, result.stderr
    found = json.loads(result.stdout)["recurrences"]
    assert "encoder" in [one["recurrence"] for one in found]
    assert all(Path(trained / picture).exists() for one in found for picture in one["pictures"])
    result = throughtime("inspect", "run", "in.txt", folder=trained)
    assert result.returncode == 2
    assert "only language models are measured on a text" in result.stderr


def test_eval_and_predict_and_info(trained: Path) -> None:
    pytest.importorskip("sacrebleu")
    (trained / "t.jsonl").write_text('{"source": "one", "target": "eins"}\n')
    result = throughtime("eval", "run", "t.jsonl", "--json", folder=trained)
    assert result.returncode == 0, result.stderr
    figures = json.loads(result.stdout)
    assert "tok:13a" in figures["bleu_signature"] and figures["pairs"] == 1
    (trained / "t.en").write_text("one\n")
    (trained / "t.de").write_text("eins\n")
    files = throughtime("eval", "run", "t.en", "--target", "t.de", "--json", folder=trained)
    assert json.loads(files.stdout)["bleu"] == figures["bleu"]
    predicted = throughtime("predict", "run", "t.jsonl", "--json", folder=trained)
    assert list(json.loads(predicted.stdout)) == ["source", "translation", "score"]
    assert "source and" in throughtime("info", "run", folder=trained).stdout


def test_a_stopped_training_goes_on_to_the_same_weights(trained: Path) -> None:
    for name, epochs in (("whole", "2"), ("parts", "1")):
        options = [*SMALL, "--epochs", epochs, "--schedule", "constant", "--dropout", "0.5", "--threads", "1"]
        made = throughtime(
            "train", "train.en.gz", "--target", "train.de", "--out", name, *options, folder=trained
        )
        assert made.returncode == 0, made.stderr
    resumed = throughtime("train", "--resume", "parts", "--epochs", "2", folder=trained)
    assert resumed.returncode == 0, resumed.stderr
    whole, parts = ((trained / name / "model.safetensors").read_bytes() for name in ("whole", "parts"))
    assert whole == parts


@pytest.mark.parametrize(
    ("english", "german", "options", "message"),
    [
        ("a\nb\n", "a\n", [], "p.en has 2 lines and p.de has 1"),
        ("a\n\nb\n", "a\nb\nc\n", [], "p.en line 2: the source is empty (pass --skip-bad"),
        ("a\n", "a\n", ["--input-feeding", "--attention", "none"], "input_feeding is of luong"),
        ("a\n", None, [], "p.de: no such file"),
        ("", "", [], "p.en is empty"),
    ],
)
def test_a_mistake_is_one_line_and_leaves_nothing_behind(
    tmp_path: Path, english: str, german: str | None, options: list[str], message: str
) -> None:
    (tmp_path / "p.en").write_text(english)
    if german is not None:
        (tmp_path / "p.de").write_text(german)
    result = throughtime(
        "train", "p.en", "--target", "p.de", "--out", "run", *options, folder=tmp_path, COLUMNS="300"
    )
    assert result.returncode == 2
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert not (tmp_path / "run").exists()


def test_translating_with_another_kind_of_run_or_without_attention_is_refused(trained: Path) -> None:
    (trained / "text.txt").write_text("to be or not to be " * 40)
    made = throughtime(
        "train", "text.txt", "--out", "lm", "--hidden", "8", "--batch", "2", "--chunk", "8", "--epochs", "1",
        folder=trained,
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    result = throughtime("translate", "lm", folder=trained)
    assert result.returncode == 2
    assert "lm is a language-model, and this needs a translator" in result.stderr
    wrong = throughtime("eval", "lm", "text.txt", "--target", "text.txt", folder=trained)
    assert "--target is for translators" in wrong.stderr


def test_the_n_best_translations_come_with_their_scores(trained: Path) -> None:
    (trained / "one.txt").write_text("one\n")
    command = ["translate", "run", "one.txt"]
    one = throughtime(*command, folder=trained).stdout
    lines = throughtime(*command, "--n-best", "3", folder=trained).stdout.splitlines()
    scores = [float(line.split("\t")[0]) for line in lines]
    assert len(lines) == 3 and scores == sorted(scores, reverse=True)
    assert lines[0].split("\t")[1] == one.strip("\n")
    found = json.loads(throughtime(*command, "--n-best", "2", "--json", folder=trained).stdout)
    assert [each["translation"] for each in found["n_best"]] == [line.split("\t")[1] for line in lines[:2]]
    refused = throughtime(*command, "--n-best", "9", folder=trained)
    assert refused.returncode == 2 and "--n-best 9 needs a --beam of 9 or more" in refused.stderr
