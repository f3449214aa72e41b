"""Products of many rows with a matrix: in fp32 the fastest way that PyTorch has, in bf16 the native one.

PyTorch's products in bf16 round their results to bf16, too. The native ones are as fast, and give fp32.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from throughtime import _native

# Fewer rows are not worth another call.
_FEWEST_ROWS = 64
# So few columns are narrow for the tiles of bf16, and cost little in fp32.
_FEW_COLUMNS = 256
# Above so many columns MKL reaches 60 to 70 GFLOP/s in the product of a weight's gradient, oneDNN
# 85 to 98; below it is the faster one (one AVX-512 core, peak 105).
_MKL_COLUMNS = 512


def _has_onednn() -> bool:
    """Whether oneDNN multiplies 32-bit matrices here.

    On an AMD EPYC (AVX-512) it reaches 91 to 102 GFLOP/s a core in these products; MKL, which `F.linear`
    calls, 74 to 95.
    """
    if not torch.backends.mkldnn.is_available():
        return False
    try:
        one = torch.ones(2, 2)
        return bool((_onednn(one, one, None) == 2).all())
    except (AttributeError, RuntimeError):  # another PyTorch may have it under another name
        return False


def _onednn(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    return torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")


_ONEDNN = _has_onednn()


def of_weight(gradient: Tensor, rows: Tensor, precision: str = "fp32", to: Tensor | None = None) -> Tensor:
    """gradient^T times rows: (R, N) and (R, K) to (N, K), without gaps.

    Args:
        to: (N, K), to which the product is added; it is returned.
    """
    if precision == "bf16":
        return rounded(gradient.t(), rows.t(), to=to)
    if rows.shape[1] > _MKL_COLUMNS and _by_onednn(gradient) and _by_onednn(rows):
        product = _onednn(gradient.t(), rows.t(), None)
        return product if to is None else to.add_(product)
    return torch.mm(gradient.t(), rows) if to is None else to.addmm_(gradient.t(), rows)


def _by_onednn(x: Tensor) -> bool:
    return _ONEDNN and x.dtype == torch.float32 and x.device.type == "cpu" and x.is_contiguous()


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        return _onednn(x, weight, bias)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:  # type: ignore[override]
        x, weight = ctx.saved_tensors
        if torch.is_grad_enabled():  # a second derivative is wanted: by operations that have one
            of_x = gradient @ weight
        else:
            of_x = _onednn(gradient, weight.t(), None) if ctx.needs_input_grad[0] else None
        flat = gradient.flatten(0, -2)
        of_matrix = of_weight(flat, x.flatten(0, -2)) if ctx.needs_input_grad[1] else None
        return of_x, of_matrix, flat.sum(0) if ctx.needs_input_grad[2] else None


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """`torch.nn.functional.linear`, on the CPU by oneDNN where it is there, and under autocast to bf16 with
    results in float32.
    """
    if rounds(x.device.type) and weight.dtype == torch.float32:
        if len(weight) > _FEW_COLUMNS:
            return rounded_linear(x.float(), weight, bias)
        with torch.autocast("cpu", enabled=False):
            return linear(x.float(), weight, bias)
    no_gaps = weight.is_contiguous() or weight.t().is_contiguous()
    plain = x.dtype == weight.dtype == torch.float32 and x.device.type == "cpu" and no_gaps
    if not (_ONEDNN and plain) or x.numel() < _FEWEST_ROWS * x.shape[-1] or torch.is_autocast_enabled("cpu"):
        return F.linear(x, weight, bias)
    return _Linear.apply(x, weight, bias)  # type: ignore[no-any-return]


def rounds(device: str) -> bool:
    """Whether autocast asks for products in bf16, on a device whose own would round their results as well."""
    return (
        device == "cpu"
        and torch.is_autocast_enabled("cpu")
        and torch.get_autocast_dtype("cpu") == torch.bfloat16
    )


def new(*shape: int) -> Tensor:
    """A tensor in memory that goes back to the native part's arena, of any content."""
    return torch.from_numpy(_native.training_memory(math.prod(shape))).view(shape)


def rounded(rows: Tensor, matrix: Tensor, bias: Tensor | None = None, to: Tensor | None = None) -> Tensor:
    """rows matrix^T + bias in bf16 with sums in fp32; the same bits for any number of threads.

    Args:
        rows: (M, K) float32 on the CPU, in any order; M, N and K above 0.
        matrix: (N, K).
        bias: (N,).
        to: (M, N), without gaps, to which the product is added; then there is no bias.
    Returns:
        (M, N).
    """
    (M, K), N = rows.shape, len(matrix)
    bias = None if bias is None else bias.contiguous()
    out = new(M, N) if to is None else to
    assert out.is_contiguous() and out.shape == (M, N) and matrix.shape[1] == K
    assert bias is None or (to is None and bias.shape == (N,))
    _native.multiply_rounded(
        (rows.data_ptr(), rows.stride(0), rows.stride(1)),
        (matrix.data_ptr(), matrix.stride(0), matrix.stride(1)),
        0 if bias is None else bias.data_ptr(),
        out.data_ptr(),
        (M, N, K),
        to is not None,
        torch.get_num_threads(),
    )
    return out


class _Rounded(torch.autograd.Function):
    """`linear` with both sides rounded to bf16, and its gradients by products of the same kind."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        return rounded(x.flatten(0, -2), weight, bias).view(*x.shape[:-1], len(weight))

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        x, weight = ctx.saved_tensors
        flat = gradient.flatten(0, -2)
        of_x = rounded(flat, weight.t()).view(x.shape) if ctx.needs_input_grad[0] else None
        of_matrix = of_weight(flat, x.flatten(0, -2), "bf16") if ctx.needs_input_grad[1] else None
        return of_x, of_matrix, flat.sum(0) if ctx.needs_input_grad[2] else None


def rounded_linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """`torch.nn.functional.linear` for float32 on the CPU, multiplied in bf16."""
    if x.numel() == 0 or weight.numel() == 0:
        return F.linear(x, weight, bias)
    return _Rounded.apply(x, weight, bias)  # type: ignore[no-any-return]
