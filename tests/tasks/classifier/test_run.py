"""Classifiers from files to predictions: every kind of input, resuming, evaluation, and what can be wrong."""

from __future__ import annotations

import csv
import io
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import throughtime as tt
from tests.training.test_trainer import Interrupter, assert_same_outcome
from throughtime.errors import DataError, OptionError, RunError, UnknownTokenError
from throughtime.run.history import read_metrics
from throughtime.tasks.classifier.run import ClassifierRun
from throughtime.training import Interrupted, resume, train

SMALL: dict[str, Any] = {
    "task": "classifier",
    "hidden": 8,
    "batch": 8,
    "epochs": 2,
    "threads": 1,
    "log_every": 3,
    "tensorboard": False,
    "validation_fraction": 0.1,
}
STILL: dict[str, Any] = {"input_dropout": 0.0, "output_dropout": 0.0, "word_dropout": 0.0}


def write_csv(path: Path, header: list[str], rows: list[list[Any]]) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(rows)
    return path


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The same small problem as every kind of input: is the first half higher (or better) than the second?"""
    folder = tmp_path_factory.mktemp("sources")
    generator = np.random.default_rng(3)
    good, bad = ["좋다", "good", "fine", "fun"], ["나쁘다", "bad", "dull", "flat"]
    texts, vectors, sequences, sounds = [], [], [], []
    for kind in ("sequences", "audio"):
        (folder / kind).mkdir()
    soundfile = pytest.importorskip("soundfile")
    for number in range(80):
        up = bool(number % 2)
        label = "up" if up else "down"
        words = [str(generator.choice(bad if up else good)), str(generator.choice(good if up else bad))]
        texts.append([f"The film was {words[0]}, the end was {words[1]}!", label])
        step = 1.0 if up else -1.0
        vectors.append([generator.normal(50, 9), 1000 + 300 * step + generator.normal(0, 50), label])
        length = int(generator.integers(4, 9))
        steps = np.stack([np.linspace(0, step, length), np.full(length, 7.0)], 1)
        write_csv(folder / "sequences" / f"{number}.csv", ["slope", "constant"], steps.tolist())
        sequences.append([f"{number}.csv", label])
        ticks = np.arange(int(generator.integers(1200, 2000))) / 8000
        tone = np.sin(2 * np.pi * (800 + 500 * step) * ticks) * 0.3
        soundfile.write(folder / "audio" / f"{number}.wav", tone, 8000)
        sounds.append([f"{number}.wav", label])
    write_csv(folder / "sequences" / "metadata.csv", ["file_name", "label"], sequences)
    write_csv(folder / "audio" / "metadata.csv", ["file_name", "label"], sounds)
    return {
        "text": write_csv(folder / "texts.csv", ["text", "label"], texts),
        "vectors": write_csv(folder / "vectors.csv", ["noise", "signal", "label"], vectors),
        "sequences": folder / "sequences",
        "audio": folder / "audio",
    }


@pytest.fixture(scope="module")
def runs(sources: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, ClassifierRun]:
    """One trained run for each kind of input."""
    folder = tmp_path_factory.mktemp("runs")
    options = {**SMALL, **STILL, "epochs": 12, "learning_rate": 0.02, "pooling": "last", "hidden": 16}
    options["members"] = 1
    return {
        kind: train(source, out=folder / kind, **options)  # type: ignore[misc]
        for kind, source in sources.items()
    }


KINDS = ["text", "vectors", "sequences", "audio"]


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_input_is_found_out_and_learned(
    runs: dict[str, ClassifierRun], sources: dict[str, Path], kind: str
) -> None:
    run = runs[kind]
    assert run.config.data.input == kind
    scores = run.evaluate(sources[kind])
    assert scores["accuracy"] >= 0.97
    assert scores["majority"] == 0.5
    assert scores["examples"] == 80
    again = tt.load(run.folder)
    assert isinstance(again, ClassifierRun)
    found = list(again.predict([sources[kind]]))
    assert len(found) == 80
    assert sum(one["label"] == one["truth"] for one in found) == round(scores["accuracy"] * 80)
    assert all(0.5 <= one["probability"] <= 1 for one in found)
    assert list(found[0]) == ["input", "label", "probability", "truth"]


@pytest.mark.parametrize("kind", KINDS)
def test_the_folder_holds_what_was_promised(runs: dict[str, ClassifierRun], kind: str) -> None:
    folder = runs[kind].folder
    assert json.loads((folder / "labels.json").read_text()) == ["down", "up"]
    assert (folder / "confusion.png").read_bytes().startswith(b"\x89PNG")
    described = json.loads((folder / "confusion.json").read_text())
    assert np.sum(described["confusion"]) == 8
    assert [score["label"] for score in described["scores"]] == ["down", "up"]
    evaluations = [line for line in read_metrics(folder) if "val_loss" in line]
    assert len(evaluations) == 12
    assert all({"val_accuracy", "val_macro_f1"} <= set(line) for line in evaluations)


def test_statistics_are_those_of_the_training_examples(runs: dict[str, ClassifierRun]) -> None:
    run = runs["sequences"]
    assert run.space is not None
    assert run.space.names == ("slope", "constant")
    assert run.space.mean[1] == 7
    assert run.space.deviation[1] == 1  # never changes
    state = run.model.state_dict()
    # Convolutions see each step and eight on either side.
    assert state["mean"].tolist() == pytest.approx([*run.space.mean] * 17)


VARIANTS: list[tuple[str, dict[str, Any]]] = [
    ("text", {"dropout": 0.3, "layers": 2, "word_dropout": 0.3, "tokenizer": "word"}),
    ("vectors", {"members": 3}),
    (
        "text",
        {"cell": "gru", "tokenizer": "bpe", "vocabulary": 300, "pooling": "attention", "evaluate_every": 5},
    ),
    ("vectors", {"cell": "none", "class_weights": "balanced"}),
    ("sequences", {"cell": "rnn", "pooling": "mean", "validation_fraction": 0.0}),
    ("audio", {"pooling": "last", "schedule": "plateau", "precision": "bf16", "longest": 9}),
]


@pytest.mark.parametrize(("kind", "options"), VARIANTS)
@pytest.mark.parametrize("at", [1, 12])
def test_a_stopped_training_goes_on_bit_for_bit(
    tmp_path: Path, sources: dict[str, Path], kind: str, options: dict[str, Any], at: int
) -> None:
    options = {**SMALL, **options}
    train(sources[kind], out=tmp_path / "whole", **options)
    with pytest.raises(Interrupted) as raised:
        train(sources[kind], out=tmp_path / "parts", show=Interrupter(at), **options)
    assert raised.value.step == at
    with pytest.raises(Interrupted):
        resume(tmp_path / "parts", Interrupter(at + 1))
    resume(tmp_path / "parts")
    assert_same_outcome(tmp_path / "whole", tmp_path / "parts")


def test_a_validation_file_is_used_whole_and_may_hold_unseen_characters(
    tmp_path: Path, sources: dict[str, Path]
) -> None:
    held_out = write_csv(tmp_path / "held_out.csv", ["text", "label"], [["ÿ good", "up"], ["bad", "down"]])
    options = {**SMALL, "tokenizer": "character", "errors": "strict", "validation": str(held_out)}
    run = train(sources["text"], out=tmp_path / "run", **options)
    assert np.sum(json.loads((run.folder / "confusion.json").read_text())["confusion"]) == 2
    assert isinstance(run, ClassifierRun)
    with pytest.raises(UnknownTokenError, match="'ÿ'"):
        run.classify(["ÿ"])


def test_balanced_weights_find_the_rare_class(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    rows = [
        [generator.normal(1.5 if rare else 0, 1), "rare" if rare else "common"]
        for rare in [0] * 285 + [1] * 15
    ]
    source = write_csv(tmp_path / "rare.csv", ["x", "label"], rows)
    options = {**SMALL, **STILL, "epochs": 8, "learning_rate": 0.02, "cell": "none"}
    recalls = {}
    for weights in ("none", "balanced"):
        run = train(source, out=tmp_path / weights, class_weights=weights, **options)
        run.evaluate(source)
        scores = json.loads((run.folder / "confusion-rare.json").read_text())["scores"]
        recalls[weights] = scores[1]["recall"]
    assert recalls["balanced"] >= 0.6 > recalls["none"]


def test_texts_come_from_lines_tables_and_calls(
    runs: dict[str, ClassifierRun], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = runs["text"]
    lines = "The film was bad, the end was good!\n\nThe film was 좋다, the end was 나쁘다!\n"
    monkeypatch.setattr("sys.stdin", io.StringIO(lines))
    assert [one["label"] for one in run.predict(["-"])] == ["up", None, "down"]
    (tmp_path / "new.txt").write_text(lines, encoding="utf-8")
    assert [one["label"] for one in run.predict([tmp_path / "new.txt"])] == ["up", None, "down"]
    table = write_csv(tmp_path / "new.csv", ["text"], [[line] for line in lines.splitlines() if line])
    found = list(run.predict([table]))
    assert [one["label"] for one in found] == ["up", "down"]
    assert list(found[0]) == ["input", "label", "probability"]
    (known, _) = run.classify([line for line in lines.splitlines() if line])
    assert known["label"] == "up"
    assert sum(known["probabilities"].values()) == pytest.approx(1)


def test_lines_are_answered_as_they_come(
    runs: dict[str, ClassifierRun], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def lines() -> Iterator[str]:
        for line in ("good\n", "bad\n"):
            asked.append(line)
            yield line

    monkeypatch.setattr("sys.stdin", lines())
    next(runs["text"].predict(["-"]))
    assert asked == ["good\n"]


def test_vectors_and_files_come_from_lines_too(
    runs: dict[str, ClassifierRun], sources: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("50,1300\n50,700\n"))
    assert [one["label"] for one in runs["vectors"].predict(["-"])] == ["up", "down"]
    for kind, name in (("sequences", "{}.csv"), ("audio", "{}.wav")):
        paths = [sources[kind] / name.format(number) for number in (1, 0)]
        monkeypatch.setattr("sys.stdin", io.StringIO("\n".join(map(str, paths))))
        assert [one["label"] for one in runs[kind].predict(["-"])] == ["up", "down"]
        assert [one["label"] for one in runs[kind].predict(paths)] == ["up", "down"]


def test_columns_are_matched_by_name(runs: dict[str, ClassifierRun], tmp_path: Path) -> None:
    table = write_csv(tmp_path / "new.csv", ["signal", "extra", "noise"], [[1300, 0, 50], [700, 0, 50]])
    assert [one["label"] for one in runs["vectors"].predict([table])] == ["up", "down"]
    short = write_csv(tmp_path / "short.csv", ["noise"], [[50]])
    with pytest.raises(DataError, match=r"short\.csv line 2: feature 'signal' is missing"):
        list(runs["vectors"].predict([short]))


@pytest.mark.parametrize(
    ("kind", "row", "message"),
    [
        ("text", ["  ", "up"], "line 3: text is empty"),
        ("text", ["good", "sideways"], "line 3: label 'sideways' is unknown to the model; it knows down, up"),
        ("text", ["good", ""], "line 3: label is empty"),
    ],
)
def test_bad_rows_of_an_evaluation_are_named_or_counted(
    runs: dict[str, ClassifierRun], tmp_path: Path, kind: str, row: list[str], message: str
) -> None:
    table = write_csv(tmp_path / "test.csv", ["text", "label"], [["good", "up"], row])
    with pytest.raises(DataError, match=message):
        runs[kind].evaluate(table)
    scores = runs[kind].evaluate(table, skip_bad=True)
    assert (scores["examples"], scores["left_out"]) == (1, 1)


def test_bad_inputs_of_a_prediction_are_named_or_counted(
    runs: dict[str, ClassifierRun], sources: dict[str, Path], tmp_path: Path
) -> None:
    (tmp_path / "broken.wav").write_bytes(b"RIFF")
    inputs = [tmp_path / "broken.wav", sources["audio"] / "1.wav"]
    with pytest.raises(DataError, match=r"broken\.wav is broken"):
        list(runs["audio"].predict(inputs))
    found = list(runs["audio"].predict(inputs, skip_bad=True))
    assert [one["label"] for one in found] == ["up"]
    assert "left out 1 bad example" in runs["audio"].left_out
    with pytest.raises(DataError, match="no such file"):
        list(runs["text"].predict(["what a film"]))


def test_bad_training_examples_stop_it_or_are_left_out(tmp_path: Path, sources: dict[str, Path]) -> None:
    rows = list(csv.reader(sources["text"].open(encoding="utf-8")))
    source = write_csv(tmp_path / "texts.csv", rows[0], [*rows[1:], ["", "up"], ["good", "up", "more"]])
    with pytest.raises(DataError, match=r"texts\.csv line 82: text is empty \(pass --skip-bad"):
        train(source, out=tmp_path / "run", **SMALL)
    assert not (tmp_path / "run").exists()
    run = train(source, out=tmp_path / "run", skip_bad=True, **SMALL)
    assert len(np.load(run.folder / "data" / "targets.npy")) == 80


@pytest.mark.parametrize(
    ("rows", "options", "message"),
    [
        ([["good", "up"], ["fine", "up"]], {}, "every example has the label 'up'"),
        (
            [["good", "up"], ["bad", "down"]],
            {"text_column": "review"},
            r"no column 'review' \(--text-column\)",
        ),
        (
            [["good", "up"], ["bad", "down"]],
            {"input": "vectors"},
            "`text` is text: leave out --input vectors",
        ),
        ([["good", "up"], ["bad", "down"]], {"input": "audio"}, "`text` is text: leave out --input audio"),
    ],
)
def test_what_cannot_be_learned_from_says_why(
    tmp_path: Path, rows: list[list[str]], options: dict[str, Any], message: str
) -> None:
    source = write_csv(tmp_path / "a.csv", ["text", "label"], rows)
    with pytest.raises((DataError, OptionError), match=message):
        train(source, out=tmp_path / "run", **SMALL, **options)
    assert not (tmp_path / "run").exists()


def test_unknown_labels_of_a_validation_file_are_refused(tmp_path: Path, sources: dict[str, Path]) -> None:
    other = write_csv(tmp_path / "other.csv", ["text", "label"], [["good", "sideways"]])
    with pytest.raises(DataError, match=r"other\.csv line 2: no training example has .* 'sideways'"):
        train(sources["text"], out=tmp_path / "run", validation=str(other), **SMALL)


def test_an_incomplete_folder_is_named(tmp_path: Path, sources: dict[str, Path]) -> None:
    run = train(sources["vectors"], out=tmp_path / "run", **SMALL)
    for name in ("features.json", "labels.json", "data/targets.npy"):
        content = (run.folder / name).read_bytes()
        (run.folder / name).write_bytes(content[: len(content) // 2])
        with pytest.raises(RunError, match="damaged"):
            resume(run.folder, epochs=3)
        (run.folder / name).write_bytes(content)


def standard_input(monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    """Standard input as a process has it: bytes, whatever they are."""
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content), encoding="utf-8"))


def test_a_line_that_is_no_text_is_named_or_left_out(
    runs: dict[str, ClassifierRun], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = b"The film was bad\nfa\xe7ade\nThe film was \xec\xa2\x8b\xeb\x8b\xa4\n"
    (tmp_path / "a.txt").write_bytes(content)
    for source, place in (("-", "standard input line 2"), (tmp_path / "a.txt", r"a\.txt line 2")):
        standard_input(monkeypatch, content)
        with pytest.raises(DataError, match=f"{place}: byte 0xe7 is not UTF-8"):
            list(runs["text"].predict([source]))
        standard_input(monkeypatch, content)
        assert len(list(runs["text"].predict([source], skip_bad=True))) == 2
        assert "left out 1" in runs["text"].left_out


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_an_output_that_is_no_number_is_never_a_label(
    runs: dict[str, ClassifierRun], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bad: float
) -> None:
    class Overflows:
        """Large inputs are too much for it."""

        def outputs(self, inputs: Any, lengths: Any) -> Any:
            found = np.zeros((inputs.shape[1], 2), np.float32)
            found[np.abs(inputs[0]).max(-1) > 1e30, 0] = bad
            return found

    run = ClassifierRun.open(runs["vectors"].folder)
    monkeypatch.setitem(run.__dict__, "network", Overflows())
    table = write_csv(tmp_path / "a.csv", ["noise", "signal", "label"], [[50, 700, "up"], [1e31, 700, "up"]])
    with pytest.raises(DataError, match=r"a\.csv line 3: the model's output for 'row 3' is not a number"):
        list(run.predict([table]))
    assert [one["label"] for one in run.predict([table], skip_bad=True)] == ["down"]
    assert "left out 1 bad example" in run.left_out
    with pytest.raises(DataError, match=r"output for line 3 of .*a\.csv is not a number"):
        run.evaluate(table)
    with pytest.raises(DataError, match="output for input 1 is not a number"):
        run.classify([[[50, 700]], [[1e31, 700]]])


def test_numbers_at_hand_have_to_be_finite(runs: dict[str, ClassifierRun]) -> None:
    with pytest.raises(DataError, match=r"number \[0, 1\]: nan is not a finite number"):
        runs["vectors"].classify([[[50, np.nan]]])
    with pytest.raises(DataError, match=r"number \[0, 0\]: 1e\+300 is too large"):
        runs["vectors"].classify([np.array([[1e300, 5]])])


def test_a_sound_with_one_nan_is_no_sound(
    runs: dict[str, ClassifierRun], sources: dict[str, Path], tmp_path: Path
) -> None:
    soundfile = pytest.importorskip("soundfile")
    samples, rate = soundfile.read(sources["audio"] / "0.wav", dtype="float32")
    samples[700] = np.nan
    soundfile.write(tmp_path / "nan.wav", samples, rate, subtype="FLOAT")
    with pytest.raises(DataError, match=r"nan\.wav sample 700: nan is not a finite number"):
        list(runs["audio"].predict([tmp_path / "nan.wav"]))


def test_files_outside_a_folder_are_read_only_where_that_is_allowed(
    runs: dict[str, ClassifierRun], sources: dict[str, Path], tmp_path: Path
) -> None:
    run = runs["sequences"]
    (tmp_path / "data").mkdir()
    outside = sources["sequences"] / "1.csv"
    table = write_csv(tmp_path / "data" / "metadata.csv", ["file_name", "label"], [[str(outside), "up"]])
    for call in (lambda **how: list(run.predict([table], **how)), lambda **how: run.evaluate(table, **how)):
        with pytest.raises(DataError, match=r"line 2: file '.*1\.csv' lies outside .*--allow-outside-files"):
            call()
        assert call(allow_outside_files=True)
    options = {**SMALL, "validation_fraction": 0.0}
    rows = [[str(sources["sequences"] / f"{number}.csv"), "ab"[number % 2]] for number in range(6)]
    write_csv(table, ["file_name", "label"], rows)
    with pytest.raises(DataError, match="lies outside"):
        train(table, out=tmp_path / "refused", **options)
    assert train(table, out=tmp_path / "allowed", allow_outside_files=True, **options)


@pytest.mark.parametrize("kind", ["sequences", "audio"])
def test_a_plain_folder_of_sounds_or_arrays_is_labelled(
    runs: dict[str, ClassifierRun], sources: dict[str, Path], tmp_path: Path, kind: str
) -> None:
    suffix = "csv" if kind == "sequences" else "wav"
    for number in (2, 1):
        shutil.copy(sources[kind] / f"{number}.{suffix}", tmp_path)
    (tmp_path / "note.txt").write_text("nothing to label")
    found = list(runs[kind].predict([tmp_path]))
    assert [Path(one["input"]).name for one in found] == [f"1.{suffix}", f"2.{suffix}"]
    assert [one["label"] for one in found] == ["up", "down"]
    with pytest.raises(DataError, match=r"has neither metadata\.csv nor (arrays|sounds) in it"):
        (tmp_path / "empty").mkdir()
        list(runs[kind].predict([tmp_path / "empty"]))


def test_one_text_is_no_list_of_texts(runs: dict[str, ClassifierRun]) -> None:
    with pytest.raises(OptionError, match=r"classify takes a list: write classify\(\[\.\.\.\]\)"):
        runs["text"].classify("good")
    with pytest.raises(OptionError, match="predict takes a list"):
        list(runs["text"].predict("new.csv"))
