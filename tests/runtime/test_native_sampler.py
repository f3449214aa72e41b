"""The native sampling function: the same tokens as the readable reference, and errors that name the row."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import throughtime
from throughtime import _native
from throughtime.generation import reference_sample

# Few distinct values, so that ties are the rule; -inf and neighbours that exp() can hardly tell apart.
tied_logits = st.sampled_from([-np.inf, -100.0, -1.0, -0.0, 0.0, 0.5, 1.0, float(np.float32(1.0000001)), 3.0])
any_logits = st.floats(width=32, allow_nan=False).filter(lambda logit: logit < np.inf)
uniform_values = st.floats(0, 1, exclude_max=True) | st.sampled_from([0.0, 0.5, 1 - 2**-53])
sampling_options = st.fixed_dictionaries(
    {
        "temperature": st.sampled_from([0.0, 1e-300, 0.1, 0.7, 1.0, 2.5, 1e9]),
        "top_k": st.sampled_from([0, 1, 2, 3, 7, 10_000]),
        "top_p": st.sampled_from([1.0, 0.95, 0.5, 0.25, 1e-9]) | st.floats(0, 1, exclude_min=True),
        "min_p": st.sampled_from([0.0, 0.05, 0.5, 1.0]) | st.floats(0, 1),
    }
)


@st.composite
def batches(draw, values, largest_vocabulary=12):
    rows = draw(st.integers(0, 4))
    vocabulary_size = draw(st.integers(1, largest_vocabulary))
    row = st.lists(values, min_size=vocabulary_size, max_size=vocabulary_size).filter(
        lambda logits: max(logits) > -np.inf
    )
    logits = draw(st.lists(row, min_size=rows, max_size=rows))
    uniforms = draw(st.lists(uniform_values, min_size=rows, max_size=rows))
    return (
        np.array(logits, dtype=np.float32).reshape(rows, vocabulary_size),
        np.array(uniforms, dtype=np.float64),
    )


@settings(max_examples=400, deadline=None)
@given(batches(tied_logits), sampling_options)
def test_native_equals_reference_where_logits_tie(batch, options):
    np.testing.assert_array_equal(_native.sample(*batch, **options), reference_sample(*batch, **options))


@settings(max_examples=300, deadline=None)
@given(batches(any_logits), sampling_options)
def test_native_equals_reference_for_any_finite_logits(batch, options):
    np.testing.assert_array_equal(_native.sample(*batch, **options), reference_sample(*batch, **options))


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
@pytest.mark.parametrize("top_k", [0, 1, 12, 50, 999, 1000])
@pytest.mark.parametrize("top_p", [1.0, 0.999, 0.9, 0.3])
@pytest.mark.parametrize("min_p", [0.0, 0.02])
def test_native_equals_reference_on_a_vocabulary_longer_than_one_sorted_block(
    temperature, top_k, top_p, min_p
):
    generator = np.random.default_rng(7)
    logits = generator.normal(size=(8, 1000)).astype(np.float32)
    # Rounded rows hold hundreds of ties at every cut.
    logits[4:] = np.round(logits[4:] * 2) / 2
    uniforms = generator.random(8)
    options = dict(temperature=temperature, top_k=top_k, top_p=top_p, min_p=min_p)
    np.testing.assert_array_equal(
        _native.sample(logits, uniforms, **options), reference_sample(logits, uniforms, **options)
    )


@settings(max_examples=100, deadline=None)
@given(batches(tied_logits), sampling_options)
def test_a_row_is_sampled_as_if_it_were_alone(batch, options):
    logits, uniforms = batch
    together = _native.sample(logits, uniforms, **options)
    for row in range(len(logits)):
        assert _native.sample(logits[row : row + 1], uniforms[row : row + 1], **options)[0] == together[row]


def test_a_vocabulary_of_one_always_gives_its_token():
    tokens = _native.sample(np.zeros((3, 1), np.float32), np.array([0.0, 0.5, 1 - 2**-53]), 1.0, 5, 0.5, 0.5)
    assert tokens.tolist() == [0, 0, 0]


def test_no_rows_give_no_tokens():
    tokens = _native.sample(np.zeros((0, 9), np.float32), np.zeros(0))
    assert tokens.shape == (0,)
    assert tokens.dtype == np.int64


def test_greedy_takes_the_lowest_token_of_a_tie_and_reads_no_uniform():
    logits = np.array([[1, 5, 5, 2], [-np.inf, -np.inf, -3, -3]], np.float32)
    assert _native.sample(logits, np.array([np.nan, 7.0]), temperature=0.0).tolist() == [1, 2]


def test_the_uniform_walks_the_tokens_in_index_order():
    logits = np.log(np.array([[0.2, 0.5, 0.3]], np.float32))
    drawn = [
        _native.sample(logits, np.array([uniform]))[0] for uniform in (0.0, 0.19, 0.21, 0.69, 0.71, 0.999)
    ]
    assert drawn == [0, 0, 1, 1, 2, 2]


def test_top_k_keeps_the_lower_tokens_of_a_tie():
    logits = np.zeros((1, 6), np.float32)
    drawn = {int(_native.sample(logits, np.array([u]), top_k=2)[0]) for u in np.linspace(0, 0.999, 50)}
    assert drawn == {0, 1}


def test_top_p_keeps_the_token_that_reaches_the_probability():
    logits = np.log(np.array([[0.1, 0.6, 0.3]], np.float32))
    drawn = {int(_native.sample(logits, np.array([u]), top_p=0.7)[0]) for u in np.linspace(0, 0.999, 50)}
    assert drawn == {1, 2}


def test_min_p_drops_what_is_improbable_beside_the_best():
    logits = np.log(np.array([[0.1, 0.6, 0.3]], np.float32))
    drawn = {int(_native.sample(logits, np.array([u]), min_p=0.4)[0]) for u in np.linspace(0, 0.999, 50)}
    assert drawn == {1, 2}


@pytest.mark.parametrize("uniform", [0.0, 0.5, 1 - 2**-53])
def test_a_token_of_minus_infinity_is_never_drawn(uniform):
    logits = np.array([[-np.inf, 0.0, -np.inf, 0.0, -np.inf]], np.float32)
    assert _native.sample(logits, np.array([uniform]))[0] in (1, 3)


@pytest.mark.parametrize("temperature", [0.0, 1.0])
@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ([0, np.nan, 0], "row 1 holds NaN at token 1"),
        ([0, 0, np.inf], r"row 1 holds \+inf at token 2"),
        ([-np.inf] * 3, "row 1 is -inf everywhere"),
    ],
)
def test_a_row_that_cannot_be_sampled_is_named(bad, message, temperature):
    logits = np.array([[0, 0, 0], bad], np.float32)
    with pytest.raises(ValueError, match=message):
        _native.sample(logits, np.zeros(2), temperature=temperature)


@pytest.mark.parametrize("uniform", [-0.1, 1.0, np.nan])
def test_a_uniform_outside_its_range_is_named(uniform):
    with pytest.raises(ValueError, match="uniforms row 0"):
        _native.sample(np.zeros((1, 3), np.float32), np.array([uniform]))


@pytest.mark.parametrize(
    "option",
    [{"temperature": -1.0}, {"temperature": np.inf}, {"top_k": -1}, {"top_p": 0.0}, {"top_p": 1.1}]
    + [{"min_p": -0.1}, {"min_p": 1.1}, {"temperature": np.nan}, {"top_p": np.nan}, {"min_p": np.nan}],
)
def test_an_option_out_of_range_is_named(option):
    with pytest.raises(ValueError, match=next(iter(option))):
        _native.sample(np.zeros((1, 3), np.float32), np.zeros(1), **option)


def test_rows_and_uniforms_must_agree():
    with pytest.raises(ValueError, match="2 rows but there are 3 uniforms"):
        _native.sample(np.zeros((2, 3), np.float32), np.zeros(3))


def test_rows_without_columns_are_refused():
    with pytest.raises(ValueError, match="no columns"):
        _native.sample(np.zeros((2, 0), np.float32), np.zeros(2))


@pytest.mark.parametrize(
    "logits", [np.zeros((2, 3)), np.zeros((3, 2), np.float32).T, np.zeros(3, np.float32)]
)
def test_logits_of_another_type_or_layout_are_refused_rather_than_copied(logits):
    with pytest.raises(TypeError):
        _native.sample(logits, np.zeros(2))


def test_a_read_only_array_is_accepted():
    logits = np.zeros((1, 3), np.float32)
    logits.flags.writeable = False
    assert _native.sample(logits, np.zeros(1)).tolist() == [0]


def test_other_python_threads_run_while_a_batch_is_sampled():
    logits = np.zeros((64, 20_000), np.float32)
    uniforms = np.full(64, 0.5)
    began = ended = 0.0

    def sample():
        nonlocal began, ended
        began = time.perf_counter()
        _native.sample(logits, uniforms, top_p=0.9)
        ended = time.perf_counter()

    thread = threading.Thread(target=sample)
    thread.start()
    ticks = []
    while thread.is_alive():
        ticks.append(time.perf_counter())
        time.sleep(0.001)
    # With the GIL held, nothing here could run in the middle half of the call.
    quarter = (ended - began) / 4
    assert any(began + quarter < tick < ended - quarter for tick in ticks)


def test_the_native_module_is_of_the_packages_version():
    assert _native.version() == throughtime.__version__
