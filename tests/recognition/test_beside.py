"""Sounds with files beside them that other programs left: the error's command makes them a data set."""

from __future__ import annotations

import csv
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from throughtime.errors import DataError
from throughtime.recognition import recognise

pytestmark = pytest.mark.skipif(shutil.which("bash") is None, reason="the command is for a shell")

FILES = {
    "audacity": (".txt", "0.250000\t0.750000\tspeech\n", "labels", "a label for every frame of sound"),
    "texts": (".txt", 'they say "no", and go\n', "text", "writing the text of each from `text`"),
    "rttm": (
        ".rttm",
        "SPEAKER {} 1 0.25 0.5 <NA> <NA> ann <NA> <NA>\n",
        "RTTM",
        "a label for every frame of sound",
    ),
}


@pytest.fixture(params=FILES)
def form(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    (tmp_path / "my sounds").mkdir()
    suffix, content, _, _ = FILES[request.param]
    for number in range(3):
        # Nobody looks into a sound before it is clear what is to be learned of it.
        (tmp_path / "my sounds" / f"{number}.wav").write_bytes(b"RIFF")
        (tmp_path / "my sounds" / f"{number}{suffix}").write_text(content.format(number))
    return str(request.param)


def test_the_command_of_the_error_makes_it_what_its_owner_meant(
    form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    _, _, what, learning = FILES[form]
    with pytest.raises(DataError, match=what) as raised:
        recognise("my sounds")
    command = str(raised.value).partition("write one: ")[2]
    subprocess.run(["bash", "-c", command], check=True)
    found = recognise("my sounds")
    assert learning in found.why
    rows = (tmp_path / "my sounds" / "metadata.csv").read_text().splitlines()
    assert len(rows) == 4
    if form == "rttm":
        assert rows[1] == "0.wav,0.25,0.75,ann"
    if form == "texts":
        assert rows[1] == '0.wav,"they say ""no"", and go"'


def sound(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"RIFF")


def transcripts_inside(folder: Path) -> list[str]:
    for place in ("84/121", "84/122"):
        for number in range(3):
            sound(folder / place / f"{place[-3:]}-{number}.flac")
        lines = "".join(f'{place[-3:]}-{number} THEY SAY "NO", AND GO\n' for number in range(3))
        (folder / place / f"84-{place[-3:]}.trans.txt").write_text(lines)
    return ["./84/121/121-0.flac", 'THEY SAY "NO", AND GO']


def names_without_a_header(folder: Path) -> list[str]:
    for number in range(6):
        sound(folder / "wavs" / f"LJ-{number}.wav")
    lines = [f'LJ-{number}|In "1900", so|They say "nineteen hundred", and go\n' for number in range(5)]
    (folder / "metadata.csv").write_text("".join([*lines, "LJ-5|Bye|Bye, bye, bye\n"]))
    return ["wavs/LJ-0.wav", 'They say "nineteen hundred", and go']


@pytest.mark.parametrize("make", [transcripts_inside, names_without_a_header])
def test_sounds_of_corpora_get_a_table(make: Callable[[Path], list[str]], tmp_path: Path) -> None:
    folder = tmp_path / "my corpus"
    first = make(folder)
    with pytest.raises(DataError, match="write (one|it anew): ") as raised:
        recognise(str(folder))
    command = re.split("write (?:one|it anew): ", str(raised.value))[1]
    subprocess.run(["bash", "-c", command], check=True)
    assert recognise(str(folder)).task == "transcriber"
    with (folder / "metadata.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["file_name", "text"] and rows[1] == first and len(rows) == 7


def test_no_command_holds_a_name_that_a_shell_could_read(tmp_path: Path) -> None:
    folder = tmp_path / "corpus"
    names_without_a_header(folder)
    (folder / "wavs").rename(folder / "w'; echo oh; '")
    with pytest.raises(DataError, match="has no column `file_name`"):
        recognise(str(folder))
