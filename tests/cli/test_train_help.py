"""The help of `train`: what matters first, one task's options, all of them, and no name cut."""

from __future__ import annotations

import re
from importlib import import_module
from itertools import pairwise

import pytest
from typer.testing import CliRunner

from throughtime.cli.app import COMMANDS, build
from throughtime.cli.train_help import MAIN_OPTIONS
from throughtime.config import CONFIGS, every_option


def help_of(*arguments: str, width: int = 80) -> str:
    result = CliRunner().invoke(
        build({arguments[0]}), list(arguments), env={"COLUMNS": str(width), "TERMINAL_WIDTH": str(width)}
    )
    assert result.exit_code == 0, result.output
    return result.output


def options_in(text: str) -> set[str]:
    return {name[2:].replace("-", "_") for name in re.findall(r"^  (?:-\w, )?(--[\w-]+)", text, re.MULTILINE)}


def test_the_short_help_has_what_matters_and_the_tasks() -> None:
    text = help_of("train", "--help")
    assert len(text.splitlines()) < 120
    assert all(re.search(rf"^  {task} ", text, re.MULTILINE) for task in CONFIGS)
    matter = {name for names in MAIN_OPTIONS.values() for name in names}
    assert matter <= options_in(text) and len(matter) <= 20
    assert "--task TASK --help" in text and "--help-all" in text


@pytest.mark.parametrize("task", CONFIGS)
def test_a_task_has_its_options_in_groups(task: str) -> None:
    text = help_of("train", "--task", task, "--help")
    own = {name for name, tasks in every_option().items() if task in tasks} - {"source"}
    assert own <= options_in(text)
    assert options_in(text) & (set(every_option()) - own) == set()
    assert [line for line in text.splitlines() if line in ("Data:", "Model:", "Training:")] == [
        "Data:",
        "Model:",
        "Training:",
    ]


@pytest.mark.parametrize("width", [40, 80, 160])
def test_no_name_is_cut(width: int) -> None:
    text = help_of("train", "--help-all", width=width)
    assert set(every_option()) - {"source"} <= options_in(text)
    assert "…" not in text


def test_brackets_in_examples_are_no_markup() -> None:
    assert "vowels=[aeiou]" in help_of("inspect", "--help")


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("width", [80, 100])
def test_a_description_fills_the_lines_and_no_example_is_broken(command: str, width: int) -> None:
    text = help_of(command, "--help", width=width)
    lines = [line.strip() for line in text[: text.index("Examples:")].splitlines()][2:]
    for line, below in pairwise(lines):
        if line and below:
            # The margin of the two kinds of help is 2 and 1 wide, on each side.
            assert len(line) + 1 + len(below.split()[0]) > min(width, 80) - 4, (line, below)
    shown = {line.strip() for line in text.splitlines()}
    examples = re.findall(
        r"^  (throughtime .*)", import_module(f"throughtime.cli.{COMMANDS[command][0]}").HELP, re.M
    )
    assert examples and all(one in shown for one in examples)
