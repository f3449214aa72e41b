"""A small trained word tagger, and the files that it comes from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from throughtime.tasks.word_tagger.run import WordTaggerRun
from throughtime.training import train

SMALL: dict[str, Any] = {
    "hidden": 8,
    "embedding": 6,
    "character_embedding": 4,
    "character_features": 6,
    "batch": 4,
    "threads": 1,
    "tensorboard": False,
}
NAMES = ("Ana", "Ben", "Cleo", "Dan", "Eva", "Finn")
TOWNS = ("Arles", "Bonn", "Cork", "Delft", "Esch", "Fes")


def write_names(path: Path, times: int = 4) -> Path:
    """Sentences such as "Ana lives in Bonn ." with BIO tags."""
    lines: list[str] = []
    for name in NAMES * times:
        for town in TOWNS[:2]:
            lines += [
                f"{name}\tB-person",
                "lives\tO",
                "in\tO",
                f"{town}\tB-place",
                "Town\tI-place",
                ".\tO",
                "",
            ]
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def trained(folder: Path, **options: Any) -> WordTaggerRun:
    """A run in `folder`/run."""
    source = write_names(folder / "names.conll")
    run = train(source, out=folder / "run", **{**SMALL, "epochs": 2, **options})
    assert isinstance(run, WordTaggerRun)
    return run
