"""A training's whole state in one safetensors file, written atomically."""

from __future__ import annotations

import json
import math
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from throughtime.errors import CheckpointError, RunError
from throughtime.files import write_atomically

_VERSION = "1"


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
        save_tensors(path, self.tensors, {"version": _VERSION, "state": json.dumps(self.state)})

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
        try:
            return cls(json.loads(metadata["state"]), tensors)
        except (KeyError, ValueError) as error:
            raise CheckpointError(f"{path} is damaged: its state cannot be read ({error})") from None


def save_tensors(path: str | Path, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
    """Write tensors atomically; tensors that share memory are written once for each name."""
    ready = {name: tensor.detach().cpu().clone().contiguous() for name, tensor in tensors.items()}
    write_atomically(path, save(ready, metadata))


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
    except (SafetensorError, OSError, ValueError, struct.error) as error:
        raise CheckpointError(
            f"{path} is damaged or cut off ({error}): copy it again, or go back to another checkpoint"
        ) from None


def load_weights(model: nn.Module, tensors: dict[str, Tensor], path: str | Path) -> None:
    """Put weights into a model.

    Raises:
        RunError: names or shapes are not the model's (the message names the first).
    """
    expected = model.state_dict()
    missing, unknown = sorted(set(expected) - set(tensors)), sorted(set(tensors) - set(expected))
    if missing or unknown:
        what = f"lacks {missing[0]}" if missing else f"holds {unknown[0]}, which the model has not"
        raise RunError(f"{path} {what}: it does not belong to this config.toml")
    for name, tensor in tensors.items():
        if tensor.shape != expected[name].shape:
            raise RunError(
                f"{path}: {name} has shape {tuple(tensor.shape)}, expected {tuple(expected[name].shape)}: it "
                f"does not belong to this config.toml"
            )
        if tensor.is_floating_point() and not math.isfinite(tensor.sum().item()):
            raise RunError(f"{path}: {name} holds NaN or infinite values")
    model.load_state_dict(tensors)


def pack_optimizer(optimizer: torch.optim.Optimizer) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """An optimiser's state as tensors, and the numbers that are none."""
    tensors: dict[str, Tensor] = {}
    numbers: dict[str, Any] = {}
    for index, entries in optimizer.state_dict()["state"].items():
        for name, value in entries.items():
            if isinstance(value, Tensor):
                tensors[f"{index}.{name}"] = value
            else:
                numbers[f"{index}.{name}"] = value
    return tensors, numbers


def unpack_optimizer(
    optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor], numbers: dict[str, Any]
) -> None:
    """Put back what `pack_optimizer` took."""
    state: dict[int, dict[str, Any]] = {}
    for key, value in {**tensors, **numbers}.items():
        index, name = key.split(".", 1)
        state.setdefault(int(index), {})[name] = value
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
