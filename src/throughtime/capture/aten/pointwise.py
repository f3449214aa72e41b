"""What is done to each number by itself."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from torch import fx

from throughtime.capture.aten.rules import rule
from throughtime.program.program import Operand

if TYPE_CHECKING:
    from throughtime.capture.convert import Converter


@rule("add", "add_")
def _add(c: Converter, node: fx.Node, a: Any, b: Any, alpha: float = 1) -> Operand:
    return c.add("add", c.operand(a), c.scaled(c.operand(b), alpha))


@rule("sub", "sub_", "subtract")
def _sub(c: Converter, node: fx.Node, a: Any, b: Any, alpha: float = 1) -> Operand:
    return c.add("sub", c.operand(a), c.scaled(c.operand(b), alpha))


@rule("rsub")
def _rsub(c: Converter, node: fx.Node, a: Any, b: Any, alpha: float = 1) -> Operand:
    return c.add("sub", c.operand(b), c.scaled(c.operand(a), alpha))


@rule("div", "div_", "true_divide", "divide")
def _div(c: Converter, node: fx.Node, a: Any, b: Any) -> Operand:
    return c.add("div", _float(c, a), _float(c, b))


def _float(c: Converter, value: Any) -> Operand:
    whole = isinstance(value, fx.Node) and not value.meta["val"].dtype.is_floating_point
    return c.add("float", c.operand(value)) if whole else c.operand(value)


@rule("gt")
def _greater(c: Converter, node: fx.Node, a: Any, b: Any) -> Operand:
    return c.add("less", c.operand(b), c.operand(a))


@rule("ge")
def _greater_equal(c: Converter, node: fx.Node, a: Any, b: Any) -> Operand:
    return c.add("less_equal", c.operand(b), c.operand(a))


@rule("ne")
def _not_equal(c: Converter, node: fx.Node, a: Any, b: Any) -> Operand:
    return c.add("not", c.add("equal", c.operand(a), c.operand(b)))


@rule("pow")
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


@rule("square")
def _square(c: Converter, node: fx.Node, a: Any) -> Operand:
    return c.add("mul", c.operand(a), c.operand(a))


@rule("reciprocal")
def _reciprocal(c: Converter, node: fx.Node, a: Any) -> Operand:
    return c.add("div", 1.0, c.operand(a))


@rule("rsqrt")
def _rsqrt(c: Converter, node: fx.Node, a: Any) -> Operand:
    return c.add("div", 1.0, c.add("sqrt", c.operand(a)))


@rule("clamp", "clamp_min", "clamp_max", "clip", "hardtanh")
def _clamp(c: Converter, node: fx.Node, a: Any, min: Any = None, max: Any = None, **named: Any) -> Operand:
    name = c.name(node)
    low, high = (None, min) if name == "clamp_max" else (min, max)
    if name == "hardtanh":
        low, high = (named.get("min_val", -1.0) if low is None else low), (1.0 if high is None else high)
    x = c.operand(a)
    x = x if low is None else c.add("max", x, c.operand(low))
    return x if high is None else c.add("min", x, c.operand(high))


@rule("silu", "silu_")
def _silu(c: Converter, node: fx.Node, a: Any) -> Operand:
    return c.add("mul", c.operand(a), c.add("sigmoid", c.operand(a)))


@rule("softplus")
def _softplus(c: Converter, node: fx.Node, a: Any, beta: float = 1, threshold: float = 20) -> Operand:
    # Above the threshold torch returns x: what softplus is there, to fp32's last digit.
    scaled = c.add("softplus", c.scaled(c.operand(a), beta))
    return scaled if beta == 1 else c.add("div", scaled, float(beta))


@rule("log_sigmoid")
def _log_sigmoid(c: Converter, node: fx.Node, a: Any) -> Operand:
    return c.add("neg", c.add("softplus", c.add("neg", c.operand(a))))


@rule("log1p")
def _log1p(c: Converter, node: fx.Node, a: Any) -> Operand:
    return c.add("log", c.add("add", 1.0, c.operand(a)))


@rule("expm1")
def _expm1(c: Converter, node: fx.Node, a: Any) -> Operand:
    return c.add("sub", c.add("exp", c.operand(a)), 1.0)


@rule("gelu")
def _gelu(c: Converter, node: fx.Node, a: Any, approximate: str = "none") -> Operand:
    x = c.operand(a)
    if approximate == "none":
        inner = c.add("erf", c.add("mul", x, math.sqrt(0.5)))
    else:
        cube = c.add("mul", c.add("mul", x, x), x)
        inner = c.add("add", x, c.add("mul", cube, 0.044715))
        inner = c.add("tanh", c.add("mul", inner, math.sqrt(2 / math.pi)))
    return c.add("mul", c.add("mul", x, 0.5), c.add("add", inner, 1.0))


@rule("leaky_relu", "leaky_relu_")
def _leaky_relu(c: Converter, node: fx.Node, a: Any, slope: float = 0.01) -> Operand:
    x = c.operand(a)
    return c.add("where", c.add("less", 0.0, x), x, c.add("mul", x, float(slope)))


@rule("elu", "elu_")
def _elu(
    c: Converter, node: fx.Node, a: Any, alpha: float = 1, scale: float = 1, inner: float = 1
) -> Operand:
    x = c.operand(a)
    below = c.add("sub", c.add("exp", c.add("min", c.scaled(x, inner), 0.0)), 1.0)
    chosen = c.add("where", c.add("less", 0.0, x), x, c.scaled(below, alpha))
    return c.scaled(chosen, scale)


@rule("hardsigmoid")
def _hardsigmoid(c: Converter, node: fx.Node, a: Any) -> Operand:
    lifted = c.add("add", c.add("div", c.operand(a), 6.0), 0.5)
    return c.add("min", c.add("max", lifted, 0.0), 1.0)


@rule("lerp")
def _lerp(c: Converter, node: fx.Node, a: Any, b: Any, weight: Any) -> Operand:
    start = c.operand(a)
    step = c.add("mul", c.operand(weight), c.add("sub", c.operand(b), start))
    return c.add("add", start, step)


@rule("addcmul")
def _addcmul(c: Converter, node: fx.Node, a: Any, b: Any, d: Any, value: float = 1) -> Operand:
    return c.add("add", c.operand(a), c.scaled(c.add("mul", c.operand(b), c.operand(d)), value))


@rule("masked_fill")
def _masked_fill(c: Converter, node: fx.Node, a: Any, mask: Any, value: Any) -> Operand:
    return c.add("where", c.operand(mask), c.operand(value), c.operand(a))


@rule("to", "_to_copy")
def _to(c: Converter, node: fx.Node, a: Any, *_: Any, **__: Any) -> Operand:
    before, after = a.meta["val"].dtype, node.meta["val"].dtype
    if before.is_floating_point == after.is_floating_point:
        return c.operand(a)
    if not after.is_floating_point:
        raise c.refusal(node, "it makes whole numbers of others")
    return c.add("float", c.operand(a))


@rule("zeros_like", "ones_like", "full_like")
def _full_like(c: Converter, node: fx.Node, a: Any, value: Any = None, **_: Any) -> Operand:
    fixed = {"zeros_like": 0.0, "ones_like": 1.0}.get(c.name(node))
    return c.add("full_like", c.operand(a), value=float(value if fixed is None else fixed))


@rule("zeros", "ones", "full", "new_zeros", "new_ones", "new_full")
def _full(c: Converter, node: fx.Node, *args: Any, **_: Any) -> Operand:
    name = c.name(node).removeprefix("new_")
    value = {"zeros": 0.0, "ones": 1.0}.get(name)
    value = float(args[-1]) if value is None else value
    return c.add("expand", value, shape=list(c.shape(node)))
