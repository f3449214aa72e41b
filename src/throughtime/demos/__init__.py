"""Demonstrations for a machine with no data at hand: each draws its data, trains, and shows what was learned.

A demonstration is a module with
    SUMMARY             what is learned, in a line
    OPTIONS             the options of the training, with `task`
    write(folder, seed) writes the data as real files in the format of the task; returns what to train on
    show(run, folder)   yields text for the terminal: predictions on unseen examples beside the truth
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType

from throughtime.errors import MissingExtraError, OptionError

DEMOS: dict[str, str] = {
    "program": "program",
    "translation": "dates",
    "sentiment": "sentences",
    "vectors": "vectors",
    "captioning": "scenes",
    "video": "clips",
    "sound": "dialling",
    "words": "names",
    "lines": "places",
    "forecasting": "visitors",
}


def demo_named(name: str) -> ModuleType:
    """The module of a demonstration.

    Raises:
        OptionError: there is none of that name.
    """
    if name not in DEMOS:
        raise OptionError(f"demo {name!r} is unknown: use {', '.join(DEMOS)}")
    return import_module(f"throughtime.demos.{DEMOS[name]}")


def write_all(folder: Path, seed: int) -> Iterator[tuple[str, Path | MissingExtraError]]:
    """Write the data of every demonstration, each in a folder of its name.

    Yields:
        The name with the file or folder to train on, or with the error where a library is missing.
    """
    for name in DEMOS:
        try:
            yield name, demo_named(name).write(folder / name, seed)
        except MissingExtraError as error:
            yield name, error
