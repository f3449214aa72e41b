"""The command that an error names installs what is missing, wherever Throughtime came from."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import pytest

from throughtime import extras
from throughtime.extras import install_command


def test_the_command_names_this_python_and_the_libraries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extras, "find_spec", lambda name: object())
    monkeypatch.setattr(extras.shutil, "which", lambda name: None)
    command = shlex.split(install_command("video"))
    assert command[:4] == [sys.executable, "-m", "pip", "install"]
    assert [one.split(">")[0] for one in command[4:]] == ["pillow", "av"]
    assert not any("throughtime" in one for one in command[4:])
    monkeypatch.setattr(extras.shutil, "which", lambda name: sys.executable)
    assert shlex.split(install_command("parquet"))[0] == "python"
    # A python of another environment would install it elsewhere.
    monkeypatch.setattr(extras.shutil, "which", lambda name: str(Path("/elsewhere") / "python"))
    assert shlex.split(install_command("parquet"))[0] == sys.executable


def test_an_environment_of_uv_is_served_by_uv(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extras, "find_spec", lambda name: None)
    monkeypatch.setattr(extras.shutil, "which", lambda name: f"/usr/bin/{name}")
    assert shlex.split(install_command("audio"))[:5] == ["uv", "pip", "install", "--python", sys.executable]


def test_an_extra_that_this_installation_does_not_know_names_the_library() -> None:
    assert install_command("nothing", "matplotlib").endswith(" -m pip install matplotlib")
