"""A run that takes the place of another one, which stays until the new one can be trained."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from throughtime.config import RunConfig
from throughtime.errors import RunError
from throughtime.run import CONFIG
from throughtime.run.lock import is_empty, writing


@contextmanager
def set_aside(
    folder: Path, config: RunConfig, overwrite: bool, remark: Callable[[str], None]
) -> Iterator[Callable[[], None]]:
    """Set the run that is in a folder aside, and put it back unless the function that this yields is called.

    Args:
        folder: where another run is to be.
        config: of that one.
        overwrite: whether the user wants this; without it nothing happens.
        remark: called with a sentence where the file system has no locks.
    Raises:
        RunError: there is something else than a run, or a training that goes on.
    """
    if not overwrite or not folder.exists() or (folder.is_dir() and is_empty(folder)):
        yield lambda: None
        return
    if not (folder / CONFIG).is_file():
        raise RunError(f"{folder} is no run folder, so --overwrite leaves it alone: choose another --out")
    paths = (config.source, getattr(config.data, "validation", None))
    if any(path and Path(path).resolve().is_relative_to(folder.resolve()) for path in paths):
        raise RunError(f"{folder} holds the training data itself: choose another --out")
    with writing(folder, remark):  # nobody trains in it
        aside = folder.with_name(f".{folder.name}.{os.getpid()}.replaced")
        folder.rename(aside)
    done = False

    def delete() -> None:
        nonlocal done
        done = True
        shutil.rmtree(aside, ignore_errors=True)

    try:
        yield delete
    finally:
        if not done:
            shutil.rmtree(folder, ignore_errors=True)
            aside.rename(folder)
