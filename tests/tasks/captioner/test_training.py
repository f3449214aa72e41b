"""Captioning as the trainer sees it: batches, losses, validation."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from throughtime.data.sequences import Sequences
from throughtime.encoders.encoder import ReadyFeatures
from throughtime.tasks.captioner.examples import CaptionExamples
from throughtime.tasks.captioner.metrics import bleu
from throughtime.tasks.captioner.model import Captioner
from throughtime.tasks.captioner.options import CaptionerNetwork, CaptionTraining
from throughtime.tasks.captioner.training import Captioning

WORDS = ["a", "cat", "dog", "sits", "runs"]
TEXTS = [["a cat sits", "a cat"], ["a dog runs", "a dog"], ["a cat runs a dog sits"]]


def examples(texts: list[list[str]] = TEXTS) -> CaptionExamples:
    """An image of each row of texts, with features that tell it apart."""
    tokens = [[WORDS.index(word) for word in text.split()] for several in texts for text in several]
    ends = np.cumsum([len(one) for one in tokens])
    owners = np.array([number for number, several in enumerate(texts) for _ in several])
    images = np.eye(len(texts), 6, dtype=np.float32)
    return CaptionExamples(images, Sequences(np.concatenate(tokens), ends), owners, texts)


def task(image_input: str = "every-step", validation: Any = None, **training: Any) -> Captioning:
    torch.manual_seed(0)
    network = CaptionerNetwork(
        image_input=image_input,  # type: ignore[arg-type]
        hidden=24,
        embedding=8,
        image_embedding=8,
        input_dropout=0,
        output_dropout=0,
        feature_dropout=0,
    )
    model = Captioner(network, len(WORDS), ReadyFeatures(6, grid=image_input.endswith("attention")))
    part = examples()
    if image_input.endswith("attention"):
        grid = np.repeat(part.images[:, None], 4, axis=1)
        part = CaptionExamples(grid, part.captions, part.owners, part.texts)
    config = CaptionTraining(**{"batch": 5, **training})
    return Captioning(
        model,
        part,
        validation,
        config,
        lambda tokens: [WORDS[token] for token in tokens if token < len(WORDS)],
        [],
        8,
    )


def learn(captioning: Captioning, steps: int) -> float:
    optimizer = torch.optim.Adam(captioning.model.parameters(), 0.02)
    loss = math.inf
    for _ in range(steps):
        step = captioning.loss(np.arange(5))
        optimizer.zero_grad()
        step.loss.backward()
        optimizer.step()
        loss = step.loss.item()
    return loss


def test_each_caption_is_read_from_start_and_predicted_to_end() -> None:
    captioning = task()
    _, read, wanted = captioning._batch(examples(), np.array([0, 3]))
    start, end = len(WORDS) + 1, len(WORDS)
    assert read.T.tolist() == [[start, 0, 1, 3], [start, 0, 2, end]]
    assert wanted.T.tolist() == [[0, 1, 3, end], [0, 2, end, -100]]


def test_a_caption_is_read_with_its_own_image() -> None:
    images, _, _ = task()._batch(examples(), np.array([4, 0, 2]))
    assert images.argmax(1).tolist() == [2, 0, 1]


def test_the_loss_is_the_mean_over_the_words_that_count() -> None:
    captioning = task()
    step = captioning.loss(np.array([0, 3]))
    assert step.tokens == 4 + 3
    images, read, wanted = captioning._batch(examples(), np.array([0, 3]))
    logits, _ = captioning.model(images, read)
    by_hand = -torch.log_softmax(logits, -1).gather(-1, wanted.clamp(min=0)[..., None])[..., 0]
    expected = by_hand[wanted >= 0].sum() / 7
    assert step.loss.item() == pytest.approx(expected.item(), rel=1e-5)


def test_the_attention_penalty_is_added_a_caption_at_a_time() -> None:
    plain = task("attention", attention_penalty=0).loss(np.array([0, 3]))
    with_it = task("attention", attention_penalty=2.0).loss(np.array([0, 3]))
    # Untrained attention looks at all 4 places alike: sum_t alpha = 4/4 and 3/4 each.
    penalties = [4 * (1 - 4 / 4) ** 2, 4 * (1 - 3 / 4) ** 2]
    captioning = task("attention")
    with torch.no_grad():
        images, read, _ = captioning._batch(captioning._training, np.array([0, 3]))
        _, alpha = captioning.model(images, read)
    assert alpha.numpy() == pytest.approx(np.full((4, 2, 4), 0.25), abs=1e-6)  # equal places
    assert (with_it.loss - plain.loss).item() == pytest.approx(2.0 * sum(penalties) / 7, rel=1e-3)


@pytest.mark.parametrize("image_input", ["every-step", "first-input", "initial-state", "attention"])
def test_captions_of_a_few_images_are_learned_by_heart(image_input: str) -> None:
    """Two captions of an image begin alike, so ln 2 is left for four of the captions; 21 words with END."""
    captioning = task(image_input, attention_penalty=0)
    assert learn(captioning, 150) == pytest.approx(4 * math.log(2) / 21, abs=0.04)


def test_validation_is_the_loss_and_the_bleu_of_greedy_captions() -> None:
    validation = examples([["a cat sits"], ["a dog runs"], ["a cat runs a dog sits"]])
    captioning = task(validation=validation)
    first = captioning.evaluate()
    learn(captioning, 150)
    shares: list[float] = []
    metrics = captioning.evaluate(shares.append)
    assert metrics["val_loss"] < first["val_loss"] / 2
    assert shares[-1] == pytest.approx(1.0) and shares == sorted(shares)
    assert captioning.model.training
    # What is written is one of the texts, END after it; BLEU-4 sees the longest.
    candidates = [["a", "cat"], ["a", "dog"], ["a", "cat", "runs", "a", "dog", "sits"]]
    references = [[text.split() for text in several] for several in validation.texts]
    longer = [["a", "cat", "sits"], ["a", "dog", "runs"], candidates[2]]
    possible = [bleu(which, references)[3] for which in (candidates, longer)]
    assert min(possible) - 1e-6 <= metrics["val_bleu4"] <= max(possible) + 1e-6


def test_evaluation_draws_nothing() -> None:
    captioning = task(validation=examples())
    before = torch.get_rng_state()
    captioning.evaluate()
    assert torch.equal(before, torch.get_rng_state())


def test_without_validation_there_are_no_metrics() -> None:
    assert task().evaluate() == {}


@pytest.mark.parametrize("options", [{"label_smoothing": 0.3}, {"attention_penalty": 2.0}])
def test_smoothing_and_penalties_are_learned_from_but_not_reported(options: dict[str, float]) -> None:
    """The curve of training is the quantity that validation measures."""
    learned = task("attention", **{"label_smoothing": 0, "attention_penalty": 0, **options})
    plain = task("attention", label_smoothing=0, attention_penalty=0)
    learned.start_epoch(0)
    plain.start_epoch(0)
    found, wanted = learned.next_loss(), plain.next_loss()
    assert found is not None and wanted is not None
    assert found.measured == pytest.approx(wanted.loss.item())
    assert found.loss.item() != found.measured
