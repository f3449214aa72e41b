"""Random numbers of a part of a batch are those that the whole batch has there."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

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
        (lambda x, _: F.dropout(x, 0.4, True), lambda x, rows: dropout(x, 0.4, True, rows)),
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
