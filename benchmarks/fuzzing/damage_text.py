"""Damage to text: tables, lines, JSON and TOML that still parse, or nearly, and hold what nobody expects."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from random import Random
from typing import Any

from fuzzing.damage_bytes import NUMBERS

_DEEP = 20_000
_LONG = 150_000

# fmt: off
# As they stand in a file; the lone surrogate is what a broken program makes of an emoji in UTF-8.
SNIPPETS: tuple[bytes, ...] = (
    b"", b" ", b"\0", b"\r", b"\n", b"\r\n", b"\t", b",", b";", b'"', b'""', b"'", b"\\", b"%s%n", b"=1+1",
    b"\x1b[31mred\x1b[0m", b"\x1b]0;title\x07", b"\x9b2J", b"\x7f\x08\x08", b"[bold]", b"[/b]", b"[/]",
    b"\xef\xbb\xbf", b"\xff\xfe", b"\xed\xa0\x80", b"\xc3", b"\xff", b"\xe2\x80\xa8", b"\xc2\x85",
    b"\xe2\x80\xae",
    b"\xf0\x9f\x98\x80", b"e\xcc\x81" * 50, b"<unk>", b"../secret", b"/etc/passwd", b"~", b"-", b"--help",
    b".",
    b"..", b"nan", b"NaN", b"inf", b"-Infinity", b"1e400", b"-1e39", b"1e-400", b"0x10", b"1_000",
    b"\xd9\xa3",
    b"-0", b"9" * 5000, b"1" + b"0" * 400, b"-1", b"0", b"0.5", b"1e5", b"true", b"None", b"null", b"[]",
    b"{}",
    b"a" * 300, b"[" * _DEEP, b"a" * _LONG, b"word " * 30_000, b"\n" * 20_000, b",".join([b"1"] * 20_000),
    b'"' + b"x" * _LONG,
    b"[1]", b"['a' 'b']", b"['a' 3 nan]", b"[{'a': b'x'}]", b"[1, {1}]", b"[" + b"-" * _LONG + b"1]",
    b"[" + b"1 " * 30_000 + b"]", b"['a', " * _DEEP + b"]" * _DEEP, b"[0, 5, 'x']", b"31 Feb 2024", b"?",
    b"202413", b"1700000000000000000", b"99999-01-01",
)

# As they stand in JSON.
JSON_LITERALS: tuple[str, ...] = (
    "null", "true", "false", "[]", "{}", "[[]]", "[null]", '{"a": 1}', "[[1, 2], [3]]", "[1, [2]]", '""',
    '"a"', '"0"',
    "0", "1", "-1", "-0.0", "0.5", "3.0", "1e308", "1e400", "-1e400", "1e-400", "NaN", "Infinity",
    "-Infinity",
    "9" * 5000, "1" + "0" * 400, *map(str, NUMBERS), '"\\ud800"', '"\\u0000"', '"\\u001b[31m"', '"[/b]"',
    '"../secret"', '"/etc/passwd"', '"' + "a" * _LONG + '"',
    "[" * _DEEP + "]" * _DEEP, "[" * _DEEP, '{"a":' * _DEEP + "1" + "}" * _DEEP,
)

TOML_LITERALS: tuple[str, ...] = (
    '""', '"a"', '"auto"', "true", "false", "0", "1", "-1", "0.5", "-0.5", "nan", "inf", "-inf", "1e400",
    "1_0", "'",
    "[]", "[1]", "{}", "{a = 1}", "1979-05-27", "07:32:00", "9" * 5000, "0x7fffffffffffffff", '"\\u0000"',
    '"[/b]"',
    '"../secret"', '"""', '"' + "a" * _LONG + '"', "[" * _DEEP + "]" * _DEEP, *map(str, NUMBERS),
)
# fmt: on

_NUMBER = re.compile(rb"-?\d+(\.\d+)?")
_MARK = "@literal@"


def put_snippet(random: Random, data: bytes, others: Sequence[bytes]) -> bytes:
    where = random.randint(0, len(data))
    return data[:where] + random.choice(SNIPPETS) + data[where:]


def replace_number(random: Random, data: bytes, others: Sequence[bytes]) -> bytes:
    found = list(_NUMBER.finditer(data))
    if not found:
        return put_snippet(random, data, others)
    start, end = random.choice(found).span()
    new = str(random.choice(NUMBERS)).encode() if random.random() < 0.5 else random.choice(SNIPPETS)
    return data[:start] + new + data[end:]


def replace_cell(random: Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """Another value between two separators."""
    cells = re.split(rb"([,\t\n])", data)
    cells[2 * random.randrange((len(cells) + 1) // 2)] = random.choice(SNIPPETS)
    return b"".join(cells)


def change_lines(random: Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """A line that is missing, comes twice or a thousand times, or elsewhere."""
    lines = data.splitlines(keepends=True) or [b""]
    which = random.randrange(len(lines))
    lines[which : which + 1] = random.choice(
        ([], [lines[which]] * 2, [lines[which]] * 1000, [lines[0], lines[-1]])
    )
    return b"".join(lines)


def other_separators(random: Random, data: bytes, others: Sequence[bytes]) -> bytes:
    old, new = random.sample((b",", b"\t", b"\n", b";", b'"', b"\r\n"), 2)
    return data.replace(old, new, random.choice((1, -1)))


def other_encoding(random: Random, data: bytes, others: Sequence[bytes]) -> bytes:
    return data.decode("utf-8", "replace").encode(
        random.choice(("utf-16", "utf-16-le", "utf-32", "latin-1")), "replace"
    )


def change_json(random: Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """Another value, a key too few or too many; raises ValueError where this is no JSON."""
    document = json.loads(data)
    raw = None
    for _ in range(random.choice((1, 1, 1, 2))):
        document, raw = _change_value(random, document, raw)
    text = json.dumps(document, ensure_ascii=random.random() < 0.5)
    if raw is not None:
        text = text.replace(f'"{_MARK}"', raw)
    if random.random() < 0.05:
        text = text.replace("{", '{"version": 9, ', 1)  # perhaps the second of this name
    return text.encode("utf-8", "surrogatepass")


def change_json_line(random: Random, data: bytes, others: Sequence[bytes]) -> bytes:
    lines = data.splitlines()
    which = random.randrange(len(lines))
    lines[which] = change_json(random, lines[which], others)
    return b"\n".join(lines) + b"\n"


def _change_value(random: Random, document: Any, raw: str | None) -> tuple[Any, str | None]:
    """The document with one change; a literal that json cannot write is a mark, and given beside it."""
    holders = list(_holders(document))
    if not holders:
        return _MARK, random.choice(JSON_LITERALS)
    holder, key = random.choice(holders)
    what = random.random()
    if what < 0.15:
        del holder[key]
    elif what < 0.25 and isinstance(holder, dict):
        holder[random.choice(("", "x", "__metadata__", "\ud800", f"{key} ", "a" * 300))] = holder.pop(key)
    elif what < 0.35 and isinstance(holder, list):
        holder.extend([holder[key]] * random.choice((1, 2, 1000)))
    elif what < 0.45:
        holder[key], other = holder[random.choice(list(_keys(holder)))], holder[key]
        holder[random.choice(list(_keys(holder)))] = other
    else:
        holder[key], raw = _MARK, random.choice(JSON_LITERALS)
    return document, raw


def _holders(value: Any) -> Any:
    """Every place of a document: what holds it, and under which key."""
    if isinstance(value, (dict, list)):
        for key in _keys(value):
            yield value, key
            yield from _holders(value[key])


def _keys(value: dict[str, Any] | list[Any]) -> Any:
    return list(value) if isinstance(value, dict) else range(len(value))


def change_toml(random: Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """Another value behind an equals sign, a line too few or too many."""
    lines = data.decode().splitlines()
    options = [number for number, line in enumerate(lines) if " = " in line]
    which = random.choice(options)
    name, value = lines[which].split(" = ", 1)
    what = random.random()
    if what < 0.1:
        del lines[which]
    elif what < 0.15:
        lines.insert(random.randrange(len(lines)), lines[which])
    elif what < 0.2:
        lines.insert(
            which, random.choice(("[model]", "[x]", "[[data]]", "x = 1", "a.b = 1", "=", "[" * _DEEP))
        )
    elif what < 0.3:
        lines[which] = f"{name} = {lines[random.choice(options)].split(' = ', 1)[1]}"
    else:
        lines[which] = f"{name} = {random.choice(TOML_LITERALS)}"
    return "\n".join(lines).encode("utf-8", "replace")
