"""Tokenises a corpus that is larger than memory should be: speed, memory, and the same bytes after kills.

It writes shards of text (words of a vocabulary by Zipf's law, with a seed), makes one token file of them
without a break, and then again with kills at random moments, and compares the checksums. Memory is the
resident memory of all processes together, asked for five times a second.

Example:
    python benchmarks/tokenise.py --gigabytes 5 --tokenizer bpe --kills 3
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from throughtime.data.corpus import CorpusForm
from throughtime.data.corpus_tokens import Corpus
from throughtime.data.tokenizer import Tokenizer

SHARD_BYTES = 256 << 20
WORDS = 50_000


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--gigabytes", type=float, default=1.0, help="of text (10^9 bytes)")
    parser.add_argument("--tokenizer", default="bpe", choices=["character", "byte", "bpe", "word"])
    parser.add_argument("--vocabulary", type=int, default=None)
    parser.add_argument("--form", default="text", choices=["text", "jsonl", "parquet"])
    parser.add_argument("--kills", type=int, default=3)
    parser.add_argument("--processes", type=int, default=None, help="None is one for each processor")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folder", type=Path, default=None, help="for the corpus; kept where it is given")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--work", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.work is not None:
        tokenise(arguments.work, arguments)
        return
    folder = arguments.folder or Path(tempfile.mkdtemp(prefix="tokenise-"))
    try:
        figures = measure(folder, arguments)
    finally:
        if arguments.folder is None:
            shutil.rmtree(folder, ignore_errors=True)
    print(json.dumps(figures, indent=1))
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=1))


def tokenise(work: Path, arguments: argparse.Namespace) -> None:
    """What a training does first, in a process that may be killed."""
    form = CorpusForm()
    pattern = f"{work.parent}/corpus/*"
    corpus = Corpus(pattern, form, work / "text.bin", lambda *_: None, arguments.processes)
    file = work / "tokenizer.json"
    if not file.exists():
        size = arguments.vocabulary or (16_000 if arguments.tokenizer == "bpe" else None)
        corpus.vocabulary(arguments.tokenizer, size).save(file)
    corpus.tokens(file, Tokenizer.load(file).vocabulary_size)


def measure(folder: Path, arguments: argparse.Namespace) -> dict[str, object]:
    """The figures."""
    size = write_corpus(folder / "corpus", int(arguments.gigabytes * 1e9), arguments.form, arguments.seed)
    seconds, peak = run(folder / "whole", arguments)
    whole = description(folder / "whole")
    shutil.rmtree(folder / "whole")
    moments = random.Random(arguments.seed)
    killed_peak, kills = 0, 0
    while kills < arguments.kills:
        found = run(folder / "killed", arguments, moments.uniform(0.1, 0.9) * seconds / (arguments.kills + 1))
        killed_peak, kills = max(killed_peak, found[1]), kills + 1
    last, last_peak = run(folder / "killed", arguments)
    again = description(folder / "killed")
    shutil.rmtree(folder / "killed")
    return {
        "text_bytes": size,
        "form": arguments.form,
        "tokenizer": arguments.tokenizer,
        "tokens": whole["count"],
        "seconds": round(seconds, 1),
        "megabytes_per_second": round(size / seconds / 1e6, 1),
        "peak_resident_gigabytes": round(max(peak, killed_peak, last_peak) / 1e9, 3),
        "kills": kills,
        "seconds_after_the_last_kill": round(last, 1),
        "sha256": whole["sha256"],
        "same_after_kills": whole["sha256"] == again["sha256"],
        "processors": len(os.sched_getaffinity(0)),
        "load": os.getloadavg()[0],
        "python": platform.python_version(),
    }


def run(work: Path, arguments: argparse.Namespace, until: float | None = None) -> tuple[float, int]:
    """Tokenise in a process of its own; seconds and peak memory of it and its children.

    Args:
        until: kill it after so many seconds.
    """
    work.mkdir(exist_ok=True)
    command = [sys.executable, __file__, "--work", str(work), "--tokenizer", arguments.tokenizer]
    for name in ("vocabulary", "processes"):
        if getattr(arguments, name) is not None:
            command += [f"--{name}", str(getattr(arguments, name))]
    begin = time.perf_counter()
    process = subprocess.Popen(command, start_new_session=True)
    peak = 0
    while process.poll() is None:
        peak = max(peak, resident(process.pid))
        if until is not None and time.perf_counter() - begin > until:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            return time.perf_counter() - begin, peak
        time.sleep(0.2)
    if process.returncode:
        raise SystemExit(f"it ended with {process.returncode}")
    return time.perf_counter() - begin, peak


def resident(group: int) -> int:
    """The resident memory of a process and of those that it started, in bytes."""
    total = 0
    for place in Path("/proc").iterdir():
        if place.name.isdecimal():
            try:
                fields = (place / "stat").read_text().rpartition(")")[2].split()
                if int(fields[2]) == group:
                    total += int((place / "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
            except (OSError, IndexError, ValueError):
                continue
    return total


def description(work: Path) -> dict[str, object]:
    """What the token file says of itself."""
    return json.loads((work / "text.bin.json").read_text())


def write_corpus(folder: Path, size: int, form: str, seed: int) -> int:
    """Shards of text; the bytes that they hold together. Those of an earlier call are taken as they are."""
    folder.mkdir(parents=True, exist_ok=True)
    suffix = {"text": "txt", "jsonl": "jsonl", "parquet": "parquet"}[form]
    lines = make_lines(seed)
    generator = np.random.default_rng(seed)
    count = -(-size // SHARD_BYTES)
    for number in range(count):
        path = folder / f"{number:04}.{suffix}"
        order = generator.permutation(len(lines))
        if not path.exists():
            write_shard(path, [lines[place] for place in order], size // count, form)
    return sum(path.stat().st_size for path in folder.iterdir())


def make_lines(seed: int) -> list[str]:
    """About 30 MB of lines; every shard has them in another order, as often as it takes."""
    letters = np.random.default_rng(0)
    words = np.array(
        ["".join(map(chr, letters.integers(97, 123, letters.integers(2, 11)))) for _ in range(WORDS)]
    )
    ranks = np.minimum(np.random.default_rng(seed).zipf(1.2, 6_000_000) - 1, WORDS - 1)
    text = words[ranks].tolist()
    return [" ".join(text[begin : begin + 150]) for begin in range(0, len(text), 150)]


def write_shard(path: Path, lines: list[str], size: int, form: str) -> None:
    """One file of about so many bytes."""
    partial, written = path.with_suffix(".partial"), 0
    rows = [json.dumps({"text": line}) for line in lines] if form == "jsonl" else lines
    block = ("\n".join(rows) + "\n").encode()
    if form == "parquet":
        import pyarrow
        import pyarrow.parquet

        times = max(round(size / len(block)), 1)
        table = pyarrow.table({"text": lines * times})
        pyarrow.parquet.write_table(table, partial, row_group_size=20_000)
    else:
        with partial.open("wb") as file:
            while written < size:
                file.write(block)
                written += len(block)
    partial.rename(path)


if __name__ == "__main__":
    main()
