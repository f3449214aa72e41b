"""Facts in the files of a run folder, JSON and TOML: believed only where types and ranges are right."""

from __future__ import annotations

import sys
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from throughtime.errors import RunError

if TYPE_CHECKING:
    from pydantic import TypeAdapter
    from pydantic_core import ErrorDetails

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # pyright: ignore[reportMissingImports]

Kind = TypeVar("Kind")
# Of what a file holds where it should hold something else: a list of millions would fill the screen.
_MOST_SHOWN = 60


def read_json(path: str | Path, kind: type[Kind]) -> Kind:
    """Read a JSON file of a run folder.

    Args:
        path: the file.
        kind: what it has to hold: a type such as `list[str]`, or a dataclass whose fields say types and
            ranges. Nothing is converted: a number in quotes is no number.
    Raises:
        RunError: the file is missing, no JSON or something else (the message names file and field).
    """
    path = Path(path)
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise RunError(f"{path} is missing: the run folder is incomplete") from None
    except OSError as error:
        raise RunError(f"{path} cannot be read: {error.strerror or error}") from None
    return parse_json(content, kind, str(path))


def parse_json(content: bytes | str, kind: type[Kind], name: str) -> Kind:
    """As `read_json`, of JSON that lies in another file.

    Args:
        name: of the file, for errors.
    """
    # Here, as those who run networks do without it.
    from pydantic import ValidationError

    try:
        # Its parser stops at 200 levels of nesting.
        return _reader(kind).validate_json(content, strict=True)
    except ValidationError as error:
        fault = error.errors()[0]
        place = ".".join(map(str, fault["loc"]))
        raise RunError(f"{name} is damaged: {f'{place}: ' if place else ''}{describe_fault(fault)}") from None


@cache
def _reader(kind: type[Kind]) -> TypeAdapter[Kind]:
    """What reads a kind; making it takes longer than reading most files."""
    from pydantic import TypeAdapter

    return TypeAdapter(kind)


def read_toml(path: str | Path) -> dict[str, Any]:
    """Read a run folder's config.toml, without a look at what it holds.

    Raises:
        RunError: the file is missing or not TOML.
    """
    path = Path(path)
    try:
        return parse_toml(path.read_bytes())
    except FileNotFoundError:
        raise RunError(
            f"{path} is missing: {path.parent} is not a run folder, or an incomplete one"
        ) from None
    except OSError as error:
        raise RunError(f"{path} cannot be read: {error.strerror or error}") from None
    except ValueError as error:
        raise RunError(f"{path} is damaged: {error}") from None


def parse_toml(content: bytes) -> dict[str, Any]:
    """What a TOML file holds.

    Raises:
        ValueError: it is no TOML, no UTF-8, nested without end, or has a number of thousands of digits.
    """
    try:
        return tomllib.loads(content.decode("utf-8"))
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def describe_fault(fault: ErrorDetails) -> str:
    """What pydantic found wrong with a value, in part of a line."""
    message = fault["msg"].removeprefix("Value error, ")
    if fault["type"] in ("value_error", "json_invalid", "missing"):
        return message[0].lower() + message[1:] if fault["type"] != "value_error" else message
    return f"{message[0].lower()}{message[1:]}, not {shown(fault['input'])}"


def shown(value: object) -> str:
    """A value as a message shows it, on one line and not too long."""
    text = repr(value)
    return text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}..."
