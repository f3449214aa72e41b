"""A run folder: what a training leaves, and everything that can be done with it. One file a task."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from throughtime.data.tables import column_names, is_table
from throughtime.run.run import CONFIG, PREPARED, WEIGHTS, Run, require_torch

# Imported when first needed: a task's libraries are not the others' business.
TASKS: dict[str, tuple[str, str]] = {
    "translator": ("translator", "TranslatorRun"),
    "language-model": ("language_model", "LanguageModelRun"),
    "classifier": ("classifier", "ClassifierRun"),
    "captioner": ("captioner", "CaptionerRun"),
    "tagger": ("tagger", "TaggerRun"),
}

__all__ = ["CONFIG", "PREPARED", "TASKS", "WEIGHTS", "Run", "find_task", "require_torch", "run_class"]


def run_class(task: str) -> type[Run]:
    """The kind of run that a task leaves."""
    module, name = TASKS[task]
    return getattr(import_module(f"throughtime.run.{module}"), name)


def find_task(source: str | Path, options: Mapping[str, Any] | None = None) -> str:
    """The task that training data is for, inferred from the file or folder.

    A text with a file of targets beside it (the option `target`) is for a translator. A language model takes
    any text, so it is what remains.
    """
    if options and options.get("target") is not None:
        return "translator"
    path = Path(source)
    if path.name.lower().endswith((".parquet", ".gz")) and is_table(path) and path.is_file():
        # It is no text for a language model either: better to say what is wrong with it.
        column_names(path)
    return next(
        (task for task in TASKS if path.exists() and run_class(task).recognises(path)), "language-model"
    )
