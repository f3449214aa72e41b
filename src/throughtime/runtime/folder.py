"""What the runtime needs to know of a run's config.toml, read without the libraries that train."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from throughtime.errors import OptionError, RunError
from throughtime.facts import read_toml
from throughtime.runtime.layers import check_recurrence

CONFIG = "config.toml"
_TYPES = {"str": (str,), "int": (int,), "float": (float, int), "bool": (bool,)}


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
    Raises:
        OptionError: an option is of another type or out of its range (the message names it).
    """

    task: str
    cell: str = "lstm"
    layers: int = 2
    embedding: int = 0
    zoneout: float = 0.0
    activation: str = "tanh"
    reset_after: bool = True

    def __post_init__(self) -> None:
        for field in fields(self):
            kind, value = str(field.type), getattr(self, field.name)
            if not isinstance(value, _TYPES[kind]) or (isinstance(value, bool) and kind != "bool"):
                raise OptionError(f"{field.name} is {str(value)[:60]!r}, which is no {kind}")
        check_recurrence(self.cell, self.layers, self.zoneout, self.activation)
        if self.embedding < 0:
            raise OptionError(f"embedding must be 0 or above, not {self.embedding}")

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> NetworkOptions:
        """The options of a mapping.

        Raises:
            OptionError: as of the class, or an option is unknown.
        """
        known = [field.name for field in fields(cls)]
        for name in options:
            if name not in known:
                raise OptionError(f"option {name!r} is unknown: use {', '.join(known)}")
        return cls(**options)

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
    values = read_toml(path)
    model = values.get("model", {})
    if not isinstance(model, dict):
        raise RunError(f"{path} is damaged: [model] is no table")
    names = {field.name for field in fields(NetworkOptions)} - {"task"}
    known = {name: value for name, value in model.items() if name in names}
    try:
        return NetworkOptions(task=values.get("task", "language-model"), **known)
    except OptionError as error:
        raise RunError(f"{path} is damaged: {error}") from None
