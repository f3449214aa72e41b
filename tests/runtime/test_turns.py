"""Calls on an engine take turns: nobody else's Python waits with them, and Ctrl-C ends them."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import numpy as np
import pytest

from throughtime.runtime import Draws, Engine, Stream
from throughtime.runtime.sampling import Sampler, SamplingOptions

V, H = 11, 16
# Far more than the tests wait for; the call would take many seconds.
STEPS = 5_000_000

pytestmark = pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="there are no such signals here")


def engine() -> Engine:
    random = np.random.default_rng(2)
    shapes = {
        "output.weight": (V, H),
        "output.bias": (V,),
        "recurrent.cells.0.weight_ih": (3 * H, V),
        "recurrent.cells.0.weight_hh": (3 * H, H),
    }
    tensors = {name: random.normal(0, 0.5, shape).astype(np.float32) for name, shape in shapes.items()}
    return Engine.from_tensors({"cell": "gru", "layers": 1}, tensors, threads=1)


def sampler(rows: int = 1, penalty: float = 1.0) -> Sampler:
    return Sampler(SamplingOptions(repetition_penalty=penalty), V, seed=7, rows=rows)


class InterruptionError(Exception):
    """What the handler of a test raises."""


@contextmanager
def interrupted_after(seconds: float, handler: Callable[[int, FrameType | None], Any]) -> Iterator[None]:
    before = signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, seconds, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def interrupt(number: int, frame: FrameType | None) -> None:
    raise InterruptionError


@contextmanager
def generating(model: Engine) -> Iterator[threading.Thread]:
    """A thread whose call has its turn for a second and a half at least."""
    slots, drawing, count = model.open(), sampler(), 40_000
    seconds = []
    for _ in range(5):
        begun = time.perf_counter()
        model.generate(slots, drawing, count)
        seconds.append(time.perf_counter() - begun)
    steps = int(count / min(seconds) * 1.5)
    thread = threading.Thread(target=model.generate, args=(slots, drawing, steps))
    thread.start()
    time.sleep(0.3)
    try:
        yield thread
    finally:
        thread.join()


def test_calls_that_wait_for_their_turn_leave_python_to_others() -> None:
    model = engine()
    slots = model.open(14)
    state, logits = np.zeros((1, model.state_size)), np.zeros((1, V))
    calls: list[Callable[[], Any]] = [
        lambda: model.open(2),
        lambda: model.close(slots[:1]),
        lambda: model.fork(slots[1:2]),
        lambda: model.states(slots[2:3]),
        lambda: model.set_states(slots[3:4], state),
        lambda: model.logits(slots[4:5]),
        lambda: model.set_logits(slots[5:6], logits),
        lambda: model.step(slots[6:7], [1]),
        lambda: model.advance(slots[7:8], [1]),
        lambda: model.read_ragged(slots[8:10], [1, 2, 3], [1, 2]),
        lambda: model.copy(slots[10:11], slots[11:12]),
        lambda: model.set_draws(slots[12:], model.draws(slots[12:])),
        lambda: model.set_seen(slots[12:], model.seen(slots[12:])),
        lambda: model.set_generators(slots[12:], model.generators(slots[12:])),
        lambda: model.set_positions(slots[12:], model.positions(slots[12:])),
        lambda: model.recompute_logits(slots[12:]),
    ]
    with generating(model) as busy:
        waiting = [threading.Thread(target=call) for call in calls]
        # A thread that held the lock while it waited would let no other begin.
        longest, last = 0.0, time.perf_counter()
        for thread in waiting:
            thread.start()
        alive = True
        while alive:
            alive = busy.is_alive()
            now = time.perf_counter()
            longest, last = max(longest, now - last), now
            time.sleep(0.01)
        for thread in waiting:
            thread.join()
    assert longest < 0.5


def test_ctrl_c_ends_generate_within_a_tenth_of_a_second() -> None:
    model, delays = engine(), []
    slots = model.open()
    for _ in range(3):  # a busy machine may be late once
        pressed: list[float] = []

        def press(pressed: list[float] = pressed) -> None:
            pressed.append(time.perf_counter())
            os.kill(os.getpid(), signal.SIGINT)

        timer = threading.Timer(0.2, press)
        timer.start()
        with pytest.raises(KeyboardInterrupt):
            model.generate(slots, sampler(), STEPS)
        delays.append(time.perf_counter() - pressed[0])
        timer.join()
    assert min(delays) < 0.1


def test_an_interrupted_call_has_changed_nothing() -> None:
    model, other = engine(), engine()
    slots, same = model.open(2), other.open(2)
    drawing, twin = (sampler(rows=2, penalty=1.3) for _ in range(2))
    for one, where, how in ((model, slots, drawing), (other, same, twin)):
        one.step(where, [1, 2])
        one.generate(where, how, 3)
    with interrupted_after(0.2, interrupt), pytest.raises(InterruptionError):
        model.generate(slots, drawing, STEPS)
    with interrupted_after(0.2, interrupt), pytest.raises(InterruptionError):
        model.read(slots, np.zeros((2, STEPS), np.int64))
    assert drawing.state() == twin.state()
    np.testing.assert_array_equal(model.logits(slots), other.logits(same))
    np.testing.assert_array_equal(model.generate(slots, drawing, 20), other.generate(same, twin, 20))


def test_an_interrupted_call_of_strangers_has_changed_nothing() -> None:
    model, other = engine(), engine()
    slots, same = model.open(3), other.open(3)
    draws = [Draws.seeded(SamplingOptions(repetition_penalty=1.3), seed) for seed in range(3)]
    for one, where in ((model, slots), (other, same)):
        one.set_draws(where, draws)
        one.step(where, [1, 2, 3])
        one.advance(where, [3, 1, 0])
    with interrupted_after(0.2, interrupt), pytest.raises(InterruptionError):
        model.advance(slots, [STEPS, 7, STEPS // 2])
    text = np.zeros(STEPS, np.int64)
    with interrupted_after(0.2, interrupt), pytest.raises(InterruptionError):
        model.read_ragged(slots, text, [STEPS - 9, 9, 0])
    assert model.draws(slots) == other.draws(same)
    for name in ("states", "logits", "seen", "positions"):
        np.testing.assert_array_equal(getattr(model, name)(slots), getattr(other, name)(same))
    for found, expected in zip(
        model.advance(slots, [9, 20, 0]), other.advance(same, [9, 20, 0]), strict=True
    ):
        np.testing.assert_array_equal(found, expected)


def test_a_call_that_fails_has_changed_nothing() -> None:
    model, drawing = engine(), sampler(rows=2)
    slots = model.open(2)
    model.step(slots, [1, 2])
    model.set_logits(slots[1:], np.full((1, V), np.nan))
    before, states = drawing.state(), model.states(slots)
    with pytest.raises(ValueError, match="NaN"):
        model.generate(slots, drawing, 5)
    assert drawing.state() == before
    np.testing.assert_array_equal(model.states(slots), states)


def test_a_stream_goes_on_after_an_interruption() -> None:
    model = engine()
    stream, twin = (Stream(model, seed=3) for _ in range(2))
    stream.read([1, 2])
    twin.read([1, 2])
    with interrupted_after(0.2, interrupt), pytest.raises(InterruptionError):
        stream.generate(STEPS)
    assert stream.position == twin.position
    np.testing.assert_array_equal(stream.generate(10), twin.generate(10))


def test_a_call_that_waits_for_its_turn_is_interrupted_as_well() -> None:
    model = engine()
    with generating(model) as busy, interrupted_after(0.2, interrupt):
        begun = time.perf_counter()
        with pytest.raises(InterruptionError):
            model.open()
        assert busy.is_alive()
        assert time.perf_counter() - begun < 1


def test_a_handler_that_returns_ends_nothing_and_cannot_use_the_engine() -> None:
    model, said = engine(), []
    slots, twin = model.open(2)

    def handler(number: int, frame: FrameType | None) -> None:
        try:
            model.states(slots)
        except RuntimeError as error:
            said.append(str(error))

    with interrupted_after(0.05, handler):
        tokens = model.generate([slots], sampler(), 600_000)
    np.testing.assert_array_equal(model.generate([twin], sampler(), 600_000), tokens)
    assert set(said) == {"a signal's handler cannot use the engine while it interrupts a call of it"}
