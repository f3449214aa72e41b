"""What a plan is made of: places in memory, groups of products, phases."""

from __future__ import annotations

from dataclasses import dataclass, field

from throughtime.runtime.planning.rows import Lane, Product

# Rows of a packed group of matrices, and floats that the widest instruction reads.
LANES = 16
# Where an operand lies: as in native/program.h.
REGISTER, PROJECTED, SCRATCH, CONSTANT, INPUT, STATE = range(6)

LANE_OPERATIONS = (
    *("copy", "neg", "abs", "exp", "log", "sqrt", "sigmoid", "tanh", "relu", "softplus", "erf"),
    *("add", "sub", "mul", "div", "max", "min", "less", "less_equal", "equal", "and", "or", "not"),
    *("where", "multiply_add"),
)


@dataclass(frozen=True)
class Place:
    """Where a row lies.

    Args:
        base: `PROJECTED` and so on.
        offset: in floats.
        stride: from one block of 16 elements to the next; 16 where they lie beside each other.
    """

    base: int
    offset: int
    stride: int = LANES


@dataclass
class Group:
    """Products that read the same rows and share one pass over their blocks.

    Args:
        products: up to four of one width.
        place: of the first; block b of product g lies at b * stride + g * 16 behind it.
    """

    products: list[Product]
    place: Place


@dataclass
class LaneGroup:
    """What the threads share out by units in one phase."""

    size: int
    products: list[int] = field(default_factory=list)
    lanes: list[Lane] = field(default_factory=list)
    instructions: list[list[int]] = field(default_factory=list)
    registers: int = 0


@dataclass
class Phase:
    """What lies between two barriers."""

    sources: list[int] = field(default_factory=list)
    groups: dict[int, LaneGroup] = field(default_factory=dict)
    rows: list[list[int]] = field(default_factory=list)
