"""Tensors as bytes, to be sent from process to process: a header of JSON, then the numbers. No pickle."""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence

import torch
from torch import Tensor


def pack(tensors: Sequence[Tensor]) -> bytes:
    """Tensors of any device as bytes."""
    parts = [tensor.detach().cpu().contiguous() for tensor in tensors]
    kinds = [[str(part.dtype).removeprefix("torch."), list(part.shape)] for part in parts]
    header = json.dumps(kinds).encode()
    numbers = [part.reshape(-1).view(torch.uint8).numpy().tobytes() for part in parts]
    return b"".join([struct.pack("<Q", len(header)), header, *numbers])


def unpack(data: bytes) -> list[Tensor]:
    """What `pack` made, on the CPU."""
    (length,) = struct.unpack_from("<Q", data)
    place, found = 8 + length, []
    for name, shape in json.loads(data[8:place]):
        dtype = getattr(torch, name)
        count = torch.Size(shape).numel()
        if not count:
            found.append(torch.empty(shape, dtype=dtype))
            continue
        # Copied, so that each begins at an address of its own: see the architecture page on odd addresses.
        flat = torch.frombuffer(bytearray(data[place : place + count * dtype.itemsize]), dtype=dtype)
        found.append(flat.reshape(shape).clone())
        place += count * dtype.itemsize
    return found
