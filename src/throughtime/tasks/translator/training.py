"""Learning to translate: the target's tokens from the source and from those before."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from throughtime.models.softmax_loss import linear_softmax_loss
from throughtime.tasks.translator.model import Translator
from throughtime.tasks.translator.options import PairTraining
from throughtime.tasks.translator.prediction import PairBatch, TokenPairs, evaluate
from throughtime.training.examples import ExampleTask
from throughtime.training.task import StepLoss


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
        self.source_end, self.end, self.start = model.source_end, model.end, model.start

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

    def loss(self, examples: NDArray[np.int64], joint: NDArray[np.int64] | None = None) -> StepLoss:
        least = (0, 0) if joint is None else tuple(self._training.lengths_of(joint).max(0).tolist())
        batch = PairBatch.gather(self._translator, self._training, examples, least)
        readouts, wanted, counts = self._readouts(batch, self._sampling_rate())
        read, smoothing = self._translator.to_output(readouts, counts), self._config.label_smoothing
        loss, plain = linear_softmax_loss(read, *self._translator.output_layer(), wanted, smoothing)
        return StepLoss(loss, len(read), measured=plain.item() if smoothing else None)

    def evaluate(self, progress: Callable[[float], None] | None = None) -> dict[str, float]:
        if self._validation is None:
            return {}
        was_training = self._translator.training
        self._translator.eval()
        metrics = evaluate(self, self._validation, self._config.batch, progress, self.sharing.turns)
        self._translator.train(was_training)
        return metrics

    @torch.inference_mode()
    def score(self, batch: PairBatch) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """As `Scorer` of this room does; all steps at once where the decoder allows that."""
        readouts, wanted, counts = self._readouts(batch)
        logits = self._translator.logits(readouts, counts).float()
        losses = F.cross_entropy(logits, wanted, reduction="none")
        return losses.double().cpu().numpy(), (logits.argmax(-1) == wanted).cpu().numpy()

    def _readouts(self, batch: PairBatch, sampling_rate: float = 0.0) -> tuple[Tensor, Tensor, Tensor]:
        """(T, B, R); the tokens (N,) that are wanted at the N places that count; these places (T, B)."""
        source, read, wanted, counts = (
            torch.from_numpy(array).to(self.device)
            for array in (batch.source, batch.read, batch.wanted, batch.counts)
        )
        lengths = torch.from_numpy(batch.source_lengths)
        readouts, _ = self._translator(source, lengths, read, sampling_rate)
        return readouts, wanted[counts], counts

    def _sampling_rate(self) -> float:
        """Rises in a straight line, from 0 in the first step to the whole rate in the last."""
        progress = (self.epoch + self.epoch_progress) / self._config.epochs
        return self._config.scheduled_sampling * progress
