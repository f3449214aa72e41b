"""program.json: the programs of a run's cells, beside its weights."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from throughtime.errors import RunError
from throughtime.facts import read_json
from throughtime.files import write_atomically
from throughtime.program.program import VERSION, CellProgram, cell_from_json, cell_to_json

PROGRAM = "program.json"
# Cells of a network: far more than any has.
_MOST_CELLS = 10_000


def write_programs(path: str | Path, cells: Mapping[str, CellProgram]) -> None:
    """Write the programs of cells by the prefix that their weights have."""
    content = {"version": VERSION, "cells": {name: cell_to_json(cell) for name, cell in cells.items()}}
    write_atomically(path, json.dumps(content).encode())


def read_programs(path: str | Path) -> dict[str, CellProgram]:
    """The programs of a run's cells; empty where the file does not exist.

    Raises:
        RunError: the file is damaged, or of a newer version.
    """
    path = Path(path)
    if not path.exists():
        return {}
    content = read_json(path, dict[str, Any])
    if content.get("version") != VERSION:
        raise RunError(
            f"{path} is of version {content.get('version')!r:.20}, and this Throughtime reads {VERSION}"
        )
    cells = content.get("cells")
    if not isinstance(cells, dict) or len(cells) > _MOST_CELLS or set(content) != {"version", "cells"}:
        raise RunError(f"{path} is damaged: it is not a table of version and cells")
    try:
        return {name: cell_from_json(cell) for name, cell in cells.items()}
    except RunError as error:
        raise RunError(f"{path} is damaged: {error}") from None
