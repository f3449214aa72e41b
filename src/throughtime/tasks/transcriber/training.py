"""Training a transcriber: the probability of each text over all of its places in the recording."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from throughtime.data.batches import pad
from throughtime.metrics.edits import EditScores
from throughtime.models.functions import TorchNetwork
from throughtime.tasks.transcriber.alphabet import Alphabet
from throughtime.tasks.transcriber.decoding import BLANK, best_path, log_likelihood
from throughtime.tasks.transcriber.model import Transcriber
from throughtime.tasks.transcriber.options import TranscriberConfig
from throughtime.tasks.transcriber.prediction import Listener, listen
from throughtime.tasks.transcriber.prepared import PreparedRecordings
from throughtime.training.examples import ExampleTask
from throughtime.training.task import StepLoss


class Transcription(ExampleTask):
    """-log p(text) of recordings, in nats a character; the weights with the lowest validation CER stay.

    Args:
        model: the network, on its device.
        prepared: the recordings to learn from and those to measure on.
        alphabet: the characters.
        config: all options.
        what: what the recordings are, in the plural.
    """

    unit = "characters"
    loss_name = "loss in nats per character"
    objective = "val_cer"

    def __init__(
        self,
        model: Transcriber,
        prepared: PreparedRecordings,
        alphabet: Alphabet,
        config: TranscriberConfig,
        what: str,
    ) -> None:
        training = prepared.training
        super().__init__(model, prepared.recordings.lengths[training], config.training)
        self._transcriber = model
        self._prepared = prepared
        self._alphabet = alphabet
        self._training, self._validation = training, prepared.validation
        self._what = what

    def facts(self) -> str:
        characters = int(self._prepared.texts.lengths[self._training].sum())
        return (
            f"{len(self._training):,} training {self._what} with texts of {characters:,} characters, "
            f"{len(self._alphabet.characters)} different ones, {len(self._validation):,} to validate on"
        )

    def describe(self, metrics: dict[str, float]) -> str:
        return (
            f"loss {metrics['val_loss']:.4f}, CER {metrics['val_cer']:.2%}, WER {metrics['val_wer']:.2%}, "
            f"whole texts right {metrics['val_right']:.1%}"
        )

    def loss(self, examples: NDArray[np.int64], joint: NDArray[np.int64] | None = None) -> StepLoss:
        least = 0 if joint is None else int(self._prepared.recordings.lengths[self._training[joint]].max())
        numbers = self._training[examples]
        recordings = [self._prepared.recordings[number] for number in numbers]
        texts = [self._prepared.texts[number] for number in numbers]
        lengths = torch.tensor([len(one) for one in recordings])
        features = torch.from_numpy(pad(recordings, least=least)).to(self.device)
        scores, _ = self._transcriber(features, lengths)
        characters = sum(map(len, texts))
        losses = ctc_losses(scores, texts, lengths)
        return StepLoss(losses.sum() / characters, characters)

    def evaluate(self, progress: Callable[[float], None] | None = None) -> dict[str, float]:
        if not len(self._validation):
            return {}
        was_training = self._transcriber.training
        recordings = [self._prepared.recordings[number] for number in self._validation]
        listener = Listener(TorchNetwork(self._transcriber))
        scores, losses = EditScores(), np.zeros(len(recordings))
        for index, log_probabilities in listen(listener, recordings, progress, self.sharing.turns):
            truth = self._prepared.texts[int(self._validation[index])].tolist()
            losses[index] = -log_likelihood(log_probabilities, truth)
            found = best_path(log_probabilities).characters
            scores.add(self._alphabet.decode(truth), self._alphabet.decode(found))
        self._transcriber.train(was_training)
        loss = float(losses.sum()) / scores.characters
        return {"val_loss": loss, **{f"val_{name}": value for name, value in scores.figures().items()}}


def ctc_losses(scores: Tensor, texts: list[NDArray[np.integer]], lengths: Tensor) -> Tensor:
    """-log p(text) of each recording, (B,), in nats.

    Args:
        scores: (T, B, V) before the softmax, of any float type; they are summed in float32 at least.
        texts: (L_i,) numbers of characters each, none of them the blank.
        lengths: (B,), steps of each recording.
    """
    wanted = torch.from_numpy(np.concatenate(texts).astype(np.int64)).to(scores.device)
    counts = torch.tensor([len(one) for one in texts])
    # Half precision would lose what a path of hundreds of steps adds up to.
    log_probabilities = F.log_softmax(scores, -1, dtype=torch.promote_types(scores.dtype, torch.float32))
    return F.ctc_loss(log_probabilities, wanted, lengths, counts, blank=BLANK, reduction="none")
