"""Fonts for the texts of a picture: Hangul, Han, emoji, marks. What no font has is written as numbers."""

from __future__ import annotations

import contextlib
import io
import sys
import unicodedata
import warnings
from collections.abc import Iterator
from functools import cache
from typing import Any

# It has a frame with a script's letter for every character: that is what we are here to avoid.
_NO_FONT = "Last Resort"
# Which scripts a note names; a character's name in Unicode begins with its script.
_SCRIPTS = {"HANGUL": "Korean", "CJK": "Han characters", "HIRAGANA": "Japanese", "KATAKANA": "Japanese"}
# Characters that only change how others look.
_VARIATIONS = range(0xFE00, 0xFE10)
_JOINER = "\u200d"
_SKINS = range(0x1F3FB, 0x1F400)
_FLAGS = range(0x1F1E6, 0x1F200)

_CONTROLS = {"\n": "↵", "\t": "⇥", "\x7f": "␡"}

# Scripts that a note has named already, and characters of others that it is still to name.
_noted: set[str] = set()
_lacking: dict[str, str] = {}


def fit_fonts(figure: Any) -> None:
    """Give every text of a figure fonts that have its characters.

    What no font on this machine has is written as its number in Unicode, <AC00>, and a note on standard error
    says once for each script which font is missing.

    Args:
        figure: of matplotlib.
    """
    from matplotlib.text import Text

    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            _fit_ticks(axis)
    for text in figure.findobj(Text):
        content = text.get_text()
        if not content.isascii():
            text.set_text(_fit(text, content))
    _note()


def clusters(text: str) -> Iterator[str]:
    """A text in what a reader takes for one character: a letter with its marks, an emoji with its parts.

    This follows the common rules of Unicode's annex 29, not its tables.
    """
    cluster = ""
    for character in text:
        if cluster and (_adds_to(character) or cluster[-1] == _JOINER or _is_flag(cluster, character)):
            cluster += character
        else:
            if cluster:
                yield cluster
            cluster = character
    if cluster:
        yield cluster


def is_wide(cluster: str) -> bool:
    """Whether a character takes two columns, as Hangul, Han and emoji do."""
    first = cluster[0]
    return unicodedata.east_asian_width(first) in "WF" or "\ufe0f" in cluster[1:] or ord(first) in _FLAGS


def visible(cluster: str) -> str:
    """A character with a shape: control characters as their pictures, marks that stand alone on a circle."""
    if (shape := _CONTROLS.get(cluster)) is not None:
        return shape
    if len(cluster) == 1 and cluster < " ":
        return chr(0x2400 + ord(cluster))
    return f"\u25cc{cluster}" if _adds_to(cluster[0]) else cluster


def _adds_to(character: str) -> bool:
    code = ord(character)
    return unicodedata.category(character)[0] == "M" or character == _JOINER or code in _SKINS


def _is_flag(cluster: str, character: str) -> bool:
    return len(cluster) == 1 and ord(cluster) in _FLAGS and ord(character) in _FLAGS


def fit_cell(text: Any) -> None:
    """The same for a text of one character, whose number is to fit its place: as a small block of digits.

    Args:
        text: of matplotlib.
    """
    content = text.get_text()
    shown = content if content.isascii() else _fit(text, content)
    if "<" in shown and shown != content:
        digits = shown[shown.index("<") + 1 : shown.index(">")].split(" ")[0]
        half = -(-len(digits) // 2)
        shown = f"{digits[:half]}\n{digits[half:]}"
        text.set(fontsize=text.get_fontsize() / 2.2, linespacing=0.9)
    text.set_text(shown)


def _fit_ticks(axis: Any) -> None:
    """Ticks take their texts from a formatter each time that they are drawn."""
    from matplotlib.ticker import FuncFormatter

    shown = {label.get_text(): label for label in axis.get_ticklabels() if not label.get_text().isascii()}
    fitted = {content: _fit(label, content) for content, label in shown.items()}
    for label in axis.get_ticklabels():
        if label.get_text() in fitted:
            _fit(label, label.get_text())
    if any(content != text for content, text in fitted.items()):
        inner = axis.get_major_formatter()

        def replace(value: float, position: int | None = None) -> str:
            content = str(inner(value, position))
            return fitted.get(content, content)

        axis.set_major_formatter(FuncFormatter(replace))


def _fit(text: Any, content: str) -> str:
    """Set the families of a text of matplotlib; return what they can show of its content."""
    families = list(text.get_fontfamily())
    # File names of a Mac have Hangul in parts, which no font joins.
    content = unicodedata.normalize("NFC", content)
    lacking: list[str] = []
    for character in dict.fromkeys(content):
        if character.isascii() or any(_has(family, character) for family in families):
            continue
        family = _family_with(character)
        if family is not None:
            families.append(family)
        else:
            lacking.append(character)
    text.set_fontfamily(families)
    for character in lacking:
        if not _only_changes(character):
            _lacking.setdefault(_script(character), character)
    return _numbered(content, set(lacking))


def _numbered(content: str, lacking: set[str]) -> str:
    """Each stretch of characters that no font has as numbers: <AC00 B098>."""
    parts: list[str] = []
    numbers: list[str] = []
    for character in (*content, ""):
        if character and character in lacking:
            # What only changes how others look means nothing without them.
            if not _only_changes(character):
                numbers.append(f"{ord(character):04X}")
            continue
        if numbers:
            parts.append(f"<{' '.join(numbers)}>")
            numbers = []
        parts.append(character)
    return "".join(parts)


def _only_changes(character: str) -> bool:
    return ord(character) in _VARIATIONS or character == _JOINER


def _note() -> None:
    new = {script: character for script, character in _lacking.items() if script not in _noted}
    _lacking.clear()
    if new:
        _noted.update(new)
        names = ", ".join(f"{script} ({character})" for script, character in new.items())
        with contextlib.suppress(OSError):  # nobody reads what is said: the picture is drawn anyway
            print(
                f"note: no font on this machine has {names}: pictures show them as numbers. "
                "Install a font that has them, such as Noto (Debian: fonts-noto-cjk, fonts-symbola), or put "
                "its file in ~/.fonts",
                file=sys.stderr or io.StringIO(),
            )


def _script(character: str) -> str:
    name = unicodedata.name(character, "")
    first = name.split("-")[0].split(" ")[0]
    if unicodedata.category(character) == "So":
        return "symbols and emoji"
    return _SCRIPTS.get(first) or first.capitalize() or "some characters"


@cache
def _has(family: str, character: str) -> bool:
    """Whether the font that matplotlib takes for a family has a character, and its outline."""
    from matplotlib import font_manager

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            path = font_manager.findfont(font_manager.FontProperties(family=[family]))
        except ValueError:
            return False
    return _draws(path, character)


@cache
def _family_with(character: str) -> str | None:
    """A family of this machine that has a character: one without serifs, if there is one."""
    from matplotlib import font_manager

    for collect in (list, _newly_installed):
        entries = sorted(collect(font_manager.fontManager.ttflist), key=_rank)
        for entry in entries:
            if not entry.name.startswith(_NO_FONT) and _draws(entry.fname, character):
                return entry.name if _has(entry.name, character) else None
    return None


def _newly_installed(known: list[Any]) -> list[Any]:
    """The fonts that were installed since matplotlib last listed them."""
    from matplotlib import font_manager

    files = {entry.fname for entry in known}
    for path in font_manager.findSystemFonts():
        if path not in files:
            try:
                font_manager.fontManager.addfont(path)
            except (OSError, RuntimeError, ValueError):
                continue  # a font of bitmaps, or a damaged one
    return [entry for entry in font_manager.fontManager.ttflist if entry.fname not in files]


def _rank(entry: Any) -> tuple[bool, bool, bool, str]:
    name = entry.name.lower()
    upright, regular = entry.style == "normal", str(entry.weight) in ("400", "regular", "normal")
    return (not upright, not regular, "sans" not in name and "gothic" not in name, name)


@cache
def _draws(path: str, character: str) -> bool:
    """Whether a font file has the outline of a character: fonts of coloured emoji have bitmaps only."""
    from matplotlib import font_manager

    try:
        font = font_manager.get_font(path)
        if not font.get_char_index(ord(character)):
            return False
        if unicodedata.category(character)[0] in "ZC":
            return True
        font.load_char(ord(character))
        return len(font.get_path()[0]) > 0
    except (OSError, RuntimeError, ValueError):
        return False
