"""Labelled examples from every kind of file, and every way in which one can be bad."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from throughtime.data.tables import BadRows
from throughtime.errors import DataError
from throughtime.recognition import recognise
from throughtime.tasks.classifier.examples import ExampleReader, InputKind

STEPS = np.array([[1, 10], [2, 20], [3, 30]], dtype=np.float32)


def write_folder(folder: Path, files: dict[str, str], metadata: str) -> Path:
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_text(content)
    (folder / "metadata.csv").write_text(metadata)
    return folder


def find_kind(path: Path) -> InputKind:
    return recognise(path, {"task": "classifier"}).options["input"]


def read(path: Path, skip: bool = False) -> tuple[list, BadRows]:
    bad = BadRows(skip)
    return list(ExampleReader(find_kind(path)).read(path, bad)), bad


def test_texts_come_with_labels_and_lines(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text('text,label\n"good, very",1\n나쁘다,0\n', encoding="utf-8")
    (tmp_path / "a.tsv").write_text("label\ttext\n1\tgood\n", encoding="utf-8")
    (tmp_path / "a.jsonl").write_text('{"text": "good", "label": true}\n', encoding="utf-8")
    examples, _ = read(tmp_path / "a.csv")
    assert [(e.input, e.truth, e.line) for e in examples] == [("good, very", "1", 2), ("나쁘다", "0", 3)]
    assert [e.truth for e in read(tmp_path / "a.tsv")[0]] == ["1"]
    assert [e.truth for e in read(tmp_path / "a.jsonl")[0]] == ["true"]


def test_vectors_are_sequences_of_one_step(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("width,label,height\n1,cat,10\n2,dog,20\n")
    examples, _ = read(tmp_path / "a.csv")
    assert find_kind(tmp_path / "a.csv") == "vectors"
    assert [e.input.tolist() for e in examples] == [[[1, 10]], [[2, 20]]]
    assert [e.truth for e in examples] == ["cat", "dog"]


def test_the_columns_of_a_row_may_be_the_steps_of_a_sequence(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("label,t0,t1,t2\nup,1,2,3\ndown,2,1,NaN\nup,1,,3\n")
    bad = BadRows(skip=True)
    reader = ExampleReader("sequences", steps_in_columns=True)
    short = [[2], [1]]
    assert [e.input.tolist() for e in reader.read(tmp_path / "a.csv", bad)] == [[[1], [2], [3]], short]
    assert "line 4: feature 't1'" in bad.summary()
    assert reader.read_line("2,1")[0].tolist() == short
    filled = ExampleReader("sequences", steps_in_columns=True, fill="linear")
    assert [*filled.read(tmp_path / "a.csv", bad)][2].input.tolist() == [[1], [2], [3]]


@pytest.mark.parametrize(
    "row", [{"x": [1, None, 3], "y": [4, 5, float("nan")]}, {"steps": [[1, 4], [None, 5], [3, float("nan")]]}]
)
def test_gaps_in_lists_are_filled(row: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps({**row, "label": "up"}) + "\n")
    (example,) = ExampleReader("sequences", fill="previous").read(path, BadRows())
    assert example.input.tolist() == [[1, 4], [1, 5], [3, 5]]
    with pytest.raises(DataError, match=r"a\.jsonl line 1: feature '\w+': .* \(--fill fills gaps\)"):
        list(ExampleReader("sequences").read(path, BadRows()))


def test_parquet_holds_all_of_them(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    tables = {
        "text": {"text": ["good"], "label": [1]},
        "vectors": {"x": [1.0], "y": [10.0], "label": ["a"]},
        "matrix": {"steps": [STEPS.tolist()], "label": ["a"]},
        "columns": {"x": [STEPS[:, 0].tolist()], "y": [STEPS[:, 1].tolist()], "label": ["a"]},
    }
    for name, columns in tables.items():
        path = tmp_path / f"{name}.parquet"
        parquet.write_table(pyarrow.table(columns), path)
        assert find_kind(path) == {"matrix": "sequences", "columns": "sequences"}.get(name, name)
        ((example,), _) = read(path)
        if name in ("matrix", "columns"):
            assert example.input.tolist() == STEPS.tolist()


def test_a_folder_of_sequences_is_found_out(tmp_path: Path) -> None:
    files = {"a.csv": "x,y\n1,10\n2,20\n3,30\n", "b.csv": "y,x\n10,1\n"}
    folder = write_folder(tmp_path / "s", files, "file_name,label\na.csv,up\nb.csv,down\n")
    for path in (folder, folder / "metadata.csv"):
        assert find_kind(path) == "sequences"
        examples, _ = read(path)
        assert [e.input.tolist() for e in examples] == [STEPS.tolist(), [[1, 10]]]
        assert [e.name for e in examples] == ["a.csv", "b.csv"]


def test_a_folder_of_sounds_is_found_out(tmp_path: Path) -> None:
    soundfile = pytest.importorskip("soundfile")
    folder = write_folder(tmp_path / "s", {}, "file_name,label\na.wav,beep\nb.wav,beep\n")
    for name, rate in (("a.wav", 8000), ("b.wav", 16000)):
        soundfile.write(folder / name, np.zeros(800), rate)
    assert find_kind(folder) == "audio"
    examples, bad = read(folder, skip=True)
    assert [e.input.shape for e in examples] == [(8, 40)]
    assert "b.wav has 16000 samples a second, expected 8000" in bad.summary()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("text,label\ngood,1\n   ,0\n", r"a\.csv line 3: text is empty"),
        ("text,label\ngood,\nbad,0\n", r"a\.csv line 2: label is empty"),
        ("x,y,label\n1,2,a\n1,nan,b\n", r"a\.csv line 3: feature 'y': nan is not a finite number"),
        ("x,y,label\n1,2,a\none,2,b\n", r"a\.csv line 3: feature 'x': 'one' is not a number"),
        ("x,y,label\n1,2,a\n1,2,3,b\n", r"a\.csv line 3: 4 fields, expected 3"),
    ],
)
def test_a_bad_row_is_named_or_counted(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "a.csv").write_text(content)
    with pytest.raises(DataError, match=message):
        read(tmp_path / "a.csv")
    examples, bad = read(tmp_path / "a.csv", skip=True)
    assert (len(examples), bad.count) == (1, 1)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, r"metadata\.csv line 3: .*b\.csv: no such file"),
        (
            {"b.csv": "x\n1\n"},
            r"metadata\.csv line 3: .*b\.csv has 1 feature \(x\), expected 2 features \(x, y\)",
        ),
        ({"b.csv": "x,y\n1,inf\n"}, r"metadata\.csv line 3: .*b\.csv line 2, column 2 \(y\): inf"),
        ({"b.csv": "x,y\n1,2\n3,?\n"}, r"metadata\.csv line 3: .*b\.csv line 3: '\?' is not a number"),
    ],
)
def test_a_bad_file_is_named_with_the_line_that_names_it(
    tmp_path: Path, files: dict[str, str], message: str
) -> None:
    files = {"a.csv": "x,y\n1,2\n", **files}
    folder = write_folder(tmp_path / "s", files, "file_name,label\na.csv,up\nb.csv,down\n")
    with pytest.raises(DataError, match=message):
        read(folder)
    examples, bad = read(folder, skip=True)
    assert ([e.name for e in examples], bad.count) == (["a.csv"], 1)


def test_lists_that_do_not_fit_together_are_bad_rows(tmp_path: Path) -> None:
    rows = [
        {"x": [1, 2], "y": [1, 2], "label": "a"},
        {"x": [1, 2], "y": [1], "label": "a"},
        {"x": [1, None], "y": [1, 2], "label": "a"},
        {"x": [], "y": [], "label": "a"},
        {"x": [1], "label": "a"},
    ]
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, rows)))
    examples, bad = read(tmp_path / "a.jsonl", skip=True)
    assert (len(examples), bad.count) == (1, 4)
    assert "line 2: feature 'y' has 1 steps, and 'x' has 2" in bad.summary()


def test_a_matrix_with_a_short_step_is_a_bad_row(tmp_path: Path) -> None:
    rows = [{"steps": [[1, 2], [3, 4]], "label": "a"}, {"steps": [[1, 2], [3]], "label": "a"}]
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, rows)))
    with pytest.raises(DataError, match="line 2: steps, step 2: 1 features, expected 2"):
        read(tmp_path / "a.jsonl")


def test_files_outside_the_folder_are_read_only_where_that_is_allowed(tmp_path: Path) -> None:
    (tmp_path / "secret.csv").write_text("root:x:0:0\n")
    files = {"a.csv": "x,y\n1,2\n"}
    folder = write_folder(tmp_path / "s", files, "file_name,label\na.csv,up\n../secret.csv,down\n")
    with pytest.raises(DataError, match=r"metadata\.csv line 3: .*lies outside") as raised:
        read(folder)
    assert "root:x" not in str(raised.value)
    examples, bad = read(folder, skip=True)
    assert (len(examples), bad.count) == (1, 1)
    (tmp_path / "secret.csv").write_text("3,4\n")
    reader = ExampleReader("sequences", allow_outside=True)
    assert len(list(reader.read(folder, BadRows()))) == 2


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", "x,label\n1,a\n1e300,b\n", r"line 3: feature 'x': 1e\+300 is too large"),
        (
            "a.jsonl",
            '{"x": 1, "label": "a"}\n{"x": ' + "1" * 400 + ', "label": "b"}\n',
            "line 2: feature 'x': inf",
        ),
        (
            "a.jsonl",
            '{"x": [1], "label": "a"}\n{"x": [NaN], "label": "b"}\n',
            "line 2: feature 'x': nan is not",
        ),
        (
            "a.jsonl",
            '{"x": [[1]], "label": "a"}\n{"x": [[1e39]], "label": "b"}\n',
            r"line 2: .*1e\+39 is too large",
        ),
    ],
)
def test_a_number_that_is_not_finite_in_32_bits_is_a_bad_one(
    tmp_path: Path, name: str, content: str, message: str
) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(DataError, match=message):
        read(tmp_path / name)
