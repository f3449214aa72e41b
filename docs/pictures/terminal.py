"""A recording of a terminal as an SVG whose lines appear one after the other."""

from __future__ import annotations

import html
from collections.abc import Sequence

_WIDTH, _LINE, _LETTER, _EDGE, _BAR = 96, 17, 7.83, 18, 34
_SECONDS = 0.35  # between two lines
_REST = 8  # seconds that the whole stands still before it begins again
_STYLE = (
    "text{font:13px ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace;"
    "fill:#d8dee4}.c{fill:#7ee787}.d{fill:#8b949e}"
)


def terminal(session: Sequence[tuple[str, str]]) -> bytes:
    """The SVG.

    Args:
        session: commands, and what each printed.
    """
    lines: list[tuple[str, str]] = []
    for command, output in session:
        lines.append(("c", f"$ {command}"))
        for line in output.rstrip("\n").split("\n"):
            lines += [("", line[at : at + _WIDTH]) for at in range(0, max(len(line), 1), _WIDTH)]
        lines.append(("", ""))
    lines.pop()
    width, height = _WIDTH * _LETTER + 2 * _EDGE, len(lines) * _LINE + _BAR + _EDGE
    duration = len(lines) * _SECONDS + _REST
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height}" '
        f'width="{width:.0f}" height="{height}">',
        f"<style>{_STYLE}",
        f"@media(prefers-reduced-motion:no-preference){{g{{animation-duration:{duration:.2f}s;"
        "animation-iteration-count:infinite}}",
    ]
    # Each line waits for its share of the time, then stays.
    for number in range(len(lines)):
        share = 100 * number * _SECONDS / duration
        parts.append(
            f"@keyframes l{number}{{0%,{share:.2f}%{{opacity:0}}{share + 0.01:.2f}%,100%{{opacity:1}}}}"
        )
        parts.append(f"#l{number}{{animation-name:l{number}}}")
    parts.append("</style>")
    parts.append('<rect width="100%" height="100%" rx="8" fill="#0d1117"/>')
    for number, colour in enumerate(("#ff5f56", "#ffbd2e", "#27c93f")):
        parts.append(f'<circle cx="{_EDGE + 18 * number}" cy="17" r="5.5" fill="{colour}"/>')
    for number, (kind, line) in enumerate(lines):
        y = _BAR + (number + 1) * _LINE - 4
        # Not every program that draws SVG keeps plain spaces.
        text = html.escape(line).replace(" ", "\N{NO-BREAK SPACE}")
        parts.append(f'<g id="l{number}"><text class="{kind}" x="{_EDGE}" y="{y}">{text}</text></g>')
    parts.append("</svg>\n")
    return "\n".join(parts).encode()
