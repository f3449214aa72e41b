"""A folder for each label: which folders are such data, and what is read of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import throughtime as tt
from throughtime.data import class_folders
from throughtime.data.class_folders import is_class_folder, read_class_folder
from throughtime.data.tables import BadRows, read_rows
from throughtime.errors import DataError
from throughtime.recognition import recognise

SMALL: dict[str, Any] = {"epochs": 1, "hidden": 4, "members": 1, "threads": 1, "tensorboard": False}


def write(folder: Path, **contents: str | bytes) -> Path:
    """Files by label__name__suffix."""
    for name, content in contents.items():
        label, stem, suffix = name.split("__")
        path = folder / label / f"{stem}.{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


def test_the_first_rows_show_every_label(tmp_path: Path) -> None:
    folder = write(tmp_path, neg__1__txt="bad", neg__2__txt="worse\nstill", pos__9__txt="good")
    (folder / ".cache").mkdir()
    (folder / "README.md").write_text("reviews")
    rows = list(read_class_folder(folder, lambda line, fault: None))
    assert [values["label"] for _, values in rows] == ["neg", "pos", "neg"]
    assert [values["text"] for _, values in rows] == ["bad", "good", "worse\nstill"]
    assert [line.file.name for line, _ in rows] == ["1.txt", "9.txt", "2.txt"]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("contents", "is_one"),
    [
        ({"a__1__txt": "x", "b__1__txt": "y"}, True),
        ({"a__1__wav": "x", "b__1__flac": "y"}, True),
        ({"a__1__npy": "x", "b__1__npz": "y"}, True),
        ({"a__1__txt": "x"}, False),
        ({"a__1__txt": "x", "b__1__wav": "y"}, False),
        ({"a__1__txt": "x", "b__1__txt": "y", "c__1__md": "z"}, False),
        ({"train__1__txt": "x", "test__1__txt": "y", "more__1__txt": "z"}, False),
        ({"train__1__txt": "x", "car__1__txt": "y"}, True),
        ({"a__1__csv": "x", "b__1__csv": "y"}, False),
        ({"a__1__jpg": "x", "b__1__jpg": "y"}, False),
    ],
)
def test_what_counts_as_a_folder_for_each_label(
    tmp_path: Path, contents: dict[str, str], is_one: bool
) -> None:
    assert is_class_folder(write(tmp_path, **contents)) is is_one


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.ts", "@classLabel true x\n@data\nx\n1:x\n", r"a\.ts line 3: no numbers stand before its label"),
        ("a.jsonl", '{"label": "x"}\n' * 3, r"a\.jsonl: .*there is nothing to learn from"),
    ],
)
def test_a_row_with_nothing_but_a_label_is_no_example(
    tmp_path: Path, name: str, content: str, message: str
) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(DataError, match=message):
        tt.train(tmp_path / name, out=tmp_path / "run", input="sequences", **SMALL)


def test_a_file_of_another_kind_is_not_left_out_in_silence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write(tmp_path, a__1__txt="x", b__1__txt="y", b__2__pdf="%PDF")
    # As where it stands behind those files that are looked at.
    monkeypatch.setattr(class_folders, "kind_in_classes", lambda path: class_folders.TEXT_SUFFIXES)
    with pytest.raises(DataError, match=r"b/2\.pdf line 1: the other files are \.txt"):
        list(read_rows(folder, BadRows(), ["text", "label"]))
    bad = BadRows(skip=True)
    assert len(list(read_rows(folder, bad, ["text", "label"]))) == 2 and bad.count == 1


def test_a_fault_names_the_file(tmp_path: Path) -> None:
    folder = write(tmp_path, a__1__txt="x", b__1__txt="y", b__2__txt=b"\xff\xfe")
    bad = BadRows(skip=True)
    assert len(list(read_rows(folder, bad, ["text", "label"]))) == 2
    assert bad.examples[0].startswith(f"{folder / 'b' / '2.txt'} line 1: byte 0xff is not UTF-8")
    folder = write(tmp_path / "empty", a__1__txt="x", b__1__txt=" \n")
    with pytest.raises(DataError, match=r"b/1\.txt line 1: text is empty"):
        tt.train(folder, out=tmp_path / "run", **SMALL)


def test_texts_are_learned_measured_and_predicted(tmp_path: Path) -> None:
    texts = {
        f"{label}__{n}__txt": f"a {word} film {n}"
        for n in range(9)
        for label, word in (("neg", "dull"), ("pos", "fine"))
    }
    folder = write(tmp_path / "reviews", **texts)
    found = recognise(folder)
    assert found.task == "classifier"
    assert found.why == "2 columns; `label` has 2 values (neg, pos): classification of `text`"
    run = tt.train(folder, out=tmp_path / "run", task="classifier", **SMALL)
    assert run.evaluate(folder)["examples"] == 18
    rows = list(run.predict([folder]))
    assert [row["truth"] for row in rows[:4]] == ["neg", "pos", "neg", "pos"]
    alone = list(run.predict([folder / "pos"]))
    assert [row["input"] for row in alone[:2]] == ["a fine film 0", "a fine film 1"]
    assert [row["label"] for row in alone] == [row["label"] for row in rows[1::2]]


def test_a_text_in_another_encoding_is_named_or_left_out(tmp_path: Path) -> None:
    folder = write(
        tmp_path / "news", **{f"{label}__{n}__txt": "so it is" for n in range(3) for label in "ab"}
    )
    (folder / "b" / "1.txt").write_bytes("£5m".encode("latin-1"))
    with pytest.raises(DataError, match=r"b.1\.txt line 1: byte 0xa3 is not .*--encoding cp1252"):
        list(read_rows(folder, BadRows()))
    assert len(list(read_rows(folder, BadRows(skip=True)))) == 5


def test_arrays_are_read_beside_their_folder(tmp_path: Path) -> None:
    for number in range(12):
        label = "up" if number % 2 else "down"
        (tmp_path / "moves" / label).mkdir(parents=True, exist_ok=True)
        np.save(tmp_path / "moves" / label / f"{number}.npy", np.ones((5, 2), np.float32) * number)
    found = recognise(tmp_path / "moves")
    assert found.why.startswith("2 columns; `label` has 2 values (down, up): classification of arrays in ")
    run = tt.train(tmp_path / "moves", out=tmp_path / "run", task="classifier", **SMALL)
    assert run.evaluate(tmp_path / "moves")["examples"] == 12
    assert len(list(run.predict([tmp_path / "moves"]))) == 12
    assert len(list(run.predict([tmp_path / "moves" / "up"]))) == 6
