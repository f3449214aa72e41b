"""Weights out of a safetensors file, mapped into memory and checked before anything trusts them."""

from __future__ import annotations

import json
import math
import mmap
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from throughtime.errors import CheckpointError
from throughtime.program.files import PROGRAM, read_program
from throughtime.program.program import CellProgram

# What the format's own library refuses as well: no real header is as long.
_LONGEST_HEADER = 100_000_000
_METADATA = "__metadata__"
# A matrix of whole numbers with such a companion stands for its rows times their scales.
SCALE = ".scale"
PRECISION = "precision"
PRECISIONS = ("fp32", "bf16", "int8")
# bfloat16, which NumPy lacks, is read as its 16 bits.
_TYPES = {
    "BOOL": "?",
    "U8": "u1",
    "I8": "i1",
    "U16": "<u2",
    "I16": "<i2",
    "U32": "<u4",
    "I32": "<i4",
    "U64": "<u8",
    "I64": "<i8",
    "F16": "<f2",
    "BF16": "<u2",
    "F32": "<f4",
    "F64": "<f8",
}


class Weights(Mapping[str, "NDArray[Any]"]):
    """Tensors by name: floats of any width as float32, whole numbers as they are.

    A matrix X that `throughtime quantize` keeps as int8 has a companion `X.scale`, a number for each row: it
    is read as their product, and the companion is no tensor of its own.

    Example:
        weights = read_weights("runs/mine/model.safetensors")
        output = weights.tensor("output.weight", (None, 256))

    Args:
        tensors: the arrays as they are stored; they are converted when they are asked for.
        name: where they come from, for errors.
        bfloats: names of tensors whose bits are bfloat16.
        metadata: what the file says beside its tensors.
        programs: of the cells, by the prefix of their tensors.
    """

    def __init__(
        self,
        tensors: Mapping[str, NDArray[Any]],
        name: str = "the weights",
        bfloats: Sequence[str] = (),
        metadata: Mapping[str, str] | None = None,
        programs: Mapping[str, CellProgram] | None = None,
    ) -> None:
        self.name = name
        self.programs = dict(programs or {})
        self.metadata = dict(metadata or {})
        self._tensors = dict(tensors)
        self._scales = {name: self._tensors.pop(name + SCALE) for name in tensors if name + SCALE in tensors}
        self._bfloats = frozenset(bfloats)
        self._used: set[str] = set()

    def __getitem__(self, name: str) -> NDArray[Any]:
        """A tensor.

        Raises:
            CheckpointError: there is none of this name, or it holds NaN or infinity.
        """
        if name not in self._tensors:
            raise CheckpointError(f"{self.name} lacks {name}: it does not belong to this config.toml")
        self._used.add(name)
        array: NDArray[Any]
        stored = self._tensors[name]
        if name in self._scales:
            with np.errstate(over="ignore", invalid="ignore"):
                scales = np.require(self._scales[name], np.float32, ["C", "A"])
            if scales.shape != stored.shape[:1] or stored.ndim != 2:
                raise CheckpointError(
                    f"{self.name}: {name}{SCALE} does not fit {name}: a number for each row"
                )
            with np.errstate(over="ignore", invalid="ignore"):  # what is not finite is refused below
                array = stored.astype(np.float32) * scales[:, None]
        elif name in self._bfloats:
            bits = stored.astype(np.uint32) << 16
            array = bits.view(np.float32)
        elif stored.dtype.kind == "f":
            with np.errstate(over="ignore", invalid="ignore"):
                array = np.require(stored, np.float32, ["C", "A"])
        else:
            return stored
        if not np.isfinite(array).all():
            raise CheckpointError(f"{self.name}: {name} holds NaN or infinite values")
        return array

    def __contains__(self, name: object) -> bool:
        return name in self._tensors

    def __iter__(self) -> Iterator[str]:
        return iter(self._tensors)

    def __len__(self) -> int:
        return len(self._tensors)

    @property
    def precision(self) -> str:
        """What the weights were made for: "fp32", or what `throughtime quantize` turned them into.

        Raises:
            CheckpointError: the file says something else.
        """
        found = self.metadata.get(PRECISION, PRECISIONS[0])
        if found not in PRECISIONS:
            raise CheckpointError(f"{self.name} is damaged: its header has the precision {found[:40]!r}")
        return found

    def part(self, prefix: str) -> Weights:
        """The tensors whose names begin with a prefix, without it: the model's in a training's checkpoint."""
        named = {name: tensor for name, tensor in self._tensors.items() if name.startswith(prefix)}
        bfloats = [name.removeprefix(prefix) for name in self._bfloats if name in named]
        tensors = {name.removeprefix(prefix): tensor for name, tensor in named.items()}
        return Weights(tensors, self.name, bfloats, self.metadata, self.programs)

    def shape(self, name: str) -> tuple[int, ...]:
        """A tensor's shape, without reading it; () for one that is not there."""
        return self._tensors[name].shape if name in self._tensors else ()

    def tensor(self, name: str, shape: Sequence[int | None]) -> NDArray[np.float32]:
        """A tensor of a known shape.

        Args:
            name: which.
            shape: what is expected; None fits any size.
        Raises:
            CheckpointError: as `weights[name]`, or the shape or the type is another.
        """
        self.expect(name, shape)
        return self[name]

    def expect(self, name: str, shape: Sequence[int | None]) -> None:
        """Raise what `tensor` would raise, by its shape and its type alone: the numbers are not read."""
        found = self._tensors.get(name)
        if found is None:
            raise CheckpointError(f"{self.name} lacks {name}: it does not belong to this config.toml")
        fits = len(found.shape) == len(shape) and all(
            wanted in (None, size) for size, wanted in zip(found.shape, shape, strict=True)
        )
        is_float = found.dtype.kind == "f" or name in self._bfloats or name in self._scales
        if not fits or not is_float:
            kind = "of floats" if is_float else f"of {found.dtype}"
            expected = ", ".join("any" if size is None else str(size) for size in shape)
            raise CheckpointError(
                f"{self.name}: {name} is {kind} {found.shape}, expected floats ({expected}): it does not "
                f"belong to this config.toml"
            )

    def release(self) -> None:
        """Let go of the memory that reading a file has filled; what is asked for again is read again."""
        stored = [*self._tensors.values(), *self._scales.values()]
        for file in {id(found): found for found in map(_mapped_file, stored)}.values():
            if file is not None and hasattr(file, "madvise"):
                file.madvise(mmap.MADV_DONTNEED)

    def refuse_unused(self, but: str | None = None) -> None:
        """Called when a network has taken what it needs.

        Args:
            but: names that begin so are others' business.
        Raises:
            CheckpointError: a tensor was never asked for, so the weights are of another network.
        """
        left = {name for name in self._tensors if but is not None and name.startswith(but)}
        self.refuse_others(("",), self._used | left)

    def refuse_others(self, prefixes: tuple[str, ...], known: AbstractSet[str]) -> None:
        """Raise CheckpointError for a tensor that begins with one of the prefixes and is not known."""
        others = sorted(name for name in self._tensors if name.startswith(prefixes) and name not in known)
        if others:
            raise CheckpointError(
                f"{self.name} holds {others[0]!r}, which the model does not have: it does not belong to this "
                f"config.toml"
            )


def read_weights(path: str | Path) -> Weights:
    """Map a safetensors file into memory.

    The file's own numbers are believed only once they agree with its size and each other.

    Args:
        path: the file.
    Raises:
        CheckpointError: it is missing, cut off or not safetensors (the message says what is wrong with it).
        RunError: program.json beside it is damaged.
    Source: the format: https://github.com/huggingface/safetensors, section "Format".
    """
    path = Path(path)
    try:
        # An empty file cannot be mapped.
        data = np.memmap(path, np.uint8, mode="r") if path.stat().st_size else np.zeros(0, np.uint8)
    except FileNotFoundError:
        raise CheckpointError(f"{path} is missing") from None
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}") from None
    weights = _parse(str(path), data)
    program = read_program(path.with_name(PROGRAM))
    weights.programs = {} if program is None else dict(program.cells)
    return weights


def parse_weights(content: bytes, name: str) -> Weights:
    """The tensors of a safetensors file's bytes.

    Args:
        name: what errors call it.
    Raises:
        CheckpointError: as `read_weights`.
    """
    return _parse(name, np.frombuffer(content, np.uint8))


def write_weights(
    tensors: Mapping[str, NDArray[Any]], metadata: Mapping[str, str], bfloats: Sequence[str] = ()
) -> bytes:
    """The bytes of a safetensors file.

    Args:
        tensors: the arrays.
        metadata: what the file says beside them.
        bfloats: names of tensors whose 16 bits are bfloat16.
    """
    names = {np.dtype(code): name for name, code in _TYPES.items() if name != "BF16"}
    header: dict[str, Any] = {_METADATA: dict(metadata)} if metadata else {}
    parts, place = [], 0
    # The widest types first, as the format asks for, so that all lie on their own borders.
    for name, tensor in sorted(tensors.items(), key=lambda item: (-item[1].itemsize, item[0])):
        part = np.ascontiguousarray(tensor).tobytes()
        shape = list(tensor.shape)
        header[name] = {
            "dtype": "BF16" if name in bfloats else names[tensor.dtype],
            "shape": shape,
            "data_offsets": [place, place + len(part)],
        }
        parts.append(part)
        place += len(part)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + b"".join(parts)


def _parse(name: str, data: NDArray[np.uint8]) -> Weights:
    if len(data) < 8:
        _refuse(name, f"it has {len(data)} bytes, too few for a header")
    length = int.from_bytes(data[:8].tobytes(), "little")
    if length > min(len(data) - 8, _LONGEST_HEADER):
        _refuse(name, f"its header should have {length:,} bytes, and the file has {len(data):,}")
    header, metadata = _read_header(name, data[8 : 8 + length].tobytes())
    return _cut(name, header, metadata, data[8 + length :])


def _mapped_file(array: NDArray[Any]) -> mmap.mmap | None:
    """The file that an array is a view into."""
    base: Any = array
    while isinstance(base, (np.ndarray, memoryview)):
        base = base.obj if isinstance(base, memoryview) else base.base
    return base if isinstance(base, mmap.mmap) else None


def _read_header(path: str, text: bytes) -> tuple[dict[str, Any], dict[str, str]]:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        names = [name for name, _ in pairs]
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise ValueError(f"{twice[:80]!r} occurs twice in its header")
        return dict(pairs)

    try:
        header = json.loads(text.decode("utf-8"), object_pairs_hook=unique)
    except UnicodeDecodeError:
        _refuse(path, "its header is not UTF-8")
    except json.JSONDecodeError as error:
        _refuse(path, f"its header is not JSON ({error})")
    except ValueError as error:  # a name that occurs twice, or a number of thousands of digits
        _refuse(path, str(error))
    except RecursionError:
        _refuse(path, "its header is nested without end")
    if not isinstance(header, dict):
        _refuse(path, "its header is not a JSON object")
    metadata = header.pop(_METADATA, {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        _refuse(path, f"{_METADATA} in its header is not an object of strings")
    return header, metadata


def _cut(path: str, header: dict[str, Any], metadata: dict[str, str], data: NDArray[np.uint8]) -> Weights:
    """The tensors that a header describes; together they have to cover the data exactly."""
    places = [(*_place(path, name, entry), name) for name, entry in header.items()]
    places.sort(key=lambda place: place[:2])
    tensors: dict[str, NDArray[Any]] = {}
    end_before = 0
    for begin, end, shape, name in places:
        if begin != end_before:
            what = "overlaps another tensor" if begin < end_before else "leaves a gap before it"
            _refuse(path, f"{name!r} {what}")
        if end > len(data):
            _refuse(path, f"{name!r} ends at byte {end:,}, and there are {len(data):,}")
        end_before = end
        values = data[begin:end].view(np.ndarray).view(_TYPES[header[name]["dtype"]])
        try:
            tensors[name] = values.reshape(shape)
        except ValueError:  # 0 times what no array can have
            _refuse(path, f"{name!r} has a shape that is too large")
    if end_before != len(data):
        _refuse(path, f"{len(data) - end_before:,} bytes at its end belong to no tensor")
    bfloats = [name for name in tensors if header[name]["dtype"] == "BF16"]
    return Weights(tensors, path, bfloats, metadata)


def _place(path: str, name: str, entry: Any) -> tuple[int, int, tuple[int, ...]]:
    """Begin and end in the data, and the shape, of a tensor that agrees with itself."""
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        _refuse(path, f"{name!r} in its header is not a tensor")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in _TYPES:
        _refuse(path, f"{name!r} is of type {str(dtype)[:40]!r}, which is unknown here")
    if not _are_sizes(shape) or not _are_sizes(offsets) or len(offsets) != 2:
        _refuse(path, f"the shape or the offsets of {name!r} are not whole numbers from 0")
    # NumPy allows no more dimensions. The product is that of Python's integers, which do not overflow.
    fits = len(shape) <= 32 and max(shape, default=0) < 2**63
    if not fits or math.prod(shape) * np.dtype(_TYPES[dtype]).itemsize != offsets[1] - offsets[0]:
        _refuse(path, f"the shape of {name!r} does not fit its place in the file")
    return offsets[0], offsets[1], tuple(shape)


def _are_sizes(values: Any) -> bool:
    # bool is an int to isinstance.
    return isinstance(values, list) and all(type(value) is int and value >= 0 for value in values)


def _refuse(path: str, reason: str) -> NoReturn:
    raise CheckpointError(f"{path} is damaged or no safetensors file: {reason}")
