"""From the start of the process to the first sampled character, and the memory that sampling takes.

Starts `throughtime sample` as a user does and waits for the first character on its standard output; then
reads how much memory the process has (Linux). The command writes on meanwhile, and is killed.

    python benchmarks/startup.py runs/mine
    python benchmarks/startup.py runs/mine --precision int8 --backend torch --json startup.json
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path

PROGRAM = "from throughtime.cli import main; main()"
MEGABYTE = 1e6


def first_character(run: Path, options: list[str]) -> tuple[float, dict[str, float]]:
    """Seconds to the first character; resident memory then, and at its highest, in megabytes."""
    command = [sys.executable, "-c", PROGRAM, "sample", str(run), "--length", "10000000", "--seed", "1"]
    begin = time.perf_counter()
    process = subprocess.Popen([*command, *options], stdout=subprocess.PIPE)
    assert process.stdout is not None
    first = process.stdout.read(1)
    seconds = time.perf_counter() - begin
    status = Path(f"/proc/{process.pid}/status")
    lines = status.read_text().splitlines() if status.exists() else []
    memory = {
        line.split(":")[0]: int(line.split()[1]) * 1024 / MEGABYTE for line in lines if line[:2] == "Vm"
    }
    process.kill()
    process.wait()
    if not first:
        raise SystemExit(f"{run}: no text came out")
    return seconds, {"resident": memory.get("VmRSS", 0.0), "highest": memory.get("VmHWM", 0.0)}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path, help="a language model's run folder")
    parser.add_argument("--precision", default="fp32")
    parser.add_argument("--backend", default="native")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    arguments = parser.parse_args()
    options = ["--backend", arguments.backend]
    if arguments.backend == "native":
        options += ["--precision", arguments.precision]
    first_character(arguments.run, options)  # not counted: the system reads the files from disk once
    rounds = [first_character(arguments.run, options) for _ in range(arguments.rounds)]
    figures = {
        "seconds": statistics.median(seconds for seconds, _ in rounds),
        "least_seconds": min(seconds for seconds, _ in rounds),
        "resident_mb": statistics.median(memory["resident"] for _, memory in rounds),
        "highest_mb": statistics.median(memory["highest"] for _, memory in rounds),
        "weights_mb": (arguments.run / "model.safetensors").stat().st_size / MEGABYTE,
    }
    print(
        f"{arguments.run}, {arguments.backend} {arguments.precision}, {arguments.rounds} rounds, Python "
        f"{platform.python_version()}: first character after {figures['seconds']:.3f} s (median; least "
        f"{figures['least_seconds']:.3f}); resident {figures['resident_mb']:.1f} MB (highest "
        f"{figures['highest_mb']:.1f}), weights on disk {figures['weights_mb']:.1f} MB"
    )
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
