"""The classifier's losses: weights of classes, and what is measured."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from tests.networks import one_label
from throughtime.data.sequences import write_sequences
from throughtime.errors import CheckpointError, RunError
from throughtime.models.functions import TorchNetwork
from throughtime.saved import Saved
from throughtime.tasks.classifier.model import Classifier, Ensemble
from throughtime.tasks.classifier.options import ClassifierNetwork, ClassifierTraining
from throughtime.tasks.classifier.prediction import Labeller, all_outputs
from throughtime.tasks.classifier.prepared import EXAMPLES, PreparedExamples, write_targets
from throughtime.tasks.classifier.training import Classification

LABELS = one_label(2)
TARGETS = np.array([0, 1, 1, 0, 0, 0])
HELD_OUT = np.array([False, False, False, False, True, True])


@pytest.fixture
def prepared(tmp_path: Path) -> PreparedExamples:
    generator = np.random.default_rng(0)
    write_sequences(tmp_path / EXAMPLES, [generator.integers(0, 5, n) for n in (3, 1, 4, 2, 5, 2)], np.int32)
    write_targets(tmp_path, TARGETS, HELD_OUT)
    return PreparedExamples.open(tmp_path)


def network(members: int = 1) -> Classifier | Ensemble:
    torch.manual_seed(0)
    still = {"input_dropout": 0.0, "output_dropout": 0.0, "word_dropout": 0.0}
    made = [Classifier(ClassifierNetwork(hidden=4, embedding=3, **still), LABELS, 5) for _ in range(members)]
    return made[0] if members == 1 else Ensemble(made)


def test_balanced_weights_are_one_on_average() -> None:
    weights = LABELS.weights(np.array([0, 0, 0, 1]))
    assert weights.tolist() == pytest.approx([4 / 6, 2])
    assert weights[[0, 0, 0, 1]].mean() == pytest.approx(1)


def test_the_loss_is_divided_by_examples_and_not_by_weights(prepared: PreparedExamples) -> None:
    model = network()
    losses = []
    for weighting in ("none", "balanced"):
        task = Classification(model, prepared, LABELS, ClassifierTraining(batch=3, class_weights=weighting))
        losses.append(task.loss(np.array([0])).loss.item())
    # The training has two examples of each class: all weights are 1, whatever a batch holds.
    assert losses[0] == pytest.approx(losses[1])
    outputs, truth = torch.zeros(2, 2), torch.tensor([0, 0])
    weighted = LABELS.losses(outputs, truth, torch.tensor([3.0, 1.0]))
    assert weighted.mean().item() == pytest.approx(3 * np.log(2))


def test_a_step_is_the_mean_over_its_examples(prepared: PreparedExamples) -> None:
    model = network()
    task = Classification(model, prepared, LABELS, ClassifierTraining(batch=3))
    step = task.loss(np.array([2, 0]))
    expected = [
        F.cross_entropy(
            model(
                torch.from_numpy(prepared.examples[number].astype(np.int64))[:, None], torch.tensor([length])
            ),
            torch.tensor([target]),
        )
        for number, length, target in ((2, 4, 1), (0, 3, 0))
    ]
    assert step.loss.item() == pytest.approx(sum(expected).item() / 2, rel=1e-5)
    assert step.tokens == 2


def test_members_learn_from_losses_of_their_own(prepared: PreparedExamples) -> None:
    model = network(members=2)
    assert isinstance(model, Ensemble)
    step = Classification(model, prepared, LABELS, ClassifierTraining()).loss(np.array([0, 1, 2]))
    alone = [
        Classification(member, prepared, LABELS, ClassifierTraining()).loss(np.array([0, 1, 2])).loss.item()  # type: ignore[arg-type]
        for member in model.members
    ]
    assert step.loss.item() == pytest.approx(np.mean(alone), rel=1e-5)
    assert alone[0] != alone[1]


def test_an_epoch_sees_the_training_examples_once_and_validation_the_others(
    prepared: PreparedExamples,
) -> None:
    task = Classification(network(), prepared, LABELS, ClassifierTraining(batch=3))
    seen = []
    task.loss = lambda examples: seen.extend(examples)  # type: ignore[method-assign, assignment, return-value]
    task.start_epoch(0)
    for _ in range(2):
        task.next_loss()
    assert sorted(seen) == [0, 1, 2, 3]
    metrics = task.evaluate()
    assert set(metrics) == {"val_loss", "val_accuracy", "val_macro_f1"}
    assert metrics["val_accuracy"] in (0, 0.5, 1)


def test_logits_come_back_in_the_order_of_the_examples() -> None:
    model = network()
    labeller = Labeller(TorchNetwork(model), model.config.pooling)
    generator = np.random.default_rng(1)
    examples = [generator.integers(0, 5, n) for n in generator.integers(1, 9, 300)]
    together = all_outputs(labeller, examples)
    for number in (0, 7, 299):
        alone = all_outputs(labeller, [examples[number]])[0]
        np.testing.assert_allclose(together[number], alone, rtol=1e-5, atol=1e-6)


def test_files_that_do_not_fit_are_named(tmp_path: Path) -> None:
    write_sequences(tmp_path / EXAMPLES, [np.array([1])], np.int32)
    with pytest.raises(RunError, match="incomplete"):
        PreparedExamples.open(tmp_path)
    write_targets(tmp_path, TARGETS, HELD_OUT)
    with pytest.raises(RunError, match="differ in the number"):
        PreparedExamples.open(tmp_path)


def test_a_position_outside_the_examples_is_refused(prepared: PreparedExamples) -> None:
    task = Classification(network(), prepared, LABELS, ClassifierTraining(batch=3))
    batches = len(task.batches)
    task.restore(Saved({"epoch": 1, "position": batches}, "c"), {})
    for state, tensors, message in (
        ({"epoch": 1, "position": batches + 1}, {}, f"position is {batches + 1}"),
        ({"epoch": -1, "position": 0}, {}, "epoch is -1"),
        ({"epoch": 1, "position": 0, "more": 1}, {}, "holds more"),
        ({"epoch": 1, "position": 0}, {"carried.0": torch.zeros(1)}, r"holds task\.carried\.0"),
    ):
        with pytest.raises(CheckpointError, match=message):
            task.restore(Saved(state, "c"), tensors)
