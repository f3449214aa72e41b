"""Damage that any file can come to: bytes that flip, vanish or repeat, and lengths that lie."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random

Damage = Callable[[Random, bytes, Sequence[bytes]], bytes]

# Where sizes, counts and offsets go wrong: at zero, at the ends of whole numbers' types, and just past them.
NUMBERS = (0, 1, -1, 2, 3, 7, 255, 256, 2**15 - 1, 2**15, 2**16 - 1, 2**16, 10**6, 2**24, 2**28, 2**30)
NUMBERS += (2**31 - 1, 2**31, 2**32 - 1, 2**32, 10**12, 2**53 + 1, 2**62, 2**63 - 1, 2**63, 2**64 - 1)

# Most formats begin with the fields that everything else depends on.
_HEADER_BYTES = 96
# Short lines are a search each: 5,000 of them, which 64 KB hold, take seven seconds on a busy machine.
_LONGEST_REPEAT = 1 << 15


def place(random: Random, data: bytes) -> int:
    """A place in the data, near its beginning as often as anywhere."""
    if not data:
        return 0
    return random.randrange(min(len(data), _HEADER_BYTES) if random.random() < 0.5 else len(data))


def packed(random: Random, number: int) -> bytes:
    """A number as a file may hold it: 1, 2, 4 or 8 bytes, in either order."""
    size = random.choice((1, 2, 4, 4, 4, 8))
    return (number % (1 << 8 * size)).to_bytes(size, random.choice(("little", "big")))


def flip_bit(random: Random, data: bytes, others: Sequence[bytes]) -> bytes:
    changed, where = bytearray(data), place(random, data)
    if changed:
        changed[where] ^= 1 << random.randrange(8)
    return bytes(changed)


def set_byte(random: Random, data: bytes, others: Sequence[bytes]) -> bytes:
    changed, where = bytearray(data), place(random, data)
    if changed:
        changed[where] = random.choice((0, 1, 0x7F, 0x80, 0xFE, 0xFF, random.randrange(256)))
    return bytes(changed)


def set_number(random: Random, data: bytes, others: Sequence[bytes]) -> bytes:
    where, number = place(random, data), packed(random, random.choice(NUMBERS))
    return data[:where] + number + data[where + len(number) :]


def insert(random: Random, data: bytes, others: Sequence[bytes]) -> bytes:
    where = place(random, data)
    return data[:where] + random.randbytes(random.choice((1, 2, 4, 16, 300))) + data[where:]


def delete(random: Random, data: bytes, others: Sequence[bytes]) -> bytes:
    where = place(random, data)
    return data[:where] + data[where + random.choice((1, 1, 2, 4, 16, 300)) :]


def repeat(random: Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """A part of the file comes twice, or a thousand times."""
    where, length = place(random, data), random.choice((1, 4, 16, 64))
    part = data[where : where + length]
    times = random.choice((1, 2, 10, 1000))
    return data[:where] + (part * times)[:_LONGEST_REPEAT] + data[where:]


def truncate(random: Random, data: bytes, others: Sequence[bytes]) -> bytes:
    return data[: place(random, data)]


def lose_the_end(random: Random, data: bytes, others: Sequence[bytes]) -> bytes:
    return data[: -random.choice((1, 1, 2, 4, 8, 100))]


def lose_the_beginning(random: Random, data: bytes, others: Sequence[bytes]) -> bytes:
    return data[random.choice((1, 1, 2, 4, 8, 100)) :]


def splice(random: Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """The beginning of one file, and the end of another."""
    other = random.choice(others) if others else data
    return data[: place(random, data)] + other[place(random, other) :]


def replace_by_another(random: Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """A file with another's name: a folder that was copied together, or a renamed file."""
    return random.choice(others) if others else b""


def blank(random: Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """Zeros in place of a block, as a file system leaves them after a crash."""
    where, length = place(random, data), random.choice((16, 512, 4096))
    return data[:where] + bytes(min(length, len(data) - where)) + data[where + length :]


def replace_all(random: Random, data: bytes, others: Sequence[bytes]) -> bytes:
    return random.choice(
        (b"", b"\0", b"\n", b"\xff" * 20, random.randbytes(200), b"null", b"\x1f\x8b\x08\x00")
    )


EVERY_FORMAT: tuple[Damage, ...] = (
    *(flip_bit, flip_bit, flip_bit, set_byte, set_number, set_number, insert, delete, repeat),
    *(truncate, truncate, lose_the_end, lose_the_beginning, splice, blank),
)
# These leave little of the file for anything else to be wrong with, so they come alone and seldom.
WHOLE_FILES: tuple[Damage, ...] = (replace_by_another, replace_all)
