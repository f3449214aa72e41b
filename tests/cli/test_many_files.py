"""`throughtime predict` for many files as a user types it: options that contradict, tasks without rows."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.commands import throughtime
from tests.predicting.conftest import run  # noqa: F401


@pytest.fixture
def table(tmp_path: Path) -> Path:
    (tmp_path / "a.csv").write_text("text,id\na good film,1\na dull end,2\n")
    return tmp_path


def test_the_summary_is_json_or_a_line(run: Path, table: Path) -> None:  # noqa: F811
    command = ["predict", run, "*.csv", "--out", "out", "--keep", "id", "--probabilities", "--processes", "1"]
    result = throughtime(*command, folder=table)
    assert (result.returncode, result.stdout) == (0, ""), result.stderr
    assert result.stderr.startswith("2 predictions of 1 file in 1 part in ")
    assert result.stderr.rstrip().endswith("rows/s: out (complete)")
    again = json.loads(throughtime(*command, "--json", folder=table).stdout)
    assert again["went_on"] and (again["rows"], again["read"], again["is_complete"]) == (2, 0, True)
    (line, _) = (table / "out" / "part-00000.jsonl").read_text().splitlines()
    assert list(json.loads(line)) == ["file", "row", "id", "input", "label", "probability", "probabilities"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["a.csv", "--processes", "2"], "--processes is for many files: name a folder"),
        (["a.csv", "--part-rows", "2"], "--part-rows is for many files"),
        (["a.csv", "--keep", "id"], "--keep is for many files"),
        (["a.csv", "--out", "out", "--csv"], "--csv cannot be given with --out"),
        (["a.csv", "--out", "out", "--beam", "2"], "--beam cannot be given with --out"),
        (["a.csv", "--out", "out", "--shard", "1"], "--shard '1' is not I/N, as in --shard 0/8"),
        (["a.csv", "--out", "out", "--shard", f"1/{'9' * 5000}"], "--shard '1/999"),
        (["a.csv", "--out", "out", "--shard", "2/2"], "--shard 2/2: the first of 2 shards is 0, the last 1"),
        (["a.csv", "--out", "s3://bucket/out"], "is a URL: name a folder"),
        (["--out", "out"], "name the files to predict for"),
        (["b.csv", "--out", "out"], "b.csv: no such file or folder"),
        (["a.csv", "--out", "out", "--threshold", "0.5"], "--threshold is for several labels"),
    ],
)
def test_mistakes_are_one_line(
    run: Path,  # noqa: F811
    table: Path,
    arguments: list[str],
    message: str,
) -> None:
    result = throughtime("predict", run, *arguments, folder=table)
    assert (result.returncode, result.stderr.count("\n")) == (2, 1), result.stderr
    assert message in result.stderr
    assert not (table / "out").exists()


def test_a_task_that_reads_no_rows_says_so(run: Path, table: Path) -> None:  # noqa: F811
    from throughtime.tasks.language_model.run import LanguageModelRun

    (table / "text.txt").write_text("so much depends upon a red wheel barrow " * 90)
    import throughtime as tt

    other = tt.train(table / "text.txt", out=table / "other", hidden=4, layers=1, epochs=1, tensorboard=False)
    assert isinstance(other, LanguageModelRun)
    result = throughtime("predict", "other", "a.csv", "--out", "out", folder=table)
    assert result.returncode == 2
    assert "is a language-model, which does not predict from the rows of tables" in result.stderr
    assert "classifier, a translator or a word-tagger" in result.stderr
