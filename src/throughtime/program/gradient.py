"""Backpropagation through time, derived: from a cell's step to the two steps that train it.

```
step --take_apart--> fixed, ahead, step --derive--> forward:  streams, state -> output, new state, kept values
                                                    backward: streams, state, new state, output, kept values,
                                                              gradients of output and new state
                                                              -> gradients of streams and state,
                                                                 and of what the weights are multiplied with
```

The backward step holds no weight's gradient: of a product it gives the gradient of the result for each step,
and the weight's is one large product over all steps, made afterwards. A weight that is added or multiplied
element by element has its gradient summed over the steps in a row that the backward scan carries as a state.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from throughtime.program import derivatives
from throughtime.program.building import Builder, function_of
from throughtime.program.operations import Shape, Type
from throughtime.program.parts import Parts, take_apart
from throughtime.program.program import WEIGHT, Function, Node, Operand, state_names

NEW, OF, KEPT, SUM = "new.", "gradient.", "kept.", "sum."
OUTPUT = "output"
# What costs less to compute again than to write and to read back.
_AGAIN = frozenset(
    (
        "neg",
        "abs",
        "relu",
        "add",
        "sub",
        "mul",
        "div",
        "max",
        "min",
        "less",
        "less_equal",
        "equal",
        "and",
        "or",
    )
) | frozenset(("not", "where", "reshape", "expand", "permute", "slice", "concat", "full_like"))


@dataclass(frozen=True)
class WeightProduct:
    """A weight's gradient that is a product over all steps: gradients^T times rows.

    Args:
        weight: the name among `Training.parts.fixed_names`.
        rows: what was multiplied: an input of `backward`.
        gradients: the number of the output of `backward` that the result's gradient is.
    """

    weight: str
    rows: str
    gradients: int


@dataclass(frozen=True)
class WeightSum:
    """A weight's gradient that is a sum over batch and steps.

    Args:
        weight: as for `WeightProduct`.
        output: the number of the output of `backward`; where `carried`, its last value holds all steps.
    """

    weight: str
    output: int
    carried: bool


@dataclass(frozen=True)
class Training:
    """What trains a cell.

    Args:
        parts: what is computed before the scan.
        forward: streams, state.k -> output, new states, kept values (named as `kept` says).
        kept: the names that `backward` reads them by.
        backward: as the module's head says; sums that are carried ("sum.k") are inputs and outputs.
        gradients: what the outputs of `backward` are: "gradient.NAME" for streams and state, "sum.k", or ""
            for rows that only weights' products read.
        products, sums: the weights' gradients.
    """

    parts: Parts
    forward: Function
    kept: tuple[str, ...]
    backward: Function
    gradients: tuple[str, ...]
    products: tuple[WeightProduct, ...]
    sums: tuple[WeightSum, ...]

    @property
    def streams(self) -> list[str]:
        """The inputs of a step that are there for all steps."""
        return [name for name in self.forward.inputs if not name.startswith("state.")]

    @property
    def states(self) -> list[str]:
        """The names of the state's tensors."""
        return state_names(len(self.forward.inputs) - len(self.streams))


def derive(step: Function, without: frozenset[str] = frozenset()) -> Training:
    """The forward and the backward step of a cell's step.

    Args:
        step: of a cell; its inputs are "projected", the state, and what else a step reads.
        without: inputs that need no gradient.
    Raises:
        ValueError: a product has no form whose weight's gradient is one product.
    """
    parts = take_apart(step)
    return _Derivation(parts, without).training()


class _Derivation:
    def __init__(self, parts: Parts, without: frozenset[str]) -> None:
        self.parts, step = parts, parts.step
        self.built = Builder(step.inputs, step.weights)
        names: dict[Operand, Operand] = {}
        for node in step.nodes:
            operands = [names.get(operand, operand) for operand in node.operands]
            names[node.name] = self.built.add(node.operation, *operands, **node.attributes)
        self.outputs = [names.get(operand, operand) for operand in step.outputs]
        self.normals = {
            str(names[name]): tuple(names.get(operand, operand) for operand in pair)
            for name, pair in parts.normals.items()
            if name in names
        }
        self.states = state_names(len(self.outputs) - 1)
        self.streams = [name for name in step.inputs if name not in self.states]
        self.without = without
        self.forward_nodes = list(self.built.nodes.values())
        # For each value the gradients that are to be added up, and those of slices of it by axis.
        self.gradients: dict[Operand, list[Operand]] = {}
        self.slices: dict[Operand, dict[int, list[tuple[int, int, Operand]]]] = {}
        self.products: list[tuple[str, Operand, Operand]] = []
        self.sums: dict[str, list[Operand]] = {}

    def training(self) -> Training:
        self._differentiate()
        return self._divided()

    # ---- reverse mode

    def _differentiate(self) -> None:
        built = self.built
        for name, operand in zip((OUTPUT, *(f"{NEW}{s}" for s in self.states)), self.outputs, strict=True):
            given = built.add_input(f"{OF}{name}", built.shape(operand) or self._shape_of_new(name))
            if isinstance(operand, str):
                self._give(operand, given)
        waits = self._want_gradients()
        for node in reversed(self.forward_nodes):
            if node.name not in waits:
                continue
            total = self._total(node.name)
            if total is None:
                continue
            if node.name in self.normals:
                x, inverse = self.normals[node.name]
                self._give(x, derivatives.normal(built, node.name, inverse, total))
            elif node.operation == "slice":
                axis, start, stop = (node.attributes[name] for name in ("axis", "start", "stop"))
                self.slices.setdefault(node.operands[0], {}).setdefault(axis, []).append((start, stop, total))
            elif node.operation == "linear":
                self._linear(node, total)
            else:
                gradients = derivatives.RULES[node.operation](built, node, total)
                for operand, gradient in zip(node.operands, gradients, strict=True):
                    if gradient is not None:
                        self._give(operand, gradient)

    def _shape_of_new(self, name: str) -> Shape:
        return self.built.shape(name.removeprefix(NEW))

    def _want_gradients(self) -> set[Operand]:
        """The values that depend on what is to have a gradient: other gradients are not computed."""
        wanted: set[Operand] = {name for name in self.built.inputs if not name.startswith(OF)}
        wanted -= self.without
        wanted |= {f"{WEIGHT}{name}" for name in self.built.weights}
        for node in self.forward_nodes:
            if any(operand in wanted for operand in node.operands):
                wanted.add(node.name)
        return wanted

    def _give(self, operand: Operand, gradient: Operand) -> None:
        """Count a gradient in."""
        if not isinstance(operand, str) or self.built.type_of(operand).dtype == "bool":
            return
        if operand.startswith(WEIGHT):
            self._give_weight(operand.removeprefix(WEIGHT), gradient)
            return
        if operand in self.without:
            return
        self.gradients.setdefault(operand, []).append(self._summed(gradient, self.built.shape(operand)))

    def _summed(self, gradient: Operand, shape: Shape) -> Operand:
        """A gradient of a result as that of an operand of this shape, which was repeated."""
        built = self.built
        found = built.shape(gradient)
        if found == shape:
            return gradient
        padded = (1,) * (len(found) - len(shape)) + shape
        if len(found) < len(shape) or any(a != b and a == 1 for a, b in zip(found, padded, strict=True)):
            return self._summed(built.add("expand", gradient, shape=list(shape)), shape)
        for axis, (side, wanted) in enumerate(zip(found, padded, strict=True)):
            if side != wanted:
                gradient = built.add("sum", gradient, axis=axis)
        return built.add("reshape", gradient, shape=list(shape))

    def _give_weight(self, weight: str, gradient: Operand) -> None:
        """The gradient of a weight used element by element: a row for each sequence, summed afterwards."""
        built = self.built
        shape, found = built.weights[weight].shape, built.shape(gradient)
        batch = found.index("B")
        padded = (1,) * (len(found) - len(shape)) + shape
        target = tuple("B" if axis == batch else side for axis, side in enumerate(padded))
        if padded[batch] != 1:
            raise ValueError("a weight has the batch's axis")
        gradient = self._summed(gradient, target)
        order = [batch, *(axis for axis in range(len(target)) if axis != batch)]
        gradient = built.add("permute", gradient, order=order)
        size = math.prod(side for side in shape if isinstance(side, int))
        self.sums.setdefault(weight, []).append(built.add("reshape", gradient, shape=["B", size]))

    def _linear(self, node: Node, gradient: Operand) -> None:
        built = self.built
        x, weight = node.operands
        assert isinstance(weight, str) and weight.startswith(WEIGHT)
        self._give(x, built.add("linear", gradient, built.add("permute", weight, order=[1, 0])))
        self.products.append((weight.removeprefix(WEIGHT), self._flat(x), self._flat(gradient)))

    def _flat(self, operand: Operand) -> Operand:
        shape = self.built.shape(operand)
        if shape[0] != "B":
            order = [shape.index("B"), *(axis for axis, side in enumerate(shape) if side != "B")]
            operand = self.built.add("permute", operand, order=order)
        size = math.prod(side for side in shape if isinstance(side, int))
        return self.built.add("reshape", operand, shape=["B", size])

    def _total(self, value: Operand) -> Operand | None:
        """The gradient of a value: the sum of all that were given."""
        parts = self.gradients.pop(value, [])
        for axis, slices in self.slices.pop(value, {}).items():
            parts += self._placed(self.built.shape(value), axis, slices)
        if not parts:
            return None
        total = parts[0]
        for part in parts[1:]:
            total = self.built.add("add", total, part)
        return total

    def _placed(self, shape: Shape, axis: int, slices: list[tuple[int, int, Operand]]) -> list[Operand]:
        """Gradients of slices as gradients of the whole: beside each other where they do not overlap."""
        built, whole = self.built, []
        side = shape[axis]
        assert isinstance(side, int)
        waiting = sorted(slices, key=lambda one: one[:2])
        while waiting:
            pieces, at, later = [], 0, []
            for start, stop, gradient in waiting:
                if start < at:
                    later.append((start, stop, gradient))
                    continue
                if start > at:
                    pieces.append(derivatives.zeros(built, (*shape[:axis], start - at, *shape[axis + 1 :])))
                if stop > start:
                    pieces.append(gradient)
                at = stop
            if at < side:
                pieces.append(derivatives.zeros(built, (*shape[:axis], side - at, *shape[axis + 1 :])))
            whole.append(built.add("concat", *pieces, axis=axis))
            waiting = later
        return whole

    # ---- what is kept, and the two functions

    def _divided(self) -> Training:
        built, step = self.built, self.parts.step
        outputs: list[Operand] = []
        names: list[str] = []

        def output(name: str, operand: Operand) -> int:
            if name == "" and operand in outputs:
                return outputs.index(operand)
            outputs.append(operand)
            names.append(name)
            return len(outputs) - 1

        for name in (*self.streams, *self.states):
            if name not in self.without:
                total = self._total(name)
                shape = built.shape(name)
                output(f"{OF}{name}", derivatives.zeros(built, shape) if total is None else total)
        rows = {}
        products = []
        for weight, x, gradient in self.products:
            rows[x] = None
            products.append((weight, x, output("", gradient)))
        sums = []
        for weight, gradients in self.sums.items():
            total = gradients[0]
            for gradient in gradients[1:]:
                total = built.add("add", total, gradient)
            if total in outputs:
                sums.append(WeightSum(weight, outputs.index(total), carried=False))
                continue
            carried = built.add_input(f"{SUM}{len(sums)}", built.shape(total))
            number = output(carried, built.add("add", carried, total))
            sums.append(WeightSum(weight, number, carried=True))

        late = self._late()
        free: dict[Operand, str] = {name: name for name in (*self.streams, *self.states)}
        for name, operand in zip((OUTPUT, *(f"{NEW}{s}" for s in self.states)), self.outputs, strict=True):
            if isinstance(operand, str):
                free.setdefault(operand, name)
        kept = self._kept(late, set(free), [*outputs, *rows], set(rows))
        named = {**free, **{value: f"{KEPT}{number}" for number, value in enumerate(kept)}}
        nodes, inputs = self._renamed(named, late)
        flat = [self._flat(value) for value in kept]
        early = [node for node in built.nodes.values() if node.name not in late]
        finals = [named.get(operand, operand) if isinstance(operand, str) else operand for operand in outputs]
        return Training(
            self.parts,
            function_of(early, step.inputs, step.weights, (*self.outputs, *flat)),
            tuple(named[value] for value in kept),
            function_of(nodes, inputs, built.weights, finals),
            tuple(names),
            tuple(WeightProduct(weight, named[x], number) for weight, x, number in products),
            tuple(sums),
        )

    def _late(self) -> set[Operand]:
        """The values that wait for a gradient."""
        late: set[Operand] = {name for name in self.built.inputs if name.startswith((OF, SUM))}
        for node in self.built.nodes.values():
            if any(operand in late for operand in node.operands):
                late.add(node.name)
        return late

    def _kept(
        self, late: set[Operand], free: set[Operand], wanted: list[Operand], rows: set[Operand]
    ) -> list[str]:
        """The forward's values that the backward reads and cannot cheaply compute again."""
        built = self.built
        need: set[str] = set()
        for node in built.nodes.values():
            if node.name in late:
                need |= {
                    o for o in node.operands if isinstance(o, str) and o in built.nodes and o not in late
                }
        need |= {o for o in wanted if isinstance(o, str) and o in built.nodes and o not in late}
        changed = True
        while changed:  # conditions are never kept: what they compare is
            conditions = {name for name in need if built.type_of(name).dtype == "bool"}
            more = {o for name in conditions for o in built.nodes[name].operands if o in built.nodes}
            need = (need - conditions) | {str(o) for o in more}
            changed = bool(conditions)
        certain = set(free) | {n for n in need if n in rows or built.nodes[n].operation not in _AGAIN}
        ordered = [name for name in built.nodes if name in need]
        kept: list[str] = [name for name in ordered if name in certain and name not in free]
        for name in ordered:
            if name not in certain and not self._again(name, certain):
                certain.add(name)
                kept.append(name)
        return kept

    def _again(self, operand: Operand, there: set[Operand]) -> bool:
        """Whether a value can cheaply be computed from what is there."""
        if not isinstance(operand, str) or operand in there or operand.startswith(WEIGHT):
            return True
        node = self.built.nodes.get(operand)
        return (
            node is not None
            and node.operation in _AGAIN
            and all(self._again(one, there) for one in node.operands)
        )

    def _renamed(
        self, named: Mapping[Operand, str], late: set[Operand]
    ) -> tuple[list[Node], dict[str, Type]]:
        """All nodes with what is there under its name; the inputs of the backward step."""
        built = self.built
        inputs: dict[str, Type] = {}
        whole: dict[Operand, str] = {}  # what is kept as flat rows and read with its axes
        nodes: list[Node] = []
        for operand, name in named.items():
            shape = built.shape(operand)
            size = math.prod(side for side in shape if isinstance(side, int))
            inputs[name] = Type("float32", ("B", size))
            if shape != ("B", size):
                axis = shape.index("B")
                sides = ["B", *(side for side in shape if side != "B")]
                order = [*range(1, axis + 1), 0, *range(axis + 1, len(shape))]
                nodes.append(Node(f"rows.{name}", "reshape", (name,), {"shape": sides}))
                nodes.append(Node(f"whole.{name}", "permute", (f"rows.{name}",), {"order": order}))
                whole[operand] = f"whole.{name}"
        inputs |= {name: built.inputs[name] for name in built.inputs if name in late}
        for node in built.nodes.values():
            if node.name not in named:
                operands = tuple(whole.get(o, named.get(o, o)) for o in node.operands)
                nodes.append(Node(node.name, node.operation, operands, node.attributes))
        return nodes, inputs
