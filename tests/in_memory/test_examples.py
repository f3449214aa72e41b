"""What becomes of data in memory, row by row."""

from __future__ import annotations

import datetime
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from throughtime.data.arrays import read_array
from throughtime.errors import DataError
from throughtime.in_memory.examples import Options, rows_of
from throughtime.in_memory.writing import write_rows

TEXTS, LABELS = ["good", "bad"], ["yes", "no"]
CLIPS = np.arange(12, dtype=np.float32).reshape(2, 3, 2) / 7


def rows(data: Any, **options: Any) -> list[dict[str, Any]]:
    return list(rows_of(data, Options(options)))


def table(folder: Path, data: Any, **options: Any) -> list[dict[str, Any]]:
    path = write_rows(rows_of(data, Options(options)), folder, "data", options.get("target"))
    path = path / "metadata.jsonl" if path.is_dir() else path
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n")[:-1]]


@pytest.mark.parametrize(
    "data",
    [
        (TEXTS, LABELS),
        [("good", "yes"), ("bad", "no")],
        (one for one in [("good", "yes"), ("bad", "no")]),
        {"text": TEXTS, "label": LABELS},
        [{"text": "good", "label": "yes"}, {"text": "bad", "label": "no"}],
    ],
    ids=["tuple", "pairs", "generator", "columns", "dictionaries"],
)
def test_labelled_texts_have_the_same_rows_in_every_form(data: Any) -> None:
    assert rows(data) == [{"text": "good", "label": "yes"}, {"text": "bad", "label": "no"}]


def test_the_task_names_the_columns_of_pairs() -> None:
    assert rows([("ein", "a")], task="translator") == [{"source": "ein", "target": "a"}]
    assert rows([(["a", "dog"], ["D", "N"])]) == [{"tokens": ["a", "dog"], "tags": ["D", "N"]}]
    assert rows([(["log in", "buy"], "yes")]) == [{"text": ["log in", "buy"], "label": "yes"}]
    assert rows((TEXTS, LABELS), text_column="review", label_column="stars")[0] == {
        "review": "good",
        "stars": "yes",
    }


def test_texts_without_labels_are_lines() -> None:
    options = Options()
    assert list(rows_of(TEXTS, options)) == [{"text": "good"}, {"text": "bad"}]
    assert options["lines"]
    assert rows(["x" * 300, "good"])[0] == {"text": "x" * 300}  # no file has such a name
    assert rows(np.array(TEXTS)) == [{"text": "good"}, {"text": "bad"}]


def test_vectors_become_columns_and_sequences_files(tmp_path: Path) -> None:
    assert table(tmp_path, (CLIPS[:, 0], [0, 1]))[1] == {
        "0": float(CLIPS[1, 0, 0]),
        "1": float(CLIPS[1, 0, 1]),
        "label": 1,
    }
    assert table(tmp_path, (CLIPS, ["a", "b"]))[1] == {"file_name": "2.npy", "label": "b"}
    np.testing.assert_array_equal(read_array(tmp_path / "data" / "2.npy")[0], CLIPS[1])


def test_a_label_for_each_step_makes_a_tagger(tmp_path: Path) -> None:
    found = table(tmp_path, (CLIPS, [["a", "b", None], ["b", "b", "a"]]))
    assert found[0] == {"file_name": "1.npy", "labels": "1.labels.txt"}
    assert (tmp_path / "data" / "1.labels.txt").read_text() == "a\nb\n\n"


def test_numbers_for_each_step_are_an_array(tmp_path: Path) -> None:
    found = table(tmp_path, (CLIPS, CLIPS[:, :, 0]), target="number")
    assert found[0]["labels"] == "1.labels.npy"
    np.testing.assert_array_equal(read_array(tmp_path / "data" / "1.labels.npy")[0], CLIPS[0, :, :1])


def test_several_labels_are_a_list_and_several_numbers_columns() -> None:
    options = Options()
    assert list(rows_of([("good", ["a", "b"])], options)) == [{"text": "good", "labels": ["a", "b"]}]
    assert options["label_column"] == "labels"
    options = Options()
    assert list(rows_of((["good"], np.array([[0.5, 2.0]])), options)) == [
        {"text": "good", "label_1": 0.5, "label_2": 2.0}
    ]
    assert options["label_column"] == "label_1,label_2"


def test_an_array_of_numbers_over_time_is_a_series() -> None:
    options = Options(task="forecaster")
    assert list(rows_of(np.array([1.5, 2.5]), options)) == [
        {"time": 0, "value": 1.5},
        {"time": 1, "value": 2.5},
    ]
    assert list(rows_of([np.array([1.0]), np.array([2.0])], options))[1] == {
        "series": "series 1",
        "time": 0,
        "value": 2.0,
    }
    assert options["series_column"] == "series"


def test_values_keep_what_they_are(tmp_path: Path) -> None:
    row = {
        "text": "한글 🙂\n\u2028",
        "when": datetime.datetime(2024, 2, 29, 12),
        "third": np.float32(1 / 3),
        "yes": np.True_,
        "nothing": float("nan"),
        "set": {"b", "a"},
        "date": np.datetime64("2024-02-29"),
    }
    assert table(tmp_path, [row]) == [
        {
            "text": "한글 🙂\n\u2028",
            "when": "2024-02-29T12:00:00",
            "third": float(np.float32(1 / 3)),
            "yes": True,
            "nothing": None,
            "set": ["a", "b"],
            "date": "2024-02-29",
        }
    ]


def test_tensors_and_data_sets_of_torch_are_read_to_their_end(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")

    class Pairs:
        """Without __iter__, and without an end of its own."""

        def __len__(self) -> int:
            return 2

        def __getitem__(self, number: int) -> tuple[Any, Any]:
            return torch.from_numpy(CLIPS[number % 2]).bfloat16().requires_grad_(), torch.tensor(number)

    assert table(tmp_path, Pairs()) == [
        {"file_name": "1.npy", "label": 0},
        {"file_name": "2.npy", "label": 1},
    ]


def test_a_frame_of_pandas_keeps_an_index_that_says_something() -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"load": [1.0, 2.0]}, index=pandas.date_range("2024-01-01", periods=2))
    assert [list(row) for row in rows(frame)] == [["time", "load"]] * 2
    assert [list(row) for row in rows(frame["load"])] == [["time", "load"]] * 2
    assert rows(pandas.Series(TEXTS, name="title")) == [{"text": "good"}, {"text": "bad"}]
    shuffled = pandas.DataFrame({"text": TEXTS, "label": LABELS}).iloc[::-1]
    assert rows(shuffled)[0] == {"text": "bad", "label": "no"}
    assert rows((shuffled[["text"]], shuffled["label"]))[0] == {"text": "bad", "label": "no"}
    with pytest.raises(DataError, match="column 'load' occurs twice"):
        rows(frame.rename_axis("load"))
    with pytest.raises(DataError, match="index has no name"):
        rows(frame.set_axis(["a", "b"]))


def test_frames_of_polars_and_tables_of_arrow_are_read() -> None:
    expected = [{"text": "good", "label": "yes"}, {"text": "bad", "label": "no"}]
    columns = {"text": TEXTS, "label": LABELS}
    arrow = pytest.importorskip("pyarrow")
    assert rows(arrow.table(columns)) == expected
    polars = pytest.importorskip("polars")
    assert rows(polars.DataFrame(columns)) == rows(polars.LazyFrame(columns)) == expected


def test_no_frame_library_is_imported_for_data_of_other_kinds() -> None:
    before = set(sys.modules)
    rows((TEXTS, LABELS))
    assert not {"pandas", "polars", "pyarrow"} & (set(sys.modules) - before)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ([], "not a single example"),
        (5, "int is no type of data"),
        (b"text", "decode them"),
        (("a", "b"), r"\(inputs, labels\)"),
        ((TEXTS, LABELS, LABELS), "a tuple of 3"),
        ((TEXTS, ["yes"]), "2 inputs and 1 labels"),
        ([("good", "yes"), 5], r"row 2 \(index 1\) is of type int"),
        ([TEXTS[0], 5], r"row 2 \(index 1\) is of type int, and the first one is a text"),
        ([(CLIPS[0], 1), (CLIPS[0, 0], 1)], r"row 2 .* x\[:, None\]"),
        ([(CLIPS[0, 0], 1), (CLIPS[0, :, 0], 1)], r"row 2 .*has shape \(3,\), and the first one \(2,\)"),
        (([CLIPS], [1]), r"row 1 .*has shape \(2, 3, 2\)"),
        (([[1.0, "a"]], [1]), "give a text"),
        (CLIPS, "an array without labels"),
        ([CLIPS[0]], "arrays without labels"),
        ([{"a": 1}, {"a": 1, "b": 2}], r"row 2 .*'b'"),
        ([{"a": 1}, {"a": object()}], r"row 2 .*column 'a': .*of type object"),
        ([{"a": "\ud800"}], "half of a surrogate pair"),
        ({"a": [1, 2], "b": [1]}, "as long as each other"),
        ({"a": "text"}, "one value"),
        ([__file__], "is a file"),
    ],
)
def test_what_cannot_be_read_is_named_by_its_row(tmp_path: Path, data: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        table(tmp_path, data)


def test_a_tagger_needs_as_many_labels_as_steps(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"row 1 .*2 labels for 3 steps"):
        table(tmp_path, ([CLIPS[0]], [["a", "b"]]), task="tagger")
    with pytest.raises(DataError, match="a label for each step"):
        table(tmp_path / "..", ([CLIPS[0]], ["a"]), task="tagger")


def test_a_loader_of_batches_is_refused() -> None:
    torch = pytest.importorskip("torch")
    data = torch.utils.data.TensorDataset(torch.from_numpy(CLIPS), torch.tensor([0, 1]))
    with pytest.raises(DataError, match="loader.dataset"):
        rows(torch.utils.data.DataLoader(data))
