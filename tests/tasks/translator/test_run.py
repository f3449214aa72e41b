"""The run of a translator: what it reads and leaves out, what it leaves in its folder, what it answers."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import throughtime as tt
from throughtime.data.sequences import Sequences
from throughtime.errors import DataError, NotANumberError, OptionError
from throughtime.recognition import recognise
from throughtime.run import Run
from throughtime.tasks.translator.run import TranslatorRun
from throughtime.training import train
from throughtime.training.progress import Progress

NUMBERS = ["one", "two", "three", "four", "five"]
ZAHLEN = ["eins", "zwei", "drei", "vier", "fünf"]


class Remarks(Progress):
    """Keeps what the user would be told."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def remark(self, text: str) -> None:
        self.texts.append(text)


def write_pairs(path: Path, count: int = 60, extra: str = "") -> Path:
    generator = np.random.default_rng(0)
    lines = ["source\ttarget"]
    for _ in range(count):
        drawn = generator.integers(5, size=generator.integers(1, 5))
        lines.append(" ".join(NUMBERS[i] for i in drawn) + "\t" + " ".join(ZAHLEN[i] for i in drawn))
    path.write_text("\n".join(lines) + "\n" + extra, encoding="utf-8")
    return path


def small(source: Path, out: Path, show: Progress | None = None, **options: Any) -> TranslatorRun:
    defaults = {
        "tokenizer": "word",
        "hidden": 16,
        "embedding": 8,
        "epochs": 1,
        "batch": 16,
        "tensorboard": False,
    }
    run = train(source, out, show=show, **{**defaults, **options})
    assert isinstance(run, TranslatorRun)
    return run


@pytest.fixture(scope="module")
def numbers(tmp_path_factory) -> TranslatorRun:
    """Trained until it knows the numbers."""
    folder = tmp_path_factory.mktemp("numbers")
    return small(
        write_pairs(folder / "numbers.tsv", 400),
        folder / "run",
        epochs=12,
        hidden=32,
        embedding=16,
        learning_rate=1e-2,
        dropout=0.0,
        input_dropout=0.0,
        output_dropout=0.0,
    )


def test_a_table_of_pairs_and_a_text_with_targets_are_known_as_translations(tmp_path):
    assert recognise(write_pairs(tmp_path / "p.tsv")).task == "translator"
    (tmp_path / "a.en").write_text("x\n")
    assert recognise(tmp_path / "a.en", {"target": "a.de"}).task == "translator"
    assert recognise(tmp_path / "a.en", {"target": None}).task == "language-model"


def test_the_run_translates_what_it_has_learned(numbers):
    texts = ["five four", "one", "three three two"]
    assert [result.text for result in numbers.translate(texts)] == ["fünf vier", "eins", "drei drei zwei"]
    assert numbers.translate([]) == []


def test_a_run_opened_again_says_the_same(numbers):
    again = Run.open(numbers.folder)
    assert isinstance(again, TranslatorRun)
    ours, theirs = numbers.translate(["two two five"])[0], again.translate(["two two five"])[0]
    assert (ours.text, ours.log_probability) == (theirs.text, theirs.log_probability)


def test_evaluation_scores_a_table_and_text_files_alike(numbers, tmp_path):
    pytest.importorskip("sacrebleu")
    table = write_pairs(tmp_path / "t.tsv", 30)
    sides = [line.split("\t") for line in table.read_text(encoding="utf-8").splitlines()[1:]]
    for name, side in (("t.en", 0), ("t.de", 1)):
        (tmp_path / name).write_text("".join(pair[side] + "\n" for pair in sides), encoding="utf-8")
    shares: list[float] = []
    scores = numbers.evaluate(table, progress=shares.append)
    both = numbers.evaluate(tmp_path / "t.en", target=tmp_path / "t.de")
    assert scores.keys() == both.keys()
    assert all(scores[name] == both[name] for name in scores if name != "seconds")
    assert scores["exact_match"] > 0.9 and scores["token_accuracy"] > 0.9 and scores["loss"] < 0.5
    assert scores["pairs"] == 30 and "tok:13a" in scores["bleu_signature"]
    assert shares == sorted(shares) and shares[-1] == 1


def test_predictions_of_a_table_and_of_lines(numbers, tmp_path, monkeypatch):
    table = write_pairs(tmp_path / "t.tsv", 3)
    predictions = list(numbers.predict([table]))
    assert [p["source"] for p in predictions] == [
        line.split("\t")[0] for line in table.read_text(encoding="utf-8").splitlines()[1:]
    ]
    assert list(predictions[0]) == ["source", "translation", "score"]
    monkeypatch.setattr("sys.stdin", iter(["two\n", "one\r\n"]))
    assert [p["translation"] for p in numbers.predict(["-"])] == ["zwei", "eins"]


def test_an_unknown_word_is_copied(numbers):
    result = numbers.translate(["Zugspitze"])[0]
    assert "<unk>" not in result.text


def test_attention_is_a_row_of_weights_for_each_target_token(numbers):
    result = numbers.translate(["one two"], with_attention=True)[0]
    assert result.attention is not None
    assert result.attention.shape == (len(result.target_tokens), len(result.source_tokens))
    np.testing.assert_allclose(result.attention.sum(1), 1, rtol=1e-5)


def test_long_pairs_are_left_out_with_a_count(tmp_path):
    show = Remarks()
    extra = "one " * 50 + "\teins\n"
    run = small(
        write_pairs(tmp_path / "p.tsv", extra=extra),
        tmp_path / "r",
        show,
        max_length=40,
        validation_fraction=0,
    )
    assert show.texts == ["left out 1 of 61 training pairs with more than 40 tokens on a side (--max-length)"]
    assert Sequences.open(run.folder / "data" / "training.source.npy").lengths.max() <= 40


def test_no_pair_short_enough_is_an_error(tmp_path):
    with pytest.raises(DataError, match="no pair is left to train on: raise --max-length 1"):
        small(
            write_pairs(tmp_path / "p.tsv", 3, "one two\tx y\n" * 3),
            tmp_path / "r",
            max_length=1,
            tokenizer="byte",
        )
    assert not (tmp_path / "r").exists()


def test_bad_pairs_stop_or_are_skipped_with_a_count(tmp_path):
    source = write_pairs(tmp_path / "p.tsv", extra="\tleer\n")
    with pytest.raises(DataError, match="p.tsv line 62: the source is empty"):
        small(source, tmp_path / "r")
    show = Remarks()
    small(source, tmp_path / "r", show, skip_bad=True)
    assert show.texts == [f"left out 1 bad example: {source} line 62: the source is empty"]


def test_a_character_that_only_the_validation_file_has_is_named(tmp_path):
    source = write_pairs(tmp_path / "p.tsv")
    validation = tmp_path / "v.tsv"
    validation.write_text("source\ttarget\none\teins\nøne\teins\n", encoding="utf-8")
    options = {"tokenizer": "character", "validation": str(validation)}
    with pytest.raises(DataError, match="v.tsv, line 3, column 1: character 'ø'"):
        small(source, tmp_path / "r", **options)
    run = small(source, tmp_path / "r", skip_bad=True, **options)
    assert len(Sequences.open(run.folder / "data" / "validation.source.npy")) == 1


def test_the_held_out_share_is_drawn_from_the_seed_and_is_not_trained_on(tmp_path):
    source = write_pairs(tmp_path / "p.tsv", 100)

    def held_out(out: str, seed: int) -> tuple[int, list[list[int]]]:
        folder = small(source, tmp_path / out, seed=seed, validation_fraction=0.2).folder / "data"
        validation = Sequences.open(folder / "validation.source.npy")
        return len(Sequences.open(folder / "training.source.npy")), [v.tolist() for v in validation]

    first, again, other = held_out("a", 1), held_out("b", 1), held_out("c", 2)
    assert first == again != other
    assert (first[0], len(first[1])) == (80, 20)


@pytest.mark.parametrize("tokenizer", ["character", "byte", "bpe", "word"])
@pytest.mark.parametrize("shared", [False, True])
def test_every_tokeniser_works_shared_and_separate(tmp_path, tokenizer, shared):
    options = {"vocabulary": 300} if tokenizer == "bpe" else {}
    run = small(
        write_pairs(tmp_path / "p.tsv"),
        tmp_path / "r",
        tokenizer=tokenizer,
        shared_vocabulary=shared,
        **options,
    )
    again = Run.open(run.folder)
    assert isinstance(again, TranslatorRun)
    assert (again.source_tokenizer is again.target_tokenizer) == shared
    assert len(again.translate(["one two"], beam=2)) == 1
    described = again.describe()
    tables = run.model.source_embedding.num_embeddings, run.model.target_embedding.num_embeddings
    assert (described["source_vocabulary"] + 2, described["target_vocabulary"] + 2) == tables
    assert described["parameters"] == sum(p.numel() for p in run.model.parameters())


def test_lowercase_reads_both_sides_in_small_letters(tmp_path):
    (tmp_path / "p.tsv").write_text("source\ttarget\n" + "One TWO\tEins ZWEI\n" * 8)
    run = small(tmp_path / "p.tsv", tmp_path / "r", lowercase=True)
    assert run.translate(["ONE two"])[0].source_tokens[:2] == ["one", "two"]
    assert "EINS" not in run.translate(["ONE"])[0].text
    if pytest.importorskip("sacrebleu"):
        assert "case:lc" in run.evaluate(tmp_path / "p.tsv")["bleu_signature"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"input_feeding": True, "attention": "none"}, "input_feeding is of luong"),
        ({"attention_score": "dot", "encoder_hidden": 5}, "they are 10 and 16"),
        ({"attention": "self"}, "--attention"),
        ({"projection": 12}, "projection must be below the encoder's 8"),
    ],
)
def test_options_that_contradict_each_other_are_refused(tmp_path, options, message):
    with pytest.raises(OptionError, match=message):
        small(write_pairs(tmp_path / "p.tsv"), tmp_path / "r", **options)


def test_a_line_that_is_no_text_is_named_or_answered_with_an_empty_one(numbers, tmp_path, monkeypatch):
    content = b"two\nthr\xffee\none\n"
    (tmp_path / "a.txt").write_bytes(content)
    for source, name in (("-", "standard input"), (tmp_path / "a.txt", r"a\.txt")):
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content), encoding="utf-8"))
        with pytest.raises(DataError, match=f"{name}, line 2, byte 0xff is not UTF-8"):
            list(numbers.predict([source]))
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content), encoding="utf-8"))
        found = list(numbers.predict([source], skip_bad=True))
        assert [one["translation"] for one in found] == ["zwei", "", "eins"]


@pytest.mark.parametrize("side", [0, 1])
def test_pairs_that_are_too_long_to_translate_are_refused_or_left_out(numbers, tmp_path, monkeypatch, side):
    pytest.importorskip("sacrebleu")
    monkeypatch.setenv("THROUGHTIME_MAX_SOURCE", "20")
    long = [["two", "zwei"], ["one", "eins"]]
    long[1][side] = f"{long[1][side]} " * 30
    (tmp_path / "t.tsv").write_text("source\ttarget\n" + "".join("\t".join(pair) + "\n" for pair in long))
    with pytest.raises(DataError, match=r"t\.tsv, line 3, has \d+ tokens: the limit is 20 tokens"):
        numbers.evaluate(tmp_path / "t.tsv")
    found = numbers.evaluate(tmp_path / "t.tsv", skip_bad=True)
    assert (found["pairs"], found["left_out"]) == (1, 1)
    (tmp_path / "t.tsv").write_text(f"source\ttarget\n{long[1][0]}\t{long[1][1]}\n")
    with pytest.raises(DataError, match=r"t\.tsv has no usable pairs \(left out 1 bad example"):
        numbers.evaluate(tmp_path / "t.tsv", skip_bad=True)


def test_penalties_beyond_reason_are_refused(numbers):
    for options in ({"length_penalty": 1e10}, {"coverage_penalty": 1e308}, {"length_penalty": float("nan")}):
        with pytest.raises(OptionError, match=f"{next(iter(options))} must be from 0 to 10, not"):
            numbers.translate(["one"], **options)


def test_a_model_whose_output_is_no_number_names_the_text(numbers, monkeypatch):
    translator = numbers.translator()
    real = translator._searcher.step

    def step(tokens, state):
        found, state = real(tokens, state)
        return np.where(np.isin(tokens, 3)[:, None], np.nan, found), state

    monkeypatch.setattr(translator._searcher, "step", step)
    texts = NUMBERS
    with pytest.raises(
        NotANumberError, match=r"'(one|two|three|four|five)': the model's output for position"
    ):
        translator.translate(texts, [translator.encode(text) for text in texts])


def test_rows_of_tables_are_translated_as_lines_are(numbers: TranslatorRun, tmp_path: Path) -> None:
    predictor = tt.Predictor(numbers.folder, errors="null", batch=3)
    texts = ["one two", "three", "five five one four", "two", "one three two", "four five", "one"]
    found = predictor({"source": [*texts, " "]})
    said = numbers.translate(texts)
    assert found["translation"][:7] == [one.text for one in said]
    assert found["score"][:7] == [one.score for one in said]
    assert found["translation"][7] is None and found["error"][7] == "there is nothing to translate"
    assert predictor({"source": texts[3:4]})["score"] == found["score"][3:4]
