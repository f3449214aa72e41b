"""A training in a notebook as an SVG: the cell, and the output that is drawn anew while it trains."""

from __future__ import annotations

import html
from typing import Any

from throughtime.training.notebook import Curve

_WIDTH, _LINE, _EDGE = 760, 17, 16
_STYLE = (
    "text.p{font:12px Helvetica,Arial,sans-serif}"
    "text.c{font:12px ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace}"
)


def notebook(shown: dict[str, Any]) -> bytes:
    """The SVG.

    Args:
        shown: code, said, status and evaluations, as lines; epochs, training and validation: the curve.
    """
    parts: list[str] = []
    y = _EDGE

    def write(lines: list[str], kind: str, left: int) -> None:
        nonlocal y
        for line in lines:
            y += _LINE
            # Not every program that draws SVG keeps plain spaces.
            text = html.escape(line).replace(" ", "\N{NO-BREAK SPACE}")
            parts.append(f'<text class="{kind}" x="{left}" y="{y}">{text}</text>')

    top = y
    write(shown["code"], "c", _EDGE + 10)
    parts.insert(
        0,
        f'<rect x="{_EDGE}" y="{top}" width="{_WIDTH - 2 * _EDGE}" height="{y - top + 10}" rx="3" '
        f'fill="#f6f8fa" stroke="#d0d7de"/>',
    )
    y += 16
    write(shown["said"], "p", _EDGE + 10)
    y += 10
    bar = 560
    parts.append(f'<rect x="{_EDGE + 10}" y="{y}" width="{bar}" height="8" rx="4" fill="#0072B2"/>')
    y += 8
    write([shown["status"]], "p", _EDGE + 10)
    curve = Curve()
    curve.training = [tuple(point) for point in shown["training"]]
    curve.validation = [tuple(point) for point in shown["validation"]]
    # A drawing inside another one has its place as attributes.
    drawn = curve.svg(shown["epochs"]).replace(
        "<svg ", f'<svg x="{_EDGE + 10}" y="{y + 6}" color="#1f2328" ', 1
    )
    parts.append(drawn)
    y += 232
    write(shown["evaluations"], "c", _EDGE + 10)
    height = y + _EDGE
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" '
        f'height="{height}">\n<style>{_STYLE}</style>\n<rect width="100%" height="100%" fill="#ffffff"/>\n'
        + "\n".join(parts)
        + "\n</svg>\n"
    ).encode()
