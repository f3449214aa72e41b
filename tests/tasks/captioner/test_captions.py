"""Tables of captioned images: what is read, and what is wrong with a row."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from throughtime.data.tables import BadRows
from throughtime.errors import DataError
from throughtime.tasks.captioner.captions import normalise_caption, read_captions


def folder(path: Path, table: str, name: str = "metadata.csv", images: str = "ab") -> Path:
    """A folder with a table; the images are empty files, which this reader does not open."""
    (path / name).write_text(table, encoding="utf-8")
    for image in images:
        (path / f"{image}.jpg").touch()
    return path


def test_rows_of_an_image_are_its_references(tmp_path: Path) -> None:
    folder(tmp_path, 'file_name,caption\na.jpg,A cat .\nb.jpg,Two dogs\na.jpg,"The cat, asleep"\n')
    images = read_captions(tmp_path, BadRows(), normalise=True).images
    assert [(image.name, image.captions, image.line) for image in images] == [
        ("a.jpg", ["a cat", "the cat asleep"], 2),
        ("b.jpg", ["two dogs"], 3),
    ]
    assert images[0].path == tmp_path / "a.jpg"


def test_a_list_is_several_references(tmp_path: Path) -> None:
    rows = [{"file_name": "a.jpg", "captions": ["One", "Two"]}, {"file_name": "b.jpg", "captions": "Three"}]
    folder(tmp_path, "\n".join(map(json.dumps, rows)), "metadata.jsonl")
    data = read_captions(tmp_path / "metadata.jsonl", BadRows(), normalise=False)
    assert [image.captions for image in data.images] == [["One", "Two"], ["Three"]]


def test_splits_are_read_under_the_names_that_people_use(tmp_path: Path) -> None:
    table = "file_name,caption,split\na.jpg,x,train\nb.jpg,y,val\nc.jpg,z,test\nd.jpg,w,restval\n"
    data = read_captions(
        folder(tmp_path, table, images=tuple("abcd")), BadRows(), True, images_must_exist=False
    )
    assert data.has_splits
    assert [image.split for image in data.images] == ["training", "validation", "test", "training"]
    assert [image.name for image in data.of_split("test")] == ["c.jpg"]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("none.jpg,x,", r"line 2: image 'none.jpg' not found in "),
        ("a.jpg,   ,", r"line 2: the caption of 'a.jpg' is empty"),
        ("a.jpg,...,", r"line 2: the caption of 'a.jpg' is empty"),
        (",x,", r"line 2: file_name is empty"),
        ("a.jpg,x,holdout", r"line 2: split 'holdout' is unknown: use train, validation or test"),
        ("a.jpg,x", r"line 2: 2 fields, expected 3"),
    ],
)
def test_a_bad_row_is_named_or_left_out_and_counted(tmp_path: Path, row: str, message: str) -> None:
    folder(tmp_path, f"file_name,caption,split\n{row}\nb.jpg,good,\n")
    with pytest.raises(DataError, match=rf"metadata\.csv {message}.*--skip-bad"):
        read_captions(tmp_path, BadRows(), normalise=True)
    bad = BadRows(skip=True)
    assert [image.name for image in read_captions(tmp_path, bad, normalise=True).images] == ["b.jpg"]
    assert bad.count == 1


def test_an_image_belongs_to_one_split(tmp_path: Path) -> None:
    folder(tmp_path, "file_name,caption,split\na.jpg,x,train\na.jpg,y,test\n")
    with pytest.raises(DataError, match=r"line 3: image 'a.jpg' is in the split 'training' on line 2"):
        read_captions(tmp_path, BadRows(), normalise=True)


def test_a_caption_that_is_no_text_is_bad(tmp_path: Path) -> None:
    folder(tmp_path, '{"file_name": "a.jpg", "caption": 7}\n', "metadata.jsonl")
    with pytest.raises(DataError, match="line 1: the caption of 'a.jpg' is empty or no text"):
        read_captions(tmp_path, BadRows(), normalise=True)


def test_where_nothing_is_left_that_is_said(tmp_path: Path) -> None:
    folder(tmp_path, "file_name,caption\nx.jpg,a\ny.jpg,b\n")
    with pytest.raises(DataError, match="has no usable rows .left out 2 bad examples"):
        read_captions(tmp_path, BadRows(skip=True), normalise=True)


def test_a_folder_without_a_table_and_a_table_without_captions(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"holds no metadata: expected metadata\.csv, metadata\.jsonl"):
        read_captions(tmp_path, BadRows(), normalise=True)
    with pytest.raises(DataError, match="no such folder"):
        read_captions(tmp_path / "none", BadRows(), normalise=True)
    folder(tmp_path, "file_name,title\na.jpg,x\n")
    with pytest.raises(DataError, match="no column 'caption'; its columns are file_name, title"):
        read_captions(tmp_path, BadRows(), normalise=True)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A black dog and a tri-colored dog .", "a black dog and a tri colored dog"),
        ("The man's hat, red!", "the mans hat red"),
        ("  Tabs\tand\nlines ", "tabs and lines"),
        ("3 dogs_run", "3 dogs run"),
        ("고양이 한 마리.", "고양이 한 마리"),
        ("दो कुत्ते", "दो कुत्ते"),
        ("Ein größeres Café", "ein größeres café"),
    ],
)
def test_captions_are_normalised_as_the_field_does(text: str, expected: str) -> None:
    assert normalise_caption(text) == expected


def test_images_outside_the_folder_are_refused_unless_allowed(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "secret.jpg").touch()
    table = "file_name,caption\na.jpg,a cat\n../secret.jpg,a secret\n"
    data = folder(tmp_path / "photos", table)
    with pytest.raises(DataError, match=r"metadata\.csv line 3: file '\.\./secret\.jpg' lies outside"):
        read_captions(data, BadRows(), True)
    assert len(read_captions(data, BadRows(skip=True), True).images) == 1
    assert len(read_captions(data, BadRows(), True, allow_outside=True).images) == 2
