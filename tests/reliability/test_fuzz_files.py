"""Malformed inputs by the thousand: none may end in a traceback, a crash, a hang or gigabytes of memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).parents[2] / "benchmarks" / "fuzz.py"
INPUTS = 20_000
# A quiet machine reads a twentieth of them in this time; `benchmarks/fuzz.py` alone reads them all.
SECONDS = 20

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the fuzz forks, and reads /proc")


@pytest.mark.slow  # it reads as many inputs as SECONDS allow
def test_no_malformed_input_ends_otherwise_than_in_one_line(tmp_path: Path) -> None:
    figures, failures = (
        tmp_path / "figures.json",
        Path(os.environ.get("THROUGHTIME_FUZZ", tmp_path / "failures")),
    )
    command = [sys.executable, str(PROGRAM), "--inputs", str(INPUTS), "--seconds", str(SECONDS)]
    command += ["--json", str(figures), "--keep", str(failures)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, f"{done.stdout[-6000:]}\n{done.stderr[-2000:]}"
    total = json.loads(figures.read_text())["total"]
    assert total["inputs"] > INPUTS // 100
    # A fuzz that everything is refused of, or nothing, does not reach what it is for.
    assert total["refused"] > 0.3 * total["inputs"]
    assert total["accepted"] > 0.1 * total["inputs"]
