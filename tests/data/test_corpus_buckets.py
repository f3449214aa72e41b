"""A corpus in a bucket behind a bad line, read by several processes: the tokens of the same files here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.data.test_corpus_anywhere import TEXTS, tokens

# Its server, its line that breaks, and what they need.
buckets = pytest.importorskip("tests.predicting.test_buckets", reason="there is no bucket to read from")
line = buckets.line


def test_a_bucket_behind_a_bad_line_gives_the_same_tokens(tmp_path: Path, line: Any) -> None:
    from s3fs import S3FileSystem

    (tmp_path / "here").mkdir()
    bucket = S3FileSystem(endpoint_url=f"http://127.0.0.1:{line.behind}")
    bucket.mkdir("texts")
    for number, text in enumerate(TEXTS):
        (tmp_path / "here" / f"{number}.txt").write_text(text * 50)
        bucket.put(str(tmp_path / "here" / f"{number}.txt"), f"texts/{number}.txt")
    line.is_bad = True
    there = tokens("s3://texts/*.txt", tmp_path / "there")
    assert line.broken > 3
    assert there.sha256 == tokens(f"{tmp_path}/here/*.txt", tmp_path / "a").sha256
