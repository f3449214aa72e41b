"""Sampling options, and samplers that hold a generator for each row."""

from __future__ import annotations

import json

import numpy as np
import pytest

from throughtime.errors import CheckpointError, OptionError
from throughtime.generation import Sampler, SamplingOptions, reference_sample
from throughtime.runtime.sampling import penalise_repetition


def draw(sampler: Sampler, logits: np.ndarray, steps: int) -> np.ndarray:
    """(steps, N) tokens from logits that stay the same."""
    return np.stack([sampler.sample(logits) for _ in range(steps)])


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("temperature", -0.1),
        ("temperature", float("nan")),
        ("temperature", float("inf")),
        ("top_k", -1),
        ("top_k", 2.5),
        ("top_k", 2**63),
        ("top_k", 10**30),
        ("top_p", 0.0),
        ("top_p", 1.5),
        ("top_p", float("nan")),
        ("min_p", -0.1),
        ("min_p", 1.1),
        ("repetition_penalty", 0.0),
        ("repetition_penalty", float("inf")),
    ],
)
def test_an_option_out_of_range_is_named_with_its_value_and_range(option, value):
    with pytest.raises(OptionError, match=rf"{option} must be .*, not {value}"):
        SamplingOptions(**{option: value})


def test_options_cannot_be_changed_afterwards():
    with pytest.raises(AttributeError):
        SamplingOptions().temperature = 2.0  # pyright: ignore[reportAttributeAccessIssue]


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ({"vocabulary_size": 0}, "vocabulary_size"),
        ({"seed": -1}, "seed"),
        ({"seed": 1.5}, "seed"),
        ({"rows": -1}, "rows"),
    ],
)
def test_a_sampler_names_an_argument_out_of_range(arguments, name):
    with pytest.raises(OptionError, match=name):
        Sampler(SamplingOptions(), **{"vocabulary_size": 3, "seed": 0, "rows": 1, **arguments})


def test_frequencies_follow_the_probabilities():
    probabilities = np.array([0.05, 0.5, 0.15, 0.3])
    logits = np.tile(np.log(probabilities).astype(np.float32), (50, 1))
    tokens = draw(Sampler(SamplingOptions(), 4, seed=3, rows=50), logits, steps=400)
    frequencies = np.bincount(tokens.ravel(), minlength=4) / tokens.size
    # Five standard deviations of 20 000 draws.
    assert (np.abs(frequencies - probabilities) < 5 * np.sqrt(probabilities / tokens.size)).all()


def test_frequencies_after_truncation_are_the_renormalised_probabilities():
    logits = np.tile(np.log(np.array([0.05, 0.5, 0.15, 0.3])).astype(np.float32), (50, 1))
    tokens = draw(Sampler(SamplingOptions(top_k=2), 4, seed=3, rows=50), logits, steps=400)
    frequencies = np.bincount(tokens.ravel(), minlength=4) / tokens.size
    np.testing.assert_allclose(frequencies, [0, 0.625, 0, 0.375], atol=0.02)


def test_a_high_temperature_flattens_and_a_low_one_sharpens():
    logits = np.tile(np.array([0.0, 1.0], np.float32), (100, 1))
    share_of_the_best = {
        temperature: draw(Sampler(SamplingOptions(temperature), 2, seed=1, rows=100), logits, 50).mean()
        for temperature in (0.25, 1.0, 10.0)
    }
    expected = {temperature: 1 / (1 + np.exp(-1 / temperature)) for temperature in share_of_the_best}
    assert share_of_the_best == pytest.approx(expected, abs=0.03)


def test_the_same_seed_draws_the_same_tokens_and_another_seed_others():
    logits = np.zeros((4, 50), np.float32)
    first, again, other = (draw(Sampler(SamplingOptions(), 50, seed, 4), logits, 20) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_rows_draw_differently_from_each_other():
    tokens = draw(Sampler(SamplingOptions(), 1000, seed=1, rows=3), np.zeros((3, 1000), np.float32), 10)
    assert not (tokens[:, 0] == tokens[:, 1]).all()
    assert not (tokens[:, 1] == tokens[:, 2]).all()


def test_a_rows_draws_do_not_depend_on_how_many_rows_share_the_batch():
    logits = np.random.default_rng(0).normal(size=(8, 30)).astype(np.float32)
    many = draw(Sampler(SamplingOptions(top_p=0.9), 30, seed=5, rows=8), logits, 25)
    few = draw(Sampler(SamplingOptions(top_p=0.9), 30, seed=5, rows=2), logits[:2], 25)
    np.testing.assert_array_equal(many[:, :2], few)


def test_the_repetition_penalty_divides_positive_and_multiplies_negative_logits_of_seen_tokens():
    logits = np.array([[4.0, -4.0, 4.0, -4.0, -np.inf, 0.0]], np.float32)
    seen = np.array([[True, True, False, False, True, True]])
    expected = np.array([[2.0, -8.0, 4.0, -4.0, -np.inf, 0.0]], np.float32)
    np.testing.assert_array_equal(penalise_repetition(logits, seen, 2.0), expected)


def test_a_sampler_observes_what_it_draws():
    sampler = Sampler(SamplingOptions(temperature=0, repetition_penalty=2.0), 3, seed=0, rows=1)
    logits = np.array([[3.0, 2.9, 2.8]], np.float32)
    assert draw(sampler, logits, 4).ravel().tolist() == [0, 1, 2, 0]


def test_a_prompt_is_observed_row_by_row_and_minus_one_is_padding():
    sampler = Sampler(SamplingOptions(temperature=0, repetition_penalty=2.0), 3, seed=0, rows=2)
    sampler.observe(np.array([[0, 1], [1, -1]]))
    assert sampler.sample(np.tile(np.array([3.0, 2.9, 2.8], np.float32), (2, 1))).tolist() == [2, 0]


def test_the_callers_logits_stay_as_they_are():
    logits = np.array([[3.0, 2.0]], np.float32)
    draw(Sampler(SamplingOptions(repetition_penalty=2.0), 2, seed=0, rows=1), logits, 3)
    assert logits.tolist() == [[3.0, 2.0]]


@pytest.mark.parametrize(
    ("tokens", "message"),
    [
        ([0, 3], "row 1 holds token 3"),
        ([-2, 0], "row 0 holds token -2"),
        ([0], "shape"),
        ([0.5, 1.0], "whole numbers"),
    ],
)
def test_tokens_that_cannot_be_observed_are_named(tokens, message):
    with pytest.raises(ValueError, match=message):
        Sampler(SamplingOptions(), 3, seed=0, rows=2).observe(np.array(tokens))


def test_logits_of_another_shape_are_refused():
    with pytest.raises(ValueError, match=r"shape \(2, 4\), expected \(2, 3\)"):
        Sampler(SamplingOptions(), 3, seed=0, rows=2).sample(np.zeros((2, 4), np.float32))


def test_a_row_of_nan_is_named():
    logits = np.array([[0, 0], [0, np.nan]], np.float32)
    with pytest.raises(ValueError, match="row 1 holds NaN"):
        Sampler(SamplingOptions(), 2, seed=0, rows=2).sample(logits)
    with pytest.raises(ValueError, match="row 1 holds NaN"):
        reference_sample(logits, np.zeros(2))


def test_a_rows_numbers_are_those_of_numpys_generator():
    sampler = Sampler(SamplingOptions(), 5, seed=2, rows=3)
    numbers = np.concatenate([sampler.uniforms(count) for count in (1, 0, 30_000)])
    for row in range(3):
        seeds = np.random.SeedSequence(2, spawn_key=(row,))
        np.testing.assert_array_equal(
            numbers[:, row], np.random.Generator(np.random.PCG64(seeds)).random(30_001)
        )


def test_no_rows_draw_no_tokens():
    assert Sampler(SamplingOptions(), 3, seed=0, rows=0).sample(np.zeros((0, 3), np.float32)).shape == (0,)


def test_a_restored_sampler_goes_on_as_if_it_had_never_stopped():
    options = SamplingOptions(temperature=0.9, repetition_penalty=1.5)
    logits = np.random.default_rng(1).normal(size=(3, 20)).astype(np.float32)
    sampler = Sampler(options, 20, seed=11, rows=3)
    draw(sampler, logits, 5)
    saved = json.loads(json.dumps(sampler.state()))
    expected = draw(sampler, logits, 10)
    other = Sampler(options, 20, seed=99, rows=3)
    other.restore(saved)
    np.testing.assert_array_equal(draw(other, logits, 10), expected)


def damaged(**changes):
    state = Sampler(SamplingOptions(), 4, seed=0, rows=2).state()
    return {key: value for key, value in {**state, **changes}.items() if value is not None}


@pytest.mark.parametrize(
    ("state", "message"),
    [
        (damaged(rows=3), "rows is 3, expected 2"),
        (damaged(rows=2.0), "rows is 2.0, expected 2"),
        (damaged(vocabulary_size=5), "vocabulary_size is 5, expected 4"),
        (damaged(generators=None), "lacks generators"),
        (damaged(generators=[{"state": "xyz", "increment": "1"}] * 2), r"generators\[0\].state is 'xyz'"),
        (damaged(generators=[{"state": "0" * 32, "increment": "-" + "1" * 31}] * 2), "increment is '-1"),
        (damaged(generators=[]), "generators is '0 long', expected 2"),
        (damaged(seen=[[0]]), "seen is '1 long', expected 2"),
        (damaged(seen=[[0], [9]]), "seen is 9, expected a whole number from 0 to 3"),
        (damaged(seen=[[0], [-1]]), "seen is -1"),
        (damaged(seen=[[0], [2.7]]), "seen is 2.7"),
        (damaged(other=1), "holds other"),
    ],
)
def test_a_state_that_does_not_fit_is_refused_and_changes_nothing(state, message):
    sampler = Sampler(SamplingOptions(), 4, seed=3, rows=2)
    before = sampler.state()
    with pytest.raises(CheckpointError, match=message):
        sampler.restore(state)
    assert sampler.state() == before
