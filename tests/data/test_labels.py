"""Class names and their numbers."""

from __future__ import annotations

from pathlib import Path

import pytest

from throughtime.data.labels import Labels, label_text
from throughtime.errors import DataError, RunError


def test_numbers_sort_as_numbers_and_words_as_words() -> None:
    assert Labels.of(["10", "2", "-1", "2"]).names == ("-1", "2", "10")
    assert Labels.of(["dog", "cat", "10"]).names == ("10", "cat", "dog")


def test_numbers_of_thousands_of_digits_are_names(tmp_path: Path) -> None:
    long = "1" * 5000
    labels = Labels.of([long, "10", "9", "dog", "-" + long])
    assert labels.names == ("9", "10", "-" + long, long, "dog")
    labels.save(tmp_path / "labels.json")
    assert Labels.load(tmp_path / "labels.json").names == labels.names
    with pytest.raises(DataError) as raised:
        labels.number("2" * 5000)
    assert len(str(raised.value)) < 20_000


def test_a_label_has_the_same_number_after_saving(tmp_path: Path) -> None:
    labels = Labels.of(["긍정", "부정"])
    labels.save(tmp_path / "labels.json")
    again = Labels.load(tmp_path / "labels.json")
    assert again.names == ("긍정", "부정")
    assert [again.number(name) for name in again.names] == [0, 1]


def test_an_unknown_label_is_refused_with_the_known_ones() -> None:
    with pytest.raises(DataError, match="label 'cow' is unknown to the model; it knows cat, dog"):
        Labels(["cat", "dog"]).number("cow")


def test_more_labels_than_can_be_told_apart_are_refused() -> None:
    with pytest.raises(DataError, match="^a.csv: there are 5,001 different labels, such as '0', and no more"):
        Labels.of(map(str, range(5_001)), "a.csv")


def test_values_of_tables_become_text() -> None:
    values = [1, 1.0, 0.5, True, " cat ", None, float("nan")]
    assert [label_text(value) for value in values] == ["1", "1", "0.5", "true", "cat", "", ""]


def test_damaged_labels_are_named(tmp_path: Path) -> None:
    for content in ("[1, 2]", "{", '{"a": 1}'):
        (tmp_path / "labels.json").write_text(content)
        with pytest.raises(RunError, match=r"labels\.json is damaged"):
            Labels.load(tmp_path / "labels.json")
    with pytest.raises(RunError, match="missing"):
        Labels.load(tmp_path / "none.json")
