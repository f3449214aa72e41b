"""Predicts for short texts in Parquet: killed again and again, by one process and by two, and by Ray.

A classifier predicts for every row. Measured are the rows per second of one process and of two, the resident
memory when 10 % and 100 % of the parts are done, and whether a work that is killed ten times at random
moments, and one that Ray does, end with the bytes of the unbroken one.

    python benchmarks/many_files.py --rows 2000000
    python benchmarks/many_files.py --rows 200000 --engines local ray --json many_files.json
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import platform
import random
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

POSITIVE = ["wonderful", "lovely", "brilliant", "great", "superb", "charming"]
NEGATIVE = ["awful", "dull", "boring", "terrible", "weak", "dreadful"]
OTHERS = [
    "the",
    "film",
    "was",
    "a",
    "story",
    "with",
    "actors",
    "and",
    "music",
    "in",
    "this",
    "scene",
    "plot",
    "an",
    "hour",
    "long",
]
ROWS_A_FILE = 500_000
ROWS_A_GROUP = 50_000


@dataclass
class Figures:
    """Of one work.

    Attributes:
        seconds: wall time of the command.
        processor: seconds of all its processes.
        resident_10, resident_100: MiB of all its processes together, when so many percent are done.
        sha256: of all parts and markers.
    """

    name: str
    seconds: float = 0.0
    processor: float = 0.0
    resident_10: float = 0.0
    resident_100: float = 0.0
    kills: int = 0
    sha256: str = ""


def write_text(generator: random.Random, good: bool) -> str:
    """A short text."""
    words = generator.choices(OTHERS, k=generator.randint(3, 14))
    words.insert(generator.randrange(len(words)), generator.choice(POSITIVE if good else NEGATIVE))
    return " ".join(words)


def write_data(folder: Path, rows: int) -> list[str]:
    """Parquet files of short texts, and a table to learn from."""
    import pyarrow as pa
    import pyarrow.parquet as parquet

    generator = random.Random(0)
    lines = [f"{write_text(generator, good)},{'pos' if good else 'neg'}" for good in (True, False) * 300]
    (folder / "reviews.csv").write_text("text,label\n" + "\n".join(lines) + "\n")
    names = []
    for first in range(0, rows, ROWS_A_FILE):
        count = min(ROWS_A_FILE, rows - first)
        texts = [write_text(generator, generator.random() < 0.5) for _ in range(count)]
        table = pa.table({"id": list(range(first, first + count)), "text": texts})
        names.append(str(folder / f"{first // ROWS_A_FILE:03d}.parquet"))
        parquet.write_table(table, names[-1], row_group_size=ROWS_A_GROUP)
    return names


def command(folder: Path, out: str, *more: str) -> list[str]:
    """What a user would type."""
    start = [sys.executable, "-m", "throughtime", "predict", str(folder / "run")]
    return [*start, str(folder / "*.parquet"), "--out", str(folder / out), "--keep", "id", *more]


def parts(folder: Path) -> tuple[int, int]:
    """How many parts are done, and how many there are."""
    try:
        plan = json.loads((folder / "_plan.json").read_text())
    except (OSError, ValueError):
        return 0, 1
    # As the plan cuts them: no file is so small that it shares a part.
    total = sum(-(-file["rows"] // plan["part_rows"]) for file in plan["files"])
    return len(list(folder.glob("_done/*.json"))), total


def resident(group: int) -> float:
    """MiB of the processes of a group."""
    pages = 0
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, ValueError):
            if os.getpgid(int(path.name)) == group:
                pages += int((path / "statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / (1 << 20)


def unbroken(folder: Path, name: str, *more: str) -> Figures:
    """One work from its beginning to its end."""
    found = Figures(name)
    began, before = time.perf_counter(), os.times()
    process = subprocess.Popen(command(folder, name, *more), start_new_session=True, stderr=subprocess.PIPE)
    while process.poll() is None:
        done, total = parts(folder / name)
        now = resident(process.pid)
        if not found.resident_10 and done * 10 >= total:
            found.resident_10 = now
        if done * 100 >= total * 90 and now:
            found.resident_100 = max(found.resident_100, now)
        time.sleep(0.25)
    _check(process)
    after = os.times()
    found.seconds = time.perf_counter() - began
    found.processor = sum(after[2:4]) - sum(before[2:4])
    found.sha256 = fingerprint(folder / name)
    return found


def killed(folder: Path, name: str, kills: int, *more: str) -> Figures:
    """One work that is killed at random moments, each after some progress, and started again."""
    found = Figures(name)
    generator = random.Random(1)
    began = time.perf_counter()
    while True:
        process = subprocess.Popen(
            command(folder, name, *more), start_new_session=True, stderr=subprocess.PIPE
        )
        if found.kills < kills:
            _, total = parts(folder / name)
            goal = (found.kills + 1) * max(total, kills + 1) // (kills + 2)
            while process.poll() is None and parts(folder / name)[0] < goal:
                time.sleep(0.02)
            time.sleep(generator.uniform(0, 1.5))
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                found.kills += 1
                process.communicate()
                continue
        _check(process)
        break
    found.seconds = time.perf_counter() - began
    found.sha256 = fingerprint(folder / name)
    return found


def _check(process: subprocess.Popen[bytes]) -> None:
    _, said = process.communicate()
    if process.returncode:
        raise SystemExit(said.decode())


def fingerprint(folder: Path) -> str:
    """Of the names and contents of all parts, markers and errors."""
    found = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.name != "_plan.json":
            found.update(f"{path.relative_to(folder)}\n".encode())
            with path.open("rb") as file:
                while block := file.read(1 << 20):
                    found.update(block)
    return found.hexdigest()


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--engines", nargs="+", choices=("local", "ray"), default=["local"])
    parser.add_argument("--hidden", type=int, default=128)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="many-files-") as name:
        folder = Path(name)
        write_data(folder, arguments.rows)
        train = [sys.executable, "-m", "throughtime", "train", str(folder / "reviews.csv"), "--quiet"]
        size = [
            "--hidden",
            str(arguments.hidden),
            "--embedding",
            "64",
            "--epochs",
            "2",
            "--tokenizer",
            "word",
        ]
        subprocess.run([*train, "--out", str(folder / "run"), *size], check=True)
        load = os.getloadavg()[0]
        figures = [unbroken(folder, "one", "--processes", "1"), unbroken(folder, "two", "--processes", "2")]
        figures.append(killed(folder, "killed", arguments.kills, "--processes", "2"))
        if "ray" in arguments.engines:
            figures.append(unbroken(folder, "ray", "--engine", "ray", "--processes", "2"))
            figures.append(
                killed(folder, "ray-killed", arguments.kills, "--engine", "ray", "--processes", "2")
            )
    facts: dict[str, Any] = {
        "python": platform.python_version(),
        "processors": len(os.sched_getaffinity(0)),
        "load before": round(load, 1),
        "load after": round(os.getloadavg()[0], 1),
        "rows": arguments.rows,
        "speed of two processes": round(figures[0].seconds / figures[1].seconds, 3),
        "same bytes": len({one.sha256 for one in figures}) == 1,
    }
    print("| work | seconds | rows/s | processor s | MiB at 10 % | MiB at 100 % | kills | sha256 |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for one in figures:
        print(
            f"| {one.name} | {one.seconds:.1f} | {arguments.rows / one.seconds:,.0f} | {one.processor:.1f} | "
            f"{one.resident_10:.0f} | {one.resident_100:.0f} | {one.kills} | {one.sha256[:12]} |"
        )
    print(json.dumps(facts))
    if arguments.json:
        arguments.json.write_text(json.dumps({**facts, "works": [asdict(one) for one in figures]}, indent=1))


if __name__ == "__main__":
    main()
