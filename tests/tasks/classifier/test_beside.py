"""What stands beside a text or an array: second texts, static columns; and word vectors to begin with."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from throughtime.errors import DataError, OptionError, RunError
from throughtime.run import Run
from throughtime.tasks.classifier.run import ClassifierRun
from throughtime.training import train
from throughtime.training.progress import Progress

SMALL: dict[str, Any] = {
    "tokenizer": "word",
    "hidden": 8,
    "embedding": 8,
    "batch": 16,
    "epochs": 12,
    "learning_rate": 0.03,
    "input_dropout": 0.0,
    "threads": 1,
    "tensorboard": False,
    "validation_fraction": 0.1,
}


class Listening(Progress):
    def __init__(self) -> None:
        self.remarks: list[str] = []

    def remark(self, text: str) -> None:
        self.remarks.append(text)


def write(path: Path, header: list[str], rows: list[list[Any]]) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return path


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Is the answer of the kind that the question asks for? Neither text alone says so."""
    generator = np.random.default_rng(0)
    kinds = {"color": ["red", "blue"], "animal": ["cat", "dog"]}
    rows = []
    for _ in range(120):
        asked, said = generator.choice(list(kinds), 2)
        rows.append(
            [f"which {asked} is it", generator.choice(kinds[said]), "right" if asked == said else "wrong"]
        )
    return write(tmp_path_factory.mktemp("pairs") / "pairs.csv", ["question", "answer", "label"], rows)


@pytest.fixture(scope="module")
def paired(pairs: Path, tmp_path_factory: pytest.TempPathFactory) -> ClassifierRun:
    out = tmp_path_factory.mktemp("paired") / "run"
    run = train(pairs, out=out, text_column="question", second_text="answer", **SMALL)
    assert isinstance(run, ClassifierRun)
    return run


def test_pairs_of_texts_are_compared(paired: ClassifierRun, pairs: Path) -> None:
    assert paired.evaluate(pairs)["accuracy"] == 1
    found = paired.classify([("which animal is it", "dog"), ("which animal is it", "blue")])
    assert [one["label"] for one in found] == ["right", "wrong"]
    by_torch = Run.open(paired.folder, backend="torch")
    native, torch = (list(one.predict([pairs])) for one in (paired, by_torch))
    assert [one["label"] for one in native] == [one["label"] for one in torch]


def test_a_line_holds_a_pair_with_a_tab_between(
    paired: ClassifierRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"which color is it\tred\n"), "utf-8"))
    assert next(paired.predict(["-"]))["label"] == "right"
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"which color is it\n"), "utf-8"))
    with pytest.raises(DataError, match="line 1: the model reads pairs: a text, a tab, and the answer to it"):
        next(paired.predict(["-"]))
    with pytest.raises(DataError, match="pairs"):
        paired.classify(["which color is it"])


def test_an_empty_second_text_is_a_bad_row(paired: ClassifierRun, tmp_path: Path) -> None:
    table = write(tmp_path / "t.csv", ["question", "answer"], [["which color is it", " "]])
    with pytest.raises(DataError, match=r"t\.csv line 2: answer is empty"):
        list(paired.predict([table]))


def test_a_number_may_be_the_second_text(paired: ClassifierRun, tmp_path: Path) -> None:
    table = tmp_path / "t.jsonl"
    table.write_text('{"question": "how many are there", "answer": 0}\n' * 2)
    assert len(list(paired.predict([table]))) == 2


@pytest.fixture(scope="module")
def arrays(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ramps whose meaning turns around in the south: neither the ramp nor the place alone says the label."""
    folder = tmp_path_factory.mktemp("arrays")
    rows = []
    for number in range(60):
        up, south = number % 2, number // 2 % 2
        np.save(folder / f"{number}.npy", np.linspace(0, 1 if up else -1, 5, dtype=np.float32)[:, None])
        rows.append([f"{number}.npy", "south" if south else "north", 20.5 + number, "ab"[up ^ south]])
    write(folder / "metadata.csv", ["file_name", "place", "age", "label"], rows)
    return folder


@pytest.fixture(scope="module")
def described(arrays: Path, tmp_path_factory: pytest.TempPathFactory) -> ClassifierRun:
    options = {**SMALL, "epochs": 40, "members": 1}
    for name in ("tokenizer", "embedding", "input_dropout"):
        options.pop(name)
    out = tmp_path_factory.mktemp("described") / "run"
    run = train(arrays, out=out, static_columns="place,age", **options)
    assert isinstance(run, ClassifierRun)
    return run


def test_static_columns_change_what_a_series_means(described: ClassifierRun, arrays: Path) -> None:
    assert described.evaluate(arrays)["accuracy"] == 1
    assert described.facts()["beside"] == {"place": ["north", "south"], "age": "a number"}
    numbers = described.conditions.numbers[0]
    assert described.model.beside.mean.tolist() == pytest.approx([numbers.mean])
    ramp = np.linspace(0, 1, 5)[:, None]
    beside = [{"place": "north", "age": 50}, {"place": "south", "age": 50}]
    assert [one["label"] for one in described.classify([ramp, ramp], beside)] == ["b", "a"]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (["0.npy", "nort", 30], "'nort' is no known value of `place`: did you mean 'north'"),
        (["0.npy", "", 30], "line 2: place is empty"),
        (["0.npy", "north", "old"], "static column `age` is 'old', and has to be a number"),
    ],
)
def test_what_is_unknown_or_missing_is_refused_and_never_zero(
    described: ClassifierRun, arrays: Path, tmp_path: Path, row: list[Any], message: str
) -> None:
    (tmp_path / "0.npy").write_bytes((arrays / "0.npy").read_bytes())
    table = write(tmp_path / "new.csv", ["file_name", "place", "age"], [row, ["0.npy", "north", 30]])
    with pytest.raises(DataError, match=message):
        list(described.predict([table]))
    assert len(list(described.predict([table], skip_bad=True))) == 1


def test_inputs_without_columns_beside_them_are_refused(described: ClassifierRun, arrays: Path) -> None:
    with pytest.raises(DataError, match="the model also reads place, age: name a table"):
        list(described.predict([arrays / "0.npy"]))
    with pytest.raises(DataError, match="the model also reads place, age"):
        described.classify([np.zeros((5, 1))])
    with pytest.raises(OptionError, match="1 inputs, and what stands beside 2"):
        described.classify([np.zeros((5, 1))], [{}, {}])


@pytest.mark.parametrize("name", ["categories.npy", "numbers.npy"])
def test_damage_to_what_stands_beside_is_noticed(described: ClassifierRun, name: str) -> None:
    path = described.folder / "data" / name
    whole = path.read_bytes()
    try:
        np.save(path, np.full_like(np.load(path), 9)[:-1])
        with pytest.raises(RunError, match="damaged"):
            described.conclude()
    finally:
        path.write_bytes(whole)


def test_word_vectors_begin_the_embedding(pairs: Path, tmp_path: Path) -> None:
    vectors = tmp_path / "vectors.txt"
    vectors.write_text("Which 1 2 3\nred 4 5 6\nmoon 7 8 9\n")
    show = Listening()
    options = {**SMALL, "epochs": 1, "learning_rate": 1e-6, "weight_decay": 0.0}
    options.pop("embedding")
    files = {"text_column": "question", "second_text": "answer", "embedding_file": str(vectors)}
    run = train(pairs, out=tmp_path / "run", show=show, **options, **files)
    assert isinstance(run, ClassifierRun) and run.encoder is not None
    assert any(
        "vectors.txt has vectors of 1 of the 9 different words, of 3 numbers" in one for one in show.remarks
    )
    weights = run.model.embedding.weight.detach().numpy()
    row = {text: number for number, text in enumerate(run.encoder.tokenizer.token_texts())}
    assert weights[row["red"]] == pytest.approx([4, 5, 6], abs=1e-3)
    assert np.abs(weights[row["blue"]]).max() < 1 and not weights[-1].any()
    with pytest.raises(OptionError, match="--embedding 8: the vectors of .* have 3 numbers"):
        train(pairs, out=tmp_path / "other", **SMALL, **files)


def test_the_tokenizer_follows_from_the_texts_where_nobody_names_it(pairs: Path, tmp_path: Path) -> None:
    show = Listening()
    options = {**SMALL, "epochs": 1, "text_column": "question,answer"}
    options.pop("tokenizer")
    run = train(pairs, out=tmp_path / "words", show=show, **options)
    assert run.config.data.tokenizer == "word"  # type: ignore[attr-defined]
    assert "--tokenizer word: 0% of the words of new texts would be unknown words" in show.remarks
    rows = [[f"w{number}a w{number}b", "xy"[number % 2]] for number in range(20)]
    table = write(tmp_path / "new.csv", ["text", "label"], rows)
    run = train(table, out=tmp_path / "pieces", **{**options, "text_column": "text"})
    assert run.config.data.tokenizer == "bpe"  # type: ignore[attr-defined]


def test_what_the_recognition_says_of_columns_beside(pairs: Path, arrays: Path) -> None:
    from throughtime.recognition import recognise

    with pytest.raises(DataError, match="--text-column question --second-text answer compares the two"):
        recognise(pairs)
    found = recognise(pairs, {"text_column": "question", "second_text": "2"})
    assert found.options["second_text"] == "answer"
    assert found.why.endswith("classification of `question` and `answer`")
    assert (
        "`place` and `age` are not read; --static-columns place,age reads them, too" in recognise(arrays).why
    )
    found = recognise(arrays, {"static_columns": "place,3"})
    assert found.options["static_columns"] == "place,age"
    assert "`label` has 2 values, `place` and `age` beside it" in found.why
    for named, message in (
        ("label", "holds what is learned"),
        ("place,place", "twice"),
        ("x", "no column 'x'"),
    ):
        with pytest.raises(DataError, match=message):
            recognise(arrays, {"static_columns": named})
    with pytest.raises(DataError, match="is read already"):
        recognise(pairs, {"text_column": "question", "second_text": "question"})
    with pytest.raises(DataError, match="there is no first one"):
        recognise(pairs, {"second_text": "answer"})
