"""Classification as a user types it."""

from __future__ import annotations

import csv
import io
import json
import shutil
from pathlib import Path

import pytest

from tests.commands import throughtime

SMALL = ["--hidden", "8", "--embedding", "6", "--epochs", "3", "--batch", "8", "--tokenizer", "word"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with reviews.csv and the run that the command made of it."""
    folder = tmp_path_factory.mktemp("classify")
    rows = [f"a {word} film,{label}\n" for word, label in [("good", "pos"), ("dull", "neg")] * 30]
    (folder / "reviews.csv").write_text("text,label\n" + "".join(rows) + ",pos\n")
    stopped = throughtime("train", "reviews.csv", "--out", "run", *SMALL, folder=folder)
    assert stopped.returncode == 2
    assert "reviews.csv line 62: text is empty (pass --skip-bad" in stopped.stderr
    assert stopped.stderr.count("\n") == 1
    result = throughtime("train", "reviews.csv", "--out", "run", "--skip-bad", *SMALL, folder=folder)
    assert result.returncode == 0, result.stderr
    assert "left out 1 bad example" in result.stderr
    assert "throughtime predict run" in result.stderr
    return folder


def test_lines_from_standard_input_get_labels(trained: Path) -> None:
    result = throughtime("predict", "run", "--json", folder=trained, given="a good film\na dull film\n")
    found = [json.loads(line) for line in result.stdout.splitlines()]
    assert [one["input"] for one in found] == ["a good film", "a dull film"]
    assert all(one["label"] in ("pos", "neg") for one in found)


def test_a_table_becomes_csv_and_what_is_left_out_is_counted(trained: Path) -> None:
    (trained / "new.csv").write_text('text\na good film\n""\na dull film\n')
    result = throughtime("predict", "run", "new.csv", "--csv", "--skip-bad", folder=trained)
    rows = list(csv.DictReader(io.StringIO(result.stdout)))
    assert [row["input"] for row in rows] == ["a good film", "a dull film"]
    assert "left out 1 bad example" in result.stderr


def test_eval_measures_and_draws(trained: Path) -> None:
    (trained / "test.csv").write_text("text,label\na good film,pos\na dull film,neg\n")
    result = throughtime("eval", "run", "test.csv", "--json", folder=trained)
    scores = json.loads(result.stdout)
    assert scores["examples"] == 2
    assert (trained / scores["confusion"]).exists()


def test_classifiers_are_compared_by_what_their_trainings_measured(trained: Path) -> None:
    shutil.copytree(trained / "run", trained / "twin")
    result = throughtime("compare", "run", "twin", "--json", folder=trained)
    assert result.returncode == 0, result.stderr
    rows = json.loads(result.stdout)["runs"]
    assert [row["run"] for row in rows] == ["run", "twin"]
    assert rows[0]["model"] == "GRU 1 x 8" and rows[0]["parameters"] == rows[1]["parameters"]
    page = (trained / "comparison" / "index.html").read_text()
    assert page.count("data:image/png;base64,") == 1 and "GRU 1 x 8" in page
    refused = throughtime("compare", "run", "twin", "--lags", "9", folder=trained)
    assert refused.returncode == 2 and "--lags is for language models" in refused.stderr
