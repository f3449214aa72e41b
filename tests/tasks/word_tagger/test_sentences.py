"""Sentences from tables and plain texts: known names of columns, tags that are numbers, what does not fit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from throughtime.data.tables import BadRows
from throughtime.errors import DataError
from throughtime.tasks.word_tagger.conll import Sentence
from throughtime.tasks.word_tagger.sentences import SentenceReader, read_names


def read(folder: Path, *rows: dict[str, Any], bad: BadRows | None = None, **options: Any) -> list[Sentence]:
    path = folder / "t.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return list(SentenceReader(**options).read(path, bad or BadRows()))


@pytest.mark.parametrize("words", ["tokens", "words"])
@pytest.mark.parametrize("tags", ["tags", "ner_tags", "pos_tags", "upos", "labels"])
def test_the_usual_names_are_known(tmp_path: Path, words: str, tags: str) -> None:
    (found,) = read(tmp_path, {"id": 1, words: ["EU", "rejects"], tags: ["B-ORG", "O"]})
    assert (found.words, found.tags) == (("EU", "rejects"), ("B-ORG", "O"))


def test_tags_that_are_numbers_take_the_names_that_are_given(tmp_path: Path) -> None:
    row = {"tokens": ["EU", "rejects"], "ner_tags": [1, 0]}
    assert read(tmp_path, row)[0].tags == ("1", "0")
    assert read(tmp_path, row, names=("O", "B-ORG"))[0].tags == ("B-ORG", "O")


def test_names_of_tags_come_between_commas_or_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "names.txt").write_text("O\nB-ORG\n\n")
    assert read_names("O, B-ORG") == read_names(str(tmp_path / "names.txt")) == ("O", "B-ORG")
    assert read_names(None) == ()
    with pytest.raises(DataError, match=r"different names between commas"):
        read_names("O,O")


@pytest.mark.parametrize(
    ("row", "options", "message"),
    [
        ({"tokens": ["a", "b"], "tags": ["X"]}, {}, r"line 1: 2 words \(tokens\) and 1 tags \(tags\)"),
        ({"tokens": [], "tags": []}, {}, r"tokens is empty"),
        ({"tokens": ["a", " "], "tags": ["X", "X"]}, {}, r"word 2 is empty"),
        ({"tokens": ["a", 3], "tags": ["X", "X"]}, {}, r"tokens holds no list of words"),
        ({"tokens": ["a"], "tags": "X"}, {}, r"tags holds no list, but 'X'"),
        ({"tokens": ["a"], "tags": [1.5]}, {}, r"holds 1.5, and a tag is a text or a whole number"),
        ({"tokens": ["a"], "tags": [2]}, {"names": ("O", "B")}, r"tag 2, and --tag-names names 2"),
        (
            {"tokens": ["a"], "pos_tags": [1], "ner_tags": [1]},
            {},
            r"several columns of tags.*ner_tags, pos_tags",
        ),
        ({"tokens": ["a"]}, {}, r"no column 'tags': name it with --tag-column \(tokens\)"),
        ({"sent": ["a"], "tags": ["X"]}, {}, r"no column 'tokens': name it with --word-column"),
        ({"tokens": ["a"], "tags": ["X"]}, {"tag_column": "pos"}, r"no column 'pos' \(--tag-column\)"),
    ],
)
def test_what_does_not_fit_is_named(tmp_path: Path, row: Any, options: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read(tmp_path, row, **options)


def test_a_bad_row_is_left_out_and_counted(tmp_path: Path) -> None:
    bad = BadRows(skip=True)
    rows = [{"tokens": ["a"], "tags": []}, {"tokens": ["b"], "tags": ["X"]}]
    assert [one.words for one in read(tmp_path, *rows, bad=bad)] == [("b",)]
    assert bad.count == 1


def test_a_text_has_a_sentence_on_each_line(tmp_path: Path) -> None:
    path = tmp_path / "t.txt"
    path.write_text("Angela, hello!\n\nIt's fine.\n")
    found = list(SentenceReader(needs_tags=False).read(path, BadRows()))
    assert [one.words for one in found] == [("Angela", ",", "hello", "!"), (), ("It", "'s", "fine", ".")]


def test_a_text_with_a_word_on_each_line_is_conll_whatever_its_name(tmp_path: Path) -> None:
    path = tmp_path / "t.annotated"
    path.write_text("EU\tB-ORG\nrejects\tO\n\nPeter\tB-PER\nsaid\tO\n")
    found = list(SentenceReader(needs_tags=False).read(path, BadRows()))
    assert found[0].tags == ("B-ORG", "O")


def test_parquet_holds_lists_too(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    parquet.write_table(pyarrow.table({"tokens": [["a", "b"]], "pos": [["X", "Y"]]}), tmp_path / "t.parquet")
    (found,) = SentenceReader().read(tmp_path / "t.parquet", BadRows())
    assert (found.words, found.tags) == (("a", "b"), ("X", "Y"))


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is a folder: name one file"):
        list(SentenceReader().read(tmp_path, BadRows()))
