"""Files anywhere: patterns, folders and URLs, and connections that break."""

from __future__ import annotations

import builtins
import random
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from throughtime.data import sources
from throughtime.data.parquet import parquet_rows
from throughtime.data.sources import LostError, Source, find_files
from throughtime.errors import DataError, MissingExtraError

fsspec = pytest.importorskip("fsspec")
from fsspec.implementations.memory import MemoryFileSystem  # noqa: E402


def anything(source: Source) -> bool:
    return source.suffix != ".md"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "_PAUSES", (0.0,) * 20)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("b.csv", "a.csv", "deep/c.csv", "deep/er/d.csv", "_done/e.csv", ".f.csv", "notes.md"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (["b.csv", "a.csv"], ["b.csv", "a.csv"]),
        (["."], ["a.csv", "b.csv", "deep/c.csv", "deep/er/d.csv"]),
        (["*.csv"], ["a.csv", "b.csv"]),
        (["**/*.csv"], ["_done/e.csv", "a.csv", "b.csv", "deep/c.csv", "deep/er/d.csv"]),
        (["deep/*", "*.csv", "deep"], ["deep/c.csv", "a.csv", "b.csv", "deep/er/d.csv"]),
        (["[ab].csv"], ["a.csv", "b.csv"]),
    ],
)
def test_names_stand_for_files_in_a_fixed_order(folder: Path, names: list[str], found: list[str]) -> None:
    assert [source.url for source in find_files(names, anything)] == found


def test_a_file_whose_name_looks_like_a_pattern_is_itself(folder: Path) -> None:
    (folder / "[ab].csv").write_text("")
    assert [source.url for source in find_files(["[ab].csv"], anything)] == ["[ab].csv"]


def test_names_of_the_web_end_before_their_query() -> None:
    source = Source("https://host/a/b.csv.gz?signature=x/y.z")
    assert (source.name, source.suffix) == ("b.csv.gz", ".gz")
    assert not sources._is_pattern(source.url) and sources._is_pattern("https://host/*.csv")


def test_files_of_this_machine_may_be_named_by_a_url(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    whole = find_files([str(folder)], anything)
    for url in (f"file://{folder}", f"file://{folder}/", "file://."):
        found = find_files([url], anything)
        assert [source.url for source in found] == [f"file://{source}" for source in whole]
        assert all(source.now() == source for source in found)
    for pattern in ("*.csv", "**/*.csv", ".*.csv", "deep/*"):
        found = find_files([f"file://{folder}/{pattern}"], anything)
        alike = find_files([f"{folder}/{pattern}"], anything)
        assert [source.url for source in found] == [f"file://{source}" for source in alike]


def test_archives_and_compressed_files_are_found_inside(folder: Path) -> None:
    with zipfile.ZipFile(folder / "all.zip", "w") as archive:
        for name in ("x/2.csv", "x/1.csv", "x/n.md"):
            archive.writestr(name, f"text\n{name}\n")
    found = find_files([f"zip://x/*::file://{folder}/all.zip"], anything)
    assert [source.url for source in found] == [f"zip://x/{n}.csv::file://{folder}/all.zip" for n in (1, 2)]
    assert all(source.version and source.size == 13 and source.now() == source for source in found)
    with found[0].open() as file:
        assert file.read() == b"text\nx/1.csv\n"
    whole = find_files([f"zip://::file://{folder}/all.zip"], anything)
    assert [source.name for source in whole] == ["1.csv", "2.csv"]


class Flaky(MemoryFileSystem):
    """A server that breaks most connections, and asks to slow down now and then."""

    protocol = "flaky"
    store: dict[str, Any] = {}
    pseudo_dirs = [""]
    broken = random.Random(1)
    share = 0.4

    def info(self, path: str, **options: Any) -> Any:
        self._fail("503 Slow Down")
        return super().info(path, **options)

    def _open(self, path: str, mode: str = "rb", **options: Any) -> Any:
        self._fail("503 Slow Down")
        file = super()._open(path, mode, **options)
        return _FlakyFile(file) if "r" in mode else file

    def _fail(self, message: str) -> None:
        if self.broken.random() < self.share:
            raise OSError(message)


class _FlakyFile:
    def __init__(self, file: Any) -> None:
        self._file = file
        self.size = file.size

    def read(self, size: int) -> bytes:
        if Flaky.broken.random() < Flaky.share:
            raise ConnectionResetError("connection reset by peer")
        if Flaky.broken.random() < Flaky.share:
            return b""  # cut, as some clients do not notice
        return self._file.read(size)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


@pytest.fixture
def flaky() -> Iterator[None]:
    fsspec.register_implementation("flaky", Flaky, clobber=True)
    Flaky.broken, Flaky.share = random.Random(1), 0.0
    yield
    Flaky.share = 0.0
    Flaky.store.clear()


def test_broken_connections_are_made_again(flaky: None) -> None:
    pa = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    rows = [f"text {number}" for number in range(5000)]
    with fsspec.open("flaky://a/b.parquet", "wb") as file:
        parquet.write_table(pa.table({"text": rows}), file, row_group_size=500)
    Flaky.share = 0.25
    (source,) = find_files(["flaky://a/*.parquet"], anything)

    def report(row: int, fault: str) -> None:
        raise AssertionError(f"row {row}: {fault}")

    assert [values["text"] for _, values in parquet_rows(source, report)] == rows
    assert [number for number, _ in parquet_rows(source, report, 700, 710)] == list(range(701, 711))


def test_a_server_that_stays_away_is_no_damaged_file(flaky: None) -> None:
    pa = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    with fsspec.open("flaky://a/b.parquet", "wb") as file:
        parquet.write_table(
            pa.table({"text": ["a long text"] * 90_000}),
            file,
            use_dictionary=False,
            compression=None,
            row_group_size=30_000,
        )
    reported: list[str] = []
    rows = parquet_rows(find_files(["flaky://a"], anything)[0], lambda row, fault: reported.append(fault))
    next(rows)
    Flaky.share = 1.0
    with pytest.raises(LostError, match="flaky://a/b.parquet cannot be read: (connection reset|503)"):
        list(rows)
    assert not reported
    with pytest.raises(LostError, match="flaky://a/b.parquet cannot be read: 503 Slow Down"):
        find_files(["flaky://a/b.parquet"], anything)


def test_what_is_missing_is_named(flaky: None, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DataError, match="flaky://a/none.csv: the server has no such file"):
        find_files(["flaky://a/none.csv"], anything)
    with pytest.raises(DataError, match=r"flaky://a/\*.csv: no file to read"):
        find_files(["flaky://a/*.csv"], anything)

    def without_s3fs(name: str, *others: Any, **options: Any) -> Any:
        if name.startswith("s3fs"):
            raise ImportError(name)
        return imported(name, *others, **options)

    imported = builtins.__import__
    monkeypatch.setattr(builtins, "__import__", without_s3fs)
    monkeypatch.setattr("importlib.import_module", lambda name, *_: without_s3fs(name))
    fsspec.registry  # noqa: B018
    from fsspec.registry import _registry

    _registry.pop("s3", None)
    with pytest.raises(MissingExtraError, match="s3://bucket/a.csv needs s3fs: install it with .*s3fs"):
        find_files(["s3://bucket/a.csv"], anything)
