"""Files that Throughtime does not read, told by name or first bytes, and what their owner can do."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

from throughtime.data.arrays import ARRAY_SUFFIXES
from throughtime.data.audio import AUDIO_SUFFIXES
from throughtime.data.images import IMAGE_SUFFIXES
from throughtime.data.json_values import parse_json
from throughtime.data.video import VIDEO_SUFFIXES
from throughtime.errors import DataError

_SAVE_AS_TABLE = "save it as .csv (UTF-8) and name that file"
_UNPACK = "unpack it and name the file or folder inside"
_METADATA = "put it into a folder with a metadata.csv that names the files and their {} and name the folder"

# Sounds that are known by their names, and not read.
OTHER_SOUNDS = (".mp3", ".m4a", ".aac", ".opus", ".wma")

# What a file is, and what to do with it, by the end of its name.
_BY_SUFFIX: dict[tuple[str, ...], tuple[str, str]] = {
    (".xlsx", ".xlsm", ".xls", ".ods", ".numbers"): ("a spreadsheet", _SAVE_AS_TABLE),
    (".docx", ".doc", ".odt", ".rtf", ".pages"): (
        "a word processor's document",
        "save it as plain text (.txt)",
    ),
    (".pdf", ".epub"): ("a book or a printed page", "convert it to plain text (.txt)"),
    (".pkl", ".pickle", ".joblib", ".pt", ".pth"): (
        "a pickle, which may run code when it is read",
        "save the table as .parquet or .csv",
    ),
    (".h5", ".hdf5", ".mat", ".sav", ".dta", ".rds", ".rdata", ".feather", ".arrow", ".orc", ".avro"): (
        "another program's table",
        "save it as .parquet or .csv",
    ),
    (".db", ".sqlite", ".sqlite3"): ("a database", "write the table out as .csv"),
    (".json",): (
        "one JSON document",
        "write one object on each line (JSON Lines) of a .jsonl file, as in "
        "`jq -c '.[]' data.json > data.jsonl` for a list, or in pandas read_json('data.json')"
        ".to_json('data.jsonl', orient='records', lines=True)",
    ),
    (".zip", ".7z", ".rar", ".bz2", ".xz", ".zst"): ("an archive", _UNPACK),
    OTHER_SOUNDS: ("a sound in a format that is not read", f"convert it to {', '.join(AUDIO_SUFFIXES)}"),
    (".heic", ".svg", ".psd"): ("a picture in a format that is not read", "convert it to .jpg or .png"),
    AUDIO_SUFFIXES: ("one sound", _METADATA.format("labels (columns file_name and label)")),
    IMAGE_SUFFIXES: ("one picture", _METADATA.format("captions (columns file_name and caption)")),
    tuple(VIDEO_SUFFIXES): ("one video", _METADATA.format("label files (columns file_name and labels)")),
    tuple(suffix for suffix in ARRAY_SUFFIXES if suffix.startswith(".np")): (
        "one array",
        _METADATA.format("labels (columns file_name and label, or file_name and labels)"),
    ),
}

# The first bytes of what may go by another name.
_BY_BYTES: tuple[tuple[bytes, str, str], ...] = (
    (b"PK\x03\x04", "a ZIP archive or a spreadsheet", f"{_SAVE_AS_TABLE}, or {_UNPACK}"),
    (b"\xd0\xcf\x11\xe0", "an old Excel or Word file", _SAVE_AS_TABLE),
    (b"%PDF", "a PDF", "convert it to plain text (.txt)"),
    (b"PAR1", "a Parquet file", "give it a name that ends in .parquet"),
    (b"SQLite format 3", "a database", "write the table out as .csv"),
    (b"\x89PNG", "a picture", "give it a name that ends in .png"),
    (b"\xff\xd8\xff", "a picture", "give it a name that ends in .jpg"),
    (b"RIFF", "a sound or a video", "give it a name that ends in .wav or .avi"),
    (b"\x93NUMPY", "a NumPy array", "give it a name that ends in .npy"),
    (b"\x89HDF", "an HDF5 file", "save it as .parquet or .csv"),
    (b"\x1f\x8b", "a gzip file", "give it a name that ends in .gz"),
)

# A document is parsed whole, to say where its rows are.
_MOST_OF_DOCUMENT = 128 << 20
_LONGEST_KEY = 60
_IN_DOCUMENT = "one JSON document"
# Rasa's and many tutorials' intents, and the captions of MS COCO.
_OF_INTENTS = "jq -c '.intents[] | .tag as $tag | .patterns[] | {text: ., label: $tag}' %s > %s.jsonl"
_OF_COCO = (
    "(echo file_name,caption; jq -r '(.images | map({(.id | tostring): .file_name}) | add) as $names | "
    ".annotations[] | [$names[.image_id | tostring], .caption] | @csv' %s) > metadata.csv, in the folder "
    "with the pictures"
)
_OF_ROWS = "jq -c '.[%s][]' %s > %s.jsonl"


def _json(path: Path, beginning: bytes) -> tuple[str, str] | None:
    """What is said of a .json file that is no list of objects; None where no more is known of it."""
    try:
        first = json.loads(beginning.split(b"\n", 1)[0])
    except ValueError:
        first = None
    if isinstance(first, dict) and b"\n" in beginning.strip():
        return "JSON Lines by another name: one object on each line", f"call it {path.stem}.jsonl"
    try:
        whole = path.stat().st_size <= _MOST_OF_DOCUMENT
        document = parse_json(path.read_text("utf-8-sig", "surrogateescape")) if whole else None
    except (OSError, DataError):
        return None
    names = shlex.quote(str(path)), shlex.quote(path.stem)
    match document:
        case {"intents": [{"tag": str(), "patterns": [*_]}, *_]}:
            return _IN_DOCUMENT, f"its rows are the patterns of its intents: {_OF_INTENTS % names}"
        case {"images": [{"file_name": str()}, *_], "annotations": [{"caption": str()}, *_]}:
            return _IN_DOCUMENT, f"as MS COCO has captions: {_OF_COCO % names[0]}"
        case dict():
            lists = [name for name, value in document.items() if _are_rows(value)]
            if lists:
                key = json.dumps(lists[0])
                fits = "'" not in key and len(key) <= _LONGEST_KEY
                command = _OF_ROWS % (key, *names) if fits else "JSON Lines (.jsonl)"
                return (
                    f"{_IN_DOCUMENT}, with rows in {key:.{_LONGEST_KEY}}",
                    f"write one on each line: {command}",
                )
    return None


def _are_rows(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(one, dict) for one in value[:20])


def what_it_is(path: Path, beginning: bytes) -> tuple[str, str] | None:
    """What a file is that no task reads by itself, and what to do; None where it may be text or a table.

    Args:
        path: its name counts.
        beginning: its first bytes, unpacked where it is a .gz.
    """
    suffix = path.suffix.lower()
    for suffixes, found in _BY_SUFFIX.items():
        # MPEG streams are called .ts, and so are TypeScript and sktime's files, which are text.
        if suffix in suffixes and not (suffix == ".ts" and b"\0" not in beginning):
            return _json(path, beginning) or found if suffix == ".json" else found
    for first, what, advice in _BY_BYTES:
        if beginning.startswith(first):
            return what, advice
    return None
