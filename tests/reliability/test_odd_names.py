"""Folders and files whose names are no UTF-8: on Linux a name is any bytes, and many libraries differ."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from tests.commands import throughtime
from tests.training.test_trainer import SMALL
from throughtime.training import train

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such names themselves")

ODD = "odd\udcff"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("names")
    (folder / "text.txt").write_text("hello world\n" * 100)
    train(folder / "text.txt", out=folder / "run", **SMALL)
    shutil.copytree(folder / "run", folder / ODD)
    return folder


@pytest.mark.parametrize(
    "command",
    [
        ("train", "text.txt", "--hidden", "8", "--epochs", "1", "--out", "new" + ODD),
        ("train", "text.txt", "--hidden", "8", "--epochs", "1", "--seeds", "2", "--out", "new" + ODD),
        ("train", "--resume", ODD),
        ("quantize", "run", "--out", "new" + ODD),
        ("quantize", ODD, "--out", "new"),
        ("sample", ODD),
        ("info", ODD, "--json"),
        ("serve", ODD),
    ],
)
def test_a_run_folder_of_such_a_name_is_refused_in_one_line(folder: Path, command: tuple[str, ...]) -> None:
    result = throughtime(*command, folder=folder)
    assert result.returncode == 2, result.stdout
    assert result.stderr.count("\n") == 1
    assert "the name of a run folder must be UTF-8" in result.stderr
    assert not (folder / ("new" + ODD)).exists() and not (folder / "new").exists()


def test_a_table_of_such_a_name_is_refused_where_a_plan_would_name_it(folder: Path) -> None:
    (folder / f"{ODD}.csv").write_text("text,label\n" + "good,pos\nbad,neg\n" * 30)
    shutil.copy(folder / f"{ODD}.csv", folder / "fine.csv")
    made = throughtime("train", "fine.csv", "--out", "labels", "--epochs", "1", folder=folder)
    assert made.returncode == 0, made.stderr
    result = throughtime("predict", "labels", f"{ODD}.csv", "--out", "answers", folder=folder)
    assert result.returncode == 2 and result.stderr.count("\n") == 1
    assert "the name of a file must be UTF-8 here" in result.stderr
    assert throughtime("predict", "labels", f"{ODD}.csv", folder=folder).returncode == 0
