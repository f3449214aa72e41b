"""A run's options: laid over each other, checked, saved and read back."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tomli_w
from pydantic import ValidationError

from throughtime.config.recurrence import RecurrenceConfig
from throughtime.config.section import Section
from throughtime.config.training import TrainingConfig
from throughtime.errors import OptionError, RunError
from throughtime.facts import describe_fault, parse_toml, read_toml, shown
from throughtime.files import write_atomically

if TYPE_CHECKING:
    from typing_extensions import Self

DEFAULT_TASK = "language-model"


class RunConfig(Section):
    """All of a run's options, as in config.toml; each task derives its own.

    Option names are unique over the three sections of a task, so that they can be given without them.
    """

    task: str
    data: Section
    model: RecurrenceConfig
    training: TrainingConfig

    @classmethod
    def sections(cls) -> dict[str, type[Section]]:
        """The sections by name."""
        return {name: cls.model_fields[name].annotation for name in ("data", "model", "training")}  # type: ignore[misc]

    @classmethod
    def section_of(cls, option: str) -> str | None:
        """The section that an option belongs to."""
        return next(
            (name for name, section in cls.sections().items() if option in section.model_fields), None
        )

    @property
    def source(self) -> str:
        """The user's training data: every task's data section has it."""
        return self.data.source  # type: ignore[attr-defined]

    def given(self, section: str) -> frozenset[str]:
        """The options of a section that somebody gave, a user or a preset; the others have their defaults."""
        return frozenset(getattr(self, section).model_fields_set)

    def changed(self, *layers: Mapping[str, Any]) -> Self:
        """These options with others laid over them; what nobody gave is still known as that."""
        return resolve(self.model_dump(exclude_unset=True, exclude_none=True), {"task": self.task}, *layers)  # type: ignore[return-value]

    def save(self, path: str | Path, only_given: bool = False) -> None:
        """Write config.toml.

        Args:
            only_given: leave out what has its default, which the data may still change.
        """
        options = self.model_dump(exclude_none=True, exclude_unset=only_given)
        write_atomically(path, tomli_w.dumps({**options, "task": self.task}).encode())

    @classmethod
    def load(cls, path: str | Path) -> RunConfig:
        """Read the config.toml of a run, of whatever task.

        Raises:
            RunError: the file is missing or damaged (the message names the field).
        """
        from throughtime.config import CONFIGS

        values = read_toml(path)
        task = values.get("task", DEFAULT_TASK)
        if task not in CONFIGS:
            raise RunError(f"{path}: task {shown(task)} is unknown to this Throughtime")
        try:
            return CONFIGS[task].model_validate(values)
        except ValidationError as error:
            raise RunError(f"{path} is damaged: {describe(error, task)}") from None


def resolve(*layers: Mapping[str, Any]) -> RunConfig:
    """Lay options over the defaults of their task; later layers win.

    Args:
        layers: {option: value} or {section: {option: value}}, with `task` beside them; None values are
            passed over. Without a task it is a language model.
    Raises:
        OptionError: an option is unknown to the task or out of its range (the message names it).
    """
    from throughtime.config import CONFIGS

    task = next((layer["task"] for layer in reversed(layers) if layer.get("task") is not None), DEFAULT_TASK)
    if task not in CONFIGS:
        raise OptionError(f"task {task!r} is unknown: use {', '.join(CONFIGS)}")
    config = CONFIGS[task]
    merged: dict[str, dict[str, Any]] = {name: {} for name in config.sections()}
    for layer in layers:
        for name, value in layer.items():
            if name == "task":
                continue
            if name in merged and isinstance(value, Mapping):
                merged[name].update(value)
            elif section := config.section_of(name):
                if value is not None:
                    merged[section][name] = value
            else:
                raise OptionError(_unknown(name, task))
    try:
        return config.model_validate({"task": task, **merged})
    except ValidationError as error:
        raise OptionError(describe(error, task)) from None


def read_options(path: str | Path) -> dict[str, Any]:
    """Read the options of a TOML file, flat or in sections.

    Raises:
        OptionError: the file is missing or not TOML.
    """
    try:
        return parse_toml(Path(path).read_bytes())
    except FileNotFoundError:
        raise OptionError(f"{path}: no such file") from None
    except (OSError, ValueError) as error:
        raise OptionError(f"{path} cannot be read as TOML: {error}") from None


def describe(error: ValidationError, task: str = DEFAULT_TASK) -> str:
    """The first fault in one line, by the name under which the user gave the option."""
    fault = error.errors()[0]
    # Section and option; what may follow is pydantic's name for one of the types that an option has.
    option = str(fault["loc"][:2][-1]) if fault["loc"] else "options"
    if fault["type"] == "extra_forbidden":
        return _unknown(option, task)
    if fault["type"] == "value_error":
        return describe_fault(fault)
    return f"--{option.replace('_', '-')}: {describe_fault(fault)}"


def _unknown(option: str, task: str) -> str:
    from difflib import get_close_matches

    from throughtime.config import CONFIGS

    others = [name for name, config in CONFIGS.items() if config.section_of(option)]
    if others:
        return f"option {option!r} does not apply to a {task} (it is one of: {', '.join(others)})"
    known = [name for section in CONFIGS[task].sections().values() for name in section.model_fields]
    close = get_close_matches(option, known, n=1)
    return f"option {option!r} is unknown{f': did you mean {close[0]!r}?' if close else ''}"
