"""One writer a run folder: an operating system's lock, which a killed process cannot leave behind."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from throughtime.errors import RunError
from throughtime.files import describe_os_error, is_unfinished, naming, refuse_link, refuse_odd_name
from throughtime.run.layout import CHECKPOINT, PREPARED

LOCK = ".lock"

# Another process holds it.
_TAKEN = frozenset({errno.EAGAIN, errno.EACCES, errno.EDEADLK})
# The file system, or the server behind it, knows no locks.
_UNSUPPORTED = frozenset(
    {errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL, errno.EBADF}
)
# On Windows a locked byte cannot be read by others: this one lies far behind the process's number.
_LOCKED_BYTE = 1 << 30


@contextmanager
def writing(folder: Path, remark: Callable[[str], None]) -> Iterator[None]:
    """Be the only process that writes into a run folder; the folder is made if it is not there.

    The lock is on the file `.lock`, which holds the writer's process number and stays when the lock is let
    go: a lock on a file that someone deletes would be no lock.

    Args:
        folder: the run folder.
        remark: called with a sentence where the file system has no locks.
    Raises:
        RunError: another process writes into the folder (the message has its number), its name is no UTF-8,
            or a part of it is a symbolic link to elsewhere.
        OSError: the folder cannot be written to.
    """
    refuse_odd_name(folder)
    descriptor = _open(folder, remark)
    try:
        for name in (CHECKPOINT.parts[0], *PREPARED):
            refuse_link(folder / name)
        yield
    finally:
        os.close(descriptor)


def is_empty(folder: Path) -> bool:
    """Whether a folder holds nothing but what a process left that was killed before it had begun."""
    return all(path.name == LOCK or is_unfinished(path) for path in folder.iterdir())


def _open(folder: Path, remark: Callable[[str], None]) -> int:
    """The lock file, locked if the file system can."""
    path = folder / LOCK
    while True:
        folder.mkdir(parents=True, exist_ok=True)
        refuse_link(path)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            _take(descriptor, path, remark)
        except BaseException:
            os.close(descriptor)
            raise
        # The last holder may have removed the folder, after data that could not be used.
        if _is_still_there(descriptor, path):
            return descriptor
        os.close(descriptor)


def _take(descriptor: int, path: Path, remark: Callable[[str], None]) -> None:
    """Lock the file, and write this process's number into it."""
    try:
        with naming(path):
            _lock(descriptor)
    except OSError as error:
        if error.errno in _TAKEN:
            number = _read_number(descriptor)
            who = f"process {number}" if number else "another process"
            raise RunError(
                f"{path.parent} is being written by {who}: wait until it has ended, or stop it"
            ) from None
        if error.errno not in _UNSUPPORTED:
            raise
        remark(
            f"{describe_os_error(error)}: the file system has no locks, so take care that no other process "
            f"trains in {path.parent}"
        )
    # On a full disk the lock holds without the number.
    with suppress(OSError):
        os.ftruncate(descriptor, 0)
        os.write(descriptor, str(os.getpid()).encode())


def _lock(descriptor: int) -> None:
    if os.name == "nt":
        import msvcrt

        os.lseek(descriptor, _LOCKED_BYTE, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)  # pyright: ignore[reportAttributeAccessIssue]
        os.lseek(descriptor, 0, os.SEEK_SET)
    else:
        import fcntl

        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _read_number(descriptor: int) -> str:
    """The holder's process number; "" in the moment before it is written."""
    os.lseek(descriptor, 0, os.SEEK_SET)
    text = os.read(descriptor, 20).decode("ascii", "replace")
    return text if text.isdecimal() else ""


def _is_still_there(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False
