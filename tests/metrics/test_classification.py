"""Accuracy, F1 and confusion: by hand, and against scikit-learn."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from throughtime.metrics.classification import (
    accuracy,
    add_confusion,
    class_scores,
    confusion_matrix,
    macro_f1,
    majority,
    score_table,
    write_confusion,
)
from throughtime.metrics.confusion_picture import draw_confusion, most_confused

# 3 cats (2 right, 1 taken for a dog), 2 dogs (both right), 1 bird (taken for a cat)
CONFUSION = np.array([[2, 1, 0], [0, 2, 0], [1, 0, 0]])


def test_a_confusion_matrix_counts_true_rows_and_predicted_columns() -> None:
    assert confusion_matrix([0, 0, 0, 1, 1, 2], [0, 0, 1, 1, 1, 0], 3).tolist() == CONFUSION.tolist()


def test_the_scores_are_those_worked_out_by_hand() -> None:
    assert accuracy(CONFUSION) == pytest.approx(4 / 6)
    assert majority(CONFUSION) == pytest.approx(3 / 6)
    expected = [[2 / 3, 2 / 3, 2 / 3], [2 / 3, 1, 4 / 5], [0, 0, 0]]
    assert class_scores(CONFUSION) == pytest.approx(np.array(expected))
    assert macro_f1(CONFUSION) == pytest.approx((2 / 3 + 4 / 5 + 0) / 3)
    assert score_table(CONFUSION, ["cat", "dog", "bird"])[1] == {
        "label": "dog",
        "precision": pytest.approx(2 / 3),
        "recall": 1.0,
        "f1": pytest.approx(0.8),
        "examples": 2,
    }


def test_a_class_that_nobody_saw_does_not_lower_the_macro_f1() -> None:
    assert macro_f1(np.array([[3, 0, 0], [0, 4, 0], [0, 0, 0]])) == 1


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=40))
def test_scikit_learn_finds_the_same(pairs: list[tuple[int, int]]) -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    truth, predicted = zip(*pairs, strict=True)
    confusion = confusion_matrix(truth, predicted, 4)
    assert confusion.tolist() == metrics.confusion_matrix(truth, predicted, labels=range(4)).tolist()
    assert accuracy(confusion) == pytest.approx(metrics.accuracy_score(truth, predicted))
    assert macro_f1(confusion) == pytest.approx(
        metrics.f1_score(truth, predicted, average="macro", zero_division=0)
    )


@pytest.mark.parametrize("classes", [2, 10, 70])
def test_the_picture_is_drawn_for_few_and_many_classes(tmp_path: Path, classes: int) -> None:
    confusion = np.random.default_rng(0).integers(0, 50, (classes, classes))
    path = draw_confusion(tmp_path / "confusion.png", confusion, [f"class {n}" for n in range(classes)])
    assert path.read_bytes().startswith(b"\x89PNG")


def test_without_matplotlib_the_numbers_remain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("throughtime.metrics.classification.find_spec", lambda name: None)
    written = write_confusion(tmp_path / "confusion.png", np.array([[2, 1], [0, 3]]), ["a", "b"])
    assert written == tmp_path / "confusion.json"
    assert json.loads(written.read_text())["confusion"] == [[2, 1], [0, 3]]
    assert not (tmp_path / "confusion.png").exists()


def test_of_many_classes_only_what_occurred_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("throughtime.metrics.classification.find_spec", lambda name: None)
    confusion = np.zeros((501, 501), np.int64)
    add_confusion(confusion, [3, 500, 3], [4, 500, 4])
    written = write_confusion(tmp_path / "confusion.png", confusion, [str(one) for one in range(501)])
    assert json.loads(written.read_text())["confused"] == [[3, 4, 2], [500, 500, 1]]


def test_labels_are_no_formulas(tmp_path: Path) -> None:
    assert draw_confusion(tmp_path / "a.png", np.eye(2, dtype=np.int64), [r"$\x$", "$_$"]).is_file()


def test_the_most_frequent_confusions_come_first_and_the_diagonal_is_none() -> None:
    confusion = np.array([[9, 0, 1], [3, 1, 0], [0, 0, 5]])
    assert most_confused(confusion, 5) == [(1, 0, 3, 0.75), (0, 2, 1, 0.1)]
    assert most_confused(confusion, 1) == [(1, 0, 3, 0.75)]
