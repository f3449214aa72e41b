"""Options that follow the size of the data."""

from __future__ import annotations

import pytest

from throughtime.config import resolve
from throughtime.config.small_data import FEWEST_TO_HOLD_OUT, LEAST_STEPS, fit_to_data, holds_nothing_out


def steps(config: object, examples: int) -> int:
    training = config.training  # type: ignore[attr-defined]
    return training.epochs * -(-examples // training.batch)


@pytest.mark.parametrize("task", ["language-model", "classifier", "translator", "captioner", "tagger"])
@pytest.mark.parametrize("examples", [36, 50, 67, 200])
def test_no_default_leaves_a_training_with_few_steps(task: str, examples: int) -> None:
    config, chosen = fit_to_data(resolve({"task": task}), examples)
    assert LEAST_STEPS <= steps(config, examples) < 3 * LEAST_STEPS
    assert f"{examples:,} training examples: --" in chosen


def test_a_handful_of_examples_is_not_read_for_ever() -> None:
    config, _ = fit_to_data(resolve({"task": "classifier"}), 3)
    assert config.training.epochs == 400


def test_enough_data_changes_nothing() -> None:
    config = resolve({"task": "classifier"})
    assert fit_to_data(config, 100_000) == (config, "")


def test_what_somebody_gave_stays() -> None:
    config, chosen = fit_to_data(resolve({"task": "classifier", "batch": 32, "epochs": 2}), 40)
    assert (config.training.batch, config.training.epochs, chosen) == (32, 2, "")
    config, chosen = fit_to_data(resolve({"task": "classifier", "epochs": 2}), 40)
    assert (config.training.batch, config.training.epochs) == (4, 2)
    assert chosen == "fitted to 40 training examples: --batch 4, which are 20 steps"


def test_short_epochs_are_not_evaluated_one_by_one() -> None:
    config, _ = fit_to_data(resolve({"task": "classifier"}), 40)
    assert steps(config, 40) // config.training.evaluate_every == 30


def test_a_changed_config_remembers_what_was_given() -> None:
    config = resolve({"task": "classifier", "hidden": 16}).changed({"epochs": 4})
    assert config.given("training") == {"epochs"}
    assert config.given("model") == {"hidden"}


def test_few_examples_are_all_learned_from_unless_somebody_wants_to_measure() -> None:
    few = FEWEST_TO_HOLD_OUT - 1
    assert holds_nothing_out(resolve({"task": "classifier"}), few)
    assert holds_nothing_out(resolve({"task": "classifier", "keep": "last", "epochs": 9}), few)
    assert not holds_nothing_out(resolve({"task": "classifier"}), FEWEST_TO_HOLD_OUT)
    for asked in (
        {"validation_fraction": 0.1},
        {"validation": "other.csv"},
        {"folds": 3},
        {"fold": "1/3"},
        {"keep": "best"},
        {"early_stopping": 2},
        {"schedule": "plateau"},
    ):
        assert not holds_nothing_out(resolve({"task": "classifier", **asked}), few)
