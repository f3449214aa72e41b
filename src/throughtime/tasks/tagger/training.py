"""Training a label for every frame: truncated BPTT over many clips at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from throughtime.cells import State
from throughtime.data.batches import LengthBatches, pad
from throughtime.data.sequences import Sequences
from throughtime.data.streams import IGNORED_TARGET
from throughtime.models.functions import TorchNetwork
from throughtime.recurrent import Recurrent
from throughtime.saved import Saved
from throughtime.tasks.tagger.clip_streams import Chunk, ClipStreams, whole_clips, windows_with_context
from throughtime.tasks.tagger.model import Tagger
from throughtime.tasks.tagger.options import TaggerTraining
from throughtime.tasks.tagger.prediction import LabelledClips, evaluate, read_pieces
from throughtime.tasks.tagger.prediction import Tagger as FrameTagger
from throughtime.tasks.tagger.segments import UNLABELLED
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
        labels: C names.
        kind: "video" or "array", for the user.
    """

    unit = "frames"
    loss_name = "loss in nats per frame"

    def __init__(
        self,
        model: Tagger,
        training: LabelledClips,
        validation: LabelledClips | None,
        config: TaggerTraining,
        labels: Sequence[str],
        kind: str,
    ) -> None:
        super().__init__(model)
        self._tagger = model
        self._device = model.output.weight.device
        self._training = training
        self._validation = validation
        self._config = config
        self._labels = labels
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
        self._weights = (
            class_weights(training.labels.values, len(labels)).to(self._device)
            if config.class_weights == "balanced"
            else None
        )
        self._epoch = 0
        self._carried: State = ()

    def facts(self) -> str:
        clips, frames = len(self._training.frames), len(self._training.frames.values)
        held_out = "no validation clips"
        if self._validation is not None:
            count = len(self._validation.frames)
            held_out = f"{count} validation clip{'s' * (count > 1)}"
        what = "video clips" if self._kind == "video" else "clips"
        return f"{clips} {what} with {frames:,} frames and {len(self._labels)} labels, {held_out}"

    def describe(self, metrics: dict[str, float]) -> str:
        return (
            f"loss {metrics['val_loss']:.4f}, frames right {metrics['val_accuracy']:.1%}, "
            f"macro F1 {metrics['val_macro_f1']:.1%}, edit {metrics['val_edit']:.1%}, "
            f"F1@50 {metrics['val_f1@50']:.1%}"
        )

    def start_epoch(self, epoch: int) -> None:
        self._epoch = epoch
        self._streams.start(self._order_of(epoch))
        self._carried = ()

    @property
    def epoch_progress(self) -> float:
        return self._streams.progress

    def next_loss(self) -> StepLoss | None:
        while (chunk := self._streams.next()) is not None:
            targets = self._targets(chunk)
            count = int((targets != IGNORED_TARGET).sum())
            # Nothing to learn here, but the state goes on from it.
            with torch.set_grad_enabled(count > 0):
                inputs, lengths = read_chunk(self._training.frames, chunk, self._device)
                beginning = len(chunk.pieces) - len(chunk.kept)
                state = self._tagger.carry(self._carried, chunk.kept, beginning)
                logits, new_state = self._tagger(inputs, state, lengths)
            self._carried = Recurrent.detach(new_state)
            if count:
                loss = frame_loss(logits, torch.from_numpy(targets).to(self._device), self._weights)
                return StepLoss(loss, count)
        return None

    def evaluate(self, progress: Callable[[float], None] | None = None) -> dict[str, float]:
        if self._validation is None:
            return {}
        was_training = self._tagger.training
        weights = None if self._weights is None else self._weights.cpu().numpy()
        tagger = FrameTagger(TorchNetwork(self._tagger), self._tagger.classes, self._tagger.looks_ahead)
        loss, scores = evaluate(tagger, self._validation, self._config.batch, weights, progress)
        self._tagger.train(was_training)
        return {"val_loss": loss, **{f"val_{name}": value for name, value in scores.result().items()}}

    def state(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        tensors = {f"carried.{index}": part for index, part in enumerate(self._carried)}
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
        self._carried = carried_state(tensors, carrying, len(rows), self._tagger.output.weight, saved)

    def _order_of(self, epoch: int) -> NDArray[np.int64]:
        return np.concatenate(self._order.epoch(epoch))

    def _targets(self, chunk: Chunk) -> NDArray[np.int64]:
        """(T, B), with `IGNORED_TARGET` where there is nothing to learn: padding, context, no label."""
        columns = []
        for piece in chunk.pieces:
            frames, window = piece.frames, piece.window
            labels = self._training.labels[window.clip][frames].astype(np.int64)
            place = np.arange(frames.start, frames.stop)
            counts = (labels != UNLABELLED) & (window.counted_from <= place) & (place < window.counted_to)
            columns.append(np.where(counts, labels, IGNORED_TARGET))
        return pad(columns, IGNORED_TARGET)


def class_weights(labels: NDArray[np.integer], classes: int) -> Tensor:
    """N / (C * N_c): what makes all labels count alike; frames without a label count nowhere. (C,)"""
    counts = np.bincount(labels[labels != UNLABELLED].astype(np.int64), minlength=classes)
    return torch.from_numpy(counts.sum() / (classes * np.maximum(counts, 1))).float()


def frame_loss(logits: Tensor, targets: Tensor, weights: Tensor | None) -> Tensor:
    """The (weighted) mean over labelled frames of -log softmax(logits)[target], in nats.

    Args:
        logits: (T, B, C), any float type; half precision is summed in float32.
        targets: (T, B) int64; `IGNORED_TARGET` leaves a frame out.
        weights: (C,), or None.
    """
    return F.cross_entropy(
        logits.flatten(0, 1).float(), targets.flatten(), weights, ignore_index=IGNORED_TARGET
    )


def read_chunk(clips: Sequences, chunk: Chunk, device: torch.device) -> tuple[Tensor, Tensor | None]:
    """The frames (T, B, ...) of a chunk, and the rows' lengths where they differ."""
    frames = read_pieces(clips, chunk)
    lengths = [len(one) for one in frames]
    inputs = torch.from_numpy(pad(frames)).to(device)
    return inputs, None if len(set(lengths)) == 1 else torch.tensor(lengths)
