"""Learning to translate: the target's tokens from the source and from those before."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from throughtime.config.translator import PairTraining
from throughtime.data.batches import LengthBatches, pad
from throughtime.data.sequences import Sequences
from throughtime.models.translator import Translator
from throughtime.training.examples import ExampleTask
from throughtime.training.task import StepLoss


@dataclass(frozen=True)
class TokenPairs:
    """Pairs as tokens, without START and END.

    Args:
        sources, targets: as many of each.
    """

    sources: Sequences
    targets: Sequences

    def __len__(self) -> int:
        return len(self.sources)

    @property
    def lengths(self) -> NDArray[np.int64]:
        """(N, 2), with END."""
        return np.stack([self.sources.lengths, self.targets.lengths], 1) + 1


@dataclass(frozen=True)
class PairBatch:
    """Pairs beside each other, as the network wants them.

    Args:
        source: (S, B), each ending in END.
        source_lengths: (B,) on the CPU.
        read: (T, B), each beginning with START.
        wanted: (T, B), each ending in END.
        counts: (T, B) bool, false at padding.
    """

    source: Tensor
    source_lengths: Tensor
    read: Tensor
    wanted: Tensor
    counts: Tensor

    @classmethod
    def gather(
        cls, model: Translator, pairs: TokenPairs, examples: NDArray[np.int64], device: torch.device
    ) -> PairBatch:
        """The pairs of these numbers."""
        sources = [np.append(pairs.sources[i], model.source_end).astype(np.int64) for i in examples]
        targets = [pairs.targets[i].astype(np.int64) for i in examples]
        read = pad([np.concatenate([[model.start], target]) for target in targets], model.end)
        wanted = pad([np.append(target, model.end) for target in targets], model.end)
        counts = np.arange(len(wanted))[:, None] <= np.array([len(target) for target in targets])

        def tensor(array: NDArray[np.generic]) -> Tensor:
            return torch.from_numpy(array).to(device)

        source_lengths = torch.tensor([len(source) for source in sources])
        source = pad(sources, model.source_end)
        return cls(tensor(source), source_lengths, tensor(read), tensor(wanted), tensor(counts))


class Translation(ExampleTask):
    """Teacher forcing with label smoothing; scheduled sampling where it is asked for.

    Args:
        model: the network, on its device.
        training: the pairs to learn from.
        validation: pairs, or None.
        config: batch, smoothing and so on.
    Source: label smoothing Szegedy et al. 2016, section 7; scheduled sampling Bengio et al. 2015.
    """

    unit = "tokens"

    def __init__(
        self, model: Translator, training: TokenPairs, validation: TokenPairs | None, config: PairTraining
    ) -> None:
        super().__init__(model, training.lengths, config)
        self._translator = model
        self._training = training
        self._validation = validation
        self._config = config

    def facts(self) -> str:
        validated = f", {len(self._validation):,} to validate on" if self._validation is not None else ""
        return (
            f"{len(self._training):,} training pairs{validated}; vocabularies of "
            f"{self._translator.source_end:,} and {self._translator.end:,} tokens"
        )

    def describe(self, metrics: dict[str, float]) -> str:
        loss = metrics["val_loss"]
        return (
            f"loss {loss:.4f} nats a token, perplexity {math.exp(min(loss, 700)):.2f}, "
            f"{metrics['val_token_accuracy']:.1%} of the tokens right"
        )

    def loss(self, examples: NDArray[np.int64]) -> StepLoss:
        batch = PairBatch.gather(self._translator, self._training, examples, self.device)
        readouts, _ = self._translator(batch.source, batch.source_lengths, batch.read, self._sampling_rate())
        logits = self._translator.logits(readouts, batch.counts)
        loss = token_losses(logits, batch.wanted[batch.counts], self._config.label_smoothing).mean()
        return StepLoss(loss, len(logits))

    def evaluate(self, progress: Callable[[float], None] | None = None) -> dict[str, float]:
        if self._validation is None:
            return {}
        return evaluate(self._translator, self._validation, self._config.batch, self.device, progress)

    def _sampling_rate(self) -> float:
        """Rises in a straight line, from 0 in the first step to the whole rate in the last."""
        progress = (self.epoch + self.epoch_progress) / self._config.epochs
        return self._config.scheduled_sampling * progress


def token_losses(logits: Tensor, wanted: Tensor, label_smoothing: float = 0.0) -> Tensor:
    """-log softmax(logits)[wanted] in nats for each of N tokens, half precision summed in float32.

    Args:
        logits: (N, V).
        wanted: (N,).
        label_smoothing: share of the wanted probability that is spread over all V.
    """
    if logits.dtype in (torch.bfloat16, torch.float16):
        logits = logits.float()
    return F.cross_entropy(logits, wanted, reduction="none", label_smoothing=label_smoothing)


@torch.inference_mode()
def evaluate(
    model: Translator,
    pairs: TokenPairs,
    batch: int,
    device: torch.device,
    progress: Callable[[float], None] | None = None,
) -> dict[str, float]:
    """The mean loss over all target tokens, without smoothing, and the share that is predicted right.

    Args:
        pairs: at least one.
        batch: pairs at once.
        progress: called with the share that is done.
    """
    was_training = model.training
    model.eval()
    total, right, count = 0.0, 0, 0
    batches = LengthBatches(pairs.lengths, batch, seed=0).in_order()
    for number, examples in enumerate(batches, 1):
        pair_batch = PairBatch.gather(model, pairs, examples, device)
        readouts, _ = model(pair_batch.source, pair_batch.source_lengths, pair_batch.read)
        logits = model.logits(readouts, pair_batch.counts)
        wanted = pair_batch.wanted[pair_batch.counts]
        total += token_losses(logits, wanted).double().sum().item()
        right += int((logits.argmax(-1) == wanted).sum())
        count += len(wanted)
        if progress is not None:
            progress(number / len(batches))
    model.train(was_training)
    return {"val_loss": total / count, "val_token_accuracy": right / count}
