"""Cross-validation: what is measured, what is kept, and going on after a stop."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from throughtime.errors import DataError, OptionError, RunError  # noqa: E402
from throughtime.run import Run  # noqa: E402
from throughtime.tasks.classifier.run import ClassifierRun  # noqa: E402
from throughtime.training import Interrupted, resume, train  # noqa: E402
from throughtime.training.progress import Progress  # noqa: E402

OPTIONS: dict[str, Any] = {
    "hidden": 4,
    "epochs": 3,
    "batch": 4,
    "threads": 1,
    "tensorboard": False,
    "folds": 3,
}


@pytest.fixture
def table(tmp_path: Path) -> Path:
    rows = [f"{number % 7},{number % 2},{'odd' if number % 2 else 'even'}" for number in range(14)]
    path = tmp_path / "numbers.csv"
    path.write_text("\n".join(["a,b,label", *rows]) + "\n")
    return path


class Listening(Progress):
    def __init__(self) -> None:
        self.remarks: list[str] = []

    def remark(self, text: str) -> None:
        self.remarks.append(text)


def test_every_fold_is_measured_and_the_run_learns_from_everything(table: Path, tmp_path: Path) -> None:
    show = Listening()
    run = train(table, tmp_path / "run", show=show, **OPTIONS)
    folds = run.describe()["folds"]
    assert set(folds) == {"loss", "accuracy", "macro_f1"}
    assert all(len(values) == 3 for values in folds.values())
    assert any(text.startswith("3 folds: loss ") for text in show.remarks)
    parts = [Run.open(tmp_path / "run" / "folds" / str(number)) for number in (1, 2, 3)]
    assert [part.config.data.fold for part in parts] == ["1/3", "2/3", "3/3"]  # type: ignore[attr-defined]
    assert {part.config.training.keep for part in (*parts, run)} == {"last"}
    assert isinstance(run, ClassifierRun)
    assert len(run.classify([[[1.0, 1.0]]])) == 1
    held_out = [
        json.loads((part.folder / "metrics.jsonl").read_text().splitlines()[-1])["val_loss"] for part in parts
    ]
    assert folds["loss"] == held_out
    for damaged in ("{}", '{"loss": [1e308, 1e308]}', '{"loss": [Infinity]}'):
        (run.folder / "folds.json").write_text(damaged)
        with pytest.raises(RunError, match=r"folds\.json is damaged"):
            run.describe()


class Stopping(Progress):
    """Stops in the second fold."""

    steps = 0

    def stepped(self, *_: Any) -> None:
        self.steps += 1
        if self.steps == 14:
            self.stop()

    def stop(self) -> None:
        os.kill(os.getpid(), signal.SIGINT)


class Failing(Stopping):
    def stop(self) -> None:
        raise RunError("the disk is full")


def test_a_stop_in_a_fold_goes_on_there_and_ends_the_same(table: Path, tmp_path: Path) -> None:
    whole = train(table, tmp_path / "whole", **OPTIONS)
    with pytest.raises(Interrupted) as stop:
        train(table, tmp_path / "run", show=Stopping(), **OPTIONS)
    assert stop.value.folder == tmp_path / "run"
    assert (tmp_path / "run" / "folds" / "2").exists()
    assert not (tmp_path / "run" / "model.safetensors").exists()
    metrics = tmp_path / "run" / "folds" / "1" / "metrics.jsonl"
    before = metrics.read_bytes()
    metrics.write_bytes(bytes(len(before)))
    with pytest.raises(RunError, match=r"fold 1 of 3: .*metrics\.jsonl is damaged: it has no evaluation"):
        resume(tmp_path / "run")
    metrics.write_bytes(before)
    resumed, _ = resume(tmp_path / "run")
    assert resumed.describe()["folds"] == whole.describe()["folds"]
    weights = "model.safetensors"
    assert (resumed.folder / weights).read_bytes() == (whole.folder / weights).read_bytes()


@pytest.mark.parametrize(("show", "error"), [(Stopping, Interrupted), (Failing, RunError)])
def test_what_finished_folds_learned_outlives_the_run_that_they_replace(
    show: type[Stopping], error: type[Exception], table: Path, tmp_path: Path
) -> None:
    train(table, tmp_path / "run", **{**OPTIONS, "folds": 0})
    with pytest.raises(error, match="can be resumed|fold 2 of 3: the disk is full.*--resume .*run`"):
        train(table, tmp_path / "run", overwrite=True, show=show(), **OPTIONS)
    first = tmp_path / "run" / "folds" / "1" / "model.safetensors"
    before = first.stat().st_mtime_ns
    resumed, _ = resume(tmp_path / "run")
    assert first.stat().st_mtime_ns == before
    assert len(resumed.describe()["folds"]["loss"]) == 3
    assert not list(tmp_path.glob(".run*"))  # the replaced run is gone


def test_bad_data_leaves_no_folder_behind(tmp_path: Path) -> None:
    (tmp_path / "one.csv").write_text("a,label\n1,x\n2,x\n3,x\n")
    with pytest.raises(DataError):
        train(tmp_path / "one.csv", tmp_path / "run", task="classifier", **OPTIONS)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"folds": 1}, "folds 1 would hold everything out: use 2 or more"),
        ({"folds": 0, "fold": "6/5"}, "fold '6/5' is not NUMBER/OF, as in 2/5"),
        ({"fold": "1/5"}, "--fold 1/5 would do nothing"),
        ({"validation_fraction": 0.2}, "--validation-fraction 0.2 would do nothing"),
    ],
)
def test_folds_that_mean_nothing_are_refused(
    options: dict[str, Any], message: str, table: Path, tmp_path: Path
) -> None:
    with pytest.raises(OptionError, match=message):
        train(table, tmp_path / "run", **{**OPTIONS, **options})
