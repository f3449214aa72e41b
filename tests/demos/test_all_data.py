"""`throughtime demo --data`: the data of every demonstration at once."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from throughtime import demos
from throughtime.cli.app import build
from throughtime.errors import MissingExtraError

QUICK = ["translation", "sentiment", "vectors"]


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demos, "DEMOS", {name: demos.DEMOS[name] for name in QUICK})


@pytest.mark.usefixtures("quick")
def test_one_command_writes_the_data_of_every_demo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(build({"demo"}), ["demo", "--data"])
    assert result.exit_code == 0, result.output
    for name, written in demos.write_all(tmp_path / "again", 1):
        assert isinstance(written, Path)
        path = Path("data") / written.relative_to(tmp_path / "again")
        assert path.read_bytes() == written.read_bytes()
        assert f"{name:11}  {path}" in result.stdout


@pytest.mark.usefixtures("quick")
def test_data_that_cannot_be_drawn_here_is_named_and_the_rest_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(folder: Path, seed: int) -> Path:
        raise MissingExtraError("videos need PyAV: pip install av")

    monkeypatch.setattr(demos.demo_named("sentiment"), "write", missing)
    result = CliRunner().invoke(build({"demo"}), ["demo", "--data", "--write", str(tmp_path)])
    assert result.exit_code == 0, result.output
    assert "left out: videos need PyAV" in result.output
    assert (tmp_path / "vectors" / "shapes.csv").exists()


def test_data_goes_with_no_name_and_no_run_folder() -> None:
    result = CliRunner().invoke(build({"demo"}), ["demo", "vectors", "--data"])
    assert result.exit_code == 2
    assert "--data writes the data of every demo" in result.output
