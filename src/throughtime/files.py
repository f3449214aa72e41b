"""Files that are whole or not there, and errors that name the file: nothing half written survives a crash."""

from __future__ import annotations

import os
import shutil
from collections.abc import Container, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from throughtime.errors import RunError

_PARTIAL = ".partial"


@contextmanager
def atomic_file(path: str | Path) -> Iterator[BinaryIO]:
    """Open a file to write; it takes its name only once it is complete and on the disk.

    An exception inside the `with` leaves what was there before. The temporary file lies in the same folder,
    because a rename is atomic within one file system only. A symbolic link of this name is replaced: what it
    points to stays as it is.

    Raises:
        OSError: the file cannot be written; it names the file.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}{_PARTIAL}")
    try:
        with naming(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            # Not opened if it exists: it might be a link to somewhere else.
            temporary.unlink(missing_ok=True)
            with temporary.open("xb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
            _sync_folder(path.parent)
    except BaseException as error:
        with suppress(OSError):
            temporary.unlink()
        if isinstance(error, OSError) and error.filename == str(temporary):
            error.filename, error.filename2 = str(path), None
        raise


def write_atomically(path: str | Path, content: bytes) -> None:
    """Write a whole file, or leave the one that is there."""
    with atomic_file(path) as file:
        file.write(content)


def copy_atomically(source: str | Path, path: str | Path) -> None:
    """Copy a file, or leave the one that is there."""
    with Path(source).open("rb") as content, atomic_file(path) as file:
        shutil.copyfileobj(content, file)


class GrowingFile:
    """A file that is only added to. It has no buffer: after a failure nothing is left to be written later.

    Args:
        path: the file; it is made if it is not there.
    Raises:
        RunError: it is a symbolic link.
        OSError: it cannot be written, here and in each method; the error names the file.
    """

    def __init__(self, path: Path) -> None:
        refuse_link(path)
        self.path = path
        self._file = path.open("ab", buffering=0)

    def write(self, content: bytes) -> None:
        """Add to the end. On a full disk the beginning of it may stay."""
        left = memoryview(content)
        with naming(self.path):
            while left:
                left = left[self._file.write(left) or 0 :]

    def sync(self) -> int:
        """Bring everything to the disk; return the length in bytes."""
        with naming(self.path):
            os.fsync(self._file.fileno())
            return os.fstat(self._file.fileno()).st_size

    def cut(self, length: int) -> None:
        """Drop what lies behind a length."""
        with naming(self.path):
            self._file.truncate(length)

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()


@contextmanager
def naming(path: str | Path) -> Iterator[None]:
    """Put the file's name into an OSError that has none, as one has from writing to an open file."""
    try:
        yield
    except OSError as error:
        if error.filename is not None:
            raise
        # NumPy and others leave out the number as well.
        raise OSError(error.errno, error.strerror or str(error), str(path)) from error


def describe_os_error(error: OSError) -> str:
    """An OSError in a line: the file, and what went wrong."""
    what = error.strerror or str(error) or type(error).__name__
    return what if error.filename is None else f"{os.fsdecode(error.filename)}: {what}"


def remove_unfinished(
    folder: Path, names: Container[str] | None = None, also_of_running: bool = False
) -> None:
    """Delete what processes that were killed left of files that `atomic_file` was writing.

    Args:
        folder: with all below it.
        names: only of files that are called so.
        also_of_running: also what a process writes that is still there; it ends in an error.
    """
    for path in folder.rglob(f".*{_PARTIAL}"):
        name, _, number = path.name[1:].removesuffix(_PARTIAL).rpartition(".")
        # A process that reads the run may be writing a picture of its own right now.
        if (names is None or name in names) and (also_of_running or not _runs(number)):
            path.unlink(missing_ok=True)


def is_unfinished(path: Path) -> bool:
    """Whether it is a file that `atomic_file` is writing, or was when its process was killed."""
    return path.name.startswith(".") and path.name.endswith(_PARTIAL)


def refuse_link(path: Path) -> None:
    """Raise RunError for a symbolic link: what is written through it would end outside the run folder."""
    if path.is_symlink():
        raise RunError(
            f"{path} is a symbolic link, and nothing is written through one: put the file or folder itself "
            f"there"
        )


def refuse_odd_name(folder: Path) -> None:
    """Raise RunError for a run folder whose name is no UTF-8: pages, pictures and replies show it."""
    if not is_unicode(str(folder.absolute())):
        raise RunError(
            f"{str(folder)!r}: the name of a run folder must be UTF-8: rename it, or choose another"
        )


def is_unicode(name: str) -> bool:
    """Whether a name can be written as UTF-8: a file's may hold other bytes, in Python surrogates."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _runs(number: str) -> bool:
    """Whether another process of this number runs on this machine."""
    if not number.isdecimal() or int(number) in (0, os.getpid()) or os.name != "posix":
        return False
    try:
        os.kill(int(number), 0)
    except PermissionError:
        return True
    except (OSError, OverflowError):
        return False
    try:
        # One that was killed keeps its number until its parent asks for its end, which may be never.
        state = Path(f"/proc/{number}/stat").read_bytes().rpartition(b")")[2].split()[0]
    except (OSError, IndexError):
        return True
    return state not in (b"Z", b"X")


def _sync_folder(folder: Path) -> None:
    # Without this a power cut could lose the rename. Windows cannot open folders, and does not need it.
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
