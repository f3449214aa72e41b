"""Clips as streams: every frame once, states that belong to one clip, and an exact way back."""

from __future__ import annotations

import json

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from throughtime.tasks.tagger.clip_streams import Chunk, ClipStreams, whole_clips, windows_with_context

lengths_of_clips = st.lists(st.integers(1, 23), min_size=1, max_size=9)


def read(streams: ClipStreams) -> list[Chunk]:
    chunks = []
    while (chunk := streams.next()) is not None:
        chunks.append(chunk)
    return chunks


def test_rows_go_on_until_their_clip_ends_and_then_take_the_next() -> None:
    streams = ClipStreams(whole_clips([5, 2, 3]), batch=2, chunk=2)
    seen = [
        ([(piece.window.clip, piece.start, piece.stop) for piece in chunk.pieces], chunk.kept.tolist())
        for chunk in read(streams)
    ]
    assert seen == [
        ([(0, 0, 2), (1, 0, 2)], []),
        ([(0, 2, 4), (2, 0, 2)], [0]),
        ([(0, 4, 5), (2, 2, 3)], [0, 1]),
    ]


def test_windows_count_each_frame_once_and_read_their_context() -> None:
    windows = windows_with_context([7, 2], chunk=3, context=2)
    assert [(w.clip, w.start, w.stop, w.counted_from, w.counted_to) for w in windows] == [
        (0, 0, 5, 0, 3),
        (0, 1, 7, 3, 6),
        (0, 4, 7, 6, 7),
        (1, 0, 2, 0, 2),
    ]


@given(lengths_of_clips, st.integers(1, 4), st.integers(0, 6), st.randoms())
def test_every_frame_is_read_once_in_order_by_the_row_that_holds_its_state(
    lengths: list[int], batch: int, chunk: int, random: object
) -> None:
    order = list(range(len(lengths)))
    random.shuffle(order)  # type: ignore[attr-defined]
    streams = ClipStreams(whole_clips(lengths), batch, chunk)
    streams.start(np.array(order))
    read_so_far = dict.fromkeys(range(len(lengths)), 0)
    rows: list[int] = []
    for one in read(streams):
        assert 1 <= len(one.pieces) <= batch
        assert [rows[row] for row in one.kept] == [p.window.clip for p in one.pieces[: len(one.kept)]]
        assert all(piece.start == 0 for piece in one.pieces[len(one.kept) :])
        rows = [piece.window.clip for piece in one.pieces]
        for piece in one.pieces:
            assert piece.start == read_so_far[piece.window.clip] < piece.stop
            assert chunk == 0 or piece.stop - piece.start <= chunk
            read_so_far[piece.window.clip] = piece.stop
    assert read_so_far == dict(enumerate(lengths))
    assert streams.progress == 1


@given(lengths_of_clips, st.integers(1, 4), st.integers(0, 6), st.integers(0, 30))
def test_a_restored_position_goes_on_as_if_nothing_had_happened(
    lengths: list[int], batch: int, chunk: int, stop: int
) -> None:
    order = np.arange(len(lengths))[::-1].copy()
    whole = ClipStreams(whole_clips(lengths), batch, chunk)
    whole.start(order)
    for _ in range(stop):
        whole.next()
    state = json.loads(json.dumps(whole.state()))
    other = ClipStreams(whole_clips(lengths), batch, chunk)
    other.restore(state, order)
    assert other.progress == whole.progress
    for one, two in zip(read(whole), read(other), strict=True):
        assert one.pieces == two.pieces and one.kept.tolist() == two.kept.tolist()
