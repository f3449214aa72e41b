"""Tar files of examples: what is in them becomes a folder with its metadata, as tasks read folders.

Files of one name are an example: 000.jpg and 000.txt, 000.wav and 000.cls, 000.mp4 and 000.csv. A .json holds
more columns of it. The convention is WebDataset's (https://github.com/webdataset/webdataset): a name ends at
its first dot, and the files of an example stand one behind the other.
"""

from __future__ import annotations

import json
import re
import shutil
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from throughtime.data.audio import AUDIO_SUFFIXES
from throughtime.data.file_names import FILE_COLUMN
from throughtime.data.images import IMAGE_SUFFIXES
from throughtime.data.joined import stem_of
from throughtime.data.json_values import parse_json
from throughtime.data.limits import LINE
from throughtime.data.lines import check_text
from throughtime.data.sources import Source, find_files
from throughtime.data.tables import BadRows
from throughtime.data.tar import Tar, opened
from throughtime.data.video import VIDEO_SUFFIXES
from throughtime.errors import DataError, ThroughtimeError
from throughtime.patterns import is_shards

METADATA = "metadata.jsonl"
_MEDIA = (*IMAGE_SUFFIXES, *AUDIO_SUFFIXES, *VIDEO_SUFFIXES)
# What is an example itself, or says something of one, by whether there is a medium beside it.
_EITHER = (".npy", ".npz", ".csv", ".tsv")
_WORDS = (".cls", ".txt", ".json")
# What no file system has in a name, or takes for more than a part of one.
_SPECIAL = re.compile(r"[\0-\x1f/\\:*?\"<>|\ud800-\udfff]")
_LONGEST_NAME = 200
# Folders inside each other; making and removing them takes a call within a call for each.
_DEEPEST = 100
# What is left free of a disk, in bytes.
_RESERVE = 1 << 30
# Examples that recognition looks at, from so many shards: they may be in the order of their labels.
_LOOKED_AT, _LOOKED_INTO = 400, 20


@dataclass
class _Example:
    """The files of one name.

    Attributes:
        key: the name, with the folders before it.
        files: what was written, by the ends of the names; relative to the folder.
        words: what texts say, by the ends of the names.
        fault: why it cannot be used; "" where it can.
    """

    key: str
    files: dict[str, str] = field(default_factory=dict)
    words: dict[str, str] = field(default_factory=dict)
    fault: str = ""

    def row(self) -> dict[str, Any]:
        """What the metadata says of it.

        Raises:
            DataError: it cannot be used.
        """
        if self.fault:
            raise DataError(self.fault)
        media = [end for end in self.files if end in _MEDIA] or list(self.files)
        if len(media) != 1:
            what = f"several: {', '.join(sorted(media))}" if media else "none"
            raise DataError(f"an example is one picture, sound, video or array, and here is {what}")
        row: dict[str, Any] = {FILE_COLUMN: self.files[media[0]]}
        for end, file in self.files.items():
            if end != media[0]:
                _put(row, "labels", file, end)
        if ".cls" in self.words:
            _put(row, "label", self.words[".cls"].strip(), ".cls")
        if ".txt" in self.words:
            _put(row, "caption" if media[0] in IMAGE_SUFFIXES else "text", self.words[".txt"].strip(), ".txt")
        if ".json" in self.words:
            found = parse_json(self.words[".json"])
            if not isinstance(found, dict):
                raise DataError(".json holds no object")
            for name, value in found.items():
                _put(row, name, value, ".json")
        return row


class Shards:
    """The tar files that a name, a pattern or a URL stands for.

    Args:
        pattern: as the user wrote it.
    Attributes:
        sources: the tars.
        examples: how many were unpacked.
        left_out: the others.
        aside: the ends of the names of files that nothing reads.
    Raises:
        DataError: there are none.
    """

    def __init__(self, pattern: str) -> None:
        self.pattern = pattern
        self.sources = find_shards(pattern)
        self.examples = 0
        self.left_out = BadRows()
        self.aside: set[str] = set()
        self._folder = Path()

    def unpack(self, folder: Path, bad: BadRows, is_sample: bool = False) -> None:
        """Write a folder: the files of the examples, and a row for each in its metadata.

        Args:
            folder: it is made.
            bad: what happens to examples that cannot be used.
            is_sample: only some examples, their media empty.
        Raises:
            DataError: a tar cannot be read, or an example cannot be used and `bad` does not skip.
        """
        self._folder, self.left_out = folder, bad
        sources, most = self.sources, None
        if is_sample:
            sources = sources[:: -(-len(sources) // _LOOKED_INTO)]
            most = -(-_LOOKED_AT // len(sources))
        folder.mkdir(parents=True)
        first: tuple[str, dict[str, Any]] | None = None
        with (folder / METADATA).open("x", encoding="utf-8") as table:
            for place, source in zip(_places(sources), sources, strict=True):
                for number, example in enumerate(self._read(source, place, is_sample)):
                    if number == most:
                        break
                    where = f"{source}/{example.key}"
                    try:
                        row = example.row()
                        first = first or (where, row)
                        lacks = next((name for name in first[1] if name not in row), None)
                        if lacks is not None:
                            raise DataError(f"there is no {lacks}, which {first[0]} has")
                    except DataError as error:
                        bad.report(where, None, str(error))
                        continue
                    self.examples += 1
                    table.write(json.dumps(row) + "\n")
        if not self.examples:
            raise DataError(
                f"{self.pattern} holds no example that can be used ({bad.summary() or 'no files'})"
            )

    def in_words(self, text: str) -> str:
        """A message with the names of the shards in the place of those of the folder."""

        def named(found: re.Match[str]) -> str:
            with (self._folder / METADATA).open(encoding="utf-8") as table:
                line = next((one for number, one in enumerate(table, 1) if number == int(found[1])), "{}")
            return str(json.loads(line).get(FILE_COLUMN, self.pattern))

        folder = re.escape(str(self._folder))
        text = re.sub(rf"{folder}/{re.escape(METADATA)} line (\d+)", named, text)
        text = re.sub(rf"{folder}/(?!{re.escape(METADATA)})", "", text)
        return re.sub(rf"{folder}(/{re.escape(METADATA)})?", lambda _: self.pattern, text)

    def _read(self, source: Source, place: str, is_sample: bool) -> Iterator[_Example]:
        """The examples of a shard; their files go into a folder of its name."""
        example: _Example | None = None
        with opened(source) as tar:
            for member in tar:
                name = PurePosixPath(member.name)
                if name.name.startswith("."):  # of the system that made it
                    continue
                stem, _, end = name.name.partition(".")
                # Bytes that are not UTF-8 cannot be shown.
                key = str(name.parent / stem).encode(errors="replace").decode()
                if example is not None and key != example.key:
                    yield example
                    example = None
                example = example or _Example(key)
                try:
                    self._take(example, f".{end.lower()}", tar, member, place, is_sample)
                except DataError as error:
                    example.fault = example.fault or str(error)
        if example is not None:
            yield example

    def _take(
        self, example: _Example, end: str, tar: Tar, member: tarfile.TarInfo, place: str, is_sample: bool
    ) -> None:
        """Read or write one file of an example.

        Raises:
            DataError: it is no plain file, is too large, or its name leads elsewhere.
        """
        if PurePosixPath(member.name).name.startswith("metadata."):
            raise DataError("the tar holds a table of its files: unpack it, and name the folder")
        if end not in (*_MEDIA, *_EITHER, *_WORDS):
            self.aside.add(end)
            return
        tar.check(member)
        if end in example.files or end in example.words:
            raise DataError(f"there are two files {end}")
        if end in _WORDS:
            LINE.check(member.size, f"{end} holds")
            content = b"".join(tar.blocks(member))
            example.words[end] = check_text(content.decode("utf-8", "surrogateescape"))
            return
        parts = PurePosixPath(place, member.name).parts
        if len(parts) > _DEEPEST or not all(_is_plain(part) for part in parts):
            raise DataError(f"{member.name!r:.200} is no name of a file within a folder")
        path = self._folder.joinpath(*parts)
        free = shutil.disk_usage(self._folder).free
        if free < member.size + _RESERVE:
            raise OSError(28, f"{free:,} bytes are free, and {member.name} has {member.size:,}", str(path))
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if is_sample and end in _MEDIA:
                path.open("xb").close()
            else:
                tar.copy(member, path)
        except (FileExistsError, NotADirectoryError):
            raise DataError("the tar has an example of this name already") from None
        example.files[end] = str(PurePosixPath(*parts))


def find_shards(pattern: str) -> list[Source]:
    """The tar files that a name, a pattern or a URL stands for.

    Raises:
        DataError: there are none.
    """
    return find_files([pattern], lambda source: is_shards(source.name))


@contextmanager
def unpacked_for_now(pattern: str, skip_bad: bool, is_sample: bool = False) -> Iterator[tuple[Path, Shards]]:
    """As `unpacked`, in the folder for temporary files."""
    with (
        tempfile.TemporaryDirectory(prefix="throughtime-") as place,
        unpacked(pattern, Path(place), BadRows(skip_bad), is_sample) as found,
    ):
        yield found


@contextmanager
def unpacked(
    pattern: str, place: Path, bad: BadRows, is_sample: bool = False
) -> Iterator[tuple[Path, Shards]]:
    """Shards as a folder, which is deleted in the end. Errors name files as the shards do.

    Args:
        pattern: what the shards are called.
        place: where the folder is to be.
        bad: what happens to examples that cannot be used.
        is_sample: only some examples, and none of their media.
    Yields:
        The folder, and what was read.
    Raises:
        DataError: there are no shards, or they cannot be used.
    """
    shards = Shards(pattern)
    folder = place / stem_of(pattern)
    try:
        shards.unpack(folder, bad, is_sample)
        yield folder, shards
    except ThroughtimeError as error:
        error.args = tuple(shards.in_words(one) if isinstance(one, str) else one for one in error.args)
        raise
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _is_plain(part: str) -> bool:
    """Whether a part of a name is one on every file system."""
    return bool(part.strip(". ")) and not _SPECIAL.search(part) and len(part.encode()) <= _LONGEST_NAME


def _places(sources: Sequence[Source]) -> list[str]:
    """A folder's name for each shard: its own, where no other has it."""
    names = [re.sub(r"[^\w.-]", "_", source.name).lstrip(".") for source in sources]
    return [
        name if names.count(name) == 1 and name else f"{number:05d}-{name}"
        for number, name in enumerate(names)
    ]


def _put(row: dict[str, Any], name: str, value: Any, end: str) -> None:
    if name in row:
        raise DataError(f"two files say what its {name} is ({end} is one of them)")
    row[name] = value
