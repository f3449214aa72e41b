"""The pictures of the docs: those that a page shows exist, and drawing them again changes nothing."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
IMAGES = DOCS / "images"
PAGES = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]
SHOWN = re.compile(r"!\[(?P<text>[^\]]*)\]\((?P<target>[^)]+)\)")


def _module(name: str) -> ModuleType:
    path = DOCS / "pictures" / f"{name}.py"
    sys.path.insert(0, str(path.parent))
    try:
        spec = importlib.util.spec_from_file_location(f"pictures_{name}", path)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(path.parent))
    return module


def test_every_picture_that_a_page_shows_exists_and_says_what_it_shows() -> None:
    for page in PAGES:
        for match in SHOWN.finditer(page.read_text(encoding="utf-8")):
            assert (page.parent / match["target"]).is_file(), f"{page}: {match['target']}"
            assert match["text"], f"{page}: {match['target']} has no text for those who do not see it"


def test_every_picture_is_shown_somewhere() -> None:
    shown = {
        (page.parent / match["target"]).resolve()
        for page in PAGES
        for match in SHOWN.finditer(page.read_text(encoding="utf-8"))
    }
    assert {path for path in IMAGES.iterdir()} <= shown


def test_the_tutorial_has_a_picture_for_every_step() -> None:
    assert len(SHOWN.findall((DOCS / "tutorial.md").read_text(encoding="utf-8"))) >= 12


def test_drawing_the_pictures_again_changes_nothing() -> None:
    pytest.importorskip("matplotlib")
    draw = _module("draw")
    for name in draw.NAMES:
        committed = (IMAGES / f"{name}.svg").read_bytes()
        drawn = draw.draw(name)
        if name in draw.PICTURES and _version(committed) != _version(drawn):
            pytest.skip("another version of matplotlib drew the committed pictures")
        assert _without_pixels(drawn) == _without_pixels(committed), (
            f"run python docs/pictures/draw.py {name}"
        )


def _version(svg: bytes) -> bytes:
    match = re.search(rb"Matplotlib v[\d.]+", svg)
    assert match
    return match[0]


def _without_pixels(svg: bytes) -> bytes:
    # Compressed pixels differ between versions of zlib.
    return re.sub(rb"base64,[^\"]*", b"", svg)
