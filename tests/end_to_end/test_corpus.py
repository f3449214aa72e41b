"""A corpus as a user types it: a pattern in quotes, rows with a column, a work that stopped and goes on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.commands import throughtime
from throughtime.data import corpus_tokens
from throughtime.errors import RunError
from throughtime.run import Run
from throughtime.training import resume, train
from throughtime.training.progress import Progress

SMALL = ["--hidden", "8", "--embedding", "4", "--batch", "2", "--chunk", "16", "--epochs", "1"]
SMALL += ["--threads", "1", "--no-tensorboard"]
OPTIONS: dict[str, Any] = {"hidden": 8, "embedding": 4, "batch": 2, "chunk": 16, "epochs": 1, "threads": 1}
OPTIONS |= {"tensorboard": False}
LINE = "the quick brown fox jumps over the lazy dog\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Texts, and the same as rows."""
    folder = tmp_path_factory.mktemp("corpus")
    (folder / "texts").mkdir()
    for number in range(3):
        (folder / "texts" / f"{number}.txt").write_text(LINE * 6)
    rows = [json.dumps({"body": LINE * 6, "label": "a"}) for _ in range(3)]
    (folder / "rows.jsonl").write_text("\n".join([*rows, '{"body": null}', ""]))
    return folder


def test_a_pattern_and_rows_make_the_same_model(folder: Path, quick_trainings: None) -> None:
    result = throughtime("train", "texts/*.txt", "--out", "a", *SMALL, folder=folder)
    assert result.returncode == 0, result.stderr
    assert "texts/*.txt: 3 files, 792 bytes of text: writing like it" in result.stderr
    # They have labels, too: without the task they would be classified.
    rows = ["rows*.jsonl", "--task", "language-model", "--text-column", "body", "--skip-bad"]
    result = throughtime("train", *rows, "--out", "b", *SMALL, folder=folder)
    assert result.returncode == 0, result.stderr
    assert "1 rows without a text are left out" in result.stderr
    weights = [(folder / name / "model.safetensors").read_bytes() for name in "ab"]
    assert weights[0] == weights[1]
    assert (
        json.loads((folder / "a" / "tokens" / "text.bin.sources.json").read_text())["pattern"]
        == "texts/*.txt"
    )


def test_a_users_mistakes_are_one_line_each(folder: Path) -> None:
    prose = ("rows*.jsonl", "--task", "language-model")
    for arguments, message in [
        (["rows*.jsonl"], "name the column with the texts: --text-column body"),
        ([*prose], "line 1 has no text in 'text': it has body, label"),
        (["texts/*.txt", "--text-column", "body"], "--text-column is for JSON Lines and Parquet"),
        (["texts/*.md"], "texts/*.md: no file to read"),
        (
            ["texts/*.txt", "--label-column", "label"],
            "a classifier (--label-column) reads tables (.csv, .tsv, .jsonl, .ndjson, .parquet)",
        ),
        (["texts/*.txt", "--lines"], "--lines reads tables (.csv, .tsv, .jsonl, .ndjson, .parquet)"),
        (["*.csv"], "*.csv: no file to read"),
        (["ftq://somewhere/*.txt"], "ftq://somewhere/*.txt: "),
    ]:
        result = throughtime("train", *arguments, "--out", "new", *SMALL, "-q", folder=folder)
        assert result.returncode == 2, (arguments, result.stderr)
        assert message in result.stderr and len(result.stderr.strip().splitlines()) == 1, result.stderr
        assert not (folder / "new").exists()


def test_a_corpus_that_was_interrupted_goes_on(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quick_trainings: None
) -> None:
    pattern = f"{folder}/texts/*.txt"
    whole = train(pattern, out=tmp_path / "whole", **OPTIONS)
    said: list[str] = []
    show = Progress()
    show.remark = said.append  # type: ignore[method-assign]
    with monkeypatch.context() as patch:
        patch.setattr(corpus_tokens.Corpus, "tokens", _interrupted)
        with pytest.raises(KeyboardInterrupt):
            train(pattern, out=tmp_path / "run", show=show, **OPTIONS)
    assert said[-1].endswith(f"is kept: go on with `throughtime train --resume {tmp_path / 'run'}`")
    again, _ = resume(tmp_path / "run")
    assert (again.folder / "model.safetensors").read_bytes() == (
        whole.folder / "model.safetensors"
    ).read_bytes()
    assert isinstance(Run.open(tmp_path / "run"), type(whole))


def test_a_corpus_that_changed_in_between_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.txt").write_text(LINE * 20)
    with monkeypatch.context() as patch:
        patch.setattr(corpus_tokens.Corpus, "tokens", _interrupted)
        with pytest.raises(KeyboardInterrupt):
            train(f"{tmp_path}/*.txt", out=tmp_path / "run", **OPTIONS)
    (tmp_path / "a.txt").write_text(LINE * 21)
    with pytest.raises(RunError, match=r"a\.txt has changed since the corpus was begun: begin again"):
        resume(tmp_path / "run")


def _interrupted(*_: object) -> None:
    raise KeyboardInterrupt
