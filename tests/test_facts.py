"""Facts in files: what is damaged is an error of one line, with the file and the field."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import pytest
from pydantic import Field, FiniteFloat

from throughtime.errors import RunError
from throughtime.facts import parse_toml, read_json, read_toml


@dataclass(frozen=True)
class Facts:
    """Of a test."""

    names: tuple[str, ...]
    size: Annotated[int, Field(ge=1, le=100)] | None = None
    mean: tuple[FiniteFloat, ...] = ()

    def __post_init__(self) -> None:
        if not self.names:
            raise ValueError("names are empty")


def test_what_is_right_is_read(tmp_path: Path) -> None:
    path = tmp_path / "facts.json"
    path.write_text('{"names": ["ä"], "size": 7, "mean": [1, -2.5e3], "of another version": [[]]}')
    assert read_json(path, Facts) == Facts(("ä",), 7, (1.0, -2500.0))
    path.write_text('["a"]')
    assert read_json(path, list[str]) == ["a"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"[" * 100_000, "invalid JSON: recursion limit exceeded"),
        (b'{"names": ' + b'{"a": ' * 100_000, "invalid JSON: recursion limit"),
        (b'{"names": ["a"], "size": ' + b"9" * 5000 + b"}", "number out of range"),
        (b'{"names": ["a"], "size": 9223372036854775808}', "size: input should be less than or equal to 100"),
        (b'{"names": ["a"], "size": 2.5}', "size: input should be a valid integer, not 2.5"),
        (b'{"names": ["a"], "size": "7"}', "size: input should be a valid integer, not '7'"),
        (b'{"names": ["a"], "size": true}', "size: input should be a valid integer, not True"),
        (b'{"names": ["a"], "mean": 3}', "mean: input should be a valid array, not 3"),
        (b'{"names": ["a"], "mean": [1, NaN]}', "mean.1: input should be a finite number, not nan"),
        (b'{"names": [1]}', "names.0: input should be a valid string, not 1"),
        (b'{"names": []}', "is damaged: names are empty"),
        (b'{"names": {"a": "' + b"b" * 9999 + b'"}}', "names: input should be a valid array, not {'a': 'bbb"),
        (b"{}", "names: field required"),
        (b"3", "is damaged: input should be an object, not 3"),
        (b"", "invalid JSON"),
        (b'{"names": ["\xff"]}', "invalid JSON"),
        (b'{"names": ["\\ud800"]}', "invalid JSON"),
    ],
)
def test_what_is_wrong_is_named_in_one_short_line(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "facts.json"
    path.write_bytes(content)
    with pytest.raises(RunError) as raised:
        read_json(path, Facts)
    message = str(raised.value)
    assert message.startswith(f"{path} is damaged: ") and said in message
    assert "\n" not in message and len(message) < len(str(path)) + 200


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"facts.json is missing: the run folder is incomplete"):
        read_json(tmp_path / "facts.json", Facts)
    with pytest.raises(RunError, match="cannot be read: Is a directory"):
        read_json(tmp_path, Facts)
    with pytest.raises(RunError, match="cannot be read: Is a directory"):
        read_toml(tmp_path)


@pytest.mark.parametrize("content", [b"x = " + b"[" * 20_000, b"x = " + b"9" * 5000, b"x = \xff", b"x ="])
def test_toml_that_is_none_is_an_error_of_the_callers_choice(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(ValueError):
        parse_toml(content)
    path = tmp_path / "config.toml"
    path.write_bytes(content)
    with pytest.raises(RunError, match=r"config.toml is damaged") as raised:
        read_toml(path)
    assert "\n" not in str(raised.value)
