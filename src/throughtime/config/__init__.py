"""Every option of a run, typed and described once: command line, API and config.toml all read this."""

from collections.abc import Iterator, Mapping

from pydantic.fields import FieldInfo

from throughtime.config.options import DEFAULT_TASK, RunConfig, describe, read_options, resolve
from throughtime.config.recurrence import RecurrenceConfig
from throughtime.config.section import Section
from throughtime.config.training import TrainingConfig
from throughtime.tasks import TASKS


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


__all__ = [
    "CONFIGS",
    "DEFAULT_TASK",
    "RecurrenceConfig",
    "RunConfig",
    "Section",
    "TrainingConfig",
    "describe",
    "every_option",
    "read_options",
    "resolve",
]
