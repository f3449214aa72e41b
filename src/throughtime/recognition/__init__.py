"""What a user's data is for: the one place that decides which task learns from it, and says why.

Example:
    found = recognise("reviews.csv", {"label_column": "stars"})
    found.task     # "classifier"
    found.why      # "2 columns; `stars` has 5 values: classification of `text`"

A table is never read as prose unless the user says so. Data that is nearly, but not quite, what a task
reads is refused with the question that its owner has to answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from throughtime.config import CONFIGS, RunConfig, every_option, resolve
from throughtime.config.idle import refuse_idle
from throughtime.data.lines import expect_file
from throughtime.data.numbers import DECIMALS
from throughtime.data.shards import unpacked_for_now
from throughtime.data.tables import TableFormat, groups_of
from throughtime.encodings import UTF8, check_encoding
from throughtime.errors import DataError, OptionError
from throughtime.hub.cache import is_hub_name, run_folder
from throughtime.patterns import is_pattern, is_shards
from throughtime.recognition import corpora
from throughtime.recognition.kinds import KINDS, Kind
from throughtime.recognition.match import Match
from throughtime.recognition.survey import Survey, look_at
from throughtime.recognition.wanted import Wanted, names_a_kind
from throughtime.tasks import TASKS

# The tasks that --target label, labels or number may mean; of another word it is a translator's file.
_WITH_TARGETS = ("classifier", "tagger")

__all__ = ["Recognised", "recognise", "settle"]


@dataclass(frozen=True)
class Recognised:
    """What was found.

    Args:
        task: its name.
        why: what was recognised, in a line.
        options: what the data settles of the task's options: columns, the kind of input.
        usual: options that suit such data, where the user says nothing else.
    """

    task: str
    why: str
    options: dict[str, Any]
    usual: dict[str, Any]


def recognise(source: str | Path, options: Mapping[str, Any] | None = None) -> Recognised:
    """Find the task that training data is for.

    Args:
        source: a file or a folder, or a pattern or URL of files.
        options: of `train`, by name: `task` names the task, and so does an option that one task alone has.
    Raises:
        DataError: the data is missing, is not for the task that was named, or could be meant otherwise (the
            message holds what to do).
        OptionError: there is no such task.
    """
    options = options or {}
    return _recognise(source, options, *_named_task(options))


def _recognise(source: str | Path, options: Mapping[str, Any], task: str | None, because: str) -> Recognised:
    if options.get("decimal") not in (None, *DECIMALS):
        raise OptionError(f"--decimal must be a comma or a point, not {str(options['decimal'])!r:.40}")
    form = TableFormat(
        options.get("header") is not False,
        check_encoding(options.get("encoding") or UTF8),
        options.get("decimal"),
        groups=groups_of(options.get("group_by"), options.get("once_in_group")),
    )
    if is_shards(source):
        return _from_shards(str(source), options, task, because)
    if is_pattern(source):
        found = corpora.corpus_or_table(str(source), options, task, because, form)
        if isinstance(found, Match):
            return Recognised("language-model", f"{found.why}: {found.learning}", {}, {})
        return _from_survey(
            look_at(found, form), options, task, because, f"{corpora.described(found.files)}; "
        )
    path = Path(source)
    if not path.exists():
        raise DataError(f"{path}: no such file or folder (the working directory is {Path.cwd()})")
    expect_file(path)
    return _from_survey(look_at(path, form), options, task, because)


def _from_shards(pattern: str, options: Mapping[str, Any], task: str | None, because: str) -> Recognised:
    """The task of tar files, by some of their examples."""
    with unpacked_for_now(pattern, skip_bad=True, is_sample=True) as (folder, shards):
        found = _from_survey(look_at(folder), options, task, because)
        begin = f"{corpora.described(shards.sources)}; of {shards.examples:,} examples looked at: "
        return replace(found, why=begin + shards.in_words(found.why))


def _from_survey(
    survey: Survey, options: Mapping[str, Any], task: str | None, because: str, begin: str = ""
) -> Recognised:
    """The task of data that was looked at; `begin` begins what is said of it."""
    wanted = Wanted.of(options, task, because)
    kind, match = _first_kind(survey, wanted)
    if kind is None or match is None:
        raise DataError(_not_for(survey, wanted))
    if match.advice or kind.task is None:
        what = f"this looks like {kind.name} ({match.why})" if kind.name else match.why
        raise DataError(f"{survey.path}: {what}: {match.advice or kind.instead}")
    settled, decimal = match.options, None if survey.table is None else survey.table.decimal
    if survey.table is not None and survey.table.groups is not None:
        groups = survey.table.groups
        begin += f"{survey.table.rows:,} groups of rows by `{groups.column}`; "
        settled = {**settled, "group_by": groups.column, "once_in_group": ",".join(groups.once or ())}
    if decimal is not None and "decimal" in every_option() and kind.task in every_option()["decimal"]:
        begin += (
            f"numbers are written as {'1.234,5' if decimal == ',' else '1,234.5'} (--decimal {decimal}); "
        )
        settled = {**settled, "decimal": decimal}
    return Recognised(kind.task, f"{begin}{match.why}: {match.learning}", settled, match.usual)


def settle(source: str | Path, given: Mapping[str, Any], *layers: Mapping[str, Any]) -> tuple[RunConfig, str]:
    """Resolve the options of a training, the task among them.

    Args:
        source: the training data.
        given: the options that the user gave; they win.
        *layers: presets and files of options, each {option: value} or {section: {option: value}}.
    Returns:
        The options, and what was recognised, in a line.
    Raises:
        DataError: the data is not for the task, or for none.
        OptionError: an option is unknown to the task or out of its range.
    """
    flat: dict[str, Any] = {}
    for layer in (*layers, given):
        for name, value in layer.items():
            flat |= (
                value
                if isinstance(value, Mapping) and name in ("data", "model", "training")
                else {name: value}
            )
    # An option of one task alone names it only where the user wrote it, and not in a preset.
    task, because = _named_task({"task": flat.get("task"), **given})
    found = _recognise(source, flat, task, because)
    if flat.get("init_from") is not None:
        layers = (_options_of(flat["init_from"], found.task), *layers)
    config = resolve(
        {"task": found.task}, found.usual, *layers, given, found.options, {"source": str(source)}
    )
    refuse_idle(config, given)
    return config, f"{source}: {found.why}"


def _options_of(run: str, task: str) -> dict[str, Any]:
    """What a training that begins with a run takes over from it: the network, and how texts are cut."""
    folder = run_folder(run) if is_hub_name(run) else Path(run)
    config = RunConfig.load(folder / "config.toml")
    sections = CONFIGS[task].sections()
    model = config.model.model_dump(exclude_none=True)
    data = config.data.model_dump(exclude_none=True)
    return {
        "model": {name: value for name, value in model.items() if name in sections["model"].model_fields},
        "data": {
            name: data[name]
            for name in ("tokenizer", "lowercase", "segment", "around")
            if name in data and name in sections["data"].model_fields
        },
    }


def _first_kind(survey: Survey, wanted: Wanted) -> tuple[Kind | None, Match | None]:
    for kind in KINDS:
        if wanted.task is not None and wanted.task != (kind.task or kind.rival or wanted.task):
            continue
        if wanted.kind is not None and kind.task not in (None, *_WITH_TARGETS):
            continue
        match = kind.look(survey, wanted)
        if match is not None:
            return kind, match
    return None, None


def _named_task(options: Mapping[str, Any]) -> tuple[str | None, str]:
    """The task that the options name, and the option that does; None where they leave it to the data."""
    task = options.get("task")
    if task is not None:
        if task not in CONFIGS:
            raise OptionError(f"task {task!r} is unknown: use {', '.join(CONFIGS)}")
        return task, f"--task {task}"
    known = every_option()
    for name, value in options.items():
        tasks = known.get(name, {})
        if value is not None and len(tasks) == 1:
            return next(iter(tasks)), f"--{name.replace('_', '-')}"
    if options.get("target") is not None and not names_a_kind(options, None):
        return "translator", "--target"
    return None, ""


def _not_for(survey: Survey, wanted: Wanted) -> str:
    """Why data is not for the task that was named."""
    found = "a folder" if survey.path.is_dir() else "a table" if survey.table is not None else "a text file"
    if wanted.task is None:
        reads = " or ".join(TASKS[name].reads for name in _WITH_TARGETS)
        return (
            f"{survey.path} is {found}, and --target {wanted.kind} needs {reads} (a file of that name, "
            f"with a translator's targets, is ./{wanted.kind})"
        )
    implied = "" if wanted.because.startswith("--task") else f" ({wanted.because} is its option)"
    task = TASKS[wanted.task]
    return f"{survey.path} is {found}, and a {wanted.task}{implied} reads {task.reads}"
