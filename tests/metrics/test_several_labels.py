"""Scores of several labels at once, by hand."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from throughtime.metrics.several_labels import SeveralScores, write_label_scores

TRUTH = np.array([[1, 1, 0], [1, 0, 0], [0, 0, 0], [1, 0, 0]])
GIVEN = np.array([[1, 0, 0], [1, 1, 0], [0, 0, 0], [0, 0, 0]])


def test_the_scores_by_hand(tmp_path: Path) -> None:
    scores = SeveralScores(3)
    scores.add(TRUTH[:1], GIVEN[:1])
    scores.add(TRUTH[1:], GIVEN[1:])
    assert scores.by_label().tolist() == [[1, pytest.approx(2 / 3), pytest.approx(0.8)], [0, 0, 0], [0, 0, 0]]
    found = scores.result()
    assert found["micro_f1"] == pytest.approx(2 * 2 / (4 + 3))
    assert found["macro_f1"] == pytest.approx(0.4)  # the third label never occurs and is never given
    assert found["subset_accuracy"] == 0.25
    write_label_scores(tmp_path / "s.png", scores, ["a", "b", "c"])
    table = json.loads((tmp_path / "s.json").read_text())["labels"]
    assert table[0] == {"label": "a", "precision": 1.0, "recall": 2 / 3, "f1": 0.8, "examples": 3}
