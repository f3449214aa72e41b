"""Files anywhere: on this machine, or behind a URL that fsspec knows. Broken connections are made again."""

from __future__ import annotations

import glob
import io
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath, PurePosixPath
from typing import Any, BinaryIO, TypeVar, cast

from throughtime.data.lines import expect_file
from throughtime.errors import DataError, MissingExtraError, ThroughtimeError
from throughtime.extras import install_command

T = TypeVar("T")

# What facts of a file systems of fsspec give that change with its content, best first.
_VERSIONS = (
    "ETag",
    "etag",
    "blob_id",
    "md5Hash",
    "Content-MD5",
    "content_md5",
    "CRC",
    "generation",
    "LastModified",
    "last_modified",
    "Last-Modified",
    "updated",
    "mtime",
    "date_time",
)
# What a request to a server is repeated after, in seconds: long enough for one that asks to slow down.
_PAUSES = (0.2, 1.0, 3.0, 8.0)
# Nothing is gained by asking for these again.
_FINAL = (PermissionError, IsADirectoryError, NotADirectoryError, ImportError)
# Who serves a URL needs this library. fsspec says so itself, but not how to install it here.
_LIBRARIES = {
    "s3": "s3fs",
    "gs": "gcsfs",
    "gcs": "gcsfs",
    "hf": "huggingface_hub",
    "az": "adlfs",
    "abfs": "adlfs",
}
_MAGIC = frozenset("*?[")


class LostError(DataError):
    """A server did not give what it was asked for, however often it was asked."""


@dataclass(frozen=True)
class Source:
    """A file, wherever it is.

    Args:
        url: its path, or a URL of fsspec.
        size: in bytes; None where the server does not say.
        version: what changes with its content: an ETag, or the time of the last change.
    """

    url: str
    size: int | None = None
    version: str = ""

    def __str__(self) -> str:
        return self.url

    @property
    def name(self) -> str:
        """Its last part."""
        if not is_url(self.url):
            return Path(self.url).name
        inner = _inner(self.url)
        # What follows may be a signature.
        return PurePosixPath(inner.partition("?")[0] if _is_web(self.url) else inner).name

    @property
    def suffix(self) -> str:
        """As of a Path."""
        return PurePosixPath(self.name).suffix

    @property
    def path(self) -> Path | Source:
        """The path of a file on this machine; itself behind a URL."""
        return self if is_url(self.url) else Path(self.url)

    def open(self, mode: str = "rb") -> BinaryIO:
        """Open it to read. Behind a URL, a connection that breaks is made again.

        Raises:
            LostError: the server does not give it.
        """
        if not is_url(self.url):
            return Path(self.url).open("rb")
        return cast(BinaryIO, io.BufferedReader(_PatientFile(self.url), 1 << 16))

    def now(self) -> Source:
        """The same file as it is now.

        Raises:
            DataError: it is gone, or cannot be asked for.
        """
        if not is_url(self.url):
            return _local(Path(self.url))
        system, path = _file_system(self.url)
        system.invalidate_cache()
        return _described(self.url, _asked(self.url, lambda: system.info(path)))


class _PatientFile(io.RawIOBase):
    """A file behind a URL, which is opened again where a read fails."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._at = 0
        self._system: Any = None
        self._file: Any = None
        self._size = _asked(url, lambda: self._open().size)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = 0) -> int:
        if whence == 2 and self._size is None:
            raise LostError(
                f"{self._url}: the server does not say how long it is, so it cannot be read in parts"
            )
        self._at = offset + {0: 0, 1: self._at, 2: self._size or 0}[whence]
        return self._at

    def readinto(self, buffer: Any) -> int:
        content = _asked(self._url, lambda: self._read(len(buffer)), self._drop)
        buffer[: len(content)] = content
        self._at += len(content)
        return len(content)

    def close(self) -> None:
        if not self.closed:
            self._drop()
        super().close()

    def _read(self, size: int) -> bytes:
        file = self._open()
        if file.tell() != self._at:
            file.seek(self._at)
        content = file.read(size)
        if not content and self._size is not None and self._at < self._size:
            raise OSError("the connection ended before the file did")
        return content

    def _open(self) -> Any:
        if self._file is None:
            # Kept as long as the file: an archive closes with its file system.
            self._system, path = _file_system(self._url)
            self._file = self._system.open(path, "rb")
        return self._file

    def _drop(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            try:
                file.close()
            except Exception:  # of a connection that is broken anyway
                return


def is_url(name: str) -> bool:
    """Whether a name is a URL, or a chain of them, and no path."""
    return "://" in name


def find_files(names: Sequence[str], wanted: Callable[[Source], bool]) -> list[Source]:
    """The files that names stand for, in a fixed order.

    Args:
        names: files, folders (with all below them), patterns with *, ** and ?, and URLs of these.
        wanted: whether a file of a folder or pattern is one to read; the others are passed over.
    Returns:
        Those of each name sorted, in the order of the names; a file that several names stand for comes once.
    Raises:
        DataError: a name stands for no file (the message names it), or a server does not answer.
        MissingExtraError: a URL needs a library that is not installed.
    """
    found: dict[str, Source] = {}
    for name in names:
        matched = list(_of_url(name) if is_url(name) else _of_path(name))
        several = len(matched) != 1 or matched[0].url != name
        fitting = [source for source in matched if wanted(source)] if several else matched
        if not fitting:
            others = f": {len(matched):,} other files are there, such as {matched[0]}" if matched else ""
            raise DataError(f"{name}: no file to read{others}{_where(name)}")
        for source in sorted(fitting, key=lambda source: source.url):
            found.setdefault(source.url, source)
    return list(found.values())


def _where(name: str) -> str:
    return "" if is_url(name) or os.path.isabs(name) else f" (the working directory is {Path.cwd()})"


def _of_path(name: str) -> Iterator[Source]:
    path = Path(name)
    if path.is_dir():
        files = (file for file in path.rglob("*") if file.is_file())
        yield from (_local(file) for file in files if not _is_hidden(file.relative_to(path)))
    elif path.exists():
        yield _local(path)
    elif _MAGIC.intersection(name):
        matches = map(Path, glob.iglob(name, recursive=True))
        yield from (_local(file) for file in matches if file.is_file())
    else:
        raise DataError(f"{name}: no such file or folder{_where(name)}")


def _is_hidden(file: PurePath | str) -> bool:
    """Whether a file, named from a folder on, is one that Spark, Arrow and we write beside the data."""
    return any(part.startswith((".", "_")) for part in PurePosixPath(file).parts)


def _local(path: Path) -> Source:
    try:
        facts = path.stat()
    except FileNotFoundError:
        raise DataError(f"{path}: no such file or folder{_where(str(path))}") from None
    expect_file(path)
    return Source(str(path), facts.st_size, f"mtime {facts.st_mtime_ns}")


def _of_url(url: str) -> Iterator[Source]:
    system, path = _file_system(url)
    link, *others = url.split("::")
    chain = "".join(f"::{other}" for other in others)
    link = link.rstrip("/")
    # What stands before the path, such as a host, which a file system leaves out of its names.
    begin = link.removesuffix(path) if path and link.endswith(path) else None

    def named(inner: str) -> str:
        if isinstance(inner, str) and is_url(inner):  # of servers whose names are URLs
            return inner + chain
        return (system.unstrip_protocol(inner) if begin is None else begin + inner) + chain

    def listed() -> list[tuple[str, dict[str, Any]]]:
        system.invalidate_cache()
        if _is_pattern(url):
            # Hidden files are meant where the pattern says so, as in a shell; fsspec finds them always.
            every = system.glob(path, detail=True).items()
            return [(one, each) for one, each in every if "/." in f"/{path}" or "/." not in f"/{one}"]
        facts = system.info(path)
        if facts.get("type") != "directory":
            return [(path, facts)]
        every = system.find(path, detail=True).items()
        return [(one, each) for one, each in every if not _is_hidden(one.removeprefix(path))]

    found = _asked(url, listed)
    if len(found) == 1 and found[0][0] == path and not _is_pattern(url):
        yield _described(url, found[0][1])
        return
    for inner, facts in found:
        if facts.get("type") != "directory":
            yield _described(named(inner), facts)


def _described(url: str, facts: dict[str, Any]) -> Source:
    version = next((f"{name} {facts[name]}" for name in _VERSIONS if facts.get(name) is not None), "")
    size = facts.get("size")
    return Source(url, None if size is None else int(size), version)


def _is_web(url: str) -> bool:
    return url.startswith(("http://", "https://"))


def _is_pattern(url: str) -> bool:
    """Whether a URL stands for several files. In one of the web, a question mark begins a query."""
    return bool(_MAGIC.intersection(_inner(url)) - ({"?", "["} if _is_web(url) else set()))


def _inner(url: str) -> str:
    """The path of a URL within the innermost file system."""
    return url.partition("::")[0].partition("://")[2]


def _file_system(url: str) -> tuple[Any, str]:
    """The file system of fsspec for a URL, and the path in it."""
    try:
        from fsspec.core import url_to_fs
    except ImportError:
        raise MissingExtraError(
            f"{url} is a URL, which needs fsspec: install it with `{install_command('files', 'fsspec')}`"
        ) from None
    try:
        return url_to_fs(url)
    except ImportError as error:
        protocols = [link.partition("://")[0] for link in url.split("::")]
        library = next((_LIBRARIES[one] for one in protocols if one in _LIBRARIES), None)
        if library is None:
            raise MissingExtraError(f"{url}: {error}") from None
        raise MissingExtraError(
            f"{url} needs {library}: install it with `{install_command(library, library)}`"
        ) from None
    except ValueError as error:  # a protocol that nobody knows
        raise DataError(f"{url}: {error}") from None


def _asked(url: str, ask: Callable[[], T], between: Callable[[], None] = lambda: None) -> T:
    """What a server answers, asked again where it fails.

    Args:
        between: called before it is asked again.
    """
    for pause in (*_PAUSES, None):
        try:
            return ask()
        except ThroughtimeError:
            raise
        except FileNotFoundError:
            raise LostError(f"{url}: the server has no such file") from None
        except _FINAL as error:
            raise LostError(f"{url} cannot be read: {_said(error)}") from None
        # Each file system has errors of its own, of which few are an OSError.
        except Exception as error:
            between()
            if pause is None or type(error).__name__ == "NoCredentialsError":
                raise LostError(f"{url} cannot be read: {_said(error)}") from None
            time.sleep(pause)
    raise AssertionError("the last attempt raises")


def _said(error: Exception) -> str:
    text = getattr(error, "strerror", None) or str(error)
    return text.splitlines()[0] if text else type(error).__name__
