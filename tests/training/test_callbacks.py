"""Functions of a program in a training: they are told what happens, may stop it, and cost it nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

import throughtime as tt
from throughtime.errors import OptionError, RunError
from throughtime.run.history import read_metrics
from throughtime.training import EvaluationEvent, OwnLoss, StepEvent

pytestmark = pytest.mark.usefixtures("quick_trainings")

TEXTS = [f"{'good' if number % 2 else 'bad'} film {number}" for number in range(24)]
LABELS = ["pos" if number % 2 else "neg" for number in range(24)]
SMALL: dict[str, Any] = {
    "hidden": 6, "embedding": 4, "layers": 1, "epochs": 3, "batch": 4, "tensorboard": False, "show": None,
    "log_every": 1, "validation_fraction": 0.1,
}  # fmt: skip


def train(folder: Path, **options: Any) -> Any:
    return tt.train((TEXTS, LABELS), out=folder, **{**SMALL, **options})


def weights(folder: Path) -> bytes:
    return (folder / "model.safetensors").read_bytes()


@pytest.fixture(scope="module")
def plain(quick_trainings: None, tmp_path_factory: pytest.TempPathFactory) -> Any:
    return train(tmp_path_factory.mktemp("callbacks") / "plain")


def cross_entropy(outputs: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
    """The task's loss, written as a user writes one."""
    return F.cross_entropy(outputs[mask], targets[mask])


def test_callbacks_are_told_what_happens_and_change_nothing(plain: Any, tmp_path: Path) -> None:
    steps: list[StepEvent] = []
    evaluations: list[EvaluationEvent] = []

    def on_step(event: StepEvent) -> bool:
        steps.append(event)
        torch.rand(3)
        return True  # only a word stops

    found: list[str] = []

    def on_evaluation(event: EvaluationEvent) -> None:
        evaluations.append(event)
        found.append(event.run.classify(["good film"])[0]["label"])

    run = train(tmp_path / "run", on_step=on_step, on_evaluation=on_evaluation)
    assert weights(run.folder) == weights(plain.folder)
    logged = [entry for entry in read_metrics(run.folder) if "train_loss" in entry]
    assert [(event.step, event.epoch) for event in steps] == [
        (entry["step"], entry["epoch"]) for entry in logged
    ]
    for event, entry in zip(steps, logged, strict=True):
        assert event.loss == pytest.approx(entry["train_loss"])
        assert event.gradient_norm == pytest.approx(entry["gradient_norm"])
        assert event.learning_rate == entry["learning_rate"]
    assert [event.step for event in evaluations] == [steps[-1].step // 3 * number for number in (1, 2, 3)]
    assert set(evaluations[0].metrics) >= {"val_loss", "val_accuracy"} and evaluations[0].improved
    assert len(found) == 3 and set(found) <= {"pos", "neg"}


def test_whoever_wants_to_be_told_of_evaluations_gets_some(tmp_path: Path) -> None:
    """Of so few examples none is held out otherwise."""
    evaluations: list[EvaluationEvent] = []
    options = {name: value for name, value in SMALL.items() if name != "validation_fraction"}
    tt.train((TEXTS, LABELS), out=tmp_path / "run", on_evaluation=evaluations.append, **options)
    assert evaluations and "val_loss" in evaluations[0].metrics


@pytest.mark.parametrize("name", ["on_step", "on_evaluation"])
def test_an_error_of_a_callback_ends_the_training_after_a_checkpoint(
    plain: Any, tmp_path: Path, name: str
) -> None:
    def fail(event: StepEvent | EvaluationEvent) -> None:
        if event.step >= 7:
            raise OSError("mine")  # not one about the run's files

    with pytest.raises(OSError, match="^mine$"):
        train(tmp_path / "run", **{name: fail})
    run = tt.resume(tmp_path / "run", show=None)
    assert weights(run.folder) == weights(plain.folder)
    named = [{**entry, "seconds": 0, "tokens_per_second": 0} for entry in read_metrics(run.folder)]
    assert named == [{**entry, "seconds": 0, "tokens_per_second": 0} for entry in read_metrics(plain.folder)]


def test_the_answer_stop_ends_the_training_as_early_stopping_does(tmp_path: Path) -> None:
    seen: list[int] = []

    def stop(event: StepEvent) -> str | None:
        seen.append(event.step)
        return "stop" if event.step == 7 else None

    run = train(tmp_path / "run", on_step=stop)
    assert seen[-1] == 7
    facts = run.describe()
    assert facts["finished"] and facts["step"] == 7
    assert read_metrics(run.folder)[-1]["step"] == 7 and "val_loss" in read_metrics(run.folder)[-1]
    longer = tt.resume(run.folder, epochs=4, show=None, on_evaluation=lambda event: "stop")
    assert longer.describe()["finished"] and longer.describe()["step"] > 7


def test_what_is_no_function_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="on_step is a function of one event, not int"):
        train(tmp_path / "run", on_step=3)
    assert not list(tmp_path.iterdir())


def test_a_loss_of_ones_own_is_what_is_minimised(plain: Any, tmp_path: Path) -> None:
    same = train(tmp_path / "same", loss=cross_entropy)
    assert weights(same.folder) == weights(plain.folder)

    def each(outputs: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
        assert outputs.shape[:-1] == targets.shape == mask.shape
        return 3 * F.cross_entropy(outputs, targets, reduction="none")

    other = train(tmp_path / "other", loss=each, epochs=1)
    entries = read_metrics(other.folder)
    first = read_metrics(plain.folder)[0]["train_loss"]
    assert entries[0]["train_loss"] == pytest.approx(3 * first)
    assert entries[-1]["val_loss"] < 1  # which stays the task's
    assert other.describe()["own_loss"] == "each" and "each, a function" in other._repr_html_()


def test_a_training_with_a_loss_of_its_own_goes_on_with_it_alone(plain: Any, tmp_path: Path) -> None:
    def fail(event: StepEvent) -> None:
        if event.step == 3:
            raise KeyError(event.step)

    with pytest.raises(KeyError):
        train(tmp_path / "run", loss=cross_entropy, on_step=fail)
    with pytest.raises(RunError, match=r"tt.resume\(folder, loss=cross_entropy\)"):
        tt.resume(tmp_path / "run", show=None)
    with pytest.raises(RunError, match="task's loss"):
        tt.resume(plain.folder, show=None, loss=cross_entropy, epochs=9)
    run = tt.resume(tmp_path / "run", show=None, loss=cross_entropy)
    assert weights(run.folder) == weights(plain.folder)


def test_losses_of_steps_get_a_mask(tmp_path: Path) -> None:
    shapes: list[tuple[Any, ...]] = []

    def loss(outputs: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
        shapes.append((outputs.dim(), targets.shape == mask.shape, bool(mask.all())))
        assert int(targets.min()) >= 0
        return F.cross_entropy(outputs[mask], targets[mask])

    clips = [torch.full((4 + number % 3, 2), float(number % 2)) for number in range(8)]
    tags = [["a" if number % 2 else "b"] * (len(clip) - 1) + [None] for number, clip in enumerate(clips)]
    options = {name: value for name, value in SMALL.items() if name != "embedding"} | {
        "epochs": 1,
        "loss": loss,
    }
    tt.train((clips, tags), out=tmp_path / "tagger", task="tagger", **options)
    tt.train(["anna", "bo", "carla", "dan"] * 4, out=tmp_path / "lines", **options)
    tt.train(tt.Text("a text of some length. " * 40), out=tmp_path / "text", chunk=8, **options)
    assert {dimensions for dimensions, _, _ in shapes} == {3}
    assert all(alike for _, alike, _ in shapes) and not all(whole for _, _, whole in shapes)


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        (lambda outputs, targets, mask: 1.0, "gives float: give a tensor"),
        (lambda outputs, targets, mask: outputs.sum(-1)[:1], r"has the shape \(1,\)"),
        (lambda outputs, targets, mask: outputs.detach().sum(), "no gradient"),
    ],
)
def test_what_is_no_loss_says_what_a_loss_is(loss: Any, message: str) -> None:
    outputs, targets = torch.zeros(4, 2, requires_grad=True), torch.zeros(4, dtype=torch.int64)
    with pytest.raises(OptionError, match=message):
        OwnLoss(loss)(outputs, targets, torch.ones(4, dtype=torch.bool))


def test_a_loss_is_for_tasks_that_have_one_to_replace(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="a translator has no loss to replace"):
        tt.train([("a", "b")] * 12, out=tmp_path / "run", task="translator", loss=cross_entropy, show=None)
    with pytest.raises(OptionError, match="class_weights does nothing"):
        train(tmp_path / "run", loss=cross_entropy, class_weights="balanced")
    assert not list(tmp_path.iterdir())
