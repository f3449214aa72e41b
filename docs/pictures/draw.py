"""Draws the pictures of the tutorial into docs/images/.

    python docs/pictures/draw.py            all of them
    python docs/pictures/draw.py --check    none: names those that would change

The numbers behind the charts are in measured.json, which measure.py writes. Drawing trains nothing.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

import canvas  # noqa: E402
import charts  # noqa: E402
import diagrams  # noqa: E402
import notebook  # noqa: E402
import terminal  # noqa: E402
from matplotlib.figure import Figure  # noqa: E402

IMAGES = HERE.parent / "images"

PICTURES: dict[str, Callable[[], Figure]] = {
    "five_shapes": diagrams.five_shapes,
    "rnn_cell": diagrams.rnn_cell,
    "unrolled": diagrams.unrolled,
    "truncated": diagrams.truncated,
    "captioning": diagrams.captioning,
    "lstm_cell": diagrams.lstm_cell,
    "gru_cell": diagrams.gru_cell,
    **charts.PICTURES,
}
NAMES = [*PICTURES, "terminal", "notebook"]


def draw(name: str) -> bytes:
    """The picture of that name, as SVG."""
    if name == "terminal":
        return terminal.terminal(charts.measured()["terminal"])
    if name == "notebook":
        return notebook.notebook(charts.measured()["notebook"])
    with canvas.settings():
        return canvas.svg(PICTURES[name]())


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", help="which ones; all by default")
    parser.add_argument(
        "--check", action="store_true", help="write nothing, and fail where a picture would change"
    )
    arguments = parser.parse_args()
    changed = []
    for name in arguments.names or NAMES:
        path, drawn = IMAGES / f"{name}.svg", draw(name)
        if not path.exists() or path.read_bytes() != drawn:
            changed.append(path)
            if not arguments.check:
                path.write_bytes(drawn)
    print("\n".join(str(path) for path in changed) or "nothing changes")
    if arguments.check and changed:
        sys.exit(1)


if __name__ == "__main__":
    main()
