"""The footer of a Parquet file says what pyarrow says of it, and damage is a ValueError."""

from __future__ import annotations

import contextlib
from pathlib import Path

import numpy as np
import pytest

from throughtime.data.parquet_footer import read_footer

pa = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    rows = [
        {"text": f"text {n}", "steps": [[1.0, n]] * (n % 3), "facts": {"x": "y"}, "is": n % 2 == 0, "n": None}
        for n in range(500)
    ]
    table = pa.Table.from_pylist(rows).replace_schema_metadata({"a key": "a value" * 100})
    parquet.write_table(table, tmp_path / "a.parquet", row_group_size=200, write_page_index=True)
    return tmp_path / "a.parquet"


def test_it_is_what_pyarrow_reads(path: Path) -> None:
    metadata = parquet.ParquetFile(path).metadata
    groups = read_footer(path)
    assert [group.rows for group in groups] == [200, 200, 100]
    for number, group in enumerate(groups):
        expected = [metadata.row_group(number).column(column) for column in range(metadata.num_columns)]
        assert [(chunk.name, chunk.values, chunk.size, chunk.stored) for chunk in group.chunks] == [
            (one.path_in_schema, one.num_values, one.total_uncompressed_size, one.total_compressed_size)
            for one in expected
        ]


def test_whatever_bytes_change_it_is_read_or_refused(path: Path) -> None:
    whole, generator = path.read_bytes(), np.random.default_rng(0)
    size = int.from_bytes(whole[-8:-4], "little")
    for _ in range(400):
        content = bytearray(whole)
        for place in generator.integers(len(whole) - size - 8, len(whole), generator.integers(1, 5)):
            content[place] = generator.integers(256)
        path.write_bytes(content)
        with contextlib.suppress(ValueError):
            read_footer(path)
    for length in (0, 3, 8, 11, len(whole) - 9):
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match="does not end as a Parquet file does"):
            read_footer(path)


def test_a_footer_that_is_too_deep_is_refused(path: Path) -> None:
    footer = b"\x1c" * 100_000  # a struct that begins with a struct that begins with a struct
    path.write_bytes(b"PAR1" + footer + len(footer).to_bytes(4, "little") + b"PAR1")
    with pytest.raises(ValueError, match="nested too deeply"):
        read_footer(path)
