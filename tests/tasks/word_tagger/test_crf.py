"""The CRF against all sequences of tags, one by one; its gradients; the NumPy side against the torch side."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch
from torch import Tensor

from throughtime.tasks.word_tagger.crf import LinearChainCRF
from throughtime.tasks.word_tagger.decoding import Chain

TAGS = 3
LENGTHS = [[1], [2], [4], [4, 1, 3], [1, 1], [5, 2]]


def chain(seed: int = 0) -> LinearChainCRF:
    crf = LinearChainCRF(TAGS).double()
    with torch.no_grad():
        crf.scores.copy_(torch.randn(TAGS + 2, TAGS, generator=torch.Generator().manual_seed(seed)) * 1.5)
    return crf


def drawn(lengths: list[int], seed: int = 1) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    T, B = max(lengths), len(lengths)
    emissions = torch.randn(T, B, TAGS, generator=generator, dtype=torch.float64) * 2
    return emissions, torch.randint(TAGS, (T, B), generator=generator), torch.tensor(lengths)


def score_of(crf: LinearChainCRF, emissions: Tensor, tags: tuple[int, ...]) -> float:
    """The definition, term by term."""
    scores = crf.scores.detach()
    total = float(scores[TAGS, tags[0]] + scores[TAGS + 1, tags[-1]])
    total += sum(float(emissions[step, tag]) for step, tag in enumerate(tags))
    return total + sum(float(scores[a, b]) for a, b in zip(tags, tags[1:], strict=False))


def every_score(crf: LinearChainCRF, emissions: Tensor, length: int) -> dict[tuple[int, ...], float]:
    return {tags: score_of(crf, emissions, tags) for tags in product(range(TAGS), repeat=length)}


@pytest.mark.parametrize("lengths", LENGTHS)
def test_the_probability_of_tags_is_that_among_all_sequences(lengths: list[int]) -> None:
    crf = chain()
    emissions, tags, sizes = drawn(lengths)
    losses = crf(emissions, tags, sizes)
    for row, length in enumerate(lengths):
        every = every_score(crf, emissions[:, row], length)
        partition = np.log(np.exp(list(every.values())).sum())
        true = tuple(tags[:length, row].tolist())
        assert losses[row].item() == pytest.approx(partition - every[true], abs=1e-10)


@pytest.mark.parametrize("lengths", LENGTHS)
def test_the_best_tags_have_the_highest_of_all_scores(lengths: list[int]) -> None:
    crf = chain()
    emissions, _, sizes = drawn(lengths)
    found = Chain(crf.scores.detach().numpy()).best(emissions.numpy(), sizes.numpy())
    for row, length in enumerate(lengths):
        every = every_score(crf, emissions[:, row], length)
        assert tuple(found[:length, row].tolist()) == max(every, key=every.__getitem__)
        assert not found[length:, row].any()


@pytest.mark.parametrize("lengths", LENGTHS)
def test_marginals_are_sums_over_all_sequences(lengths: list[int]) -> None:
    crf = chain()
    emissions, _, sizes = drawn(lengths)
    found = Chain(crf.scores.detach().numpy()).marginals(emissions.numpy(), sizes.numpy())
    for row, length in enumerate(lengths):
        every = every_score(crf, emissions[:, row], length)
        weights = np.exp(list(every.values()))
        for step in range(length):
            for tag in range(TAGS):
                share = sum(weight for tags, weight in zip(every, weights, strict=True) if tags[step] == tag)
                assert found[step, row, tag] == pytest.approx(share / weights.sum(), abs=1e-6)
        assert not found[length:, row].any()


@pytest.mark.parametrize("lengths", LENGTHS)
def test_numpy_and_torch_give_the_same_losses(lengths: list[int]) -> None:
    crf = chain()
    emissions, tags, sizes = drawn(lengths)
    found = Chain(crf.scores.detach().numpy()).losses(emissions.numpy(), tags.numpy(), sizes.numpy())
    np.testing.assert_allclose(found, crf(emissions, tags, sizes).detach().numpy(), atol=1e-10)


@pytest.mark.parametrize("lengths", [[1], [4, 1, 3]])
def test_gradients_are_those_of_finite_differences(lengths: list[int]) -> None:
    crf = chain()
    emissions, tags, sizes = drawn(lengths)

    def losses(emissions: Tensor, scores: Tensor) -> Tensor:
        crf.scores.data = scores.data
        return torch.func.functional_call(crf, {"scores": scores}, (emissions, tags, sizes))

    scores = crf.scores.detach().clone().requires_grad_()
    assert torch.autograd.gradcheck(losses, (emissions.requires_grad_(), scores))


def test_the_gradient_of_the_partition_is_the_marginals() -> None:
    crf = chain()
    emissions, _, sizes = drawn([5, 2])
    crf.log_partition(emissions.requires_grad_(), sizes).sum().backward()
    found = Chain(crf.scores.detach().numpy()).marginals(emissions.detach().numpy(), sizes.numpy())
    assert emissions.grad is not None
    np.testing.assert_allclose(emissions.grad.numpy(), found, atol=1e-6)


def test_what_lies_past_a_length_does_not_count() -> None:
    crf = chain()
    emissions, tags, sizes = drawn([4, 2])
    before = crf(emissions, tags, sizes)
    emissions[2:, 1] = 1e6
    tags[2:, 1] = 0
    assert torch.equal(crf(emissions, tags, sizes), before)


def test_a_long_sentence_neither_overflows_nor_vanishes() -> None:
    crf = LinearChainCRF(TAGS)
    emissions = torch.randn(2_000, 1, TAGS) * 50
    tags = torch.zeros(2_000, 1, dtype=torch.int64)
    assert torch.isfinite(crf(emissions, tags, torch.tensor([2_000]))).all()


def test_without_neighbours_each_word_is_chosen_by_itself() -> None:
    emissions, tags, sizes = drawn([4, 2])
    alone = Chain.independent(TAGS)
    found = alone.best(emissions.numpy(), sizes.numpy())
    np.testing.assert_array_equal(found[:2], emissions.numpy().argmax(2)[:2])
    expected = torch.nn.functional.cross_entropy(emissions[:4, 0], tags[:4, 0], reduction="sum")
    assert alone.losses(emissions.numpy(), tags.numpy(), sizes.numpy())[0] == pytest.approx(expected.item())
