"""program.json: what a run's network computes, beside its weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from throughtime.errors import RunError
from throughtime.facts import read_json
from throughtime.files import write_atomically
from throughtime.program.network import NetworkProgram, network_from_json, network_to_json

PROGRAM = "program.json"
VERSION = 1


def write_program(path: str | Path, network: NetworkProgram) -> None:
    """Write the program of a run's network."""
    content = {"version": VERSION, "network": network_to_json(network)}
    write_atomically(path, json.dumps(content, separators=(",", ":")).encode())


def read_program(path: str | Path) -> NetworkProgram | None:
    """The program of a run's network; None where the file does not exist.

    Raises:
        RunError: the file is damaged, or of a newer version.
    """
    path = Path(path)
    if not path.exists():
        return None
    content = read_json(path, dict[str, Any])
    if content.get("version") != VERSION:
        raise RunError(
            f"{path} is of version {content.get('version')!r:.20}, and this Throughtime reads {VERSION}"
        )
    if set(content) != {"version", "network"}:
        raise RunError(f"{path} is damaged: it is not a table of version and network")
    try:
        return network_from_json(content["network"])
    except RunError as error:
        raise RunError(f"{path} is damaged: {error}") from None
