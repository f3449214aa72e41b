"""What the runtime needs to know of a run's config.toml, read without the libraries that train."""

from __future__ import annotations

import sys
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from throughtime.errors import RunError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # pyright: ignore[reportMissingImports]

CONFIG = "config.toml"
_LARGEST = 2**31 - 1


@dataclass(frozen=True)
class NetworkOptions:
    """The options that say how a language model's tensors are put together; sizes are seen from the tensors.

    Args:
        task: the run's task.
        cell: "rnn", "lstm" or "gru".
        layers: L.
        embedding: E, or 0 for one-hot input.
        zoneout: share of the old state that each step keeps.
        activation: of the rnn: "tanh" or "relu".
        reset_after: of the gru: reset after the matrix product.
    """

    task: str
    cell: str = "lstm"
    layers: int = 2
    embedding: int = 0
    zoneout: float = 0.0
    activation: str = "tanh"
    reset_after: bool = True

    def equation(self) -> dict[str, Any]:
        """What two models with the same tensors must share to compute the same."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


def read_options(folder: Path) -> NetworkOptions:
    """The options of a run folder.

    Raises:
        RunError: config.toml is missing or damaged (the message names the field).
    """
    path = folder / CONFIG
    if not folder.is_dir():
        raise RunError(f"{folder}: no such run folder (the working directory is {Path.cwd()})")
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RunError(f"{path} is missing: {folder} is not a run folder, or an incomplete one") from None
    except (OSError, ValueError, RecursionError) as error:  # no UTF-8, no TOML, or a number without end
        raise RunError(f"{path} is damaged: {error}") from None
    model = values.get("model", {})
    if not isinstance(model, dict):
        raise RunError(f"{path} is damaged: [model] is no table")
    known: dict[str, Any] = {"task": values.get("task", "language-model")}
    for field in fields(NetworkOptions):
        if field.name != "task" and field.name in model:
            known[field.name] = model[field.name]
        if field.name in known:
            _check(path, field.name, field.type, known[field.name])  # type: ignore[arg-type]
    options = NetworkOptions(**known)
    for name, value, allowed in (
        ("cell", options.cell, ("rnn", "lstm", "gru")),
        ("activation", options.activation, ("tanh", "relu")),
    ):
        if value not in allowed:
            raise RunError(f"{path} is damaged: {name} is {value!r}, not one of {', '.join(allowed)}")
    if not 1 <= options.layers <= _LARGEST or not 0 <= options.embedding <= _LARGEST:
        raise RunError(f"{path} is damaged: layers or embedding is out of range")
    if not 0 <= options.zoneout < 1:
        raise RunError(f"{path} is damaged: zoneout must be from 0 to below 1, not {options.zoneout}")
    return options


def _check(path: Path, name: str, kind: str, value: Any) -> None:
    allowed = {"str": (str,), "int": (int,), "float": (float, int), "bool": (bool,)}[kind]
    if not isinstance(value, allowed) or (isinstance(value, bool) and kind != "bool"):
        raise RunError(f"{path} is damaged: {name} is {value!r}, which is no {kind}")
