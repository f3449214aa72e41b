"""Which files a run's tables were, where a pattern or a URL named them: names, sizes and versions."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from throughtime.config import RunConfig
from throughtime.data.joined import JoinedTable, located
from throughtime.errors import DataError
from throughtime.files import write_atomically
from throughtime.patterns import is_pattern

SOURCES = Path("data") / "sources.json"

Found = dict[str, JoinedTable]


def find_sources(config: RunConfig) -> Found:
    """The tables that patterns and URLs of a training stand for, by option.

    A corpus is not among them: it keeps the same facts with its tokens, and where in them each file is.

    Raises:
        DataError: one stands for no table.
    """
    if config.task == "language-model" and not getattr(config.data, "lines", False):
        return {}
    named = {"source": config.source, "validation": getattr(config.data, "validation", None)}
    found = {name: located(path) for name, path in named.items() if is_pattern(path)}
    return {name: table for name, table in found.items() if isinstance(table, JoinedTable)}


def record_sources(folder: Path, config: RunConfig, before: Found) -> None:
    """Write down what was read.

    Args:
        folder: of the run.
        config: its options.
        before: of `find_sources`, before the tables were read.
    Raises:
        DataError: a file has changed, is new or is gone since then.
    """
    if not before:
        return
    now = find_sources(config)
    for name, table in before.items():
        changed = sorted(set(table.files).symmetric_difference(now[name].files), key=str)
        if changed:
            raise DataError(
                f"{changed[0]} changed while it was read: train again when the files are complete"
            )
    kept = {
        name: {"pattern": table.pattern, "files": [asdict(file) for file in table.files]}
        for name, table in before.items()
    }
    write_atomically(folder / SOURCES, (json.dumps(kept, indent=1) + "\n").encode())
