"""Lists of strings as texts: clicks, codes, system calls, each of which is one token."""

from __future__ import annotations

import re
from typing import Any

from throughtime.data.lines import shown
from throughtime.errors import DataError

# Stands for white space inside an event, so that a tokenizer of words does not part it: OPEN BOX.
OPEN_BOX = "\u2423"
_SPACE = re.compile(r"\s+")


def events_as_text(values: Any) -> str:
    """A list of events as words between spaces: ["log in", "buy"] is "log␣in buy".

    Raises:
        DataError: it is no list of strings, or one of them is empty.
    """
    if not isinstance(values, (list, tuple)):
        raise DataError(f"{shown(values)} is no list of events")
    words = []
    for number, value in enumerate(values, 1):
        if not isinstance(value, str) or not value.strip():
            raise DataError(
                f"event {number} of the list is {shown(value)}, expected a text that is not empty"
            )
        words.append(_SPACE.sub(OPEN_BOX, value.strip()))
    return " ".join(words)
