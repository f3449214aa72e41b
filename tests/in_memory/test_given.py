"""Trainings and measurements on data in memory: what they keep, and what their errors say."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import throughtime as tt
from throughtime.errors import DataError, OptionError, ThroughtimeError
from throughtime.in_memory import is_in_memory, staged
from throughtime.run.history import read_metrics
from throughtime.tasks.language_model.run import LanguageModelRun
from throughtime.training.progress import Progress

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.usefixtures("quick_trainings")

TEXTS = [f"{'good' if number % 2 else 'bad'} film {number}" for number in range(40)]
LABELS = ["pos" if number % 2 else "neg" for number in range(40)]
SMALL: dict[str, Any] = {"hidden": 8, "layers": 1, "epochs": 1, "tensorboard": False, "show": None}


@pytest.fixture(scope="module")
def run(quick_trainings: None, tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("memory")
    return tt.train((TEXTS, LABELS), out=folder / "run", **SMALL)


def test_a_run_keeps_what_it_was_given_and_trains_as_on_the_file(run: Any, tmp_path: Path) -> None:
    kept = run.folder / "given" / "data.jsonl"
    assert run.config.source == str(kept.resolve())
    again = tt.train(kept, out=tmp_path / "again", **SMALL)
    assert (again.folder / "model.safetensors").read_bytes() == (
        run.folder / "model.safetensors"
    ).read_bytes()
    assert sorted(path.name for path in run.folder.parent.iterdir()) == ["run"]  # nothing staged is left


def test_a_measurement_is_that_of_the_file(run: Any) -> None:
    found = run.evaluate((TEXTS[:10], LABELS[:10]))
    assert found["examples"] == 10
    rows = [{"text": text, "label": label} for text, label in zip(TEXTS[:10], LABELS[:10], strict=True)]
    assert found["loss"] == run.evaluate(rows)["loss"]


def test_a_frame_is_predicted_as_its_file_is(run: Any) -> None:
    found = list(run.predict({"text": TEXTS[:3]}, probabilities=True))
    assert [row["input"] for row in found] == TEXTS[:3]
    assert [row["label"] for row in found] == [row["label"] for row in run.classify(TEXTS[:3])]
    with pytest.raises(DataError, match=r"the data, row 2 \(index 1\): column 'text' is missing"):
        list(run.predict({"text": ["good", None]}))
    for wrong in (np.zeros((2, 3)), [{"text": "good"}], (TEXTS, LABELS)):
        with pytest.raises(OptionError, match="a list of paths, or a frame"):
            run.predict(wrong)


def test_the_signature_of_a_measurement_stays_readable(run: Any) -> None:
    assert [*inspect.signature(run.evaluate).parameters][:2] == ["data", "skip_bad"]
    assert "data: in memory, or the text file" in (inspect.getdoc(LanguageModelRun.evaluate) or "")


def test_inputs_and_labels_are_one_tuple(run: Any) -> None:
    with pytest.raises(OptionError, match=r"one tuple"):
        run.evaluate(TEXTS, LABELS)
    with pytest.raises(OptionError, match=r"one tuple"):
        tt.train(TEXTS, LABELS, **SMALL)  # type: ignore[call-overload]


def test_a_training_that_was_stopped_before_its_first_step_begins_again_from_what_it_kept(
    run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from throughtime.training.trainer import Trainer

    class Killed(BaseException):
        pass

    def kill(_: Any) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "train", kill)
        with pytest.raises(Killed):
            tt.train((TEXTS, LABELS), out=tmp_path / "run", **SMALL)
    (tmp_path / "run").rename(tmp_path / "moved")
    again = tt.resume(tmp_path / "moved", show=None)
    assert (again.folder / "model.safetensors").read_bytes() == (
        run.folder / "model.safetensors"
    ).read_bytes()


def test_a_validation_set_in_memory_is_what_is_measured(tmp_path: Path) -> None:
    clips = np.random.default_rng(0).normal(size=(12, 5, 2)).astype(np.float32)
    labels = np.arange(12) % 2
    run = tt.train((clips, labels), validation=(clips[:4], labels[:4]), out=tmp_path / "run", **SMALL)
    assert run.config.data.validation == str((run.folder / "given" / "validation").resolve())
    measured = [entry["val_loss"] for entry in read_metrics(run.folder) if "val_loss" in entry]
    assert run.evaluate((clips[:4], labels[:4]))["loss"] == pytest.approx(measured[-1], rel=1e-4)


def test_arrays_with_texts_are_transcribed(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    data = ([generator.normal(size=(20, 2)) for _ in range(12)], ["ab", "ba", "a"] * 4)
    run = tt.train(data, task="transcriber", out=tmp_path / "run", **SMALL)
    assert run.evaluate(data)["characters"] == 20


def test_a_text_needs_its_own_spelling(tmp_path: Path) -> None:
    text = "so it goes. " * 200
    run = tt.train(tt.Text(text), out=tmp_path / "run", chunk=16, batch=4, **SMALL)
    assert run.task == "language-model"
    assert (run.folder / "given" / "data.txt").read_text() == text
    assert run.evaluate(tt.Text(text)).nats_per_token > 0
    for wrong in ("one line\nand another", "x" * 300, "가" * 90):
        with pytest.raises(DataError, match=r"tt\.Text\(text\)"):
            tt.train(wrong, out=tmp_path / "no", **SMALL)
    with pytest.raises(OptionError, match="one str"):
        tt.Text(["a"])  # type: ignore[arg-type]
    with pytest.raises(DataError, match="the data: it is empty"):
        tt.train(tt.Text(" "), **SMALL)


@pytest.mark.parametrize(
    ("data", "options", "message"),
    [
        (([*TEXTS[:3], " ", *TEXTS[4:]], LABELS), {}, r"^the data, row 4 \(index 3\): text is empty"),
        ((TEXTS, [f"number {one}" for one in TEXTS]), {}, r"^the data: .*needs several examples"),
        (
            (TEXTS, LABELS),
            {"validation": (["good"], ["new"])},
            r"^the validation data, row 1 \(index 0\): no training example has the label 'new'",
        ),
        ({"a": TEXTS, "b": LABELS}, {}, r"^the data: no column `label`; .*--text-column a --label-column b"),
        ((TEXTS, LABELS), {"encoding": "cp949"}, "in memory: leave it out"),
        (
            (np.where(np.arange(60).reshape(10, 3, 2) == 33, np.nan, 0.5), [0, 1] * 5),
            {},
            r"^the data, row 6 \(index 5\): the array: number \[1, 1\]: nan is not a finite number",
        ),
        ((np.array([[1.0, np.nan]] * 10), [0, 1] * 5), {}, r"^the data, row 1 \(index 0\): feature '1'"),
    ],
)
def test_errors_name_the_row_and_leave_no_folder(
    tmp_path: Path, data: Any, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ThroughtimeError, match=message):
        tt.train(data, out=tmp_path / "run", **{**SMALL, **options})
    assert not list(tmp_path.iterdir())


def test_remarks_name_no_file_that_nobody_wrote(tmp_path: Path) -> None:
    class Remembering(Progress):
        remarks = ""

        def remark(self, text: str) -> None:
            self.remarks += f"{text}\n"

    show, load = Remembering(), [None if n == 7 else n % 5 for n in range(60)]
    data = {"time": list(range(60)), "load": load}
    tt.train(data, task="forecaster", out=tmp_path / "run", **{**SMALL, "show": show})
    assert "the data: 1 empty cell: masked" in show.remarks and "given" not in show.remarks


def test_a_path_stays_a_path(tmp_path: Path) -> None:
    assert not is_in_memory("input.txt") and not is_in_memory(tmp_path) and not is_in_memory(None)
    with staged("input.txt", {"validation": "other.txt"}, tmp_path / "run") as given:
        assert given.options["source"] == "input.txt" and given.options["validation"] == "other.txt"
    assert not list(tmp_path.iterdir())


def test_a_frame_that_names_files_sees_them_from_where_the_program_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for number in range(12):
        np.save(f"{number}.npy", np.full((4, 1), number % 2, np.float32))
    frame = {
        "file_name": [f"{number}.npy" for number in range(12)],
        "label": [number % 2 for number in range(12)],
    }
    with pytest.raises(DataError, match="allow-outside-files"):
        tt.train(frame, out="run", **SMALL)
    assert tt.train(frame, out="run", allow_outside_files=True, **SMALL).task == "classifier"
