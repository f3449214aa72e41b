"""Examples in tar files: what a training prepares is what it makes of the folder that they come from."""

from __future__ import annotations

import io
import json
import tarfile
import wave
from pathlib import Path

import numpy as np
import pytest

from tests.run.test_tables_anywhere import prepared
from throughtime.errors import DataError
from throughtime.recognition import recognise
from throughtime.run.sources import SOURCES

pytest.importorskip("fsspec", reason="fsspec is not installed")
from fsspec.implementations.memory import MemoryFileSystem  # noqa: E402

# Of each example: the end of the file beside the medium, what the folder's metadata calls it, what it says.
Examples = list[tuple[bytes, str]]


def tone(number: int) -> bytes:
    samples = (8_000 * np.sin(np.arange(800) * (0.3 if number % 2 else 1.1) + number)).astype("<i2")
    content = io.BytesIO()
    with wave.open(content, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8_000)
        file.writeframes(samples.tobytes())
    return content.getvalue()


def square(number: int) -> bytes:
    image = pytest.importorskip("PIL.Image")
    content = io.BytesIO()
    image.new("RGB", (16, 16), (255, 9 * number, 0) if number % 2 else (0, 9 * number, 255)).save(
        content, "PNG"
    )
    return content.getvalue()


TASKS = {
    "classified sounds": (tone, ".wav", ".cls", "label", ("low", "high")),
    "transcribed sounds": (tone, ".wav", ".txt", "text", ("lo", "hi")),
    "captioned pictures": (square, ".png", ".txt", "caption", ("a blue square", "a red square")),
    "labels of frames": (
        tone,
        ".wav",
        ".csv",
        "labels",
        ("start,end,label\n0,0.05,a\n", "start,end,label\n0,0.1,b\n"),
    ),
}


def shard(name: str, numbers: range) -> bytes:
    """A tar of some examples of a task."""
    medium, suffix, beside, _, says = TASKS[name]
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as tar:
        for number in numbers:
            for end, held in ((suffix, medium(number)), (beside, says[number % 2].encode())):
                info = tarfile.TarInfo(f"{number:03}{end}")
                info.size = len(held)
                tar.addfile(info, io.BytesIO(held))
    return content.getvalue()


def write_folder(name: str, count: int, folder: Path) -> None:
    """The same examples as files with a metadata.jsonl."""
    medium, suffix, beside, column, says = TASKS[name]
    folder.mkdir()
    rows = []
    for number in range(count):
        (folder / f"{number:03}{suffix}").write_bytes(medium(number))
        said = says[number % 2]
        if column == "labels":
            (folder / f"{number:03}{beside}").write_text(said)
            said = f"{number:03}{beside}"
        rows.append({"file_name": f"{number:03}{suffix}", column: said})
    (folder / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.mark.parametrize("name", TASKS)
def test_shards_are_prepared_as_the_folder_is(name: str, tmp_path: Path, memory: MemoryFileSystem) -> None:
    write_folder(name, 12, tmp_path / "folder")
    for place, numbers in enumerate((range(5), range(5, 12))):
        (tmp_path / f"part-{place}.tar").write_bytes(shard(name, numbers))
        memory.pipe(f"/there/part-{place}.tar", shard(name, numbers))
    _, folder = prepared(f"{tmp_path}/folder", tmp_path / "one")
    run, here = prepared(f"{tmp_path}/part-*.tar", tmp_path / "here")
    _, there = prepared("memory://there/part-*.tar", tmp_path / "there")
    assert here == folder == there
    assert run.config.source == f"{tmp_path}/part-*.tar"
    assert [
        Path(file["url"]).name for file in json.loads((run.folder / SOURCES).read_text())["source"]["files"]
    ] == [
        "part-0.tar",
        "part-1.tar",
    ]


def test_recognition_says_what_it_looked_at(tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_bytes(shard("classified sounds", range(8)))
    found = recognise(f"{tmp_path}/a.tar")
    assert found.task == "classifier"
    assert "of 8 examples looked at: 2 columns; `label` has 2 values: classification of sounds" in found.why
    assert found.why.endswith(f"sounds in {tmp_path}/a.tar")


def test_a_broken_sound_is_named_as_in_its_shard(tmp_path: Path) -> None:
    broken = shard("classified sounds", range(8)).replace(tone(3), b"RIFF".ljust(len(tone(3)), b"x"))
    (tmp_path / "a.tar").write_bytes(broken)
    with pytest.raises(DataError, match=r"^a\.tar/003\.wav: ") as raised:
        prepared(f"{tmp_path}/a.tar", tmp_path / "run")
    assert "metadata" not in str(raised.value) and "source-shards" not in str(raised.value)
