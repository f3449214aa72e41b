"""Whether data is named by a pattern or a URL. Needs no library, so that options can ask it."""

from __future__ import annotations

from pathlib import Path

_MAGIC = frozenset("*?[")


def is_pattern(source: object) -> bool:
    """Whether training data is named by a pattern or a URL, and not by a file or a folder."""
    text = str(source) if isinstance(source, (str, Path)) else ""
    return "://" in text or (bool(_MAGIC.intersection(text)) and not Path(text).exists())
