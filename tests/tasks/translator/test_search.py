"""Beam search through a translator: what it returns, side by side or alone, with and without coverage."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from throughtime.generation.beam import beam_search, beam_search_batch
from throughtime.models.functions import TorchNetwork
from throughtime.tasks.translator.model import Translator
from throughtime.tasks.translator.options import TranslatorNetwork
from throughtime.tasks.translator.search import TranslationSearcher

VOCABULARY = 9
KINDS = {
    "none": {"attention": "none"},
    "luong": {},
    "input feeding": {"input_feeding": True},
    "bahdanau": {"attention": "bahdanau", "layers": 2},
}


def translator(**options) -> Translator:
    torch.manual_seed(4)
    config = TranslatorNetwork(hidden=8, embedding=6, **options)
    model = Translator(config, VOCABULARY, VOCABULARY)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(3)  # random weights as they begin make all tokens alike
    return model


def searcher_of(model: Translator, coverage_penalty: float = 0.0) -> TranslationSearcher:
    return TranslationSearcher(
        TorchNetwork(model), model.source_end, model.end, model.start, coverage_penalty
    )


def sources(lengths: list[int]) -> list[np.ndarray]:
    generator = np.random.default_rng(0)
    return [generator.integers(VOCABULARY, size=length) for length in lengths]


def search(searcher, texts, width=4, **options):
    first, state = searcher.begin(texts)
    return beam_search_batch(
        searcher.step,
        first,
        state,
        searcher.select,
        width,
        [2 * len(text) + 4 for text in texts],
        searcher.end_token,
        penalties=searcher.penalties,
        **options,
    )


@pytest.mark.parametrize("coverage", [0.0, 0.5])
@pytest.mark.parametrize("width", [1, 4, 30])
@pytest.mark.parametrize("kind", KINDS)
def test_sources_side_by_side_are_translated_as_alone(kind, width, coverage):
    # Width 30 is above the vocabulary: sources have unequal numbers of beginnings in the first steps.
    searcher = searcher_of(translator(**KINDS[kind]), coverage)
    texts = sources([5, 1, 3, 8, 2])
    together = search(searcher, texts, width, length_penalty=0.8)
    for text, found in zip(texts, together, strict=True):
        alone = search(searcher, [text], width, length_penalty=0.8)[0]
        assert [h.tokens for h in found] == [h.tokens for h in alone]
        np.testing.assert_allclose([h.score for h in found], [h.score for h in alone], rtol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_the_batch_finds_what_the_plain_beam_search_finds(kind):
    searcher = searcher_of(translator(**KINDS[kind]))
    text = sources([6])
    first, state = searcher.begin(text)
    plain = beam_search(searcher.step, first, state, searcher.select, 3, 16, searcher.end_token)
    assert [h.tokens for h in search(searcher, text, 3)[0]] == [h.tokens for h in plain]


@pytest.mark.parametrize("kind", KINDS)
def test_log_probabilities_are_those_of_reading_the_translation(kind):
    model = translator(**KINDS[kind])
    text = sources([5])
    best = search(searcher_of(model), text)[0][0]
    source = torch.tensor([*text[0], model.source_end])[:, None]
    read = torch.tensor([model.start, *best.tokens[:-1]])[:, None]
    readouts, _ = model(source, torch.tensor([6]), read)
    log_probabilities = model.logits(readouts)[:, 0].log_softmax(-1)
    total = log_probabilities[torch.arange(len(best.tokens)), torch.tensor(best.tokens)].sum()
    assert best.log_probability == pytest.approx(total.item(), rel=1e-5)


def test_the_coverage_penalty_is_that_of_the_paper():
    model = translator()
    searcher = searcher_of(model, coverage_penalty=0.7)
    texts = sources([4, 2])
    for text, found in zip(texts, search(searcher, texts), strict=True):
        for hypothesis in found:
            attention = searcher.attend([text], [np.array(hypothesis.tokens)])[0].astype(np.float64)
            coverage = 0.7 * np.log(np.minimum(attention.sum(0), 1.0)).sum()
            assert hypothesis.score == pytest.approx(hypothesis.log_probability + coverage, rel=1e-4)


def test_attention_covers_each_source_and_nothing_else():
    searcher = searcher_of(translator())
    texts = sources([4, 7])
    targets = [np.array([1, 2, searcher.end_token]), np.array([3, searcher.end_token])]
    first, second = searcher.attend(texts, targets)
    assert (first.shape, second.shape) == ((3, 5), (2, 8))
    np.testing.assert_allclose(first.sum(1), 1, rtol=1e-6)
    np.testing.assert_allclose(first, searcher.attend(texts[:1], targets[:1])[0], rtol=1e-5)
    assert searcher_of(translator(attention="none")).attend(texts, targets) is None
