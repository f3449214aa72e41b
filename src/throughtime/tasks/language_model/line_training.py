"""Learning to write lines: each an example of its own, from a first state to its end."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from throughtime.data import IGNORED_TARGET
from throughtime.data.batches import LengthBatches, pad
from throughtime.data.tokenizer import Tokenizer
from throughtime.generation import SamplingOptions
from throughtime.tasks.language_model.line_writing import end_token, write_lines
from throughtime.tasks.language_model.model import LanguageModel, TorchStepper
from throughtime.tasks.language_model.options import StreamTraining
from throughtime.tasks.language_model.prepared_lines import PreparedLines
from throughtime.tasks.language_model.training import token_loss
from throughtime.training.examples import ExampleTask
from throughtime.training.task import StepLoss

_EVALUATED_TOGETHER = 256
_SAMPLES, _SAMPLE_LENGTH, _SAMPLE_TEMPERATURE = 5, 160, 0.8


class LineModelling(ExampleTask):
    """Cross entropy of every token of a line and of its end, given those before it and the conditions.

    A batch's loss is the mean over its tokens, so that a line counts by its length, as in the figures that
    others give for such data.

    Args:
        model: the network, on its device.
        prepared: the lines to learn from and those to measure on.
        tokenizer: the vocabulary.
        config: batch, seed.
    """

    unit = "tokens"

    def __init__(
        self, model: LanguageModel, prepared: PreparedLines, tokenizer: Tokenizer, config: StreamTraining
    ) -> None:
        super().__init__(model, prepared.lines.lengths[prepared.training], config)
        self._model = model
        self._prepared = prepared
        self._tokenizer, self._seed = tokenizer, config.seed
        self._training = prepared.training
        self._start = end_token(tokenizer)
        if tokenizer.kind == "character":
            self.loss_name = "loss in nats per character, the line's end included"
        lengths = prepared.lines.lengths[prepared.validation]
        self._validation = LengthBatches(lengths, _EVALUATED_TOGETHER, 0).in_order() if len(lengths) else []

    def facts(self) -> str:
        tokens = int(self._prepared.lines.lengths[self._training].sum())
        return (
            f"{len(self._training):,} training lines of {tokens / len(self._training):.1f} tokens on "
            f"average, {len(self._prepared.validation):,} to validate on; "
            f"{self._model.vocabulary_size:,} kinds of tokens ({self._tokenizer.kind})"
        )

    def describe(self, metrics: dict[str, float]) -> str:
        unit = "character" if self._tokenizer.kind == "character" else "token"
        loss, line = metrics["val_loss"], metrics["val_nats_per_line"]
        return f"loss {loss:.4f} nats a {unit}, {line:.2f} a line, perplexity {math.exp(min(loss, 700)):.3g}"

    def loss(self, examples: NDArray[np.int64], joint: NDArray[np.int64] | None = None) -> StepLoss:
        least = 0 if joint is None else int(self._prepared.lines.lengths[self._training[joint]].max())
        outputs, targets = self._outputs(self._training[examples], least)
        count = int((targets != IGNORED_TARGET).sum())
        return StepLoss(token_loss(self._model, outputs, targets, self.own_loss), count)

    @torch.inference_mode()
    def evaluate(self, progress: Callable[[float], None] | None = None) -> dict[str, float]:
        if not self._validation:
            return {}
        was_training = self._model.training
        self._model.eval()

        def measure(batch: NDArray[np.int64]) -> list[NDArray[np.float64]]:
            outputs, targets = self._outputs(self._prepared.validation[batch])
            count = int((targets != IGNORED_TARGET).sum())
            return [np.array([token_loss(self._model, outputs, targets).item() * count, count])]

        total, tokens, lines = 0.0, 0, 0
        for done, (sums,) in enumerate(self.sharing.turns(self._validation, measure), 1):
            loss, count = sums.tolist()
            total, tokens, lines = total + loss, tokens + int(count), lines + len(self._validation[done - 1])
            if progress is not None:
                progress(done / len(self._validation))
        self._model.train(was_training)
        return {"val_loss": total / tokens, "val_nats_per_line": total / lines}

    def sample(self) -> str:
        if self._model.begin is not None:
            return ""  # for which conditions?
        was_training = self._model.training
        try:
            options = SamplingOptions(temperature=_SAMPLE_TEMPERATURE)
            written = write_lines(
                TorchStepper(self._model), self._tokenizer, _SAMPLES, _SAMPLE_LENGTH, options, self._seed
            )
            return "\n".join(line.text for line in written)
        finally:
            self._model.train(was_training)

    def _outputs(self, numbers: NDArray[np.int64], least: int = 0) -> tuple[Tensor, Tensor]:
        """What the output layer reads, (T, B, H), and the tokens (T, B) wanted, of `least` steps or more."""
        prepared = self._prepared
        lines = [np.asarray(prepared.lines[int(number)], np.int64) for number in numbers]
        targets = pad(lines, IGNORED_TARGET, least)
        inputs = np.empty_like(targets)
        inputs[0], inputs[1:] = self._start, targets[:-1]
        inputs[inputs == IGNORED_TARGET] = self._start
        categories, values = (self._tensor(part[numbers]) for part in (prepared.categories, prepared.numbers))
        outputs, _ = self._model.read(self._tensor(inputs), self._model.first_state(categories, values))
        return outputs, self._tensor(targets)

    def _tensor(self, array: NDArray[Any]) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(self.device)
