"""Tar files that others made, read from the beginning to the end: nothing in them is trusted, links least."""

from __future__ import annotations

import gzip
import tarfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, TypeVar, cast

from throughtime.data.limits import MEMBER_BYTES
from throughtime.data.sources import Source
from throughtime.errors import DataError

T = TypeVar("T")

# Headers that say something about the next one. tarfile reads as much into memory as they claim to hold.
_ABOUT_THE_NEXT = (
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
)
_LONGEST_HEADER = 1 << 20
# Where the next header begins is no place in any file otherwise: tarfile adds to it, and seeks there.
_LONGEST_MEMBER = 1 << 60
_BLOCK = 1 << 20


class _Info(tarfile.TarInfo):
    """A header, where a damaged one is an error: tarfile takes it for the end of the archive."""

    @classmethod
    def frombuf(cls, buf: Any, encoding: str, errors: str) -> _Info:
        try:
            found = cast(_Info, super().frombuf(buf, encoding, errors))
        except (tarfile.InvalidHeaderError, tarfile.TruncatedHeaderError) as error:  # type: ignore[attr-defined]
            raise tarfile.ReadError(str(error)) from None
        if not 0 <= found.size < _LONGEST_MEMBER:
            raise tarfile.ReadError(f"a header claims {found.size:,} bytes")
        return found

    def _proc_member(self, archive: tarfile.TarFile) -> Any:
        if self.type in _ABOUT_THE_NEXT and self.size > _LONGEST_HEADER:
            raise tarfile.ReadError(f"a header claims {self.size:,} bytes")
        return super()._proc_member(archive)  # type: ignore[misc]


class Tar:
    """The files in a tar, one after the other.

    Args:
        file: its content.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        # Which reads the first header.
        self._archive = _read(lambda: tarfile.open(fileobj=file, mode="r:", tarinfo=_Info))  # noqa: SIM115

    def __iter__(self) -> Iterator[tarfile.TarInfo]:
        """Every member, but folders. Its content is read before the next one is asked for, or not at all."""
        while (member := _read(self._archive.next)) is not None:
            # tarfile keeps all of them.
            cast(Any, self._archive).members.clear()
            if not member.isdir():
                yield member

    def check(self, member: tarfile.TarInfo) -> None:
        """Raise DataError for what is no plain file, or too large."""
        if not member.isreg() or member.issparse():
            kind = "a link" if member.issym() or member.islnk() else "no plain file"
            raise DataError(f"{member.name!r:.200} is {kind}, and only plain files are read")
        MEMBER_BYTES.check(member.size, f"{member.name!r:.200} holds")

    def blocks(self, member: tarfile.TarInfo) -> Iterator[bytes]:
        """The content of a member that was checked."""
        self._file.seek(member.offset_data)
        left = member.size
        while left:
            block = self._file.read(min(_BLOCK, left))
            if not block:
                raise tarfile.ReadError(f"{member.name!r:.200} is cut off")
            left -= len(block)
            yield block

    def copy(self, member: tarfile.TarInfo, path: Path) -> None:
        """Write the content of a member that was checked to a new file."""
        with path.open("xb") as file:
            for block in self.blocks(member):
                file.write(block)


def _read(header: Callable[[], T]) -> T:
    """What reading headers gives.

    Raises:
        tarfile.ReadError: one is damaged. tarfile reads numbers in headers as they stand, and headers about
            headers by calling itself.
    """
    try:
        return header()
    except (ValueError, ArithmeticError, LookupError, RecursionError) as error:
        raise tarfile.ReadError(f"a header is damaged ({type(error).__name__})") from None


@contextmanager
def opened(source: Source) -> Iterator[Tar]:
    """A tar, also a .tar.gz; what goes wrong while it is read names it.

    Raises:
        DataError: it cannot be read, or is damaged.
    """
    try:
        with source.open() as file:
            is_packed = source.name.lower().endswith((".gz", ".tgz"))
            yield Tar(cast(BinaryIO, gzip.GzipFile(fileobj=file)) if is_packed else file)
    except (tarfile.TarError, gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(f"{source} is damaged, or no tar file: {error}") from None
