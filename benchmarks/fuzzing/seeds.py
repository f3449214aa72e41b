"""Small valid files of every kind, and a run folder of every kind that was trained on them."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from fuzzing.seeds_files import make_files
from fuzzing.seeds_runs import make_runs
from fuzzing.seeds_sequences import make_sequences

Files = dict[str, bytes]


@dataclass(frozen=True, eq=False)
class Seeds:
    """What is damaged.

    Args:
        files: by their path below the folder that commands run in.
    """

    files: Files

    def below(self, *prefixes: str) -> Files:
        """The files that lie there: `runs/texts/` is a run, `remarks.csv` a file."""
        return {path: content for path, content in self.files.items() if path.startswith(prefixes)}

    def of_suffix(self, suffix: str) -> list[bytes]:
        """Files to splice with: those whose name ends alike."""
        return [content for path, content in self.files.items() if path.endswith(suffix)]

    @property
    def digest(self) -> str:
        """The same digest means that the same input number is the same bytes."""
        known = hashlib.sha256()
        for path in sorted(self.files):
            known.update(path.encode() + b"\0" + self.files[path] + b"\0")
        return known.hexdigest()[:12]


def make_seeds(folder: Path) -> None:
    """Write the files and train the runs, with paths relative to the folder; about twenty seconds."""
    before = Path.cwd()
    folder.mkdir(parents=True, exist_ok=True)
    os.chdir(folder)
    try:
        make_files()
        make_sequences()
        make_runs()
    finally:
        os.chdir(before)


def read_seeds(folder: Path) -> Seeds:
    """What `make_seeds` wrote."""
    paths = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return Seeds({str(path.relative_to(folder)): path.read_bytes() for path in paths})
