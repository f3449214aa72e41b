"""CoNLL files as they come: tabs or spaces, stray blanks, comments, documents, CoNLL-U's ids."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import pytest

from throughtime.data.tables import BadRows
from throughtime.errors import DataError
from throughtime.tasks.word_tagger.conll import Sentence, read_conll

PAIRS = [(("EU", "rejects"), ("B-ORG", "O")), (("Peter",), ("B-PER",))]


def read(folder: Path, content: str, name: str = "t.conll", **options: Any) -> list[Sentence]:
    path = folder / name
    path.write_text(content, encoding="utf-8")
    return list(read_conll(path, options.pop("bad", BadRows()), **options))


def pairs(sentences: list[Sentence]) -> list[tuple[tuple[str, ...], tuple[str, ...] | None]]:
    return [(one.words, one.tags) for one in sentences]


@pytest.mark.parametrize(
    "content",
    [
        "EU\tB-ORG\nrejects\tO\n\nPeter\tB-PER\n",
        "EU B-ORG\nrejects O\n\nPeter B-PER",
        "EU\tB-ORG \nrejects\tO\n \t\nPeter \tB-PER\n\n\n",
        "\n\nEU\tB-ORG\r\nrejects\tO\r\n\r\nPeter\tB-PER\r\n",
        "-DOCSTART- O\n\nEU B-ORG\nrejects O\n\n-DOCSTART- -X- O O\n\nPeter B-PER\n",
        "# a comment of five words\nEU\tB-ORG\nrejects\tO\n\n# another\nPeter\tB-PER\n",
        "\ufeffEU\tB-ORG\nrejects\tO\n\nPeter\tB-PER\n",
    ],
)
def test_the_same_sentences_however_they_are_written(tmp_path: Path, content: str) -> None:
    assert pairs(read(tmp_path, content)) == PAIRS


def test_the_last_of_many_columns_holds_the_tags(tmp_path: Path) -> None:
    content = "EU NNP B-NP B-ORG\nrejects VBZ B-VP O\n\nPeter NNP B-NP B-PER\n"
    assert pairs(read(tmp_path, content)) == PAIRS
    assert read(tmp_path, content, tag_column="2")[0].tags == ("NNP", "VBZ")


def test_a_column_of_ids_before_the_words_is_known(tmp_path: Path) -> None:
    content = "1\tEU\tB-ORG\n2\trejects\tO\n\n1\tPeter\tB-PER\n"
    assert pairs(read(tmp_path, content)) == PAIRS


def test_a_hash_may_be_a_word(tmp_path: Path) -> None:
    content = "#\tO\n#\tO\nParis\tB-LOC\n\n#paris\tO\n"
    assert [one.words for one in read(tmp_path, content)] == [("#", "#", "Paris"), ("#paris",)]


UNIVERSAL = """# sent_id = 1
# text = Don't go
1-2\tDon't\t_\t_\t_\t_\t_\t_\t_\t_
1\tDo\tdo\tAUX\tVB\t_\t3\taux\t_\t_
2\tn't\tnot\tPART\tRB\t_\t3\tadvmod\t_\t_
3\tgo\tgo\tVERB\tVB\t_\t0\troot\t_\t_
3.1\tgo\tgo\tVERB\tVB\t_\t_\t_\t0:root\t_

"""


def test_words_of_conll_u_are_its_syntactic_words(tmp_path: Path) -> None:
    (found,) = read(tmp_path, UNIVERSAL, "t.conllu")
    assert found == Sentence(("Do", "n't", "go"), ("AUX", "PART", "VERB"), 4)


@pytest.mark.parametrize("wanted", ["xpos", "XPOS", "5"])
def test_columns_of_conll_u_have_names_and_numbers(tmp_path: Path, wanted: str) -> None:
    (found,) = read(tmp_path, UNIVERSAL, "t.conllu", tag_column=wanted, word_column="lemma")
    assert (found.words, found.tags) == (("do", "not", "go"), ("VB", "RB", "VB"))


def test_conll_u_plus_names_its_columns(tmp_path: Path) -> None:
    content = "# global.columns = ID FORM NER\n1\tEU\tB-ORG\n2\trejects\tO\n\n1\tPeter\tB-PER\n"
    assert pairs(read(tmp_path, content, tag_column="ner")) == PAIRS


def test_a_packed_file_is_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "t.conll.gz"
    path.write_bytes(gzip.compress(b"EU\tB-ORG\nrejects\tO\n\nPeter\tB-PER\n"))
    assert pairs(list(read_conll(path, BadRows()))) == PAIRS


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("EU\tO\nrejects\nboth\tO\n\n", r"t\.conll line 2: 1 columns, expected 2.*--skip-bad"),
        ("EU\tO\nrejects\t\tO\nboth\tO\n", r"line 2: 3 columns, expected 2"),
        ("EU\tO\n\tO\nboth\tO\n", r"line 2: there is no word in it"),
        ("EU\tO\nx\t \t\nboth\tO\n", r"line 2: 1 columns, expected 2"),
        ("EU\nrejects\n", r"has a single column: expected a word and its tag"),
        ("\n\n", r"has no words"),
        ("# global.columns = FORM\nthe DT x\n", r"global.columns =` names 1 columns, and lines have 3"),
    ],
)
def test_a_line_that_does_not_fit_is_named(tmp_path: Path, content: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read(tmp_path, content)


def test_a_bad_sentence_is_left_out_and_counted(tmp_path: Path) -> None:
    bad = BadRows(skip=True)
    found = read(tmp_path, "EU\tO\nrejects\n\nPeter\tB-PER\n\nx\tO\n", bad=bad)
    assert [one.words for one in found] == [("Peter",), ("x",)]
    assert "line 2: 1 columns, expected 2" in bad.summary()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tag_column": "3"}, r"no column '3' \(--tag-column\); its columns are numbers from 1 to 2"),
        ({"word_column": "form"}, r"no column 'form' \(--word-column\)"),
    ],
)
def test_a_column_that_is_not_there_is_named(tmp_path: Path, options: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read(tmp_path, "EU\tB-ORG\nrejects\tO\n", **options)


def test_words_alone_are_enough_where_no_tags_are_needed(tmp_path: Path) -> None:
    assert pairs(read(tmp_path, "EU\nrejects\n\nPeter\n", needs_tags=False)) == [
        (("EU", "rejects"), None),
        (("Peter",), None),
    ]


def test_the_real_files_are_read_whole(shared_data: Path) -> None:
    universal = shared_data / "ud_partut" / "en_partut-ud-train.conllu"
    emerging = shared_data / "wnut17" / "wnut17train.conll"
    if not (universal.exists() and emerging.exists()):
        pytest.skip("ud_partut or wnut17 is not there")
    found = list(read_conll(universal, BadRows()))
    assert (len(found), sum(len(one.words) for one in found)) == (1781, 43504)
    found = list(read_conll(emerging, BadRows()))
    assert (len(found), sum(len(one.words) for one in found)) == (3394, 62730)
