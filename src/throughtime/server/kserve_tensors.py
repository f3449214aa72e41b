"""Tensors as the KServe v2 protocol carries them: in JSON, or as binary data behind it.

Source: the Open Inference Protocol, and its extension "binary tensor data" as Triton documents it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from throughtime.server.errors import ApiError
from throughtime.server.replies import to_json

# The types that are read or written here.
_TYPES = {"INT32": "<i4", "INT64": "<i8", "FP32": "<f4"}
BYTES = "BYTES"
_MOST_VALUES = 2**26
HEADER = "inference-header-content-length"
_PARAMETERS = {"sequence_id", "sequence_start", "sequence_end", "binary_data_output"}


@dataclass(frozen=True)
class Tensor:
    """What a model reads or says.

    Args:
        name: of it.
        type: as the protocol calls it.
        shape: -1 is any size.
    """

    name: str
    type: str
    shape: tuple[int, ...]

    def described(self) -> dict[str, Any]:
        """As metadata have it."""
        return {"name": self.name, "datatype": self.type, "shape": list(self.shape)}

    def configured(self) -> dict[str, Any]:
        """As a model's configuration has it."""
        kind = "STRING" if self.type == BYTES else self.type
        return {"name": self.name, "data_type": f"TYPE_{kind}", "dims": list(self.shape)}


@dataclass(frozen=True)
class Inference:
    """A request.

    Args:
        id: its client's.
        inputs: by name; texts are lists.
        outputs: the names that are wanted, each with whether it is to be binary; empty is all.
        sequence: its client's name for it; "" is none.
        starts, ends: whether it begins or ends here.
        is_binary: of outputs that do not say.
    """

    id: str
    inputs: dict[str, NDArray[Any]]
    outputs: dict[str, bool]
    sequence: str
    starts: bool
    ends: bool
    is_binary: bool


def bad(message: str, param: str | None = None) -> ApiError:
    """A request that does not keep to the protocol."""
    return ApiError(400, "bad_request", message, param)


def read_inference(body: bytes, header_length: str | None, expected: Sequence[Tensor]) -> Inference:
    """Read a request.

    Args:
        body: JSON, with binary data behind it.
        header_length: of the JSON, where there is binary data.
        expected: what the model reads.
    Raises:
        ApiError: it does not keep to the protocol, or is for another model.
    """
    length = len(body)
    if header_length is not None:
        if not header_length.isdecimal() or len(header_length) > 12 or int(header_length) > length:
            raise bad(f"Inference-Header-Content-Length {header_length!r:.40} is not within the body")
        length = int(header_length)
    try:
        request = json.loads(body[:length])
    except (ValueError, RecursionError):
        raise bad("the request is no JSON") from None
    if not isinstance(request, dict) or not isinstance(request.get("inputs"), list):
        raise bad('the request must be {"inputs": [...]}', "inputs")
    reader = _Binary(body, length)
    inputs: dict[str, NDArray[Any]] = {}
    known = {one.name: one for one in expected}
    for given in request["inputs"]:
        name = given.get("name") if isinstance(given, dict) else None
        tensor = known.get(name) if isinstance(name, str) else None
        if tensor is None or tensor.name in inputs:
            raise bad(f"the inputs must be {', '.join(known)}, each once", "inputs")
        inputs[tensor.name] = _read_tensor(given, tensor, reader)
    if missing := [name for name in known if name not in inputs]:
        raise bad(f"the input {missing[0]} is missing", "inputs")
    reader.check_end()
    return _with_parameters(request, inputs)


def _with_parameters(request: Mapping[str, Any], inputs: dict[str, NDArray[Any]]) -> Inference:
    parameters = request.get("parameters") or {}
    if not isinstance(parameters, dict):
        raise bad("parameters must be an object", "parameters")
    if unknown := set(parameters) - _PARAMETERS:
        raise bad(f"the parameter {min(unknown)!r:.60} has no effect here: leave it out", "parameters")
    starts, ends = parameters.get("sequence_start", False), parameters.get("sequence_end", False)
    is_binary = parameters.get("binary_data_output", False)
    if not all(type(one) is bool for one in (starts, ends, is_binary)):
        raise bad("sequence_start, sequence_end and binary_data_output are true or false", "parameters")
    id = request.get("id") or ""
    return Inference(
        id if isinstance(id, str) else str(id)[:100],
        inputs,
        _wanted(request.get("outputs") or [], is_binary),
        _sequence(parameters.get("sequence_id", 0), starts or ends),
        starts,
        ends,
        is_binary,
    )


def _sequence(given: Any, is_controlled: bool) -> str:
    """A sequence's name; whole numbers and texts do not meet."""
    if type(given) is int and 0 <= given < 2**64:
        name = f"#{given}" if given else ""
    elif isinstance(given, str) and len(given) <= 256:
        name = f"'{given}" if given else ""
    else:
        raise bad("sequence_id must be a whole number, or a text of up to 256 characters", "sequence_id")
    if is_controlled and not name:
        raise bad("sequence_start and sequence_end need a sequence_id that is not 0", "sequence_id")
    return name


def _wanted(outputs: Any, is_binary: bool) -> dict[str, bool]:
    wanted: dict[str, bool] = {}
    for one in outputs if isinstance(outputs, list) else [None]:
        name = one.get("name") if isinstance(one, dict) else None
        parameters = (one.get("parameters") or {}) if isinstance(one, dict) else None
        if not isinstance(parameters, dict) or not isinstance(name, str):
            raise bad("outputs must be a list of objects with a name", "outputs")
        if unknown := set(parameters) - {"binary_data"}:
            raise bad(f"the parameter {min(unknown)!r:.60} of an output has no effect here", "outputs")
        wanted[name] = bool(parameters.get("binary_data", is_binary))
    return wanted


class _Binary:
    """The data behind the JSON, taken in order."""

    def __init__(self, body: bytes, start: int) -> None:
        self._body, self._place = body, start

    def take(self, size: Any) -> bytes:
        if type(size) is not int or size < 0 or self._place + size > len(self._body):
            raise bad("binary_data_size does not fit the body")
        taken = self._body[self._place : self._place + size]
        self._place += size
        return taken

    def check_end(self) -> None:
        if self._place != len(self._body):
            raise bad("the body holds more data than its inputs")


def _read_tensor(given: Mapping[str, Any], tensor: Tensor, reader: _Binary) -> NDArray[Any]:
    name, shape, kind = tensor.name, given.get("shape"), given.get("datatype")
    if not isinstance(shape, list) or not all(type(one) is int and 0 <= one < 2**31 for one in shape):
        raise bad(f"{name}: shape must be a list of whole numbers", name)
    fits = len(shape) == len(tensor.shape) and all(
        want in (-1, one) for want, one in zip(tensor.shape, shape, strict=True)
    )
    if not fits:
        raise bad(f"{name} has shape {shape}, and the model reads {list(tensor.shape)}", name)
    count = math.prod(shape)
    if count > _MOST_VALUES:
        raise bad(f"{name} has {count:,} values, and a request may have {_MOST_VALUES:,}", name)
    accepted = {"INT64": ("INT64", "INT32")}.get(tensor.type, (tensor.type,))
    if not isinstance(kind, str) or kind not in accepted:
        raise bad(f"{name} is of {kind!r:.40}, and the model reads {tensor.type}", name)
    parameters = given.get("parameters") or {}
    if not isinstance(parameters, dict) or set(parameters) - {"binary_data_size"}:
        raise bad(f"{name}: its data stand in the request, as data or with binary_data_size", name)
    if "binary_data_size" in parameters:
        values = _of_bytes(reader.take(parameters["binary_data_size"]), kind, name)
    else:
        values = _of_json(given.get("data"), kind, name)
    if values.size != count:
        raise bad(f"{name} has {values.size:,} values, and its shape {shape} {count:,}", name)
    return values.reshape(shape)


def _of_bytes(content: bytes, kind: str, name: str) -> NDArray[Any]:
    if kind != BYTES:
        size = np.dtype(_TYPES[kind]).itemsize
        if len(content) % size:
            raise bad(f"{name}: {len(content)} bytes are no values of {kind}", name)
        return np.frombuffer(content, _TYPES[kind])
    texts, place = [], 0
    while place < len(content):
        end = place + 4 + int.from_bytes(content[place : place + 4], "little")
        if end > len(content):
            raise bad(f"{name}: a text is longer than the data", name)
        try:
            texts.append(content[place + 4 : end].decode())
        except UnicodeDecodeError:
            raise bad(f"{name}: text {len(texts)} is no UTF-8", name) from None
        place = end
    return np.array(texts, object)


def _of_json(data: Any, kind: str, name: str) -> NDArray[Any]:
    flat: list[Any] = []
    _flatten(data if isinstance(data, list) else [data], flat, name)
    if kind == BYTES:
        if not all(isinstance(one, str) for one in flat):
            raise bad(f"{name} must hold texts", name)
        return np.array(flat, object)
    wanted = (int, float) if kind.startswith("FP") else (int,)
    if not all(type(one) in wanted for one in flat):
        raise bad(f"{name} must hold values of {kind}", name)
    try:
        return np.array(flat, _TYPES[kind])
    except OverflowError:
        raise bad(f"{name}: a number is too large for {kind}", name) from None


def _flatten(data: list[Any], flat: list[Any], name: str, depth: int = 0) -> None:
    if depth > 8:
        raise bad(f"{name}: its lists are too deep", name)
    for one in data:
        if isinstance(one, list):
            _flatten(one, flat, name, depth + 1)
        else:
            flat.append(one)


def compose_inference(
    model: str, request: Inference, found: Mapping[str, NDArray[Any]]
) -> tuple[bytes, dict[str, str]]:
    """An answer's body and headers.

    Args:
        model: its name.
        request: what was asked.
        found: the outputs, float32, int64, or texts.
    Raises:
        ApiError: an output is wanted that there is not.
    """
    if unknown := [name for name in request.outputs if name not in found]:
        raise bad(f"there is no output {unknown[0]!r:.60}: there is {', '.join(found)}", "outputs")
    wanted = request.outputs or dict.fromkeys(found, request.is_binary)
    described, behind = [], []
    for name, is_binary in wanted.items():
        values = found[name]
        kind = {"f": "FP32", "i": "INT64"}.get(values.dtype.kind, BYTES)
        one: dict[str, Any] = {"name": name, "datatype": kind, "shape": list(values.shape)}
        if is_binary:
            behind.append(_as_bytes(values, kind))
            one["parameters"] = {"binary_data_size": len(behind[-1])}
        else:
            one["data"] = values.ravel().tolist()
        described.append(one)
    answer: dict[str, Any] = {"model_name": model, "model_version": "1", "outputs": described}
    if request.id:
        answer["id"] = request.id
    head = to_json(answer)
    if not behind:
        return head, {"content-type": "application/json"}
    headers = {"content-type": "application/octet-stream", HEADER: str(len(head))}
    return b"".join([head, *behind]), headers


def _as_bytes(values: NDArray[Any], kind: str) -> bytes:
    if kind != BYTES:
        return np.ascontiguousarray(values, _TYPES[kind]).tobytes()
    texts = [one.encode() for one in values.ravel().tolist()]
    return b"".join(len(text).to_bytes(4, "little") + text for text in texts)
