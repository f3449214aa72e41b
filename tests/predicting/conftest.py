"""A small classifier, and tables for it."""

from __future__ import annotations

import hashlib
import random
from pathlib import Path
from typing import Any

import pytest

from throughtime.predicting.files import Settings, State, predict_files
from throughtime.predicting.predictor import Predictor

WORDS = ("good", "fine", "fun", "bad", "dull", "flat", "film", "end", "plot", "the", "a", "was", "and")


def texts(count: int, seed: int = 0) -> list[str]:
    """Texts of different lengths."""
    generator = random.Random(seed)
    return [" ".join(generator.choices(WORDS, k=generator.randint(1, 12))) for _ in range(count)]


def hashes(folder: Path) -> dict[str, str]:
    """Of all that an output consists of, the plan left out: it holds the times of the inputs."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "_plan.json"
    }


def rows_of(folder: Path) -> list[str]:
    """The lines of all parts, in order."""
    return [line for part in sorted(folder.glob("part-*.jsonl")) for line in part.read_text().splitlines()]


def predict(run: Path, inputs: list[str], out: Path, keep: tuple[str, ...] = (), **settings: Any) -> State:
    """In this process, unless the settings say otherwise."""
    return predict_files(Predictor(run, keep=keep), inputs, Settings(out, **{"processes": 1, **settings}))


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a classifier of texts, hardly trained."""
    from throughtime.training import launch, train

    folder = tmp_path_factory.mktemp("predicting")
    table = folder / "reviews.csv"
    lines = [f"{text},{'up' if 'good' in text else 'down'}" for text in texts(60)]
    table.write_text("text,label\n" + "\n".join(lines) + "\n")
    options: dict[str, Any] = {
        "hidden": 8,
        "embedding": 6,
        "epochs": 1,
        "threads": 1,
        "tokenizer": "word",
        "validation_fraction": 0.0,
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(launch, "draw_loss", lambda *_: None)
        train(table, task="classifier", out=folder / "run", tensorboard=False, **options)
    return folder / "run"
