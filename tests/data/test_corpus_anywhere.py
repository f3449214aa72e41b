"""A corpus that lies behind URLs: the same tokens as of the same files on this machine."""

from __future__ import annotations

import gzip
import json
import zipfile
from pathlib import Path

import pytest

from throughtime.data.corpus import CorpusForm
from throughtime.data.corpus_tokens import Corpus, sources_file
from throughtime.data.tokenizer import Tokenizer
from throughtime.data.tokens import TokenFile
from throughtime.errors import RunError

pytest.importorskip("fsspec", reason="fsspec is not installed")
from fsspec.implementations.memory import MemoryFileSystem  # noqa: E402

TEXTS = [f"document {number}: " + "a word and another " * (number + 1) for number in range(6)]


def tokens(pattern: str, folder: Path) -> TokenFile:
    folder.mkdir(exist_ok=True)
    corpus = Corpus(pattern, CorpusForm(), folder / "text.bin", lambda *_: None)
    file = folder / "tokenizer.json"
    corpus.vocabulary("character", None).save(file)
    return corpus.tokens(file, Tokenizer.load(file).vocabulary_size)


def test_urls_and_archives_give_the_tokens_of_the_files(tmp_path: Path, memory: MemoryFileSystem) -> None:
    (tmp_path / "here").mkdir()
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        for number, text in enumerate(TEXTS):
            (tmp_path / "here" / f"{number}.txt").write_text(text)
            memory.pipe(f"/there/{number}.txt.gz", gzip.compress(text.encode()))
            archive.writestr(f"{number}.txt", text)
    rows = "".join(json.dumps({"text": text}) + "\n" for text in TEXTS)
    memory.pipe("/rows.jsonl", rows.encode())
    here = tokens(f"{tmp_path}/here/*.txt", tmp_path / "a")
    for number, url in enumerate(
        ["memory://there/*.txt.gz", "memory://rows.jsonl", f"zip://*.txt::{tmp_path}/all.zip"]
    ):
        assert tokens(url, tmp_path / f"b{number}").sha256 == here.sha256, url
    known = json.loads(sources_file(tmp_path / "b0" / "text.bin").read_text())["sources"]
    assert [entry["url"] for entry in known] == [f"memory://there/{number}.txt.gz" for number in range(6)]
    assert all(entry["size"] for entry in known)


def test_a_file_behind_a_url_that_changed_is_refused(tmp_path: Path, memory: MemoryFileSystem) -> None:
    memory.pipe("/there/a.txt", b"some text")
    target = tmp_path / "text.bin"
    Corpus("memory://there/*.txt", CorpusForm(), target, lambda *_: None)
    memory.pipe("/there/a.txt", b"some other text")
    with pytest.raises(RunError, match="memory://there/a.txt has changed since the corpus was begun"):
        Corpus("memory://there/*.txt", CorpusForm(), target, lambda *_: None)
