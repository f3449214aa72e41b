"""What there is to predict: the files as they are, cut into units that every process numbers alike."""

from __future__ import annotations

import hashlib
import json
import os
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from throughtime.data.sources import Source, is_url
from throughtime.errors import DataError, RunError, ThroughtimeError
from throughtime.facts import parse_json
from throughtime.files import is_unicode, naming
from throughtime.predicting.tables import TableFile

PLAN = "_plan.json"
# Footers and headers that are asked for at the same time, from servers that take a while to answer.
_AT_ONCE = 8
# Bytes of a compressed file that count as one row, because nobody knows how many it holds before it is read.
_BYTES_A_ROW = 64


@dataclass(frozen=True)
class Piece:
    """Rows of a file that lie behind each other.

    Args:
        file: its number in the plan.
        number: which piece of the file.
        rows: how many; None in a compressed file.
        size: about as many bytes of the file.
    """

    file: int
    number: int
    rows: int | None
    size: int


@dataclass(frozen=True)
class Unit:
    """What one part of the output holds.

    Args:
        number: of the part.
        pieces: whose rows it holds, in order: one of a large file, or small files as a whole.
    """

    number: int
    pieces: tuple[Piece, ...]

    @property
    def size(self) -> int:
        """About as many bytes of input."""
        return sum(piece.size for piece in self.pieces)

    @property
    def rows(self) -> int | None:
        """How many rows it reads; None where a compressed file hides it."""
        known = [piece.rows for piece in self.pieces]
        return None if None in known else sum(rows for rows in known if rows is not None)


@dataclass(frozen=True)
class Plan:
    """What there is to predict, and with what.

    Args:
        files: in order.
        part_rows: rows of a part at most.
        model: the fingerprint of the run.
        options: what else the output depends on, as JSON has it.
    """

    files: tuple[TableFile, ...]
    part_rows: int
    model: str
    options: dict[str, Any]

    def units(self) -> list[Unit]:
        """The units, which follow from the files and from `part_rows` alone."""
        units: list[Unit] = []
        pieces: list[Piece] = []
        weight = 0
        for piece in self._pieces():
            rows = piece.size // _BYTES_A_ROW + 1 if piece.rows is None else piece.rows
            if pieces and weight + rows > self.part_rows:
                units.append(Unit(len(units), tuple(pieces)))
                pieces, weight = [], 0
            pieces.append(piece)
            weight += rows
        if pieces:
            units.append(Unit(len(units), tuple(pieces)))
        return units

    def _pieces(self) -> Iterator[Piece]:
        for number, file in enumerate(self.files):
            size = file.source.size or 0
            if file.rows is None:
                yield Piece(number, 0, None, size)
                continue
            for place in range(file.pieces(self.part_rows)):
                rows = file.rows_of(place, self.part_rows)
                yield Piece(number, place, rows, size * rows // max(file.rows, 1))

    def as_dict(self) -> dict[str, Any]:
        """As JSON can hold it, with a checksum."""
        facts = {
            "format": 1,
            "model": self.model,
            "options": self.options,
            "part_rows": self.part_rows,
            "files": [file.as_dict() for file in self.files],
        }
        return {**facts, "sha256": _checksum(facts)}

    @classmethod
    def read(cls, path: Path) -> Plan:
        """Read `_plan.json`.

        Raises:
            RunError: it is missing or damaged.
        """
        try:
            found = parse_json(path.read_text(encoding="utf-8"), dict[str, Any], str(path))
            # Another number of rows, or another place where they begin, would be believed.
            if found.pop("sha256") != _checksum(found):
                raise ValueError("its checksum is not that of its content")
            return cls(
                tuple(TableFile.of_dict(one) for one in found["files"]),
                int(found["part_rows"]),
                str(found["model"]),
                dict(found["options"]),
            )
        except FileNotFoundError:
            raise RunError(f"{path} is missing: begin with an empty folder") from None
        except (OSError, KeyError, TypeError, ValueError, ThroughtimeError) as error:
            raise RunError(f"{path} is damaged ({error}): begin with an empty folder") from None


def _checksum(facts: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def make_plan(
    sources: Sequence[Source],
    describe: Callable[[Source], TableFile],
    part_rows: int,
    model: str,
    options: dict[str, Any],
) -> Plan:
    """Look at every file once: its columns, how many rows it has, and where parts of it begin.

    Args:
        sources: the files.
        describe: what looks at one.
        part_rows, model, options: as of `Plan`.
    Raises:
        DataError: a file cannot be read, or lacks a column.
    """
    for source in sources:
        if not is_unicode(source.url):
            raise DataError(f"{source.url!r}: the name of a file must be UTF-8 here: rename it")
    if any(is_url(source.url) for source in sources):
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            files = list(pool.map(describe, sources))
    else:
        files = [describe(source) for source in sources]
    return Plan(tuple(files), part_rows, model, options)


def settle_plan(
    out: Path,
    sources: Sequence[Source],
    describe: Callable[[Source], TableFile],
    part_rows: int,
    model: str,
    options: dict[str, Any],
) -> tuple[Plan, bool]:
    """The plan that a folder has, where it is for the same work; or a new one, which it gets.

    Returns:
        The plan, and whether the folder had it.
    Raises:
        RunError: the folder holds something else, or the outputs of other files, options or another model.
    """
    path = out / PLAN
    # In one look: another shard may begin the folder at this moment.
    names = {entry.name for entry in out.iterdir()} if out.exists() else set[str]()
    is_there = PLAN in names
    if is_there:
        plan = Plan.read(path)
    elif any(not name.startswith(".") for name in names):
        raise RunError(f"{out} is not empty, and holds no {PLAN}: name another folder with --out")
    else:
        plan = make_plan(sources, describe, part_rows, model, options)
        write_once(path, (json.dumps(plan.as_dict(), ensure_ascii=False) + "\n").encode())
        plan = Plan.read(path)  # of another process, where that was faster
    _refuse_another(out, plan, sources, part_rows, model, options)
    return plan, is_there


def _refuse_another(
    out: Path, plan: Plan, sources: Sequence[Source], part_rows: int, model: str, options: dict[str, Any]
) -> None:
    end = "name another folder with --out, or delete this one"
    if plan.model != model:
        raise RunError(f"{out} was begun with another model ({plan.model[:12]}, now {model[:12]}): {end}")
    before = {"part-rows": plan.part_rows, **plan.options}
    for name, now in {"part-rows": part_rows, **options}.items():
        if before.get(name) != now:
            raise RunError(f"{out} was begun with {name} {before.get(name)!r}, and now it is {now!r}: {end}")
    then = {file.source.url: file.source for file in plan.files}
    for source in sources:
        known = then.get(source.url)
        if known is None:
            raise RunError(f"{out} was begun without {source}, which is new: {end}")
        if known != source:
            raise RunError(f"{source} has changed since {out} was begun ({_changes(known, source)}): {end}")
    if len(then) != len(sources):
        gone = set(then).difference(source.url for source in sources)
        raise RunError(f"{out} was begun with {min(gone)}, which is not among the inputs now: {end}")
    if [file.source for file in plan.files] != list(sources):
        raise RunError(f"{out} was begun with the inputs in another order: {end}")


def _changes(then: Source, now: Source) -> str:
    if then.size != now.size:
        return f"{then.size} bytes, now {now.size}"
    return f"{then.version or 'no version'}, now {now.version or 'no version'}"


def check_unchanged(source: Source) -> None:
    """Refuse a file that is another than the plan says.

    Raises:
        DataError: it has changed, or is gone.
    """
    now = source.now()
    if now != source:
        raise DataError(f"{source} has changed since the work began ({_changes(source, now)})")


def write_once(path: Path, content: bytes) -> None:
    """Write a file that is whole or not there; one that another process has written stays."""
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.partial")
    with naming(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            temporary.write_bytes(content)
            with suppress(FileExistsError):
                try:
                    os.link(temporary, path)
                except (PermissionError, NotImplementedError, OSError) as error:
                    if isinstance(error, FileExistsError):
                        raise
                    os.replace(temporary, path)  # a file system without hard links
        finally:
            temporary.unlink(missing_ok=True)


def fingerprint(folder: Path) -> str:
    """What tells a model from another: a hash of all files of a run folder that predicting reads."""
    from throughtime.run.layout import CHECKPOINT, WEIGHTS

    read = [path for path in folder.iterdir() if path.name in _READ]
    if not (folder / WEIGHTS).exists():
        read.append(folder / CHECKPOINT)
    found = hashlib.sha256()
    for path in sorted(read):
        content = hashlib.sha256()
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                content.update(block)
        found.update(f"{path.name} {content.hexdigest()}\n".encode())
    return found.hexdigest()


# In whichever task's folder.
_READ = frozenset(
    {
        "calibration.json",
        "config.toml",
        "features.json",
        "labels.json",
        "model.safetensors",
        "program.json",
        "source_tokenizer.json",
        "static.json",
        "target.json",
        "target_tokenizer.json",
        "tokenizer.json",
        "words.json",
    }
)
