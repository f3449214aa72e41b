"""Labels of frames: ranges, seconds, one a frame; and every fault named with its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from throughtime.errors import DataError
from throughtime.tasks.tagger.frame_labels import read_frame_labels


def write(tmp_path: Path, text: str, name: str = "labels.csv") -> Path:
    path = tmp_path / name
    path.write_bytes(text.encode())
    return path


def test_ranges_of_frames_do_not_hold_their_end(tmp_path: Path) -> None:
    path = write(tmp_path, "start,end,label\n0,2,walk\n4,5,run\n")
    assert read_frame_labels(path, 6) == ["walk", "walk", "", "", "run", ""]


def test_the_order_of_rows_and_columns_does_not_matter(tmp_path: Path) -> None:
    path = write(tmp_path, "label,who,end,start\nrun,ann,4,2\n\nwalk,bob,2,0\n")
    assert read_frame_labels(path, 4) == ["walk", "walk", "run", "run"]


def test_ranges_in_seconds_take_the_frames_that_are_shown_in_them(tmp_path: Path) -> None:
    path = write(tmp_path, "start_seconds,end_seconds,label\n0,0.08,walk\n0.08,0.2,run\n")
    seconds = [0, 0.04, 0.08, 0.12, 0.16]
    assert read_frame_labels(path, 5, seconds) == ["walk", "walk", "run", "run", "run"]
    # thirds have no end: 0.0666 is meant to be frame 2 of 30 a second
    path = write(tmp_path, "start_seconds,end_seconds,label\n0.0667,0.1,run\n")
    assert read_frame_labels(path, 3, [0, 1 / 30, 2 / 30]) == ["", "", "run"]
    # frames need not be equally far apart
    path = write(tmp_path, "start_seconds,end_seconds,label\n1,2,run\n")
    assert read_frame_labels(path, 4, [0, 1, 1.9, 2.5]) == ["", "run", "run", ""]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_one_label_a_frame_with_any_line_end(tmp_path: Path, end: str) -> None:
    table = write(tmp_path, end.join(["\ufefflabel", "walk", "", '""', "run", ""]))
    assert read_frame_labels(table, 4) == ["walk", "", "", "run"]
    text = write(tmp_path, end.join(["walk", "", "걷기", ""]), "labels.txt")
    assert read_frame_labels(text, 3) == ["walk", "", "걷기"]
    wide = write(tmp_path, end.join(["frame\tlabel", "0\twalk", "1\t", ""]), "labels.tsv")
    assert read_frame_labels(wide, 2) == ["walk", ""]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("start,end,label\n0,2,a\n1,3,b\n", r"line 3: 1 to 3 overlaps line 2, 0 to 2"),
        ("start,end,label\n3,5,a\n0,4,b\n", r"line 2: 3 to 5 overlaps line 3, 0 to 4"),
        (
            "start,end,label\n0,2,a\n2,7,b\n",
            r"line 3: the range ends at 7, past the clip's end: it has 6 frames",
        ),
        ("start,end,label\n2,2,a\n", r"line 2: 2 to 2 is no range"),
        ("start,end,label\n-1,2,a\n", r"line 2: -1 to 2 is no range"),
        ("start,end,label\n0,2.5,a\n", r"line 2: '0' to '2.5': expected a whole number"),
        ("start,end,label\n0,2\n", r"line 2: 2 columns, expected 3"),
        ("start_seconds,end_seconds,label\n0,x,a\n", r"line 2: '0' to 'x': expected a number"),
        ("start_seconds,end_seconds,label\n0,nan,a\n", r"line 2: 0 to nan is no range"),
        ("start_seconds,end_seconds,label\n0,9,a\n", r"line 2: the range ends at 9, past .* 3.000 seconds"),
        ("label\na\nb\n", r"has 2 labels for a clip of 6 frames: some are missing"),
        ("label\n" + "a\n" * 7, r"7 labels for a clip of 6 frames: its label 7 is past the clip's end"),
        ("begin,end,what\n0,2,a\n", r"line 1: the header is begin,end,what: use start,end,label or"),
        ("", r"line 1: the header is missing"),
    ],
)
def test_faults_are_named_with_their_line(tmp_path: Path, text: str, message: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(DataError, match=r"labels\.csv.*" + message):
        read_frame_labels(path, 6, [0, 0.5, 1, 1.5, 2, 2.5])


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="none.csv: no such file"):
        read_frame_labels(tmp_path / "none.csv", 3)
    (tmp_path / "latin.txt").write_bytes(b"a\nPrepara\xe7\xe3o\n")
    with pytest.raises(DataError, match="latin.txt line 2: byte 0xe7 is not UTF-8"):
        read_frame_labels(tmp_path / "latin.txt", 2)
    with pytest.raises(DataError, match=r"\.csv, \.tsv or \.txt"):
        read_frame_labels(write(tmp_path, "", "labels.xml"), 2)
    with pytest.raises(DataError, match="line 1: labels in seconds .* --frame-rate"):
        read_frame_labels(write(tmp_path, "start_seconds,end_seconds,label\n"), 2)


def test_a_label_that_the_model_does_not_know_is_named_with_its_line(tmp_path: Path) -> None:
    for text, name, line in [
        ("start,end,label\n0,1,walk\n1,2,fly\n", "a.csv", 3),
        ("label\nwalk\nfly\n", "b.csv", 3),
        ("walk\nfly\n", "c.txt", 2),
    ]:
        with pytest.raises(
            DataError, match=rf"{name} line {line}: label 'fly' is unknown .*; its labels are walk, run"
        ):
            read_frame_labels(write(tmp_path, text, name), 2, known=["walk", "run"])
    assert read_frame_labels(write(tmp_path, "walk\n\n", "d.txt"), 2, known=["walk"]) == ["walk", ""]


MIDDLES = [0.0125 + 0.01 * frame for frame in range(10)]


def test_ranges_of_a_sound_are_in_seconds(tmp_path: Path) -> None:
    path = write(tmp_path, "start,end,label\n0,0.02,a\n0.0925,0.125,b\n")
    found = read_frame_labels(path, 10, MIDDLES, is_sound=True)
    # The middle of frame 0 is 0.0125, that of frame 8 0.0925, and the sound has 0.125 seconds.
    assert found == ["a", *[""] * 7, "b", "b"]


def test_predictions_of_a_sound_are_read_by_their_seconds(tmp_path: Path) -> None:
    text = "clip,start,end,start_seconds,end_seconds,label\na.wav,0,2,0.0,0.03,a\na.wav,2,9,0.03,0.1,b\n"
    found = read_frame_labels(write(tmp_path, text), 10, MIDDLES, is_sound=True)
    assert found == ["a", "a", *["b"] * 7, ""]


def test_label_tracks_of_audacity_are_in_seconds(tmp_path: Path) -> None:
    text = "0.000000\t0.020000\ta b\n\\\t100.0\t200.0\n0.05\t0.061\t\n"
    expected = ["a b", *[""] * 9]
    assert read_frame_labels(write(tmp_path, text, "a.txt"), 10, MIDDLES, is_sound=True) == expected
    assert read_frame_labels(write(tmp_path, "", "b.txt"), 10, MIDDLES, is_sound=True) == [""] * 10
    with pytest.raises(DataError, match=r"c\.txt line 1: the range ends at 0\.2, past the clip's end"):
        read_frame_labels(write(tmp_path, "0.1\t0.2\ta\n", "c.txt"), 10, MIDDLES, is_sound=True)
    with pytest.raises(DataError, match=r"d\.txt line 2: 0\.02 to 0\.02 is no range"):
        read_frame_labels(write(tmp_path, "0\t0.1\ta\n0.02\t0.02\tb\n", "d.txt"), 10, MIDDLES)
