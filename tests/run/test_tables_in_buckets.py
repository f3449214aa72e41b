"""Tables in a bucket behind a bad line: the run that the same tables give on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.run.test_tables_anywhere import REVIEWS, in_parts, prepared, table

# Its server, its line that breaks, and what they need.
buckets = pytest.importorskip("tests.predicting.test_buckets", reason="there is no bucket to read from")
line = buckets.line


def test_a_bucket_behind_a_bad_line_is_prepared_as_files_are(tmp_path: Path, line: Any) -> None:
    from s3fs import S3FileSystem

    bucket = S3FileSystem(endpoint_url=f"http://127.0.0.1:{line.behind}")
    bucket.mkdir("reviews")
    for number, part in in_parts(REVIEWS):
        (tmp_path / f"{number}.parquet").write_bytes(table(part, "parquet"))
        bucket.pipe(f"reviews/{number}.parquet", table(part, "parquet"))
    line.is_bad = True
    _, there = prepared("s3://reviews/*.parquet", tmp_path / "there")
    assert line.broken > 3
    assert there == prepared(f"{tmp_path}/*.parquet", tmp_path / "here")[1]
