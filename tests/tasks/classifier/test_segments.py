"""Steps that are read together: nothing is lost, and how many follows from the length."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from throughtime.errors import OptionError
from throughtime.run import Run
from throughtime.run.summary import summary
from throughtime.tasks.classifier.run import ClassifierRun
from throughtime.tasks.classifier.segments import around_for, look_at, segment_for, segmented
from throughtime.training import train
from throughtime.training.progress import Progress

OPTIONS: dict[str, Any] = {"hidden": 4, "epochs": 2, "threads": 1, "tensorboard": False}


class Listening(Progress):
    def __init__(self) -> None:
        self.remarks: list[str] = []

    def remark(self, text: str) -> None:
        self.remarks.append(text)


def test_steps_stand_behind_each_other_and_the_last_one_is_repeated() -> None:
    steps = np.arange(10, dtype=np.float32).reshape(5, 2)
    assert segmented(steps, 1) is steps
    assert segmented(steps, 2).tolist() == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 8, 9]]
    assert segmented(steps, 5).tolist() == [list(range(10))]
    assert segmented(steps[:1], 3).tolist() == [[0, 1] * 3]


def test_windows_have_what_is_around_a_segment() -> None:
    steps = np.arange(10, dtype=np.float32).reshape(5, 2)
    assert segmented(steps[:, :1], 1, 1)[:, 0].tolist() == [0, 0, 2, 4, 6]
    assert segmented(steps, 2, 1).tolist() == [
        [0, 1, 0, 1, 2, 3, 4, 5],
        [2, 3, 4, 5, 6, 7, 8, 9],
        [6, 7, 8, 9, 8, 9, 8, 9],
    ]
    assert segmented(steps[:1], 3, 4).tolist() == [[0, 1] * 11]
    assert segmented(steps, 2, 1).flags.c_contiguous
    assert [segment + 2 * around_for(segment) for segment in (1, 2, 3, 8, 16)] == [17, 16, 17, 32, 64]


def test_a_run_whose_convolutions_look_around(folder: Path, tmp_path: Path) -> None:
    run = train(folder, tmp_path / "run", convolutions=2, **OPTIONS)
    assert isinstance(run, ClassifierRun)
    data = run.config.data
    assert (data.segment, data.around) == (8, 12)
    shapes = {name: tuple(one.shape) for name, one in run.model.named_parameters()}
    assert shapes["members.0.looking.convolutions.0.weight"] == (64, 2, 7)
    assert shapes["members.0.looking.convolutions.1.weight"] == (64, 64, 5)
    ramp = np.load(folder / "0.npy")
    native, torch = (Run.open(run.folder, backend=name).classify([ramp])[0] for name in ("native", "torch"))
    assert native["probabilities"] == pytest.approx(torch["probabilities"], abs=1e-5)
    assert "convolutions = 2" in (run.folder / "config.toml").read_text()


def test_what_is_around_is_for_convolutions(folder: Path, tmp_path: Path) -> None:
    run = train(folder, tmp_path / "run", around=3, **OPTIONS)
    assert (run.config.data.around, run.config.model.convolutions) == (3, 3)
    with pytest.raises(OptionError, match="--around 3 would do nothing: it needs --convolutions"):
        train(folder, tmp_path / "none", around=3, convolutions=0, **OPTIONS)


@pytest.mark.parametrize(
    ("options", "short", "long"),
    [
        ({}, 3, 0),
        ({"cell": "none"}, 0, 0),
        ({"longest": 50}, 3, 3),
        ({"convolutions": 1}, 1, 1),
        ({"convolutions": 0}, 0, 0),
    ],
)
def test_which_few_sequences_get_convolutions(
    folder: Path, options: dict[str, Any], short: int, long: int, tmp_path: Path
) -> None:
    """Those of at most a thousand steps, where there is a recurrence behind them."""
    for number in range(12):
        array = np.load(folder / f"{number}.npy")
        np.save(tmp_path / f"{number}.npy", array if number else array.repeat(6, 0))
    (tmp_path / "metadata.csv").write_bytes((folder / "metadata.csv").read_bytes())
    given = {**OPTIONS, "epochs": 1, "members": 1, **options}
    for place, expected in ((folder, short), (tmp_path, long)):
        run = train(place, tmp_path / f"run of {place.name}", **given)
        assert run.config.model.convolutions == expected


def test_short_sequences_are_read_step_by_step_and_long_ones_in_powers_of_two() -> None:
    found = {length: segment_for(length) for length in (1, 24, 100, 150, 251, 1_000, 1_000_000)}
    assert found[1] == found[24] == 1
    assert list(found.values()) == sorted(found.values())
    assert all(segment & (segment - 1) == 0 for segment in found.values())
    assert found[1_000_000] < 1_000


def test_looking_at_lengths_loses_no_array() -> None:
    arrays = [np.zeros((length, 1), np.float32) for length in range(1, 151)]
    lengths, every = look_at(iter(arrays), 100)
    assert lengths == list(range(1, 101))
    assert [len(array) for array in every] == list(range(1, 151))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ramps of 190 to 210 steps, up or down."""
    folder = tmp_path_factory.mktemp("ramps")
    rows = []
    for number in range(12):
        length, up = 190 + 2 * number - number % 3, number % 2
        ramp = np.linspace(0, 1 if up else -1, length, dtype=np.float32)
        np.save(folder / f"{number}.npy", np.stack([ramp, np.full(length, 7, np.float32)], 1))
        rows.append((f"{number}.npy", "up" if up else "down"))
    with (folder / "metadata.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("file_name", "label"), *rows])
    return folder


def test_a_run_of_long_arrays_reads_segments_wherever_it_is_used(folder: Path, tmp_path: Path) -> None:
    show = Listening()
    run = train(folder, tmp_path / "run", show=show, **OPTIONS)
    assert isinstance(run, ClassifierRun) and run.space is not None
    segment = segment_for(200)
    assert run.config.data.segment == segment > 1
    assert any(f"{segment} steps are read as one (--segment {segment})" in text for text in show.remarks)
    assert "12 examples: none is held out" in " ".join(show.remarks)
    assert len(run.space.names) == 2
    assert run.config.model.members == len(run.model.members) == 5
    assert "12 sequences: 5 networks learn side by side" in " ".join(show.remarks)
    assert run.config.model.convolutions == len(run.model.members[0].looking.convolutions) == 3
    assert "12 sequences: convolutions look for shapes" in " ".join(show.remarks)
    window = segment + 2 * around_for(segment)
    for member in run.model.members:
        assert member.mean.tolist() == pytest.approx([*run.space.mean] * window)
    assert (run.facts()["segment"], run.facts()["around"]) == (segment, around_for(segment))
    shown = dict(summary(run.describe(), run.objective))
    assert shown["segments"] == f"{segment} steps are read as one, with {around_for(segment)} on either side"
    assert "behind 3 convolutions" in shown["model"] and "5 networks together" in shown["model"]
    by_torch = Run.open(run.folder, backend="torch")
    native, torch = (list(one.predict([folder])) for one in (run, by_torch))
    assert [one["label"] for one in native] == [one["label"] for one in torch]
    ramp = np.load(folder / "0.npy")
    assert run.classify([ramp])[0]["probability"] == pytest.approx(native[0]["probability"])
    assert run.evaluate(folder)["examples"] == 12


def test_gaps_are_filled_wherever_an_array_comes_from(folder: Path, tmp_path: Path) -> None:
    run = train(folder, tmp_path / "run", fill="previous", **{**OPTIONS, "members": 1})
    assert isinstance(run, ClassifierRun)
    whole = np.load(folder / "0.npy")
    whole[50:60] = whole[49]
    gaps = whole.copy()
    gaps[50:60] = np.nan
    np.save(tmp_path / "gaps.npy", gaps)
    expected, found = run.classify([whole, gaps])
    (predicted,) = run.predict([tmp_path / "gaps.npy"])
    assert found == expected and found["probability"] == predicted["probability"]


def test_the_user_says_how_many_steps(folder: Path, tmp_path: Path) -> None:
    run = train(folder, tmp_path / "run", segment=3, longest=10, **OPTIONS)
    assert isinstance(run, ClassifierRun)
    examples = np.load(run.folder / "data" / "examples.npy")
    assert examples.shape == (12 * 4, 2 * (3 + 2 * around_for(3)))
