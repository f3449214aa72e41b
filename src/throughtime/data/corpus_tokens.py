"""A corpus as one file of tokens: made once, piece by piece, in several processes, and resumed after a kill.

```
files --pieces--> processes --parts/000007.bin--> in order --> text.bin.begun --renamed--> text.bin
```

What is done is done: a part that is whole stays, and what has been joined is noted. Nothing is kept in memory
but a block for each process.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from throughtime.data.corpus import BadRows, CorpusForm, find_corpus, pieces_of, text_blocks
from throughtime.data.corpus_worker import Job, do
from throughtime.data.pieces import whole_pieces
from throughtime.data.tokenizer import Tokenizer
from throughtime.data.tokens import TokenFile, describe_tokens, token_type
from throughtime.data.vocabularies import TokenizerKind
from throughtime.errors import DataError, RunError
from throughtime.facts import read_json
from throughtime.files import naming, write_atomically

# What bpe and words are learned from, at most: more text hardly changes them, and their counts fill memory.
VOCABULARY_BYTES = 256 << 20
# Each takes 100 to 400 MB.
_MOST_PROCESSES = 8
_COPY = 1 << 20

Show = Callable[[str, int, int], None]


@dataclass(frozen=True)
class SourceEntry:
    """A file of the corpus.

    Args:
        url, size, version: as of `Source`.
        begin, tokens: where its tokens are in the token file; -1 before they are.
    """

    url: str
    size: int | None
    version: str
    begin: int = -1
    tokens: int = -1


@dataclass(frozen=True)
class Manifest:
    """Which files a token file is made of: TOKENS.sources.json.

    Args:
        pattern: as the user named them.
        form: how they are written, as JSON.
        sources: the files.
        bad: rows that were left out.
    """

    pattern: str
    form: dict[str, Any]
    sources: list[SourceEntry]
    bad: int = 0


@dataclass(frozen=True)
class _Joined:
    """How far the parts have been joined.

    Args:
        pieces: how many.
        counts: the tokens of each.
        bad: rows that were left out.
    """

    pieces: int
    counts: list[int]
    bad: int


class Corpus:
    """The files of a pattern or a URL, and the token file that they become.

    Args:
        pattern: as the user named them.
        form: how they are written.
        target: the token file; what is made on the way lies beside it.
        show: called with what is done, and how much of how much.
        processes: how many; None is one for each processor, and at most 8.
    Raises:
        DataError: there are no such files.
        RunError: the work was begun with other files, or with a file that has changed since.
    """

    def __init__(
        self, pattern: str, form: CorpusForm, target: Path, show: Show, processes: int | None = None
    ) -> None:
        self._pattern, self._form, self._target, self._show = pattern, form, target, show
        self.sources = find_corpus(pattern)
        self._parts = target.with_name(f"{target.stem}-parts")
        self._manifest = sources_file(target)
        self._check_begun()
        self.pieces = pieces_of(self.sources, form)
        if processes is None:
            processes = min(_processors(), _MOST_PROCESSES)
        # memory:// is the memory of this process.
        inside = any(piece.source.url.startswith("memory:") for piece in self.pieces)
        self._processes = 1 if inside else min(processes, len(self.pieces))

    def _check_begun(self) -> None:
        """Hold the files to those that the work was begun with; note them where it begins."""
        entries = [SourceEntry(one.url, one.size, one.version) for one in self.sources]
        now = Manifest(self._pattern, asdict(self._form), entries)
        if not self._manifest.exists():
            self._target.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(self._manifest, json.dumps(asdict(now), indent=1).encode())
            return
        begun = read_json(self._manifest, Manifest)
        before = {one.url: one for one in begun.sources}
        for entry in entries:
            known = before.pop(entry.url, None)
            if known is None:
                raise RunError(f"{entry.url} was not there when the corpus was begun: {_AGAIN}")
            if (known.size, known.version) != (entry.size, entry.version):
                raise RunError(f"{entry.url} has changed since the corpus was begun: {_AGAIN}")
        if before:
            raise RunError(f"{next(iter(before))} is gone since the corpus was begun: {_AGAIN}")
        if begun.form != now.form:
            raise RunError(f"{self._manifest} was begun with other options: {_AGAIN}")

    def vocabulary(self, kind: TokenizerKind, size: int | None) -> Tokenizer:
        """Learn the vocabulary: characters from everything, bpe and words from the beginning of every piece.

        Raises:
            DataError, OptionError: as of `Tokenizer.train`.
        """
        if kind == "character":
            jobs = [self._job(number, None) for number in range(len(self.pieces))]
            known: set[str] = set()
            for _, found in self._done("looking for characters", jobs):
                known.update(found["characters"])
            return Tokenizer.train_on_texts(kind, ["".join(sorted(known))] if known else [])
        return Tokenizer.train_on_texts(kind, () if kind == "byte" else whole_pieces(self._sample()), size)

    def _sample(self) -> Iterator[str]:
        every = sum(VOCABULARY_BYTES if one.size is None else one.size for one in self.sources)
        each = VOCABULARY_BYTES if every <= VOCABULARY_BYTES else VOCABULARY_BYTES // len(self.pieces)
        bad = BadRows(self._form.skip_bad)
        for number, piece in enumerate(self.pieces):
            left = each
            for text in text_blocks(piece, self._form, bad):
                if len(text) > left:
                    yield _whole_words(text[:left])
                    break
                yield text
                left -= len(text)
            self._show("building the vocabulary", number + 1, len(self.pieces))

    def tokens(self, tokenizer_file: Path, vocabulary_size: int) -> TokenFile:
        """Make the token file, or what is missing of it.

        Args:
            tokenizer_file: tokenizer.json.
            vocabulary_size: of it.
        Raises:
            DataError: a file cannot be read, holds a character that the vocabulary lacks, or nothing at all.
            RunError: a file of the run folder is damaged.
        """
        if self._target.exists():
            return TokenFile.open(self._target)
        width = token_type(vocabulary_size).itemsize
        growing, note = self._beside("begun"), self._beside("begun.json")
        joined = read_json(note, _Joined) if note.exists() and growing.exists() else _Joined(0, [], 0)
        jobs = [self._job(number, tokenizer_file) for number in range(len(self.pieces))]
        with naming(growing), growing.open("ab") as file:
            if file.tell() < sum(joined.counts) * width:
                raise RunError(f"{growing} is shorter than {note.name} says: {_AGAIN}")
            file.truncate(sum(joined.counts) * width)
            for number, found in self._done("tokenising", jobs, joined.pieces):
                part = Path(jobs[number].target)
                if found["tokens"]:
                    with part.open("rb") as content:
                        shutil.copyfileobj(content, file, _COPY)
                file.flush()
                os.fsync(file.fileno())
                counts = [*joined.counts, found["tokens"]]
                joined = _Joined(number + 1, counts, joined.bad + found["bad"])
                write_atomically(note, json.dumps(asdict(joined)).encode())
                for path in part.parent.glob(f"{part.name}*"):
                    path.unlink(missing_ok=True)
        return self._finish(growing, joined, vocabulary_size)

    @property
    def left_out(self) -> int:
        """Rows without a text, of a corpus that is done."""
        return read_json(self._manifest, Manifest).bad

    def _finish(self, growing: Path, joined: _Joined, vocabulary_size: int) -> TokenFile:
        if not sum(joined.counts):
            raise DataError(f"{self._pattern} has no text")
        digest = hashlib.sha256()
        with growing.open("rb") as file:
            while block := file.read(_COPY):
                digest.update(block)
        describe_tokens(self._target, sum(joined.counts), digest.hexdigest(), vocabulary_size)
        entries, begin = [], 0
        for source in self.sources:
            pairs = zip(self.pieces, joined.counts, strict=True)
            count = sum(tokens for piece, tokens in pairs if piece.source == source)
            entries.append(SourceEntry(source.url, source.size, source.version, begin, count))
            begin += count
        manifest = Manifest(self._pattern, asdict(self._form), entries, joined.bad)
        write_atomically(self._manifest, json.dumps(asdict(manifest), indent=1).encode())
        os.replace(growing, self._target)
        self._beside("begun.json").unlink(missing_ok=True)
        shutil.rmtree(self._parts, ignore_errors=True)
        return TokenFile.open(self._target)

    def _beside(self, end: str) -> Path:
        return self._target.with_name(f"{self._target.name}.{end}")

    def _job(self, number: int, tokenizer_file: Path | None) -> Job:
        name = f"{number:06}.bin" if tokenizer_file is not None else f"{number:06}.characters"
        tokenizer = None if tokenizer_file is None else str(tokenizer_file)
        return Job(self.pieces[number], self._form, tokenizer, str(self._parts / name))

    def _done(self, what: str, jobs: Sequence[Job], first: int = 0) -> Iterator[tuple[int, dict[str, Any]]]:
        """The answers to jobs in their order, while processes do those that follow."""
        total = len(jobs)
        self._show(what, first, total)
        if self._processes == 1:
            for number in range(first, total):
                yield number, do(jobs[number])
                self._show(what, number + 1, total)
            return
        with _Processes(self._processes) as processes:
            ahead = iter(range(first, total))
            # A few more than are worked on: a slow piece does not stop the others, nor do parts pile up.
            waiting: list[tuple[int, Future[dict[str, Any]]]] = []

            def ask() -> None:
                for number in ahead:
                    waiting.append((number, processes.ask(jobs[number])))
                    return

            for _ in range(3 * self._processes):
                ask()
            while waiting:
                number, future = waiting.pop(0)
                yield number, future.result()
                ask()
                self._show(what, number + 1, total)


def _whole_words(text: str) -> str:
    """A text that was cut, without the word at its end."""
    words = text.rsplit(maxsplit=1)
    return text[: len(text) - len(words[-1])] + "\n" if words and not text[-1].isspace() else text


_AGAIN = "begin again, with `throughtime train ... --overwrite`"


def has_begun(folder: Path) -> bool:
    """Whether a folder of token files has any that would have to be made again, or a part of one."""
    return any(any(folder.glob(pattern)) for pattern in ("*.bin", "*.begun.json", "*-parts/*.done"))


def sources_file(target: Path) -> Path:
    """What a token file is made of, beside it."""
    return target.with_name(f"{target.name}.sources.json")


def _processors() -> int:
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity is not None else os.cpu_count() or 1


class _Processes:
    """Processes that do jobs, each held by a thread of this one."""

    def __init__(self, count: int) -> None:
        self._own = threading.local()
        self._every: list[subprocess.Popen[str]] = []
        self._lock = threading.Lock()
        self._closed = False
        self._threads = ThreadPoolExecutor(count, thread_name_prefix="corpus")

    def __enter__(self) -> _Processes:
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._closed = True
            for process in self._every:
                process.kill()
        self._threads.shutdown(cancel_futures=True)
        for process in self._every:
            process.wait()
            for stream in (process.stdin, process.stdout):
                if stream is not None:
                    with suppress(OSError):  # what was not written yet has nobody to read it
                        stream.close()

    def ask(self, job: Job) -> Future[dict[str, Any]]:
        """Have a job done."""
        return self._threads.submit(self._do, job)

    def _do(self, job: Job) -> dict[str, Any]:
        process = getattr(self._own, "process", None)
        if process is None:
            process = self._own.process = self._start()
        assert process.stdin is not None and process.stdout is not None
        try:
            process.stdin.write(job.as_json() + "\n")
            process.stdin.flush()
            line = process.stdout.readline()
        except (OSError, ValueError):
            line = ""
        if not line:
            raise DataError(f"the process that read {job.piece.name} was ended, perhaps for want of memory")
        answer = json.loads(line)
        if "error" in answer:
            raise DataError(answer["error"])
        return answer["found"]

    def _start(self) -> subprocess.Popen[str]:
        # One thread each: the pieces are what is done side by side.
        single = {"OMP_NUM_THREADS": "1", "RAYON_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
        with self._lock:
            if self._closed:
                raise DataError("the corpus is no longer read")
            process = subprocess.Popen(
                [sys.executable, "-m", "throughtime.data.corpus_worker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                encoding="utf-8",
                env={**os.environ, **single},
            )
            self._every.append(process)
        return process
