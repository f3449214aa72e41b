"""What training reads of a run folder's data/ is held against the run before a network reads it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.training.test_trainer import Interrupter
from throughtime.errors import RunError
from throughtime.training import Interrupted, resume, train

SMALL: dict[str, Any] = {
    "hidden": 4,
    "layers": 1,
    "batch": 2,
    "epochs": 5,
    "threads": 1,
    "tensorboard": False,
}


def write_sources(folder: Path) -> dict[str, Path]:
    rows = [f"{0.5 * row},{row % 3},{'xy'[row % 2]}" for row in range(8)]
    (folder / "classifier.csv").write_text("\n".join(["a,b,label", *rows]))
    pairs = [f"{'ab'[row % 2]} c,{'AB'[row % 2]}" for row in range(8)]
    (folder / "translator.csv").write_text("\n".join(["source,target", *pairs]))
    clips = folder / "tagger"
    clips.mkdir()
    lines = ["file_name,labels"]
    for number in range(4):
        np.save(clips / f"{number}.npy", np.random.default_rng(number).normal(size=(12, 2)))
        (clips / f"{number}.csv").write_text("start,end,label\n0,6,sit\n6,12,walk\n")
        lines.append(f"{number}.npy,{number}.csv")
    (clips / "metadata.csv").write_text("\n".join(lines))
    names = np.array([f"{number}.png" for number in range(8)])
    np.savez(folder / "features.npz", names=names, features=np.ones((8, 3), np.float32))
    captions = [f"{name},a {'cat' if row % 2 else 'dog'}" for row, name in enumerate(names)]
    (folder / "captioner.csv").write_text("\n".join(["file_name,caption", *captions]))
    return {
        name: folder / f"{name}{'' if name == 'tagger' else '.csv'}"
        for name in ("classifier", "translator", "tagger", "captioner")
    }


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A training of each task that was stopped."""
    folder = tmp_path_factory.mktemp("stopped")
    runs = {}
    for task, source in write_sources(folder).items():
        options = {"image_features": str(folder / "features.npz")} if task == "captioner" else {}
        runs[task] = folder / "runs" / task
        with pytest.raises(Interrupted):
            train(source, runs[task], show=Interrupter(2), task=task, **SMALL, **options)
    return runs


@pytest.mark.parametrize(
    ("task", "name", "values"),
    [
        ("classifier", "targets.npy", lambda old: old + 2**40),
        ("classifier", "targets.npy", lambda old: old - 1),
        ("classifier", "held_out.npy", lambda old: old | True),
        ("classifier", "examples.npy", lambda old: old[:, :1]),
        ("classifier", "examples.npy", lambda old: old.view("V4")),
        ("classifier", "examples.npy", lambda old: old.astype(np.float64)),
        ("classifier", "examples.npy", lambda old: old.astype(">f4")),
        ("tagger", "training.frames.npy", lambda old: old.astype(np.longdouble)),
        ("tagger", "training.labels.npy", lambda old: old + 2),
        ("tagger", "training.labels.npy", lambda old: old - 2),
        ("tagger", "training.labels.ends.npy", lambda old: np.array([1, 2, old[-1]])),
        ("tagger", "training.frames.npy", lambda old: np.repeat(old, 2, axis=1)),
        ("translator", "training.source.npy", lambda old: old + 9000),
        ("translator", "training.target.npy", lambda old: old.astype(np.float32)),
        ("translator", "training.source.ends.npy", lambda old: old[-1:]),
        ("captioner", "training.captions.npy", lambda old: old + 9000),
        ("captioner", "training.captions.npy", lambda old: old - 9000),
        ("captioner", "training.images.npy", lambda old: old[:, :2]),
        ("captioner", "training.images.npy", lambda old: old.astype("S4")),
        ("captioner", "training.images.npy", lambda old: old.astype(">f4")),
    ],
)
def test_a_training_that_goes_on_refuses_data_that_is_not_its_own(
    task: str, name: str, values: Any, stopped: dict[str, Path], tmp_path: Path
) -> None:
    run = tmp_path / "run"
    shutil.copytree(stopped[task], run)
    np.save(run / "data" / name, values(np.load(run / "data" / name)))
    with pytest.raises(RunError, match="damaged"):
        resume(run)


def test_a_kind_of_input_that_training_settles_is_not_left_open(
    stopped: dict[str, Path], tmp_path: Path
) -> None:
    run = tmp_path / "run"
    shutil.copytree(stopped["classifier"], run)
    config = (run / "config.toml").read_text()
    (run / "config.toml").write_text(config.replace('input = "vectors"', 'input = "auto"'))
    with pytest.raises(RunError, match=r"config\.toml is damaged: data\.input is auto"):
        resume(run)
