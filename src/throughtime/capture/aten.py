"""ATen's operators as operations of programs: one small rule each.

A rule gets the converter, the graph's node and the operator's arguments; it adds nodes and returns an
operand, or a list of them for operators with several results.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import fx

from throughtime.program.program import Operand

if TYPE_CHECKING:
    from throughtime.capture.convert import Converter

# What evaluation mode, a fixed type and immutable values make of these: nothing.
SAME = frozenset(
    [
        "alias",
        "alias_copy",
        "clone",
        "contiguous",
        "detach",
        "detach_",
        "dropout",
        "dropout_",
        "alpha_dropout",
        "feature_dropout",
        "lift_fresh",
        "lift_fresh_copy",
        "type_as",
        "native_dropout",
        "expand_as_",
        "requires_grad_",
        "positive",
    ]
)

# The same operation under the same or another name, with all its arguments operands.
DIRECT = {
    **{
        name: name for name in ("neg", "abs", "exp", "log", "sqrt", "sigmoid", "tanh", "relu", "erf", "where")
    },
    **{f"{name}_": name for name in ("neg", "abs", "exp", "log", "sqrt", "sigmoid", "tanh", "relu")},
    "mul": "mul",
    "multiply": "mul",
    "maximum": "max",
    "minimum": "min",
    "fmax": "max",
    "fmin": "min",
    "lt": "less",
    "le": "less_equal",
    "eq": "equal",
    "logical_and": "and",
    "bitwise_and": "and",
    "__and__": "and",
    "__or__": "or",
    "logical_or": "or",
    "bitwise_or": "or",
    "logical_not": "not",
    "bitwise_not": "not",
}

Rule = Callable[..., Any]
RULES: dict[str, Rule] = {}


def _rule(*names: str) -> Callable[[Rule], Rule]:
    def keep(rule: Rule) -> Rule:
        RULES.update(dict.fromkeys(names, rule))
        return rule

    return keep


# ---- pointwise


@_rule("add", "add_")
def _add(c: Converter, node: fx.Node, a: Any, b: Any, alpha: float = 1) -> Operand:
    return c.add("add", c.operand(a), c.scaled(c.operand(b), alpha))


@_rule("sub", "sub_", "subtract")
def _sub(c: Converter, node: fx.Node, a: Any, b: Any, alpha: float = 1) -> Operand:
    return c.add("sub", c.operand(a), c.scaled(c.operand(b), alpha))


@_rule("rsub")
def _rsub(c: Converter, node: fx.Node, a: Any, b: Any, alpha: float = 1) -> Operand:
    return c.add("sub", c.operand(b), c.scaled(c.operand(a), alpha))


@_rule("div", "div_", "true_divide", "divide")
def _div(c: Converter, node: fx.Node, a: Any, b: Any) -> Operand:
    return c.add("div", _float(c, a), _float(c, b))


def _float(c: Converter, value: Any) -> Operand:
    whole = isinstance(value, fx.Node) and not value.meta["val"].dtype.is_floating_point
    return c.add("float", c.operand(value)) if whole else c.operand(value)


@_rule("gt")
def _greater(c: Converter, node: fx.Node, a: Any, b: Any) -> Operand:
    return c.add("less", c.operand(b), c.operand(a))


@_rule("ge")
def _greater_equal(c: Converter, node: fx.Node, a: Any, b: Any) -> Operand:
    return c.add("less_equal", c.operand(b), c.operand(a))


@_rule("ne")
def _not_equal(c: Converter, node: fx.Node, a: Any, b: Any) -> Operand:
    return c.add("not", c.add("equal", c.operand(a), c.operand(b)))


@_rule("pow")
def _pow(c: Converter, node: fx.Node, a: Any, exponent: Any) -> Operand:
    x = c.operand(a)
    if exponent == 0.5:
        return c.add("sqrt", x)
    if not isinstance(exponent, (int, float)) or exponent != int(exponent) or not 1 <= abs(exponent) <= 8:
        raise c.refusal(
            node, f"it raises to the power {exponent}: use whole powers from 1 to 8, or exp and log"
        )
    power = x
    for _ in range(abs(int(exponent)) - 1):
        power = c.add("mul", power, x)
    return power if exponent > 0 else c.add("div", 1.0, power)


@_rule("square")
def _square(c: Converter, node: fx.Node, a: Any) -> Operand:
    return c.add("mul", c.operand(a), c.operand(a))


@_rule("reciprocal")
def _reciprocal(c: Converter, node: fx.Node, a: Any) -> Operand:
    return c.add("div", 1.0, c.operand(a))


@_rule("rsqrt")
def _rsqrt(c: Converter, node: fx.Node, a: Any) -> Operand:
    return c.add("div", 1.0, c.add("sqrt", c.operand(a)))


@_rule("clamp", "clamp_min", "clamp_max", "clip", "hardtanh")
def _clamp(c: Converter, node: fx.Node, a: Any, min: Any = None, max: Any = None, **named: Any) -> Operand:
    name = c.name(node)
    low, high = (None, min) if name == "clamp_max" else (min, max)
    if name == "hardtanh":
        low, high = (named.get("min_val", -1.0) if low is None else low), (1.0 if high is None else high)
    x = c.operand(a)
    x = x if low is None else c.add("max", x, c.operand(low))
    return x if high is None else c.add("min", x, c.operand(high))


@_rule("silu", "silu_")
def _silu(c: Converter, node: fx.Node, a: Any) -> Operand:
    return c.add("mul", c.operand(a), c.add("sigmoid", c.operand(a)))


@_rule("softplus")
def _softplus(c: Converter, node: fx.Node, a: Any, beta: float = 1, threshold: float = 20) -> Operand:
    # Above the threshold torch returns x: what softplus is there, to fp32's last digit.
    scaled = c.add("softplus", c.scaled(c.operand(a), beta))
    return scaled if beta == 1 else c.add("div", scaled, float(beta))


@_rule("log_sigmoid")
def _log_sigmoid(c: Converter, node: fx.Node, a: Any) -> Operand:
    return c.add("neg", c.add("softplus", c.add("neg", c.operand(a))))


@_rule("log1p")
def _log1p(c: Converter, node: fx.Node, a: Any) -> Operand:
    return c.add("log", c.add("add", 1.0, c.operand(a)))


@_rule("expm1")
def _expm1(c: Converter, node: fx.Node, a: Any) -> Operand:
    return c.add("sub", c.add("exp", c.operand(a)), 1.0)


@_rule("gelu")
def _gelu(c: Converter, node: fx.Node, a: Any, approximate: str = "none") -> Operand:
    x = c.operand(a)
    if approximate == "none":
        inner = c.add("erf", c.add("mul", x, math.sqrt(0.5)))
    else:
        cube = c.add("mul", c.add("mul", x, x), x)
        inner = c.add("add", x, c.add("mul", cube, 0.044715))
        inner = c.add("tanh", c.add("mul", inner, math.sqrt(2 / math.pi)))
    return c.add("mul", c.add("mul", x, 0.5), c.add("add", inner, 1.0))


@_rule("leaky_relu", "leaky_relu_")
def _leaky_relu(c: Converter, node: fx.Node, a: Any, slope: float = 0.01) -> Operand:
    x = c.operand(a)
    return c.add("where", c.add("less", 0.0, x), x, c.add("mul", x, float(slope)))


@_rule("elu", "elu_")
def _elu(
    c: Converter, node: fx.Node, a: Any, alpha: float = 1, scale: float = 1, inner: float = 1
) -> Operand:
    x = c.operand(a)
    below = c.add("sub", c.add("exp", c.add("min", c.scaled(x, inner), 0.0)), 1.0)
    chosen = c.add("where", c.add("less", 0.0, x), x, c.scaled(below, alpha))
    return c.scaled(chosen, scale)


@_rule("hardsigmoid")
def _hardsigmoid(c: Converter, node: fx.Node, a: Any) -> Operand:
    lifted = c.add("add", c.add("div", c.operand(a), 6.0), 0.5)
    return c.add("min", c.add("max", lifted, 0.0), 1.0)


@_rule("lerp")
def _lerp(c: Converter, node: fx.Node, a: Any, b: Any, weight: Any) -> Operand:
    start = c.operand(a)
    step = c.add("mul", c.operand(weight), c.add("sub", c.operand(b), start))
    return c.add("add", start, step)


@_rule("addcmul")
def _addcmul(c: Converter, node: fx.Node, a: Any, b: Any, d: Any, value: float = 1) -> Operand:
    return c.add("add", c.operand(a), c.scaled(c.add("mul", c.operand(b), c.operand(d)), value))


@_rule("masked_fill")
def _masked_fill(c: Converter, node: fx.Node, a: Any, mask: Any, value: Any) -> Operand:
    return c.add("where", c.operand(mask), c.operand(value), c.operand(a))


@_rule("to", "_to_copy")
def _to(c: Converter, node: fx.Node, a: Any, *_: Any, **__: Any) -> Operand:
    before, after = a.meta["val"].dtype, node.meta["val"].dtype
    if before.is_floating_point == after.is_floating_point:
        return c.operand(a)
    if not after.is_floating_point:
        raise c.refusal(node, "it makes whole numbers of others")
    return c.add("float", c.operand(a))


@_rule("zeros_like", "ones_like", "full_like")
def _full_like(c: Converter, node: fx.Node, a: Any, value: Any = None, **_: Any) -> Operand:
    fixed = {"zeros_like": 0.0, "ones_like": 1.0}.get(c.name(node))
    return c.add("full_like", c.operand(a), value=float(value if fixed is None else fixed))


@_rule("zeros", "ones", "full", "new_zeros", "new_ones", "new_full")
def _full(c: Converter, node: fx.Node, *args: Any, **_: Any) -> Operand:
    name = c.name(node).removeprefix("new_")
    value = {"zeros": 0.0, "ones": 1.0}.get(name)
    value = float(args[-1]) if value is None else value
    return c.add("expand", value, shape=list(c.shape(node)))


# ---- products


@_rule("linear")
def _linear(c: Converter, node: fx.Node, x: Any, weight: Any, bias: Any = None) -> Operand:
    more = () if bias is None else (c.operand(bias),)
    return c.add("linear", c.operand(x), c.operand(weight), *more)


@_rule("addmm")
def _addmm(
    c: Converter, node: fx.Node, bias: Any, a: Any, b: Any, beta: float = 1, alpha: float = 1
) -> Operand:
    return c.add("add", c.scaled(c.operand(bias), beta), c.scaled(_matmul(c, node, a, b), alpha))


@_rule("matmul", "mm", "bmm", "mv")
def _matmul(c: Converter, node: fx.Node, a: Any, b: Any) -> Operand:
    left, right = c.operand(a), c.operand(b)
    if len(c.shape(b)) == 1:  # a vector: a matrix with one row
        row = c.add("reshape", right, shape=[1, *c.shape(b)])
        return c.add("reshape", c.add("linear", left, row), shape=list(c.shape(node)))
    if len(c.shape(b)) == 2 and c.is_fixed(right):
        return c.add("linear", left, c.add("permute", right, order=[1, 0]))
    return c.add("matmul", left, right)


@_rule("einsum")
def _einsum(c: Converter, node: fx.Node, equation: str, operands: Sequence[Any], path: Any = None) -> Operand:
    terms, _, result = equation.replace(" ", "").partition("->")
    names = terms.split(",")
    if len(names) != 2 or not result or any(len(set(n)) != len(n) or "." in n for n in (*names, result)):
        raise c.refusal(node, f"its einsum {equation!r} is none of two operands with distinct letters")
    a, b = names
    alone = (set(a) ^ set(b)) - set(result)
    if alone:
        raise c.refusal(node, f"its einsum {equation!r} sums {min(alone)} over one operand: sum before it")
    sides = dict(zip(a, c.shape(operands[0]), strict=True)) | dict(zip(b, c.shape(operands[1]), strict=True))
    free = [x for x in a + b if not isinstance(sides[x], int) and (x in a) != (x in b)]
    if free and free[0] in b:
        a, b, operands = b, a, operands[::-1]
    # A free axis of one operand alone stays in front: each sequence multiplies the same matrices.
    both = [x for x in a if x in b and x in result]
    summed = [x for x in a if x in b and x not in result]
    rows = [x for x in a if x not in b and x not in free]
    columns = [x for x in b if x not in a]

    def arranged(operand: Any, old: str, first: list[str], *groups: list[str]) -> Operand:
        order = [old.index(x) for group in (first, *groups) for x in group]
        value = c.add("permute", c.operand(operand), order=order)
        merged = [c.product([sides[x] for x in group]) for group in groups]
        return c.add("reshape", value, shape=[*(sides[x] for x in first), *merged])

    left = arranged(operands[0], a, [*free, *both], rows, summed)
    right = arranged(operands[1], b, both, summed, columns)
    order = [*free, *both, *rows, *columns]
    value = c.add("reshape", c.add("matmul", left, right), shape=[sides[x] for x in order])
    return c.add("permute", value, order=[order.index(x) for x in result])


@_rule("embedding")
def _embedding(c: Converter, node: fx.Node, table: Any, indices: Any, *_: Any) -> Operand:
    return c.add("take", c.operand(table), c.operand(indices))


@_rule("index")
def _index(c: Converter, node: fx.Node, x: Any, indices: Sequence[Any]) -> Operand:
    if not all(isinstance(index, fx.Node) and index.meta["val"].dtype == torch.int64 for index in indices):
        raise c.refusal(node, "it indexes by something else than whole numbers: use torch.where for a mask")
    return c.add("take", c.operand(x), *map(c.operand, indices))


@_rule("one_hot")
def _one_hot(c: Converter, node: fx.Node, indices: Any, classes: int = -1) -> Operand:
    return c.add("one_hot", c.operand(indices), classes=int(node.meta["val"].shape[-1]))


@_rule("arange")
def _arange(c: Converter, node: fx.Node, *_: Any, **__: Any) -> Operand:
    return c.add("range", shape=list(c.shape(node)))


# ---- pictures


@_rule("conv2d")
def _conv2d(
    c: Converter,
    node: fx.Node,
    x: Any,
    weight: Any,
    bias: Any = None,
    stride: Sequence[int] = (1, 1),
    padding: Sequence[int] = (0, 0),
    dilation: Sequence[int] = (1, 1),
    groups: int = 1,
) -> Operand:
    if set(dilation) != {1}:
        raise c.refusal(node, "its convolution is dilated")
    more = () if bias is None else (c.operand(bias),)
    stride, padding = (list(given) * (2 // len(given)) for given in (stride, padding))
    return c.add(
        "conv2d", c.operand(x), c.operand(weight), *more, stride=stride, padding=padding, groups=groups
    )


@_rule("pad", "constant_pad_nd")
def _pad(c: Converter, node: fx.Node, x: Any, padding: Sequence[int], *more: Any) -> Operand:
    if any(one not in ("constant", 0, 0.0, None) for one in more):
        raise c.refusal(node, "it pads with something else than zeros")
    rank = len(c.shape(x))
    before, after = [0] * rank, [0] * rank
    for k in range(len(padding) // 2):  # from the last axis
        before[rank - 1 - k], after[rank - 1 - k] = padding[2 * k], padding[2 * k + 1]
    return c.add("pad", c.operand(x), before=before, after=after)


@_rule("adaptive_avg_pool2d")
def _adaptive_avg_pool2d(c: Converter, node: fx.Node, x: Any, size: Any) -> Operand:
    rows, columns = c.shape(node)[2:]
    return c.add("grid_means", c.operand(x), rows=rows, columns=columns)


@_rule("batch_norm", "_native_batch_norm_legit_no_training")
def _batch_norm(
    c: Converter, node: fx.Node, x: Any, weight: Any, bias: Any, mean: Any, variance: Any, *rest: Any
) -> Operand:
    epsilon = next(value for value in reversed(rest) if isinstance(value, float))
    deviation = c.add("sqrt", c.add("add", c.operand(variance), epsilon))
    scale = c.add("div", 1.0 if weight is None else c.operand(weight), deviation)
    shift = c.add("mul", c.operand(mean), scale)
    shift = c.add("sub", 0.0 if bias is None else c.operand(bias), shift)
    return _per_channel(c, c.operand(x), len(c.shape(x)), c.shape(x)[1], scale, shift)


def _per_channel(
    c: Converter, x: Operand, rank: int, channels: int, scale: Operand | None, shift: Operand | None
) -> Operand:
    """x scaled and shifted along its second axis."""
    for operation, value in (("mul", scale), ("add", shift)):
        if value is not None:
            spread = c.add("reshape", value, shape=[channels] + [1] * (rank - 2))
            x = c.add(operation, x, spread)
    return x


# ---- scans


@_rule("recurrence")
def _scan(
    c: Converter,
    node: fx.Node,
    inputs: Any,
    state: Sequence[Any],
    lengths: Any,
    name: str,
    output_size: int,
    state_sizes: Sequence[int],
    rows: int,
) -> list[Operand]:
    operands = [inputs, *state, *([] if lengths is None else [lengths])]
    result = c.add(
        "scan",
        *map(c.operand, operands),
        recurrence=name,
        lengths=lengths is not None,
        output_size=output_size,
        state_sizes=list(state_sizes),
        rows=rows,
    )
    return [result, *(f"{result}.{part}" for part in range(len(state_sizes)))]


# ---- norms and reductions


@_rule("layer_norm")
def _layer_norm(
    c: Converter,
    node: fx.Node,
    x: Any,
    shape: Sequence[int],
    weight: Any = None,
    bias: Any = None,
    eps: float = 1e-5,
    *_: Any,
) -> Operand:
    if len(shape) != 1:
        raise c.refusal(node, "it normalises over several axes: flatten them before")
    value = c.operand(x)
    if weight is None:
        value = c.add("layer_norm", value, epsilon=float(eps))
        return value if bias is None else c.add("add", value, c.operand(bias))
    scales = [c.operand(weight)] + ([] if bias is None else [c.operand(bias)])
    return c.add("layer_norm", value, *scales, epsilon=float(eps))


@_rule("rms_norm")
def _rms_norm(
    c: Converter, node: fx.Node, x: Any, shape: Sequence[int], weight: Any = None, eps: float | None = None
) -> Operand:
    value = c.operand(x)
    epsilon = torch.finfo(torch.float32).eps if eps is None else eps
    squares = c.add("mean", c.add("mul", value, value), axis=len(c.shape(x)) - 1)
    value = c.add("div", value, c.add("sqrt", c.add("add", squares, float(epsilon))))
    return value if weight is None else c.add("mul", value, c.operand(weight))


@_rule("group_norm")
def _group_norm(
    c: Converter,
    node: fx.Node,
    x: Any,
    groups: int,
    weight: Any = None,
    bias: Any = None,
    eps: float = 1e-5,
    *_: Any,
) -> Operand:
    shape = c.shape(x)
    if len(shape) < 2 or not isinstance(shape[1], int):
        raise c.refusal(node, "its group norm is not of rows of features")
    inside = c.product([shape[1] // groups, *shape[2:]])
    value = c.add("reshape", c.operand(x), shape=[shape[0], groups, inside])
    value = c.add("reshape", c.add("layer_norm", value, epsilon=float(eps)), shape=list(shape))
    scales = (None if given is None else c.operand(given) for given in (weight, bias))
    return _per_channel(c, value, len(shape), shape[1], *scales)


@_rule("sum", "mean", "amax", "amin")
def _reduce(c: Converter, node: fx.Node, x: Any, dim: Any = None, keepdim: bool = False, **_: Any) -> Operand:
    rank = len(c.shape(x))
    axes = range(rank) if dim is None or dim == [] else [dim] if isinstance(dim, int) else dim
    value = c.operand(x)
    for axis in sorted(axis % rank for axis in axes):
        c.refuse_batch(node, x, axis)
        value = c.add(c.name(node), value, axis=axis)
    return c.add("reshape", value, shape=list(c.shape(node)))


@_rule("logsumexp")
def _logsumexp(c: Converter, node: fx.Node, x: Any, dim: Any, keepdim: bool = False) -> Operand:
    (axis,) = [dim] if isinstance(dim, int) else dim
    axis %= len(c.shape(x))
    c.refuse_batch(node, x, axis)
    highest = c.add("amax", c.operand(x), axis=axis)
    powers = c.add("exp", c.add("sub", c.operand(x), highest))
    value = c.add("add", c.add("log", c.add("sum", powers, axis=axis)), highest)
    return c.add("reshape", value, shape=list(c.shape(node)))


@_rule("softmax", "_softmax")
def _softmax(c: Converter, node: fx.Node, x: Any, dim: int, *_: Any, **__: Any) -> Operand:
    axis = dim % len(c.shape(x))
    c.refuse_batch(node, x, axis)
    return c.add("softmax", c.operand(x), axis=axis)


@_rule("log_softmax", "_log_softmax")
def _log_softmax(c: Converter, node: fx.Node, x: Any, dim: int, *_: Any, **__: Any) -> Operand:
    axis = dim % len(c.shape(x))
    c.refuse_batch(node, x, axis)
    shifted = c.add("sub", c.operand(x), c.add("amax", c.operand(x), axis=axis))
    return c.add("sub", shifted, c.add("log", c.add("sum", c.add("exp", shifted), axis=axis)))


# ---- shapes


@_rule(
    "view",
    "reshape",
    "_unsafe_view",
    "flatten",
    "unflatten",
    "unsqueeze",
    "squeeze",
    "view_as",
    "_reshape_alias",
)
def _reshape(c: Converter, node: fx.Node, x: Any, *_: Any) -> Operand:
    return c.add("reshape", c.operand(x), shape=list(c.shape(node)))


@_rule("expand", "expand_as", "broadcast_to")
def _expand(c: Converter, node: fx.Node, x: Any, *_: Any, **__: Any) -> Operand:
    return c.add("expand", c.operand(x), shape=list(c.shape(node)))


@_rule("repeat", "tile")
def _repeat(c: Converter, node: fx.Node, x: Any, repeats: Sequence[int]) -> Operand:
    shape = list(c.shape(x))
    value = c.operand(x)
    if len(shape) < len(repeats):
        shape = [1] * (len(repeats) - len(shape)) + shape
        value = c.add("reshape", value, shape=shape)
    for axis, times in enumerate(repeats):
        if times != 1:
            if shape[axis] == 1:
                shape[axis] = c.shape(node)[axis]
                value = c.add("expand", value, shape=list(shape))
            else:
                c.refuse_batch(node, x, axis)
                shape[axis] = shape[axis] * times
                value = c.add("concat", *([value] * times), axis=axis)
    return value


@_rule("permute")
def _permute(c: Converter, node: fx.Node, x: Any, dims: Sequence[int]) -> Operand:
    return c.add("permute", c.operand(x), order=[axis % len(dims) for axis in dims])


@_rule("transpose", "t", "swapaxes", "numpy_T")
def _transpose(c: Converter, node: fx.Node, x: Any, first: int = 0, second: int = 1) -> Operand:
    rank = len(c.shape(x))
    order = list(range(rank))
    if rank > 1:
        first, second = first % rank, second % rank
        order[first], order[second] = second, first
    return c.add("permute", c.operand(x), order=order)


@_rule("slice", "narrow")
def _slice(
    c: Converter, node: fx.Node, x: Any, dim: int = 0, start: Any = None, end: Any = None, step: int = 1
) -> Operand:
    axis = dim % len(c.shape(x))
    side = c.shape(x)[axis]
    start = 0 if start is None else start
    if c.name(node) == "narrow":
        end = start + end
    if not isinstance(side, int):
        if (start, step) == (0, 1) and (end is None or not isinstance(end, int) or end >= 1 << 62):
            return c.operand(x)
        raise c.refusal(node, "it takes sequences of a batch apart: a step sees each by itself")
    first, last, step = slice(start, end, step).indices(side)
    if step == 1:
        return c.add("slice", c.operand(x), axis=axis, start=first, stop=max(first, last))
    parts = [c.add("slice", c.operand(x), axis=axis, start=k, stop=k + 1) for k in range(first, last, step)]
    return c.add("concat", *parts, axis=axis)


@_rule("select")
def _select(c: Converter, node: fx.Node, x: Any, dim: int, index: int) -> Operand:
    axis = dim % len(c.shape(x))
    c.refuse_batch(node, x, axis)
    side = c.shape(x)[axis]
    if not isinstance(side, int) and index != 0:
        raise c.refusal(node, "it selects a place of an axis whose size is free, and only the first is sure")
    start = index % side if isinstance(side, int) else 0
    value = c.add("slice", c.operand(x), axis=axis, start=start, stop=start + 1)
    return c.add("reshape", value, shape=list(c.shape(node)))


@_rule("chunk", "split", "split_with_sizes", "tensor_split", "unbind", "unsafe_chunk", "unsafe_split")
def _split(c: Converter, node: fx.Node, x: Any, *args: Any, **named: Any) -> list[Operand]:
    parts = node.meta["val"]
    unbound = c.name(node) == "unbind"
    dim = named.get("dim", args[0 if unbound else 1] if len(args) > (0 if unbound else 1) else 0)
    axis = dim % len(c.shape(x))
    c.refuse_batch(node, x, axis)
    found, start = [], 0
    for part in parts:
        width = 1 if unbound else int(part.shape[axis])
        value = c.add("slice", c.operand(x), axis=axis, start=start, stop=start + width)
        found.append(c.add("reshape", value, shape=c.sizes(part.shape)) if unbound else value)
        start += width
    return found


@_rule("cat", "concat", "concatenate")
def _cat(c: Converter, node: fx.Node, parts: Sequence[Any], dim: int = 0) -> Operand:
    axis = dim % len(c.shape(node))
    c.refuse_batch(node, parts[0], axis)
    return c.add("concat", *map(c.operand, parts), axis=axis)


@_rule("stack")
def _stack(c: Converter, node: fx.Node, parts: Sequence[Any], dim: int = 0) -> Operand:
    shape = list(c.shape(node))
    axis = dim % len(shape)
    shape[axis] = 1
    return c.add("concat", *(c.add("reshape", c.operand(p), shape=shape) for p in parts), axis=axis)
