"""The native training kernel against the plain loop: values and gradients, for every cell and option."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.capture.cells import MinimalGatedUnit, every_cell
from throughtime import Cell, Recurrent, _native
from throughtime.cells import CELLS, State
from throughtime.errors import OptionError
from throughtime.kernels import KERNELS, Scan, chunk, native, pick_kernel
from throughtime.program.gradient import derive

EVERY_CELL = every_cell()
BUILT_IN: list[tuple[str, dict[str, Any]]] = [
    ("rnn", {"activation": "relu"}),
    ("lstm", {"peephole": True}),
    ("lstm", {"layer_norm": True, "coupled": True}),
    ("lstm", {"projection": 20}),
    ("gru", {}),
    ("gru", {"reset_after": False}),
    ("mogrifier", {"rounds": 3}),
    ("mingru", {}),
    ("slstm", {"heads": 3}),
]


def results(kernel: str, scan: Scan) -> list[Tensor]:
    """Outputs, last state, and the gradients of inputs, state and weights of a random function."""
    inputs = scan.inputs.detach().clone().requires_grad_()
    state = tuple(part.detach().clone().requires_grad_() for part in scan.state)
    copy = Scan(scan.cells, inputs, state, scan.mask, scan.lengths, scan.zoneout, scan.training)
    assert KERNELS[kernel].reason_against(copy) is None
    torch.manual_seed(7)
    outputs, final = KERNELS[kernel].run(copy)
    torch.manual_seed(8)
    loss = sum((part * torch.randn_like(part)).sum() for part in (outputs, *final))
    read = [inputs, *state, *(p for cell in scan.cells for p in cell.parameters())]
    assert isinstance(loss, Tensor)
    gradients = torch.autograd.grad(loss, read, allow_unused=True)
    zeros = [torch.zeros_like(a) if b is None else b for a, b in zip(read, gradients, strict=True)]
    return [outputs, *final, *zeros]


def assert_alike(found: list[Tensor], expected: list[Tensor]) -> None:
    for one, two in zip(found, expected, strict=True):
        assert one.shape == two.shape
        scale = float(two.detach().abs().max()) if two.numel() else 0
        torch.testing.assert_close(one, two, atol=3e-5 * max(scale, 0.01), rtol=0)


def scan_of(cell: Cell, T: int, B: int, **others: Any) -> Scan:
    torch.manual_seed(3)
    inputs = torch.randn(T, B, cell.input_size)
    state = tuple(part.detach()[None] + 0.1 for part in cell.initial_state(B, inputs))
    return Scan((cell,), inputs, state, training=cell.training, **others)


def planned(scan: Scan) -> tuple[chunk.Plan, native.Captured]:
    found = native.find_plan(scan)
    assert not isinstance(found, str)
    return found


def cell_of(name: str, *sizes: int, **options: Any) -> Cell:
    make: Any = CELLS[name]
    return make(*sizes, **options)


@pytest.mark.parametrize("around", ["nothing", "zoneout", "mask"])
@pytest.mark.parametrize("name", EVERY_CELL)
def test_the_native_kernel_equals_the_loop(name: str, around: str) -> None:
    cell = EVERY_CELL[name].train()
    others: dict[str, Any] = {}
    if around == "zoneout":
        others["zoneout"] = tuple(0.2 + 0.1 * part for part in range(len(cell.state_sizes)))
    if around == "mask":
        others["mask"] = torch.rand(5, 3, generator=torch.Generator().manual_seed(1)) > 0.4
    scan = scan_of(cell, 5, 3, **others)
    assert_alike(results("native", scan), results("reference", scan))


@pytest.mark.parametrize(("name", "options"), BUILT_IN)
def test_zoneout_in_evaluation_takes_the_mean(name: str, options: dict[str, Any]) -> None:
    cell = cell_of(name, 5, 24, **options).eval()
    scan = scan_of(cell, 4, 3, zoneout=tuple(0.2 * (1 + part) for part in range(len(cell.state_sizes))))
    assert_alike(results("native", scan), results("reference", scan))


@pytest.mark.parametrize(
    ("T", "B", "input_size", "hidden_size"), [(1, 1, 3, 33), (3, 1, 1, 18), (2, 29, 50, 96)]
)
@pytest.mark.parametrize(("name", "options"), BUILT_IN)
def test_odd_sizes(
    name: str, options: dict[str, Any], T: int, B: int, input_size: int, hidden_size: int
) -> None:
    torch.manual_seed(0)
    if options.get("projection", 0) >= hidden_size:
        options = {"projection": hidden_size - 1}
    cell = cell_of(name, input_size, hidden_size, **options)
    scan = scan_of(cell, T, B)
    assert_alike(results("native", scan), results("reference", scan))


@pytest.mark.parametrize("isa", _native.available_isas().split())
def test_every_instruction_set_computes_the_same(isa: str) -> None:
    # The scalar version is slow to run, and one code for all of them to compile.
    for name, options in BUILT_IN:
        torch.manual_seed(0)
        cell = cell_of(name, 13, 39, **options)
        scan = scan_of(cell, 3, 5)
        expected = results("reference", scan)
        _, captured = planned(scan)
        plan = chunk.Plan(derive(captured.step), isa)
        torch.manual_seed(7)
        state = [part[0] for part in scan.state]
        outputs, final = native.run_direction((plan, captured), cell, scan, state, backward=False)
        torch.manual_seed(8)
        loss = sum((part * torch.randn_like(part)).sum() for part in (outputs, *(p[None] for p in final)))
        assert isinstance(loss, Tensor)
        gradients = torch.autograd.grad(loss, list(cell.parameters()))
        assert_alike([outputs, *(p[None] for p in final)], expected[: 1 + len(final)])
        assert_alike(list(gradients), expected[-len(gradients) :])


@pytest.mark.parametrize("lengths", [None, [6, 1, 0, 4]])
@pytest.mark.parametrize(
    ("name", "options"), [("gru", {}), ("lstm", {"layer_norm": True}), ("slstm", {"heads": 2})]
)
def test_layers_directions_and_lengths(name: str, options: dict[str, Any], lengths: list[int] | None) -> None:
    torch.manual_seed(0)
    recurrent = Recurrent(name, 5, 12, num_layers=2, bidirectional=True, batch_first=True, **options)
    inputs = torch.randn(4, 6, 5)  # read time first: strided
    found = []
    for kernel in ("native", "reference"):
        recurrent.kernel = kernel
        given = inputs.clone().requires_grad_()
        outputs, state = recurrent(given, lengths=lengths)
        gradients = torch.autograd.grad(
            sum((part.square() + part).sum() for part in (outputs, *state)),  # type: ignore[arg-type]
            [given, *recurrent.parameters()],
        )
        found.append([outputs, *state, *gradients])
    assert_alike(*found)


def test_the_number_of_threads_changes_no_bit_of_the_scan() -> None:
    cell = cell_of("gru", 160, 160)
    scan = scan_of(cell, 4, 24)
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            plan, captured = planned(scan)
            assert plan.forward.members_of(24) >= 3
            fixed = [dict(cell.named_parameters())[name].detach() for name in ("weight_hh", "bias_hh")]
            torch.manual_seed(0)
            streams = [torch.randn(4, 24, 480)]
            outputs, *_, kept = chunk.scan(streams, [scan.state[0][0]], fixed, plan.number, False, True)
            given = [torch.ones_like(outputs), torch.ones(24, 160)]
            of_stream, of_state, *_ = chunk.scan_backward(
                given, streams, [scan.state[0][0]], fixed, outputs, kept, plan.number, False
            )
            found.append((outputs, of_stream, of_state))
    finally:
        torch.set_num_threads(before)
    for one in found[1:]:
        assert all(torch.equal(a, b) for a, b in zip(one, found[0], strict=True))


def test_a_step_has_the_threads_that_are_worth_their_barriers() -> None:
    plan, _ = planned(scan_of(cell_of("gru", 64, 64), 4, 8))
    members = [plan.forward.members_of(batch) for batch in (1, 8, 32, 4096)]
    assert members[0] == 1 and members == sorted(members)
    # 64 units are shared out by 32.
    assert members[1:] == [2, 2, 2]


_BESIDE_TORCH = """
import os, signal
import torch, throughtime as tt

def threads():
    return len(os.listdir("/proc/self/task"))

def train(T):
    layer = tt.Recurrent("gru", 96, 96, kernel="native")
    layer(torch.ones(T, 16, 96))[0].sum().backward()
    return all(one.grad.abs().sum().item() > 0 for one in layer.parameters())

torch.mm(torch.ones(500, 500), torch.ones(500, 500))
train(9)
before = threads()
assert before > 1 and all(train(T) for T in range(9, 40)) and threads() == before, (before, threads())
if (child := os.fork()) == 0:
    # PyTorch's own operations would wait for threads that are not in this process; a scan must not.
    signal.alarm(30)
    torch.set_num_threads(1)
    torch.get_num_threads = lambda: 2
    os._exit(0 if train(9) else 1)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
"""


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="counts threads as Linux shows them")
def test_a_scan_runs_on_the_threads_that_torch_has() -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "2"}
    found = subprocess.run(
        [sys.executable, "-c", _BESIDE_TORCH], env=environment, capture_output=True, text=True, timeout=120
    )
    assert found.returncode == 0, found.stderr


def test_a_chunk_run_twice_gives_the_same_bits() -> None:
    scan = scan_of(cell_of("lstm", 24, 40, layer_norm=True), 20, 6)
    one, two = results("native", scan), results("native", scan)
    assert all(torch.equal(a, b) for a, b in zip(one, two, strict=True))


@pytest.mark.parametrize("lengths", [None, [4, 0, 2]])
def test_without_a_gradient_it_keeps_nothing_and_computes_the_same(lengths: list[int] | None) -> None:
    recurrent = Recurrent("slstm", 5, 8, bidirectional=True, kernel="native")
    for T in (4, 5):
        inputs = torch.randn(T, 3, 5)
        outputs, state = recurrent(inputs, lengths=lengths)
        with torch.no_grad():
            again, last = recurrent(inputs, lengths=lengths)
        assert all(torch.equal(a, b) for a, b in zip((outputs, *state), (again, *last), strict=True))
    cell = cell_of("gru", 5, 7)
    plan, _ = planned(scan_of(cell, 4, 2))
    fixed = [dict(cell.named_parameters())[name].detach() for name in ("weight_hh", "bias_hh")]
    *_, kept = chunk.scan([torch.randn(4, 2, 21)], [torch.zeros(2, 7)], fixed, plan.number, False, False)
    assert kept.numel() == 0


def test_the_graph_can_be_gone_through_twice() -> None:
    recurrent = Recurrent("gru", 5, 7, kernel="native")
    outputs, _ = recurrent(torch.randn(4, 3, 5))
    first = torch.autograd.grad(outputs.sum(), list(recurrent.parameters()), retain_graph=True)
    recurrent(torch.randn(4, 3, 5))  # which may not take the memory of what is kept
    second = torch.autograd.grad(outputs.sum(), list(recurrent.parameters()))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


@pytest.fixture
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)  # so small a network takes longer with more
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("_one_thread")
def test_it_trains_as_torch_does() -> None:
    torch.manual_seed(0)
    theirs, inputs, wanted = nn.GRU(6, 16), torch.randn(12, 8, 6), torch.randn(12, 8, 16).tanh() * 0.5
    ours = Recurrent("gru", 6, 16, kernel="native")
    with torch.no_grad():
        for mine, parameter in zip(ours.parameters(), theirs.parameters(), strict=True):
            mine.copy_(parameter)
    losses = []
    for module in (ours, theirs):
        optimizer = torch.optim.SGD(module.parameters(), lr=0.1, momentum=0.9)
        for _ in range(1000):
            optimizer.zero_grad()
            loss = (module(inputs)[0] - wanted).square().mean()
            loss.backward()
            optimizer.step()
        losses.append(float((module(inputs)[0] - wanted).square().mean().detach()))
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)


def test_the_operator_keeps_the_rules_of_torch_library() -> None:
    # What is kept for the gradient has no gaps at these sizes: gaps may hold anything, and would be compared.
    plan, _ = planned(scan_of(cell_of("gru", 5, 8), 4, 4))
    shapes = [[(4, 4, 24)], [(4, 8)], [(24, 8), (24,)]]
    tensors = [[torch.randn(shape, requires_grad=True) for shape in group] for group in shapes]
    arguments = (*tensors, plan.number, False, True)
    torch.library.opcheck(torch.ops.throughtime.scan.default, arguments)


def test_a_second_derivative_is_refused_in_one_sentence() -> None:
    recurrent = Recurrent("gru", 5, 7, kernel="native")
    inputs = torch.randn(9, 3, 5, requires_grad=True)
    (gradient,) = torch.autograd.grad(recurrent(inputs)[0].square().sum(), inputs, create_graph=True)
    with pytest.raises(OptionError, match="no second derivatives: use Recurrent"):
        gradient.sum().backward()


class Forgets(MinimalGatedUnit):
    """Drops out within its step."""

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        output, state = super().step(x, state)
        return nn.functional.dropout(output, 0.5, self.training), state


class Branches(MinimalGatedUnit):
    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        return super().step(x, state) if state[0].sum() > 0 else super().step(2 * x, state)


class Scaled(MinimalGatedUnit):
    factor = 1.0

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        return super().step(x * self.factor, state)


def test_what_it_cannot_run_goes_to_the_loop_and_says_why() -> None:
    def reason(scan: Scan) -> str:
        assert pick_kernel(scan).name == "reference"
        with pytest.raises(OptionError) as caught:
            pick_kernel(scan, "native")
        return str(caught.value)

    assert "dropout" in reason(scan_of(Forgets(3, 5), 20, 2))
    assert pick_kernel(scan_of(Forgets(3, 5).eval(), 20, 2)).name == "native"
    assert "torch.where" in reason(scan_of(Branches(3, 5), 20, 2))
    assert "float32 only" in reason(scan_of(Scaled(3, 5).double(), 20, 2))


def test_a_cell_that_changes_is_captured_anew() -> None:
    cell = Scaled(3, 5)
    for factor in (1.0, 3.0):
        cell.factor = factor
        scan = scan_of(cell, 4, 2)
        assert_alike(results("native", scan), results("reference", scan))


def test_auto_picks_it_where_it_is_faster() -> None:
    def picked(recurrent: Recurrent, T: int) -> str:
        return recurrent.kernel_for(torch.randn(T, 2, 3))[0].name

    assert picked(Recurrent("lstm", 3, 4), 20) == "torch"
    assert picked(Recurrent("lstm", 3, 4, zoneout=0.1), 20) == "native"
    assert picked(Recurrent("lstm", 3, 4, layer_norm=True), 20) == "native"
    assert picked(Recurrent("gru", 3, 4), 20) == "native"
    assert picked(Recurrent("gru", 3, 4), 2) == "torch"
    assert picked(Recurrent("mogrifier", 3, 4), 2) == "reference"
