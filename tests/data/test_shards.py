"""Tar files of examples: a folder with its metadata comes of them, and nothing of a hostile one leaves it."""

from __future__ import annotations

import gzip
import io
import json
import random
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from throughtime.data.shards import METADATA, Shards, unpacked
from throughtime.data.tables import BadRows
from throughtime.errors import DataError

Files = list[tuple[str, bytes]]

SOUNDS: Files = [
    ("d/000.wav", b"RIFF0"),
    ("d/000.cls", b"low\n"),
    ("d/000.json", b'{"speaker": 3}'),
    ("d/001.wav", b"RIFF1"),
    ("d/001.cls", b"high"),
    ("d/001.json", b'{"speaker": 4}'),
]


def member(name: str, content: bytes = b"", **facts: object) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    for fact, value in facts.items():
        setattr(info, fact, value)
    return info, content


def write_tar(path: Path, files: Files, *others: tuple[tarfile.TarInfo, bytes]) -> Path:
    with tarfile.open(path, "w:gz" if path.suffix in (".gz", ".tgz") else "w") as tar:
        for info, content in (*(member(*file) for file in files), *others):
            tar.addfile(info, io.BytesIO(content))
    return path


def rows_of(pattern: str, place: Path, bad: BadRows | None = None) -> list[dict[str, object]]:
    """What the metadata says, and the content of the files."""
    with unpacked(pattern, place, bad or BadRows()) as (folder, _):
        rows = [json.loads(line) for line in (folder / METADATA).read_text().splitlines()]
        for row in rows:
            row["content"] = (folder / str(row["file_name"])).read_bytes()
    assert not folder.exists()
    return rows


@pytest.mark.parametrize("suffix", [".tar", ".tar.gz", ".tgz"])
def test_files_of_one_name_are_an_example(tmp_path: Path, suffix: str) -> None:
    path = write_tar(tmp_path / f"a{suffix}", SOUNDS)
    first, second = rows_of(str(path), tmp_path / "place")
    assert first == {
        "file_name": f"a{suffix}/d/000.wav",
        "label": "low",
        "speaker": 3,
        "content": b"RIFF0",
    }
    assert second["label"] == "high" and second["content"] == b"RIFF1"


def test_a_text_is_a_caption_beside_a_picture_and_a_table_the_labels_of_a_clip(tmp_path: Path) -> None:
    write_tar(tmp_path / "1.tar", [("0.jpg", b"J"), ("0.txt", b"a dog")])
    write_tar(tmp_path / "2.tar", [("0.wav", b"W"), ("0.txt", b"hello")])
    write_tar(tmp_path / "3.tar", [("0.mp4", b"M"), ("0.csv", b"start,end,label\n")])
    write_tar(tmp_path / "4.tar", [("0.npy", b"N"), ("0.cls", b"up")])
    said = [rows_of(f"{tmp_path}/{number}.tar", tmp_path / "place")[0] for number in range(1, 5)]
    assert said[0]["caption"] == "a dog"
    assert said[1]["text"] == "hello"
    assert (said[2]["file_name"], said[2]["labels"]) == ("3.tar/0.mp4", "3.tar/0.csv")
    assert (said[3]["file_name"], said[3]["label"]) == ("4.tar/0.npy", "up")


def test_shards_of_one_name_do_not_mix(tmp_path: Path) -> None:
    for folder, text in (("a", b"one"), ("b", b"two")):
        (tmp_path / folder).mkdir()
        write_tar(tmp_path / folder / "0.tar", [("0.wav", text), ("0.cls", text)])
    assert [row["content"] for row in rows_of(f"{tmp_path}/*/0.tar", tmp_path / "place")] == [b"one", b"two"]


def test_a_sample_takes_from_every_shard_and_no_media(tmp_path: Path) -> None:
    for number in range(3):
        write_tar(tmp_path / f"{number}.tar", SOUNDS)
    with unpacked(f"{tmp_path}/*.tar", tmp_path / "place", BadRows(), is_sample=True) as (folder, shards):
        assert shards.examples == 6
        assert [path.stat().st_size for path in folder.rglob("*.wav")] == [0] * 6


@pytest.mark.parametrize(
    "other, told",
    [
        (member("002.wav", type=tarfile.SYMTYPE, linkname="/etc/passwd"), r"/002: '002\.wav' is a link"),
        (member("002.wav", type=tarfile.LNKTYPE, linkname="d/000.wav"), r"/002: '002\.wav' is a link"),
        (member("002.wav", type=tarfile.FIFOTYPE), r"is no plain file"),
        (member("../002.wav", b"x"), r"'\.\./002\.wav' is no name of a file within a folder"),
        (member("a/../../../002.wav", b"x"), r"is no name of a file within"),
        (member("/002.wav", b"x"), r"'/002\.wav' is no name of a file within"),
        (member("c:\\002.wav", b"x"), r"is no name of a file within"),
        (member("a\udcff/002.wav", b"x"), r"is no name of a file within"),
        (member(f"{'ü' * 120}/002.wav", b"x"), r"is no name of a file within"),
        (member("d/001.wav/002.wav", b"x"), r"has an example of this name already"),
        (member("002.cls", b"low"), r"/002: an example is one picture, .* here is none"),
        (member("002.wav", b"x"), r"/002: there is no label, which .*a\.tar/d/000 has"),
        (member("d/001.wav", b"x"), r"/001: there are two files \.wav"),
        (member("d/001.flac", b"x"), r"/001: an example is one .* several: \.flac, \.wav"),
        (member("d/001.txt", b"\xff"), r"/001: byte 0xff is not UTF-8"),
        (member("002.json", b'{"label"'), r"/002: an example|/002: not JSON"),
        (member("./", b"x"), r"/\.: an example is one .* here is none"),
        (member("metadata.csv", b"file_name"), r"holds a table of its files: unpack it"),
    ],
)
def test_what_is_no_example_is_refused_or_left_out(
    tmp_path: Path, other: tuple[tarfile.TarInfo, bytes], told: str
) -> None:
    path = write_tar(tmp_path / "a.tar", SOUNDS, other)
    before = {file for file in tmp_path.rglob("*")}
    with pytest.raises(DataError, match=rf"a\.tar.*{told}"):
        rows_of(str(path), tmp_path / "x" / "y" / "place")
    bad = BadRows(skip=True)
    assert len(rows_of(str(path), tmp_path / "x" / "y" / "place", bad)) + bad.count in (2, 3)
    assert {file for file in tmp_path.rglob("*") if file.is_file()} <= before


def test_sizes_are_checked_before_anything_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THROUGHTIME_MAX_MEMBER_BYTES", "1000")
    path = write_tar(tmp_path / "a.tar.gz", [("0.wav", bytes(1001)), ("0.cls", b"x")])
    with pytest.raises(DataError, match=r"'0\.wav' holds 1,001 bytes: the limit is 1,000"):
        rows_of(str(path), tmp_path / "place")
    monkeypatch.setenv("THROUGHTIME_MAX_LINE", "20")
    path = write_tar(tmp_path / "b.tar", [("0.wav", b""), ("0.json", b" " * 21)])
    with pytest.raises(DataError, match=r"\.json holds 21 characters: the limit is 20"):
        rows_of(str(path), tmp_path / "place")


def announced(size: int, kind: bytes = tarfile.REGTYPE) -> bytes:
    """A header that announces more than follows."""
    info = tarfile.TarInfo("0.wav")
    info.size, info.type = size, kind
    return info.tobuf(tarfile.GNU_FORMAT)


def about_the_next(content: bytes) -> bytes:
    """A header that says something about the next one."""
    return announced(len(content), tarfile.XHDTYPE) + content.ljust(-(-len(content) // 512) * 512, b"\0")


@pytest.mark.parametrize(
    "content, told",
    [
        (b"", "damaged, or no tar"),
        (b"no tar at all" * 100, "damaged, or no tar"),
        (announced(5_000) + bytes(1_000), "damaged, or no tar file: .*(cut off|unexpected end)"),
        (announced(1 << 62), "damaged, or no tar file: a header claims 4,611,686,018,427,387,904 bytes"),
        (announced(-512), "damaged, or no tar file: a header claims -512 bytes"),
        (announced(1 << 40, tarfile.XHDTYPE), "damaged.*: a header claims"),
        (announced(1 << 40, tarfile.GNUTYPE_LONGNAME), "damaged.*: a header claims"),
        (announced(3) + bytes(512) + b"x" * 512, "damaged, or no tar"),
        (about_the_next(b"9" * 5_000 + b" path=a\n"), "damaged, or no tar file: a header is damaged"),
        (about_the_next(b"30 GNU.sparse.map=a,b,c,defgh\n") + announced(0), "damaged.*: a header is damaged"),
        (about_the_next(b"11 path=abc\n") * 600, "damaged, or no tar file: a header is damaged"),
    ],
)
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_a_damaged_tar_is_named(
    tmp_path: Path, content: bytes, told: str, pack: Callable[[bytes], bytes]
) -> None:
    path = tmp_path / ("a.tar" if pack is bytes else "a.tgz")
    path.write_bytes(pack(content))
    with pytest.raises(DataError, match=rf"{path.name} is {told}"):
        rows_of(str(path), tmp_path / "place")


def test_a_changed_byte_never_ends_otherwise_than_in_words(tmp_path: Path) -> None:
    generator = random.Random(0)
    whole = write_tar(tmp_path / "a.tar", SOUNDS).read_bytes()
    for _ in range(100):
        content = bytearray(whole[: generator.choice([len(whole), generator.randrange(len(whole))])])
        for _ in range(generator.randrange(4)):
            if content:
                content[generator.randrange(len(content))] = generator.randrange(256)
        (tmp_path / "b.tar").write_bytes(content)
        try:
            rows_of(f"{tmp_path}/b.tar", tmp_path / "place")
        except DataError:
            continue


def test_files_that_nothing_reads_are_told(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "a.tar", [*SOUNDS, ("d/001.md5", b"x"), ("d/._001.wav", b"x")])
    shards = Shards(str(path))
    shards.unpack(tmp_path / "place", BadRows())
    assert shards.examples == 2 and shards.aside == {".md5"}
