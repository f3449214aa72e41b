"""The prose of the project: no pattern of docs/style.md is in the docs or in a string of the source."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
STYLE = ROOT / "docs" / "style.md"
RULE = re.compile(
    r"^\d+\. (?P<title>.+)\n\s+- Not: (?P<bad>.+)\n\s+- But: (?P<good>.+)\n\s+- Pattern: `(?P<pattern>.+)`$",
    re.M,
)
RULES = [pytest.param(match, id=match["title"]) for match in RULE.finditer(STYLE.read_text(encoding="utf-8"))]
PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")] + sorted(
    page for page in (ROOT / "docs").glob("*.md") if page != STYLE
)


@cache
def prose() -> list[tuple[str, str]]:
    """Where, and what: lines of the pages and of the source's strings (docstrings, help, messages)."""
    return [*_pages(), *_strings()]


def _pages() -> Iterator[tuple[str, str]]:
    for page in PAGES:
        for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1):
            yield f"{page.relative_to(ROOT)}:{number}", line


def _strings() -> Iterator[tuple[str, str]]:
    for path in sorted((ROOT / "src").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                for number, line in enumerate(node.value.splitlines(), node.lineno):
                    yield f"{path.relative_to(ROOT)}:{number}", line


def test_the_page_has_ten_rules() -> None:
    assert len(RULES) == 10


@pytest.mark.parametrize("rule", RULES)
def test_a_pattern_finds_its_bad_example_and_not_the_good_one(rule: re.Match[str]) -> None:
    pattern = re.compile(rule["pattern"])
    assert pattern.search(rule["bad"])
    assert not pattern.search(rule["good"])


@pytest.mark.parametrize("rule", RULES)
def test_no_prose_has_the_pattern(rule: re.Match[str]) -> None:
    pattern = re.compile(rule["pattern"])
    found = [f"{where}: {line.strip()}" for where, line in prose() if pattern.search(line)]
    assert not found, f"{rule['title']} Write it like: {rule['good']}"
