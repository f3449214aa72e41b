"""Every example in README.md and docs/ runs, and the reference lists every option."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.commands import folder_for_path
from throughtime.cli.app import COMMANDS

ROOT = Path(__file__).resolve().parents[2]
PAGES = [
    "README.md",
    "docs/tutorial.md",
    "docs/how-to.md",
    "docs/classification.md",
    "docs/captioning.md",
    "docs/translation.md",
    "docs/transcription.md",
    "docs/words.md",
    "docs/frames.md",
    "docs/forecasting.md",
    "docs/numbers.md",
    "docs/lines.md",
    "docs/python.md",
    "docs/inspection.md",
    "docs/runtime.md",
    "docs/serving.md",
    "docs/serving_tasks.md",
    "docs/interchange.md",
    "docs/reference.md",
]
BLOCK = re.compile(
    r"(?P<setup><!-- setup: \w+ -->\n)?```(?P<language>sh|python)\n(?P<code>.*?)```"
    # What it prints stands right below it. Unless a comment says otherwise, that is what it has to print.
    r"(?:\n\n(?:<!-- output: (?P<kind>varies|sample) -->\n)?```text\n(?P<output>.*?)```)?",
    re.S,
)
NUMBER = re.compile(r"-?\d[\d,]*(?:\.\d*)?(?:e[+-]?\d+)?")
# The pages that begin in an empty folder; the others have a text, input.txt.
BEGIN_EMPTY = {"README.md", "docs/tutorial.md"}

TEXT = (
    "ROMEO:\nBut, soft! what light through yonder window breaks?\nIt is the east, and Juliet is the sun.\n\n"
    "JULIET:\nO Romeo, Romeo! wherefore art thou Romeo?\nDeny thy father and refuse thy name;\n\n"
) * 45


@pytest.mark.slow  # trains what the pages train
@pytest.mark.parametrize("page", PAGES)
def test_the_examples_of_a_page_run_in_order(
    page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if page not in BEGIN_EMPTY:
        (tmp_path / "input.txt").write_text(TEXT)
    monkeypatch.chdir(tmp_path)
    programs = [str(folder_for_path()), str(Path(sys.executable).parent), os.environ["PATH"]]
    environment = {**os.environ, "PATH": os.pathsep.join(programs)}
    names: dict[str, Any] = {"__name__": "example"}
    blocks = [match for match in BLOCK.finditer((ROOT / page).read_text()) if not match["setup"]]
    assert blocks or page == "docs/reference.md"
    for match in blocks:
        if match["language"] == "python":
            printed = io.StringIO()
            with contextlib.redirect_stdout(printed):
                exec(compile(match["code"], page, "exec"), names)
            output = printed.getvalue()
        else:
            command = ["sh", "-ec", match["code"]]
            result = subprocess.run(
                command, check=True, env=environment, timeout=300, stdout=subprocess.PIPE, encoding="utf-8"
            )
            output = result.stdout
        if match["output"] is not None:
            same_output(output, match["output"], match["kind"])


def same_output(output: str, shown: str, kind: str | None) -> None:
    """Hold what a block prints to what the page shows.

    Args:
        output: printed.
        shown: on the page.
        kind: None, the same but for a number's last digit; "varies", numbers may differ; "sample", what a
            trained model writes, so anything goes but silence.
    """
    if kind == "sample":
        assert output.strip()
        return
    ours, theirs = ([line.rstrip() for line in text.rstrip().split("\n")] for text in (output, shown))
    # A number that changes its width moves the columns beside it.
    for line, other in zip(ours, theirs, strict=True):
        assert re.sub(r"\s+", " ", NUMBER.sub("#", line)) == re.sub(r"\s+", " ", NUMBER.sub("#", other))
        if kind is None:
            for number, expected in zip(NUMBER.findall(line), NUMBER.findall(other), strict=True):
                mantissa, _, exponent = expected.replace(",", "").partition("e")
                last_digit = 10.0 ** (int(exponent or 0) - len(mantissa.partition(".")[2]))
                assert (
                    abs(float(number.replace(",", "")) - float(expected.replace(",", ""))) < 1.5 * last_digit
                ), line


@pytest.mark.parametrize(
    ("output", "kind", "same"),
    [
        ("loss 0.161\n", None, True),
        ("loss 0.163\n", None, False),
        ("loss 0.163\n", "varies", True),
        ("Loss 0.160\n", "varies", False),
        ("loss 0.160\nmore\n", "varies", False),
        ("gain\n", "sample", True),
        ("\n", "sample", False),
    ],
)
def test_an_output_is_compared_as_the_page_says(output: str, kind: str | None, same: bool) -> None:
    if same:
        same_output(output, "loss 0.160\n", kind)
    else:
        with pytest.raises((AssertionError, ValueError)):
            same_output(output, "loss 0.160\n", kind)


def test_the_readme_has_exactly_two_set_up_commands() -> None:
    readme = (ROOT / "README.md").read_text()
    setups = [match["code"].strip() for match in BLOCK.finditer(readme) if match["setup"]]
    assert len(setups) == 2
    assert all("\n" not in setup for setup in setups)
    assert setups[0].endswith("throughtime demo")
    assert setups[1].endswith("pytest")


def test_links_between_pages_lead_somewhere() -> None:
    for path in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]:
        for target in re.findall(r"\]\(([^)#]+)\)", path.read_text()):
            if not target.startswith("http"):
                assert (path.parent / target).exists(), f"{path}: {target}"


def test_the_page_of_options_is_up_to_date() -> None:
    spec = importlib.util.spec_from_file_location("write_options", ROOT / "docs" / "write_options.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.PAGE.read_text(encoding="utf-8") == module.page(), "run python docs/write_options.py"


def test_the_reference_lists_every_command() -> None:
    reference = (ROOT / "docs" / "reference.md").read_text()
    for name in COMMANDS:
        assert f"| `{name}` |" in reference
