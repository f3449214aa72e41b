"""Cells that the runtime has no kernel of: a network with them is what it is in torch, without torch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import throughtime as tt
from tests.capture.cells import LearnedStart, MinimalGatedUnit
from tests.networks import make
from throughtime.capture import capture_cell
from throughtime.capture.network import capture_network
from throughtime.cells import Cell
from throughtime.errors import CheckpointError, OptionError, RunError
from throughtime.program.files import PROGRAM, read_program, write_program
from throughtime.runtime import Engine
from throughtime.runtime.layers import Recurrent
from throughtime.runtime.sampling import Sampler, SamplingOptions
from throughtime.runtime.weights import Weights

I, H, V = 5, 12, 7
CELLS: dict[str, tuple[str | type[Cell], dict[str, object]]] = {
    "minimal gated unit": (MinimalGatedUnit, {}),
    "learned start": (LearnedStart, {}),
    "slstm": ("slstm", {"heads": 3}),
    "mogrifier": ("mogrifier", {"rounds": 3}),
    "mingru": ("mingru", {}),
}


def weights_of(recurrent: tt.Recurrent, more: dict[str, np.ndarray] | None = None) -> Weights:
    programs = {f"r.cells.{number}": capture_cell(cell) for number, cell in enumerate(recurrent.cells)}  # type: ignore[arg-type]
    tensors = {f"r.{name}": tensor.detach().numpy() for name, tensor in recurrent.state_dict().items()}
    return Weights({**tensors, **(more or {})}, programs=programs)


@pytest.mark.parametrize("name", CELLS)
@pytest.mark.parametrize("zoneout", [0.0, 0.2])
def test_layers_and_directions_are_those_of_torch(name: str, zoneout: float) -> None:
    cell, options = CELLS[name]
    torch.manual_seed(0)
    recurrent = tt.Recurrent(cell, I, H, 2, bidirectional=True, zoneout=zoneout, **options).eval()
    native = Recurrent(weights_of(recurrent), "r.", name, layers=2, bidirectional=True, zoneout=zoneout)
    inputs, lengths = torch.randn(6, 3, I), [6, 0, 2]
    with torch.no_grad():
        outputs, state = recurrent(inputs, lengths=lengths)
    found, final = native(inputs.numpy(), lengths=lengths)
    np.testing.assert_allclose(found, outputs.numpy(), atol=2e-6)
    for part, expected in zip(final, state, strict=True):
        np.testing.assert_allclose(part, expected.numpy(), atol=2e-6)


@pytest.mark.parametrize("name", [name for name in CELLS if name != "learned start"])
@pytest.mark.parametrize("embedding", [0, 4, 40])
def test_a_language_model_steps_as_it_reads(name: str, embedding: int) -> None:
    """One token at a time is bit for bit what a text at once is, for any batch and threads."""
    cell, options = CELLS[name]
    torch.manual_seed(0)
    recurrent = tt.Recurrent(cell, embedding or V, H, 2, **options).eval()
    head = torch.nn.Linear(H, V)
    more = {"output.weight": head.weight.detach().numpy(), "output.bias": head.bias.detach().numpy()}
    table = torch.randn(V, embedding)
    if embedding:
        more["embedding.weight"] = table.numpy()
    renamed = weights_of(recurrent)
    programs = {key.replace("r.", "recurrent.", 1): value for key, value in renamed.programs.items()}
    tensors = {key.replace("r.", "recurrent.", 1): renamed[key] for key in renamed}
    tokens = np.random.default_rng(0).integers(0, V, (3, 9))
    read = (
        table[torch.from_numpy(tokens)]
        if embedding
        else torch.nn.functional.one_hot(torch.from_numpy(tokens), V).float()
    )
    with torch.no_grad():
        expected = head(recurrent(read.transpose(0, 1))[0]).transpose(0, 1).numpy()
    for precision in ("fp32", "int8"):
        weights = Weights({**tensors, **more}, programs=programs)
        settings = {"cell": name, "layers": 2, "embedding": embedding}
        engine = Engine.from_tensors(settings, weights, precision, threads=2)
        slots = engine.open(3)
        whole = engine.read(slots, tokens, all_logits=True)
        if precision == "fp32":
            np.testing.assert_allclose(whole, expected, atol=3e-6)
        one = engine.open(1)
        for t, token in enumerate(tokens[0]):
            assert np.array_equal(engine.step(one, [token])[0], whole[0, t]), (precision, t)
        assert np.array_equal(engine.states(one), engine.states(slots[:1]))
        drawn = engine.generate(slots, Sampler(SamplingOptions(), V, seed=1, rows=3), 5)
        assert drawn.shape == (3, 5)


def test_programs_are_read_back_and_damage_is_named(tmp_path: Path) -> None:
    program = capture_network(make("a cell of our own"))
    path = tmp_path / PROGRAM
    assert read_program(path) is None
    write_program(path, program)
    assert read_program(path) == program
    for damage in (
        "",
        "[",
        "[]",
        '{"version": 2, "network": {}}',
        '{"version": 1, "network": {"a": 1}}',
        '{"version": 1, "cells": {}}',
        "[" * 10**5,
    ):
        path.write_text(damage)
        with pytest.raises(RunError, match=PROGRAM):
            read_program(path)


def test_a_program_that_does_not_fit_the_weights_is_refused() -> None:
    recurrent = tt.Recurrent(MinimalGatedUnit, I, H)
    weights = weights_of(recurrent)
    with pytest.raises(OptionError, match="no program"):
        Recurrent(Weights(dict(weights)), "r.", "own", layers=1)
    tensors = dict(weights)
    tensors["r.cells.0.forget.bias"] = np.zeros(3, np.float32)
    with pytest.raises(CheckpointError, match="forget.bias"):
        Recurrent(Weights(tensors, programs=weights.programs), "r.", "own", layers=1)
    with pytest.raises(CheckpointError, match="more"):
        extra = {**weights, "r.cells.0.more": np.zeros(3, np.float32)}
        Recurrent(Weights(extra, programs=weights.programs), "r.", "own", layers=1)
