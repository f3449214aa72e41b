"""Which files a run's data was, where a pattern or a URL named them: names, sizes and versions."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from throughtime.config import RunConfig
from throughtime.data.joined import JoinedTable, located
from throughtime.data.shards import find_shards
from throughtime.data.sources import Source
from throughtime.errors import DataError
from throughtime.files import write_atomically
from throughtime.patterns import is_pattern, is_shards

SOURCES = Path("data") / "sources.json"

# The pattern of each option, and its files.
Found = dict[str, tuple[str, tuple[Source, ...]]]


def find_sources(config: RunConfig) -> Found:
    """The files that patterns and URLs of a training stand for, by option.

    A corpus is not among them: it keeps the same facts with its tokens, and where in them each file is.

    Raises:
        DataError: one stands for no file.
    """
    if config.task == "language-model" and not getattr(config.data, "lines", False):
        return {}
    named = {"source": config.source, "validation": getattr(config.data, "validation", None)}
    return {
        name: (path, _files_of(path)) for name, path in named.items() if is_shards(path) or is_pattern(path)
    }


def _files_of(path: str) -> tuple[Source, ...]:
    if is_shards(path):
        return tuple(find_shards(path))
    table = located(path)
    assert isinstance(table, JoinedTable)
    return table.files


def record_sources(folder: Path, config: RunConfig, before: Found) -> None:
    """Write down what was read.

    Args:
        folder: of the run.
        config: its options.
        before: of `find_sources`, before the files were read.
    Raises:
        DataError: a file has changed, is new or is gone since then.
    """
    if not before:
        return
    now = find_sources(config)
    for name, (_, files) in before.items():
        changed = sorted(set(files).symmetric_difference(now[name][1]), key=str)
        if changed:
            raise DataError(
                f"{changed[0]} changed while it was read: train again when the files are complete"
            )
    kept = {
        name: {"pattern": pattern, "files": [asdict(file) for file in files]}
        for name, (pattern, files) in before.items()
    }
    write_atomically(folder / SOURCES, (json.dumps(kept, indent=1) + "\n").encode())
