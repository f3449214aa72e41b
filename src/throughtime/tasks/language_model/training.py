"""Language modelling through truncated backpropagation through time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from throughtime.cells import State
from throughtime.data import IGNORED_TARGET, ChunkLengths, ContiguousStreams, EvaluationStreams
from throughtime.data.tokenizer import Tokenizer
from throughtime.generation import SamplingOptions
from throughtime.generation.text import stream
from throughtime.models.softmax_loss import linear_softmax_loss, softmax_loss
from throughtime.recurrent import Recurrent
from throughtime.saved import Saved
from throughtime.tasks.language_model.adaptive_chunk import LONGEST, SHORTEST, chunk_for, measure_decay
from throughtime.tasks.language_model.model import LanguageModel, TorchStepper
from throughtime.tasks.language_model.options import StreamTraining
from throughtime.tasks.language_model.watch import GradientWatch
from throughtime.training.own_loss import OwnLoss
from throughtime.training.shares import WHOLE, JointBatch, Share
from throughtime.training.sharing import Sharing
from throughtime.training.task import StepLoss, Task, carried_state
from throughtime.units import describe_loss

# Steps a chunk in evaluation. Its length does not change the result, as nothing is cut; it bounds the logits
# of a chunk, at 128 MB in float32 for any vocabulary.
_EVALUATION_STEPS = 256
_EVALUATION_LOGITS = 1 << 25

# Enough to see words and lines, at a temperature where mistakes are the model's and not the draw's.
_SAMPLE_LENGTH, _SAMPLE_TEMPERATURE = 160, 0.8


class LanguageModelling(Task):
    """Reads parallel streams of a text chunk by chunk, and carries the state from chunk to chunk.

    The gradient is cut at each chunk's start (Williams and Peng 1990; Elman-style streams as in Zaremba et
    al. 2014); the state is not, until the epoch's end.

    Args:
        model: the network, on its device.
        training: tokens (N,).
        validation: tokens (N,), or None.
        config: batch, chunk and so on.
        tokenizer_kind: what a token is: characters have bits, the others perplexity.
        tokenizer: turns what the model writes into text; without it there are no samples.
    """

    def __init__(
        self,
        model: LanguageModel,
        training: NDArray[Any],
        validation: NDArray[Any] | None,
        config: StreamTraining,
        tokenizer_kind: str = "character",
        tokenizer: Tokenizer | None = None,
    ) -> None:
        super().__init__(model)
        self._tokenizer, self._seed = tokenizer, config.seed
        self._tokens = len(training)
        self._kind = tokenizer_kind
        if tokenizer_kind == "character":
            self.loss_name = "loss in nats per character"
        self._language_model = model
        self._device = model.output.weight.device
        self._streams = ContiguousStreams(training, config.batch)
        self._validation = (
            None if validation is None else EvaluationStreams(validation, config.evaluation_streams)
        )
        self._lengths = ChunkLengths(config.first_chunk, config.chunk_mode, config.seed)
        self._adapts = config.chunk == "auto"
        self._text = training
        self._chosen: int | None = None  # a chunk length that is not logged yet
        watches = config.watch == "gradients"
        self._watch = GradientWatch(model, config.watch_every, self._adapts) if watches else None
        self._last: tuple[Any, Any, State | None] | None = None
        self._position = 0
        # By share: one process has all streams in one.
        self._carried: dict[int, State] = {}

    def facts(self) -> str:
        kinds = self._language_model.vocabulary_size
        return f"{self._tokens:,} training tokens of {kinds:,} kinds ({self._kind})"

    def describe(self, metrics: dict[str, float]) -> str:
        return describe_loss(metrics["val_loss"], self._kind == "character")

    def sample(self) -> str:
        model = self._language_model
        if self._tokenizer is None:
            return ""
        was_training = model.training
        try:
            # Drawn by NumPy from a seed of its own: PyTorch's generator, and so the training, stays as it is.
            options = SamplingOptions(temperature=_SAMPLE_TEMPERATURE)
            pieces = stream(TorchStepper(model), self._tokenizer, "", _SAMPLE_LENGTH, options, self._seed)
            return "".join(text for _, text in pieces)
        finally:
            model.train(was_training)

    def start_epoch(self, epoch: int) -> None:
        self._position = 0
        self._carried = {}
        if self._adapts:
            chosen = chunk_for(measure_decay(self._language_model, self._text))
            # Processors may round otherwise, and all have to read chunks of the same length.
            self._chosen = self._lengths.mean = self.sharing.processes.from_first(chosen)

    @property
    def epoch_progress(self) -> float:
        return self._position / self._streams.length

    def next_batch(self) -> JointBatch | None:
        remaining = self._streams.length - self._position
        if remaining <= 0:
            return None
        length = self._lengths.next(remaining)
        self._position += length
        return JointBatch(self._streams.batch_size, (self._position - length, length))

    def loss_of(self, batch: JointBatch, share: Share = WHOLE) -> StepLoss:
        start, length = batch.content
        inputs, targets = self._streams.chunk(start, length, share.rows(batch.rows))
        before = self._carried.get(share.part)
        if self._watch is not None and share.part == 0:
            self._last = inputs, targets, before
        outputs, state = self._language_model.read(self._tensor(inputs), before)
        self._carried[share.part] = Recurrent.detach(state)
        loss = token_loss(self._language_model, outputs, self._tensor(targets), self.own_loss)
        # Merity et al. 2018: a longer chunk averages more, so it may step further.
        scale = length / self._lengths.mean if self._lengths.mode == "random" and self._lengths.mean else 1.0
        return StepLoss(loss, targets.size, scale)

    def observe(self, step: int, gradient_norm: float, seconds: float) -> dict[str, Any]:
        notes: dict[str, Any] = {} if self._chosen is None else {"chunk": self._chosen}
        self._chosen = None
        if self._watch is not None and self._last is not None:
            notes |= self._watch.observe(step, gradient_norm, seconds, *self._last)
        return notes

    def advice(self) -> str:
        if self._watch is None:
            return ""
        return f"; the 90th percentile of the gradient's norm was {self._watch.percentile(90):.2g}"

    def evaluate(self, progress: Callable[[float], None] | None = None) -> dict[str, float]:
        if self._validation is None:
            return {}
        return {"val_loss": evaluate(self._language_model, self._validation, progress, self.sharing)}

    def state(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        joint = self.sharing.joint_state(self._carried, self._streams.batch_size)
        tensors = {f"carried.{index}": part for index, part in enumerate(joint)}
        state = {
            "position": self._position,
            "lengths": self._lengths.state(),
            "chunk": self._lengths.mean,
            "chosen": self._chosen,
            "watch": None if self._watch is None else self._watch.state(),
        }
        return state, tensors

    def restore(self, saved: Saved, tensors: dict[str, Tensor]) -> None:
        with saved:
            self._position = saved.integer("position", most=self._streams.length)
            with saved.part("lengths") as lengths:
                self._lengths.restore(_generator_state(lengths))
            if self._adapts:
                self._lengths.mean = saved.integer("chunk", SHORTEST, LONGEST)
                self._chosen = saved.optional_integer("chosen", SHORTEST, LONGEST)
            else:
                self._lengths.mean = saved.integer("chunk", self._lengths.mean, self._lengths.mean)
                self._chosen = None
                saved.absent("chosen")
            if self._watch is None:
                saved.absent("watch")
            else:
                self._watch.restore(saved.part("watch"))
        model, batch = self._language_model, self._streams.batch_size
        # At the text's beginning nothing has been read.
        carrying = model.recurrent if self._position else None
        joint = carried_state(tensors, carrying, batch, model.output.weight, saved)
        self._carried = self.sharing.own_states(joint)

    def _tensor(self, tokens: NDArray[np.int64]) -> Tensor:
        return torch.from_numpy(tokens).to(self._device)


def _generator_state(saved: Saved) -> dict[str, Any]:
    """The state of NumPy's PCG64."""
    with saved.part("state") as numbers:
        state = {name: numbers.integer(name, most=2**128 - 1) for name in ("state", "inc")}
    return {
        "bit_generator": saved.text("bit_generator", ["PCG64"]),
        "state": state,
        "has_uint32": saved.integer("has_uint32", most=1),
        "uinteger": saved.integer("uinteger", most=2**32 - 1),
    }


def token_loss(model: LanguageModel, outputs: Tensor, targets: Tensor, own: OwnLoss | None = None) -> Tensor:
    """The mean over tokens of -log softmax(logits)[target], in nats.

    Args:
        model: whose output layer makes the logits.
        outputs: (T, B, H), what that layer reads.
        targets: (T, B) int64; `IGNORED_TARGET` leaves a place out.
        own: takes the place of it in training.
    """
    if own is not None:
        return own(model.output(outputs), targets, targets != IGNORED_TARGET)
    return linear_softmax_loss(outputs, model.output.weight, model.output.bias, targets)[0]


@torch.inference_mode()
def evaluate(
    model: LanguageModel,
    streams: EvaluationStreams,
    progress: Callable[[float], None] | None = None,
    sharing: Sharing | None = None,
) -> float:
    """The mean loss over every prediction of the streams, in nats a token, with carried state.

    Args:
        progress: called with the share that is done.
        sharing: which of the streams are read here; the sum is over all.
    """
    was_training, sharing = model.training, sharing or Sharing()
    model.eval()
    totals = [
        _total_loss(model, streams, share.rows(streams.batch_size), progress) for share in sharing.shares
    ]
    model.train(was_training)
    everyone = sharing.processes.gather(torch.tensor([totals], dtype=torch.float64))
    return sum(everyone.flatten().tolist()) / streams.predictions


def _total_loss(
    model: LanguageModel, streams: EvaluationStreams, rows: slice, progress: Callable[[float], None] | None
) -> float:
    """The sum of the losses of some of the streams."""
    device, count = model.output.weight.device, rows.stop - rows.start
    total, state = 0.0, None
    fitting = _EVALUATION_LOGITS // (max(count, 1) * model.vocabulary_size)
    length = max(1, min(_EVALUATION_STEPS, fitting))
    for start in range(0, streams.length if count else 0, length):
        inputs, targets = (np.ascontiguousarray(part[:, rows]) for part in streams.chunk(start, length))
        logits, state = model(torch.from_numpy(inputs).to(device), state)
        wanted = torch.from_numpy(targets).to(device)
        count = int((targets != IGNORED_TARGET).sum())
        if count:
            total += softmax_loss(logits, wanted).item() * count
        if progress is not None:
            progress((start + len(inputs)) / streams.length)
    return total
