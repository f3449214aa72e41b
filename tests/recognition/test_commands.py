"""Files of other programs and corpora: the command of the error makes them what their owner meant."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from throughtime.errors import DataError
from throughtime.recognition import recognise

LABELS = ("pro", "con")
ROWS = [{"text": f"so it goes, {number} times", "label": LABELS[number % 2]} for number in range(30)]
MARKED = [["They live in Seoul", {"entities": [[13, 18, "place"]]}]] * 30
INTENTS = [{"tag": tag, "patterns": [f"{tag} {n}" for n in range(9)], "responses": []} for tag in LABELS]
STROKES = [[[1, 2, 3], [4, 5, 6]], [[7, 8], [9, 9]]]
DRAWING = {"word": "cat", "countrycode": "US", "recognized": True, "key_id": "5", "drawing": STROKES}
SENTENCE = "BOS fly to Seoul EOS\tO O O B-city O\n"
MONASH = "@relation rain\n@frequency monthly\n@horizon 3\n@data\n" + "".join(
    f"T{series}:1979-01-01 00-00-00:{','.join(str(step * series) for step in range(40))},?\n"
    for series in (1, 2)
)
OF_MONASH = {"time_column": "time", "series_column": "series", "value_column": "value"}

# The file, what it holds, what stands before the command, what comes of it, its options, and its task.
FILES: dict[str, tuple[str, str, str, str, dict[str, Any], str]] = {
    "spaCy": ("a b.json", json.dumps(MARKED), "make objects: ", "a b.jsonl", {}, "word-tagger"),
    "intents": ("i.json", json.dumps({"intents": INTENTS}), "its intents: ", "i.jsonl", {}, "classifier"),
    "rows inside": ("d.json", json.dumps({"v": 1, "data": ROWS}), "each line: ", "d.jsonl", {}, "classifier"),
    "drawings": (
        "cat.ndjson",
        "".join(json.dumps({**DRAWING, "word": ("cat", "dog")[n % 2]}) + "\n" for n in range(20)),
        "stroke ends: ",
        "cat.steps.jsonl",
        {},
        "classifier",
    ),
    "sentences": ("atis.iob", SENTENCE * 30, "each line: ", "atis.conll", {}, "word-tagger"),
    "Monash": ("rain.tsf", MONASH, "each time: ", "rain.csv", OF_MONASH, "forecaster"),
}


def command_of(error: str, before: str) -> str:
    command = error.partition(before)[2].partition(", and train on that")[0].partition(", in the folder")[0]
    program = "jq" if "jq " in command else "awk"
    if shutil.which("bash") is None or shutil.which(program) is None:
        pytest.skip(f"the command needs a shell and {program}")
    return command


@pytest.mark.parametrize("name", FILES)
def test_what_the_command_writes_is_what_was_meant(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, content, before, made, options, task = FILES[name]
    monkeypatch.chdir(tmp_path)
    Path(file).write_text(content)
    with pytest.raises(DataError, match=before) as raised:
        recognise(file)
    subprocess.run(["bash", "-c", command_of(str(raised.value), before)], check=True)
    assert recognise(made, options).task == task


@pytest.mark.parametrize("owner", ["", "subject"])
def test_steps_with_labels_become_recordings(
    owner: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    rows = [f"{n / 50},{n},{n % 7},{'sit' if n % 40 < 20 else 'walk'},{n // 40}" for n in range(160)]
    Path("har.csv").write_text("\n".join([f"time,x,y,activity,{owner or 'heart_rate'}", *rows]) + "\n")
    with pytest.raises(DataError, match="of file_name,labels") as raised:
        recognise("har.csv", {"label_column": "activity"})
    command = str(raised.value).partition("(a tagger): ")[2].partition("; to learn from each row")[0]
    if shutil.which("bash") is None or shutil.which("awk") is None:
        pytest.skip("the command needs a shell and awk")
    subprocess.run(["bash", "-c", command], check=True)
    assert recognise("clips").task == "tagger"
    recordings = sorted(one.stem for one in Path("clips").glob("*.txt"))
    assert recordings == (["0", "1", "2", "3"] if owner else ["all"])
    steps = np.loadtxt(f"clips/{recordings[0]}.csv", delimiter=",")
    labels = Path(f"clips/{recordings[0]}.txt").read_text().split()
    assert steps.shape == ((40, 2) if owner else (160, 3)) and len(labels) == len(steps)
    assert labels[:40] == ["sit"] * 20 + ["walk"] * 20


def test_captions_of_coco(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    images = [{"id": number, "file_name": f"{number}.jpg"} for number in (7, 9)]
    captions = [{"image_id": 9, "caption": 'a "dog", asleep'}, {"image_id": 7, "caption": "a cat"}]
    Path("captions.json").write_text(json.dumps({"images": images, "annotations": captions}))
    with pytest.raises(DataError, match="as MS COCO has captions: ") as raised:
        recognise("captions.json")
    command = command_of(str(raised.value), "has captions: ")
    subprocess.run(["bash", "-c", command], check=True)
    with Path("metadata.csv").open(newline="") as table:
        rows = list(csv.reader(table))
    assert rows == [["file_name", "caption"], ["9.jpg", 'a "dog", asleep'], ["7.jpg", "a cat"]]


@pytest.mark.parametrize("name", ["it's", "$(true)", "a;b"])
def test_names_are_quoted(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for file, content in ((f"{name}.json", json.dumps({name: ROWS})), (f"{name}.iob", SENTENCE * 30)):
        Path(file).write_text(content)
        with pytest.raises(DataError, match="each line: ") as raised:
            recognise(file)
        if "'" not in name or file.endswith(".iob"):
            subprocess.run(["bash", "-c", command_of(str(raised.value), "each line: ")], check=True)
            assert Path(name + (".jsonl" if file.endswith(".json") else ".conll")).is_file()
