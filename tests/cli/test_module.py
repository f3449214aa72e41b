"""`python -m throughtime` is the command."""

from __future__ import annotations

import subprocess
import sys

from throughtime import __version__


def test_the_package_can_be_run() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "throughtime", "--version"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert __version__ in done.stdout
