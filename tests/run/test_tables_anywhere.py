"""Tables in several files, here or behind URLs: what a training prepares is what it makes of one file."""

from __future__ import annotations

import csv
import gzip
import io
import json
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from throughtime.errors import DataError
from throughtime.recognition import settle
from throughtime.run import Run
from throughtime.run.sources import SOURCES
from throughtime.training.making import prepare
from throughtime.training.progress import Progress

pytest.importorskip("fsspec", reason="fsspec is not installed")
from fsspec.implementations.memory import MemoryFileSystem  # noqa: E402

Rows = list[dict[str, Any]]

WORDS = ["a", "the", "dull", "fine", "long", "short", "film", "book"]
REVIEWS: Rows = [
    {"text": f"{WORDS[n % 8]} {WORDS[n % 5]} {WORDS[n % 3]}", "label": ["bad", "good", "fair"][n % 3]}
    for n in range(45)
]
FLOWERS: Rows = [
    {"length": 5 + n / 10, "width": 3 - n % 7, "label": "setosa" if n % 2 else "virginica"} for n in range(36)
]
STEPS: Rows = [{"x": [n, n + 1, 2 * n], "label": "up" if n % 2 else "down"} for n in range(24)]
PAIRS: Rows = [{"source": f"one {n} two", "target": f"eins {n} zwei"} for n in range(30)]
TAGGED: Rows = [{"tokens": ["Anna", f"has{n}", "it"], "tags": ["B-PER", "O", "O"]} for n in range(24)]
LOAD: Rows = [{"date": f"2024-0{1 + n // 28}-{1 + n % 28:02d}", "load": n % 7 + 0.5} for n in range(112)]
NAMES: Rows = [{"text": f"name{n}", "kind": "town" if n % 2 else "river"} for n in range(30)]

# Rows of each task, the format of the files, and the options.
TASKS: dict[str, tuple[Rows, str, dict[str, Any]]] = {
    "texts in Parquet": (REVIEWS, "parquet", {}),
    "texts in CSV": (REVIEWS, "csv", {}),
    "vectors in TSV": (FLOWERS, "tsv", {}),
    "sequences in JSON Lines": (STEPS, "jsonl", {}),
    "numbers to predict": (
        FLOWERS,
        "csv",
        {"target": "number", "label_column": "width", "columns": "length"},
    ),
    "pairs": (PAIRS, "parquet", {}),
    "tagged words": (TAGGED, "jsonl", {}),
    "series": (LOAD, "csv", {"lookback": 8, "horizon": 4}),
    "lines with a condition": (NAMES, "csv", {"lines": True, "condition_columns": "kind"}),
}


def table(rows: Rows, suffix: str) -> bytes:
    """Rows as a file of a format."""
    if suffix == "parquet":
        pyarrow = pytest.importorskip("pyarrow")
        parquet = pytest.importorskip("pyarrow.parquet")
        content = io.BytesIO()
        parquet.write_table(pyarrow.Table.from_pylist(rows), content, row_group_size=5)
        return content.getvalue()
    if suffix == "jsonl":
        return "".join(json.dumps(row) + "\n" for row in rows).encode()
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), delimiter="\t" if suffix == "tsv" else ",")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def in_parts(rows: Rows) -> Iterator[tuple[int, Rows]]:
    """Rows in three parts of unequal length."""
    cuts = [0, len(rows) // 2, len(rows) // 2 + 3, len(rows)]
    return ((number, rows[cuts[number] : cuts[number + 1]]) for number in range(3))


def prepared(source: str, folder: Path, **options: Any) -> tuple[Run, dict[str, bytes]]:
    """The run of a training that is about to begin, and what lies in its folder."""
    config, _ = settle(source, options)
    folder.mkdir(parents=True)
    run = prepare(config, folder, Progress())
    aside = ("config.toml", SOURCES.name)
    files = (file for file in folder.rglob("*") if file.is_file() and file.name not in aside)
    return run, {str(file.relative_to(folder)): file.read_bytes() for file in files}


@pytest.mark.parametrize("name", TASKS)
def test_a_pattern_and_a_url_are_prepared_as_one_file_is(
    name: str, tmp_path: Path, memory: MemoryFileSystem
) -> None:
    rows, suffix, options = TASKS[name]
    (tmp_path / f"all.{suffix}").write_bytes(table(rows, suffix))
    for number, part in in_parts(rows):
        (tmp_path / f"part-{number}.{suffix}").write_bytes(table(part, suffix))
        memory.pipe(f"/there/part-{number}.{suffix}", table(part, suffix))
    _, one = prepared(f"{tmp_path}/all.{suffix}", tmp_path / "one", **options)
    run, here = prepared(f"{tmp_path}/part-*.{suffix}", tmp_path / "here", **options)
    _, there = prepared(f"memory://there/*.{suffix}", tmp_path / "there", **options)
    assert here == one == there
    known = json.loads((run.folder / SOURCES).read_text())["source"]
    assert [Path(file["url"]).name for file in known["files"]] == [f"part-{n}.{suffix}" for n in range(3)]
    assert all(file["size"] and file["version"] for file in known["files"])


def test_archives_and_gzip_are_read_inside(tmp_path: Path, memory: MemoryFileSystem) -> None:
    (tmp_path / "all.csv").write_bytes(table(REVIEWS, "csv"))
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        for number, part in in_parts(REVIEWS):
            archive.writestr(f"part-{number}.csv", table(part, "csv"))
            memory.pipe(f"/there/{number}.csv.gz", gzip.compress(table(part, "csv")))
    _, one = prepared(f"{tmp_path}/all.csv", tmp_path / "one")
    for number, url in enumerate(
        (f"zip://*.csv::{tmp_path}/all.zip", "memory://there/*.csv.gz", "memory://there")
    ):
        assert prepared(url, tmp_path / f"run{number}")[1] == one, url


def test_validation_may_be_a_pattern(tmp_path: Path, memory: MemoryFileSystem) -> None:
    (tmp_path / "train.csv").write_bytes(table(REVIEWS, "csv"))
    for number, part in in_parts(REVIEWS[:12]):
        memory.pipe(f"/late/{number}.csv", table(part, "csv"))
    run, _ = prepared(f"{tmp_path}/train.csv", tmp_path / "run", validation="memory://late/*.csv")
    assert list(json.loads((run.folder / SOURCES).read_text())) == ["validation"]


@pytest.mark.parametrize(
    "second, told",
    [
        (b"text,labl\nfine,good\n", r"b\.csv has no column 'label', which .*a\.csv has.*it has text, labl"),
        (b"text,label,x\nfine,good,1\n", r"b\.csv has a column 'x', which .*a\.csv does not have"),
        (b"text,label\nfine,good\nfine\n", r"b\.csv line 3: 1 fields, expected 2"),
        (b"text,label\nfine,good\n,good\n", r"b\.csv line 3: text is empty"),
    ],
)
def test_a_fault_names_its_file(tmp_path: Path, second: bytes, told: str) -> None:
    (tmp_path / "a.csv").write_bytes(table(REVIEWS, "csv"))
    (tmp_path / "b.csv").write_bytes(second)
    with pytest.raises(DataError, match=told):
        prepared(f"{tmp_path}/*.csv", tmp_path / "run")


def test_a_time_that_goes_back_names_both_files(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(table(LOAD[50:], "csv"))
    (tmp_path / "b.csv").write_bytes(table(LOAD[:50], "csv"))
    with pytest.raises(DataError, match=r"b\.csv line 2: the time is before that of .*a\.csv line 63"):
        prepared(f"{tmp_path}/*.csv", tmp_path / "run", time_column="date", lookback=8, horizon=4)


def test_columns_may_stand_in_another_order(tmp_path: Path) -> None:
    (tmp_path / "all.csv").write_bytes(table(FLOWERS, "csv"))
    for number, part in in_parts(FLOWERS):
        turned = [dict(reversed(row.items())) for row in part] if number else part
        (tmp_path / f"part-{number}.csv").write_bytes(table(turned, "csv"))
    one = prepared(f"{tmp_path}/all.csv", tmp_path / "one")[1]
    assert prepared(f"{tmp_path}/part-*.csv", tmp_path / "run")[1] == one


def test_a_file_that_changes_while_it_is_read_ends_the_training(
    tmp_path: Path, memory: MemoryFileSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    from throughtime.tasks.classifier.run import ClassifierRun

    before: Callable[..., None] = ClassifierRun.prepare

    def prepare_and_change(run: ClassifierRun, show: Progress) -> None:
        before(run, show)
        memory.pipe("/there/1.csv", table(REVIEWS[:3], "csv"))

    for number, part in in_parts(REVIEWS):
        memory.pipe(f"/there/{number}.csv", table(part, "csv"))
    monkeypatch.setattr(ClassifierRun, "prepare", prepare_and_change)
    with pytest.raises(DataError, match=r"memory://there/1\.csv changed while it was read"):
        prepared("memory://there/*.csv", tmp_path / "run")
