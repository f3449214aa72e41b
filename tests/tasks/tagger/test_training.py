"""Training a tagger: chunks carry their state, nothing is learned where it must not be, and it resumes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.training.test_trainer import Interrupter, assert_same_outcome
from throughtime.data.labels import Labels
from throughtime.data.sequences import write_sequences
from throughtime.encoders.frames import Standardise
from throughtime.errors import CheckpointError
from throughtime.models.functions import TorchNetwork
from throughtime.saved import Saved
from throughtime.tasks.tagger.frame_targets import FrameLabels
from throughtime.tasks.tagger.model import Tagger
from throughtime.tasks.tagger.options import TaggerNetwork, TaggerTraining
from throughtime.tasks.tagger.prediction import LabelledClips, clip_outputs, evaluate
from throughtime.tasks.tagger.prediction import Tagger as FrameTagger
from throughtime.tasks.tagger.training import Tagging
from throughtime.training import Interrupted, resume, train

F, C = 3, 3
LABELS = FrameLabels(Labels("abc"))
LENGTHS = (23, 7, 40, 1, 16)


def make_clips(folder: Path, lengths: tuple[int, ...] = LENGTHS, unlabelled: float = 0.2) -> LabelledClips:
    generator = np.random.default_rng(0)
    frames = [generator.standard_normal((length, F)).astype(np.float32) for length in lengths]
    labels = [
        np.where(generator.random(length) < unlabelled, -1, generator.integers(C, size=length))
        for length in lengths
    ]
    return LabelledClips(
        write_sequences(folder / "a.frames.npy", frames), write_sequences(folder / "a.labels.npy", labels)
    )


def make_tagger(**options: Any) -> Tagger:
    torch.manual_seed(0)
    network = TaggerNetwork(
        **{"hidden": 6, "input_dropout": 0.0, "output_dropout": 0.0, "dropout": 0.0, **options}
    )
    return Tagger(network, Standardise(torch.zeros(F), torch.ones(F)), LABELS)


def make_task(tagger: Tagger, clips: LabelledClips, **options: Any) -> Tagging:
    training = TaggerTraining(**{"batch": 2, "chunk": 8, "context": 4, **options})
    return Tagging(tagger, clips, None, training, LABELS, "array")


def read_epoch(task: Tagging) -> tuple[float, int]:
    """The sum of all losses, and how many frames they are over."""
    task.start_epoch(0)
    total, count = 0.0, 0
    while (step := task.next_loss()) is not None:
        total += step.loss.item() * step.tokens
        count += step.tokens
    return total, count


@pytest.mark.parametrize("options", [{}, {"cell": "gru", "layers": 2}, {"cell": "rnn"}, {"cell": "none"}])
@pytest.mark.parametrize("training", [{"chunk": 8}, {"chunk": 0}, {"chunk": 5, "batch": 3}, {"batch": 9}])
def test_the_losses_of_an_epoch_are_those_of_the_whole_clips(
    tmp_path: Path, options: dict[str, Any], training: dict[str, Any]
) -> None:
    clips = make_clips(tmp_path)
    tagger = make_tagger(**options)
    total, count = read_epoch(make_task(tagger, clips, **training))
    wanted = 0.0
    for frames, labels in ((clips.frames[i], clips.labels[i]) for i in range(len(LENGTHS))):
        logits, _ = tagger(torch.from_numpy(np.array(frames)).unsqueeze(1))
        targets = torch.from_numpy(np.array(labels))
        losses = torch.nn.functional.cross_entropy(logits[:, 0], targets, reduction="none", ignore_index=-1)
        wanted += losses.sum().item()
    assert count == int((clips.labels.values >= 0).sum())
    assert total == pytest.approx(wanted, rel=1e-5)


def test_a_bidirectional_epoch_learns_from_each_labelled_frame_once(tmp_path: Path) -> None:
    clips = make_clips(tmp_path)
    labelled = int((clips.labels.values >= 0).sum())
    for chunk in (8, 0):
        assert read_epoch(make_task(make_tagger(bidirectional=True), clips, chunk=chunk))[1] == labelled


def test_context_as_long_as_the_clip_gives_the_losses_of_whole_clips(tmp_path: Path) -> None:
    clips = make_clips(tmp_path)
    tagger = make_tagger(bidirectional=True)
    whole = read_epoch(make_task(tagger, clips, chunk=0))[0]
    assert read_epoch(make_task(tagger, clips, chunk=8, context=40))[0] == pytest.approx(whole, rel=1e-5)
    assert read_epoch(make_task(tagger, clips, chunk=8, context=0))[0] != pytest.approx(whole, rel=1e-4)


def test_the_gradient_is_cut_between_chunks(tmp_path: Path) -> None:
    clips = make_clips(tmp_path, (16,), unlabelled=0)
    tagger = make_tagger()
    task = make_task(tagger, clips, batch=1)
    task.start_epoch(0)
    for _ in range(2):
        step = task.next_loss()
        assert step is not None
        tagger.zero_grad()
        step.loss.backward()  # the graph of the chunk before is gone: going into it would raise
    assert tagger.recurrent.cells[0].weight_hh.grad.abs().sum() > 0  # type: ignore[union-attr]


def test_a_stretch_without_labels_gives_no_loss_but_carries_the_state(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    frames = generator.standard_normal((24, F)).astype(np.float32)
    labels = np.full(24, -1)
    labels[20] = 1
    clips = LabelledClips(
        write_sequences(tmp_path / "f.npy", [frames]), write_sequences(tmp_path / "l.npy", [labels])
    )
    tagger = make_tagger()
    task = make_task(tagger, clips, batch=1)
    task.start_epoch(0)
    step = task.next_loss()
    assert step is not None and step.tokens == 1
    logits, _ = tagger(torch.from_numpy(frames).unsqueeze(1))
    assert step.loss.item() == pytest.approx(-torch.log_softmax(logits[20, 0], -1)[1].item(), rel=1e-5)
    assert task.next_loss() is None


def test_balanced_weights_make_all_labels_count_alike() -> None:
    labels = np.array([0] * 6 + [1] * 3 + [-1] * 5 + [2])
    weights = torch.from_numpy(LABELS.weights(labels))
    assert weights.tolist() == pytest.approx([10 / 18, 10 / 9, 10 / 3])
    counts = torch.tensor([6.0, 3.0, 1.0])
    assert (weights * counts).tolist() == pytest.approx([10 / 3] * 3)


def test_the_weighted_loss_by_hand(tmp_path: Path) -> None:
    labels = [np.array([0, 1, 1, 1, -1, 2])]
    clips = LabelledClips(
        write_sequences(tmp_path / "f.npy", [np.zeros((6, F), np.float32)]),
        write_sequences(tmp_path / "l.npy", labels),
    )
    tagger = make_tagger()
    logits = tagger(torch.zeros(6, 1, F))[0][:, 0].detach().log_softmax(-1).numpy()
    for weighting, shares in (
        ("none", [1, 1, 1, 1, 0, 1]),
        ("balanced", [5 / 3, 5 / 9, 5 / 9, 5 / 9, 0, 5 / 3]),
    ):
        task = make_task(tagger, clips, batch=1, class_weights=weighting)
        task.start_epoch(0)
        step = task.next_loss()
        assert step is not None
        losses = -logits[np.arange(6), labels[0]] * shares
        assert step.loss.item() == pytest.approx(losses.sum() / sum(shares), rel=1e-5)


@pytest.mark.parametrize("options", [{}, {"bidirectional": True}, {"cell": "none"}])
def test_evaluation_does_not_depend_on_the_batch(tmp_path: Path, options: dict[str, Any]) -> None:
    clips = make_clips(tmp_path, (300, 20, 7, 270), unlabelled=0.3)
    model = make_tagger(**options)
    tagger = FrameTagger(TorchNetwork(model), model.looks_ahead)
    loss, scores = evaluate(tagger, clips, 1, LABELS)
    other, other_scores = evaluate(tagger, clips, 3, LABELS)
    assert other == pytest.approx(loss, rel=1e-5)
    assert other_scores.result() == pytest.approx(scores.result())
    for clip, logits in clip_outputs(tagger, clips.frames, 3):
        whole, _ = model(torch.from_numpy(np.array(clips.frames[clip])).unsqueeze(1))
        np.testing.assert_allclose(logits, whole[:, 0].detach().numpy(), rtol=1e-5, atol=1e-6)
    task = Tagging(model.train(), clips, clips, TaggerTraining(), LABELS, "array")
    assert task.evaluate()["val_loss"] == pytest.approx(loss, rel=1e-5)
    assert model.training  # as it was before


def write_folder(folder: Path) -> Path:
    """Six clips: a pulse says that it goes up or down from here on, and the label remembers which."""
    folder.mkdir()
    generator = np.random.default_rng(0)
    lines = ["file_name,labels"]
    for number, length in enumerate((60, 33, 90, 41, 12, 70)):
        direction = np.repeat(generator.integers(2, size=length // 6 + 1), 6)[:length] * 2 - 1
        pulse = np.where(np.arange(length) % 6 == 0, direction, 0)[:, None]
        np.save(folder / f"{number}.npy", pulse + generator.normal(0, 0.05, (length, 2)))
        names = np.where(direction > 0, "up", "down").tolist()
        names[3] = ""
        (folder / f"{number}.txt").write_text("\n".join(names) + "\n")
        lines.append(f"{number}.npy,{number}.txt")
    (folder / "metadata.csv").write_text("\n".join(lines) + "\n")
    return folder


SMALL: dict[str, Any] = {
    "hidden": 8,
    "batch": 2,
    "chunk": 10,
    "epochs": 2,
    "log_every": 3,
    "threads": 1,
    "tensorboard": False,
    "task": "tagger",
}
VARIANTS: list[dict[str, Any]] = [
    {},
    {"cell": "gru", "layers": 2, "class_weights": "balanced", "evaluate_every": 4, "dropout": 0.3},
    {"bidirectional": True, "context": 5, "precision": "bf16", "zoneout": 0.1},
    {"cell": "none", "optimizer": "sgd", "momentum": 0.9, "schedule": "plateau", "chunk": 0, "epochs": 5},
]


@pytest.mark.parametrize("options", VARIANTS)
@pytest.mark.parametrize("at", [2, 9])
def test_a_stopped_training_goes_on_bit_for_bit(tmp_path: Path, options: dict[str, Any], at: int) -> None:
    options = {**SMALL, **options}
    source = write_folder(tmp_path / "data")
    train(source, out=tmp_path / "whole", **options)
    with pytest.raises(Interrupted) as raised:
        train(source, out=tmp_path / "parts", show=Interrupter(at), **options)
    assert raised.value.step == at
    with pytest.raises(Interrupted):
        resume(tmp_path / "parts", Interrupter(at + 1))
    resume(tmp_path / "parts")
    assert_same_outcome(tmp_path / "whole", tmp_path / "parts")


def test_recurrence_learns_what_single_frames_do_not_tell(tmp_path: Path) -> None:
    source = write_folder(tmp_path / "data")
    options = {**SMALL, "epochs": 30, "hidden": 16, "learning_rate": 0.01, "chunk": 20}
    recurrent = train(source, out=tmp_path / "recurrent", **options)
    baseline = train(source, out=tmp_path / "baseline", **options, cell="none")
    one, two = recurrent.evaluate(source), baseline.evaluate(source)
    assert one["accuracy"] > 0.9 > 0.75 > two["accuracy"]
    assert one["f1@50"] > two["f1@50"] + 0.2


@pytest.mark.parametrize(
    ("changes", "tensors", "message"),
    [
        ({"rows": [[5, 0]]}, {}, r"streams\.rows is \[\[5, 0\]\], expected a place in the training clips"),
        ({"rows": [[0, 24]]}, {}, r"streams\.rows"),
        ({"rows": [[0, 1], [1, 1], [2, 1]]}, {}, r"streams\.rows"),
        ({"rows": [[0]]}, {}, r"streams\.rows is \[0\]"),
        ({"taken": 6}, {}, r"streams\.rows"),
        ({"read": -1}, {}, r"streams\.read is -1"),
        (
            {},
            {"carried.0": torch.zeros(1, 3, 6)},
            r"task\.carried\.0 has shape \(1, 3, 6\), expected",
        ),
        ({}, {"carried.2": torch.zeros(1, 2, 6)}, r"holds task\.carried\.2"),
    ],
)
def test_a_position_that_is_none_is_refused(
    tmp_path: Path, changes: dict[str, Any], tensors: dict[str, torch.Tensor], message: str
) -> None:
    clips = make_clips(tmp_path, unlabelled=0.0)
    task, other = make_task(make_tagger(), clips), make_task(make_tagger(), clips)
    task.start_epoch(0)
    task.next_loss()
    state, carried = task.state()
    other.restore(Saved(state, "c.safetensors"), carried)
    state["streams"] |= changes
    with pytest.raises(CheckpointError, match=message):
        other.restore(Saved(state, "c.safetensors"), carried | tensors)
