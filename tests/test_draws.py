"""Random numbers of a part of a batch are those that the whole batch has there."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from throughtime import _native
from throughtime.draws import drawn_for, dropout, normal_like, one_of_each, rows_drawn, uniform, uniform_like

WHOLE, HERE = 6, slice(2, 4)
VALUES = torch.linspace(1, 2, 5 * WHOLE * 3).reshape(5, WHOLE, 3)


def cut(values: Tensor, rows: int) -> Tensor:
    return values.narrow(rows, HERE.start, HERE.stop - HERE.start)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(
    ("values", "rows"), [(VALUES, 1), (VALUES.transpose(0, 1), 0), (VALUES[0], 0)], ids=["3", "turned", "2"]
)
@pytest.mark.parametrize(
    ("whole", "part"),
    [
        (lambda x, rows: dropout(x, 0.4, True, rows), lambda x, rows: dropout(x, 0.4, True, rows)),
        (lambda x, _: torch.rand_like(x), uniform_like),
        (lambda x, _: torch.randn_like(x), normal_like),
        (
            lambda x, _: torch.rand(x.shape),
            lambda x, rows: uniform(x.shape, x.device, rows),
        ),
    ],
    ids=["dropout", "uniform_like", "normal_like", "uniform"],
)
def test_a_part_gets_what_its_rows_get_in_the_whole(
    whole: Callable[[Tensor, int], Tensor],
    part: Callable[[Tensor, int], Tensor],
    values: Tensor,
    rows: int,
    dtype: torch.dtype,
) -> None:
    values = values.to(dtype)
    torch.manual_seed(3)
    expected, after = cut(whole(values, rows), rows), torch.rand(2)
    torch.manual_seed(3)
    with drawn_for(HERE, WHOLE):
        found = part(cut(values, rows), rows)
    assert torch.equal(found, expected)
    assert torch.equal(torch.rand(2), after)  # the generator stands where it would
    torch.manual_seed(3)
    assert torch.equal(cut(part(values, rows), rows), expected)


def test_one_number_of_each_row() -> None:
    probabilities = torch.rand(WHOLE, 9).softmax(-1)
    torch.manual_seed(3)
    expected = torch.multinomial(probabilities, 1).squeeze(1)
    torch.manual_seed(3)
    assert torch.equal(one_of_each(probabilities), expected)
    torch.manual_seed(3)
    with drawn_for(HERE, WHOLE):
        assert torch.equal(one_of_each(probabilities[HERE]), expected[HERE])


def test_what_drops_nothing_draws_nothing() -> None:
    before = torch.get_rng_state()
    with drawn_for(HERE, WHOLE):
        part = cut(VALUES, 1)
        assert torch.equal(dropout(part, 0.0, True), part)
        assert torch.equal(dropout(part, 0.5, False), part)
        assert not dropout(part, 1.0, True).any()
    assert torch.equal(torch.get_rng_state(), before)


def test_rows_that_are_not_here_are_no_part() -> None:
    assert rows_drawn(4) == (4, slice(None))
    with drawn_for(HERE, WHOLE):
        assert rows_drawn(2) == (WHOLE, HERE)
        with pytest.raises(AssertionError, match="3 rows are not the 2"):
            rows_drawn(3)


def philox(counter: list[int], key: list[int]) -> list[int]:
    """Philox4x32-10 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3", section 4.3)."""
    a, b, c, d = counter
    for turn in range(10):
        first, second = 0xD2511F53 * a, 0xCD9E8D57 * c
        low = (key[0] + turn * 0x9E3779B9) % 2**32
        high = (key[1] + turn * 0xBB67AE85) % 2**32
        a, b, c, d = second >> 32 ^ b ^ low, second % 2**32, first >> 32 ^ d ^ high, first % 2**32
    return [a, b, c, d]


def test_philox_is_the_published_one() -> None:
    # The known answers of Random123, the authors' own library.
    assert philox([0] * 4, [0] * 2) == [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]
    pi = [0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344], [0xA4093822, 0x299F31D0]
    assert philox(*pi) == [0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1]


@pytest.mark.parametrize("isa", _native.available_isas().split())
@pytest.mark.parametrize("threads", [1, 3])
def test_who_is_dropped_follows_from_the_key_and_the_place(isa: str, threads: int) -> None:
    key, size, probability = 0x1234_5678_9ABC_DEF0, 40_000, 0.3
    words = [philox([counter, 0, 0, 0], [key % 2**32, key >> 32]) for counter in range(size // 4)]
    drawn = np.array(words, np.int64).reshape(-1, 16, 4).transpose(0, 2, 1).reshape(-1)
    values = torch.arange(1.0, size + 1)
    expected = np.where(drawn < int(probability * 2**32), 0, values.numpy() / np.float32(1 - probability))
    for first, last in ((0, size), (0, 1), (0, 63), (0, 65), (1, 2), (777, 39_999)):
        found = torch.full((last - first,), np.nan)
        here = values[first:last]
        rows = (1, size, first, last - first, 1)
        _native.dropout(here.data_ptr(), found.data_ptr(), rows, key, probability, threads, isa)
        np.testing.assert_allclose(found, expected[first:last], rtol=1e-6)


def test_dropout_has_the_share_the_scale_and_the_gradient() -> None:
    torch.manual_seed(0)
    values = torch.ones(200, 300, requires_grad=True)
    dropped = dropout(values, 0.25, True)
    zeros = dropped == 0
    assert abs(zeros.float().mean().item() - 0.25) < 0.006  # three standard deviations
    assert torch.equal(dropped[~zeros], torch.full_like(dropped[~zeros], 1 / 0.75))
    # Neither rows nor columns nor neighbours are dropped together.
    for one in (zeros.float().mean(0), zeros.float().mean(1)):
        assert one.min() > 0.1 and one.max() < 0.42
    assert abs((zeros[:, 1:] & zeros[:, :-1]).float().mean().item() - 0.0625) < 0.006
    (gradient,) = torch.autograd.grad(dropped.sum(), values)
    assert torch.equal(gradient, dropped)
    assert not torch.equal(dropout(values, 0.25, True), dropped)
    torch.manual_seed(0)
    assert torch.equal(dropout(values, 0.25, True), dropped)


def test_dropout_where_there_is_nothing_to_do_or_to_drop() -> None:
    values = torch.randn(3, 4, 5)
    assert dropout(values, 0.5, False) is values and dropout(values, 0.0, True) is values
    assert not dropout(values, 1.0, True).any()
    assert dropout(values[:0], 0.5, True).shape == (0, 4, 5)
    turned = dropout(values.transpose(0, 2), 0.5, True)
    kept = turned != 0
    torch.testing.assert_close(turned[kept], 2 * values.transpose(0, 2)[kept])


def test_what_is_dropped_may_be_no_number() -> None:
    torch.manual_seed(0)
    values = torch.ones(1000)
    zeros = dropout(values, 0.5, True, rows=0) == 0
    torch.manual_seed(0)
    found = dropout(torch.where(zeros, torch.nan, values), 0.5, True, rows=0)
    assert found.isfinite().all()


def test_dropout_has_second_derivatives() -> None:
    torch.manual_seed(0)
    values = torch.randn(50, requires_grad=True)
    dropped = dropout(values, 0.5, True, rows=0)
    (first,) = torch.autograd.grad((dropped**3).sum(), values, create_graph=True)
    (second,) = torch.autograd.grad(first.sum(), values)
    torch.testing.assert_close(second, 6 * dropped.detach() * 4)


def test_dropout_within_transformations_is_torchs_own() -> None:
    function = lambda x: dropout(x, 0.5, True).square().sum()  # noqa: E731
    gradient = torch.func.grad(function)(torch.ones(4, 5))
    assert set(gradient.unique().tolist()) <= {0.0, 8.0}
