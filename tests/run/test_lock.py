"""One writer a run folder."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from throughtime.errors import RunError
from throughtime.files import remove_unfinished
from throughtime.run.lock import LOCK, is_empty, writing

HOLD = """
import sys, time
from pathlib import Path
from throughtime.run.lock import writing
with writing(Path(sys.argv[1]), print):
    print("held", flush=True)
    sys.stdin.read()
"""


def hold(folder: Path) -> subprocess.Popen[str]:
    """A process that writes into the folder until its standard input ends."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_a_second_writer_is_refused_with_the_first_ones_number(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    process = hold(folder)
    for _ in range(2):
        expected = pytest.raises(RunError, match=f"run is being written by process {process.pid}: wait")
        with expected, writing(folder, pytest.fail):
            pytest.fail("both write")
    assert process.stdin is not None
    process.stdin.close()
    assert process.wait(60) == 0
    with writing(folder, pytest.fail):
        assert (folder / LOCK).read_text() == str(os.getpid())
    assert is_empty(folder)


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL is POSIX")
def test_a_killed_writer_leaves_no_lock(tmp_path: Path) -> None:
    process = hold(tmp_path)
    process.send_signal(signal.SIGKILL)
    process.wait(60)
    with writing(tmp_path, pytest.fail):
        pass


def test_threads_of_one_process_exclude_each_other_as_well(tmp_path: Path) -> None:
    refused: list[str] = []

    def write() -> None:
        try:
            with writing(tmp_path, pytest.fail):
                pass
        except RunError as error:
            refused.append(str(error))

    with writing(tmp_path, pytest.fail):
        thread = threading.Thread(target=write)
        thread.start()
        thread.join()
    assert len(refused) == 1 and f"process {os.getpid()}" in refused[0]


def test_a_folder_that_was_removed_is_locked_anew(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with writing(folder, pytest.fail):
        (folder / LOCK).unlink()
        folder.rmdir()
        with writing(folder, pytest.fail):
            assert (folder / LOCK).exists()


@pytest.mark.skipif(os.name != "posix", reason="the lock is another one")
def test_a_file_system_without_locks_is_no_hindrance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import fcntl

    def refuse(number: int) -> None:
        def flock(*_: object) -> None:
            raise OSError(number, os.strerror(number))

        monkeypatch.setattr(fcntl, "flock", flock)

    said: list[str] = []
    for number in (errno.ENOLCK, errno.EOPNOTSUPP):
        refuse(number)
        with writing(tmp_path, said.append):
            pass
    assert len(said) == 2 and all("has no locks" in text and "\n" not in text for text in said)
    refuse(errno.EIO)
    with pytest.raises(OSError, match=r"\.lock"), writing(tmp_path, said.append):
        pass


def test_a_lock_that_is_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "outside").write_text("mine")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / LOCK).symlink_to(tmp_path / "outside")
    with pytest.raises(RunError, match="symbolic link"), writing(tmp_path / "run", pytest.fail):
        pass
    assert (tmp_path / "outside").read_text() == "mine"


@pytest.mark.skipif(os.name != "posix", reason="processes are asked for otherwise")
def test_what_a_living_process_is_writing_stays(tmp_path: Path) -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait(60)
    (tmp_path / "sub").mkdir()
    mine = tmp_path / f".a.{os.getpid()}.partial"
    others = tmp_path / f".b.{os.getppid()}.partial"
    left = tmp_path / "sub" / f".c.{dead.pid}.partial"
    for path in (mine, others, left):
        path.write_text("")
    remove_unfinished(tmp_path)
    assert [path.exists() for path in (mine, others, left)] == [False, True, False]
