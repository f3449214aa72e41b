"""What a person sees of a training: names of files and folders are shown as they are."""

from __future__ import annotations

import io

from rich.console import Console

from throughtime.training.progress import ConsoleProgress


def test_a_name_with_brackets_is_no_markup() -> None:
    output = io.StringIO()
    show = ConsoleProgress(Console(file=output, force_terminal=True, width=120))
    for done in (1, 2):
        show.preparing("reading x[/b]y [red]", done, 2)
    show.described("lr[lr=0.1], 3 parameters", None)  # type: ignore[arg-type]
    show.remark("left out x[/b]y")
    text = output.getvalue()
    assert "reading x[/b]y [red]" in text and "lr[lr=0.1], 3 parameters" in text and "left out x[/b]y" in text
