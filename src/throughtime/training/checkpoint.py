"""A training's whole state in one safetensors file, written atomically."""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from throughtime.errors import CheckpointError
from throughtime.files import write_atomically
from throughtime.models.initialise import sizes_only

# In a run folder.
CHECKPOINT = Path("checkpoints") / "last.safetensors"
_VERSION = "2"
_FLOATS = (torch.float32, torch.float64, torch.float16, torch.bfloat16)


@dataclass
class Checkpoint:
    """Everything that a training continues from.

    Args:
        state: what JSON can hold: step, position, schedule, generators and so on.
        tensors: {group.name: tensor}; the groups are model, optimizer, task and random.
    """

    state: dict[str, Any]
    tensors: dict[str, Tensor] = field(default_factory=dict)

    def add(self, group: str, tensors: dict[str, Tensor]) -> None:
        """Put a group's tensors in."""
        self.tensors.update({f"{group}.{name}": tensor for name, tensor in tensors.items()})

    def group(self, group: str) -> dict[str, Tensor]:
        """A group's tensors, by their names in it."""
        prefix = f"{group}."
        return {name[len(prefix) :]: t for name, t in self.tensors.items() if name.startswith(prefix)}

    def save(self, path: str | Path) -> None:
        """Write the file; what was there stays until the new one is complete."""
        state, tensors = json.dumps(self.state), _in_memory(self.tensors)
        metadata = {"version": _VERSION, "state": state, "sha256": _checksum(state, tensors)}
        write_atomically(path, save(tensors, metadata))

    @classmethod
    def load(cls, path: str | Path) -> Checkpoint:
        """Read a file that `save` wrote.

        Raises:
            CheckpointError: it is missing, damaged or of another version.
        """
        tensors, metadata = read_tensors(path)
        if metadata.get("version") != _VERSION:
            raise CheckpointError(
                f"{path} is a checkpoint of version {metadata.get('version')}, and this Throughtime reads "
                f"version {_VERSION}"
            )
        text = metadata.get("state", "")
        # A flipped bit in a tensor is still a number.
        if metadata.get("sha256") != _checksum(text, tensors):
            raise CheckpointError(
                f"{path} is damaged: its checksum is not that of its content; copy it again, or go back to "
                f"another checkpoint"
            )
        try:
            return cls(json.loads(text), tensors)
        except (ValueError, RecursionError) as error:
            raise CheckpointError(f"{path} is damaged: its state cannot be read ({error})") from None


def save_tensors(path: str | Path, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
    """Write tensors atomically; tensors that share memory are written once for each name."""
    write_atomically(path, save(_in_memory(tensors), metadata))


def _in_memory(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().cpu().clone().contiguous() for name, tensor in tensors.items()}


def _checksum(state: str, tensors: dict[str, Tensor]) -> str:
    """The digest of all that a checkpoint holds, whatever the order in the file."""
    digest = hashlib.sha256(state.encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def read_tensors(path: str | Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors and the metadata of a safetensors file.

    Raises:
        CheckpointError: the file is missing, truncated or otherwise damaged.
    """
    try:
        with safe_open(str(path), framework="pt") as file:
            # Copies, because views into the file begin at odd addresses, and a matrix product rounds
            # otherwise there: a resumed training would drift from one that was never stopped.
            tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
            return tensors, file.metadata() or {}
    except FileNotFoundError:
        raise CheckpointError(f"{path} is missing") from None
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror or error}") from None
    except (SafetensorError, ValueError, struct.error) as error:
        raise CheckpointError(
            f"{path} is damaged or cut off ({error}): copy it again, or go back to another checkpoint"
        ) from None


class Expected(NamedTuple):
    """What a tensor has to be: its shape, and one of these types."""

    shape: tuple[int, ...]
    dtypes: tuple[torch.dtype, ...]

    @classmethod
    def like(cls, tensor: Tensor, any_float: bool = False) -> Expected:
        """The shape and type of a tensor; in place of a float, any other where that is allowed."""
        floats = any_float and tensor.is_floating_point()
        return cls(tuple(tensor.shape), _FLOATS if floats else (tensor.dtype,))


def check_tensors(
    tensors: Mapping[str, Tensor], expected: Mapping[str, Expected], path: str | Path, prefix: str = ""
) -> None:
    """Hold tensors against what they have to be.

    Args:
        tensors: what was read.
        expected: all that has to be there.
        path: the file, for errors.
        prefix: what the file has before the names.
    Raises:
        CheckpointError: one is missing, left over, or of another shape or type (the message names the first).
    """
    missing, unknown = sorted(set(expected) - set(tensors)), sorted(set(tensors) - set(expected))
    if missing or unknown:
        what = (
            f"lacks {prefix}{missing[0]}"
            if missing
            else f"holds {prefix}{unknown[0]}, which the model does not have"
        )
        raise CheckpointError(f"{path} {what}: it does not belong to this config.toml")
    for name, (shape, dtypes) in expected.items():
        found = tensors[name]
        if tuple(found.shape) != shape:
            wrong = f"has shape {tuple(found.shape)}, expected {shape}"
        elif found.dtype not in dtypes:
            wrong = f"is {found.dtype}, expected {' or '.join(map(str, dtypes))}"
        else:
            continue
        raise CheckpointError(f"{path}: {prefix}{name} {wrong}: it does not belong to this config.toml")


def check_sizes(build_model: Callable[[], nn.Module], tensors: Mapping[str, Tensor], path: Path) -> None:
    """Hold the sizes of a network against tensors before it takes memory: config.toml may ask for terabytes.

    Args:
        build_model: makes the network.
        tensors: the model's, of a checkpoint.
        path: the file, for errors.
    Raises:
        CheckpointError: as `check_tensors`.
    """
    with sizes_only():
        described = build_model().state_dict()
    expected = {name: Expected.like(tensor, any_float=False) for name, tensor in described.items()}
    check_tensors(tensors, expected, path, "model.")


def load_weights(
    model: nn.Module, tensors: dict[str, Tensor], path: str | Path, prefix: str = "", any_float: bool = True
) -> None:
    """Put weights into a model.

    Args:
        model: whose weights they are to be.
        tensors: the weights.
        path, prefix: where they come from, for errors; see `check_tensors`.
        any_float: whether floats of another width are read as well.
    Raises:
        CheckpointError: names, shapes or types are not the model's, or a weight is not finite (the message
            names the first).
    """
    expected = {name: Expected.like(own, any_float) for name, own in model.state_dict().items()}
    check_tensors(tensors, expected, path, prefix)
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not tensor.isfinite().all():
            raise CheckpointError(f"{path}: {prefix}{name} holds NaN or infinite values")
    model.load_state_dict(tensors)
