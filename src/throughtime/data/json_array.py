"""One JSON document that is a list of objects, as `frame.to_json(orient="records")` writes it."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from throughtime.data.delimited import Report
from throughtime.data.json_values import NO_OBJECT, parse_json
from throughtime.encodings import UTF8
from throughtime.errors import DataError

# It is read whole, and takes ten times its size in memory.
_MOST_BYTES = 64 << 20
_LINES = "write one object on each line of a .jsonl file, as `jq -c '.[]' data.json > data.jsonl` does"
_OF_PAIRS = "jq -c '.[] | {text: .[0], entities: .[1].entities}' %s > %s.jsonl"


def is_json_array(path: Path) -> bool:
    """Whether a file is called .json and begins with a bracket."""
    if path.suffix.lower() != ".json":
        return False
    try:
        with path.open("rb") as file:
            return file.read(1 << 10).removeprefix(b"\xef\xbb\xbf").lstrip()[:1] == b"["
    except OSError:
        return False


def read_json_array(path: Path, report: Report, encoding: str = UTF8) -> Iterator[tuple[int, dict[str, Any]]]:
    """Read the objects of a list.

    Args:
        path: a .json file.
        report: is told the number and the fault of each that is no object.
        encoding: of the text.
    Yields:
        The number of each object, from 1, and its values.
    Raises:
        DataError: it is no list, or so large that it has to be read line by line.
    """
    try:
        with path.open("rb") as file:
            content = file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from None
    if len(content) > _MOST_BYTES:
        raise DataError(f"{path} is larger than {_MOST_BYTES >> 20} MiB, and is read whole: {_LINES}")
    try:
        values = parse_json(content.decode(encoding, "surrogateescape").removeprefix("\ufeff"))
    except (DataError, UnicodeError) as error:
        raise DataError(f"{path}: {error}") from None
    if not isinstance(values, list):
        raise DataError(f"{path} is no list of objects: {_LINES}")
    if not values:
        raise DataError(f"{path} is an empty list: there is nothing to read")
    match values[0]:
        case [str(), {"entities": list()}]:
            command = _OF_PAIRS % (shlex.quote(str(path)), shlex.quote(path.stem))
            raise DataError(
                f"{path}: texts and entities in lists, as spaCy has them: make objects: {command}"
            )
    for number, value in enumerate(values, 1):
        if isinstance(value, dict):
            yield number, value
        else:
            report(number, NO_OBJECT)
