"""Recurrent: kernels against the reference, lengths, masks, chunking, dropout, zoneout, state."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence

from tests.cells.test_cells import VARIANTS
from throughtime import Cell, Recurrent
from throughtime.cells import State
from throughtime.errors import OptionError
from throughtime.kernels import KERNELS
from throughtime.recurrent import locked_dropout

PLAIN = [
    (name, options)
    for name, options in VARIANTS
    if set(options) <= {"activation", "bias", "projection", "forget_bias"}
]
LENGTHS = [5, 1, 3]


def make(name: str, options: dict[str, Any], **others: Any) -> Recurrent:
    torch.manual_seed(0)
    return Recurrent(name, 3, 4, **others, **options).double()


def draw(T: int, B: int, size: int = 3) -> Tensor:
    return torch.randn(T, B, size, dtype=torch.double)


def draw_state(recurrent: Recurrent, B: int) -> tuple[Tensor, ...]:
    rows = len(recurrent.cells)
    return tuple(draw(rows, B, size) for size in recurrent.state_sizes)


def run_with_gradients(
    recurrent: Recurrent, inputs: Tensor, state: Any, **lengths: Any
) -> tuple[list[Tensor], list[Tensor]]:
    """Outputs with the state, and the gradients of inputs, state and parameters of a random function."""
    inputs = inputs.detach().clone().requires_grad_()
    state = tuple(part.detach().clone().requires_grad_() for part in state)
    outputs, final = recurrent(inputs, state, **lengths)
    torch.manual_seed(1)
    loss = sum((part * torch.randn_like(part)).sum() for part in (outputs, *final))
    gradients = torch.autograd.grad(loss, [inputs, *state, *recurrent.parameters()])
    return [outputs, *final], list(gradients)


def assert_same(found: list[Tensor], expected: list[Tensor]) -> None:
    for one, two in zip(found, expected, strict=True):
        torch.testing.assert_close(one, two)


@pytest.mark.parametrize(("name", "options"), PLAIN)
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize(("T", "B"), [(2, 1), (7, 3), (33, 2)])
def test_the_torch_kernel_equals_the_reference(
    name: str, options: dict[str, Any], bidirectional: bool, T: int, B: int
) -> None:
    recurrent = make(name, options, num_layers=2, bidirectional=bidirectional)
    # every other step of a longer tensor: not contiguous
    inputs, state = draw(2 * T, B)[::2], draw_state(recurrent, B)
    results = []
    for kernel in ("torch", "reference"):
        recurrent.kernel = kernel
        results.append(run_with_gradients(recurrent, inputs, state))
    assert_same(results[0][0], results[1][0])
    assert_same(results[0][1], results[1][1])


@pytest.mark.parametrize(("name", "options"), PLAIN)
@pytest.mark.parametrize("bidirectional", [False, True])
def test_the_torch_kernel_equals_the_reference_with_lengths(
    name: str, options: dict[str, Any], bidirectional: bool
) -> None:
    recurrent = make(name, options, num_layers=2, bidirectional=bidirectional)
    inputs, state = draw(6, 3), draw_state(recurrent, 3)
    results = []
    for kernel in ("torch", "reference"):
        recurrent.kernel = kernel
        results.append(run_with_gradients(recurrent, inputs, state, lengths=LENGTHS))
    assert_same(results[0][0], results[1][0])
    assert_same(results[0][1], results[1][1])


@pytest.mark.parametrize(("name", "options"), VARIANTS)
@pytest.mark.parametrize("bidirectional", [False, True])
def test_a_padded_sequence_equals_the_sequence_alone(
    name: str, options: dict[str, Any], bidirectional: bool
) -> None:
    recurrent = make(name, options, num_layers=2, bidirectional=bidirectional)
    inputs, state = draw(6, 3), draw_state(recurrent, 3)
    outputs, final = recurrent(inputs, state, lengths=LENGTHS)
    for row, length in enumerate(LENGTHS):
        one = slice(row, row + 1)
        alone, alone_final = recurrent(inputs[:length, one], tuple(part[:, one] for part in state))
        torch.testing.assert_close(outputs[:length, one], alone)
        assert not outputs[length:, one].any()
        assert_same([part[:, one] for part in final], list(alone_final))


@pytest.mark.parametrize(("name", "options"), VARIANTS)
def test_lengths_a_mask_and_a_packed_sequence_say_the_same(name: str, options: dict[str, Any]) -> None:
    recurrent = make(name, options, bidirectional=True)
    inputs = draw(5, 3)
    expected, state = recurrent(inputs, lengths=torch.tensor(LENGTHS))
    mask = torch.arange(5)[:, None] < torch.tensor(LENGTHS)
    packed = pack_padded_sequence(inputs, torch.tensor(LENGTHS), enforce_sorted=False)
    for outputs, final in (recurrent(inputs, mask=mask), recurrent(packed)):
        torch.testing.assert_close(outputs, expected)
        assert_same(list(final), list(state))


@pytest.mark.parametrize("name", ["rnn", "lstm", "gru"])
def test_a_mask_with_holes_skips_the_steps_in_them(name: str) -> None:
    recurrent = make(name, {}, num_layers=2)
    inputs = draw(5, 1)
    mask = torch.tensor([[True], [False], [True], [True], [False]])
    outputs, state = recurrent(inputs, mask=mask)
    dense, dense_state = recurrent(inputs[mask[:, 0]])
    torch.testing.assert_close(outputs[mask[:, 0]], dense)
    assert not outputs[~mask[:, 0]].any()
    assert_same(list(state), list(dense_state))


@pytest.mark.parametrize(("name", "options"), VARIANTS)
@pytest.mark.parametrize("kernel", ["auto", "reference"])
def test_a_sequence_of_length_0_keeps_its_state(name: str, options: dict[str, Any], kernel: str) -> None:
    recurrent = make(name, options, num_layers=2, bidirectional=True, kernel=kernel)
    inputs, state = draw(4, 3), draw_state(recurrent, 3)
    values, gradients = run_with_gradients(recurrent, inputs, state, lengths=[0, 4, 2])
    outputs, *final = values
    assert not outputs[:, 0].any() and not gradients[0][:, 0].any()
    assert all(torch.equal(new[:, 0], old[:, 0]) for new, old in zip(final, state, strict=True))
    others = tuple(part[:, 1:] for part in state)
    assert_same(
        [part[:, 1:] for part in values],
        run_with_gradients(recurrent, inputs[:, 1:], others, lengths=[4, 2])[0],
    )
    mask = torch.arange(4)[:, None] < torch.tensor([0, 4, 2])
    masked, masked_gradients = run_with_gradients(recurrent, inputs, state, mask=mask)
    assert_same(masked + masked_gradients, values + gradients)
    outputs, final = recurrent(inputs, state, lengths=[0, 0, 0])
    assert not outputs.any() and all(torch.equal(*parts) for parts in zip(final, state, strict=True))


@pytest.mark.parametrize("padding", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("zoneout", [0.0, 0.3])
@pytest.mark.parametrize(("name", "options"), VARIANTS)
@pytest.mark.parametrize("kernel", ["auto", "reference"])
def test_what_stands_in_padding_reaches_nothing(
    name: str, options: dict[str, Any], zoneout: float, padding: float, kernel: str
) -> None:
    recurrent = make(name, options, num_layers=2, bidirectional=True, zoneout=zoneout, kernel=kernel)
    inputs, state = draw(6, 3), draw_state(recurrent, 3)
    right_padded = torch.arange(6)[:, None] < torch.tensor([4, 0, 6])
    holes = torch.tensor([[1, 0, 1], [0, 0, 1], [1, 1, 1], [0, 0, 1], [1, 1, 0], [0, 1, 1]]) > 0
    for mask in (right_padded, holes):
        results = []
        for fill in (0.5, padding):
            torch.manual_seed(2)  # of zoneout
            filled = inputs.masked_fill(~mask.unsqueeze(-1), fill)
            results.append(run_with_gradients(recurrent, filled, state, mask=mask))
        (clean, clean_gradients), (values, gradients) = results
        assert all(
            torch.equal(*pair) for pair in zip(values + gradients, clean + clean_gradients, strict=True)
        )
        assert not gradients[0][~mask].any()
        assert all(part.isfinite().all() for part in values + gradients)


@given(cuts=st.lists(st.integers(0, 12), max_size=5), variant=st.sampled_from(VARIANTS))
def test_chunks_join_to_the_whole(cuts: list[int], variant: tuple[str, dict[str, Any]]) -> None:
    recurrent = make(*variant, num_layers=2)
    inputs = draw(12, 2)
    expected, final = recurrent(inputs)
    state, pieces = None, []
    edges = [0, *sorted(cuts), 12]
    for start, stop in zip(edges, edges[1:], strict=False):
        outputs, state = recurrent(inputs[start:stop], state)
        pieces.append(outputs)
    torch.testing.assert_close(torch.cat(pieces), expected)
    assert_same(list(state or ()), list(final))


def test_detached_chunks_give_the_gradient_of_hand_cut_autograd() -> None:
    recurrent = make("lstm", {})
    inputs = draw(6, 2)
    outputs, state = recurrent(inputs[:3])
    loss = outputs.square().sum()
    outputs, _ = recurrent(inputs[3:], recurrent.detach(state))
    loss = loss + outputs.square().sum()
    found = torch.autograd.grad(loss, list(recurrent.parameters()))
    cell = recurrent.cells[0]
    step_state = cell.initial_state(2, inputs)
    by_hand = inputs.new_zeros(())
    for t in range(6):
        if t == 3:
            step_state = tuple(part.detach() for part in step_state)
        output, step_state = cell(inputs[t], step_state)
        by_hand = by_hand + output.square().sum()
    assert_same(list(found), list(torch.autograd.grad(by_hand, list(recurrent.parameters()))))


@pytest.mark.parametrize(("name", "options"), VARIANTS)
def test_empty_inputs_work(name: str, options: dict[str, Any]) -> None:
    recurrent = make(name, options, num_layers=2, bidirectional=True)
    state = draw_state(recurrent, 3)
    outputs, final = recurrent(draw(0, 3), state)
    assert outputs.shape == (0, 3, recurrent.output_size)
    assert_same(list(final), list(state))
    outputs, final = recurrent(draw(4, 0))
    assert outputs.shape == (4, 0, recurrent.output_size)
    assert final[0].shape == (4, 0, recurrent.state_sizes[0])


def test_batch_first_swaps_inputs_and_outputs_only() -> None:
    recurrent, other = make("gru", {}), make("gru", {}, batch_first=True)
    inputs, mask = draw(5, 2), torch.tensor([[True, True]] * 3 + [[True, False]] * 2)
    expected, state = recurrent(inputs, mask=mask)
    outputs, final = other(inputs.transpose(0, 1), mask=mask.T)
    torch.testing.assert_close(outputs.transpose(0, 1), expected)
    assert_same(list(final), list(state))


def test_a_learned_initial_state_gets_a_gradient() -> None:
    recurrent = make("lstm", {}, num_layers=2, learned_initial_state=True)
    assert [part.shape for part in recurrent.initial or ()] == [(2, 4), (2, 4)]
    outputs, _ = recurrent(draw(3, 2))
    outputs.sum().backward()
    assert all(part.grad is not None and part.grad.any() for part in recurrent.initial or ())
    with torch.no_grad():
        recurrent.initial[0].fill_(0.5)  # type: ignore[index]
    inputs = draw(3, 2)
    state = (torch.full((2, 2, 4), 0.5).double(), torch.zeros(2, 2, 4).double())
    torch.testing.assert_close(recurrent(inputs)[0], recurrent(inputs, state)[0])


def test_dropout_lies_between_layers_in_training_only() -> None:
    recurrent = make("rnn", {}, num_layers=2, dropout=1.0)
    inputs = draw(4, 2)
    with_dropout, _ = recurrent(inputs)
    second = Recurrent("rnn", 4, 4).double()
    second.cells[0].load_state_dict(recurrent.cells[1].state_dict())
    torch.testing.assert_close(with_dropout, second(draw(4, 2, 4) * 0)[0])
    recurrent.eval()
    assert not torch.equal(recurrent(inputs)[0], with_dropout)


def test_locked_dropout_is_the_same_at_every_step() -> None:
    torch.manual_seed(0)
    ones = torch.ones(7, 5, 40)
    dropped = locked_dropout(ones, 0.4, training=True)
    assert torch.equal(dropped, dropped[:1].expand_as(dropped))
    assert not torch.equal(dropped[0, 0], dropped[0, 1])
    assert dropped.unique().tolist() == [0.0, pytest.approx(1 / 0.6)]
    assert locked_dropout(ones, 0.4, training=False) is ones


@pytest.mark.parametrize("name", ["rnn", "lstm", "gru"])
def test_zoneout_keeps_old_values_and_takes_the_mean_in_evaluation(name: str) -> None:
    always = make(name, {}, zoneout=1.0)
    state = draw_state(always, 2)
    outputs, final = always(draw(4, 2), state)
    assert_same(list(final), list(state))
    torch.testing.assert_close(outputs, state[0].expand(4, 2, 4))
    half, none = make(name, {}, zoneout=0.5).eval(), make(name, {})
    inputs = draw(1, 2)
    _, mean = half(inputs, state)
    _, new = none(inputs, state)
    assert_same(list(mean), [(old + fresh) / 2 for old, fresh in zip(state, new, strict=True)])


def test_zoneout_keeps_the_wanted_share() -> None:
    torch.manual_seed(0)
    recurrent = Recurrent("lstm", 3, 200, zoneout=(0.1, 0.6))
    state = (torch.randn(1, 50, 200), torch.randn(1, 50, 200))
    _, final = recurrent(torch.randn(1, 50, 3), state)
    shares = [(new == old).float().mean().item() for new, old in zip(final, state, strict=True)]
    assert shares == [pytest.approx(0.1, abs=0.02), pytest.approx(0.6, abs=0.02)]


class MinimalGatedUnit(Cell):
    """A cell as a user would write it (Zhou et al. 2016)."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size, state_sizes=(hidden_size,))
        self.forget = nn.Linear(input_size + hidden_size, hidden_size)
        self.candidate = nn.Linear(input_size + hidden_size, hidden_size)

    def step(self, projected: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
        (h,) = state
        f = torch.sigmoid(self.forget(torch.cat([projected, h], -1)))
        n = torch.tanh(self.candidate(torch.cat([projected, f * h], -1)))
        h = (1 - f) * h + f * n
        return h, (h,)


def test_a_users_own_cell_gets_everything() -> None:
    recurrent = Recurrent(
        MinimalGatedUnit, 3, 4, num_layers=2, bidirectional=True, dropout=0.1, zoneout=0.1
    ).double()
    outputs, (h,) = recurrent(draw(5, 3), lengths=LENGTHS)
    assert outputs.shape == (5, 3, 8)
    assert h.shape == (4, 3, 4)
    assert [kernel.name for kernel in recurrent.kernel_for(draw(5, 3))] == ["reference", "reference"]
    outputs.sum().backward()


def test_the_kernel_is_picked_by_what_can_run() -> None:
    def names(recurrent: Recurrent, T: int = 5) -> list[str]:
        return [kernel.name for kernel in recurrent.kernel_for(draw(T, 2))]

    assert names(make("lstm", {}, num_layers=2)) == ["torch", "torch"]
    assert names(make("lstm", {}), T=1) == ["reference"]
    assert names(make("gru", {}), T=1) == names(make("lstm", {"projection": 3}), T=1) == ["torch"]
    # In 64 bits, which the native kernel does not have: tests/kernels/test_native.py has those.
    assert names(make("lstm", {"peephole": True})) == ["reference"]
    assert names(make("gru", {"reset_after": False})) == ["reference"]
    assert names(make("rnn", {}, zoneout=0.1)) == ["reference"]
    assert list(KERNELS) == ["native", "torch", "reference"]
    with pytest.raises(OptionError, match="cannot run this: PyTorch's LSTM has no peephole"):
        make("lstm", {"peephole": True}, kernel="torch")(draw(3, 2))


def test_wrong_options_are_refused() -> None:
    for message, options in [
        ("cell 'qrnn' is unknown: use rnn, lstm, gru", {"cell": "qrnn"}),
        ("num_layers", {"num_layers": 0}),
        ("dropout", {"dropout": 1.5}),
        ("zoneout", {"zoneout": (0.1, 0.2, 0.3)}),
        ("kernel 'cuda' is unknown", {"kernel": "cuda"}),
        ("does not take these options", {"reset_after": True}),
    ]:
        with pytest.raises(OptionError, match=message):
            Recurrent(**{"cell": "lstm", "input_size": 3, "hidden_size": 4, **options})


def test_wrong_shapes_are_refused() -> None:
    recurrent = make("lstm", {})
    for message, arguments in [
        (r"expected \(T, B, 3\)", {"inputs": draw(5, 2, 4)}),
        ("lengths row 1 is 6, expected 0 to 5", {"inputs": draw(5, 2), "lengths": [5, 6]}),
        ("lengths row 0 is -1", {"inputs": draw(5, 2), "lengths": [-1, 5]}),
        ("lengths are torch.float32, expected whole numbers", {"inputs": draw(5, 2), "lengths": [2.7, 5]}),
        (r"expected \(2,\)", {"inputs": draw(5, 2), "lengths": [5]}),
        ("expected torch.bool", {"inputs": draw(5, 2), "mask": torch.ones(5, 2)}),
        ("not both", {"inputs": draw(1, 1), "mask": torch.ones(1, 1) > 0, "lengths": [1]}),
        ("the state has shapes", {"inputs": draw(5, 2), "state": (draw(1, 2, 4),)}),
    ]:
        with pytest.raises(ValueError, match=message):
            recurrent(**arguments)


class _Returns(Cell):
    """Returns whatever it was told to."""

    def __init__(self, input_size: int, hidden_size: int, what: str) -> None:
        super().__init__(input_size, hidden_size, (hidden_size, hidden_size))
        self.what = what

    def step(self, projected: Tensor, state: State) -> tuple[Tensor, State]:
        h, c = state
        found = {"tensor": h, "pair": (h, c), "list": (h, [h, c]), "short": (h, (h,)), "none": None}
        return found[self.what]  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("what", "described"),
    [
        ("tensor", "a tensor"),
        ("pair", "a tuple of a tensor, a tensor"),
        ("list", "a tuple of a tensor, a list of a tensor, a tensor"),
        ("short", "a tuple of a tensor, a tuple of a tensor"),
        ("none", "a NoneType"),
    ],
)
@pytest.mark.parametrize("kernel", ["auto", "reference"])
def test_a_step_that_returns_something_else_is_told_what_to_return(
    what: str, described: str, kernel: str
) -> None:
    recurrent = Recurrent(_Returns, 3, 4, kernel=kernel, what=what)
    message = (
        f"_Returns.step returned {described}; it has to return the output and the new state, which is a "
        f"tuple of 2 tensors: `return h, (h, c)`"
    )
    with pytest.raises(OptionError) as error:
        recurrent(torch.zeros(2, 1, 3))
    assert str(error.value) == message
