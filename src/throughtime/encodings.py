"""Which encoding a text has that is not UTF-8, guessed from its beginning, so that an error can name it."""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable
from pathlib import Path

from throughtime.errors import OptionError

UTF8 = "utf-8"
_BEGINNING = 1 << 16

# UTF-32 before UTF-16: the little-endian mark of the one begins with that of the other.
MARKS = {
    codecs.BOM_UTF32_LE: "UTF-32",
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}


def check_encoding(name: str) -> str:
    """The name of an encoding of text that Python knows.

    Raises:
        OptionError: there is none of this name.
    """
    try:
        # An empty text is not even looked at. Codecs of addresses have no way to read what is broken.
        for errors in ("strict", "replace", "surrogateescape"):
            "a".encode(name).decode(name, errors)
        return name
    except (LookupError, TypeError, ValueError):
        raise OptionError(
            f"--encoding {name[:40]!r} is unknown: use utf-8, utf-16, cp949, latin-1, cp1252, shift_jis, "
            "gb18030..."
        ) from None


def guess_encoding(beginning: bytes) -> tuple[str, str] | None:
    """What a text is encoded in, where that is not UTF-8.

    Args:
        beginning: of a file; its last character may be cut.
    Returns:
        The name for --encoding, and what people call it; None where it is UTF-8, be it with broken bytes.
    """
    for mark, name in MARKS.items():
        if beginning.startswith(mark):
            return name.lower(), name
    text, broken = _as_utf8(beginning)
    if not broken:
        return None
    # A damaged UTF-8 file has more whole characters than broken bytes.
    if sum(letter > "\x7f" and letter != "\ufffd" for letter in text) > broken:
        return None
    is_western = 2 * len(_ALONE.findall(beginning)) > len(_HIGH.findall(beginning))
    for name, called, belongs, share in _CANDIDATES if broken >= _FEWEST_BYTES and not is_western else ():
        decoded = _decode(beginning, name)
        others = [letter for letter in decoded or "" if letter > "\x7f"]
        is_rare = name == "cp1251" and (
            len(others) < _FEWEST_OF_LETTERS * sum(map(str.isalpha, decoded or ""))
            or _is_mixed(decoded or "")
        )
        if others and not is_rare and sum(map(belongs, others)) >= share * len(others):
            return name, called
    return "cp1252", "Western European (Windows-1252 or Latin-1)"


def how_to_convert(path: Path) -> str:
    """What else a text that is not UTF-8 looks like, and how to convert it; "" where that is not known."""
    try:
        with path.open("rb") as file:
            beginning = file.read(_BEGINNING)
    except OSError:
        return ""
    guessed = guess_encoding(beginning)
    # One broken byte is a fault of its row, not an encoding.
    if guessed is None or _as_utf8(beginning)[1] < _FEWEST_BYTES or path.suffix.lower() == ".gz":
        return ""
    name, called = guessed
    return f"; the file looks like {called}: convert it with `iconv -f {name} -t utf-8 {path.name} > NEW`"


def _in(*ranges: tuple[int, int]) -> Callable[[str], bool]:
    return lambda letter: any(first <= ord(letter) <= last for first, last in ranges)


# The name, what people call it, the letters of its texts, and their share of all that are not ASCII. Japanese
# comes first: Korean and Chinese read as Japanese give half-width letters, which no one writes. Chinese read
# as Korean gives Hangul as well, but not as much.
_CANDIDATES: tuple[tuple[str, str, Callable[[str], bool], float], ...] = (
    ("shift_jis", "Japanese (Shift JIS)", _in((0x3040, 0x30FF), (0x4E00, 0x9FFF), (0x3000, 0x303F)), 0.85),
    ("cp949", "Korean (CP949 or EUC-KR)", _in((0xAC00, 0xD7A3), (0x3130, 0x318F)), 0.85),
    ("gb18030", "Chinese (GB 18030 or GBK)", _in((0x4E00, 0x9FFF), (0x3000, 0x303F), (0xFF00, 0xFFEF)), 0.85),
    ("cp1251", "Cyrillic (Windows-1251)", _in((0x0410, 0x044F), (0x0401, 0x0401), (0x0451, 0x0451)), 0.9),
)
# An accent stands alone between ASCII letters. Read as Chinese, it is a character together with the next one.
_HIGH, _ALONE = re.compile(rb"[\x80-\xff]"), re.compile(rb"(?<![\x80-\xff])[\xa0-\xff](?![\x80-\xff])")
# Fewer bytes say nothing about the language.
_FEWEST_BYTES = 8
# In a Western text accents are rare among letters; in Cyrillic nearly all letters are such bytes.
_FEWEST_OF_LETTERS = 0.25


def _is_mixed(text: str) -> bool:
    """Whether most words with letters beyond ASCII have ASCII letters, too: accents, not Cyrillic."""
    words = [word for word in text.split() if any(letter > "\x7f" and letter.isalpha() for letter in word)]
    mixed = [word for word in words if any(letter <= "\x7f" and letter.isalpha() for letter in word)]
    return 2 * len(mixed) > len(words)


def _as_utf8(data: bytes) -> tuple[str, int]:
    text = codecs.getincrementaldecoder(UTF8)("replace").decode(data)
    return text, text.count("\ufffd")


def _decode(data: bytes, name: str) -> str | None:
    try:
        return codecs.getincrementaldecoder(name)("strict").decode(data)
    except UnicodeDecodeError:
        return None
