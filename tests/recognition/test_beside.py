"""Sounds with files beside them that other programs left: the error's command makes them a data set."""

from __future__ import annotations

import shutil
import subprocess
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
