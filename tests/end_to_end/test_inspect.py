"""inspect and compare as a user types them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.end_to_end.test_commands import SMALL, TEXT, throughtime


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with text.txt and the runs lstm and rnn."""
    folder = tmp_path_factory.mktemp("inspect")
    (folder / "text.txt").write_text(TEXT * 4)
    for cell in ("lstm", "rnn"):
        result = throughtime("train", "text.txt", "--out", cell, "--cell", cell, *SMALL, folder=folder)
        assert result.returncode == 0, result.stderr
    return folder


def test_inspect_says_what_it_found_and_draws_it(trained: Path) -> None:
    result = throughtime("inspect", "lstm", "--lags", "30", "--windows", "4", "--unit", "3", folder=trained)
    assert result.returncode == 0, result.stderr
    assert "over the chunk of 10: the gradient reaches back" in result.stdout
    for words in ("layer 2", "forget gate", "Lyapunov", "Gates", "Neurons"):
        assert words in result.stdout
    found = {path.name for path in (trained / "lstm" / "inspection").iterdir()}
    assert {"gradient_flow.png", "truncation.png", "gates.png", "spectrum.png", "influence.png"} <= found
    assert {"influence_by_lag.png", "unit_3.png", "unit_3.html"} <= found
    assert all((trained / "lstm" / "inspection" / name).stat().st_size > 1000 for name in found)


def test_inspect_gives_its_numbers_as_json(trained: Path) -> None:
    result = throughtime(
        "inspect", "rnn", "text.txt", "--lags", "20", "--property", "vowel=[aeiou]", "--json", folder=trained
    )
    assert result.returncode == 0, result.stderr
    found = json.loads(result.stdout)
    assert found["verdict"] in ("vanishing", "healthy", "exploding")
    assert len(found["gradient_flow"]) == 2
    assert len(found["gradient_flow"][0]["curve"]) == 21
    assert found["gradient_flow"][0]["curve"][0] == 1.0
    assert [probe["property"] for probe in found["neurons"]] == ["vowel"]
    assert found["truncation"][-1]["kept"] == pytest.approx(1.0)
    assert found["gates"] == []


def test_compare_writes_one_page_that_needs_nothing_else(trained: Path) -> None:
    result = throughtime("compare", "rnn", "lstm", "--lags", "20", "--windows", "4", folder=trained)
    assert result.returncode == 0, result.stderr
    assert "effective memory" in result.stdout
    page = (trained / "comparison" / "index.html").read_text()
    assert page.count("data:image/png;base64,") >= 4
    assert "http" not in page
    assert "RNN 2 x 12" in page
    assert "LSTM 2 x 12" in page


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("inspect", "none"), "no such run folder"),
        (("inspect", "lstm", "none.txt"), "no such file"),
        (("inspect", "lstm", "--lags", "5000"), "fewer --lags"),
        (("inspect", "lstm", "--property", "vowel"), "NAME=REGEX"),
        (("inspect", "lstm", "--property", "x=("), "not a regular expression"),
        (("inspect", "lstm", "--lags", "9", "--unit", "99"), "24 units"),
        (("inspect", "lstm", "--errors", "ignore"), "strict or replace"),
        (("compare", "lstm", "lstm"), "given twice"),
    ],
)
def test_a_mistake_is_one_line(trained: Path, arguments: tuple[str, ...], message: str) -> None:
    result = throughtime(*arguments, folder=trained)
    assert result.returncode == 2, result.stderr
    assert message in result.stderr
    assert "Traceback" not in result.stderr
