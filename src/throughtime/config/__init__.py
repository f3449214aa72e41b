"""Every option of a run, typed and described once: command line, API and config.toml all read this."""

from pydantic.fields import FieldInfo

from throughtime.config.captioner import CaptionerConfig
from throughtime.config.classifier import ClassifierConfig
from throughtime.config.language_model import LanguageModelConfig
from throughtime.config.options import DEFAULT_TASK, RunConfig, describe, read_options, resolve
from throughtime.config.recurrence import RecurrenceConfig
from throughtime.config.section import Section
from throughtime.config.tagger import TaggerConfig
from throughtime.config.training import TrainingConfig
from throughtime.config.translator import TranslatorConfig

CONFIGS: dict[str, type[RunConfig]] = {
    "language-model": LanguageModelConfig,
    "classifier": ClassifierConfig,
    "translator": TranslatorConfig,
    "captioner": CaptionerConfig,
    "tagger": TaggerConfig,
}


def every_option() -> dict[str, dict[str, tuple[str, FieldInfo]]]:
    """Each option by name: for each task that has it, its section and its field."""
    found: dict[str, dict[str, tuple[str, FieldInfo]]] = {}
    for task, config in CONFIGS.items():
        for section, options in config.sections().items():
            for name, field in options.model_fields.items():
                found.setdefault(name, {})[task] = (section, field)
    return found


__all__ = [
    "CONFIGS",
    "CaptionerConfig",
    "DEFAULT_TASK",
    "ClassifierConfig",
    "LanguageModelConfig",
    "RecurrenceConfig",
    "RunConfig",
    "Section",
    "TaggerConfig",
    "TrainingConfig",
    "describe",
    "every_option",
    "read_options",
    "resolve",
]
