"""Pieces of a corpus to token numbers: what one process does, and the process that does it for another.

python -m throughtime.data.corpus_worker reads a job in JSON from each line of standard input, and answers it
with a line. It is no fork or spawned copy of its caller: it needs no torch, and a user's script needs no
`if __name__ == "__main__"`.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from throughtime.data.corpus import BadRows, CorpusForm, Piece, byte_blocks, text_blocks
from throughtime.data.tokenizer import Tokenizer
from throughtime.data.tokens import token_bytes, token_type
from throughtime.errors import DataError, ThroughtimeError
from throughtime.files import atomic_file, describe_os_error, write_atomically


@dataclass(frozen=True)
class Job:
    """What is to be done with a piece.

    Args:
        piece: what to read.
        form: how it is written.
        tokenizer: the tokenizer.json to cut it with; None collects its characters instead.
        target: the file to write. Where it is there, whole, the work has been done.
    """

    piece: Piece
    form: CorpusForm
    tokenizer: str | None
    target: str

    def as_json(self) -> str:
        """What `from_json` reads, on one line."""
        return json.dumps({**asdict(self), "piece": self.piece.as_json()})

    @classmethod
    def from_json(cls, text: str) -> Job:
        """The job that `as_json` wrote."""
        value = json.loads(text)
        form = CorpusForm(**value["form"])
        return cls(Piece.from_json(value["piece"]), form, value["tokenizer"], value["target"])


def do(job: Job) -> dict[str, Any]:
    """Do a job.

    Returns:
        `characters`, or the `tokens` and `bad` rows that were counted.
    Raises:
        DataError: the piece cannot be read, or is no longer what it was.
    """
    target = Path(job.target)
    note = target.with_name(f"{target.name}.done")
    if note.exists() and target.exists():
        return json.loads(note.read_text(encoding="utf-8"))
    source = job.piece.source
    if source.version and source.now() != source:
        raise DataError(f"{source} changed while the corpus was read: begin again, with --overwrite")
    target.parent.mkdir(parents=True, exist_ok=True)
    bad = BadRows(job.form.skip_bad)
    found = _characters(job, bad) if job.tokenizer is None else _tokens(job, bad)
    write_atomically(note, json.dumps(found).encode())
    return found


def _characters(job: Job, bad: BadRows) -> dict[str, Any]:
    known: set[int] = set()
    for text in text_blocks(job.piece, job.form, bad):
        code_points = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
        known.update(np.flatnonzero(np.bincount(code_points)).tolist())
    write_atomically(job.target, b"")
    return {"characters": "".join(map(chr, sorted(known))), "bad": bad.count}


def _tokens(job: Job, bad: BadRows) -> dict[str, Any]:
    assert job.tokenizer is not None
    tokenizer = _tokenizer(job.tokenizer)
    if tokenizer.kind == "byte":
        blocks = byte_blocks(job.piece, job.form, bad)
        arrays = (np.frombuffer(block, np.uint8).astype(np.int64) for block in blocks)
    else:
        arrays = tokenizer.encode_blocks(text_blocks(job.piece, job.form, bad), job.piece.name)
    width, count = token_type(tokenizer.vocabulary_size).itemsize, 0
    with atomic_file(job.target) as file:
        for data in token_bytes(arrays, tokenizer.vocabulary_size):
            file.write(data)
            count += len(data) // width
    return {"tokens": count, "bad": bad.count}


@lru_cache(maxsize=1)
def _tokenizer(path: str) -> Tokenizer:
    return Tokenizer.load(path)


def main() -> None:
    """Do the jobs of standard input."""
    answers, sys.stdout = sys.stdout, sys.stderr  # whatever a library prints
    for line in sys.stdin:
        try:
            answer: dict[str, Any] = {"found": do(Job.from_json(line))}
        except ThroughtimeError as error:
            answer = {"error": str(error)}
        except OSError as error:
            answer = {"error": describe_os_error(error)}
        except MemoryError:
            answer = {"error": f"{Job.from_json(line).piece.name}: there is not enough memory"}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
