"""Folders of clips: what is listed, how it is split, how frames are read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from throughtime.data.tables import BadRows
from throughtime.errors import DataError
from throughtime.tasks.tagger.clips import (
    BLOCK,
    Clip,
    FrameReader,
    find_metadata,
    kind_of,
    list_clips,
    split_clips,
)


def listed(tmp_path: Path, text: str, name: str = "metadata.csv", skip: bool = False) -> list[Clip]:
    (tmp_path / name).write_text(text)
    return list_clips(tmp_path, BadRows(skip))


def test_the_metadata_names_clips_beside_it(tmp_path: Path) -> None:
    clips = listed(tmp_path, "file_name,labels,split,group\nclips/a.mp4,a.csv,train,ann\nb.npy,b.txt,dev,\n")
    assert [(clip.line, clip.path, clip.labels, clip.part, clip.group) for clip in clips] == [
        (2, tmp_path / "clips" / "a.mp4", tmp_path / "a.csv", "training", "ann"),
        (3, tmp_path / "b.npy", tmp_path / "b.txt", "validation", ""),
    ]
    assert find_metadata(tmp_path) == find_metadata(tmp_path / "metadata.csv") == tmp_path / "metadata.csv"


def test_metadata_may_be_json_lines_with_a_number_as_the_group(tmp_path: Path) -> None:
    (clip,) = listed(tmp_path, '{"file_name": "a.npy", "labels": "a.csv", "group": 7}\n', "metadata.jsonl")
    assert (clip.group, clip.part) == ("7", "")


def test_faults_of_the_metadata_are_named_with_their_line_or_skipped(tmp_path: Path) -> None:
    text = "file_name,labels,split\na.npy,a.csv,train\n,b.csv,train\nc.npy,,train\nd.npy,d.csv,later\n"
    with pytest.raises(DataError, match=r"metadata\.csv line 3: file_name is empty \(pass --skip-bad"):
        listed(tmp_path, text)
    bad = BadRows(skip=True)
    assert [clip.line for clip in list_clips(tmp_path, bad)] == [2]
    assert bad.count == 3
    assert "line 5: split 'later' is unknown: use train, validation or test" in bad.summary()
    with pytest.raises(DataError, match=r"holds no metadata\.csv or .*file_name,labels"):
        list_clips(tmp_path / "none", BadRows())
    with pytest.raises(DataError, match="no column 'labels'"):
        listed(tmp_path, "file_name,caption\na.png,a cat\n")


def clips_of(groups: list[str], parts: list[str] | None = None) -> list[Clip]:
    parts = parts or [""] * len(groups)
    table = Path("metadata.csv")
    return [
        Clip(table, line, Path(f"{line}.npy"), Path(f"{line}.csv"), part, group)
        for line, (group, part) in enumerate(zip(groups, parts, strict=True), start=2)
    ]


def test_a_split_column_decides_and_test_clips_are_not_touched() -> None:
    training, validation = split_clips(
        clips_of([""] * 4, ["training", "validation", "test", "training"]), 0.5, 1
    )
    assert [clip.line for clip in training] == [2, 5]
    assert [clip.line for clip in validation] == [3]


def test_groups_are_never_divided() -> None:
    clips = clips_of(["ann", "bob", "ann", "cid", "bob", "dan", "ann"])
    for seed in range(5):
        training, validation = split_clips(clips, 0.25, seed)
        assert len({clip.group for clip in validation}) == 1
        assert not {clip.group for clip in training} & {clip.group for clip in validation}
        assert len(training) + len(validation) == 7
    draws = {tuple(clip.line for clip in split_clips(clips, 0.25, seed)[1]) for seed in range(20)}
    assert len(draws) > 1


def test_there_is_a_validation_clip_where_it_is_wanted_and_possible() -> None:
    assert len(split_clips(clips_of([""] * 3), 0.1, 1)[1]) == 1
    assert len(split_clips(clips_of([""] * 3), 0.0, 1)[1]) == 0
    assert len(split_clips(clips_of([""]), 0.5, 1)[0]) == 1


def test_clips_are_told_apart_by_their_names() -> None:
    assert (kind_of("a.MP4"), kind_of("a.npz"), kind_of("a.csv")) == ("video", "array", "array")
    with pytest.raises(DataError, match=r"a\.png: clips are video .*\.mp4.* or arrays .*\.npy"):
        kind_of("a.png")


def test_arrays_come_in_blocks_with_times_where_the_rate_is_known(tmp_path: Path) -> None:
    array = np.arange(2 * (BLOCK + 3), dtype=np.float32).reshape(-1, 2)
    np.save(tmp_path / "a.npy", array)
    reader = FrameReader("array", frame_rate=50)
    assert [len(block) for block, _ in reader.blocks(tmp_path / "a.npy")] == [BLOCK, 3]
    frames, seconds = reader.read(tmp_path / "a.npy")
    np.testing.assert_array_equal(frames, array)
    assert seconds is not None
    np.testing.assert_allclose(seconds, np.arange(BLOCK + 3) / 50)
    reader.accept(frames, seconds)
    assert reader.rates == [pytest.approx(50)]
    assert FrameReader("array").read(tmp_path / "a.npy")[1] is None


def test_later_arrays_have_to_be_like_the_first(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros((4, 2)))
    np.save(tmp_path / "b.npy", np.zeros((4, 3)))
    reader = FrameReader("array")
    reader.accept(*reader.read(tmp_path / "a.npy"))
    with pytest.raises(DataError, match=r"b\.npy has 3 features a frame, expected 2"):
        reader.read(tmp_path / "b.npy")
    with pytest.raises(DataError, match=r"c\.mp4 is a video, where an array is expected"):
        reader.read(tmp_path / "c.mp4")


def test_clips_and_labels_outside_the_folder_are_refused_unless_allowed(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    text = "file_name,labels\na.npy,a.csv\n../b.npy,b.csv\nc.npy,/etc/passwd\n"
    bad = BadRows(skip=True)
    (tmp_path / "data" / "metadata.csv").write_text(text)
    assert [clip.line for clip in list_clips(tmp_path / "data", bad)] == [2]
    assert bad.count == 2 and "line 3: file '../b.npy' lies outside" in bad.summary()
    assert len(list_clips(tmp_path / "data", BadRows(), allow_outside=True)) == 3


def test_a_clip_that_would_fill_the_memory_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("av")
    from throughtime.data.video import write_video

    write_video(tmp_path / "a.mp4", (np.zeros((32, 32, 3), np.uint8) for _ in range(200)))
    reader = FrameReader("video", image_size=16)
    assert len(reader.read(tmp_path / "a.mp4")[0]) == 200
    monkeypatch.setenv("THROUGHTIME_MAX_EXAMPLE_BYTES", "100000")
    with pytest.raises(DataError, match=r"the frames of .*a\.mp4 take 147,456 bytes: the limit is 100,000"):
        reader.read(tmp_path / "a.mp4")
    assert sum(len(block) for block, _ in reader.blocks(tmp_path / "a.mp4")) == 200  # a stream has no end
