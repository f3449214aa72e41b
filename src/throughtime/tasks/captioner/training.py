"""Captioning: each caption is an example, its words predicted one after the other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from throughtime.data import IGNORED_TARGET
from throughtime.data.batches import LengthBatches, pad
from throughtime.models.functions import TorchNetwork
from throughtime.models.softmax_loss import softmax_loss
from throughtime.tasks.captioner.attention_over_image import doubly_stochastic_penalty
from throughtime.tasks.captioner.examples import CaptionExamples
from throughtime.tasks.captioner.generation import greedy_captions
from throughtime.tasks.captioner.metrics import bleu
from throughtime.tasks.captioner.model import Captioner
from throughtime.tasks.captioner.options import CaptionTraining
from throughtime.tasks.captioner.writer import CaptionWriter
from throughtime.training.examples import ExampleTask
from throughtime.training.task import StepLoss

# Rows in evaluation: bounded by the memory that logits and feature grids take.
_EVALUATION_BATCH = 128


class Captioning(ExampleTask):
    """Teacher forcing on whole captions; validation by loss and by the greedy captions' BLEU-4.

    Weights are kept by the loss: BLEU-4 of a few images is 0 for long, and stays where it is while the model
    still learns which captions are probable.

    Args:
        model: the network, on its device.
        training: the captions to learn from.
        validation: captions of other images, or None.
        config: batch, seed, label smoothing...
        write: tokens to words, for BLEU.
        never: tokens that are not written.
        max_length: of a caption, in tokens with END.
    """

    unit = "words"
    loss_name = "loss in nats per word"

    def __init__(
        self,
        model: Captioner,
        training: CaptionExamples,
        validation: CaptionExamples | None,
        config: CaptionTraining,
        write: Callable[[Sequence[int]], list[str]],
        never: Sequence[int],
        max_length: int,
    ) -> None:
        # With END.
        super().__init__(model, training.captions.lengths + 1, config)
        self._captioner = model
        self._training = training
        self._validation = validation
        self._config = config
        self._write = write
        self._never = never
        self._max_length = max_length

    def facts(self) -> str:
        images, captions = len(self._training.images), len(self._training.captions)
        return f"{images:,} images with {captions:,} captions, {self._captioner.vocabulary_size:,} tokens"

    def describe(self, metrics: dict[str, float]) -> str:
        return f"loss {metrics['val_loss']:.4f}, BLEU-4 {metrics['val_bleu4']:.2f} (greedy)"

    def loss(self, examples: NDArray[np.int64], joint: NDArray[np.int64] | None = None) -> StepLoss:
        least = 0 if joint is None else int(self._training.captions.lengths[joint].max()) + 1
        images, read, wanted = self._batch(self._training, examples, least)
        logits, alpha = self._captioner(images, read)
        loss, measured = softmax_loss(logits, wanted, self._config.label_smoothing), None
        if self._config.label_smoothing or alpha is not None:
            measured = softmax_loss(logits.detach(), wanted).item()
        if alpha is not None and self._config.attention_penalty:
            counts = wanted != IGNORED_TARGET
            # The paper adds it to the loss of a caption; this loss is that of a word.
            penalty = doubly_stochastic_penalty(alpha, counts) * counts.shape[1] / counts.sum()
            loss = loss + self._config.attention_penalty * penalty
        return StepLoss(loss, int((wanted != IGNORED_TARGET).sum()), measured=measured)

    @torch.inference_mode()
    def evaluate(self, progress: Callable[[float], None] | None = None) -> dict[str, float]:
        validation = self._validation
        if validation is None:
            return {}
        model, was_training = self._captioner, self._captioner.training
        model.eval()
        batches = LengthBatches(validation.captions.lengths, _EVALUATION_BATCH, 0).in_order()

        def measure(examples: NDArray[np.int64]) -> list[NDArray[np.float64]]:
            images, read, wanted = self._batch(validation, examples)
            logits, _ = model(images, read)
            count = int((wanted != IGNORED_TARGET).sum())
            return [np.array([softmax_loss(logits, wanted).item() * count, count])]

        total = words = 0.0
        for number, (sums,) in enumerate(self.sharing.turns(batches, measure)):
            loss, count = sums.tolist()
            total, words = total + loss, words + count
            if progress is not None:
                progress(0.7 * (number + 1) / len(batches))
        writer, candidates = CaptionWriter(TorchNetwork(model), model.vocabulary_size), []

        def write(start: int) -> list[NDArray[np.int64]]:
            cached = np.array(validation.images[start : start + _EVALUATION_BATCH])
            written = greedy_captions(writer, cached, self._max_length, self._never)
            return [np.array(tokens, np.int64) for tokens in written]

        starts = range(0, len(validation.images), _EVALUATION_BATCH)
        for written in self.sharing.turns(starts, write):
            candidates += [self._write(tokens.tolist()) for tokens in written]
            if progress is not None:
                progress(0.7 + 0.3 * len(candidates) / len(validation.images))
        references = [[text.split() for text in texts] for texts in validation.texts]
        model.train(was_training)
        return {"val_loss": total / words, "val_bleu4": bleu(candidates, references)[3]}

    def _batch(
        self, part: CaptionExamples, examples: NDArray[np.int64], least: int = 0
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Images (B, ...), tokens to read (T, B), START first, and tokens to predict (T, B), END last."""
        captions = [part.captions[int(example)].astype(np.int64) for example in examples]
        start, end = [self._captioner.start], [self._captioner.end]
        read = pad([np.concatenate([start, caption]) for caption in captions], self._captioner.end, least)
        wanted = pad([np.concatenate([caption, end]) for caption in captions], IGNORED_TARGET, least)
        images: NDArray[Any] = np.ascontiguousarray(part.images[part.owners[examples]])
        return tuple(torch.from_numpy(array).to(self.device) for array in (images, read, wanted))  # type: ignore[return-value]
