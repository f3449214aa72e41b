"""Every option of a run, typed and described once: command line, API and config.toml all read this."""

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic.fields import FieldInfo

from throughtime.config.options import DEFAULT_TASK, RunConfig, describe, read_options, resolve
from throughtime.config.recurrence import RecurrenceConfig
from throughtime.config.section import Section
from throughtime.config.training import TrainingConfig
from throughtime.errors import OptionError
from throughtime.tasks import TASKS

# How the names of options end that take several columns or names.
_LISTS = ("column", "columns", "known_future", "tag_names", "once_in_group")


class _Configs(Mapping[str, type[RunConfig]]):
    """The options of each task, imported when first asked for: no command waits for those of all of them."""

    def __getitem__(self, task: str) -> type[RunConfig]:
        return TASKS[task].config_class()

    def __contains__(self, task: object) -> bool:
        return isinstance(task, str) and task in TASKS

    def __iter__(self) -> Iterator[str]:
        return iter(TASKS)

    def __len__(self) -> int:
        return len(TASKS)


CONFIGS: Mapping[str, type[RunConfig]] = _Configs()


def every_option() -> dict[str, dict[str, tuple[str, FieldInfo]]]:
    """Each option by name: for each task that has it, its section and its field."""
    found: dict[str, dict[str, tuple[str, FieldInfo]]] = {}
    for task, config in CONFIGS.items():
        for section, options in config.sections().items():
            for name in options.listed():
                found.setdefault(name, {})[task] = (section, options.model_fields[name])
    return found


def between_commas(name: str, value: Any) -> Any:
    """A list of columns or names as options have them: one text with commas. Others come back as they are.

    Raises:
        OptionError: a name has a comma itself.
    """
    if not name.endswith(_LISTS) or not isinstance(value, (list, tuple)):
        return value
    named = next((one for one in value if "," in str(one)), None)
    if named is not None:
        raise OptionError(f"{name}: {named!r} has a comma in its name: rename it")
    return ",".join(map(str, value))


__all__ = [
    "CONFIGS",
    "DEFAULT_TASK",
    "RecurrenceConfig",
    "RunConfig",
    "Section",
    "TrainingConfig",
    "between_commas",
    "describe",
    "every_option",
    "read_options",
    "resolve",
]
