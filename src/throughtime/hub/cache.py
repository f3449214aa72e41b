"""Runs that are named hf://owner/name@revision: in the Hub's cache of this machine, or fetched into it.

The cache is read without huggingface_hub, so that what was fetched once runs offline.
Its layout: models--OWNER--NAME/refs/REVISION holds the commit, and snapshots/COMMIT/ the files, which are
symbolic links to blobs/.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from throughtime.errors import MissingExtraError, OptionError, RunError
from throughtime.extras import install_command
from throughtime.hub.shared_files import SHARED_FILES

SCHEME = "hf://"
# Names as the Hub allows them: no `--`, which parts them in the cache, and no `..`.
_PART = r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,94}[A-Za-z0-9])?"
_NAME = re.compile(
    rf"(?P<owner>{_PART})/(?P<name>{_PART})(?:@(?P<revision>[A-Za-z0-9][A-Za-z0-9._/-]{{0,199}}))?"
)
_COMMIT = re.compile(r"[0-9a-f]{40}")
# Without these there is no run: a fetch was cut off, or it is the model of another program.
_NEEDED = ("config.toml", "model.safetensors")
_MOST_FILES = 10_000


@dataclass(frozen=True)
class HubName:
    """A repository of the Hub.

    Args:
        owner, name: of the repository.
        revision: a branch, a tag or a commit.
    """

    owner: str
    name: str
    revision: str = "main"

    @property
    def repository(self) -> str:
        """owner/name."""
        return f"{self.owner}/{self.name}"

    def __str__(self) -> str:
        return f"{SCHEME}{self.repository}" + (f"@{self.revision}" if self.revision != "main" else "")


def is_hub_name(run: str | Path) -> bool:
    """Whether a run is named as on the Hub, be it that a Path has made one slash of the two."""
    return re.match("hf:/", str(run).replace("\\", "/")) is not None


def refuse_hub_name(run: str | Path, advice: str) -> None:
    """Raise OptionError for a run that is named as on the Hub, where something is to be written beside it."""
    if is_hub_name(run):
        raise OptionError(f"{parse_name(run)} is no folder to write into: {advice}")


def parse_name(name: str | Path) -> HubName:
    """Take owner/name@revision apart, with hf:// or without.

    Raises:
        OptionError: it is no such name.
    """
    text = re.sub("^hf:/{1,2}", "", str(name).replace("\\", "/") if is_hub_name(name) else str(name))
    found = _NAME.fullmatch(text)
    if found is None or ".." in text or "--" in f"{found['owner']}/{found['name']}" or text.endswith("/"):
        raise OptionError(
            f"{str(name)!r:.120} is no name on the Hub: write hf://owner/name or hf://owner/name@revision"
        )
    return HubName(found["owner"], found["name"], found["revision"] or "main")


def cache_folder() -> Path:
    """The Hub's cache, where huggingface_hub has it."""
    if place := os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE"):
        return Path(place).expanduser()
    home = os.environ.get("HF_HOME")
    if home is None:
        home = os.path.join(os.environ.get("XDG_CACHE_HOME", os.path.join("~", ".cache")), "huggingface")
    return Path(home).expanduser() / "hub"


def run_folder(run: str | Path) -> Path:
    """The folder of a run that the cache holds; where it does not, it is fetched first.

    Raises:
        RunError: the run is not in the cache and cannot be fetched, or a file of it leads out of it.
        OptionError: the name is none.
        MissingExtraError: it is not in the cache, and huggingface_hub is not installed.
    """
    name = parse_name(run)
    found = _cached(name)
    if found is None:
        try:
            fetch(name)
        except MissingExtraError as error:
            raise MissingExtraError(f"{name} is not in {cache_folder()}, and {error}") from None
        found = _cached(name)
    if found is None:
        raise RunError(f"{name} holds no run of Throughtime: it lacks {' or '.join(_NEEDED)}")
    _refuse_ways_out(found)
    return found


def fetch(name: HubName) -> Path:
    """Bring a run into the cache, or what of it is new. Only files that runs have are fetched.

    Raises:
        MissingExtraError: huggingface_hub is not installed.
        RunError: the Hub cannot be reached, or does not have it.
    """
    try:
        from huggingface_hub import snapshot_download
    except ImportError:
        command = install_command("hub", "huggingface_hub")
        raise MissingExtraError(f"fetching it needs huggingface_hub: install it with `{command}`") from None
    try:
        found = snapshot_download(
            name.repository,
            revision=name.revision,
            cache_dir=str(cache_folder()),
            allow_patterns=list(SHARED_FILES),
        )
    except Exception as error:  # of several libraries, by its version
        raise RunError(f"{name} cannot be fetched: {one_line(error)}") from None
    return Path(found)


def one_line(error: BaseException) -> str:
    """What a library said, on one line of bearable length."""
    return " ".join(str(error).split())[:300] or type(error).__name__


def _cached(name: HubName) -> Path | None:
    """The snapshot of a revision, if all of it is there."""
    place = cache_folder() / f"models--{name.owner}--{name.name}"
    commit = name.revision
    if not _COMMIT.fullmatch(commit):
        try:
            commit = (place / "refs" / name.revision).read_text(encoding="ascii").strip()
        except (OSError, ValueError):
            return None
        if not _COMMIT.fullmatch(commit):
            raise RunError(f"{place / 'refs' / name.revision} is damaged: it names no commit")
    found = place / "snapshots" / commit
    return found if all((found / needed).is_file() for needed in _NEEDED) else None


def _refuse_ways_out(snapshot: Path) -> None:
    """Raise RunError where a file of a snapshot is not in its repository's part of the cache."""
    inside = snapshot.parents[1].resolve()
    for number, path in enumerate(_files(snapshot)):
        if number > _MOST_FILES:
            raise RunError(f"{snapshot} holds more than {_MOST_FILES:,} files, which no run does")
        if not path.resolve().is_relative_to(inside):
            raise RunError(f"{path} leads out of {inside}: no run is read from there")


def _files(folder: Path) -> Iterator[Path]:
    for parent, folders, files in os.walk(folder):
        yield from (Path(parent, name) for name in (*folders, *files))
