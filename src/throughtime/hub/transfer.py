"""Runs to the Hub, and from it."""

from __future__ import annotations

import shutil
from pathlib import Path

from throughtime.errors import MissingExtraError, OptionError, RunError
from throughtime.extras import install_command
from throughtime.files import copy_atomically
from throughtime.hub.cache import HubName, fetch, is_hub_name, one_line, run_folder
from throughtime.hub.card import CARD, card_of, write_hub_files
from throughtime.hub.shared_files import SHARED_FILES, SharedFile, shared_files
from throughtime.run.run import Run


def to_be_pushed(folder: str | Path, name: HubName) -> tuple[Run, list[SharedFile]]:
    """Open a run that is to be pushed, and list what will be sent, its card with the name that it will have.

    Raises:
        RunError: it is no finished run, it lies in the Hub's cache, or one of its files is a symbolic link.
    """
    if is_hub_name(folder):
        raise OptionError(f"{folder} is on the Hub already: pull it into a folder first, with --out")
    run = Run.open(folder)
    if run.is_unfinished:
        raise RunError(f"{folder} has no weights but those of a checkpoint: finish the training first")
    _ = run.program  # a run of an older version gets one here
    write_hub_files(run)  # which a run of an older version lacks
    card = card_of(run, str(name))
    return run, [
        SharedFile(CARD, len(card)) if file.name == CARD and card is not None else file
        for file in shared_files(run.folder)
    ]


def push(run: Run, files: list[SharedFile], name: HubName, message: str, create: str | None = None) -> str:
    """Send files of a run to the Hub.

    Args:
        run: the run, whose card's commands name the repository from now on.
        files: of it.
        name: where to.
        message: of the commit.
        create: "public" or "private": make the repository first, unless it is there.
    Returns:
        Where the commit can be seen.
    Raises:
        MissingExtraError: huggingface_hub is not installed.
        RunError: the Hub refused.
    """
    try:
        from huggingface_hub import HfApi
    except ImportError:
        command = install_command("hub", "huggingface_hub")
        raise MissingExtraError(f"push needs huggingface_hub: install it with `{command}`") from None
    api = HfApi()
    write_hub_files(run, str(name))
    try:
        if create is not None:
            api.create_repo(name.repository, private=create == "private", exist_ok=True)
        done = api.upload_folder(
            repo_id=name.repository,
            folder_path=str(run.folder),
            revision=name.revision,
            allow_patterns=[file.name for file in files],
            commit_message=message,
        )
    except Exception as error:  # of several libraries, by its version
        advice = "" if create is not None else " (--create private or public makes the repository first)"
        raise RunError(f"{name} was not pushed: {one_line(error)}{advice}") from None
    return str(getattr(done, "commit_url", done))


def pull(name: HubName, out: Path | None = None) -> Path:
    """Bring a run from the Hub.

    Args:
        name: which.
        out: a folder to copy it to; None leaves it in the Hub's cache.
    Returns:
        Where it is.
    Raises:
        RunError: it cannot be fetched, it is no run, or `out` is there already.
        MissingExtraError: huggingface_hub is not installed.
    """
    if out is not None and out.exists():
        raise RunError(f"{out} exists already: choose another --out")
    fetch(name)
    folder = run_folder(str(name))
    Run.open(folder)  # what it says of itself is checked before anybody uses it
    if out is None:
        return folder
    try:
        for file in SHARED_FILES:
            if (folder / file).is_file():
                copy_atomically(folder / file, out / file)
    except BaseException:
        shutil.rmtree(out, ignore_errors=True)
        raise
    return out
