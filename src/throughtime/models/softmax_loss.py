"""The cross entropy of a softmax over tokens, from logits, or from what the output layer reads."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from throughtime import _native
from throughtime.data import IGNORED_TARGET
from throughtime.kernels.products import linear, of_weight, rounded, rounds

# Logits of a block: 64 MiB in float32.
_BLOCK = 1 << 24
# Each block adds to the whole gradient of the matrix: with fewer rows that takes longer than the product.
_LEAST_ROWS = 256
# With fewer logits in all, PyTorch's own passes over them are as fast.
_FEWEST = 1 << 18


def softmax_loss(logits: Tensor, wanted: Tensor, smoothing: float = 0.0) -> Tensor:
    """The mean over places of -log softmax(logits)[wanted], in nats.

    Args:
        logits: (..., V), any float type; half precision is summed in float32.
        wanted: (...) int64; `IGNORED_TARGET` leaves a place out.
        smoothing: share of the wanted probability that is spread over all V (Szegedy et al. 2016).
    """
    if logits.dtype in (torch.bfloat16, torch.float16):
        logits = logits.float()
    return F.cross_entropy(
        logits.flatten(0, -2), wanted.flatten(), ignore_index=IGNORED_TARGET, label_smoothing=smoothing
    )


def linear_softmax_loss(
    inputs: Tensor, weight: Tensor, bias: Tensor | None, wanted: Tensor, smoothing: float = 0.0
) -> tuple[Tensor, Tensor]:
    """`softmax_loss` of a linear layer's outputs, without ever holding all of them where they are many.

    The rows are taken block by block. A block's loss and its gradient are computed together, so that each
    logit is computed once and then forgotten; the memory is that of one block instead of N * V floats. The
    gradients are exact. They are computed in the forward pass and have no gradients of their own.

    Args:
        inputs: (..., K).
        weight: (V, K).
        bias: (V,), or None.
        wanted: (...) int64; `IGNORED_TARGET` leaves a place out.
        smoothing: as of `softmax_loss`.
    Returns:
        The mean over places, a scalar, and the same without the smoothing and without a graph. They are NaN
        where all places are left out, as PyTorch has it.
    Source: Wijmans et al. 2025, "Cut Your Losses in Large-Vocabulary Language Models", for the idea; here
        a block has all V columns, so that no second pass over the vocabulary is needed.
    """
    rows, targets = inputs.flatten(0, -2), wanted.flatten()
    if rows.shape[0] * weight.shape[0] < _FEWEST:
        logits = linear(rows, weight, bias)
        loss = softmax_loss(logits, targets, smoothing)
        return loss, softmax_loss(logits.detach(), targets) if smoothing else loss.detach()
    return _LinearSoftmaxLoss.apply(rows, weight, bias, targets, smoothing)  # type: ignore[no-any-return]


class _LinearSoftmaxLoss(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, rows: Tensor, weight: Tensor, bias: Tensor | None, targets: Tensor, smoothing: float
    ) -> tuple[Tensor, Tensor]:
        device = rows.device.type
        kind = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else rows.dtype
        in_float = rounds(device)
        with torch.autocast(device, enabled=False):
            loss, plain = _all_blocks(ctx, rows, weight, bias, targets, smoothing, kind, in_float)
        ctx.mark_non_differentiable(plain)
        return loss, plain

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor, _: Tensor) -> Any:  # type: ignore[override]
        scaled = (None if own is None else own.mul_(gradient) for own in ctx.gradients)
        of_rows, of_weight, of_bias = scaled
        ctx.gradients = ()
        return of_rows, of_weight, of_bias, None, None


def _all_blocks(
    ctx: Any,
    rows: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    targets: Tensor,
    smoothing: float,
    kind: torch.dtype,
    in_float: bool,
) -> tuple[Tensor, Tensor]:
    """The loss, and that without smoothing; leaves the gradients that are needed in the context.

    Args:
        kind: type of the products; sums over them are in float32, or in float64 if that is float64.
        in_float: products of bf16 take float32, round it themselves, and give float32.
    """
    multiply = linear
    if in_float:
        multiply, kind = rounded, torch.float32
    wide = torch.promote_types(kind, torch.float32)
    size = max(_LEAST_ROWS, _BLOCK // len(weight))
    matrix = weight.to(kind)
    count = (targets != IGNORED_TARGET).sum()
    needs_rows, needs_weight, needs_bias = ctx.needs_input_grad[:3]
    of_rows = torch.empty_like(rows) if needs_rows else None
    of_matrix: Tensor | None = None
    of_bias = torch.zeros_like(weight[:, 0], dtype=wide) if needs_bias else None
    turn = _turned if wide == torch.float32 and rows.device.type == "cpu" else _turned_by_torch
    losses, plain = [], []
    for start in range(0, len(rows), size):
        block, places = rows[start : start + size].to(kind), slice(start, start + size)
        logits = multiply(block, matrix, None if bias is None else bias.to(kind)).to(wide)
        loss, measured = turn(logits, targets[places], count, smoothing)
        losses.append(loss)
        plain.append(measured)
        if of_bias is not None:
            of_bias += logits.sum(0)
        of_logits = logits.to(kind)
        if of_rows is not None:
            of_rows[places] = multiply(of_logits, matrix.t())
        if needs_weight and kind == wide:
            of_matrix = of_weight(of_logits, block, "bf16" if in_float else "fp32", of_matrix)
        elif needs_weight:
            product = of_weight(of_logits, block).to(wide)
            of_matrix = product if of_matrix is None else of_matrix.add_(product)
    ctx.gradients = (
        of_rows,
        None if of_matrix is None else of_matrix.to(weight.dtype),
        None if of_bias is None or bias is None else of_bias.to(bias.dtype),
    )
    return torch.stack(losses).sum() / count, torch.stack(plain).sum() / count


def _turned(logits: Tensor, wanted: Tensor, count: Tensor, smoothing: float) -> tuple[Tensor, Tensor]:
    """Turn logits into the gradients of their share of the mean, in place.

    Args:
        logits: (N, V) float32 on the CPU.
        wanted: (N,) int64.
        count: over how many places the mean is taken.
    Returns:
        The sum of the losses, and that without smoothing.
    """
    assert logits.is_contiguous() and wanted.shape == logits.shape[:1] and wanted.dtype == torch.int64
    losses, wanted = logits.new_empty(2, len(logits)), wanted.contiguous()
    _native.softmax_gradients(
        logits.data_ptr(),
        (len(logits), logits.shape[1]),
        wanted.data_ptr(),
        IGNORED_TARGET,
        1 / max(1, int(count)),
        smoothing,
        losses.data_ptr(),
        torch.get_num_threads(),
    )
    return losses[0].sum(), losses[1].sum()


def _turned_by_torch(
    logits: Tensor, wanted: Tensor, count: Tensor, smoothing: float
) -> tuple[Tensor, Tensor]:
    """`_turned` for other types and devices."""
    counts, kinds = wanted != IGNORED_TARGET, logits.shape[1]
    wanted = wanted.clamp(min=0)[:, None]
    highest = logits.max(1, keepdim=True).values
    picked = (logits.gather(1, wanted) - highest).squeeze(1)
    mean = (logits.mean(1, keepdim=True) - highest).squeeze(1) if smoothing else picked
    odds = logits.sub_(highest).exp_()
    sums = odds.sum(1, keepdim=True)
    loss = sums.squeeze(1).log() - picked
    weights = counts[:, None].to(logits.dtype) / count
    of_logits = odds.mul_(weights / sums)
    if smoothing:
        of_logits.sub_(weights * (smoothing / kinds))
    of_logits.scatter_add_(1, wanted, -(1 - smoothing) * weights)
    smoothed = torch.where(counts, loss + smoothing * (picked - mean), 0.0).sum()
    return smoothed, torch.where(counts, loss, 0.0).sum()
