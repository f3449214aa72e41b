"""Frames to vectors: standardisation by hand, and a CNN for which each frame stands for itself."""

from __future__ import annotations

import pytest
import torch

from throughtime.encoders.frames import SMALLEST_FRAME, SmallCNN, Standardise


def test_standardising_by_hand() -> None:
    standardise = Standardise(torch.tensor([1.0, 10.0]), torch.tensor([2.0, 4.0]))
    frames = torch.tensor([[1.0, 10.0], [5.0, 2.0]])
    assert standardise(frames).tolist() == [[0.0, 0.0], [2.0, -2.0]]
    assert standardise.output_size == 2
    assert list(standardise.parameters()) == []
    assert sorted(standardise.state_dict()) == ["mean", "scale"]


def test_a_constant_feature_becomes_zero_even_where_rounding_moves_it() -> None:
    standardise = Standardise(torch.tensor([3.0, 1e4]), torch.tensor([0.0, 1e-4]))
    assert standardise(torch.tensor([[3.0, 1e4 + 1e-3]])).tolist() == [[0.0, 0.0]]
    # a small scale alone is no reason: velocities may be as small as this
    assert Standardise(torch.zeros(1), torch.tensor([1e-4]))(torch.tensor([[2e-4]])).item() == pytest.approx(
        2
    )


@pytest.mark.parametrize("size", [SMALLEST_FRAME, 32, 50])
def test_the_small_cnn_gives_a_frame_the_same_vector_in_any_company(size: int) -> None:
    torch.manual_seed(0)
    cnn = SmallCNN(7)
    frames = torch.randint(256, (5, size, size, 3), dtype=torch.uint8)
    features = cnn(frames)
    assert features.shape == (5, 7)
    torch.testing.assert_close(cnn(frames[2:3])[0], features[2])
    torch.testing.assert_close(cnn.eval()(frames), features)


def test_the_small_cnn_sees_where_something_is() -> None:
    torch.manual_seed(0)
    frames = torch.zeros(2, 32, 32, 3, dtype=torch.uint8)
    frames[0, 4:10, 4:10] = 255
    frames[1, 20:26, 20:26] = 255
    one, two = SmallCNN(16)(frames)
    assert (one - two).abs().max() > 1e-3
