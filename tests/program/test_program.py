"""A program that was tampered with is refused in one line, or computes something harmless."""

from __future__ import annotations

import copy
import json
import random
from typing import Any

import pytest
import torch

from tests.capture.cells import every_cell
from throughtime.capture import capture_cell
from throughtime.errors import ThroughtimeError
from throughtime.program import cell_from_json, cell_to_json

NASTY: list[Any] = [
    10**400,
    *(
        None,
        True,
        -1,
        0,
        1,
        2**31,
        2**63,
        1e308,
        float("nan"),
        float("inf"),
        0.5,
        "",
        "B",
        "@weight_hh",
        "v0",
    ),
    *([], {}, [[]], ["B", 10**9], "linear", "x" * 10_000, {"axis": -1}, [1] * 100),
]


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [path] if path else []
    children = (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    )
    for key, child in children:
        found += places(child, (*path, key))
    return found


def mutated(document: Any, rng: random.Random) -> Any:
    document = copy.deepcopy(document)
    for _ in range(rng.choice([1, 1, 1, 2, 5])):
        path = rng.choice(places(document))
        parent = document
        for key in path[:-1]:
            parent = parent[key]
        action = rng.random()
        if action < 0.2:
            del parent[path[-1]]
        elif action < 0.4 and isinstance(parent, list):
            parent.insert(rng.randrange(len(parent) + 1), copy.deepcopy(rng.choice(parent)))
        elif action < 0.6 and isinstance(parent[path[-1]], int):
            parent[path[-1]] += rng.choice([-1, 1, 16, 1000, 10**6])
        else:
            parent[path[-1]] = copy.deepcopy(rng.choice(NASTY))
    return document


def run_natively(program: Any, weights: dict[str, Any]) -> None:
    import numpy as np

    from throughtime import _native
    from throughtime.program.reference import initial_state
    from throughtime.runtime.planning.plan import Plan

    state = [np.asarray(part, np.float32) for part in initial_state(program, weights, 2)]
    plan = Plan(program, weights).flat()
    native = _native.Layer.of_plan(plan.numbers, plan.arrays)
    native.scan(np.zeros((3, 2, program.input_size), np.float32), state, None, False, 1)


@pytest.mark.parametrize("seed", range(4))
def test_mutated_programs_are_refused_in_one_line_or_harmless(seed: int) -> None:
    rng = random.Random(seed)
    cells = every_cell()
    documents = {name: cell_to_json(capture_cell(cells[name])) for name in list(cells)[seed::4]}
    for _ in range(500):
        name = rng.choice(list(documents))
        document = mutated(documents[name], rng)
        if rng.random() < 0.3:
            try:
                document = json.loads(json.dumps(document))
            except ValueError:
                continue
        weights = {key: tensor.detach().numpy() for key, tensor in cells[name].state_dict().items()}
        try:
            program = cell_from_json(document)
        except ThroughtimeError as error:
            assert "\n" not in str(error) and len(str(error)) < 500
            continue
        try:
            run_natively(program, weights)
        except (ThroughtimeError, ValueError, KeyError) as error:
            assert "\n" not in str(error)


def test_torch_is_not_needed_for_programs() -> None:
    import subprocess
    import sys

    code = (
        "import sys; sys.modules['torch'] = None; import throughtime.program, throughtime.program.reference; "
        "import throughtime.runtime.planning.plan"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    assert torch is not None
