"""Tokens of a corpus: the same bytes however often the work is killed, and no other corpus by accident."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from throughtime.data import corpus_tokens
from throughtime.data.corpus import CorpusForm, pieces_of
from throughtime.data.corpus_tokens import Corpus, sources_file
from throughtime.data.tokenizer import Tokenizer
from throughtime.data.tokens import TokenFile
from throughtime.errors import DataError, RunError

WORDS = ["the", "quick", "brown", "fox", "jumps", "over", "the", "lazy", "dog", "and", "runs", "away"]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Four files, of which one is cut into pieces."""
    monkeypatch.setattr(corpus_tokens, "pieces_of", lambda sources, form: pieces_of(sources, form, 2_000))
    (tmp_path / "corpus").mkdir()
    for number, length in enumerate((100, 3_000, 1, 200)):
        words = [WORDS[(place * 7 + number) % len(WORDS)] for place in range(length)]
        (tmp_path / "corpus" / f"{number}.txt").write_text(" ".join(words))
    return tmp_path


def make(folder: Path, kind: str = "word", name: str = "tokens", **more: Any) -> TokenFile:
    """Tokenise as a run does; what is there is gone on with."""
    corpus = Corpus(
        f"{folder}/corpus/*.txt", CorpusForm(), folder / name / "text.bin", lambda *_: None, **more
    )
    file = folder / name / "tokenizer.json"
    if not file.exists():
        corpus.vocabulary(kind, 300 if kind == "bpe" else None).save(file)  # type: ignore[arg-type]
    return corpus.tokens(file, Tokenizer.load(file).vocabulary_size)


def whole_text(folder: Path) -> str:
    return "".join(path.read_text() + "\n" for path in sorted((folder / "corpus").iterdir()))


@pytest.mark.parametrize("kind", ["character", "byte", "bpe", "word"])
def test_the_tokens_are_those_of_the_files_one_after_the_other(folder: Path, kind: str) -> None:
    found = make(folder, kind, processes=1)
    tokenizer = Tokenizer.load(folder / "tokens" / "tokenizer.json")
    assert tokenizer.decode(found.tokens).split() == whole_text(folder).split()
    if kind in ("character", "byte"):
        assert tokenizer.decode(found.tokens) == whole_text(folder)
    found.verify()
    entries = json.loads(sources_file(found.path).read_text())["sources"]
    assert [entry["url"] for entry in entries] == [f"{folder}/corpus/{number}.txt" for number in range(4)]
    assert all(entry["size"] and entry["version"] for entry in entries)
    assert entries[-1]["begin"] + entries[-1]["tokens"] == found.count
    begin, count = entries[2]["begin"], entries[2]["tokens"]
    assert tokenizer.decode(found.tokens[begin : begin + count]).strip() == WORDS[2]
    left = {path.name for path in found.path.parent.iterdir()}
    assert left == {"text.bin", "text.bin.json", "text.bin.sources.json", "tokenizer.json"}


def test_several_processes_make_the_same_file(folder: Path) -> None:
    assert make(folder, "character", "one", processes=1).sha256 == (
        make(folder, "character", "three", processes=3).sha256
    )


@pytest.mark.parametrize("after", range(1, 9, 2))
def test_work_that_stops_anywhere_goes_on_to_the_same_file(
    folder: Path, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    whole = make(folder, name="whole", processes=1)
    with monkeypatch.context() as patch:
        write, calls = corpus_tokens.write_atomically, 0

        def failing(path: Path, content: bytes) -> None:
            nonlocal calls
            calls += 1
            if calls > after:
                raise KeyboardInterrupt
            write(path, content)

        patch.setattr(corpus_tokens, "write_atomically", failing)
        with pytest.raises(KeyboardInterrupt):
            make(folder, processes=1)
    growing = folder / "tokens" / "text.bin.begun"
    if growing.exists():  # a kill may come between what is written and its note
        with growing.open("ab") as file:
            file.write(b"torn")
    assert make(folder, processes=1).sha256 == whole.sha256


def test_a_process_that_is_killed_loses_nothing(folder: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from throughtime.data import corpus_tokens as c\n"
        "from throughtime.data.corpus import pieces_of; import tests.data.test_corpus_tokens as t\n"
        "c.pieces_of = lambda sources, form: pieces_of(sources, form, 2_000)\n"
        "write = c.write_atomically\n"
        "c.write_atomically = lambda *a: (write(*a), time.sleep(0.2), print('noted', flush=True))\n"
        f"t.make(Path({str(folder)!r}), 'character', 'killed', processes=2)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=Path(__file__).parents[2],
        stdout=subprocess.PIPE,
        start_new_session=True,
        text=True,
    )
    assert process.stdout is not None
    for _ in range(4):
        assert process.stdout.readline() == "noted\n"
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert (folder / "killed" / "text.bin.begun").exists()
    made = make(folder, "character", "killed", processes=2)
    assert made.sha256 == make(folder, "character", "whole", processes=1).sha256


def test_a_corpus_that_is_another_now_is_refused(folder: Path) -> None:
    make(folder, processes=1)
    shutil.rmtree(folder / "tokens")
    corpus = Corpus(f"{folder}/corpus/*.txt", CorpusForm(), folder / "tokens" / "text.bin", lambda *_: None)
    assert len(corpus.sources) == 4
    first, new = folder / "corpus" / "0.txt", folder / "corpus" / "9.txt"
    new.write_text("more")
    with pytest.raises(RunError, match=r"9\.txt was not there when the corpus was begun: begin again"):
        make(folder)
    new.unlink()
    text = first.read_text()
    time.sleep(0.01)
    first.write_text(text.upper())
    with pytest.raises(RunError, match=r"0\.txt has changed since the corpus was begun"):
        make(folder)
    first.unlink()
    with pytest.raises(RunError, match=r"0\.txt is gone since the corpus was begun"):
        make(folder)


@pytest.mark.parametrize("processes", [1, 2])
def test_a_fault_in_a_file_is_the_users_to_mend(folder: Path, processes: int) -> None:
    (folder / "corpus" / "3.txt").write_bytes(b"abc\xff")
    with pytest.raises(DataError, match=r"3\.txt: byte 0xff at offset 3"):
        make(folder, "character", processes=processes)
    (folder / "corpus" / "3.txt").write_bytes(b"abc")
    with pytest.raises(RunError, match="has changed"):
        make(folder, "character", processes=processes)


def test_a_process_that_ends_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(DataError, match="was ended, perhaps for want of memory"):
        make(folder, "character", processes=2)


def test_nothing_to_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / "corpus").mkdir()
    with pytest.raises(DataError, match="no file to read"):
        make(tmp_path)
    (tmp_path / "corpus" / "a.txt").write_text("")
    with pytest.raises(DataError, match="there is no text to build a vocabulary from"):
        make(tmp_path, "character")
    with pytest.raises(DataError, match="has no text"):
        make(tmp_path, "byte", "other")


def test_a_vocabulary_is_learned_from_the_beginning_of_every_piece(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(corpus_tokens, "VOCABULARY_BYTES", 400)
    found = make(folder, "word", processes=1)
    tokenizer = Tokenizer.load(folder / "tokens" / "tokenizer.json")
    assert set(tokenizer.token_texts()) <= {*WORDS, "<unk>", "<eos>"} | set(whole_text(folder).split())
    assert np.asarray(found.tokens).max() < tokenizer.vocabulary_size
