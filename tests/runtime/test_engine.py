"""The engine gives the numbers of the torch model, on every instruction set and in every precision."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from throughtime import _native
from throughtime.errors import CheckpointError, OptionError
from throughtime.runtime import Engine
from throughtime.runtime.sampling import Sampler, SamplingOptions
from throughtime.runtime.stepper import EngineStepper

torch = pytest.importorskip("torch")

from throughtime.tasks.language_model.model import LanguageModel  # noqa: E402
from throughtime.tasks.language_model.options import LanguageNetwork  # noqa: E402

ISAS = _native.available_isas().split()
# The largest difference of a logit. int8 keeps two digits of a weight and of what it is multiplied with, bf16
# a little more; a layer norm divides by what may be small, and enlarges both.
TOLERANCE = {"fp32": 1e-5, "bf16": 0.06, "int8": 0.15}
NETWORKS: list[dict[str, Any]] = [
    {"cell": "rnn"},
    {"cell": "rnn", "activation": "relu", "layers": 1},
    {"cell": "gru"},
    {"cell": "gru", "reset_after": False, "layers": 3},
    {"cell": "lstm"},
    {"cell": "lstm", "embedding": 0},
    {"cell": "lstm", "embedding": 90},  # too large for a table of the tokens' shares
    {"cell": "lstm", "tie_weights": True, "embedding": 21},
    {"cell": "lstm", "peephole": True, "zoneout": 0.2},
    {"cell": "lstm", "projection": 9},
    {"cell": "lstm", "coupled": True, "peephole": True},
    {"cell": "lstm", "layer_norm": True},
    {"cell": "lstm", "layer_norm": True, "projection": 7, "peephole": True, "coupled": True, "embedding": 90},
    {"cell": "gru", "zoneout": 0.3, "learned_initial_state": True},
    {"cell": "lstm", "learned_initial_state": True, "hidden": 48, "layers": 1},
]
V = 37


def network(options: dict[str, Any]) -> LanguageNetwork:
    return LanguageNetwork.model_validate({"hidden": 21, "embedding": 11, **options})


def pair(options: dict[str, Any], **engine: Any) -> tuple[LanguageModel, Engine]:
    """The same model in torch and in the engine, with random weights everywhere."""
    torch.manual_seed(3)
    config = network(options)
    model = LanguageModel(config, options.get("vocabulary", V)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter) / max(1, parameter.shape[-1]) ** 0.5)
    return model, engine_of(model, config, **engine)


def engine_of(model: LanguageModel, config: LanguageNetwork, **engine: Any) -> Engine:
    names = ("cell", "layers", "embedding", "zoneout", "activation", "reset_after")
    tensors = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
    return Engine.from_tensors({name: getattr(config, name) for name in names}, tensors, **engine)


def tokens_of(rows: int, steps: int, seed: int = 0) -> NDArray[np.int64]:
    return np.random.default_rng(seed).integers(0, V, (rows, steps))


def torch_logits(model: LanguageModel, tokens: NDArray[np.int64]) -> NDArray[np.float32]:
    """(N, T, V)."""
    with torch.no_grad():
        return model(torch.from_numpy(tokens.T))[0].numpy().transpose(1, 0, 2)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("options", NETWORKS, ids=lambda options: "-".join(map(str, options.values())))
def test_logits_are_those_of_torch(options: dict[str, Any], isa: str) -> None:
    for precision, tolerance in TOLERANCE.items():
        model, engine = pair(options, precision=precision, isa=isa, threads=1)
        for rows in (1, 2, 7, 17):
            tokens = tokens_of(rows, 6)
            wanted = torch_logits(model, tokens)
            slots = engine.open(rows)
            stepped = np.stack([engine.step(slots, tokens[:, t]) for t in range(3)], 1)
            read = engine.read(slots, tokens[:, 3:], all_logits=True)
            found = np.concatenate([stepped, read], 1)
            assert np.abs(found - wanted).max() < tolerance * max(1, np.abs(wanted).max())
            assert np.abs(found - wanted).mean() < tolerance / 3
            engine.close(slots)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("precision", TOLERANCE)
@pytest.mark.parametrize("options", NETWORKS, ids=lambda options: "-".join(map(str, options.values())))
def test_a_slot_does_not_notice_who_shares_its_batch(
    options: dict[str, Any], precision: str, isa: str
) -> None:
    _, engine = pair(options, precision=precision, isa=isa, threads=1)
    tokens = tokens_of(19, 5)
    alone = []
    for row in tokens:
        slot = engine.open()
        alone.append([engine.step(slot, token)[0] for token in row])
    together = engine.open(19)
    batch = np.stack([engine.step(together, tokens[:, t]) for t in range(5)], 1)
    np.testing.assert_array_equal(batch, np.array(alone))
    at_once = engine.open(19)
    np.testing.assert_array_equal(engine.read(at_once, tokens, all_logits=True), batch)
    np.testing.assert_array_equal(engine.states(at_once), engine.states(together))
    # Any subset, in any order.
    some = engine.open(3)
    np.testing.assert_array_equal(engine.read(some, tokens[[4, 0, 11]]), batch[[4, 0, 11], -1])


@pytest.mark.parametrize("precision", TOLERANCE)
@pytest.mark.parametrize("options", NETWORKS, ids=lambda options: "-".join(map(str, options.values())))
def test_threads_change_nothing(options: dict[str, Any], precision: str) -> None:
    results = []
    for threads in (1, 2, 3):
        _, engine = pair(options, precision=precision, threads=threads)
        slots = engine.open(5)
        results.append((engine.read(slots, tokens_of(5, 40)), engine.step(slots, tokens_of(5, 1)[:, 0])))
    for result in results[1:]:
        for one, other in zip(result, results[0], strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("isa", ISAS[1:])
def test_instruction_sets_with_fused_arithmetic_agree_bit_for_bit(isa: str) -> None:
    for precision in ("fp32", "int8"):
        engines = [
            pair({"cell": "lstm", "peephole": True}, precision=precision, isa=one)[1]
            for one in (ISAS[1], isa)
        ]
        logits = [engine.read(engine.open(4), tokens_of(4, 9)) for engine in engines]
        np.testing.assert_array_equal(*logits)


@pytest.mark.parametrize("precision", TOLERANCE)
def test_generate_draws_what_the_sampler_draws_step_by_step(precision: str) -> None:
    _, engine = pair({"cell": "gru"}, precision=precision)
    for options in (
        SamplingOptions(),
        SamplingOptions(temperature=0),
        SamplingOptions(temperature=0.7, top_k=9, top_p=0.9, min_p=0.02),
        SamplingOptions(repetition_penalty=1.6),
    ):
        rows, steps = 3, 25
        first, second = engine.open(rows), engine.open(rows)
        logits = engine.step(first, [1, 2, 3])
        engine.step(second, [1, 2, 3])
        sampler, other = (Sampler(options, V, seed=5, rows=rows) for _ in range(2))
        stepped = []
        for _ in range(steps):
            stepped.append(sampler.sample(logits))
            logits = engine.step(first, stepped[-1])
        tokens = np.concatenate([engine.generate(second, other, count) for count in (1, 7, 17)], 1)
        np.testing.assert_array_equal(tokens, np.stack(stepped, 1))
        np.testing.assert_array_equal(engine.states(first), engine.states(second))
        np.testing.assert_array_equal(engine.logits(first), engine.logits(second))
        assert sampler.state() == other.state()


def test_states_can_be_taken_out_put_back_and_forked() -> None:
    _, engine = pair({"cell": "lstm", "projection": 5})
    slots = engine.open(2)
    engine.read(slots, tokens_of(2, 8))
    saved, logits = engine.states(slots), engine.logits(slots)
    assert saved.shape == (2, engine.state_size) == (2, 2 * (5 + 21))
    copies = engine.fork(slots)
    expected = engine.read(slots, tokens_of(2, 4, seed=1))
    np.testing.assert_array_equal(engine.read(copies, tokens_of(2, 4, seed=1)), expected)
    fresh = engine.open(2)
    engine.set_states(fresh, saved)
    engine.set_logits(fresh, logits)
    np.testing.assert_array_equal(engine.logits(fresh), logits)
    np.testing.assert_array_equal(engine.read(fresh, tokens_of(2, 4, seed=1)), expected)


def test_a_closed_slots_number_never_comes_again() -> None:
    _, engine = pair({"cell": "gru", "learned_initial_state": True})
    slot, sampler = engine.open(), Sampler(SamplingOptions(), V, seed=1, rows=1)
    first = engine.step(slot, 3)
    engine.close(slot)
    again = engine.open()
    assert again % 2**32 == slot  # the same memory under another number
    calls: list[Callable[[], Any]] = [
        lambda: engine.step(slot, 3),
        lambda: engine.read(slot, [[3, 4]]),
        lambda: engine.generate(slot, sampler, 3),
        lambda: engine.states(slot),
        lambda: engine.set_states(slot, np.zeros((1, engine.state_size))),
        lambda: engine.logits(slot),
        lambda: engine.set_logits(slot, np.zeros((1, V))),
        lambda: engine.fork(slot),
        lambda: engine.close(slot),
    ]
    for call in calls:
        with pytest.raises(ValueError, match="slot 0 is not open: it has been closed"):
            call()
    np.testing.assert_array_equal(engine.step(again, 3), first)


def test_calls_that_fail_open_and_close_nothing() -> None:
    _, engine = pair({"cell": "rnn"})
    slots = engine.open(2)
    engine.close(slots[:1])
    for wrong in ([1, 0], [1, 1, 7]):
        with pytest.raises(ValueError, match="not open"):
            engine.fork(wrong)
    for wrong, said in (([1, 0], "not open"), ([1, 1], "named twice")):
        with pytest.raises(ValueError, match=said):
            engine.close(wrong)
    engine.step(slots[1:], 2)
    assert list(engine.open(2) % 2**32) == [0, 2]


def test_thousands_of_slots() -> None:
    _, engine = pair({"cell": "rnn"})
    slots = engine.open(3000)
    tokens = tokens_of(3000, 2)
    logits = engine.read(slots, tokens)
    np.testing.assert_array_equal(engine.read(engine.open(), tokens[2999:])[0], logits[2999])
    engine.close(slots[::2])
    np.testing.assert_array_equal(engine.states(slots[1:2]).shape, (1, engine.state_size))


def test_mistakes_are_named() -> None:
    _, engine = pair({"cell": "lstm"})
    slots = engine.open(2)
    for call, said in (
        (lambda: engine.step([0, 0], [1, 1]), "named twice"),
        (lambda: engine.step([0, 9], [1, 1]), "slot 9 is not open"),
        (lambda: engine.step([-1], [1]), "slot -1 is not open"),
        (lambda: engine.step(slots, [1, V]), f"token {V} lies outside"),
        (lambda: engine.step(slots, [1]), "1 rows of tokens for 2 slots"),
        (lambda: engine.read(slots, np.zeros((2, 0))), "expected"),
        (lambda: engine.close(9), "slot 9"),
        (lambda: engine.open(-1), "count must be"),
        (lambda: engine.step(slots, [1.0, 2.7]), "tokens must be whole numbers, not float64"),
        (lambda: engine.step(slots, [True, False]), "tokens must be whole numbers, not bool"),
        (lambda: engine.step(slots, [1, 2**64]), "tokens must fit 64 bits"),
        (lambda: engine.step(slots, [[1], [2]]), "expected"),
        (lambda: engine.read(slots, np.ones((2, 3), np.float32)), "whole numbers, not float32"),
        (lambda: engine.step([0.0, 1.0], [1, 1]), "slots must be whole numbers"),
        (lambda: engine.states([[0, 1]]), "expected a list"),
        (lambda: engine.set_states(slots, np.zeros(3)), "shape"),
        (lambda: engine.set_states(slots, np.zeros((2, engine.state_size), complex)), "real numbers"),
        (lambda: engine.set_logits([0, 0], np.zeros((2, V))), "named twice"),
        (lambda: engine.set_states(slots, np.zeros((2, 3))), "shape"),
        (lambda: engine.generate(slots, Sampler(SamplingOptions(), V, 1, rows=1), 3), "2 slots"),
    ):
        with pytest.raises(ValueError, match=said):
            call()
    engine.close(slots[:1])
    with pytest.raises(ValueError, match="not open"):
        engine.close(slots[:1])
    engine.set_logits(slots[1:], np.full((1, V), np.nan))
    with pytest.raises(ValueError, match="NaN"):
        engine.generate(slots[1:], Sampler(SamplingOptions(), V, 1, rows=1), 3)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint32, np.uint64, np.int64])
def test_tokens_of_any_whole_type_are_the_same_tokens(dtype: Any) -> None:
    _, engine = pair({"cell": "rnn"})
    tokens = np.array([[3, 1, 4]])
    expected = engine.read(engine.open(), tokens)
    np.testing.assert_array_equal(engine.read(engine.open(), tokens.astype(dtype)), expected)
    np.testing.assert_array_equal(engine.read(engine.open(), tokens.tolist()), expected)


def test_no_steps_and_no_slots_are_fine() -> None:
    _, engine = pair({"cell": "lstm"})
    assert engine.generate(engine.open(2), Sampler(SamplingOptions(), V, 1, rows=2), 0).shape == (2, 0)
    assert engine.read(engine.open(0), np.zeros((0, 3))).shape == (0, V)


def test_weights_that_do_not_fit_are_refused() -> None:
    model, _ = pair({"cell": "lstm"})
    tensors = {name: tensor.numpy().copy() for name, tensor in model.state_dict().items()}
    options = {"cell": "lstm", "embedding": 11}
    for name, value, said in (
        ("output.bias", np.zeros(3, np.float32), "output.bias"),
        ("output.weight", np.zeros((V, 4), np.float32), "output.weight"),
        ("recurrent.cells.1.weight_ih", np.zeros((84, 20), np.float32), "layer 1 reads 20 numbers"),
        ("recurrent.cells.0.weight_hh", np.zeros((83, 21), np.float32), "83 rows"),
        ("recurrent.cells.0.bias_ih", np.zeros(5, np.float32), "bias_ih"),
        ("embedding.weight", np.full((V, 11), np.nan, np.float32), "NaN"),
        ("surplus", np.zeros(1, np.float32), "surplus"),
    ):
        with pytest.raises(CheckpointError, match=said):
            Engine.from_tensors(options, {**tensors, name: value})
    with pytest.raises(CheckpointError, match="lacks"):
        Engine.from_tensors({**options, "layers": 3}, tensors)
    with pytest.raises(OptionError, match="precision"):
        Engine.from_tensors(options, tensors, precision="fp8")
    with pytest.raises(OptionError, match="threads"):
        Engine.from_tensors(options, tensors, threads=-1)
    with pytest.raises(RuntimeError, match="mmx"):
        Engine.from_tensors(options, tensors, isa="mmx")


def test_the_fingerprint_is_of_the_model_and_not_of_its_precision() -> None:
    model, engine = pair({"cell": "gru"})
    config = network({"cell": "gru"})
    assert engine_of(model, config, precision="int8").fingerprint == engine.fingerprint
    with torch.no_grad():
        model.output.bias[3] += 1e-3
    assert engine_of(model, config).fingerprint != engine.fingerprint
    other = network({"cell": "gru", "reset_after": False})
    assert engine_of(model, other).fingerprint != engine_of(model, config).fingerprint


@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
def test_a_hundred_thousand_steps_do_not_drift(cell: str) -> None:
    """The bound that docs/runtime.md states."""
    model, engine = pair({"cell": cell, "hidden": 24, "layers": 2})
    tokens = tokens_of(1, 100_000)
    wanted = torch_logits(model, tokens[:, :])[:, -50:]
    slot = engine.open()
    engine.read(slot, tokens[:, :-50])
    found = engine.read(slot, tokens[:, -50:], all_logits=True)
    assert np.abs(found - wanted).max() < 1e-5 * max(1, np.abs(wanted).max())


def test_the_stepper_leaves_old_states_usable() -> None:
    model, engine = pair({"cell": "lstm"})
    stepper = EngineStepper(engine)
    tokens = tokens_of(4, 6)
    wanted = torch_logits(model, tokens)
    logits, state = stepper.feed(tokens[:, :3])
    np.testing.assert_allclose(logits, wanted[:, 2], atol=1e-5)
    stepper.feed(tokens[:2, :1], stepper.select(state, np.array([3, 3])))
    logits, _ = stepper.feed(tokens[:, 3:], state)
    np.testing.assert_allclose(logits, wanted[:, 5], atol=1e-5)


def test_tensors_that_are_no_floats_are_refused() -> None:
    model, engine = pair({"cell": "gru"})
    tensors = {name: tensor.detach().numpy() for name, tensor in model.state_dict().items()}
    for name in ("output.bias", "output.weight", "embedding.weight"):
        wrong = {**tensors, name: tensors[name].astype(np.uint8)}
        with pytest.raises(CheckpointError, match=f"{name} is of uint8"):
            Engine(engine.options, wrong)


def test_a_billion_layers_are_refused_at_the_first_that_is_missing() -> None:
    from dataclasses import replace

    model, engine = pair({"cell": "gru"})
    tensors = {name: tensor.detach().numpy() for name, tensor in model.state_dict().items()}
    with pytest.raises(CheckpointError, match=r"lacks recurrent\.cells\.2\.weight_ih"):
        Engine(replace(engine.options, layers=2**31 - 1), tensors)
