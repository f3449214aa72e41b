"""Damage to tars whose headers have the right checksum afterwards."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Sequence
from random import Random

from fuzzing.damage_bytes import EVERY_FORMAT, NUMBERS, Damage

_BLOCK = 512
_CHECKSUM = slice(148, 156)
# Where a header's fields begin and end: name, mode, owner, group, size, time, kind, link, magic, owner's
# name, prefix.
_FIELDS = ((0, 100), (100, 108), (108, 116), (116, 124), (124, 136), (136, 148), (156, 157), (157, 257))
_FIELDS += ((257, 265), (265, 297), (345, 500))
_NAMES = ("../x.npy", "/etc/passwd", "a/0.npy", "a/0", "", ".", "a/\xe9.npy", "\x1b[31m.cls", "b/0.wav")
_KINDS = "0123456 7xgLKSDNV"


def tar_header(random: Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """A field of a member's header: another name, size or kind, or bytes that are none."""
    start = random.choice(_headers(data))
    header = bytearray(data[start : start + _BLOCK])
    chance = random.random()
    if chance < 0.3:
        name = random.choice(_NAMES).encode("utf-8", "surrogateescape")
        header[0:100] = name.ljust(100, b"\0")
    elif chance < 0.6:
        header[124:136] = _size(random)
    elif chance < 0.8:
        header[156:157] = random.choice(_KINDS).encode()
        header[157:257] = b"a/0.npy".ljust(100, b"\0")
    else:
        first, last = random.choice(_FIELDS)
        header[first:last] = random.randbytes(last - first)
    return data[:start] + _checked(header) + data[start + _BLOCK :]


def tar_member(inner: Damage) -> Damage:
    """What `inner` does to the content of one member, with its length right again."""

    def damage(random: Random, data: bytes, others: Sequence[bytes]) -> bytes:
        members, buffer = _members(data), io.BytesIO()
        name = random.choice(list(members))
        members[name] = inner(random, members[name], list(members.values()))
        with tarfile.open(fileobj=buffer, mode="w") as archive:
            for path, content in members.items():
                header = tarfile.TarInfo(path)
                header.size = len(content)
                archive.addfile(header, io.BytesIO(content))
        return buffer.getvalue()

    return damage


def tar_blocks(random: Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """Blocks that are missing, or come twice: members without a content, and contents without a header."""
    start = random.choice(_headers(data))
    return random.choice(
        (
            data[:start] + data[start + _BLOCK :],
            data[: start + _BLOCK] + data[start:],
            data[:start] + bytes(2 * _BLOCK) + data[start:],
            data + data,
            data[: start + random.choice((1, 300, _BLOCK, _BLOCK + 1))],
        )
    )


def _size(random: Random) -> bytes:
    number = random.choice(NUMBERS)
    if 0 <= number < 8**11 and random.random() < 0.7:
        return b"%011o\0" % number
    return b"\x80" + (number % (1 << 88)).to_bytes(11, "big")


def _checked(header: bytearray) -> bytes:
    header[_CHECKSUM] = b" " * 8
    header[_CHECKSUM] = b"%06o\0 " % sum(header)
    return bytes(header)


def _headers(data: bytes) -> list[int]:
    """Where the headers of members begin, those that say something about the next one included."""
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        return sorted({start for member in archive for start in (member.offset, member.offset_data - _BLOCK)})


def _members(data: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        return {member.name: archive.extractfile(member).read() for member in archive}  # type: ignore[union-attr]


# Contents of every kind, in a tar that is whole.
TAR: tuple[Damage, ...] = (
    *(tar_header, tar_header, tar_header, tar_blocks),
    *(tar_member(damage) for damage in EVERY_FORMAT[:4]),
)
