"""What is said of every frame: of a stream as it comes, of a whole clip, of many clips with the scores."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from throughtime.data.batches import LengthBatches, pad
from throughtime.data.sequences import Sequences
from throughtime.data.turns import Turns
from throughtime.errors import OptionError
from throughtime.program.network import Functions
from throughtime.targets.kinds import Scores, Target
from throughtime.tasks.tagger.clip_streams import Chunk, ClipStreams, whole_clips

# Frames a chunk in evaluation. Its length does not change the result, as the state is carried exactly.
_EVALUATION_FRAMES = 256
# Frames that go through a CNN together.
_FRAMES_AT_A_TIME = 64


class FrameTagger(Protocol):
    """A tagger, whatever runs it; the caller carries the state.

    Attributes:
        looks_ahead: whether what is said of a frame depends on later frames.
    """

    looks_ahead: bool

    def encode(self, frames: NDArray[Any]) -> NDArray[np.float32]:
        """The features (N, F) of frames (N, ...), each by itself."""
        ...

    def tag(
        self, features: NDArray[np.float32], state: Any = None, lengths: NDArray[np.int64] | None = None
    ) -> tuple[NDArray[np.float32], Any]:
        """Outputs (T, B, W) of features (T, B, F), and the state after each clip's last frame.

        Args:
            features: what lies past a length is ignored.
            state: what the previous call returned, or None at the beginning of clips.
            lengths: (B,), each in [1, T]; None is T for all.
        """
        ...

    def carry(self, state: Any, kept: NDArray[np.int64], beginning: int) -> Any:
        """A chunk's state: rows `kept` of the state before, then so many that begin a clip."""
        ...


class Tagger:
    """A tagger by its functions.

    Args:
        network: its functions; those that carry a state have "begin".
        looks_ahead: whether what is said of a frame depends on later frames.
        said: what the output of "tag" is called.
    """

    def __init__(self, network: Functions, looks_ahead: bool, said: str = "logits") -> None:
        self._network = network
        self.looks_ahead = looks_ahead
        self._said = said

    def encode(self, frames: NDArray[Any]) -> NDArray[np.float32]:
        """The features (N, F) of frames (N, ...), each by itself."""
        # In blocks, so that a long clip needs little memory.
        starts = range(0, len(frames), _FRAMES_AT_A_TIME)
        blocks = (frames[start : start + _FRAMES_AT_A_TIME, None] for start in starts)
        found = [self._network("encode", {"frames": block})["features"][:, 0] for block in blocks]
        return np.concatenate(found)

    def tag(
        self, features: NDArray[np.float32], state: Any = None, lengths: NDArray[np.int64] | None = None
    ) -> tuple[NDArray[np.float32], Any]:
        """As of `FrameTagger`; the state is a table of arrays."""
        T, B = features.shape[:2]
        given = self._begin(B) if state is None else state
        counted = np.full(B, T) if lengths is None else lengths
        found = self._network("tag", {"features": features, "lengths": counted, **given})
        return found[self._said], {name: found[f"new_{name}"] for name in given}

    def carry(self, state: Any, kept: NDArray[np.int64], beginning: int) -> Any:
        """A chunk's state: rows `kept` of the state before, then so many that begin a clip."""
        new = self._begin(beginning)
        return {name: np.concatenate([state[name][:, kept], part], 1) for name, part in new.items()}

    def _begin(self, rows: int) -> dict[str, NDArray[Any]]:
        if "begin" not in self._network.functions:
            return {}
        return self._network("begin", {"rows": np.zeros(rows, np.int64)})


@dataclass(frozen=True)
class LabelledClips:
    """Clips with the label of each frame.

    Args:
        frames: (T_i, ...) each.
        labels: the truth (T_i, ...) of each, as its target takes it.
    """

    frames: Sequences
    labels: Sequences


class FrameStepper:
    """A causal tagger that is fed as frames come, with nothing kept but its state.

    Args:
        tagger: the network; its encoder's part of the work is done here as well.
    Raises:
        OptionError: the network reads backwards.
    """

    def __init__(self, tagger: FrameTagger) -> None:
        if tagger.looks_ahead:
            raise OptionError(
                "this tagger is bidirectional: the label of a frame depends on frames that have not come "
                "yet, so it cannot run as a stream; train one without --bidirectional, or predict whole clips"
            )
        self._tagger = tagger
        self._state: Any = None

    def feed(self, frames: NDArray[Any]) -> NDArray[np.float32]:
        """Read frames (N, ...); return the outputs (N, W) of each."""
        outputs, self._state = self._tagger.tag(self._tagger.encode(frames)[:, None], self._state)
        return outputs[:, 0]


def outputs_of_clip(tagger: FrameTagger, blocks: Iterable[NDArray[Any]]) -> NDArray[np.float32]:
    """The outputs (T, W) of a clip's frames, from the whole clip at once.

    Args:
        tagger: the network.
        blocks: the clip's frames, (N, ...) at a time; only their features are kept.
    """
    features = np.concatenate([tagger.encode(block) for block in blocks])
    outputs, _ = tagger.tag(features[:, None])
    return outputs[:, 0]


def clip_outputs(
    tagger: FrameTagger, frames: Sequences, batch: int, progress: Callable[[float], None] | None = None
) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """The outputs (T, W) of each whole clip, by its number, as each is done.

    Args:
        tagger: the network.
        frames: of the clips.
        batch: clips beside each other.
        progress: called with the share that is done.
    """
    # A network that reads backwards needs the whole clip; another gets it in parts, with the state carried.
    streams = ClipStreams(
        whole_clips(frames.lengths.tolist()), batch, 0 if tagger.looks_ahead else _EVALUATION_FRAMES
    )
    streams.start(np.argsort(frames.lengths, kind="stable"))
    state: Any = None
    waiting: dict[int, list[NDArray[np.float32]]] = {}
    while (chunk := streams.next()) is not None:
        pieces = read_pieces(frames, chunk)
        # Padding is left out: encoding a picture costs far more than gathering it.
        encoded = tagger.encode(np.concatenate(pieces))
        ends = np.cumsum([len(piece) for piece in pieces])
        features = pad(np.split(encoded, ends[:-1]))
        lengths = np.array([len(piece) for piece in pieces])
        state = tagger.carry(state, chunk.kept, len(pieces) - len(chunk.kept)) if len(chunk.kept) else None
        outputs, state = tagger.tag(features, state, lengths if (lengths < len(features)).any() else None)
        for row, piece in enumerate(chunk.pieces):
            clip = piece.window.clip
            waiting.setdefault(clip, []).append(outputs[: piece.stop - piece.start, row])
            if piece.stop == piece.window.length:
                yield clip, np.concatenate(waiting.pop(clip))
        if progress is not None:
            progress(streams.progress)


def evaluate(
    tagger: FrameTagger,
    clips: LabelledClips,
    batch: int,
    target: Target,
    weights: NDArray[np.float32] | None = None,
    progress: Callable[[float], None] | None = None,
    turns: Turns | None = None,
) -> tuple[float, Scores]:
    """The loss of a frame, and the scores, over whole clips.

    Args:
        tagger: the network.
        clips: to measure on.
        batch: clips beside each other.
        target: what is said of a frame.
        weights: of `Target.weights`, in the loss; the scores know none.
        progress: called with the share that is done.
        turns: goes through the clips in blocks, where they are not read side by side all at once.
    """
    scores = target.scores()
    total = weight = 0.0
    found: dict[int, tuple[float, float, NDArray[Any]]] = {}
    if turns is None:
        every = clip_outputs(tagger, clips.frames, batch, progress)
    else:
        every = _outputs_in_blocks(tagger, clips.frames, batch, turns, progress)
    for clip, outputs in every:
        truth = np.asarray(clips.labels[clip])
        known = target.is_known(truth)
        losses = target.losses_of(outputs[known], truth[known], weights)
        shares = target.shares(truth[known], weights)
        found[clip] = float(losses.sum()), float(shares.sum()), target.decide(outputs)
    # In the order of the clips, so that the sums do not depend on how they were batched.
    for clip in range(len(clips.frames)):
        loss, share, decided = found[clip]
        total, weight = total + loss, weight + share
        scores.add(np.asarray(clips.labels[clip]), decided)
    return total / max(weight, 1e-12), scores


def _outputs_in_blocks(
    tagger: FrameTagger,
    frames: Sequences,
    batch: int,
    turns: Turns,
    progress: Callable[[float], None] | None,
) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """As `clip_outputs`, by blocks of clips that do not depend on who reads them."""
    blocks = LengthBatches(frames.lengths, batch, 0).in_order()

    def read(block: NDArray[np.int64]) -> list[NDArray[np.float32]]:
        part = Sequences.in_memory([np.asarray(frames[int(clip)]) for clip in block])
        return [outputs for _, outputs in sorted(clip_outputs(tagger, part, batch), key=lambda one: one[0])]

    for number, (block, found) in enumerate(zip(blocks, turns(blocks, read), strict=True), 1):
        yield from zip(block.tolist(), found, strict=True)
        if progress is not None:
            progress(number / len(blocks))


def read_pieces(clips: Sequences, chunk: Chunk) -> list[NDArray[Any]]:
    """The frames (T_i, ...) of each row of a chunk."""
    return [np.asarray(clips[piece.window.clip][piece.frames]) for piece in chunk.pieces]
