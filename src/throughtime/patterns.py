"""Whether data is named by a pattern or a URL. Needs no library, so that options can ask it."""

from __future__ import annotations

from pathlib import Path

_MAGIC = frozenset("*?[")
_SHARDS = (".tar", ".tar.gz", ".tgz")


def is_pattern(source: object) -> bool:
    """Whether training data is named by a pattern or a URL, and not by a file or a folder."""
    text = str(source) if isinstance(source, (str, Path)) else ""
    return "://" in text or (bool(_MAGIC.intersection(text)) and not Path(text).exists())


def is_shards(source: object) -> bool:
    """Whether data is named that lies in tar files."""
    text = str(source) if isinstance(source, (str, Path)) else ""
    inner = text.partition("::")[0]
    web = inner.startswith(("http://", "https://"))
    # What follows in a URL of the web may be a signature.
    return (inner.partition("?")[0] if web else inner).lower().endswith(_SHARDS)
