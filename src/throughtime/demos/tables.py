"""Tables of the data that demonstrations draw."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from throughtime.files import write_atomically


def write_table(path: Path, rows: Iterable[Iterable[Any]]) -> None:
    """Write a .csv, the first row its header."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    write_atomically(path, text.getvalue().encode())
