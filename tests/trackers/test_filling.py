"""A tracker filled from metrics.jsonl, with the real libraries where they are installed."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.trackers.recording import Wandb
from tests.trackers.test_following import AS_TOLD, LINES
from throughtime.config import resolve
from throughtime.errors import MissingExtraError, OptionError, RunError
from throughtime.run.history import METRICS
from throughtime.run.lock import writing
from throughtime.trackers.filling import fill


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A folder with the options and the figures of a run."""
    folder = tmp_path / "mine"
    folder.mkdir()
    resolve({"source": "text.txt"}).save(folder / "config.toml")
    add(folder, *LINES[:3])
    return folder


def add(folder: Path, *lines: dict[str, object]) -> None:
    with (folder / METRICS).open("a") as file:
        file.writelines(json.dumps(line) + "\n" for line in lines)


def told(folder: Path, name: str) -> tuple[int, int]:
    found = fill(folder, name, pytest.fail)
    return found.new, found.lines


@pytest.mark.parametrize("offline", [False, True])
def test_only_what_is_new_is_told(offline: bool, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    library = Wandb("wandb", offline=offline)
    monkeypatch.setitem(sys.modules, "wandb", library)
    assert told(run, "wandb") == (3, 3)
    assert told(run, "wandb") == (0, 3)
    add(run, LINES[3])
    assert told(run, "wandb") == (1, 4)
    (rows,) = library.runs.values()
    assert [rows[number] for number in sorted(rows)] == AS_TOLD


def test_tensorboard_gets_each_number_once(run: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    assert told(run, "tensorboard") == (3, 3)
    add(run, LINES[3])
    assert told(run, "tensorboard") == (4, 4)
    events = EventAccumulator(str(run))
    events.Reload()
    found = {
        name: [(one.step, one.value) for one in events.Scalars(name)] for name in events.Tags()["scalars"]
    }
    assert found["train/loss"] == [(2, 3.0), (4, 2.0), (6, 1.5)]
    assert found["val/loss"] == [(4, 2.5)]
    assert set(found) == {"train/loss", "val/loss", "epoch", "lr", "grad_norm", "tokens_per_second"}
    assert len(list(run.glob("events.*"))) == 1


def test_mlflow_gets_each_number_once(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mlflow = pytest.importorskip("mlflow", reason="MLflow is not installed")
    place = f"sqlite:///{run.parent}/runs.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", place)
    assert told(run, "mlflow") == (3, 3)
    # The run is killed before its note is written: MLflow itself knows what it has.
    note = (run / "trackers.json").read_text().replace('"lines": 3', '"lines": 1')
    (run / "trackers.json").write_text(note)
    add(run, LINES[3])
    assert told(run, "mlflow") == (1, 4)
    client = mlflow.MlflowClient(place)
    (found,) = client.search_runs([client.get_experiment_by_name("throughtime").experiment_id])
    assert found.data.params["data.source"] == "text.txt"
    points = client.get_metric_history(found.info.run_id, "train/loss")
    assert sorted((one.step, one.value) for one in points) == [(2, 3.0), (4, 2.0), (6, 1.5)]


def test_trackio_gets_each_number_once(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACKIO_DIR", str(run.parent / "trackio"))
    pytest.importorskip("trackio", reason="trackio is not installed")
    assert told(run, "trackio") == (3, 3)
    add(run, LINES[3])
    assert told(run, "trackio") == (1, 4)
    assert told(run, "trackio") == (0, 4)


def test_wandb_takes_it_offline(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("wandb", reason="wandb is not installed")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_DIR", str(run.parent))
    monkeypatch.setenv("WANDB_SILENT", "true")
    assert told(run, "wandb") == (3, 3)
    assert told(run, "wandb") == (0, 3)


def test_what_cannot_be_done_is_said(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(
        OptionError, match="tracker 'aim' is unknown: use tensorboard, wandb, trackio, mlflow"
    ):
        fill(run, "aim", pytest.fail)
    with pytest.raises(OptionError, match="hf://me/mine is no folder to write into: bring it here first"):
        fill(Path("hf://me/mine"), "mlflow", pytest.fail)
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with pytest.raises(MissingExtraError, match="mlflow is not installed: install it with `"):
        fill(run, "mlflow", pytest.fail)

    def refuse() -> None:
        raise ValueError("there is no such store")

    monkeypatch.setitem(sys.modules, "mlflow", SimpleNamespace(MlflowClient=refuse))
    monkeypatch.setitem(sys.modules, "mlflow.entities", SimpleNamespace(Metric=None, Param=None))
    with pytest.raises(RunError, match="mlflow failed: there is no such store"):
        fill(run, "mlflow", pytest.fail)
    library = Wandb("wandb")
    library.fails_at = "log"
    monkeypatch.setitem(sys.modules, "wandb", library)
    with pytest.raises(RunError, match="wandb failed: the network is unreachable"):
        fill(run, "wandb", pytest.fail)
    with writing(run, pytest.fail), pytest.raises(RunError, match="is being written by process"):
        fill(run, "wandb", pytest.fail)
    (run / METRICS).unlink()
    with pytest.raises(RunError, match="has no line: there is nothing to hand on"):
        fill(run, "wandb", pytest.fail)
