"""The cross entropy of a softmax: by hand, and in blocks against PyTorch's own, values and gradients."""

from __future__ import annotations

import math
import resource
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from throughtime import _native
from throughtime.data import IGNORED_TARGET
from throughtime.models import softmax_loss as module
from throughtime.models.softmax_loss import linear_softmax_loss, softmax_loss

V = 11
ISAS = _native.available_isas().split()


@pytest.fixture
def in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small blocks, so that there are several, the last of them cut off."""
    monkeypatch.setattr(module, "_FEWEST", 0)
    monkeypatch.setattr(module, "_BLOCK", 4 * V)
    monkeypatch.setattr(module, "_LEAST_ROWS", 3)


def gradients(loss: Tensor, *of: Tensor) -> list[Tensor]:
    return [loss.detach(), *torch.autograd.grad(loss, of)]


def test_equal_logits_cost_the_logarithm_of_the_kinds() -> None:
    wanted = torch.tensor([[0, 1], [5, IGNORED_TARGET]])
    for smoothing in (0.0, 0.3):
        assert softmax_loss(torch.zeros(2, 2, 6), wanted, smoothing).item() == pytest.approx(math.log(6))


def test_the_loss_is_the_mean_over_places_in_nats() -> None:
    logits, wanted = torch.randn(1, 2, V), torch.tensor([[1, IGNORED_TARGET]])
    torch.testing.assert_close(softmax_loss(logits, wanted), -torch.log_softmax(logits[0, 0], 0)[1])


def test_label_smoothing_by_hand() -> None:
    # p = (1/2, 1/4, 1/4); the wanted token 0 has 0.7 + 0.3/3, the others 0.1 each.
    logits, wanted = torch.tensor([[0.5, 0.25, 0.25]]).log(), torch.tensor([0])
    assert softmax_loss(logits, wanted).item() == pytest.approx(np.log(2))
    assert softmax_loss(logits, wanted, 0.3).item() == pytest.approx(0.8 * np.log(2) + 0.2 * np.log(4))


@pytest.mark.usefixtures("in_blocks")
@pytest.mark.parametrize("shape", [(1, 1), (7, 1), (3, 5), (2, 4), (1, 13)])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("has_bias", [True, False])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_blocks_have_the_loss_and_the_gradients_of_the_whole(
    shape: tuple[int, int], smoothing: float, has_bias: bool, dtype: torch.dtype
) -> None:
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(*shape, 5, generator=generator, dtype=dtype).requires_grad_()
    weight = (3 * torch.randn(V, 5, generator=generator, dtype=dtype)).requires_grad_()
    bias = torch.randn(V, generator=generator, dtype=dtype).requires_grad_() if has_bias else None
    wanted = torch.randint(V, shape, generator=generator)
    if wanted.numel() > 4:
        wanted.flatten()[::3] = IGNORED_TARGET
    of = [inputs, weight, *([] if bias is None else [bias])]
    plain = F.cross_entropy(
        F.linear(inputs, weight, bias).flatten(0, -2), wanted.flatten(), label_smoothing=smoothing
    )
    ours, measured = linear_softmax_loss(inputs, weight, bias, wanted, smoothing)
    unsmoothed = F.cross_entropy(F.linear(inputs, weight, bias).flatten(0, -2), wanted.flatten())
    torch.testing.assert_close(measured, unsmoothed.detach(), rtol=1e-5, atol=1e-6)
    assert not measured.requires_grad
    for found, expected in zip(gradients(2.5 * ours, *of), gradients(2.5 * plain, *of), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.usefixtures("in_blocks")
def test_a_strided_input_and_a_tied_slice_of_a_weight() -> None:
    table = torch.randn(V + 3, 4, requires_grad=True)
    inputs = torch.randn(4, 6, 5).transpose(0, 2).requires_grad_()
    wanted = torch.randint(V, (5, 6)).t().contiguous().t()
    ours, _ = linear_softmax_loss(inputs, table[:V], None, wanted)
    plain = F.cross_entropy((inputs @ table[:V].t()).flatten(0, 1), wanted.flatten())
    for found, expected in zip(gradients(ours, inputs, table), gradients(plain, inputs, table), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.usefixtures("in_blocks")
def test_without_gradients_and_for_some_only() -> None:
    inputs, weight = torch.randn(9, 4), torch.randn(V, 4, requires_grad=True)
    wanted = torch.randint(V, (9,))
    with torch.no_grad():
        assert not linear_softmax_loss(inputs, weight, None, wanted)[0].requires_grad
    (found,) = torch.autograd.grad(linear_softmax_loss(inputs, weight, None, wanted)[0], weight)
    (expected,) = torch.autograd.grad(F.cross_entropy(inputs @ weight.t(), wanted), weight)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.usefixtures("in_blocks")
def test_large_logits_do_not_overflow_and_places_left_out_may_hold_anything() -> None:
    inputs = torch.tensor([[300.0], [-300.0], [0.5]], requires_grad=True)
    weight = torch.linspace(-1, 1, V)[:, None].requires_grad_()
    wanted = torch.tensor([0, V - 1, IGNORED_TARGET])
    loss, _ = linear_softmax_loss(inputs, weight, None, wanted)
    assert loss.item() == pytest.approx(600.0, rel=1e-5)
    found = gradients(loss, inputs, weight)
    assert all(one.isfinite().all() for one in found) and found[1][2] == 0


@pytest.mark.usefixtures("in_blocks")
def test_bf16_products_have_sums_in_fp32() -> None:
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(40, 16, generator=generator, requires_grad=True)
    weight = torch.randn(V, 16, generator=generator, requires_grad=True)
    wanted = torch.randint(V, (40,), generator=generator)
    exact = gradients(F.cross_entropy(inputs @ weight.t(), wanted), inputs, weight)
    with torch.autocast("cpu", torch.bfloat16):
        loss, _ = linear_softmax_loss(inputs, weight, None, wanted)
    for found, expected in zip(gradients(loss, inputs, weight), exact, strict=True):
        assert found.dtype == torch.float32
        assert ((found - expected).norm() / expected.norm()).item() < 0.02


@pytest.mark.parametrize("rows", [3, 300])
@pytest.mark.parametrize("kinds", [V, 300])
def test_logits_of_bf16_products_are_not_rounded(rows: int, kinds: int) -> None:
    # Large logits beside each other: in bf16 they would be 0.5 apart.
    inputs, weight = torch.ones(rows, 64), torch.full((kinds, 64), 1.5)
    bias = torch.linspace(0, 0.2, kinds)
    with torch.autocast("cpu", torch.bfloat16):
        loss, _ = linear_softmax_loss(inputs, weight, bias, torch.zeros(rows, dtype=torch.long))
    expected = math.log(torch.exp(bias).sum().item())
    assert loss.item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("kinds", [1, 2, 15, 16, 33, 20_000])
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_native_gradients_of_logits(isa: str, threads: int, kinds: int, smoothing: float) -> None:
    generator = torch.Generator().manual_seed(kinds)
    logits = 4 * torch.randn(7, kinds, generator=generator)
    logits[1] = -50.0
    logits[2, -1] = 90.0
    wanted = torch.randint(kinds, (7,), generator=generator)
    wanted[3] = IGNORED_TARGET
    logits[3] = math.nan
    losses, found = turned(logits, wanted, smoothing, threads, isa)
    exact = logits.double().nan_to_num().requires_grad_()
    expected = F.cross_entropy(exact, wanted, reduction="sum", label_smoothing=smoothing)
    (gradient,) = torch.autograd.grad(0.25 * expected, exact)
    torch.testing.assert_close(losses[0].double().sum(), expected.detach(), rtol=2e-6, atol=2e-6)
    plain = F.cross_entropy(exact.detach(), wanted, reduction="none")
    torch.testing.assert_close(losses[1].double(), plain, rtol=2e-6, atol=2e-6)
    torch.testing.assert_close(found.double(), gradient, rtol=5e-6, atol=1e-7)
    assert not found[3].any() and not losses[:, 3].any()
    alone, _ = turned(logits, wanted, smoothing, 1, isa)
    assert torch.equal(losses, alone)


@pytest.mark.parametrize("isa", ISAS)
def test_logits_that_are_no_numbers_stay_none(isa: str) -> None:
    for bad in (math.nan, math.inf):
        logits = torch.zeros(3, 20)
        logits[1, 7] = bad
        losses, found = turned(logits, torch.tensor([0, 1, 2]), 0.0, 1, isa)
        assert losses[:, 1].isnan().all() and found[1].isnan().any()
        assert losses[:, ::2].isfinite().all() and found[::2].isfinite().all()


@pytest.mark.parametrize("token", [-1, V, 2**40])
def test_a_token_that_is_none_is_refused_before_anything_is_changed(token: int) -> None:
    logits = torch.zeros(2, V)
    with pytest.raises(IndexError, match=rf"Target {token} is out of bounds: there are {V} kinds"):
        turned(logits, torch.tensor([0, token]), 0.0, 1, "")
    with pytest.raises(IndexError, match="out of bounds"):
        linear_softmax_loss(torch.zeros(600, 1), torch.zeros(1000, 1), None, torch.full((600,), 1000))


def turned(logits: Tensor, wanted: Tensor, smoothing: float, threads: int, isa: str) -> tuple[Tensor, Tensor]:
    """Losses (2, N), and what becomes of a copy of the logits where each row has a weight of 1/4."""
    losses, copy = torch.full((2, len(logits)), math.nan), logits.clone()
    sizes = (len(logits), logits.shape[1])
    places = (copy.data_ptr(), sizes, wanted.data_ptr(), IGNORED_TARGET, 0.25, smoothing, losses.data_ptr())
    try:
        _native.softmax_gradients(*places, threads, isa)
    except IndexError:
        assert torch.equal(copy, logits)
        raise
    return losses, copy


_LARGE = """
import resource, torch
from throughtime.models.softmax_loss import linear_softmax_loss
torch.set_num_threads(1)
inputs = torch.randn(3000, 8, requires_grad=True)
weight = torch.randn(60000, 8, requires_grad=True)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
linear_softmax_loss(inputs, weight, None, torch.arange(3000))[0].backward()
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


@pytest.mark.skipif(not hasattr(resource, "getrusage") or sys.platform == "darwin", reason="no peak in KiB")
def test_the_logits_of_a_large_vocabulary_are_never_all_there() -> None:
    found = subprocess.run([sys.executable, "-c", _LARGE], capture_output=True, text=True, check=True)
    # All of them would be 720 MB, and PyTorch keeps three times that.
    assert int(found.stdout) < 250
