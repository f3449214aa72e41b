"""Streams through time: contiguity, coverage and chunk lengths."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from throughtime.data import IGNORED_TARGET, ChunkLengths, ContiguousStreams, EvaluationStreams
from throughtime.errors import DataError, OptionError


@given(count=st.integers(2, 200), batch_size=st.integers(1, 12), chunk=st.integers(1, 17))
def test_streams_are_contiguous_and_targets_come_one_later(count: int, batch_size: int, chunk: int) -> None:
    if (count - 1) // batch_size < 1:
        with pytest.raises(DataError, match="too few"):
            ContiguousStreams(np.arange(count), batch_size)
        return
    streams = ContiguousStreams(np.arange(count, dtype=np.uint16), batch_size)
    chunks = [streams.chunk(start, chunk) for start in range(0, streams.length, chunk)]
    inputs = np.concatenate([inputs for inputs, _ in chunks])
    targets = np.concatenate([targets for _, targets in chunks])
    assert inputs.shape == (streams.length, batch_size)
    assert inputs.dtype == targets.dtype == np.int64
    np.testing.assert_array_equal(targets, inputs + 1)
    np.testing.assert_array_equal(inputs.T.ravel(), np.arange(streams.length * batch_size))
    assert count - 1 - streams.length * batch_size < batch_size


@given(count=st.integers(2, 200), streams=st.integers(1, 40), chunk=st.integers(1, 17))
def test_evaluation_predicts_every_token_once(count: int, streams: int, chunk: int) -> None:
    evaluation = EvaluationStreams(np.arange(count, dtype=np.uint16), streams)
    seen: list[int] = []
    for start in range(0, evaluation.length, chunk):
        inputs, targets = evaluation.chunk(start, chunk)
        real = targets != IGNORED_TARGET
        np.testing.assert_array_equal(targets[real], inputs[real] + 1)
        seen.extend(targets[real].tolist())
    assert sorted(seen) == list(range(1, count))
    assert evaluation.predictions == count - 1


def test_too_little_to_evaluate_is_an_error() -> None:
    with pytest.raises(DataError, match="nothing to predict"):
        EvaluationStreams(np.arange(1), 1)


def test_chunk_lengths_stay_within_what_remains() -> None:
    assert ChunkLengths(64).next(1000) == 64
    assert ChunkLengths(64).next(10) == 10
    assert ChunkLengths(0).next(12_345) == 12_345
    with pytest.raises(OptionError):
        ChunkLengths(-1)


def test_random_lengths_follow_their_law_and_continue_where_they_stopped() -> None:
    lengths = ChunkLengths(70, "random", seed=3)
    drawn = np.array([lengths.next(10_000) for _ in range(4000)])
    # 0.95 * 70 + 0.05 * 35, less half a step for rounding down
    assert drawn.mean() == pytest.approx(67.75, abs=0.6)
    assert 0.03 < (drawn < 52).mean() < 0.07
    state = json.loads(json.dumps(lengths.state()))
    expected = [lengths.next(10_000) for _ in range(20)]
    other = ChunkLengths(70, "random", seed=99)
    other.restore(state)
    assert [other.next(10_000) for _ in range(20)] == expected
