"""Sweeps: every combination a run of its own, skipped or resumed by the next start, ranked by medians."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.commands import throughtime
from tests.predicting.conftest import texts
from tests.training.test_trainer import Interrupter
from throughtime.config import every_option
from throughtime.errors import OptionError, RunError
from throughtime.recognition import settle
from throughtime.training import Interrupted
from throughtime.training.launch import start
from throughtime.training.sweep import (
    Outcome,
    Trial,
    combinations,
    folder_name,
    outcome_of,
    settle_folder,
    train_all,
    values_of,
)
from throughtime.training.sweep_report import objective_of, rank, write_page

SMALL: dict[str, Any] = {
    "hidden": 6,
    "embedding": 4,
    "epochs": 2,
    "batch": 8,
    "threads": 1,
    "tokenizer": "word",
    "tensorboard": False,
    "validation_fraction": 0.2,
}

pytestmark = pytest.mark.usefixtures("quick_trainings")


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sweep") / "reviews.csv"
    lines = [f"{text},{'up' if 'good' in text else 'down'}\n" for text in texts(60)]
    path.write_text("text,label\n" + "".join(lines))
    return path


def trials_of(table: Path, out: Path, sweep: dict[str, list[Any]], seeds: list[int]) -> list[Trial]:
    return [
        Trial(
            values, seed, out / folder_name(values, seed), settle(table, {**SMALL, **values, "seed": seed})[0]
        )
        for values, seed in combinations(sweep, seeds)
    ]


def test_finished_trainings_are_skipped_and_stopped_ones_go_on(table: Path, tmp_path: Path) -> None:
    sweep = {"learning_rate": [0.001, 0.02, 1e6]}
    whole = trials_of(table, tmp_path / "whole", sweep, [1, 2])
    broken = trials_of(table, tmp_path / "broken", sweep, [1, 2])
    with pytest.raises(Interrupted):
        start(broken[1].config, broken[1].folder, Interrupter(3))
    said: list[tuple[str, bool]] = []
    train_all(broken[:3], 1, 1, lambda trial, outcome, before: said.append((trial.name, before)))
    outcomes = train_all(broken, 1, 1, lambda trial, outcome, before: said.append((trial.name, before)))
    assert [before for _, before in said] == [False] * 3 + [True] * 3 + [False] * 3
    expected = train_all(whole, 1, 1, lambda *_: None)
    for one, other in zip(whole[:4], broken[:4], strict=True):
        weights = [trial.folder / "model.safetensors" for trial in (one, other)]
        assert weights[0].read_bytes() == weights[1].read_bytes()
        assert expected[one.name].best == outcomes[other.name].best

    rows = rank(broken, outcomes)
    assert [row.values["learning_rate"] for row in rows] == [0.02, 0.001, 1e6]
    assert rows[2].median is None and len(rows[2].errors) == 2
    assert rows[0].median == sum(rows[0].scores) / 2
    page = write_page(rows, objective_of(rows), tmp_path / "broken").read_text()
    assert page.index("0.02") < page.index("1000000.0") and "data:image/svg+xml;base64" in page
    assert (tmp_path / "broken" / "curves.png").stat().st_size > 5000


def test_what_begun_otherwise_is_refused(tmp_path: Path) -> None:
    settle_folder(tmp_path / "a", {"options": {"epochs": 2}})
    settle_folder(tmp_path / "a", {"options": {"epochs": 2}})
    with pytest.raises(RunError, match="begun with options {'epochs': 2}, and now it is {'epochs': 3}"):
        settle_folder(tmp_path / "a", {"options": {"epochs": 3}})
    (tmp_path / "a" / "sweep.json").write_bytes(b"\xff")
    with pytest.raises(RunError, match=r"sweep\.json is damaged"):
        settle_folder(tmp_path / "a", {"options": {"epochs": 2}})
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "file").touch()
    with pytest.raises(RunError, match=r"b is not empty, and holds no sweep\.json"):
        settle_folder(tmp_path / "b", {})


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("lr=1e-3,2e-3", ("learning_rate", [0.001, 0.002])),
        ("hidden=256,512", ("hidden", [256, 512])),
        ("--weight-decay=0", ("weight_decay", [0])),
        ("bidirectional=true,off", ("bidirectional", [True, False])),
        ("cell=lstm,gru", ("cell", ["lstm", "gru"])),
    ],
)
def test_values_read_as_the_command_line_has_them(text: str, found: Any) -> None:
    assert values_of("--sweep", every_option(), text) == found


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("hiden=2", "'hiden' cannot be swept: did you mean hidden"),
        ("hidden", "is not NAME=VALUE,VALUE"),
        ("hidden=", "is not NAME=VALUE,VALUE"),
        ("hidden=2,2", "a value stands there twice"),
        ("seed=1,2", "--seeds gives several seeds"),
        ("source=a,b", "'source' cannot be swept"),
    ],
)
def test_wrong_sweeps_are_named(text: str, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        values_of("--sweep", every_option(), text)


def test_more_trainings_than_anybody_waits_for_are_refused() -> None:
    with pytest.raises(OptionError, match="ask for 3,000,000,000 trainings, and 10,000 are the most"):
        combinations({"hidden": [1, 2, 3]}, range(10**9))


def test_folders_are_named_by_values_and_never_mixed() -> None:
    assert folder_name({"learning_rate": 0.001, "cell": "gru"}, 3) == "learning-rate=0.001_cell=gru_seed=3"
    names = {folder_name({"cell": cell}, 1) for cell in ("a.py:X", "a.py/X", "a.py-X")}
    assert len(names) == 3 and not any("/" in name or ":" in name for name in names)


def test_an_outcome_needs_a_finished_training(table: Path, tmp_path: Path) -> None:
    (trial,) = trials_of(table, tmp_path, {}, [1])
    assert outcome_of(trial) is None
    assert rank([trial], {trial.name: Outcome(None, 1.0, "why")})[0].cells("loss")["median loss"] == "failed"


def test_a_process_ends_whose_parent_was_killed_before_it_had_begun(tmp_path: Path) -> None:
    program = (
        "import sys; from multiprocessing import Pipe; from throughtime.training.sweep import _serve; "
        "ours, theirs = Pipe(); _serve(theirs, int(sys.argv[1]))"
    )
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    ended = subprocess.run([sys.executable, "-c", program, str(gone.pid)], timeout=60)
    assert ended.returncode == -signal.SIGTERM


def test_the_command_trains_side_by_side_and_ranks(table: Path, tmp_path: Path) -> None:
    flags = [
        f"--{name}={value}"
        for name, value in SMALL.items()
        if not isinstance(value, bool) and name not in ("threads", "validation_fraction")
    ]
    command = [
        "train",
        table,
        "--out",
        "out",
        *flags,
        "--no-tensorboard",
        "--sweep",
        "lr=1e-3,2e-2",
        "cell=rnn",
    ]
    result = throughtime(*command, folder=tmp_path)
    assert result.returncode == 0, result.stderr
    head, *rows = result.stdout.splitlines()
    assert head.split()[:4] == ["learning-rate", "cell", "median", "val_loss"]
    medians = [float(row.split()[2]) for row in rows]
    assert medians == sorted(medians) and len(medians) == 2
    assert "2 trainings in out" in result.stderr and "The page: out/index.html" in result.stderr
    again = throughtime(*command, "--json", folder=tmp_path)
    assert again.stderr.count("done before") == 2
    table_found = json.loads(again.stdout)["table"]
    assert [round(row["median"], 4) for row in table_found] == medians
    for extra, message in [
        (["--sweep", "hidden=4"], "--hidden is given, and --sweep varies it"),
        (["--find-lr"], "--find-lr cannot be given with --sweep or --seeds"),
        (["--epochs", "9"], "out was begun with options"),
    ]:
        result = throughtime(*command, *extra, folder=tmp_path)
        assert (result.returncode, result.stderr.count("\n")) == (2, 1) and message in result.stderr
