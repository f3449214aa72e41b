"""Options: layers, ranges, names in errors, and the saved file."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any

import pytest

from throughtime.cells import CELLS
from throughtime.config import (
    CONFIGS,
    RecurrenceConfig,
    RunConfig,
    between_commas,
    every_option,
    read_options,
    resolve,
)
from throughtime.config.recurrence import OF_LAYERS
from throughtime.errors import OptionError, RunError
from throughtime.presets import PRESETS, preset
from throughtime.recurrent import Recurrent


def test_a_list_of_columns_is_one_text_with_commas() -> None:
    assert between_commas("label_column", ["a", "b"]) == "a,b"
    assert between_commas("columns", "a,b") == "a,b"
    assert between_commas("schedule", ["a"]) == ["a"]
    with pytest.raises(OptionError, match="'a,b' has a comma in its name"):
        between_commas("columns", ["a,b"])


def test_later_layers_win_and_none_is_passed_over() -> None:
    config = resolve({"hidden": 64, "epochs": 3}, {"model": {"hidden": 32}}, {"epochs": None})
    assert (config.model.hidden, config.training.epochs) == (32, 3)


@pytest.mark.parametrize("task", CONFIGS)
def test_option_names_are_unique_over_the_sections_of_a_task(task: str) -> None:
    names = [name for section in CONFIGS[task].sections().values() for name in section.model_fields]
    assert len(names) == len(set(names))
    assert issubclass(CONFIGS[task].sections()["model"], RecurrenceConfig)
    assert resolve({"task": task}).task == task


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"hiden": 3}, "option 'hiden' is unknown: did you mean 'hidden'?"),
        ({"model": {"hiden": 3}}, "option 'hiden' is unknown: did you mean 'hidden'?"),
        ({"hidden": 0}, "--hidden: input should be greater than or equal to 1, not 0"),
        ({"dropout": 1.0}, "--dropout: input should be less than 1, not 1.0"),
        ({"learning_rate": "fast"}, "--learning-rate: input should be a valid number"),
        ({"learning_rate": float("nan")}, "--learning-rate"),
        ({"cell": "ltsm"}, "cell 'ltsm' is unknown: use rnn, lstm, gru"),
        ({"tie_weights": True, "embedding": 10}, "tie_weights needs --embedding 256"),
        ({"task": "tagger", "frame_rate": 5e-324}, "--frame-rate: input should be greater than"),
        ({"task": "classifier", "fold": f"1/{'9' * 5000}"}, "is not NUMBER/OF, as in 2/5"),
        ({"task": "classifier", "quantiles": "0.1,0.5,nan,0.9"}, "expected rising numbers between 0 and 1"),
        ({"cell": "mogrifier", "cell_option": {"input_size": 3}}, "cell_option input_size is of the layers"),
        ({"projection": 256}, "projection must be below --hidden 256"),
    ],
)
def test_a_wrong_option_is_named_in_one_line(options: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError) as raised:
        resolve(options)
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


def test_options_of_layers_are_those_that_no_cell_gets() -> None:
    taken = inspect.signature(Recurrent.__init__).parameters.values()
    assert {one.name for one in taken if one.kind != one.VAR_KEYWORD} == OF_LAYERS


def test_every_whole_number_has_two_ends() -> None:
    seen = 0
    for name, tasks in every_option().items():
        for task, (_, field) in tasks.items():
            if re.search(r"\bint\b", str(field.annotation)):
                seen += 1
                for beyond in (2**63, -(2**63)):
                    with pytest.raises(OptionError, match=f"--{name.replace('_', '-')}: input should be"):
                        resolve({"task": task, name: beyond})
    assert seen > 80


def test_every_number_has_two_ends() -> None:
    """Of 1e308 PyTorch would say that it cannot be converted to a float."""
    seen = 0
    for name, tasks in every_option().items():
        for task, (_, field) in tasks.items():
            if re.fullmatch(r"<class 'float'>|float \| None", str(field.annotation)):
                seen += 1
                for beyond in (1e308, -1e308):
                    with pytest.raises(OptionError, match=f"--{name.replace('_', '-')}: input should be"):
                        resolve({"task": task, name: beyond})
    assert seen > 60


@pytest.mark.parametrize("value", [2**31, 2**63, 10**30])
def test_sizes_without_bound_are_refused_by_name(value: int) -> None:
    for option in ("hidden", "layers", "embedding", "batch", "epochs", "threads", "vocabulary", "chunk"):
        with pytest.raises(OptionError, match=f"--{option}: input should be") as raised:
            resolve({option: value})
        assert len(str(raised.value)) < 150
    with pytest.raises(OptionError, match="--members: input should be less than or equal to 1000"):
        resolve({"task": "classifier", "members": 100_000_000})


def test_the_saved_file_reads_back(tmp_path: Path) -> None:
    config = resolve(
        {"source": 'a "quoted" \\ name.txt', "cell": "gru", "vocabulary": 500, "tokenizer": "bpe"}
    )
    config.save(tmp_path / "config.toml")
    assert RunConfig.load(tmp_path / "config.toml") == config
    assert resolve(read_options(tmp_path / "config.toml")) == config


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[model", "is damaged"),
        ("[model]\nhidden = -1", "--hidden"),
        ("[model]\nhiden = 1", "hiden"),
        ("model = 3", "damaged"),
        ("[model]\nhidden = " + "[" * 20_000, "nested too deeply"),
        ("[model]\nhidden = 1" + "0" * 5000, "damaged"),
        ("[model]\nhidden = 9223372036854775808", "--hidden: input should be less"),
        ("[model]\nhidden = '" + "a" * 9999 + "'", "--hidden: .* not 'aaa.*\\.\\.\\.$"),
        ("task = ['" + "a" * 9999 + "']", "task \\['aaa"),
    ],
)
def test_a_damaged_file_is_an_error_that_names_it(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "config.toml"
    path.write_text(content)
    with pytest.raises(RunError, match=message) as raised:
        RunConfig.load(path)
    assert "config.toml" in str(raised.value)
    assert "\n" not in str(raised.value) and len(str(raised.value)) < 300 + len(str(path))
    with pytest.raises(OptionError):
        resolve(read_options(path))
    with pytest.raises(RunError, match="not a run folder"):
        RunConfig.load(tmp_path / "none" / "config.toml")


@pytest.mark.parametrize(
    "options",
    [{"source": "caf\udce9.txt"}, {"task": "tagger", "columns": "\udcff"}, {"validation": "\ud800"}],
)
def test_what_config_toml_cannot_hold_is_refused(options: dict[str, str]) -> None:
    with pytest.raises(OptionError, match=r"^--\w+: must be UTF-8, .*rename the file"):
        resolve(options)


@pytest.mark.parametrize("name", PRESETS)
def test_presets_are_valid(name: str) -> None:
    resolve(preset(name))
    with pytest.raises(OptionError, match="use quick"):
        preset("fast")


@pytest.mark.parametrize("cell", CELLS)
def test_every_cell_takes_its_options(cell: str) -> None:
    CELLS[cell](3, 4, **resolve({"cell": cell}).model.options_of_cell())
