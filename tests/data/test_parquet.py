"""Parquet files: damaged pages, values that cannot be read, and files that would fill the memory."""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from throughtime.data.parquet import parquet_kinds, parquet_length, parquet_rows
from throughtime.data.tables import BadRows, read_rows
from throughtime.errors import DataError
from throughtime.recognition import recognise

pa = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")

ROWS = [{"text": f"text {number}", "label": "a"} for number in range(3000)]


def write(path: Path, table: Any, **options: Any) -> Path:
    parquet.write_table(table, path, **options)
    return path


def test_a_damaged_page_costs_its_row_group_and_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "a.parquet", pa.Table.from_pylist(ROWS), row_group_size=1000, compression="zstd")
    start = parquet.ParquetFile(path).metadata.row_group(1).column(0).data_page_offset
    content = bytearray(path.read_bytes())
    content[start + 40 : start + 400] = b"\x5a" * 360
    path.write_bytes(content)
    with pytest.raises(
        DataError, match=r"a\.parquet line 1001: damaged, and with it the rest of its row group"
    ):
        list(read_rows(path, BadRows(), ("text",)))
    bad = BadRows(skip=True)
    rows = list(read_rows(path, bad, ("text",)))
    assert [row.line for row in rows] == [*range(1, 1001), *range(2001, 3001)]
    assert [row.values["text"] for row in rows[-2:]] == ["text 2998", "text 2999"]
    assert bad.count == 1


@pytest.mark.parametrize(
    "wanted", [(0, 1), (999, 1001), (1000, 2000), (2500, 9000), (1300, None), (3000, None)]
)
def test_a_range_of_rows_is_read_without_the_others(tmp_path: Path, wanted: tuple[int, int | None]) -> None:
    path = write(tmp_path / "a.parquet", pa.Table.from_pylist(ROWS), row_group_size=700)
    rows = list(parquet_rows(path, lambda row, fault: None, *wanted))
    expected = range(wanted[0], min(wanted[1] or 3000, 3000))
    assert rows == [(number + 1, ROWS[number]) for number in expected]
    assert parquet_length(path) == 3000 and parquet_kinds(path) == ["text", "text"]


def test_every_cut_file_and_every_changed_footer_is_an_error(tmp_path: Path) -> None:
    path = write(tmp_path / "a.parquet", pa.Table.from_pylist(ROWS[:50]))
    whole = path.read_bytes()
    for size in range(0, len(whole) - 1, 97):
        path.write_bytes(whole[:size])
        with pytest.raises(DataError):
            list(read_rows(path, BadRows(skip=True)))
    for place in range(len(whole) - 400, len(whole), 3):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x55]) + whole[place + 1 :])
        try:
            list(read_rows(path, BadRows(skip=True)))
        except DataError as error:
            assert "\n" not in str(error)


def test_a_value_that_is_no_text_or_no_date_costs_its_row(tmp_path: Path) -> None:
    binary = pa.array([b"good", b"\xff\xfe", b"fine"], pa.binary())
    texts = pa.Array.from_buffers(pa.string(), 3, binary.buffers())
    times = pa.array([0, 0, 2**62], pa.timestamp("ms"))
    path = write(tmp_path / "a.parquet", pa.table({"text": texts, "when": times}), use_dictionary=False)
    bad = BadRows(skip=True)
    assert [row.values["text"] for row in read_rows(path, bad)] == ["good"]
    assert bad.count == 2 and "line 2: a value cannot be read" in bad.summary()


def test_texts_that_are_stored_as_bytes_are_texts_and_a_column_has_one_name(tmp_path: Path) -> None:
    columns = [pa.array([b"good", b"\xff"]), pa.array(["a", "b"])]
    path = write(tmp_path / "a.parquet", pa.table(dict(zip(("text", ""), columns, strict=True))))
    assert [row.values["text"] for row in read_rows(path, BadRows())] == ["good", b"\xff"]
    write(path, pa.Table.from_arrays(columns, ["text", "text"]))
    with pytest.raises(DataError, match=r"a\.parquet: column 'text' occurs twice"):
        next(read_rows(path, BadRows()))


def test_a_long_word_that_is_repeated_is_not_unfolded(tmp_path: Path) -> None:
    words = pa.DictionaryArray.from_arrays(pa.array([0] * 100_000, pa.int32()), pa.array(["x" * 10_000_000]))
    path = write(tmp_path / "a.parquet", pa.table({"text": words}), store_schema=False)
    rows = read_rows(path, BadRows())
    tracemalloc.start()
    before = pa.total_allocated_bytes()
    try:
        assert [len(next(rows).values["text"]) for _ in range(3)] == [10_000_000] * 3
        assert tracemalloc.get_traced_memory()[1] < 200 << 20
        assert pa.total_allocated_bytes() - before < 200 << 20
    finally:
        tracemalloc.stop()
    lists = pa.ListArray.from_arrays(pa.array([0, 100_000], pa.int32()), words)
    path = write(tmp_path / "b.parquet", pa.table({"captions": lists}), store_schema=False)
    with pytest.raises(
        DataError, match=r"the lists of 'captions.* hold 1,000,000,000,000 bytes: .*MAX_EXAMPLE"
    ):
        next(read_rows(path, BadRows()))


def test_a_list_of_millions_of_nulls_is_refused_by_what_the_file_announces(tmp_path: Path) -> None:
    lists = pa.ListArray.from_arrays(pa.array([0, 40_000_000], pa.int32()), pa.nulls(40_000_000, pa.int8()))
    path = write(tmp_path / "a.parquet", pa.table({"x": lists, "label": ["a"]}), compression="zstd")
    assert path.stat().st_size < 10_000
    with pytest.raises(DataError, match="the lists of 'x.* hold 640,000,000 bytes"):
        next(read_rows(path, BadRows()))


def test_ordinary_values_of_every_kind_come_through(tmp_path: Path) -> None:
    rows = [
        {
            "text": "a dog",
            "captions": ["a", "b"],
            "steps": [[1.0, 2.0], [3.0]],
            "facts": {"x": ["y"]},
            "n": 3,
        },
        {"text": None, "captions": [], "steps": None, "facts": None, "n": None},
    ] * 2000
    path = write(tmp_path / "a.parquet", pa.Table.from_pylist(rows), row_group_size=1500)
    assert [row.values for row in read_rows(path, BadRows())] == rows


def test_training_on_a_table_that_cannot_be_read_says_so(tmp_path: Path) -> None:
    for name in ("a.parquet", "a.csv.gz"):
        (tmp_path / name).write_bytes(b"no such table")
        with pytest.raises(DataError, match=f"{name} (cannot be read as Parquet|is damaged or no gzip file)"):
            recognise(tmp_path / name)
