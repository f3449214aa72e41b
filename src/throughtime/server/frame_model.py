"""A tagger that many streams of numbers or of sounds share. All of it runs in the thread of the model."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from throughtime.data.batches import pad
from throughtime.errors import OptionError
from throughtime.program.files import PROGRAM
from throughtime.tasks.tagger.prediction import FrameStepper
from throughtime.tasks.tagger.run import FRAMES, TaggerRun

# Frames that a stream reads before the others are looked at again; what is padded beside it is wasted.
_AT_ONCE = 64
_FIRST_ROWS = 64


class FrameModel:
    """A tagger that reads in one direction.

    Args:
        name: what requests call it.
        run: the run, on the native backend.
    Raises:
        OptionError: it cannot follow a stream; the message says why.
    """

    def __init__(self, name: str, run: TaggerRun) -> None:
        if run.kind == "video":
            raise OptionError(
                f"{name} reads pictures, and sessions take numbers: send whole clips to /v1/tag"
            )
        FrameStepper(run.network)  # refuses a network that reads backwards
        self.name = name
        self.run = run
        self.stream = run.frame_stream()
        self.states = States(run.network.begin(1))
        self.fingerprint = _fingerprint(run)

    @property
    def reads(self) -> str:
        """What a step gives: "frames" or "samples"."""
        return "samples" if self.run.kind == "sound" else "frames"

    @property
    def width(self) -> int:
        """Numbers of a frame; 1 of a sound's sample."""
        return 1 if self.run.kind == "sound" else self.run.features

    def outputs(
        self, slots: Sequence[int], frames: Sequence[NDArray[np.float32]]
    ) -> list[NDArray[np.float32]]:
        """The outputs (T_i, W) of the next frames (T_i, F) of each stream, all side by side."""
        tagger = self.run.network
        found: list[list[NDArray[np.float32]]] = [[] for _ in frames]
        filled = [k for k, own in enumerate(frames) if len(own)]
        features: dict[int, NDArray[np.float32]] = {}
        if filled:
            encoded = tagger.encode(np.concatenate([frames[k] for k in filled]))
            ends = np.cumsum([len(frames[k]) for k in filled])[:-1]
            features = dict(zip(filled, np.split(encoded, ends), strict=True))
        start = 0
        while features:
            rows = np.array([slots[k] for k in features], np.int64)
            pieces = [own[start : start + _AT_ONCE] for own in features.values()]
            lengths = np.array([len(piece) for piece in pieces], np.int64)
            padded = np.ascontiguousarray(pad(pieces))
            state = self.states.get(rows)
            ragged = lengths if (lengths < len(padded)).any() else None
            outputs, state = tagger.tag(padded, state, ragged)
            self.states.set(rows, state)
            for column, k in enumerate(features):
                found[k].append(outputs[: lengths[column], column])
            start += _AT_ONCE
            features = {k: own for k, own in features.items() if len(own) > start}
        width = self.run.target.width
        return [np.concatenate(parts) if parts else np.zeros((0, width), np.float32) for parts in found]


class States:
    """The states of streams, each in a slot.

    Args:
        beginning: of one stream that has read nothing, by name, (L, 1, ...).
    """

    def __init__(self, beginning: dict[str, NDArray[Any]]) -> None:
        self.beginning = {name: one[:, 0].copy() for name, one in beginning.items()}
        self._arrays = {
            name: np.zeros((_FIRST_ROWS, *one.shape), one.dtype) for name, one in self.beginning.items()
        }
        self._free = list(range(_FIRST_ROWS))[::-1]
        self._rows = _FIRST_ROWS

    @property
    def bytes_each(self) -> int:
        """What a state takes."""
        return sum(one.nbytes for one in self.beginning.values())

    def open(self) -> int:
        """A slot with the state of nothing read."""
        if not self._free:
            self._grow()
        slot = self._free.pop()
        self.put(slot, self.beginning)
        return slot

    def _grow(self) -> None:
        for name, one in self._arrays.items():
            self._arrays[name] = np.concatenate([one, np.zeros_like(one)])
        self._free = list(range(self._rows, 2 * self._rows))[::-1]
        self._rows *= 2

    def close(self, slot: int) -> None:
        """Give a slot back."""
        self._free.append(slot)

    def of(self, slot: int) -> dict[str, NDArray[Any]]:
        """A stream's state, (L, ...) each, as a copy."""
        return {name: one[slot].copy() for name, one in self._arrays.items()}

    def put(self, slot: int, state: dict[str, NDArray[Any]]) -> None:
        """Put a state into a slot."""
        for name, one in self._arrays.items():
            one[slot] = state[name]

    def get(self, slots: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
        """The states of slots side by side, (L, N, ...) each."""
        return {
            name: np.ascontiguousarray(np.moveaxis(one[slots], 0, 1)) for name, one in self._arrays.items()
        }

    def set(self, slots: NDArray[np.int64], states: dict[str, NDArray[Any]]) -> None:
        """Put states, as of `get`, into slots."""
        for name, one in self._arrays.items():
            one[slots] = np.moveaxis(states[name], 1, 0)


def _fingerprint(run: TaggerRun) -> str:
    """Equal for equal networks and labels, whatever the precision."""
    digest = hashlib.sha256()
    weights = run.read_weights()
    for name in sorted(weights):
        digest.update(f"{name} {weights[name].shape}".encode())
        digest.update(np.ascontiguousarray(weights[name]).data)
    for name in (PROGRAM, FRAMES, *run.target.files):
        path = run.folder / name
        digest.update(path.read_bytes() if path.exists() else b"")
    return digest.hexdigest()
