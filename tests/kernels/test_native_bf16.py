"""The native training kernel with products in bf16: what `--precision bf16` runs for any cell.

Two references: the loop with both sides of every product rounded to bf16, which is what the kernel computes,
and the loop in float32, which it has to stay near.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from tests.kernels.test_native import BUILT_IN, EVERY_CELL, Scaled, cell_of, planned, results, scan_of
from throughtime import Recurrent, _native
from throughtime.errors import OptionError
from throughtime.kernels import KERNELS, Scan, chunk, native, pick_kernel
from throughtime.program.gradient import derive

# Of the largest number. A value beside a border may be rounded the other way: half of the last of 8 bits, in
# one of the terms of a sum.
AS_ROUNDED = 8e-3
# Of the norm. Where large terms cancel, little remains beside what rounding costs; then the rounded loop is
# as far from the loop in float32.
NEAR_FLOAT32 = 0.02


def autocast(enabled: bool = True) -> torch.autocast:
    return torch.autocast("cpu", torch.bfloat16, enabled=enabled)


class _Rounded(torch.autograd.Function):
    """A side of a product: its gradient is in float32."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.bfloat16().float()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:  # type: ignore[override]
        return gradient


class _RoundedBack(torch.autograd.Function):
    """A product: what the products of its gradient read is rounded."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:  # type: ignore[override]
        return gradient.bfloat16().float()


class RoundedProducts(TorchFunctionMode):
    """What the loop computes with products in bf16 and sums in float32."""

    PRODUCTS = (torch.matmul, torch.Tensor.matmul, torch.Tensor.__matmul__, torch.einsum)

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.nn.functional.linear:
            x, weight, bias = [*args, *(kwargs or {}).values(), None][:3]
            product = _RoundedBack.apply(func(_Rounded.apply(x), _Rounded.apply(weight)))
            return product if bias is None else product + bias  # type: ignore[operator]
        if func in self.PRODUCTS:
            given = [_Rounded.apply(one) if isinstance(one, Tensor) else one for one in args]
            return _RoundedBack.apply(func(*given))
        return func(*args, **(kwargs or {}))


def assert_near(found: list[Tensor], expected: list[Tensor], tolerance: float) -> None:
    for number, (one, two) in enumerate(zip(found, expected, strict=True)):
        assert one.shape == two.shape
        far = float((one.detach().float() - two.detach()).abs().max())
        assert far <= tolerance * max(float(two.detach().abs().max()), 0.01), (number, far)


def in_bf16(scan: Scan) -> list[Tensor]:
    """`results` of the native kernel; as a step of training, only the forward pass is under autocast."""
    inputs = scan.inputs.detach().clone().requires_grad_()
    state = tuple(part.detach().clone().requires_grad_() for part in scan.state)
    copy = Scan(scan.cells, inputs, state, scan.mask, scan.lengths, scan.zoneout, scan.training)
    torch.manual_seed(7)
    with autocast():
        assert native.reason_against(copy) is None
        outputs, final = native.run(copy)
    torch.manual_seed(8)
    loss = sum((part * torch.randn(part.shape)).sum() for part in (outputs, *final))
    read = [inputs, *state, *(p for cell in scan.cells for p in cell.parameters())]
    assert isinstance(loss, Tensor)
    gradients = torch.autograd.grad(loss, read, allow_unused=True)
    zeros = [torch.zeros_like(a) if b is None else b for a, b in zip(read, gradients, strict=True)]
    return [outputs, *final, *zeros]


def assert_as_it_should_be(scan: Scan) -> None:
    found, exact = in_bf16(scan), results("reference", scan)
    with RoundedProducts():
        rounded = results("reference", scan)
    assert_near(found, rounded, AS_ROUNDED)
    for one, two, three in zip(found, exact, rounded, strict=True):
        one, two, three = one.detach().float(), two.detach(), three.detach()
        far, unavoidable = float((one - two).norm()), float((three - two).norm())
        assert far <= NEAR_FLOAT32 * max(float(two.norm()), 0.01) + 1.5 * unavoidable


@pytest.mark.parametrize("name", EVERY_CELL)
def test_any_cell_with_zoneout_and_a_mask(name: str) -> None:
    cell = EVERY_CELL[name].train()
    zoneout = tuple(0.2 + 0.1 * part for part in range(len(cell.state_sizes)))
    mask = torch.rand(5, 3, generator=torch.Generator().manual_seed(1)) > 0.4
    assert_as_it_should_be(scan_of(cell, 5, 3, zoneout=zoneout, mask=mask))


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
    assert_as_it_should_be(scan_of(cell_of(name, input_size, hidden_size, **options), T, B))


@pytest.mark.parametrize("isa", _native.available_isas().split())
def test_every_instruction_set_rounds_the_same_way(isa: str) -> None:
    for name, options in (("gru", {}), ("lstm", {"layer_norm": True})):
        torch.manual_seed(0)
        cell = cell_of(name, 13, 39, **options)
        scan = scan_of(cell, 3, 5)
        _, captured = planned(scan)
        plan = chunk.Plan(derive(captured.step), isa, "bf16")
        state = [part[0] for part in scan.state]
        outputs, final = native.run_direction((plan, captured), cell, scan, state, backward=False)
        gradients = torch.autograd.grad(
            sum(part.square().sum() for part in (outputs, *final)), list(cell.parameters())
        )
        with RoundedProducts():
            expected, state_after = KERNELS["reference"].run(scan)
            of_weights = torch.autograd.grad(
                sum(part.square().sum() for part in (expected, *state_after)), list(cell.parameters())
            )
        assert_near([outputs, *final], [expected, *(part[0] for part in state_after)], AS_ROUNDED)
        assert_near(list(gradients), list(of_weights), AS_ROUNDED)


@pytest.mark.parametrize("isa", _native.available_isas().split())
@pytest.mark.parametrize(
    ("M", "N", "K"), [(1, 1, 1), (13, 33, 7), (200, 70, 131), (5, 40, 1500), (3, 5, 8200), (8200, 3, 5)]
)
def test_a_large_product_is_exact_for_rounded_numbers(isa: str, M: int, N: int, K: int) -> None:
    torch.manual_seed(0)
    bias = torch.randn(N)
    for rows in (torch.randn(M, K), torch.randn(K, M).t(), torch.randn(M, 2 * K)[:, ::2]):
        for matrix in (torch.randn(N, K), torch.randn(K, N).t()):
            exact = rows.bfloat16().double() @ matrix.bfloat16().double().t()
            found = rows.new_empty(M, N)
            sizes = (M, N, K)
            places = [(one.data_ptr(), *one.stride()) for one in (rows, matrix)]
            for threads in (1, 3):
                before = found
                found = rows.new_empty(M, N)
                _native.multiply_rounded(
                    *places, bias.data_ptr(), found.data_ptr(), sizes, False, threads, isa
                )
            assert torch.equal(before, found)  # no thread changes a bit
            torch.testing.assert_close(found.double(), exact + bias, atol=1e-5 * K**0.5 * 8, rtol=0)
    _native.multiply_rounded(*places, 0, found.data_ptr(), sizes, True, 1, isa)
    torch.testing.assert_close(found.double(), 2 * exact + bias, atol=1e-5 * K**0.5 * 16, rtol=0)


def test_the_number_of_threads_changes_no_bit() -> None:
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            torch.manual_seed(0)
            found.append(in_bf16(scan_of(cell_of("gru", 160, 160), 4, 24)))
    finally:
        torch.set_num_threads(before)
    for one in found[1:]:
        # Biases are sums over all steps, which PyTorch splits by threads.
        assert all(torch.equal(a, b) for a, b in zip(one, found[0], strict=True) if a.dim() > 1)


def test_a_chunk_run_twice_gives_the_same_bits() -> None:
    scan = scan_of(cell_of("lstm", 24, 40, layer_norm=True), 20, 6)
    assert all(torch.equal(a, b) for a, b in zip(in_bf16(scan), in_bf16(scan), strict=True))


@pytest.mark.parametrize(("name", "options"), [("gru", {}), ("slstm", {"heads": 2})])
def test_layers_directions_and_lengths(name: str, options: dict[str, Any]) -> None:
    torch.manual_seed(0)
    recurrent = Recurrent(name, 5, 12, num_layers=2, bidirectional=True, batch_first=True, **options)
    inputs = torch.randn(4, 9, 5).bfloat16()  # as another layer gives them; read time first: strided
    found = []
    for kernel in ("native", "reference"):
        recurrent.kernel = kernel
        with autocast(kernel == "native"):
            given = inputs if kernel == "native" else inputs.float()
            outputs, state = recurrent(given, lengths=[9, 1, 0, 4])
        loss = sum((part.square() + part).sum() for part in (outputs, *state))
        found.append([outputs, *state, *torch.autograd.grad(loss, list(recurrent.parameters()))])
    assert_near(found[0], found[1], 0.05)


@pytest.mark.parametrize("name", ["rnn", "gru"])
def test_a_limit_of_memory_changes_no_gradient(name: str) -> None:
    torch.manual_seed(0)
    recurrent, inputs, found = Recurrent(name, 4, 6, kernel="native"), torch.randn(70, 3, 4), []
    for budget in (0, 1):
        recurrent.gradient_memory = budget
        with autocast():
            outputs, _ = recurrent(inputs)
        found.append(torch.autograd.grad(outputs.float().square().sum(), list(recurrent.parameters())))
    assert_near(list(found[1]), list(found[0]), AS_ROUNDED)


def test_it_learns_what_float32_learns() -> None:
    torch.manual_seed(0)
    inputs, wanted, losses = torch.randn(12, 8, 6), torch.randn(12, 8, 16).tanh() * 0.5, []
    start = Recurrent("gru", 6, 16, kernel="native").state_dict()
    for enabled in (False, True):
        recurrent = Recurrent("gru", 6, 16, kernel="native")
        recurrent.load_state_dict(start)
        optimizer = torch.optim.SGD(recurrent.parameters(), lr=0.1, momentum=0.9)
        for _ in range(300):
            optimizer.zero_grad()
            with autocast(enabled):
                outputs, _ = recurrent(inputs)
            loss = (outputs.float() - wanted).square().mean()
            loss.backward()
            optimizer.step()
        losses.append(float(loss.detach()))
        assert all(one.dtype == torch.float32 for one in recurrent.parameters())
    assert losses[1] == pytest.approx(losses[0], rel=0.03)


@pytest.mark.parametrize("name", ["rnn", "lstm", "gru"])
def test_outputs_have_the_types_of_torchs_autocast(name: str) -> None:
    with autocast():
        ours, state = Recurrent(name, 3, 4, kernel="native")(torch.randn(20, 2, 3))
        theirs, final = getattr(torch.nn, name.upper())(3, 4)(torch.randn(20, 2, 3))
    assert [part.dtype for part in (ours, *state)] == [
        part.dtype for part in (theirs, *(final if name == "lstm" else (final,)))
    ]


def test_another_autocast_is_refused_in_one_sentence() -> None:
    scan = scan_of(Scaled(3, 5), 20, 2)
    with torch.autocast("cpu", torch.float16):
        assert pick_kernel(scan).name == "reference"
        with pytest.raises(OptionError, match="bfloat16, and autocast asks for float16"):
            pick_kernel(scan, "native")
    with pytest.raises(ValueError, match="fp32 or bf16"):
        found = planned(scan)[0].flat(planned(scan)[0].training.backward)
        _native.TrainingStep(found.numbers, found.arrays, "", "int8")


def test_auto_picks_it_for_any_cell_and_more_than_a_few_steps() -> None:
    def picked(recurrent: Recurrent, T: int) -> str:
        with autocast():
            return recurrent.kernel_for(torch.randn(T, 2, 3))[0].name

    # oneDNN rounds an LSTM's states to bf16, and ours stay float32.
    assert picked(Recurrent("lstm", 3, 96), 20) == "native"
    assert picked(Recurrent("lstm", 3, 400), 20) == "native"
    assert picked(Recurrent("lstm", 3, 4, peephole=True), 20) == "native"
    assert picked(Recurrent("gru", 3, 4), 20) == "native"
    assert picked(Recurrent("gru", 3, 4), 2) == "torch"
