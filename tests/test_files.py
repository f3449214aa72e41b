"""Files are whole or not there."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from throughtime.files import atomic_file, remove_unfinished, write_atomically


def test_a_file_appears_complete_with_its_folder(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "file"
    write_atomically(path, b"one")
    write_atomically(path, b"two")
    assert path.read_bytes() == b"two"
    assert [entry.name for entry in path.parent.iterdir()] == ["file"]


def test_an_exception_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_atomically(path, b"old")
    with pytest.raises(KeyboardInterrupt), atomic_file(path) as file:
        file.write(b"half")
        assert path.read_bytes() == b"old"
        raise KeyboardInterrupt
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="only /proc tells a process that has ended")
def test_what_a_killed_process_left_goes_before_its_parent_has_asked_for_its_end(tmp_path: Path) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    left = tmp_path / f".part.{ended.pid}.partial"
    left.touch()
    while Path(f"/proc/{ended.pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
        time.sleep(0.01)
    remove_unfinished(tmp_path)
    assert not left.exists()
    ended.wait()
