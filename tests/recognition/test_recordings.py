"""Tables that name recordings: which of them are texts to write, and which are something else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from throughtime.errors import DataError, OptionError
from throughtime.recognition import recognise, settle

SPOKEN = [("a.wav", "three one four"), ("b.wav", "two"), ("c.wav", "nine nine")]


def folder_of(path: Path, header: str, *columns: str, rows: list[tuple[str, str]] = SPOKEN) -> Path:
    """A table of recordings and texts, with more columns behind."""
    lines = [",".join([*row, *(column for column in columns)]) for row in rows]
    (path / "metadata.csv").write_text("\n".join([header, *lines]) + "\n")
    return path


@pytest.mark.parametrize("name", ["text", "transcription", "transcript", "sentence"])
def test_a_text_for_each_sound_is_written_down(tmp_path: Path, name: str) -> None:
    found = recognise(folder_of(tmp_path, f"file_name,{name}"))
    assert found.task == "transcriber"
    assert found.why.endswith(f"names sounds: writing the text of each from `{name}`")
    assert found.options == {"input": "audio", "text_column": name}


def test_arrays_are_written_down_too_and_columns_can_be_named(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, "file_name,said", rows=[("a.npy", "one"), ("b.npy", "two")])
    with pytest.raises(DataError, match="no column"):
        recognise(folder)
    found = recognise(folder, {"task": "transcriber", "text_column": "said"})
    assert found.options == {"input": "sequences", "text_column": "said"}


REFUSED: dict[str, tuple[tuple[str, ...], dict[str, Any], str]] = {
    "a label beside the text": (
        ("file_name,text,label", "yes"),
        {},
        r"with a text \(`text`\) and `label`: say which it is for: --task transcriber, or --task classifier",
    ),
    "frames' labels beside the text": (
        ("file_name,text,labels", "a.txt"),
        {},
        r"and `labels`: say which it is for: --task transcriber, or --task tagger",
    ),
    "two texts": (
        ("file_name,transcription,sentence", "x"),
        {},
        r"`transcription` and `sentence` could each be the text .*--text-column transcription",
    ),
    "no text": (("file_name,who",), {"task": "transcriber"}, r"no column `text`; .*--text-column"),
    "no such column": (
        ("file_name,text",),
        {"task": "transcriber", "text_column": "said"},
        r"no column 'said'",
    ),
    "the wrong kind of input": (
        ("file_name,text",),
        {"task": "transcriber", "input": "sequences"},
        r"names a\.wav: leave out --input sequences",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_could_be_meant_otherwise_is_asked(tmp_path: Path, case: str) -> None:
    columns, options, message = REFUSED[case]
    with pytest.raises(DataError, match=message):
        recognise(folder_of(tmp_path, *columns), options)


def test_one_sound_in_several_rows_has_no_text_of_its_own(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, "file_name,text,start,end", "0", "1", rows=[*SPOKEN, ("a.wav", "five")])
    with pytest.raises(DataError, match="in several rows, each with a text: .*cut the recordings"):
        recognise(folder)


def test_sounds_that_are_not_read_are_to_be_converted(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, "file_name,sentence", rows=[("a.mp3", "one"), ("b.mp3", "two")])
    with pytest.raises(DataError, match=r"a format that is not read \(a\.mp3\): convert them to \.wav"):
        recognise(folder)


def test_the_task_can_be_chosen_where_there_is_a_label_too(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, "file_name,text,label", "yes")
    assert recognise(folder, {"task": "transcriber"}).task == "transcriber"


def test_options_of_arrays_are_idle_beside_sounds(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, "file_name,text")
    for options in ({"fill": "zero"}, {"columns": "1"}):
        with pytest.raises(OptionError, match="would do nothing: it needs arrays"):
            settle(folder, options)
