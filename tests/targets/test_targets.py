"""The kinds of targets: NumPy's losses are torch's, and what is said follows from the outputs."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch

from tests.networks import numbers, one_label
from throughtime.errors import DataError, OptionError, RunError
from throughtime.targets.kinds import (
    Numbers,
    SeveralLabels,
    Target,
    labels_of,
    load_target,
    numbers_of,
    threshold_all,
)
from throughtime.targets.options import NumberLoss, TargetTraining, read_quantiles
from throughtime.targets.truth import TruthReader

N = 40


def random_rows(target: Target) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    outputs = generator.normal(0, 2, (N, target.width)).astype(np.float32)
    if isinstance(target, Numbers):
        return outputs, generator.normal(0, 3, (N, len(target.names)))
    if isinstance(target, SeveralLabels):
        return outputs, generator.integers(0, 2, (N, target.width)).astype(np.uint8)
    return outputs, generator.integers(0, target.width, N)


TARGETS: dict[str, Target] = {
    "label": one_label(3),
    "labels": SeveralLabels("abc"),
    **{loss: numbers(loss) for loss in get_args(NumberLoss)},  # type: ignore[arg-type]
}


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", TARGETS)
def test_the_losses_in_numpy_are_those_of_torch(name: str, weighted: bool) -> None:
    target = TARGETS[name]
    outputs, truth = random_rows(target)
    if name == "quantile":
        outputs = np.sort(outputs.reshape(N, 2, -1), -1).reshape(N, -1)  # NumPy sorts those that cross
    if weighted and isinstance(target, Numbers):
        with pytest.raises(OptionError, match="numbers have no classes"):
            target.weights(truth)
        return
    weights = target.weights(truth) if weighted else None
    own = None if weights is None else torch.from_numpy(weights)
    wanted = target.losses(torch.from_numpy(outputs), torch.from_numpy(target.for_loss(truth)), own)
    assert wanted.shape == (N,)
    np.testing.assert_allclose(
        target.losses_of(outputs, truth, weights), wanted.numpy(), rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize("name", TARGETS)
def test_an_ensemble_of_the_same_member_says_what_the_member_says(name: str) -> None:
    target = TARGETS[name]
    outputs, truth = random_rows(target)
    together = target.together(torch.from_numpy(np.stack([outputs] * 3))).numpy()
    np.testing.assert_allclose(target.losses_of(together, truth), target.losses_of(outputs, truth), rtol=1e-4)
    assert target.say(together[0]).keys() == target.say(outputs[0]).keys()


def test_a_number_too_large_to_learn_is_refused() -> None:
    target = numbers("squared")
    with pytest.raises(DataError, match="a number to learn is too large"):
        target.for_loss(np.full((2, len(target.names)), 1e300))
    assert np.isnan(target.for_loss(np.full((1, len(target.names)), np.nan))).all()  # a frame without one


@pytest.mark.parametrize("kind", ["label", "labels"])
def test_there_has_to_be_something_to_learn_from(kind: str) -> None:
    with pytest.raises(DataError, match="a.csv: not a single example"):
        labels_of(kind, [], "a.csv")
    with pytest.raises(DataError, match="a.csv: not a single example"):
        numbers_of(["x"], np.zeros(0), TargetTraining(), "a.csv")


def test_several_labels_are_given_from_their_thresholds_on() -> None:
    target = SeveralLabels("abc", [0.5, 0.9, 0.1])
    outputs = np.array([1.0, 1.0, -2.0], np.float32)
    assert target.say(outputs) == {"labels": ["a", "c"]}
    assert target.probabilities(outputs)["b"] == pytest.approx(1 / (1 + np.exp(-1)))
    threshold_all(target, 0.7)
    assert target.say(outputs) == {"labels": ["a", "b"]}
    for threshold in (-0.1, 1.1, float("nan")):
        with pytest.raises(OptionError, match="from 0 to 1"):
            threshold_all(target, threshold)
    with pytest.raises(OptionError, match="several labels"):
        threshold_all(one_label(2), 0.5)


@pytest.mark.parametrize("loss", get_args(NumberLoss))
def test_numbers_are_said_in_the_unit_of_the_user(loss: NumberLoss) -> None:
    truth = np.array([[10.0], [20.0], [30.0]])
    target = Numbers.of(["price"], truth, loss, (0.1, 0.5, 0.9), 0.9)
    mean, deviation = 20.0, np.std(truth)
    said = target.say(np.array({"gaussian": [1, 0], "quantile": [2, 1, 0]}.get(loss, [1]), np.float32))
    assert said["value"] == pytest.approx(mean + deviation)
    if loss == "gaussian":
        assert said["high"] - said["value"] == pytest.approx(1.6449 * deviation, rel=1e-4)
    elif loss == "quantile":  # those that cross are sorted
        assert (said["low"], said["high"]) == pytest.approx((mean, mean + 2 * deviation))
    else:
        assert set(said) == {"value"}  # without validation nothing is known of the errors


def test_margins_hold_their_share_of_the_validation_examples(tmp_path: Path) -> None:
    target = numbers("squared")
    outputs, truth = random_rows(target)
    target.save(tmp_path)
    target.calibrate(tmp_path, truth, outputs)
    scores = target.scores()
    scores.add(truth, target.decide(outputs))
    assert 0.8 <= scores.by_column()["coverage"].min() <= 0.9
    again = load_target("number", tmp_path)
    assert again.say(outputs[0]) == target.say(outputs[0]) and "a low" in again.say(outputs[0])


def test_thresholds_are_kept_beside_the_labels(tmp_path: Path) -> None:
    target = SeveralLabels(["x", "y", "never"])
    generator = np.random.default_rng(1)
    truth = (generator.random((200, 3)) < [0.5, 0.1, 0]).astype(np.uint8)
    outputs = (4.0 * truth - 6 + generator.normal(0, 1, (200, 3))).astype(np.float32)
    before, after = target.scores(), target.scores()
    before.add(truth, target.decide(outputs))
    target.save(tmp_path)
    target.calibrate(tmp_path, truth, outputs)
    after.add(truth, target.decide(outputs))
    assert after.result()["macro_f1"] > before.result()["macro_f1"] + 0.3
    again = load_target("labels", tmp_path)
    assert again.facts() == target.facts() and target.facts()["thresholds"][2] == 0.5


@pytest.mark.parametrize(
    ("kind", "content", "message"),
    [
        ("labels", '{"labels": ["a", "a"]}', "occurs twice"),
        ("labels", '{"labels": []}', "at least 1 item"),
        ("number", '{"columns": ["a"]}', "mean"),
        ("number", "[1]", "damaged"),
        (
            "number",
            '{"columns": ["a"], "mean": [0.0], "deviation": [0.0], "loss": "squared", "quantiles": [], '
            '"interval": 0.9}',
            "deviation",
        ),
        (
            "number",
            '{"columns": ["a"], "mean": [1e300], "deviation": [1e300], "loss": "squared", "quantiles": [], '
            '"interval": 0.9}',
            "mean.0: input should be less than",
        ),
        (
            "number",
            '{"columns": ["a"], "mean": [0.0], "deviation": [1.0], "loss": "quantile", "quantiles": '
            '[0.9, 0.1], "interval": 0.9}',
            "do not rise",
        ),
    ],
)
def test_a_damaged_target_is_refused(tmp_path: Path, kind: str, content: str, message: str) -> None:
    with pytest.raises(RunError, match="missing"):
        load_target(kind, tmp_path)
    (tmp_path / "target.json").write_text(content)
    with pytest.raises(RunError, match=message):
        load_target(kind, tmp_path)


def test_a_damaged_calibration_is_refused(tmp_path: Path) -> None:
    SeveralLabels("ab").save(tmp_path)
    for content in ('{"thresholds": [0.5]}', '{"thresholds": [0.5, 2.0]}', "x"):
        (tmp_path / "calibration.json").write_text(content)
        with pytest.raises(RunError, match=r"calibration\.json is damaged"):
            load_target("labels", tmp_path)


@pytest.mark.parametrize("name", TARGETS)
def test_truth_of_another_run_is_refused(name: str) -> None:
    target = TARGETS[name]
    _, truth = random_rows(target)
    target.check(truth, "t.npy")
    wrong: list[Any] = [
        truth[:, None],
        np.full(truth.shape, 7, truth.dtype) if truth.dtype.kind != "f" else truth * np.nan,
    ]
    for one in wrong:
        with pytest.raises(RunError, match=r"t\.npy"):
            target.check(one, "t.npy")


@pytest.mark.parametrize("text", ["", "0.5", "0.1,0.9", "0.9,0.5,0.1", "0.5,0.5,0.9", "0,0.5,1", "a,b,c"])
def test_quantiles_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="rising numbers"):
        read_quantiles(text)


@pytest.mark.parametrize(
    ("reader", "cell", "expected"),
    [
        (TruthReader("labels", separator="|"), "a| b |a", ("a", "b")),
        (TruthReader("labels", separator="><"), "<c++><stl>", ("c++", "stl")),
        (TruthReader("labels", separator=","), "['red', \"blue\"]", ("red", "blue")),
        (TruthReader("labels"), ["a", 3, True, 2.0], ("a", "3", "true", "2")),
        (TruthReader("labels", separator=";"), "", ()),
        (TruthReader("labels"), [], ()),
        (TruthReader("labels"), None, None),
        (TruthReader("number"), "1e3", (1000.0,)),
        (TruthReader("number"), " ", None),
        (TruthReader("label"), 3.0, "3"),
    ],
)
def test_cells_become_truth(reader: TruthReader, cell: Any, expected: Any) -> None:
    assert reader.read({"label": cell}, ["label"]) == expected


def test_columns_of_flags_and_of_numbers() -> None:
    flags, values = TruthReader("labels", "a,b"), TruthReader("number", "a,b")
    assert flags.columns(["t", "a", "b"]) == ["a", "b"] and flags.columns(["a,b"]) == ["a,b"]
    assert flags.read({"a": "1", "b": 0}, ["a", "b"]) == ("a",)
    assert values.read({"a": "1", "b": 0}, ["a", "b"]) == (1.0, 0.0)
    for reader, cells, message in (
        (flags, {"a": "2", "b": 0}, "a is '2': expected 0 or 1"),
        (values, {"a": "two", "b": 0}, "a: 'two' is not a number"),
        (values, {"a": "", "b": 0}, "a is empty"),
        (values, {"a": "inf", "b": 0}, "a: inf is not a finite number"),
    ):
        with pytest.raises(DataError, match=message):
            reader.read(cells, ["a", "b"])
