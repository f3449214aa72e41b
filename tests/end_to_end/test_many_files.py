"""Training on many files as a user types it, from a pattern of tables to predictions for another one."""

from __future__ import annotations

from pathlib import Path

from tests.commands import throughtime
from tests.run.test_tables_anywhere import REVIEWS, in_parts, table


def test_a_classifier_learns_from_a_pattern_and_is_measured_on_one(tmp_path: Path) -> None:
    (tmp_path / "reviews").mkdir()
    for number, part in in_parts(REVIEWS):
        (tmp_path / "reviews" / f"{number}.csv").write_bytes(table(part, "csv"))
    options = ("--epochs", 1, "--hidden", 8, "--tokenizer", "word")
    trained = throughtime("train", "reviews/*.csv", "--out", "run", *options, folder=tmp_path)
    assert trained.returncode == 0, trained.stderr
    assert "reviews/*.csv: 3 files, " in trained.stderr + trained.stdout
    measured = throughtime("eval", "run", "reviews/[01].csv", folder=tmp_path)
    assert "examples" in measured.stdout and "confusion-01.png" in measured.stdout
    predicted = throughtime("predict", "run", "reviews/*.csv", "--json", folder=tmp_path)
    assert predicted.stdout.count("\n") == len(REVIEWS)


def test_a_file_with_other_columns_is_named_before_a_run_folder_is_made(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(table(REVIEWS, "csv"))
    (tmp_path / "b.csv").write_text("text,stars\nfine,3\n")
    refused = throughtime("train", "*.csv", "--out", "run", folder=tmp_path)
    assert refused.returncode != 0
    assert "b.csv has no column 'label', which a.csv has" in " ".join(refused.stderr.split())
    assert not (tmp_path / "run").exists()
