"""Runs side by side without torch: rows at the best evaluation, and what is not compared."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from throughtime.errors import OptionError
from throughtime.run.history import METRICS
from throughtime.run.side_by_side import check_comparable, different_data, rows_of


def run_in(folder: Path, entries: list[dict[str, float]], task: str = "tagger", source: str = "a") -> Any:
    folder.mkdir()
    (folder / METRICS).write_text("".join(f"{json.dumps(entry)}\n" for entry in entries))
    model = {"cell": "gru", "layers": 2, "hidden": 8}
    facts = {"config": {"model": model, "data": {"source": source}}, "parameters": 1234}
    return SimpleNamespace(
        folder=folder, task=task, objective="val_f1", higher_is_better=True, describe=lambda: facts
    )


def test_a_row_is_the_evaluation_whose_weights_were_kept(tmp_path: Path) -> None:
    first = [{"epoch": one, "val_loss": 1 - one / 10, "val_f1": score} for one, score in ((1, 0.7), (2, 0.6))]
    one, two = run_in(tmp_path / "one", first), run_in(tmp_path / "two", [{"epoch": 1, "val_rate": 3}])
    rows = rows_of([one, two], ["one", "two"])
    assert rows[0] == {
        "run": "one",
        "model": "GRU 2 x 8",
        "parameters": "1,234",
        "best epoch": "1",
        "validation loss": "0.9000",
        "f1": "0.7000",
        "rate": "",
        "tokens/s": "",
    }
    assert rows[1]["f1"] == "" and list(rows[1]) == list(rows[0])


def test_other_tasks_are_refused_and_other_data_noted(tmp_path: Path) -> None:
    one, two = run_in(tmp_path / "one", []), run_in(tmp_path / "two", [], "classifier", "b")
    with pytest.raises(OptionError, match=r"one is a tagger and .*two is a classifier"):
        check_comparable([one, two])
    assert different_data([one, two]) == "the runs are measured on different data: a, b"
    assert different_data([one, one]) == ""
