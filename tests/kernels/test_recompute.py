"""A scan in little memory: the gradients are the plain ones, and the memory is little."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from tests.capture.cells import MinimalGatedUnit
from throughtime import Recurrent
from throughtime.errors import OptionError
from throughtime.kernels.recompute import steps_between

T, B, I, H = 70, 3, 4, 6


def gradients(
    recurrent: Recurrent, budget: int, lengths: Tensor | None = None, mask: Tensor | None = None
) -> list[Tensor]:
    recurrent.gradient_memory = budget
    generator = torch.Generator().manual_seed(1)
    inputs = torch.randn(T, B, I, generator=generator).requires_grad_()
    state = tuple(part.requires_grad_() for part in recurrent.initial_state(B, torch.zeros(1)))
    torch.manual_seed(2)
    outputs, final = recurrent(inputs, state, lengths=lengths, mask=mask)
    loss = sum((part * torch.randn(part.shape, generator=generator)).sum() for part in (outputs, *final))
    assert isinstance(loss, Tensor)
    found = torch.autograd.grad(loss, [inputs, *state, *recurrent.parameters()])
    return [outputs, *final, *found]


@pytest.mark.parametrize("kernel", ["native", "torch"])
@pytest.mark.parametrize(
    ("cell", "options"),
    [
        ("lstm", {}),
        ("gru", {"num_layers": 2}),
        ("rnn", {"bidirectional": True, "num_layers": 2}),
        ("lstm", {"layer_norm": True, "bidirectional": True}),
        (MinimalGatedUnit, {}),
    ],
)
@pytest.mark.parametrize("around", ["nothing", "lengths", "holes"])
def test_the_gradients_are_the_plain_ones(
    kernel: str, cell: Any, options: dict[str, Any], around: str
) -> None:
    torch.manual_seed(0)
    recurrent = Recurrent(cell, I, H, kernel=kernel, **options)
    others: dict[str, Any] = {}
    if around == "lengths":
        others["lengths"] = torch.tensor([T, 41, 1])
    elif around == "holes":
        others["mask"] = torch.rand(T, B) < 0.7
    try:
        plain = gradients(recurrent, 0, **others)
    except OptionError as error:
        pytest.skip(str(error))
    for budget in (1, 20_000):
        for one, other in zip(gradients(recurrent, budget, **others), plain, strict=True):
            torch.testing.assert_close(one, other, atol=2e-5, rtol=1e-4)


def test_zoneout_draws_the_same_on_the_way_back() -> None:
    """A difference quotient tells whether the gradient belongs to the numbers that were drawn."""
    torch.manual_seed(0)
    recurrent = Recurrent("gru", I, H, zoneout=0.3, kernel="reference", gradient_memory=1).double()
    inputs = torch.randn(40, 2, I, dtype=torch.float64).requires_grad_()

    def loss(inputs: Tensor) -> Tensor:
        torch.manual_seed(5)
        return recurrent(inputs)[0].square().sum()

    assert torch.autograd.gradcheck(loss, inputs)


def test_a_long_sequence_takes_little_memory() -> None:
    kept = 0

    def count(tensor: Tensor) -> Tensor:
        nonlocal kept
        kept += tensor.numel() * tensor.element_size()
        return tensor

    recurrent = Recurrent("lstm", 2, 32, layer_norm=True, gradient_memory=100_000)
    with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
        recurrent(torch.randn(5000, 1, 2))
    weights = sum(4 * weight.numel() for weight in recurrent.parameters())
    assert kept - weights - 5000 * 2 * 4 < 100_000


def test_the_weights_have_to_be_those_that_it_ran_with() -> None:
    recurrent = Recurrent("gru", I, H, gradient_memory=1)
    outputs, _ = recurrent(torch.randn(T, B, I))
    with torch.no_grad():
        next(recurrent.parameters()).add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        outputs.sum().backward()


@pytest.mark.parametrize(("budget", "expected"), [(10**9, 1000), (0, 10), (3000, 26), (100_000, 999)])
def test_pieces_are_as_long_as_the_budget_lets_them(budget: int, expected: int) -> None:
    assert steps_between(1000, of_step=100, of_state=10, budget=budget) == expected


def test_a_limit_is_no_negative_number() -> None:
    with pytest.raises(OptionError, match="gradient_memory must be 0"):
        Recurrent("gru", I, H, gradient_memory=-1)
