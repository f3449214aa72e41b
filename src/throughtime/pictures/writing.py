"""Pictures as files and as bytes."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from throughtime.files import write_atomically
from throughtime.pictures.fonts import fit_fonts


def write_picture(path: str | Path, figure: Any, **options: Any) -> None:
    """Write a matplotlib figure atomically, in the format that its name ends in.

    Args:
        path: the file.
        figure: of matplotlib.
        **options: of `savefig`.
    Raises:
        ValueError: matplotlib does not know the format.
    """
    write_atomically(path, drawn(figure, Path(path).suffix.lstrip(".").lower() or None, **options))


def drawn(figure: Any, kind: str | None, **options: Any) -> bytes:
    """A figure as the bytes of a picture, with fonts that have its characters.

    Args:
        figure: of matplotlib.
        kind: "png", "svg", "pdf"; None is matplotlib's own choice.
        **options: of `savefig`.
    Raises:
        ValueError: matplotlib does not know the format.
    """
    fit_fonts(figure)
    content = io.BytesIO()
    figure.savefig(content, format=kind, **options)
    return content.getvalue()
