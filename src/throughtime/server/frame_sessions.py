"""Sessions of a tagger: a state for each stream, and journals of the numbers that it read."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from throughtime.errors import CheckpointError, DataError, NotANumberError, ThroughtimeError
from throughtime.runtime.outputs import check_output
from throughtime.server.errors import ApiError, ElsewhereError, ambiguous_retry
from throughtime.server.frame_model import FrameModel
from throughtime.server.live_sessions import LiveSessions
from throughtime.server.rows import Live
from throughtime.server.session_requests import CreateRequest, FrameStep
from throughtime.server.store import Change, Entry, Store, StoredSession

# What Python keeps of a session besides its numbers: about.
_BYTES_BESIDES = 1536
_FORMAT = "throughtime frame session 1"
_REST, _STATE = "rest", "state."
# Frames of a journal that are read again at once; what they say is thrown away.
_REPLAYED = 1 << 14
_MOST_DIGITS = 18


@dataclass
class FrameLive(Live):
    """A stream of frames or samples.

    Args:
        frames: of which something was said; of a sound others than its position, which counts samples.
        rest: samples that no frame is complete without.
    """

    frames: int = 0
    rest: NDArray[np.float32] = field(default_factory=lambda: np.zeros(0, np.float32))


@dataclass(frozen=True)
class Stepped:
    """What became of a step.

    Args:
        live: the session afterwards.
        first: the number of its first frame.
        outputs: of the network, (T, W).
    """

    live: FrameLive
    first: int
    outputs: NDArray[np.float32]


class FrameSessions(LiveSessions[FrameLive]):
    """Sessions of a tagger.

    Args:
        model: the model.
        store: where they are kept.
        memory: bytes of states that are kept in memory.
        time_to_live: seconds, of a session that says nothing else.
    """

    def __init__(self, model: FrameModel, store: Store, memory: int, time_to_live: float) -> None:
        each = model.states.bytes_each + _BYTES_BESIDES
        identity = f"{model.fingerprint}/{model.run.precision}"
        super().__init__(store, identity, memory // each, time_to_live)
        self.model = model
        # Those whose state is lost: what the store has may be behind what this batch still has to commit.
        self._lost: dict[str, ApiError] = {}
        # Journals of sounds are as long in seconds as those of frames, and not in numbers.
        mel = model.stream.mel
        self._per_frame = 1 if mel is None else mel.hop_samples
        self._per_position = model.width if model.reads == "frames" else 1

    def take_changes(self, every: int) -> list[Change]:
        return super().take_changes(every * self._per_frame)

    def get_many(self, names: Sequence[str], together: bool = True) -> dict[str, FrameLive | ApiError]:
        there = [name for name in names if name not in self._lost]
        lost = {name: self._lost[name] for name in names if name in self._lost}
        return {**super().get_many(there, together), **lost}

    def committed(self) -> None:
        super().committed()
        self._lost = {}

    def forget(self) -> None:
        super().forget()
        self._lost = {}

    # ---- their beginning and end

    def open(self, name: str, request: CreateRequest) -> FrameLive:
        request.refuse_all_but(("ttl", "metadata"), f"{self.model.name} reads {self.model.reads}")
        return self.create(name, request.ttl, request.metadata)

    def create(
        self, name: str, time_to_live: float | None = None, metadata: Mapping[str, str] | None = None
    ) -> FrameLive:
        """A new session that has read nothing.

        Args:
            name: its own.
            time_to_live: seconds after its last call.
            metadata: what is kept with it.
        """
        now = time.time()
        lives = time_to_live or self.time_to_live
        facts = {"time_to_live": lives, "created": now, "metadata": dict(metadata) if metadata else None}
        live = FrameLive(name, self.model.states.open(), facts, expires=now + lives)
        self.admit(live)
        return live

    def fork(self, live: FrameLive, name: str, seed: int | None) -> FrameLive:
        if seed is not None:
            raise ApiError(400, "not_of_frames", "nothing is drawn here: leave seed out", "seed")
        now = time.time()
        facts = {**live.facts, "created": now, "forked_from": live.id}
        copy = FrameLive(name, self.model.states.open(), facts, live.position)
        copy.frames, copy.rest, copy.expires = live.frames, live.rest, now + facts["time_to_live"]
        self.model.states.put(copy.slot, self.model.states.of(live.slot))
        self.admit(copy)
        return copy

    def close(self, live: FrameLive) -> None:
        self.model.states.close(live.slot)

    def described(self, live: FrameLive) -> dict[str, Any]:
        facts = live.facts
        return {
            "id": live.id,
            "object": "session",
            "model": self.model.name,
            "position": live.position,
            "reads": self.model.reads,
            "frames": live.frames,
            "created": int(facts["created"]),
            "expires": int(live.expires),
            "metadata": facts.get("metadata") or {},
            "forked_from": facts.get("forked_from"),
            "busy": live.busy,
        }

    def since(self, live: FrameLive, position: int) -> dict[str, Any]:
        raise ApiError(400, "not_of_frames", "since is of sessions that write text", "since")

    # ---- steps

    def step(
        self, steps: Sequence[FrameStep], together: bool = False
    ) -> list[dict[str, Any] | ThroughtimeError]:
        """Move many sessions on; what each call is answered.

        A session may be named several times: its steps are then taken in their order.

        Args:
            steps: of the sessions.
            together: all are of one call. Else an ElsewhereError is the reply of each whose session another
                server still has, and of those of this session that come after it.
        Raises:
            ElsewhereError: another server has one of those that are stepped together.
        """
        replies: list[dict[str, Any] | ThroughtimeError | None] = [None] * len(steps)
        found: dict[str, FrameLive | ApiError] = {}
        for now in rounds([step.id for step in steps]):
            missing = [steps[k].id for k in now if not isinstance(found.get(steps[k].id), ElsewhereError)]
            found |= self.get_many(missing, together)
            chosen = []
            for k in now:
                try:
                    live = found[steps[k].id]
                    if isinstance(live, ApiError):
                        raise live
                    replies[k] = self._recorded(live, steps[k])
                    if replies[k] is None:
                        chosen.append((k, self.free(live, steps[k].position)))
                except ThroughtimeError as error:
                    replies[k] = error
            for k, one in zip(
                [k for k, _ in chosen],
                self.advance([(live, steps[k].chunk) for k, live in chosen]),
                strict=True,
            ):
                replies[k] = one if isinstance(one, ThroughtimeError) else self._reply(one, steps[k])
        return replies  # type: ignore[return-value]

    def _recorded(self, live: FrameLive, step: FrameStep) -> dict[str, Any] | None:
        """The answer that a call with the same key has got."""
        call = self.recorded(live, step.key, step.digest) if step.key else None
        if call is None and step.retried and step.position is None and not step.key:
            raise ambiguous_retry(live.position)
        return None if call is None else call["reply"]

    def _reply(self, stepped: Stepped, step: FrameStep) -> dict[str, Any]:
        live, run = stepped.live, self.model.run
        said = run.said_of_frames(stepped.outputs, stepped.first)
        if step.probabilities and run.target.kind != "number":
            for one, row in zip(said, stepped.outputs, strict=True):
                one["probabilities"] = run.target.probabilities(row)
        reply = {"id": live.id, "object": "session.step", "position": live.position, "outputs": said}
        if step.key:
            self.record(live, step.key, step.digest, reply)
        return reply

    def advance(
        self, steps: Sequence[tuple[FrameLive, NDArray[np.float32]]]
    ) -> list[Stepped | ThroughtimeError]:
        """Read the next chunk of each of several sessions, all in one call of the network."""
        results: list[Any] = [None] * len(steps)
        read: dict[int, NDArray[np.float32]] = {}
        for place, (live, chunk) in enumerate(steps):
            try:
                read[place] = self._frames(live, chunk)
            except DataError as error:
                results[place] = ApiError(400, "bad_frames", str(error), self.model.reads)
        outputs = self.model.outputs([steps[place][0].slot for place in read], list(read.values()))
        for place, own in zip(read, outputs, strict=True):
            live, chunk = steps[place]
            try:
                check_output(own, f"the {self.model.reads} from {live.position} on")
            except NotANumberError as error:
                self.drop(live)
                results[place] = self._lost[live.id] = ApiError(500, "not_a_number", str(error))
                continue
            if len(chunk):
                content = np.ascontiguousarray(chunk, "<f4").tobytes()
                self.read(live, Entry(live.position, 0, content, width=self._per_position))
            results[place] = Stepped(live, live.frames, own)
            live.position += len(chunk)
            live.frames += len(own)
        return results

    def _frames(self, live: FrameLive, chunk: NDArray[np.float32]) -> NDArray[np.float32]:
        """The frames (T, F) that a chunk completes."""
        if not len(chunk):
            return np.zeros((0, self.model.run.features), np.float32)
        self.model.stream.stand(live.position, live.rest)
        frames = self.model.stream.read(chunk)
        live.rest = self.model.stream.rest
        return frames

    # ---- from the store and back

    def restore(self, stored: Sequence[StoredSession]) -> list[FrameLive]:
        lives = []
        for one in stored:
            live = FrameLive(one.id, self.model.states.open(), one.facts, one.snapshot_position)
            live.saved_position, live.expires = one.snapshot_position, one.expires
            if one.snapshot is not None:
                self._put_back(live, load_tensors(one.snapshot), one.facts["frames"])
            lives.append(live)
        width = self.model.width
        for live, one in zip(lives, stored, strict=True):
            entries = [entry.tokens for entry in one.journal if entry.position >= one.snapshot_position]
            chunk = np.frombuffer(b"".join(entries), "<f4").astype(np.float32)
            self._replay(live, chunk if self.model.reads == "samples" else chunk.reshape(-1, width))
        return lives

    def _replay(self, live: FrameLive, chunk: NDArray[np.float32]) -> None:
        for start in range(0, len(chunk), _REPLAYED):
            part = chunk[start : start + _REPLAYED]
            (outputs,) = self.model.outputs([live.slot], [self._frames(live, part)])
            live.position += len(part)
            live.frames += len(outputs)

    def _put_back(self, live: FrameLive, arrays: Mapping[str, NDArray[Any]], frames: int) -> None:
        state = {name: arrays[_STATE + name] for name in self.model.states.beginning}
        self.model.states.put(live.slot, state)
        live.rest, live.frames = arrays[_REST], frames

    def _arrays(self, live: FrameLive) -> dict[str, NDArray[Any]]:
        state = self.model.states.of(live.slot)
        return {_REST: np.ascontiguousarray(live.rest), **{_STATE + name: one for name, one in state.items()}}

    def content(self, lives: Sequence[FrameLive]) -> list[tuple[bytes, dict[str, Any]]]:
        return [(save_tensors(self._arrays(live)), {"frames": live.frames}) for live in lives]

    # ---- snapshots that leave the server

    def snapshot_of(self, live: FrameLive) -> tuple[bytes, int]:
        known = {"format": _FORMAT, "model": self.identity, "position": live.position, "frames": live.frames}
        return save_tensors(self._arrays(live), {"session": json.dumps(known)}), live.position

    def restore_into(self, live: FrameLive, content: bytes) -> FrameLive:
        arrays, position, frames = self._checked(content)
        live.position = position
        self._put_back(live, arrays, frames)
        self.renew(live)
        return live

    def restore_new(self, name: str, content: bytes) -> FrameLive:
        self._checked(content)  # what cannot be read leaves no session behind
        return self.restore_into(self.create(name), content)

    def _checked(self, content: bytes) -> tuple[dict[str, NDArray[Any]], int, int]:
        """The arrays of a snapshot, its position, and its frames.

        Raises:
            CheckpointError: it is damaged, or of another model or precision.
        """
        try:
            arrays = load_tensors(content)
            size = int.from_bytes(content[:8], "little")
            known = json.loads(json.loads(content[8 : 8 + size])["__metadata__"]["session"])
            position, frames = known["position"], known["frames"]
            is_ours = known["format"] == _FORMAT and type(position) is type(frames) is int
        except (SafetensorError, ValueError, KeyError, TypeError, RecursionError):
            raise CheckpointError("the snapshot is damaged, or no snapshot of such a session") from None
        if not is_ours or not 0 <= frames <= position < 10**_MOST_DIGITS:
            raise CheckpointError("the snapshot is damaged")
        if known.get("model") != self.identity:
            raise CheckpointError("the snapshot is of another model, or another precision")
        expected = {_STATE + name: one for name, one in self.model.states.beginning.items()}
        rest = arrays.get(_REST)
        fits = rest is not None and rest.ndim == 1 and rest.dtype == np.float32
        if not fits or set(arrays) != {_REST, *expected} or len(rest) > self._longest_rest:  # type: ignore[arg-type]
            raise CheckpointError("the snapshot is damaged: it has other arrays")
        for name, one in expected.items():
            found = arrays[name]
            if found.shape != one.shape or found.dtype != one.dtype or not np.isfinite(found).all():
                raise CheckpointError(f"the snapshot is damaged: {name} is not a state of this model")
        return arrays, position, frames

    @property
    def _longest_rest(self) -> int:
        """Samples that may wait for a frame to be complete."""
        mel = self.model.stream.mel
        return 0 if mel is None else mel.window_samples + mel.hop_samples


def rounds(names: Sequence[str]) -> list[list[int]]:
    """Places of names, in rounds that hold each name once: what is of one name stays in its order."""
    found: list[list[int]] = []
    seen: dict[str, int] = {}
    for place, name in enumerate(names):
        turn = seen[name] = seen.get(name, -1) + 1
        if turn == len(found):
            found.append([])
        found[turn].append(place)
    return found
