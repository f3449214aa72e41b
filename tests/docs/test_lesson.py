"""The tutorial compares RNN and LSTM: what benchmarks/lesson.py measures is a fair comparison."""

from __future__ import annotations

import json
from pathlib import Path

import lesson  # pyright: ignore[reportMissingImports] - pytest finds benchmarks/
import pytest

MEASURED = Path(__file__).resolve().parents[2] / "docs" / "pictures" / "measured.json"


@pytest.fixture(scope="module")
def short() -> dict[str, dict[str, object]]:
    """Both cells after two updates on short sequences."""
    return {cell: lesson.measure(cell, lesson.CELLS[cell], 1, 12, 2) for cell in lesson.CELLS}


def test_both_networks_have_the_same_number_of_weights(short: dict[str, dict[str, object]]) -> None:
    rnn, lstm = short["rnn"]["parameters"], short["lstm"]["parameters"]
    assert isinstance(rnn, int) and isinstance(lstm, int)
    assert abs(rnn - lstm) < 0.01 * rnn


def test_the_lstm_begins_with_more_memory(short: dict[str, dict[str, object]]) -> None:
    assert short["lstm"]["memory"] is None  # longer than the sequence
    assert len(short["lstm"]["curve"]) == 12  # type: ignore[arg-type]


def test_the_figures_that_the_tutorial_shows_hold_the_lesson_for_every_seed() -> None:
    runs = json.loads(MEASURED.read_text(encoding="utf-8"))["lesson"]
    seeds = {run["seed"] for run in runs}
    assert len(seeds) == 3
    for seed in seeds:
        rnn, lstm = (
            next(r for r in runs if (r["seed"], r["cell"]) == (seed, cell)) for cell in ("rnn", "lstm")
        )
        assert lstm["error"] < 0.1 * rnn["error"]
        assert (lstm["memory"] or 100) >= 3 * rnn["memory"]
