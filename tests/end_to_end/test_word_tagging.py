"""Tagging words as a user types it."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest

from tests.commands import throughtime

SMALL = ["--hidden", "8", "--embedding", "6", "--character-features", "6", "--batch", "4", "--threads", "1"]
SENTENCES = "".join(
    f"{name}\tB-person\nlives\tO\nin\tO\n{town}\tB-place\n.\tO\n\n"
    for name in ("Ana", "Ben", "Cleo", "Dan") * 4
    for town in ("Arles", "Bonn", "Cork")
)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with names.conll and the run that the command made of it."""
    folder = tmp_path_factory.mktemp("words")
    (folder / "names.conll").write_text(SENTENCES + "Zoe\n")
    stopped = throughtime("train", "names.conll", "--out", "run", *SMALL, folder=folder)
    assert stopped.returncode == 2
    assert "names.conll line 289: 1 columns, expected 2 (pass --skip-bad" in stopped.stderr
    assert stopped.stderr.strip().count("\n") <= 1
    options = [*SMALL, "--skip-bad", "--epochs", "10", "--learning-rate", "0.02"]
    result = throughtime("train", "names.conll", "--out", "run", *options, folder=folder)
    assert result.returncode == 0, result.stderr
    first = result.stderr.splitlines()[0]
    assert first == "names.conll: CoNLL, with words in column 1 of 2 and tags in 2: a tag for every word"
    assert "names.conll has BIO tags" in result.stderr
    assert "left out 1 bad example" in result.stderr
    assert "throughtime predict run" in result.stderr
    return folder


def test_a_line_of_text_becomes_a_line_with_its_names(trained: Path) -> None:
    result = throughtime("predict", "run", folder=trained, given="Ana lives in Bonn.\n\nBen lives in Cork.\n")
    assert result.returncode == 0, result.stderr
    header, first, blank, second = result.stdout.splitlines()
    assert header.split() == ["least", "sure", "tagged"]
    assert first.endswith("[Ana: person] lives in [Bonn: place] .")
    assert not blank.strip()
    assert second.endswith("[Ben: person] lives in [Cork: place] .")


def test_json_has_an_object_for_each_sentence(trained: Path) -> None:
    result = throughtime("predict", "run", "--json", folder=trained, given="Ana lives in Bonn.\n")
    (found,) = [json.loads(line) for line in result.stdout.splitlines()]
    assert found["words"] == ["Ana", "lives", "in", "Bonn", "."]
    assert found["tags"] == ["B-person", "O", "O", "B-place", "O"]
    assert found["entities"][1]["text"] == "Bonn"


def test_csv_has_a_row_for_each_word_with_the_truth_of_a_file(trained: Path) -> None:
    (trained / "new.conll").write_text("Ana\tB-person\nlives\tO\n\nBonn\tB-place\n")
    result = throughtime("predict", "run", "new.conll", "--csv", folder=trained)
    rows = list(csv.DictReader(io.StringIO(result.stdout)))
    assert [(row["sentence"], row["word"], row["truth"]) for row in rows] == [
        ("1", "Ana", "B-person"),
        ("1", "lives", "O"),
        ("2", "Bonn", "B-place"),
    ]


def test_eval_measures_words_and_names_by_type(trained: Path) -> None:
    (trained / "test.conll").write_text(SENTENCES[: SENTENCES.index("Cleo")])
    result = throughtime("eval", "run", "test.conll", folder=trained)
    assert result.returncode == 0, result.stderr
    for name in ("accuracy", "precision", "recall", "f1", "person", "place"):
        assert name in result.stdout
    scores = json.loads(throughtime("eval", "run", "test.conll", "--json", folder=trained).stdout)
    assert scores["f1"] == 1.0
    assert {row["type"] for row in scores["entities"]} == {"person", "place"}


def test_the_run_is_quantised_and_described(trained: Path) -> None:
    (trained / "q.conll").write_text(SENTENCES[: SENTENCES.index("Cleo")])
    result = throughtime("quantize", "run", "--out", "small", "--data", "q.conll", folder=trained)
    assert result.returncode == 0, result.stderr
    result = throughtime("predict", "small", folder=trained, given="Ana lives in Bonn.\n")
    assert "[Ana: person]" in result.stdout
    described = throughtime("info", "run", folder=trained)
    assert described.returncode == 0 and "word-tagger" in described.stdout


def test_an_option_of_the_words_alone_names_the_task(trained: Path) -> None:
    (trained / "plain.txt").write_text("the quick brown fox\njumps over\n")
    result = throughtime("train", "plain.txt", "--tag-column", "2", "--out", "x", folder=trained)
    assert result.returncode == 2
    assert "Traceback" not in result.stderr
