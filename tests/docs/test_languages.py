"""Pages in two languages: the same code, the same outputs, the same pictures, the same steps."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAIRS = [("README.md", "docs/ko/README.md"), ("docs/tutorial.md", "docs/ko/tutorial.md")]
BLOCK = re.compile(r"(?:<!-- [a-z: ]+ -->\n)?```\w*\n.*?```", re.S)
PICTURE = re.compile(r"!\[[^\]]+\]\((?:[^)]*/)?(?P<name>[^/)]+)\)")
EQUATION = re.compile(r"^[a-z]<sub>t</sub> = .+$", re.M)


@pytest.mark.parametrize(("english", "korean"), PAIRS)
def test_both_languages_have_the_same_blocks_pictures_and_equations(english: str, korean: str) -> None:
    one, other = ((ROOT / name).read_text(encoding="utf-8") for name in (english, korean))
    for parts in (BLOCK, PICTURE, EQUATION):
        assert parts.findall(one) == parts.findall(other)
    assert BLOCK.findall(one)


def test_the_tutorials_have_the_same_steps() -> None:
    english, korean = (
        re.findall(r"^## (\d*)", (ROOT / name).read_text(encoding="utf-8"), re.M) for name in PAIRS[1]
    )
    assert english == korean
    assert len(english) == 15


@pytest.mark.parametrize("name", [korean for _, korean in PAIRS])
def test_the_korean_pages_are_korean(name: str) -> None:
    text = BLOCK.sub("", (ROOT / name).read_text(encoding="utf-8"))
    paragraphs = [part for part in text.split("\n\n") if len(part) > 80 and not EQUATION.search(part)]
    assert paragraphs
    for paragraph in paragraphs:
        if not paragraph.startswith(("|", "-", "![")):
            assert len(re.findall("[가-힣]", paragraph)) > len(paragraph) / 5, paragraph


def test_the_tutorial_has_the_equations_of_the_lecture() -> None:
    text = re.sub(r"</?sub>", "", (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8"))
    for equation in (
        "ht = tanh(Whh ht-1 + Wxh xt + b)",
        "yt = Why ht",
        "ht = tanh(Whh ht-1 + Wxh xt + Wih v)",
        "it = σ(Wxi xt + Whi ht-1 + bi)",
        "ft = σ(Wxf xt + Whf ht-1 + bf)",
        "ot = σ(Wxo xt + Who ht-1 + bo)",
        "gt = tanh(Wxg xt + Whg ht-1 + bg)",
        "ct = ft ⊙ ct-1 + it ⊙ gt",
        "ht = ot ⊙ tanh(ct)",
        "ht = zt ⊙ ht-1 + (1 - zt) ⊙ nt",
    ):
        assert equation in text, equation
