"""JSON as users' files hold it, which may be deeper or stranger than what walks through it can bear."""

from __future__ import annotations

import json
import math
from typing import Any

from throughtime.data.limits import NESTING
from throughtime.data.lines import check_text
from throughtime.errors import DataError


def parse_json(text: str) -> Any:
    """The value that a JSON text stands for.

    Raises:
        DataError: it is not JSON, is nested too deeply, or a string in it is no Unicode text.
    """
    try:
        check_text(text)
        value = json.loads(text)
    except RecursionError:
        raise DataError(_TOO_DEEP) from None
    except ValueError as error:
        raise DataError(f"not JSON: {error}") from None
    # Few brackets and no escape for a surrogate: then there is nothing to look for.
    if text.count("[") + text.count("{") > NESTING or "\\ud" in text or "\\uD" in text:
        _check(value)
    return value


def without_nan(value: Any) -> Any:
    """A value of lists and dictionaries as JSON can hold it: null for a number that is NaN or infinite."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {name: without_nan(part) for name, part in value.items()}
    return [without_nan(part) for part in value] if isinstance(value, (list, tuple)) else value


NO_OBJECT = 'not a JSON object like {"text": ..., "label": ...}'
_TOO_DEEP = f"nested too deeply: {NESTING} brackets inside each other are read at most"


def _check(value: Any) -> None:
    """Look at every container and every string, level by level: recursion is what has to be avoided."""
    level = [value]
    for _ in range(NESTING + 1):
        inner: list[Any] = []
        for one in level:
            if isinstance(one, str):
                check_text(one)
            elif isinstance(one, list):
                inner += [part for part in one if isinstance(part, (str, list, dict))]
            elif isinstance(one, dict):
                inner += one
                inner += [part for part in one.values() if isinstance(part, (str, list, dict))]
        if not inner:
            return
        level = inner
    raise DataError(_TOO_DEEP)
