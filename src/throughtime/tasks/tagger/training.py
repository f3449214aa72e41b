"""Training an answer for every frame: truncated BPTT over many clips at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from throughtime.cells import State
from throughtime.data.batches import LengthBatches, pad
from throughtime.data.sequences import Sequences
from throughtime.models.functions import TorchNetwork
from throughtime.recurrent import Recurrent
from throughtime.saved import Saved
from throughtime.targets.kinds import Target
from throughtime.tasks.tagger.clip_streams import Chunk, ClipStreams, whole_clips, windows_with_context
from throughtime.tasks.tagger.model import Tagger
from throughtime.tasks.tagger.options import TaggerTraining
from throughtime.tasks.tagger.prediction import LabelledClips, evaluate, read_pieces
from throughtime.tasks.tagger.prediction import Tagger as FrameTagger
from throughtime.training.shares import WHOLE, JointBatch, Share
from throughtime.training.task import StepLoss, Task, carried_state


class Tagging(Task):
    """Reads clips in parallel, chunk by chunk, and carries the state of each from chunk to chunk.

    The gradient is cut at each chunk's start; the state is not, until the clip's end. A row whose clip has
    ended takes the next one. A network that reads backwards cannot carry a state into what it has not seen:
    its clips are cut into windows that are read with some context on either side, which add nothing
    learned. Frames without a label are read, and give no loss.

    Args:
        model: the network, on its device.
        training: clips.
        validation: clips, or None.
        config: batch, chunk and so on.
        target: what is learned of a frame.
        kind: "video", "array" or "sound", for the user.
    """

    unit = "frames"

    def __init__(
        self,
        model: Tagger,
        training: LabelledClips,
        validation: LabelledClips | None,
        config: TaggerTraining,
        target: Target,
        kind: str,
    ) -> None:
        super().__init__(model)
        self._tagger = model
        self._device = model.output.weight.device
        self._training = training
        self._validation = validation
        self._config = config
        self._target = target
        self.loss_name = f"loss in {target.loss_unit} per frame"
        self._kind = kind
        lengths = training.frames.lengths.tolist()
        # 0 reads all in one go, which needs neither windows nor a state.
        in_windows = model.looks_ahead and config.chunk > 0
        windows = (
            windows_with_context(lengths, config.chunk, config.context)
            if in_windows
            else whole_clips(lengths)
        )
        self._streams = ClipStreams(windows, config.batch, 0 if in_windows else config.chunk)
        # Windows of like length begin together, so that little of a batch is padding.
        self._order = LengthBatches([window.length for window in windows], config.batch, config.seed)
        self._weights = target.weights(training.labels.values) if config.class_weights == "balanced" else None
        self._epoch = 0
        # By share, of the rows of the chunk before.
        self._carried: dict[int, State] = {}
        self._rows = 0

    def facts(self) -> str:
        clips, frames = len(self._training.frames), len(self._training.frames.values)
        held_out = "no validation clips"
        if self._validation is not None:
            count = len(self._validation.frames)
            held_out = f"{count} validation clip{'s' * (count > 1)}"
        what = {"video": "video clips", "sound": "sounds"}.get(self._kind, "clips")
        return f"{clips} {what} with {frames:,} frames and {self._target.counted}, {held_out}"

    def describe(self, metrics: dict[str, float]) -> str:
        return self._target.describe(metrics)

    def start_epoch(self, epoch: int) -> None:
        self._epoch = epoch
        self._streams.start(self._order_of(epoch))
        self._carried, self._rows = {}, 0

    @property
    def epoch_progress(self) -> float:
        return self._streams.progress

    def next_batch(self) -> JointBatch | None:
        while True:
            place = self._streams.read
            chunk = self._streams.next()
            if chunk is None:
                return None
            self._pass_on(chunk)
            truth, counts = self._truth(chunk)
            batch = JointBatch(len(chunk.pieces), (chunk, truth, counts), place)
            if counts.any():
                return batch
            # Nothing to learn here, but the state goes on from it.
            for share in self.sharing.shares:
                with self.sharing.drawing(share, batch) as rows:
                    if rows.stop > rows.start:
                        self.loss_of(batch, share)

    def loss_of(self, batch: JointBatch, share: Share = WHOLE) -> StepLoss | None:
        chunk, truth, counts = batch.content
        state = self._carried.get(share.part, ())
        if not self.sharing.is_whole:
            rows = share.rows(batch.rows)
            # Its rows that go on come first, in their order: `_pass_on` has seen to that.
            kept = len(chunk.kept[rows]) if state else 0
            chunk = Chunk(chunk.pieces[rows], np.arange(kept))
            truth, counts = truth[:, rows], counts[:, rows]
        count = int(counts.sum())
        with torch.set_grad_enabled(torch.is_grad_enabled() and count > 0):
            inputs, lengths = read_chunk(self._training.frames, chunk, self._device, len(counts))
            beginning = len(chunk.pieces) - len(chunk.kept)
            before = self._tagger.carry(state, chunk.kept, beginning)
            outputs, new_state = self._tagger(inputs, before, lengths)
        self._carried[share.part] = Recurrent.detach(new_state)
        if count == 0:
            return None
        if self.own_loss is not None:
            mask = torch.from_numpy(counts).to(self._device)
            wanted = torch.from_numpy(self._target.for_loss(truth)).to(self._device)
            return StepLoss(self.own_loss(outputs, wanted, mask), count)
        loss, weight = self._loss(outputs[torch.from_numpy(counts)], truth[counts])
        return StepLoss(loss, count, weight=weight)

    def _pass_on(self, chunk: Chunk) -> None:
        """Give the states of rows that move to another share to it: rows close up where a clip has ended."""
        rows = self._rows
        self._rows = len(chunk.pieces)
        if self.sharing.is_whole or (len(chunk.kept) == rows == len(chunk.pieces)):
            return
        joint = self.sharing.joint_state(self._carried, rows)
        self._carried = {}
        for share in self.sharing.shares if joint else ():
            kept = torch.from_numpy(chunk.kept[share.rows(len(chunk.pieces))])
            self._carried[share.part] = tuple(
                part.index_select(1, kept.to(part.device)).to(self._device) for part in joint
            )

    def evaluate(self, progress: Callable[[float], None] | None = None) -> dict[str, float]:
        if self._validation is None:
            return {}
        was_training = self._tagger.training
        tagger = FrameTagger(TorchNetwork(self._tagger), self._tagger.looks_ahead, self._target.port)
        batch, weights = self._config.batch, self._weights
        turns = None if self.sharing.is_whole else self.sharing.turns
        loss, scores = evaluate(tagger, self._validation, batch, self._target, weights, progress, turns)
        self._tagger.train(was_training)
        return {"val_loss": loss, **{f"val_{name}": value for name, value in scores.result().items()}}

    def state(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        joint = self.sharing.joint_state(self._carried, self._rows)
        tensors = {f"carried.{index}": part for index, part in enumerate(joint)}
        return {"epoch": self._epoch, "streams": self._streams.state()}, tensors

    def restore(self, saved: Saved, tensors: dict[str, Tensor]) -> None:
        with saved:
            self.start_epoch(saved.integer("epoch"))
            with saved.part("streams") as streams:
                rows = streams.rows_of_integers("rows", 2)
                state = {"taken": streams.integer("taken"), "read": streams.integer("read"), "rows": rows}
                if not self._streams.holds(state):
                    streams.refuse("rows", rows, "a place in the training clips")
            self._streams.restore(state, self._order_of(self._epoch))
        recurrent = self._tagger.recurrent
        carrying = recurrent if isinstance(recurrent, Recurrent) and rows else None
        joint = carried_state(tensors, carrying, len(rows), self._tagger.output.weight, saved)
        self._carried, self._rows = self.sharing.own_states(joint), len(rows)

    def _order_of(self, epoch: int) -> NDArray[np.int64]:
        return np.concatenate(self._order.epoch(epoch))

    def _loss(self, outputs: Tensor, truth: NDArray[Any]) -> tuple[Tensor, float]:
        """The (weighted) mean over frames (N, W) and their truth (N, ...), and the sum of the weights."""
        target, weights = self._target, self._weights
        wanted = torch.from_numpy(target.for_loss(truth)).to(self._device)
        own = None if weights is None else torch.from_numpy(weights).to(self._device)
        weight = float(target.shares(truth, weights).sum())
        return target.losses(outputs, wanted, own).sum() / weight, weight

    def _truth(self, chunk: Chunk) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """The truth (T, B, ...), and where there is something to learn: no padding, no context, a label."""
        truths, counts = [], []
        for piece in chunk.pieces:
            frames, window = piece.frames, piece.window
            truth = np.asarray(self._training.labels[window.clip][frames])
            place = np.arange(frames.start, frames.stop)
            within = (window.counted_from <= place) & (place < window.counted_to)
            truths.append(truth)
            counts.append(self._target.is_known(truth) & within)
        return pad(truths), pad(counts)


def read_chunk(
    clips: Sequences, chunk: Chunk, device: torch.device, steps: int = 0
) -> tuple[Tensor, Tensor | None]:
    """The frames (T, B, ...) of a chunk, of `steps` at least, and the rows' lengths where they are not T."""
    frames = read_pieces(clips, chunk)
    lengths = [len(one) for one in frames]
    inputs = torch.from_numpy(pad(frames, least=steps)).to(device)
    return inputs, None if set(lengths) == {len(inputs)} else torch.tensor(lengths)
