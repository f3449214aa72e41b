"""Damage inside archives and arrays whose headers, lengths and checksums are right again afterwards."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import math
import re
import struct
import zipfile
import zlib
from collections.abc import Sequence
from functools import lru_cache
from random import Random
from typing import Any

import numpy as np

from fuzzing.damage_bytes import NUMBERS, Damage, set_number
from fuzzing.damage_text import change_json

# What a bomb unpacks to: more than a reader may take, from a file of a few megabytes.
_BOMB_BYTES = 2_600_000_000
_BLOCK = 1 << 20

# fmt: off
_DTYPES = ("<f4", "<f8", "<f2", ">f8", "<i8", "<u1", "|b1", "<c8", "<c16", "<U1", "<U999999999", "|S0",
           "|O", "<M8[s]", "|V8", "<f16", "x", "")
_NUMBER_TYPES = ("<f4", "<f8", "<f2", ">f4", ">f8", "<f16", "<i4", "<i8", ">i8", "<u8", "|u1", "|b1", "<c8")
_TENSOR_TYPES = {"F32": 4, "F64": 8, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "U8": 1, "BOOL": 1,
                 "F8_E4M3": 1}
# As torch writes them.
_TORCH_TYPES = {"F32": "torch.float32", "F64": "torch.float64", "F16": "torch.float16", "I64": "torch.int64",
                "I32": "torch.int32", "U8": "torch.uint8", "BF16": "torch.bfloat16", "BOOL": "torch.bool"}
# fmt: on
_SNAPSHOT_CHECKSUM = re.compile(rb'"sha256": "[0-9a-f]{64}"')


# ---- compressed streams


@lru_cache(maxsize=1)
def bomb() -> tuple[bytes, int, int]:
    """A deflated stream of one letter, its checksum and its length: the same block again and again."""
    block, count = b"a" * _BLOCK, _BOMB_BYTES // _BLOCK
    deflate = zlib.compressobj(9, wbits=-15)
    part = deflate.compress(block) + deflate.flush(zlib.Z_FULL_FLUSH)
    checksum = 0
    for _ in range(count):
        checksum = zlib.crc32(block, checksum)
    return part * count + zlib.compressobj(9, wbits=-15).flush(), checksum, count * _BLOCK


def gzip_inside(inner: Damage) -> Damage:
    """What `inner` does to the content, packed again with the right checksum."""

    def damage(random: Random, data: bytes, others: Sequence[bytes]) -> bytes:
        return gzip.compress(
            inner(random, gzip.decompress(data), [_unpacked(other) for other in others[:3]]), 1, mtime=0
        )

    return damage


def gzip_members(random: Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """Several members, a rest that belongs to none, or a file whose end says another length or checksum."""
    return random.choice(
        (data + data, data + b"\0" * 50, data + b"x", data[:-8] + random.randbytes(8), data[:-4])
    )


def gzip_bomb(random: Random, data: bytes, others: Sequence[bytes]) -> bytes:
    deflated, checksum, size = bomb()
    return b"\x1f\x8b\x08\0\0\0\0\0\0\x03" + deflated + struct.pack("<II", checksum, size % (1 << 32))


def _unpacked(data: bytes) -> bytes:
    try:
        return gzip.decompress(data)
    except (OSError, EOFError, zlib.error):
        return data


# ---- zip archives, which .npz files are


def zip_member(inner: Damage) -> Damage:
    """What `inner` does to one member, packed again with the right checksum."""

    def damage(random: Random, data: bytes, others: Sequence[bytes]) -> bytes:
        members = _members(data)
        name = random.choice(list(members))
        members[name] = inner(random, members[name], list(members.values()))
        return _packed(members, random)

    return damage


def zip_names(random: Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """Members that are missing, too many, or called otherwise."""
    members = _members(data)
    name = random.choice(list(members))
    content = members[name] if random.random() < 0.5 else members.pop(name)
    if random.random() < 0.7:
        members[
            random.choice(("x.npy", "x", "../x.npy", "", "names.npy", "features.npy", "\u00e9\0.npy"))
        ] = content
    return _packed(members, random)


def zip_bomb(random: Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """One member of gigabytes: an array with a right header, or letters."""
    deflated, checksum, size = bomb()
    name = random.choice(list(_members(data))).encode()
    header = b""
    if random.random() < 0.8:
        header = _npy(
            {"descr": "<f4", "fortran_order": False, "shape": random.choice(((size // 4, 1), (size // 4,)))}
        )
        stored = zlib.compressobj(9, wbits=-15)
        packed = stored.compress(header) + stored.flush(zlib.Z_FULL_FLUSH)
        checksum, size = _checksum_of_bomb_behind(header), size + len(header)
        deflated = packed + deflated
    fields = struct.pack("<HHHHHIII", 20, 0, 8, 0, 0x21, checksum, len(deflated), size)
    local = b"PK\x03\x04" + fields + struct.pack("<HH", len(name), 0) + name + deflated
    central = b"PK\x01\x02\x14\0" + fields + struct.pack("<HHHHHII", len(name), 0, 0, 0, 0, 0, 0) + name
    return local + central + b"PK\x05\x06" + struct.pack("<HHHHIIH", 0, 0, 1, 1, len(central), len(local), 0)


def zip_sizes(random: Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """Declared sizes, counts and offsets of the central directory."""
    start = data.rfind(random.choice((b"PK\x01\x02", b"PK\x05\x06", b"PK\x03\x04")))
    if start < 0:
        raise ValueError("no zip archive")
    where, number = start + random.randrange(4, 46), random.choice(NUMBERS) % (1 << 32)
    return data[:where] + struct.pack("<I", number) + data[where + 4 :]


@lru_cache(maxsize=8)
def _checksum_of_bomb_behind(first: bytes) -> int:
    checksum, block = zlib.crc32(first), b"a" * _BLOCK
    for _ in range(_BOMB_BYTES // _BLOCK):
        checksum = zlib.crc32(block, checksum)
    return checksum


def _members(data: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def _packed(members: dict[str, bytes], random: Random) -> bytes:
    file = io.BytesIO()
    method = random.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content)
    return file.getvalue()


# ---- .npy


def npy_header(random: Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """Another shape, type or order than the data has, behind a length that is right."""
    length, start = (int.from_bytes(data[8:10], "little"), 10) if data[6] == 1 else (_u32(data, 8), 12)
    header = data[start : start + length].decode("latin1").strip()
    what = random.random()
    if what < 0.5:
        size = lambda: str(random.choice((*NUMBERS, 0, 1, 2, 10**5)))  # noqa: E731
        shape = f"({', '.join(size() for _ in range(random.choice((0, 1, 1, 2, 2, 3, 5, 40))))},)"
        shape = random.choice((shape, shape, shape, "()", "(1.5,)", "None", "'a'", "((1,),)", "(2, 3"))
        header = header[: header.index("'shape'")] + f"'shape': {shape}, }}"
    elif what < 0.8:
        begin = header.index("'descr': ") + 9
        kind = random.choice((*map(repr, _DTYPES), "[('a', '<f4')]", "[('a', '<f4', (9, 9))]", "None", "[]"))
        header = header[:begin] + kind + header[header.index(", 'fortran") :]
    else:
        old, new = random.choice(
            (("False", "True"), ("False", "2"), ("'", '"'), ("{", "[" * 500), ("}", ""), (":", "="))
        )
        header = header.replace(old, new)
    return _npy_of(header) + data[start + length :]


def npy_values(random: Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """Numbers that are none, or too large, in the data."""
    start = 128 if len(data) > 136 else 10
    where = start + 4 * random.randrange(max(1, (len(data) - start) // 4))
    return _with(data, where, _odd_float(random))


def npy_type(random: Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """The same numbers in another type, or with their bytes in another order."""
    array = np.load(io.BytesIO(data), allow_pickle=False)
    file = io.BytesIO()
    with np.errstate(all="ignore"):
        np.save(file, array.astype(random.choice(_NUMBER_TYPES)), allow_pickle=False)
    return file.getvalue()


def _npy(header: dict[str, Any]) -> bytes:
    return _npy_of(repr(header))


def _npy_of(header: str) -> bytes:
    text = header.encode("latin1") + b"\n"
    return b"\x93NUMPY\x02\0" + struct.pack("<I", len(text)) + text


def _odd_float(random: Random) -> bytes:
    value = random.choice((math.nan, math.inf, -math.inf, 3e38, -3e38, 1e30, 1e-45, 0.0))
    return struct.pack(random.choice(("<f", "<f", "<d")), value)


def _with(data: bytes, where: int, new: bytes) -> bytes:
    return data[:where] + new + data[where + len(new) :]


def _u32(data: bytes, where: int) -> int:
    return struct.unpack_from("<I", data, where)[0]


# ---- safetensors


def safetensors_header(random: Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """The header as JSON, with one thing wrong, behind a length that is right."""
    length = int.from_bytes(data[:8], "little")
    header = change_json(random, data[8 : 8 + length], others)
    return len(header).to_bytes(8, "little") + header + data[8 + length :]


def safetensors_length(random: Random, data: bytes, others: Sequence[bytes]) -> bytes:
    return (random.choice((*NUMBERS, len(data), len(data) - 8)) % (1 << 64)).to_bytes(8, "little") + data[8:]


def safetensors_metadata(random: Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """JSON that stands in a string of the metadata: a checkpoint's state, a snapshot's facts."""
    header, tensors = _tensors(data)
    metadata = header["__metadata__"]
    name = random.choice(list(metadata))
    try:
        metadata[name] = change_json(random, metadata[name].encode(), others).decode("utf-8", "replace")
    except (ValueError, RecursionError):
        metadata[name] = random.choice(
            ("", "0", "-1", "fp32", "int8", "bf16", "9" * 99, "\0", "{", "null", "NaN")
        )
    return _file_of(header, tensors)


def safetensors_tensor(random: Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """A tensor that is right in itself, and not the model's: another shape, type, name or value."""
    header, tensors = _tensors(data)
    name = random.choice(list(tensors))
    entry, what = header[name], random.random()
    size = _TENSOR_TYPES.get(entry["dtype"], 1)
    if what < 0.3:
        shape = [random.choice((0, 1, 2, 3, 8, length, length + 1)) for length in entry["shape"]]
        shape = random.choice((shape, shape[::-1], shape[1:], [1, *entry["shape"]], [math.prod(shape)]))
        tensors[name] = (tensors[name] * 4 + bytes(1 << 16))[: math.prod(shape) * size]
        entry["shape"] = shape if len(tensors[name]) == math.prod(shape) * size else entry["shape"]
    elif what < 0.45:
        entry["dtype"] = random.choice(list(_TENSOR_TYPES))
        tensors[name] = (tensors[name] * 8)[: math.prod(entry["shape"]) * _TENSOR_TYPES[entry["dtype"]]]
    elif what < 0.6:
        del header[name], tensors[name]
    elif what < 0.7:
        new = random.choice((f"{name}.scale", "x", f"{name}0", "", "0", random.choice(list(tensors))))
        header[new], tensors[new] = dict(entry), tensors[name]
    elif what < 0.8:
        other = random.choice(list(tensors))
        header[name], header[other] = header[other], header[name]
        tensors[name], tensors[other] = tensors[other], tensors[name]
    elif what < 0.85:
        # Finite, all of them, and what is computed from them is not.
        large = struct.pack("<f", random.choice((3.4e38, -3.4e38, 1e30)))
        tensors[name] = (large * (len(tensors[name]) // 4 + 1))[: len(tensors[name])]
    else:
        count = random.choice((1, 1, 3, 1000))
        for _ in range(count):
            where = 4 * random.randrange(max(1, len(tensors[name]) // 4))
            tensors[name] = _with(tensors[name], where, _odd_float(random))[: len(tensors[name])]
    return _file_of(header, tensors)


def _tensors(data: bytes) -> tuple[dict[str, Any], dict[str, bytes]]:
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    content = data[8 + length :]
    tensors = {
        name: content[slice(*entry["data_offsets"])]
        for name, entry in header.items()
        if name != "__metadata__"
    }
    return header, tensors


def _file_of(header: dict[str, Any], tensors: dict[str, bytes]) -> bytes:
    place = 0
    for name, tensor in tensors.items():
        header[name] = {**header[name], "data_offsets": [place, place + len(tensor)]}
        place += len(tensor)
    text = json.dumps(header).encode("utf-8", "surrogatepass")
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + b"".join(tensors.values())


def checkpoint_with_checksum(inner: Damage) -> Damage:
    """What `inner` does to a checkpoint, whose checksum is right again: the checks behind it have to hold."""

    def damage(random: Random, data: bytes, others: Sequence[bytes]) -> bytes:
        header, tensors = _tensors(inner(random, data, others))
        metadata = header["__metadata__"]
        digest = hashlib.sha256(str(metadata.get("state", "")).encode())
        for name in sorted(tensors):
            entry = header[name]
            digest.update(f"{name} {_TORCH_TYPES[entry['dtype']]} {tuple(entry['shape'])}".encode())
            digest.update(tensors[name])
        return _file_of({**header, "__metadata__": {**metadata, "sha256": digest.hexdigest()}}, tensors)

    return damage


def snapshot_with_checksum(inner: Damage) -> Damage:
    """The same of a snapshot, whose checksum is that of its bytes with zeros in the checksum's place."""

    def damage(random: Random, data: bytes, others: Sequence[bytes]) -> bytes:
        bare = _SNAPSHOT_CHECKSUM.sub(rb'"sha256": "' + b"0" * 64 + b'"', inner(random, data, others))
        field = f'"sha256": "{hashlib.sha256(bare).hexdigest()}"'.encode()
        return _SNAPSHOT_CHECKSUM.sub(field, bare)

    return damage


# ---- Parquet


def parquet_footer(random: Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """The description of columns and pages at the end, or its length."""
    if random.random() < 0.2:
        return data[:-8] + struct.pack("<I", random.choice(NUMBERS) % (1 << 32)) + data[-4:]
    start = len(data) - 8 - _u32(data, len(data) - 8)
    footer = data[start:-8]
    where = random.randrange(len(footer))
    new = random.choice(
        (random.randbytes(1), random.randbytes(1), b"\xff" * 9 + b"\x01", b"\xff\xff\xff\xff\x0f", b"\0")
    )
    footer = random.choice((_with(footer, where, new), footer[:where] + new + footer[where:], footer[:where]))
    return data[:start] + footer + struct.pack("<I", len(footer)) + data[-4:]


def parquet_pages(random: Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """The pages before the footer."""
    start = len(data) - 8 - _u32(data, len(data) - 8)
    pages = data[:start]
    for _ in range(random.choice((1, 1, 3, 20))):
        where = random.randrange(4, max(5, len(pages)))
        pages = _with(pages, where, random.randbytes(1))
    return pages[:start] + data[start:] if random.random() < 0.7 else set_number(random, data, others)


def parquet_columns(random: Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """A right file whose columns hold other things than text and numbers."""
    import pyarrow as arrow
    import pyarrow.parquet as parquet

    table = parquet.ParquetFile(io.BytesIO(data)).read(use_threads=False)
    rows, name = table.num_rows, random.choice(table.column_names)
    values = random.choice(_COLUMNS)(rows, random)
    table = table.set_column(table.column_names.index(name), name, arrow.array(values))
    if random.random() < 0.2:
        table = table.append_column(name if random.random() < 0.3 else "x" * 70_000, arrow.array(values))
    file = io.BytesIO()
    parquet.write_table(table, file, compression=random.choice(("none", "snappy", "gzip", "zstd")))
    return file.getvalue()


_COLUMNS: tuple[Any, ...] = (
    lambda rows, random: [None] * rows,
    lambda rows, random: [random.choice((None, "a", "", "\0", "\x1b[31m")) for _ in range(rows)],
    lambda rows, random: [random.choice((b"\xff\xfe", b"", b"abc")) for _ in range(rows)],
    lambda rows, random: [random.choice((math.nan, math.inf, 1e300, -0.0, None)) for _ in range(rows)],
    lambda rows, random: [random.choice((2**63 - 1, -(2**63), 0)) for _ in range(rows)],
    lambda rows, random: [True] * rows,
    lambda rows, random: [[1.0, math.nan], [], *[[2.0]] * (rows - 2)][:rows],
    lambda rows, random: [[["a"]]] * rows,
    lambda rows, random: [[[1.0, 2.0], [3.0]]] * rows,
    lambda rows, random: [{"a": 1, "b": None}] * rows,
    lambda rows, random: ["x" * 200_000] * rows,
    lambda rows, random: [__import__("datetime").datetime(9999, 12, 31)] * rows,
    lambda rows, random: [__import__("decimal").Decimal("1.5")] * rows,
)
