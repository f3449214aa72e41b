"""Damage to pictures, sounds and video: declared sizes, and content behind right checksums."""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Sequence
from random import Random

from fuzzing.damage_bytes import EVERY_FORMAT, NUMBERS

# Sides of pictures: from none over what still fits into memory to what never does.
_SIDES = (0, 1, 2, 9_000, 13_000, 16_383, 17_000, 30_000, 65_535, 65_536, 10**6, 2**31 - 1, 2**31, 2**32 - 1)
_SMALL = (0, 1, 2, 3, 4, 8, 16, 24, 32, 64, 255)


def _u32_at(data: bytes, where: int, number: int, order: str = "<") -> bytes:
    return data[:where] + struct.pack(f"{order}I", number % (1 << 32)) + data[where + 4 :]


def _u16_at(data: bytes, where: int, number: int, order: str = "<") -> bytes:
    return data[:where] + struct.pack(f"{order}H", number % (1 << 16)) + data[where + 2 :]


# ---- PNG


def png_header(random: Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """Another width, height, depth, colour type or interlacing, behind a right checksum."""
    chunks = _png_chunks(data)
    header = bytearray(chunks[0][1])
    for _ in range(random.choice((1, 2))):
        field = random.randrange(7)
        if field < 2:
            struct.pack_into(">I", header, 4 * field, random.choice(_SIDES))
        else:
            header[6 + field] = random.choice(_SMALL)
    chunks[0] = (chunks[0][0], bytes(header))
    if random.random() < 0.3:
        chunks = [
            chunk if chunk[0] != b"IDAT" else (b"IDAT", zlib.compress(bytes(1 << 20), 9)) for chunk in chunks
        ]
    return _png(chunks)


def png_chunk(random: Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """A chunk that is damaged, missing, repeated or new, behind a right checksum."""
    chunks = _png_chunks(data)
    which = random.randrange(len(chunks))
    name, content = chunks[which]
    what = random.random()
    if what < 0.4:
        chunks[which] = (name, random.choice(EVERY_FORMAT)(random, content, [other for _, other in chunks]))
    elif what < 0.5:
        chunks[which : which + 1] = random.choice(([], [chunks[which]] * 2, [chunks[which]] * 300))
    elif what < 0.7:
        # Text and profiles are packed: a few bytes unpack to many.
        packed = zlib.compress(b"a" * random.choice((10, 10**6, 10**8)), 9)
        extra = random.choice((b"zTXt", b"iCCP", b"iTXt"))
        chunks.insert(1, (extra, b"key\0\0" + packed if extra != b"iTXt" else b"key\0\1\0\0\0" + packed))
    else:
        extra = random.choice(
            (b"tRNS", b"PLTE", b"gAMA", b"eXIf", b"acTL", b"fcTL", b"fdAT", b"pHYs", b"IEND", b"\0\xff00")
        )
        chunks.insert(
            random.randint(1, len(chunks)), (extra, random.randbytes(random.choice((0, 1, 4, 26, 768))))
        )
    return _png(chunks)


def png_content(random: Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """The rows of pixels, packed again."""
    chunks = _png_chunks(data)
    rows = zlib.decompress(b"".join(content for name, content in chunks if name == b"IDAT"))
    rows = random.choice(EVERY_FORMAT)(random, rows, [rows])
    rest = [chunk for chunk in chunks if chunk[0] != b"IDAT"]
    return _png([*rest[:-1], (b"IDAT", zlib.compress(rows)), rest[-1]])


def _png_chunks(data: bytes) -> list[tuple[bytes, bytes]]:
    chunks, where = [], 8
    while where + 8 <= len(data):
        length = struct.unpack_from(">I", data, where)[0]
        chunks.append((data[where + 4 : where + 8], data[where + 8 : where + 8 + length]))
        where += 12 + length
    return chunks


def _png(chunks: list[tuple[bytes, bytes]]) -> bytes:
    parts = [b"\x89PNG\r\n\x1a\n"]
    for name, content in chunks:
        parts.append(
            struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
        )
    return b"".join(parts)


# ---- JPEG, WebP, GIF, TIFF


def jpeg_segment(random: Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """The picture's size, its components, or the length of a segment."""
    starts = [where for where in range(2, len(data) - 12) if data[where] == 0xFF and data[where + 1] >= 0xC0]
    frames = [where for where in starts if data[where + 1] in (0xC0, 0xC1, 0xC2)]
    if frames and random.random() < 0.6:
        field = random.choice((5, 7))
        return _u16_at(data, frames[0] + field, random.choice(_SIDES), ">")
    where = random.choice(starts)
    return random.choice(
        (
            _u16_at(data, where + 2, random.choice(NUMBERS), ">"),
            data[: where + 1] + random.randbytes(1) + data[where + 2 :],
            data[: where + 9] + random.randbytes(3) + data[where + 12 :],
            data[:where] + b"\xff\xe1\x00\x10Exif\0\0MM\0*\xff\xff\xff\xff" + data[where:],
        )
    )


def webp_size(random: Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """The declared size of the picture, of the canvas, or of a chunk."""
    if data[12:16] == b"VP8 " and random.random() < 0.6:
        return _u16_at(data, random.choice((26, 28)), random.choice(_SIDES))
    if data[12:16] == b"VP8L" and random.random() < 0.6:
        return _u32_at(data, 21, random.choice(NUMBERS))
    if random.random() < 0.5:
        side = random.choice(_SIDES) % (1 << 24)
        canvas = b"VP8X" + struct.pack("<I", 10) + bytes([random.randrange(64), 0, 0, 0])
        canvas += side.to_bytes(3, "little") + random.choice((side, 0)).to_bytes(3, "little")
        return data[:12] + canvas + data[12:]
    return _u32_at(data, random.choice((4, 16)), random.choice(NUMBERS))


def gif_size(random: Random, data: bytes, others: Sequence[bytes]) -> bytes:
    image = data.find(b",", 13)
    where = random.choice((6, 8, image + 1, image + 3, image + 5, image + 7))
    return _u16_at(data, where, random.choice(_SIDES))


def tiff_entry(random: Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """A field of the directory: its tag, type, count or value."""
    order = "<" if data[:2] == b"II" else ">"
    directory = struct.unpack_from(f"{order}I", data, 4)[0]
    count = struct.unpack_from(f"{order}H", data, directory)[0]
    entry = directory + 2 + 12 * random.randrange(count)
    what = random.random()
    if what < 0.5:
        return _u32_at(data, entry + 8, random.choice((*_SIDES, *NUMBERS)), order)
    if what < 0.7:
        return _u32_at(data, entry + 4, random.choice(NUMBERS), order)
    if what < 0.8:
        return _u16_at(data, entry + 2, random.randrange(20), order)
    if what < 0.9:
        return _u16_at(
            data,
            entry,
            random.choice((254, 256, 257, 258, 259, 262, 273, 277, 278, 279, 317, 338, 34675)),
            order,
        )
    return _u32_at(
        data, random.choice((4, directory + 2 + 12 * count)), random.choice((directory, *NUMBERS)), order
    )


# ---- sounds


def wav_field(random: Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """Format, channels, rate, bits or a chunk's length."""
    start = data.find(b"fmt ") + 8
    what = random.random()
    if what < 0.35:
        # One byte of the rate turns seconds into milliseconds, or hours.
        return _u32_at(
            data, start + 4, random.choice((*NUMBERS, 1, 8000, 16_000, 44_100, 192_000, 16_777_216))
        )
    if what < 0.7:
        return _u16_at(
            data, start + random.choice((0, 2, 12, 14)), random.choice((*_SMALL, 3, 6, 7, 17, 0xFFFE, 65_535))
        )
    where = random.choice((4, start - 4, start + 8, data.find(b"data") + 4))
    return _u32_at(data, where, random.choice((*NUMBERS, len(data), len(data) - 8)))


def wav_values(random: Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """The same sound as floats, of which one is none, or is far too loud."""
    start = data.find(b"data")
    samples = [sample / 32768 for (sample,) in struct.iter_unpack("<h", data[start + 8 : start + 8 + 400])]
    samples[random.randrange(len(samples))] = random.choice(
        (math.nan, math.inf, -math.inf, 1e30, 3e38, 1e-40)
    )
    wide = random.random() < 0.5
    code, size = ("<d", 8) if wide else ("<f", 4)
    content = b"".join(struct.pack(code, sample) for sample in samples)
    rate = struct.unpack_from("<I", data, data.find(b"fmt ") + 12)[0]
    fields = struct.pack("<HHIIHH", 3, 1, rate, rate * size, size, 8 * size)
    chunks = (
        b"WAVEfmt " + struct.pack("<I", 16) + fields + b"data" + struct.pack("<I", len(content)) + content
    )
    return b"RIFF" + struct.pack("<I", len(chunks)) + chunks


def flac_stream_info(random: Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """Block sizes, rate, channels and the number of samples: bits of the first block."""
    where = 8 + random.randrange(18)
    return (
        data[:where]
        + random.choice((b"\0", b"\xff", b"\x0f", b"\xf0", random.randbytes(1)))
        + data[where + 1 :]
    )


def ogg_page(random: Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """A page that is damaged, behind a right checksum."""
    pages = [where for where in range(len(data) - 4) if data[where : where + 4] == b"OggS"]
    start = random.choice(pages)
    end = next((page for page in pages if page > start), len(data))
    page = bytearray(data[start:end])
    for _ in range(random.choice((1, 1, 4))):
        where = random.randrange(5, len(page))
        page[where] = random.choice((0, 0xFF, random.randrange(256)))
    return data[:start] + _sealed(page) + data[end:]


def renumbered(data: bytes) -> bytes:
    """An Ogg file whose stream has the number 1 in place of a random one."""
    parts = data.split(b"OggS")[1:]
    return b"".join(_sealed(bytearray(b"OggS" + part[:10] + b"\1\0\0\0" + part[14:])) for part in parts)


def _sealed(page: bytearray) -> bytes:
    """A page with its checksum."""
    page[22:26] = bytes(4)
    struct.pack_into("<I", page, 22, _ogg_crc(page))
    return bytes(page)


def _ogg_crc(page: bytes | bytearray) -> int:
    """The checksum of RFC 3533: the polynomial of zip, the other way round, from 0."""
    checksum = 0
    for byte in page:
        checksum ^= byte << 24
        for _ in range(8):
            checksum = ((checksum << 1) ^ 0x04C11DB7 if checksum & 0x80000000 else checksum << 1) & 0xFFFFFFFF
    return checksum


# ---- MP4

_CONTAINERS = (
    b"moov",
    b"trak",
    b"mdia",
    b"minf",
    b"stbl",
    b"stsd",
    b"avc1",
    b"edts",
    b"dinf",
    b"udta",
    b"mp4v",
)
_FIELDS = (
    b"mvhd",
    b"tkhd",
    b"mdhd",
    b"stsz",
    b"stts",
    b"stsc",
    b"stco",
    b"ctts",
    b"stsd",
    b"avc1",
    b"avcC",
    b"elst",
    b"esds",
)


def mp4_box(random: Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """A number in one of the boxes that say what is where: sizes, counts, times, width and height."""
    boxes = [
        where
        for name in (*_CONTAINERS, *_FIELDS, b"hdlr", b"ftyp", b"mdat")
        if (where := data.find(name)) >= 0
    ]
    start = random.choice(boxes)
    what = random.random()
    if what < 0.2:
        return _u32_at(data, start - 4, random.choice((*NUMBERS, 8, 16, len(data))), ">")
    if what < 0.3:
        return (
            data[:start] + random.choice((b"free", b"moov", b"trak", random.randbytes(4))) + data[start + 4 :]
        )
    size = struct.unpack_from(">I", data, start - 4)[0]
    where = start + 4 + random.randrange(max(1, min(size, 200) - 8))
    if what < 0.6:
        return _u32_at(data, where, random.choice((*NUMBERS, *_SIDES)), ">")
    if what < 0.8:
        return _u16_at(data, where, random.choice(_SIDES), ">")
    return data[:where] + random.randbytes(1) + data[where + 1 :]


def mp4_media(random: Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """The coded pictures themselves."""
    start = data.find(b"mdat") + 4
    for _ in range(random.choice((1, 3, 30))):
        where = random.randrange(start, len(data))
        data = data[:where] + random.randbytes(1) + data[where + 1 :]
    return data
