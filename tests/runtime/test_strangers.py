"""Streams with options, texts and limits of their own share a batch, and none notices the others."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import throughtime as tt
from tests.capture.cells import LearnedStart
from tests.runtime.test_own_cells import weights_of
from throughtime.cells import Cell
from throughtime.errors import OptionError
from throughtime.runtime import Draws, Ended, Engine, Stream
from throughtime.runtime.sampling import Sampler, SamplingOptions
from throughtime.runtime.weights import Weights

V, H = 19, 12
PRECISIONS = ("fp32", "bf16", "int8")
CELLS: dict[str, tuple[str | type[Cell], dict[str, Any]]] = {
    "rnn": ("rnn", {}),
    "gru": ("gru", {"zoneout": 0.2}),
    "lstm": ("lstm", {}),
    "projected": ("lstm", {"projection": 5}),
    "normalised": ("lstm", {"layer_norm": True, "zoneout": 0.2}),
    "mogrifier": ("mogrifier", {"zoneout": 0.1}),
    "slstm": ("slstm", {}),
    "mingru": ("mingru", {}),
    "learned start": (LearnedStart, {}),
}


@cache
def engine(name: str, precision: str = "fp32", threads: int = 1) -> Engine:
    """A model of random weights; its output is no part of the state for "learned start"."""
    cell, options = CELLS[name]
    torch.manual_seed(4)
    recurrent = tt.Recurrent(cell, V, H, 2, **options).eval()
    head = torch.nn.Linear(recurrent(torch.zeros(1, 1, V))[0].shape[-1], V)
    found = weights_of(recurrent) if name in ("mogrifier", "slstm", "mingru", "learned start") else None
    tensors = {
        "output.weight": 6 * head.weight.detach().numpy(),
        "output.bias": head.bias.detach().numpy(),
        **{f"recurrent.{key}": tensor.detach().numpy() for key, tensor in recurrent.state_dict().items()},
    }
    programs = {} if found is None else {f"recurrent{key[1:]}": one for key, one in found.programs.items()}
    known = {key: options[key] for key in ("zoneout",) if key in options}
    settings = {"cell": cell if isinstance(cell, str) else "own", "layers": 2, "embedding": 0, **known}
    return Engine.from_tensors(settings, Weights(tensors, programs=programs), precision, threads)


options_of_a_stream = st.builds(
    SamplingOptions,
    temperature=st.sampled_from([0.0, 0.3, 1.0, 2.0]),
    top_k=st.sampled_from([0, 1, 4]),
    top_p=st.sampled_from([0.5, 0.95, 1.0]),
    min_p=st.sampled_from([0.0, 0.05]),
    repetition_penalty=st.sampled_from([1.0, 1.0, 0.8, 1.5]),
)
texts = st.lists(st.integers(0, V - 1), max_size=9)


class Alone:
    """A stream as the readable definition has it: one slot, one sampler, one token at a time."""

    def __init__(self, model: Engine, options: SamplingOptions, seed: int, stop: tuple[int, ...]) -> None:
        self.model, self.stop = model, stop
        self.slot = model.open()
        self.sampler = Sampler(options, V, seed, rows=1)

    def read(self, text: list[int]) -> None:
        for token in text:
            self.model.step(self.slot, [token])
            self.sampler.observe([token])

    def advance(self, limit: int) -> tuple[list[int], Ended]:
        drawn: list[int] = []
        while len(drawn) < limit:
            drawn.append(int(self.sampler.sample(self.model.logits(self.slot))[0]))
            self.read(drawn[-1:])
            if drawn[-1] in self.stop:
                return drawn, Ended.STOP
        return drawn, Ended.LIMIT


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("name", CELLS)
@settings(max_examples=6, deadline=None)
@given(st.data())
def test_a_stream_is_what_it_is_alone_whoever_comes_and_goes(
    name: str, precision: str, data: st.DataObject
) -> None:
    model = engine(name, precision, data.draw(st.sampled_from([1, 3])))
    lonely = model.share()
    count = data.draw(st.integers(1, 6))
    draws = [
        Draws.seeded(data.draw(options_of_a_stream), seed, data.draw(st.sampled_from([(), (3,), (0, 7, 11)])))
        for seed in range(count)
    ]
    streams = [Alone(lonely, one.options, seed, one.stop) for seed, one in enumerate(draws)]
    slots = model.open(count)
    model.set_draws(slots, draws)
    for _ in range(data.draw(st.integers(1, 4))):
        here = data.draw(st.permutations(range(count)))[: data.draw(st.integers(1, count))]
        if data.draw(st.booleans()):
            read = [data.draw(texts) for _ in here]
            flat = [token for text in read for token in text]
            logits = model.read_ragged(slots[here], flat, [len(text) for text in read])
            for stream, text in zip(here, read, strict=True):
                streams[stream].read(text)
            np.testing.assert_array_equal(logits, model.logits(slots[here]))
        else:
            limits = [data.draw(st.integers(0, 12)) for _ in here]
            tokens, counts, ended = model.advance(slots[here], limits)
            assert tokens.shape == (len(here), max(limits))
            for row, stream in enumerate(here):
                expected, why = streams[stream].advance(limits[row])
                assert tokens[row].tolist() == expected + [-1] * (max(limits) - len(expected))
                assert (counts[row], ended[row]) == (len(expected), why)
    for stream, slot in zip(streams, slots, strict=True):
        np.testing.assert_array_equal(model.states(slot), lonely.states(stream.slot))
        np.testing.assert_array_equal(model.logits(slot), lonely.logits(stream.slot))
        np.testing.assert_array_equal(model.generators(slot), stream.sampler.generators)
        assert model.positions(slot) == lonely.positions(stream.slot)
        if stream.sampler.options.repetition_penalty != 1:
            np.testing.assert_array_equal(model.seen(slot), stream.sampler.seen)
    model.close(slots)


def test_a_thousand_interleaved_streams_never_mix() -> None:
    model = engine("gru")
    random, count = np.random.default_rng(0), 1000
    slots = model.open(count)
    model.set_draws(slots, [Draws.seeded(seed=seed) for seed in range(count)])
    prompts = random.integers(0, V, (count, 3))
    written: list[list[int]] = [[] for _ in range(count)]
    read = np.zeros(count, np.int64)
    while read.min() < 3:
        here = random.permutation(count)[: random.integers(1, count)]
        lengths = np.minimum(random.integers(0, 4, len(here)), 3 - read[here])
        pieces = [prompts[k, read[k] : read[k] + n] for k, n in zip(here, lengths, strict=True)]
        assert model.read_ragged(slots[here], np.concatenate(pieces), lengths, logits=False) is None
        read[here] += lengths
    for _ in range(12):
        here = random.permutation(count)[: random.integers(1, count)]
        tokens, counts, _ = model.advance(slots[here], random.integers(0, 7, len(here)))
        for k, row, length in zip(here, tokens, counts, strict=True):
            written[k] += row[:length].tolist()
    np.testing.assert_array_equal(model.positions(slots), [3 + len(text) for text in written])
    alone = engine("gru", threads=3).share()
    for seed in range(count):
        slot = alone.open()
        alone.read(slot, prompts[seed : seed + 1])
        sampler = Sampler(SamplingOptions(), V, seed, rows=1)
        assert alone.generate(slot, sampler, len(written[seed]))[0].tolist() == written[seed]
        alone.close(slot)
    model.close(slots)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("name", CELLS)
def test_texts_of_different_lengths_are_read_as_one_by_one(name: str, precision: str) -> None:
    random = np.random.default_rng(1)
    lengths = np.array([5, 0, 70, 1, 33, 5, 2])
    text = random.integers(0, V, lengths.sum())
    ends = np.cumsum(lengths)
    for threads in (1, 3):
        model = engine(name, precision, threads)
        for some in ([0, 1, 2, 3, 4, 5, 6], [2], [3, 6], [1, 3, 3 + 3], [4, 0, 5]):
            pieces = [text[ends[k] - lengths[k] : ends[k]] for k in some]
            slots, twins = model.open(len(some)), model.open(len(some))
            last = model.read_ragged(slots, np.concatenate(pieces), lengths[some])
            every = model.read_ragged(twins, np.concatenate(pieces), lengths[some], all_logits=True)
            single = model.open(len(some))
            alone = [
                model.read(slot, piece[None], all_logits=True)[0] if len(piece) else np.zeros((0, V))
                for slot, piece in zip(single, pieces, strict=True)
            ]
            np.testing.assert_array_equal(every, np.concatenate(alone))
            for mine in (slots, twins):
                np.testing.assert_array_equal(model.states(mine), model.states(single))
                np.testing.assert_array_equal(model.logits(mine), model.logits(single))
                np.testing.assert_array_equal(model.positions(mine), lengths[some])
            np.testing.assert_array_equal(last, model.logits(single))
            for mine in (slots, twins, single):
                model.close(mine)


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


def test_a_row_that_cannot_be_drawn_from_fails_alone() -> None:
    model = engine("lstm")
    slots = model.open(4)
    twins = model.open(4)
    for mine in (slots, twins):
        model.set_draws(
            mine, [Draws.seeded(SamplingOptions(repetition_penalty=1.2), seed) for seed in range(4)]
        )
        model.read(mine, [[1], [2], [3], [4]])
    for broken in ([1], [0, 1, 2, 3]):
        model.set_logits(slots[broken], np.full((len(broken), V), np.nan))
        before = [
            call(slots[broken]) for call in (model.states, model.generators, model.seen, model.positions)
        ]
        for limit in (1, 6):
            tokens, counts, ended = model.advance(slots, [limit] * 4)
            expected, _, _ = model.advance(twins, [0 if k in broken else limit for k in range(4)])
            for k in range(4):
                if k in broken:
                    assert (counts[k], ended[k]) == (0, Ended.FAILED) and (tokens[k] == -1).all()
                else:
                    assert tokens[k].tolist() == expected[k].tolist() and ended[k] == Ended.LIMIT
        after = [
            call(slots[broken]) for call in (model.states, model.generators, model.seen, model.positions)
        ]
        for one, other in zip(before, after, strict=True):
            np.testing.assert_array_equal(one, other)
        assert np.isnan(model.logits(slots[broken])).all()
    state = model.states(slots), model.generators(slots)
    with pytest.raises(ValueError, match="logits row 0 holds NaN"):
        model.advance(slots, [2] * 4, together=True)
    np.testing.assert_array_equal(model.states(slots), state[0])
    np.testing.assert_array_equal(model.generators(slots), state[1])


def test_a_row_that_breaks_in_the_middle_of_a_call_is_put_back() -> None:
    model = engine("lstm")
    slots = model.open(3)
    model.set_draws(slots, [Draws.seeded(SamplingOptions(repetition_penalty=1.2), seed) for seed in range(3)])
    model.read(slots, [[1], [2], [3]])
    states = model.states(slots)
    states[1, :H] = np.nan  # its logits are still those of before
    model.set_states(slots, states)
    generators, seen = model.generators(slots), model.seen(slots)
    tokens, counts, ended = model.advance(slots, [5, 5, 5])
    assert ended.tolist() == [Ended.LIMIT, Ended.FAILED, Ended.LIMIT]
    assert counts.tolist() == [5, 0, 5] and (tokens[1] == -1).all()
    np.testing.assert_array_equal(model.states(slots[1:2]), states[1:2])
    np.testing.assert_array_equal(model.generators(slots)[1], generators[1])
    np.testing.assert_array_equal(model.seen(slots)[1], seen[1])
    assert model.positions(slots).tolist() == [6, 1, 6]


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
    random, size = np.random.default_rng(0), 700
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
