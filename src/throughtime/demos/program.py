"""A text that every machine has, the source of Python's standard library, and a model that writes more."""

from __future__ import annotations

import sysconfig
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from throughtime.errors import DataError
from throughtime.files import atomic_file
from throughtime.presets import preset

SUMMARY = "a character model learns to write Python from the standard library's source"
OPTIONS: dict[str, Any] = preset("demo")
BYTES = 2_000_000

# Tests are left out because some systems do not ship them, site-packages because it is not the standard
# library, the others because they are tables rather than programs.
_LEFT_OUT = {"test", "tests", "idle_test", "site-packages", "dist-packages", "encodings", "pydoc_data"}


def write(folder: Path, seed: int, max_bytes: int = BYTES) -> Path:
    """Write the text; it is the same for every seed.

    Args:
        folder: where to.
        max_bytes: see `write_corpus`.
    """
    path = folder / "standard_library.py.txt"
    write_corpus(path, max_bytes)
    return path


def show(run: Any, folder: Path) -> Iterator[str]:
    """A program that the model writes, piece by piece."""
    prompt = "def "
    yield f"A sample, at temperature 0.7:\n\n{prompt}"
    for _, text in run.stream(prompt, 600, seed=run.config.training.seed, temperature=0.7):
        yield text
    yield f"\n\nMore: throughtime sample {run.folder} --prompt 'class '\n"


def write_corpus(destination: str | Path, max_bytes: int | None = None) -> int:
    """Join the standard library's sources, in the order of their paths, into one text file.

    Files that hold anything but ASCII are left out, which keeps the vocabulary near a hundred characters.

    Args:
        destination: the file to write.
        max_bytes: stop after the file with which this is reached; None takes all.
    Returns:
        The number of bytes written.
    Raises:
        DataError: this Python has no sources to read (some embedded ones come without).
    """
    root = Path(sysconfig.get_paths()["stdlib"])
    written = 0
    with atomic_file(destination) as file:
        for path in sorted(root.rglob("*.py")):
            if _LEFT_OUT.intersection(path.relative_to(root).parts):
                continue
            try:
                source = path.read_bytes()
            except OSError:
                continue
            if source.isascii() and source.strip():
                written += file.write(source.rstrip() + b"\n\n\n")
            if max_bytes is not None and written >= max_bytes:
                break
        if written == 0:
            raise DataError(f"this Python has no source files of its standard library under {root}")
    return written
