"""A word tagger from its files to its predictions: one answer for every word, whatever runs it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import throughtime as tt
from throughtime.errors import DataError, OptionError, RunError
from throughtime.run import Run
from throughtime.tasks.word_tagger.run import WordTaggerRun
from throughtime.training import train
from throughtime.training.progress import Progress

from .runs import SMALL, trained, write_names


class Remarks(Progress):
    """Keeps what is said."""

    def __init__(self) -> None:
        super().__init__()
        self.said: list[str] = []

    def remark(self, text: str) -> None:
        self.said.append(text)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> WordTaggerRun:
    return trained(tmp_path_factory.mktemp("words"), epochs=12, learning_rate=0.02)


def test_names_are_learned_and_found_in_plain_text(run: WordTaggerRun) -> None:
    (found,) = run.tag(["Ana lives in Bonn Town."])
    assert found["words"] == ["Ana", "lives", "in", "Bonn", "Town", "."]
    assert [(one["type"], one["text"]) for one in found["entities"]] == [
        ("person", "Ana"),
        ("place", "Bonn Town"),
    ]
    assert all(0 <= one <= 1 for one in found["probabilities"])


def test_torch_and_the_program_give_the_same_tags(run: WordTaggerRun) -> None:
    sentences = ["Ana lives in Bonn.", "Zoe", "in in in Cork Town lives Ben ."]
    expected = run.tag(sentences)
    for backend, precision in (("torch", None), ("native", "bf16"), ("native", "int8")):
        other = Run.open(run.folder, backend, precision)
        assert isinstance(other, WordTaggerRun)
        for one, two in zip(expected, other.tag(sentences), strict=True):
            tolerance = 1e-3 if backend == "torch" else 0.1
            np.testing.assert_allclose(one["probabilities"], two["probabilities"], atol=tolerance)


def test_a_sentence_is_tagged_alike_alone_and_among_others(run: WordTaggerRun) -> None:
    alone = run.tag(["Ana lives in Bonn."])
    together = run.tag(["Ana lives in Bonn.", "Ben", "Cleo lives in Arles Town and in Bonn Town ."])
    assert alone[0] == together[0]


def test_a_long_sentence_is_tagged_to_its_end(tmp_path: Path) -> None:
    run = trained(tmp_path, piece=8, epochs=6, learning_rate=0.02)
    words = ["Ana", "lives", "in", "Bonn", "Town", "."] * 9
    (found,) = run.tag([words])
    assert found["words"] == words
    assert all(found["tags"]) and len(found["tags"]) == len(words)


def test_evaluation_counts_words_and_names(run: WordTaggerRun) -> None:
    figures = run.evaluate(write_names(run.folder.parent / "again.conll", 1))
    assert (figures["sentences"], figures["words"]) == (12, 72)
    assert figures["f1"] == 1.0 and figures["accuracy"] == 1.0
    assert [row["type"] for row in figures["entities"]] == ["person", "place"]
    assert Path(figures["confusion"]).exists()
    details = json.loads(Path(figures["confusion"]).with_suffix(".json").read_text())
    assert details["labels"] == ["B-person", "B-place", "I-place", "O"]


def test_a_tag_that_training_did_not_have_is_named(run: WordTaggerRun, tmp_path: Path) -> None:
    path = tmp_path / "t.conll"
    path.write_text("Ana\tB-person\n\nAcme\tB-company\n")
    with pytest.raises(DataError, match=r"line 3: no training sentence has the tag 'B-company'"):
        run.evaluate(path)
    assert run.evaluate(path, skip_bad=True)["left_out"] == 1


def test_nothing_is_trained_when_every_sentence_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text('{"tokens": ["a", "b"], "tags": ["X"]}\n' * 3)
    with pytest.raises(DataError, match=r"t\.jsonl has no sentence that can be used \(.*line 1"):
        train(path, out=tmp_path / "run", skip_bad=True, **SMALL)


def test_tags_without_spans_are_measured_by_accuracy(tmp_path: Path) -> None:
    path = tmp_path / "pos.jsonl"
    rows = [{"tokens": ["a", "dog", "barks"], "pos_tags": ["DET", "NOUN", "VERB"]}] * 20
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    small = {name: value for name, value in SMALL.items() if not name.startswith("character")}
    run = train(path, out=tmp_path / "run", **small, epochs=2, characters="none", crf=False)
    assert isinstance(run, WordTaggerRun) and run.objective == "val_accuracy"
    figures = run.evaluate(path)
    assert "f1" not in figures and "entities" not in run.tag(["a dog"])[0]


def test_what_the_tags_of_a_file_are_is_said(tmp_path: Path) -> None:
    show = Remarks()
    train(write_names(tmp_path / "n.conll"), out=tmp_path / "run", show=show, **SMALL, epochs=1)
    assert "n.conll has BIO tags" in show.said


def test_word_vectors_begin_the_embedding(tmp_path: Path) -> None:
    vectors = tmp_path / "v.txt"
    vectors.write_text("ana 1 1 1 1\nBonn 2 2 2 2\nunread 3 3 3 3\n")
    show = Remarks()
    source = write_names(tmp_path / "n.conll")
    small = {name: value for name, value in SMALL.items() if name != "embedding"}
    run = train(
        source,
        out=tmp_path / "run",
        show=show,
        **small,
        epochs=1,
        embedding_file=str(vectors),
        learning_rate=1e-9,
    )
    assert isinstance(run, WordTaggerRun)
    assert any(
        "v.txt has vectors of 2 of the 12 different words, of 4 numbers each" in one for one in show.said
    )
    assert run.config.model.embedding == 4
    rows = run.read_weights()["embedding.weight"]
    for word, value in (("ana", 1.0), ("bonn", 2.0)):
        np.testing.assert_allclose(rows[run.vocabulary.number(word)], value, atol=1e-4)
    assert np.abs(rows[run.vocabulary.unknown]).max() < 1
    assert "unread" not in run.vocabulary.words
    with pytest.raises(
        OptionError, match=r"--embedding 6: the vectors of .*v\.txt have 4 numbers; leave it out"
    ):
        train(source, out=tmp_path / "other", **SMALL, epochs=1, embedding_file=str(vectors))


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("words.json", b'{"words": ["a", "a"], "characters": ["b"], "lowercase": true}'),
        ("words.json", b'{"words": ["a"], "characters": ["bc"], "lowercase": true}'),
        ("words.json", b'{"words": 3}'),
        ("labels.json", b"[]"),
    ],
)
def test_a_damaged_fact_is_named(run: WordTaggerRun, tmp_path: Path, name: str, damage: bytes) -> None:
    import shutil

    folder = tmp_path / "run"
    shutil.copytree(run.folder, folder)
    (folder / name).write_bytes(damage)
    with pytest.raises(RunError, match=name):
        Run.open(folder)


def test_a_vocabulary_of_another_run_is_refused(run: WordTaggerRun, tmp_path: Path) -> None:
    import shutil

    folder = tmp_path / "run"
    shutil.copytree(run.folder, folder)
    known: dict[str, Any] = json.loads((folder / "words.json").read_text())
    known["words"].append("more")
    (folder / "words.json").write_text(json.dumps(known))
    opened = Run.open(folder)
    assert isinstance(opened, WordTaggerRun)
    with pytest.raises(RunError, match="it is of another run"):
        opened.tag(["Ana"])


def test_names_of_numbered_tags_stay_with_the_run(tmp_path: Path) -> None:
    path, names = tmp_path / "n.jsonl", tmp_path / "names.txt"
    path.write_text((json.dumps({"tokens": ["Ana", "sings"], "ner_tags": [1, 0]}) + "\n") * 20)
    names.write_text("O\nB-person\n")
    run = train(path, out=tmp_path / "run", **SMALL, epochs=1, tag_names=str(names))
    names.unlink()
    opened = Run.open(run.folder)
    assert isinstance(opened, WordTaggerRun) and opened.labels.names == ("B-person", "O")
    (found, *_) = opened.predict([path])
    assert found["truth"] == ["B-person", "O"]


def test_rows_of_tables_are_tagged_as_their_file_is(run: WordTaggerRun, tmp_path: Path) -> None:
    predictor = tt.Predictor(run.folder, keep=["id"], batch=2)
    rows = [["Ana", "lives", "in", "Bonn"], ["Eva"], ["in", "Bonn", "Town"]]
    table = tmp_path / "rows.jsonl"
    table.write_text("".join(json.dumps({"tokens": one, "id": 7}) + "\n" for one in rows))
    found = predictor({"tokens": rows, "id": [7, 8, 9]})
    said = list(run.predict([table]))
    for name in ("words", "tags", "probabilities", "entities"):
        assert found[name] == [one[name] for one in said]
    assert predictor({"tokens": rows[2:], "id": [9]})["tags"] == found["tags"][2:]
    with pytest.raises(DataError, match="the batch, row 1: tokens is empty"):
        predictor({"tokens": [[]], "id": [1]})
    pytest.importorskip("pyarrow")
    from throughtime.predicting.files import Settings, predict_files

    state = predict_files(predictor, [str(table)], Settings(tmp_path / "out", processes=1, format="parquet"))
    assert state.rows == 3
