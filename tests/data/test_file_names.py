"""A table names the files beside it, and no others."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from throughtime.data.file_names import file_of
from throughtime.errors import DataError


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """A folder with a table, and a secret outside."""
    (tmp_path / "secret.csv").write_text("secret\n")
    (tmp_path / "data" / "deeper").mkdir(parents=True)
    (tmp_path / "data" / "link.csv").symlink_to(tmp_path / "secret.csv")
    (tmp_path / "data" / "up").symlink_to(tmp_path)
    (tmp_path / "data" / "inner.csv").symlink_to(tmp_path / "data" / "deeper")
    (tmp_path / "data" / "circle").symlink_to(tmp_path / "data" / "circle")
    return tmp_path / "data" / "metadata.csv"


@pytest.mark.parametrize(
    "name", ["../secret.csv", "link.csv", "up/secret.csv", "deeper/../../secret.csv", "/etc/x"]
)
def test_a_name_that_leads_outside_is_refused(table: Path, name: str) -> None:
    with pytest.raises(DataError, match=r"lies outside .*data: copy it there, or pass --allow-outside-files"):
        file_of(table, name, allow_outside=False)
    assert os.fspath(file_of(table, name, allow_outside=True)) == os.fspath(table.parent / name)


@pytest.mark.parametrize("name", ["a.csv", "deeper/a.csv", "./deeper/../a.csv", "inner.csv/a.csv", "..a.csv"])
def test_a_name_below_the_folder_is_fine(table: Path, name: str) -> None:
    assert file_of(table, name, allow_outside=False) == table.parent / name


def test_the_folder_itself_may_be_a_link(table: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").symlink_to(table.parent)
    assert file_of(tmp_path / "elsewhere" / "metadata.csv", "a.csv", False).name == "a.csv"


@pytest.mark.parametrize("name", ["", "  ", "a\0b", "circle"])
def test_what_is_no_files_name_is_an_error(table: Path, name: str) -> None:
    with pytest.raises(DataError, match="is not the name of a file|cannot be read"):
        file_of(table, name, allow_outside=False)
