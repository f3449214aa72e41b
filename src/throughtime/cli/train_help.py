"""The help of `throughtime train`: the options that matter, one task's, or all of them."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Sequence
from typing import Any

from typer.core import TyperCommand

from throughtime.config import CONFIGS, every_option
from throughtime.tasks import TASKS

# What people change first, in the order in which they would ask.
MAIN_OPTIONS = {
    "Data": ("validation", "text_column", "label_column", "target", "tokenizer", "vocabulary"),
    "Model": ("cell", "hidden", "layers", "dropout", "bidirectional"),
    "Training": ("epochs", "batch", "learning_rate", "chunk", "early_stopping", "seed", "threads", "device"),
}
_ARGUMENTS = "arguments of train"
# The column of descriptions begins here at most; longer names have a line of their own.
_WIDEST_NAME = 26


class TrainCommand(TyperCommand):
    """`train` with a help that knows which task is asked for. Names are never cut."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Keep the arguments for the help, which is asked for before they are read."""
        ctx.meta[_ARGUMENTS] = list(args)
        return super().parse_args(ctx, list(_each_swept(args)))

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write what `--help`, `--task X --help` or `--help-all` shows."""
        arguments: list[str] = ctx.meta.get(_ARGUMENTS, [])
        task = _task_of(arguments)
        everything = "--help-all" in arguments
        self.format_usage(ctx, formatter)
        # As Any: typer brings click along under another name, or does not, by its version.
        options: dict[str | None, Any] = {
            option.name: option for option in self.params if option.param_type_name == "option"
        }
        if task is None and not everything:
            _write_text(formatter, self.help or "")
            _section(
                formatter,
                "Tasks",
                [(name, f"{one.summary}, from {one.reads}") for name, one in TASKS.items()],
            )
        elif task is not None:
            _write_text(formatter, f"Train a {task}: {TASKS[task].summary}, from {TASKS[task].reads}.")
        known = every_option()
        general = [option for name, option in options.items() if name not in known and not option.hidden]
        _section(formatter, "Options", [_line(option, ctx, None) for option in general])
        for title, names in _groups(task, everything).items():
            shown = [(options[name], known[name]) for name in names if name in options]
            _section(formatter, title, [_line(option, ctx, _text(tasks, task)) for option, tasks in shown])
        if not everything:
            count = len(options) if task is None else sum(task in tasks for tasks in known.values())
            more = (
                f"`throughtime train --task TASK --help` shows the options of a task ({', '.join(CONFIGS)}). "
                f"`--help-all` shows all {count}; docs/options.md lists them, too."
            )
            _write_text(formatter, more if task is None else "`--help-all` shows the options of all tasks.")


def _each_swept(arguments: Sequence[str]) -> Iterable[str]:
    """The arguments with --sweep before every NAME=VALUE,..., also where only the first has it."""
    follows, previous = False, ""
    for argument in arguments:
        if follows and re.fullmatch(r"[a-z][\w-]*=.*", argument) and previous != "--sweep":
            yield "--sweep"
        follows = argument == "--sweep" or (follows and "=" in argument and not argument.startswith("-"))
        previous = argument
        yield argument


def _task_of(arguments: Sequence[str]) -> str | None:
    """The task that the command line names; None where it names none, or one that there is not."""
    for place, argument in enumerate(arguments):
        name, equals, value = argument.partition("=")
        if name == "--task":
            found = value if equals else next(iter(arguments[place + 1 :]), "")
            return found if found in CONFIGS else None
    return None


def _groups(task: str | None, everything: bool) -> dict[str, Sequence[str]]:
    """The names of the options to show, by title."""
    if task is None and not everything:
        return {f"{title} (the most used)": names for title, names in MAIN_OPTIONS.items()}
    if task is not None:
        return {
            title.capitalize(): [name for name in section.listed() if name != "source"]
            for title, section in CONFIGS[task].sections().items()
        }
    groups: dict[str, list[str]] = {}
    for name, tasks in every_option().items():
        section = next(iter(tasks.values()))[0].capitalize()
        shared = len(tasks) > 1
        title = section if shared else f"{section}, {next(iter(tasks))} only"
        groups.setdefault(title, []).append(name)
    return {title: groups[title] for title in sorted(groups, key=lambda title: ("," in title, title))}


def _text(tasks: dict[str, tuple[str, Any]], task: str | None) -> str:
    """What an option does: for one task, or said for all as shortly as they allow."""
    if task is not None:
        field = tasks[task][1]
        return f"{field.description}{_default(field.default)}"
    described = list(dict.fromkeys(field.description for _, field in tasks.values()))
    defaults = list(dict.fromkeys(_default(field.default) for _, field in tasks.values()))
    only = f"{next(iter(tasks)).capitalize()}: " if len(tasks) == 1 else ""
    return f"{only}{described[0]}{defaults[0] if len(defaults) == 1 else ' (default: by task)'}"


def _default(value: Any) -> str:
    if value in (None, "", {}, []):
        return ""
    return f" (default { ({True: 'on', False: 'off'}[value] if isinstance(value, bool) else value) })"


def _line(option: Any, ctx: Any, text: str | None) -> tuple[str, str]:
    names, described = option.get_help_record(ctx) or ("", "")
    return names, described if text is None else text


def _section(formatter: Any, title: str, lines: Iterable[tuple[str, str]]) -> None:
    lines = list(lines)
    if lines:
        with formatter.section(title):
            formatter.write_dl(lines, col_max=_WIDEST_NAME)


def _write_text(formatter: Any, text: str) -> None:
    formatter.write_paragraph()
    with formatter.indentation():
        for paragraph in inspect.cleandoc(text).split("\n\n"):
            if paragraph.startswith("\b"):
                for line in paragraph.splitlines()[1:]:
                    formatter.write(f"{'':>{formatter.current_indent}}{line}\n")
            else:
                formatter.write_text(" ".join(paragraph.split()))
            formatter.write_paragraph()
