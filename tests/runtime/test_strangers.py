"""Streams with options, texts and limits of their own share a batch, and none notices the others."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.runtime.cell_models import CELLS, PRECISIONS, H, V, engine
from throughtime.runtime import Draws, Ended, Engine
from throughtime.runtime.sampling import Sampler, SamplingOptions

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
    # All of them in one thread, and some in three, which wait for each other where cores are few.
    for threads, seeds in ((1, range(count)), (3, range(0, count, 40))):
        alone = engine("gru", threads=threads).share()
        for seed in seeds:
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
