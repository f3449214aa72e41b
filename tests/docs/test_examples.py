"""Every example in README.md and docs/ runs, and the reference lists every option."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from throughtime.cli.app import COMMANDS

ROOT = Path(__file__).resolve().parents[2]
PAGES = [
    "README.md",
    "docs/tutorial.md",
    "docs/how-to.md",
    "docs/classification.md",
    "docs/captioning.md",
    "docs/translation.md",
    "docs/frames.md",
    "docs/inspection.md",
    "docs/runtime.md",
    "docs/interchange.md",
    "docs/reference.md",
]
BLOCK = re.compile(r"(?P<setup><!-- setup: \w+ -->\n)?```(?P<language>sh|python)\n(?P<code>.*?)```", re.S)

TEXT = (
    "ROMEO:\nBut, soft! what light through yonder window breaks?\nIt is the east, and Juliet is the sun.\n\n"
    "JULIET:\nO Romeo, Romeo! wherefore art thou Romeo?\nDeny thy father and refuse thy name;\n\n"
) * 45


@pytest.mark.parametrize("page", PAGES)
def test_the_examples_of_a_page_run_in_order(
    page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "input.txt").write_text(TEXT)
    monkeypatch.chdir(tmp_path)
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    names: dict[str, Any] = {"__name__": "example"}
    blocks = [match for match in BLOCK.finditer((ROOT / page).read_text()) if not match["setup"]]
    assert blocks or page == "docs/reference.md"
    for match in blocks:
        if match["language"] == "python":
            exec(compile(match["code"], page, "exec"), names)
        else:
            subprocess.run(["sh", "-ec", match["code"]], check=True, env=environment, timeout=300)


def test_the_readme_has_exactly_two_set_up_commands() -> None:
    readme = (ROOT / "README.md").read_text()
    setups = [match["code"].strip() for match in BLOCK.finditer(readme) if match["setup"]]
    assert len(setups) == 2
    assert all("\n" not in setup for setup in setups)
    assert setups[0].endswith("throughtime demo")
    assert setups[1].endswith("pytest")


def test_links_between_pages_lead_somewhere() -> None:
    for page in [*PAGES, "docs/architecture.md", "docs/results.md", "CONTRIBUTING.md", "CHANGELOG.md"]:
        path = ROOT / page
        for target in re.findall(r"\]\(([^)#]+)\)", path.read_text()):
            if not target.startswith("http"):
                assert (path.parent / target).exists(), f"{page}: {target}"


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
