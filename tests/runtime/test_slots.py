"""What a slot holds: it is copied, shared, taken out and put back, and never another stream's."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.runtime.cell_models import CELLS, PRECISIONS, V, engine
from throughtime.errors import OptionError
from throughtime.runtime import Draws, Engine, Stream
from throughtime.runtime.sampling import SamplingOptions


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("name", CELLS)
def test_logits_come_back_from_the_state_where_they_can(name: str, precision: str) -> None:
    model = engine(name, precision)
    assert model.top_in_state == (name != "learned start")
    slots = model.open(5)
    model.read(slots, np.random.default_rng(2).integers(0, V, (5, 7)))
    model.advance(slots[:2], [3, 1])
    if not model.top_in_state:
        assert not model.logits_follow(slots).any()
        with pytest.raises(ValueError, match="do not follow from its state"):
            model.recompute_logits(slots)
        with Stream(model) as stream:
            stream.read([1, 2])
            assert (
                Stream.restore(model, stream.snapshot()).generate(9).tolist() == stream.generate(9).tolist()
            )
        return
    logits, states = model.logits(slots), model.states(slots)
    assert model.logits_follow(slots).all()
    fresh = model.open(5)
    assert not model.logits_follow(fresh).any()
    model.set_states(fresh, states)
    model.recompute_logits(fresh)
    np.testing.assert_array_equal(model.logits(fresh).view(np.uint32), logits.view(np.uint32))
    model.set_logits(slots[:1], np.zeros((1, V)))
    assert model.logits_follow(slots).tolist() == [False, True, True, True, True]


@pytest.mark.parametrize("with_logits", [True, False])
def test_a_copy_goes_back_to_before_a_stop_string(with_logits: bool) -> None:
    """Tokens cannot be taken back: copy, draw too far, put the copy back, and read up to the stop."""
    model = engine("projected", "int8")
    slots, copies, twins = (model.open(3) for _ in range(3))
    for mine in (slots, twins):
        model.set_draws(mine, [Draws.seeded(SamplingOptions(repetition_penalty=1.1), s) for s in range(3)])
        model.read(mine, [[1], [2], [3]])
    model.copy(slots, copies, logits=with_logits)
    drawn = model.advance(slots, [8] * 3)[0]
    generators = model.generators(copies)
    model.copy(copies, slots, logits=with_logits)
    np.testing.assert_array_equal(model.generators(slots), generators)
    model.read_ragged(slots, np.concatenate([drawn[0, :3], drawn[1, :8]]), [3, 8, 0], logits=False)
    model.recompute_logits(slots[2:])
    model.advance(twins, [3, 8, 0])
    for call in (model.states, model.logits, model.seen, model.positions):
        np.testing.assert_array_equal(call(slots), call(twins))
    model.copy([twins[0]] * 2, slots[:2])
    model.set_generators(slots[:2], model.generators(twins[[0, 0]]))
    assert len({tuple(row) for row in model.advance(slots[:2], [9, 9])[0].tolist()}) == 1


def test_draws_belong_to_the_slot() -> None:
    model = engine("rnn")
    slots = model.open(3)
    assert model.draws(slots) == [Draws()] * 3
    given = [
        Draws.seeded(SamplingOptions(0.7, 2**31 - 1, 0.9, 0.1, 1.3), 5, (1, 2)),
        Draws.seeded(seed=6),
        Draws.seeded(SamplingOptions(0, repetition_penalty=0.5), 2**100, tuple(range(V))),
    ]
    model.set_draws(slots, given)
    assert model.draws(slots) == given
    copies = model.fork(slots)
    tokens = model.advance(slots, [4, 4, 4])[0]
    assert model.draws(copies) == given != model.draws(slots)
    np.testing.assert_array_equal(model.advance(copies, [4, 4, 4])[0], tokens)
    assert model.draws(copies) == model.draws(slots)
    assert (tokens[2, 1:] == -1).all()  # every token ends it
    # Marks come and go with the penalty.
    assert model.seen(slots)[0].sum() == len(set(tokens[0].tolist())) and not model.seen(slots)[1].any()
    marks = np.eye(3, V)
    model.set_seen(slots, marks)
    np.testing.assert_array_equal(model.seen(slots), marks * [[1], [0], [1]])
    model.set_draws(slots[:1], [given[1]])
    assert not model.seen(slots[:1]).any()
    # Another stream in the same place begins as a new one does.
    model.close(slots)
    again = model.open(3)
    assert model.draws(again) == [Draws()] * 3 and not model.positions(again).any()
    assert not model.seen(again).any()


def test_a_slots_generator_is_that_of_numpy() -> None:
    model = engine("rnn")
    slot = model.open()
    model.set_draws(slot, [Draws.seeded(seed=9)])
    numpys = np.random.PCG64(np.random.SeedSequence(9, spawn_key=(0,)))
    model.advance(slot, [1234])
    numpys.advance(1234)
    state = numpys.state["state"]
    words = [int(word) for word in model.generators(slot)[0]]
    assert (words[0] << 64 | words[1], words[2] << 64 | words[3]) == (state["state"], state["inc"])


def test_ten_thousand_slots_at_once() -> None:
    model = engine("rnn").share()
    slots = model.open(10_000)
    words = np.random.default_rng(3).integers(0, 2**63, (10_000, 4)).astype(np.uint64)
    model.set_generators(slots, words)
    model.set_positions(slots, np.arange(10_000))
    states = np.random.default_rng(4).normal(size=(10_000, model.state_size)).astype(np.float32)
    model.set_states(slots, states)
    for found, expected in (
        (model.generators(slots), words),
        (model.positions(slots), np.arange(10_000)),
        (model.states(slots), states),
    ):
        np.testing.assert_array_equal(found, expected)


def resident() -> int:
    """Bytes of this process in memory."""
    status = Path("/proc/self/status")
    if not status.exists():
        pytest.skip("the system does not say how much memory a process has")
    lines = dict(line.split(":", 1) for line in status.read_text().splitlines() if ":" in line)
    return 1024 * int(lines["VmRSS"].split()[0])


def test_engines_share_weights_and_nothing_else() -> None:
    random, size = np.random.default_rng(0), 1500  # so large that nothing else counts
    shapes = {
        "output.weight": (V, size),
        "output.bias": (V,),
        "recurrent.cells.0.weight_ih": (3 * size, V),
        "recurrent.cells.0.weight_hh": (3 * size, size),
    }
    tensors = {name: random.normal(0, 0.05, shape).astype(np.float32) for name, shape in shapes.items()}
    model = Engine.from_tensors({"cell": "gru", "layers": 1}, tensors, threads=1)
    del tensors
    text = random.integers(0, V, (2, 5))
    expected = model.read(model.open(2), text)
    gc.collect()
    before = resident()
    others = [model.share() for _ in range(20)]
    for other in others:
        np.testing.assert_array_equal(other.read(other.open(2), text), expected)
        assert other.fingerprint == model.fingerprint
    assert resident() - before < model.weight_bytes  # twenty copies would be twenty times as much
    slots = model.open(3)
    with pytest.raises(ValueError, match="not open"):
        others[0].states(slots[2:])
    # The weights stay for those that are left.
    del model
    gc.collect()
    found: list[NDArray[np.float32] | None] = [None, None]

    def read(which: int) -> None:
        for _ in range(30):
            found[which] = others[which].read(others[which].open(2), text)

    threads = [threading.Thread(target=read, args=(which,)) for which in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for one in found:
        np.testing.assert_array_equal(one, expected)


def test_mistakes_are_named_and_change_nothing() -> None:
    model = engine("lstm")
    slots = model.open(2)
    model.read(slots, [[1], [2]])
    held = [call(slots) for call in (model.states, model.logits, model.generators, model.positions)]
    calls: list[tuple[Callable[[], Any], str]] = [
        (lambda: model.advance(slots, [1]), "1 limits for 2 slots"),
        (lambda: model.advance(slots, [1, -1]), "limits must be from 0"),
        (lambda: model.advance(slots, [1, 2**40]), "limits must be from 0"),
        (lambda: model.advance(slots, [1.5, 1]), "whole numbers"),
        (lambda: model.advance(slots[[0, 0]], [1, 1]), "named twice"),
        (lambda: model.advance([-1], [1]), "not open"),
        (lambda: model.read_ragged(slots, [1, 2, 3], [1, 1]), "do not add up to the 3"),
        (lambda: model.read_ragged(slots, [1, 2, 3], [4, -1]), "do not add up"),
        (lambda: model.read_ragged(slots, [1, 2, 3], [3]), "1 lengths for 2 slots"),
        (lambda: model.read_ragged(slots, [1, 2, V], [2, 1]), f"token {V} lies outside"),
        (lambda: model.copy(slots, slots), "a source and a target"),
        (lambda: model.copy(slots[:1], slots), "1 sources for 2 targets"),
        (lambda: model.set_draws(slots, [Draws()]), "1 rows of options for 2"),
        (lambda: model.set_draws(slots, [Draws(), Draws(stop=(V,))]), f"token {V} lies outside"),
        (lambda: Draws(stop=tuple(range(65))), "up to 64 stop tokens"),
        (lambda: Draws.seeded(seed=-1), "seed must be"),
        (lambda: model.set_positions(slots, [1]), "1 positions for 2"),
        (lambda: model.set_seen(slots, np.zeros((2, 3))), "seen has another shape"),
        (lambda: model.recompute_logits(slots[[1, 1]]), "named twice"),
    ]
    for call, said in calls:
        with pytest.raises((ValueError, OptionError), match=said):
            call()
    for call, before in zip(
        (model.states, model.logits, model.generators, model.positions), held, strict=True
    ):
        np.testing.assert_array_equal(call(slots), before)
    assert model.draws(slots) == [Draws()] * 2
    tokens, counts, ended = model.advance(model.open(0), [])
    assert tokens.shape == (0, 0) and counts.shape == ended.shape == (0,)
