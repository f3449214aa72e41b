"""ATen's operators as operations of programs: one small rule each.

A rule gets the converter, the graph's node and the operator's arguments; it adds nodes and returns an
operand, or a list of them for operators with several results.
"""

from throughtime.capture.aten import pointwise, products, reductions, shapes  # noqa: F401 - they fill RULES
from throughtime.capture.aten.rules import RULES, Rule

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

__all__ = ["DIRECT", "RULES", "SAME", "Rule"]
