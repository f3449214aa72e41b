"""What files are for that a pattern names: one table, a corpus, or neither, which is said."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from throughtime.data.joined import join
from throughtime.data.sources import Source
from throughtime.errors import DataError
from throughtime.recognition import recognise
from throughtime.recognition.corpora import described

LABELLED = [{"text": f"a text {n}", "label": "good" if n % 2 else "bad"} for n in range(12)]
TEXTS = [{"text": f"a text {n}", "author": f"who {n}"} for n in range(12)]


def write(folder: Path, name: str, rows: list[dict[str, Any]]) -> None:
    path = folder / name
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


@pytest.mark.parametrize(
    "rows, options, task",
    [
        (LABELLED, {}, "classifier"),
        (LABELLED, {"text_column": "text"}, "classifier"),
        (LABELLED, {"task": "language-model", "text_column": "text"}, "language-model"),
        (TEXTS, {"text_column": "text"}, "language-model"),
        (TEXTS, {"text_column": "text", "label_column": "author", "any_labels": True}, "classifier"),
        (TEXTS, {"lines": True}, "language-model"),
    ],
)
def test_the_columns_and_the_options_decide(
    tmp_path: Path, rows: list[dict[str, Any]], options: dict[str, Any], task: str
) -> None:
    write(tmp_path, "a.jsonl", rows)
    write(tmp_path, "b.jsonl", rows)
    found = recognise(f"{tmp_path}/*.jsonl", options)
    assert found.task == task
    assert found.why.startswith("2 files, ")


def test_an_empty_file_among_others_has_no_rows(tmp_path: Path) -> None:
    write(tmp_path, "b.jsonl", LABELLED)
    (tmp_path / "a.jsonl").write_text("")
    assert recognise(f"{tmp_path}/*.jsonl").task == "classifier"
    assert [file.name for file in join(f"{tmp_path}/*.jsonl").files] == ["b.jsonl"]
    with pytest.raises(DataError, match=r"a\.jsonl is empty: there is nothing to read"):
        recognise(f"{tmp_path}/a*.jsonl")


def test_a_size_that_no_server_tells_is_left_out() -> None:
    assert described([Source("https://host/a.csv"), Source("https://host/b.csv", 2_000)]) == "2 files"


def test_files_in_the_order_of_their_labels_are_labelled(tmp_path: Path) -> None:
    for label in ("bad", "good", "fair"):
        write(tmp_path, f"{label}.csv", [{**row, "label": label} for row in LABELLED])
    assert "`label` has 3 values" in recognise(f"{tmp_path}/*.csv").why


@pytest.mark.parametrize(
    "files, pattern, options, told",
    [
        ({"a.csv": TEXTS}, "*.csv", {}, r"no column `label`"),
        ({"a.jsonl": TEXTS}, "*.jsonl", {}, r"no column `label`"),
        ({"a.csv": LABELLED, "b.jsonl": LABELLED}, "*", {}, r"a\.csv and .*b\.jsonl are tables of different"),
        ({"a.csv": LABELLED, "b.txt": LABELLED}, "*", {}, r"a\.csv is a table, and .*b\.txt is a text"),
        (
            {"b.txt": LABELLED},
            "*.txt",
            {"task": "classifier"},
            r"a classifier \(--task classifier\) reads tables",
        ),
        ({"b.txt": LABELLED}, "*.txt", {"lines": True}, r"--lines reads tables .*: name one file on this"),
        ({"a.csv": TEXTS}, "*.csv", {"task": "language-model"}, r"a corpus has JSON Lines and Parquet"),
        ({"a.csv": [{"file_name": "1.wav", "label": "x"}]}, "*.csv", {}, r"a table that names files"),
    ],
)
def test_what_is_neither_is_refused(
    tmp_path: Path, files: dict[str, list[dict[str, Any]]], pattern: str, options: dict[str, Any], told: str
) -> None:
    for name, rows in files.items():
        write(tmp_path, name, rows)
    with pytest.raises(DataError, match=told):
        recognise(f"{tmp_path}/{pattern}", options)
