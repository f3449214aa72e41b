"""Folders of clips: what is listed, and how it is split."""

from __future__ import annotations

from pathlib import Path

import pytest

from throughtime.data.tables import BadRows
from throughtime.errors import DataError
from throughtime.tasks.tagger.clips import Clip, find_metadata, list_clips, split_clips
from throughtime.tasks.tagger.frame_labels import SegmentRows


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


def test_clips_and_labels_outside_the_folder_are_refused_unless_allowed(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    text = "file_name,labels\na.npy,a.csv\n../b.npy,b.csv\nc.npy,/etc/passwd\n"
    bad = BadRows(skip=True)
    (tmp_path / "data" / "metadata.csv").write_text(text)
    assert [clip.line for clip in list_clips(tmp_path / "data", bad)] == [2]
    assert bad.count == 2 and "line 3: file '../b.npy' lies outside" in bad.summary()
    assert len(list_clips(tmp_path / "data", BadRows(), allow_outside=True)) == 3


def test_ranges_stand_in_rows_of_the_table_itself(tmp_path: Path) -> None:
    text = "file_name,start,end,label,split\na.wav,0.5,1,yes,train\nb.wav,,,,test\na.wav,1.5,2,no,train\n"
    first, second = listed(tmp_path, text)
    assert isinstance(first.labels, SegmentRows) and isinstance(second.labels, SegmentRows)
    assert first.labels.rows == ((2, ["0.5", "1", "yes"]), (4, ["1.5", "2", "no"]))
    assert (first.part, second.part, second.labels.rows) == ("training", "test", ())


@pytest.mark.parametrize("label", ["event_label", "label"])
def test_onsets_and_offsets_are_seconds(tmp_path: Path, label: str) -> None:
    (clip,) = listed(tmp_path, f"file_name,onset,offset,{label}\na.wav,0.5,1,dog\n")
    assert isinstance(clip.labels, SegmentRows)
    assert clip.labels.header == ("start_seconds", "end_seconds", "label")
    assert clip.labels.rows == ((2, ["0.5", "1", "dog"]),)


def test_a_clip_is_of_one_split(tmp_path: Path) -> None:
    text = "file_name,start,end,label,split\na.wav,0,1,yes,train\na.wav,1,2,no,test\n"
    with pytest.raises(DataError, match=r"line 3: split 'test', and line 2 has 'train' for the same"):
        listed(tmp_path, text)
