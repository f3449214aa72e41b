"""Frames through a tagger: the state belongs to one clip, however clips are cut and put beside each other."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from throughtime.data.labels import Labels
from throughtime.data.sequences import Sequences
from throughtime.errors import OptionError
from throughtime.tasks.tagger.frame_targets import FrameLabels
from throughtime.tasks.tagger.prediction import (
    FrameStepper,
    LabelledClips,
    clip_outputs,
    evaluate,
    outputs_of_clip,
)


class RunningSum:
    """The logits of a frame are (0, sum of the clip's frames so far)."""

    def __init__(self, looks_ahead: bool = False) -> None:
        self.looks_ahead = looks_ahead
        self.longest = 0

    def encode(self, frames: NDArray[Any]) -> NDArray[np.float32]:
        return frames.astype(np.float32)

    def tag(
        self, features: NDArray[np.float32], state: Any = None, lengths: NDArray[np.int64] | None = None
    ) -> tuple[NDArray[np.float32], Any]:
        self.longest = max(self.longest, len(features))
        sums = features[:, :, 0].cumsum(0) + (0 if state is None else state)
        last = len(features) - 1 if lengths is None else lengths - 1
        return np.stack([np.zeros_like(sums), sums], -1), sums[last, np.arange(sums.shape[1])]

    def carry(self, state: Any, kept: NDArray[np.int64], beginning: int) -> Any:
        return np.concatenate([state[kept], np.zeros(beginning, np.float32)])


LABELS = FrameLabels(Labels("ab"))
LENGTHS = (700, 3, 256, 257, 1, 300, 40)


def clips() -> LabelledClips:
    generator = np.random.default_rng(0)
    return LabelledClips(
        Sequences.in_memory([generator.normal(size=(length, 1)) for length in LENGTHS]),
        Sequences.in_memory([generator.integers(-1, 2, length) for length in LENGTHS]),
    )


@pytest.mark.parametrize("looks_ahead", [False, True])
@pytest.mark.parametrize("batch", [1, 2, 5])
def test_each_clip_is_read_with_its_own_state(batch: int, looks_ahead: bool) -> None:
    tagger, frames, shares = RunningSum(looks_ahead), clips().frames, []
    found = dict(clip_outputs(tagger, frames, batch, shares.append))
    assert sorted(found) == list(range(len(LENGTHS)))
    for clip, logits in found.items():
        expected = np.asarray(frames[clip])[:, 0].cumsum()
        np.testing.assert_allclose(logits[:, 1], expected, rtol=1e-4, atol=1e-4)
    assert shares[-1] == 1
    # A network that looks ahead has to see a clip whole; another never sees more than a chunk.
    assert tagger.longest == (700 if looks_ahead else 256)


def test_the_loss_and_the_scores_by_hand() -> None:
    labelled = LabelledClips(
        Sequences.in_memory([np.array([[1.0], [-3.0]]), np.array([[2.0]])]),
        Sequences.in_memory([np.array([1, 1]), np.array([-1])]),
    )
    loss, scores = evaluate(RunningSum(), labelled, 4, LABELS)
    losses = np.log1p(np.exp([-1.0, 2.0]))  # of the sums 1 and -2; the third frame has no label
    assert loss == pytest.approx(losses.mean())
    assert scores.result()["accuracy"] == 0.5
    weights = np.array([9.0, 1.0], np.float32)  # class 0 never occurs
    assert evaluate(RunningSum(), labelled, 4, LABELS, weights)[0] == pytest.approx(losses.mean())


def test_a_stream_says_what_a_whole_clip_says_unless_it_would_have_to_look_ahead() -> None:
    frames = np.random.default_rng(1).normal(size=(30, 1))
    whole = outputs_of_clip(RunningSum(), [frames[:11], frames[11:]])
    assert whole.shape == (30, 2)
    stepper = FrameStepper(RunningSum())
    parts = [stepper.feed(part) for part in np.split(frames, [1, 2, 17])]
    np.testing.assert_allclose(np.concatenate(parts), whole, rtol=1e-4, atol=1e-5)
    with pytest.raises(OptionError, match="bidirectional"):
        FrameStepper(RunningSum(looks_ahead=True))
