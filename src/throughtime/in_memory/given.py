"""What a program gives in the place of a path, and where it lies on the disk."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeAlias

from throughtime.config import RunConfig
from throughtime.errors import DataError, OptionError, ThroughtimeError
from throughtime.in_memory.examples import Options, row_name, rows_of
from throughtime.in_memory.writing import write_rows, write_text

# The folder of a run that keeps what its training was given in memory.
GIVEN = "given"
# What the options that take data are called in messages, and where it is written.
_CALLED = {"source": "the data", "validation": "the validation data"}
_STEMS = {"source": "data", "validation": "validation"}
# Bytes of a file's name. A text that somebody took for a path is longer.
_LONGEST_NAME = 255


@dataclass(frozen=True)
class Text:
    """A text in memory. A plain str is a path everywhere, as in `tt.train("input.txt")`.

    Example:
        run = tt.train(tt.Text(text), hidden=128)

    Args:
        text: all of it.
    """

    text: str

    def __post_init__(self) -> None:
        if not isinstance(self.text, str):
            raise OptionError(
                f"tt.Text holds one str, not a {type(self.text).__name__}: join the parts first"
            )


class Items(Protocol):
    """A data set of torch: `len()`, and examples by their numbers."""

    def __len__(self) -> int: ...
    def __getitem__(self, index: Any, /) -> Any: ...


# What a training reads: a path, or data in memory. Frames of pandas and polars are iterable, too.
Data: TypeAlias = str | Path | Text | Iterable[Any] | Mapping[str, Any] | Items


def is_in_memory(data: Any) -> bool:
    """Whether it is data itself, and no path to it.

    Raises:
        DataError: it is a str that can be no path.
    """
    if isinstance(data, str) and (
        "\n" in data or len(Path(data).name.encode(errors="surrogatepass")) > _LONGEST_NAME
    ):
        raise DataError("a str is a path, and this one looks like a text: give a text as tt.Text(text)")
    return data is not None and not isinstance(data, (str, os.PathLike))


@dataclass
class Given:
    """Data of a program on the disk.

    Attributes:
        folder: where it lies.
        parts: by option ("source", "validation"), the file or the folder.
        options: those of the user with paths in the place of data, and what the form of the data settles.
    """

    folder: Path
    options: Options
    parts: dict[str, Path] = field(default_factory=dict)
    _folders: list[Path] = field(default_factory=list)

    def move_into(self, folder: Path, config: RunConfig) -> RunConfig:
        """Put the data into a run folder; the options, with their new paths."""
        if not self.parts:
            return config
        place = (folder / GIVEN).resolve()
        self._folders.append(self.folder)
        # A copy that is renamed, where the run lies on another disk.
        shutil.move(self.folder, place)
        self.folder = place
        self.parts = {name: place / path.name for name, path in self.parts.items()}
        return config.changed({name: str(path) for name, path in self.parts.items()})

    def in_words(self, text: str) -> str:
        """A message with what a program gave in the place of the files that it became."""
        for name, part in self.parts.items():
            for folder in (self.folder, *self._folders):
                text = _in_words(text, re.escape(str(folder / part.name)), _CALLED[name])
        return text

    @contextmanager
    def errors_in_words(self) -> Iterator[None]:
        """Errors name rows and not the files that nobody wrote."""
        try:
            yield
        except ThroughtimeError as error:
            error.args = tuple(self.in_words(one) if isinstance(one, str) else one for one in error.args)
            raise


def _in_words(text: str, path: str, called: str) -> str:
    """Put what data is called into a message in the place of its table's path and of its arrays'."""
    text = re.sub(
        rf"{path}(?:/metadata\.jsonl)? line (\d+)", lambda row: f"{called}, {row_name(int(row[1]))}", text
    )
    what = {"": "the array", ".labels": "the labels"}
    text = re.sub(
        rf"{path}/(\d+)(\.labels|)\.(?:npy|txt)",
        lambda file: f"{what[file[2]]} of {called}, {row_name(int(file[1]))}",
        text,
    )
    text = re.sub(rf"{path}(?:/metadata\.jsonl)?", called, text)
    # "the data, row 4 (index 3): the array of the data, row 4 (index 3): ..."
    return re.sub(
        rf"({called}, row \d+ \(index \d+\): the (?:array|labels)) of {called}, row \d+ \(index \d+\)",
        r"\1",
        text,
    )


def found_again(config: RunConfig, folder: Path) -> RunConfig:
    """The options of a run whose folder was moved since, with what it keeps where that lies now."""
    found = {}
    for name in _STEMS:
        path = Path(getattr(config.data, name, None) or "")
        if path.parent.name == GIVEN and not path.exists() and (folder / GIVEN / path.name).exists():
            found[name] = str((folder / GIVEN / path.name).resolve())
    return config.changed(found) if found else config


@contextmanager
def staged(data: Any, options: Mapping[str, Any], beside: str | Path | None = None) -> Iterator[Given]:
    """Data that a training is given, on the disk; what is not moved elsewhere is deleted at the end.

    Args:
        data: a path, or data in memory.
        options: of the training; `validation` may be data as well.
        beside: the run folder to be, or None.
    Raises:
        DataError: the data cannot be read (the message names the row).
    """
    named = {"source": data, "validation": options.get("validation")}
    in_memory = [name for name, one in named.items() if is_in_memory(one)]
    given = Given(Path(), Options(options))
    if not in_memory:
        given.options["source"] = data
        yield given
        return
    _refuse_file_options(options)
    # On the disk of the run: it is moved there, and /tmp may be small.
    place = Path(tempfile.mkdtemp(prefix=".throughtime-", dir=_nearest_folder(beside)))
    given.folder = place / GIVEN  # readable for those who may read the run, which the folder around it is not
    given.folder.mkdir()
    try:
        for name in in_memory:
            given.parts[name] = _written(named[name], given, name)
        given.options |= {"source": data, **{name: str(path) for name, path in given.parts.items()}}
        with given.errors_in_words():
            yield given
    finally:
        shutil.rmtree(place, ignore_errors=True)


@contextmanager
def on_disk(data: Any, options: Mapping[str, Any]) -> Iterator[str | Path]:
    """A path to data that is measured, which may lie in memory.

    Args:
        data: a path, or data in memory.
        options: of the run, with its task.
    Raises:
        DataError: the data cannot be read (the message names the row).
    """
    if not is_in_memory(data):
        yield data
        return
    with tempfile.TemporaryDirectory(prefix="throughtime-") as place:
        given = Given(Path(place), Options(options))
        given.parts["source"] = path = _written(data, given, "source")
        with given.errors_in_words():
            yield path


def _written(data: Any, given: Given, name: str) -> Path:
    try:
        if isinstance(data, Text):
            return write_text(data.text, given.folder, _STEMS[name])
        rows = rows_of(data, given.options)
        return write_rows(rows, given.folder, _STEMS[name], given.options.get("target"))
    except DataError as error:
        raise DataError(f"{_CALLED[name]}: {error}") from None


def _refuse_file_options(options: Mapping[str, Any]) -> None:
    """Options that say how a file is written say nothing of data in memory."""
    for name in ("encoding", "header"):
        if options.get(name) is not None:
            raise OptionError(f"{name} says how a file is written, and this data is in memory: leave it out")


def _nearest_folder(beside: str | Path | None) -> Path:
    """The folder above a run to be that is there already."""
    place = Path("runs" if beside is None else Path(beside).parent)
    existing: Sequence[Path] = [one for one in (place, *place.parents) if one.is_dir()]
    return existing[0] if existing else Path()
