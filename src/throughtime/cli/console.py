"""A rich console that prints text as it is: names and labels are no markup, and no orders to the terminal."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TextIO

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from throughtime.cli.terminal import visible


class PlainConsole(Console):
    """A console without markup and highlighting that shows the control characters of texts.

    Args:
        errors: the stream for progress and remarks. A person reads that, be it in a file; without it the
            console prints to standard output, where only a terminal gets text `visible`.
        raw: print control characters as they are.
    """

    def __init__(self, errors: TextIO | None = None, raw: bool = False) -> None:
        super().__init__(file=errors, markup=False, highlight=False)
        self._shows_controls = not raw and (errors is not None or self.is_terminal)

    def cell(self, text: str) -> Text:
        """A text for a table, whose columns have to be as wide as what is shown."""
        return Text(visible(text) if self._shows_controls else text)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """As rich does, but for control characters inside of texts; its own orders are other segments."""
        for segment in super().render(renderable, options):
            if segment.control or not self._shows_controls:
                yield segment
            else:
                yield segment._replace(text=visible(segment.text))
