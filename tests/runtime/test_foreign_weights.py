"""Weights that do not fit their config.toml are refused by name, whatever is wrong with them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from tests.runtime.cases import CASES, tagger  # noqa: E402
from throughtime.config.tagger import TaggerNetwork  # noqa: E402
from throughtime.encoders.frames import Standardise  # noqa: E402
from throughtime.errors import CheckpointError, OptionError  # noqa: E402
from throughtime.models.tagger import Tagger as TorchTagger  # noqa: E402
from throughtime.runtime import Weights  # noqa: E402
from throughtime.runtime.network import FP32  # noqa: E402
from throughtime.runtime.tagger import Tagger  # noqa: E402


def changed(array: np.ndarray) -> Iterator[np.ndarray]:
    """Tensors that do not fit where one was."""
    for axis in range(array.ndim):
        yield np.concatenate([array, array.take([0], axis)], axis)
        yield array.take(range(array.shape[axis] - 1), axis)
        yield array.take([], axis)
    yield array[None]
    yield array.reshape(-1)[0]
    yield np.full_like(array, np.nan)
    yield np.zeros(array.shape, np.int64)


@pytest.mark.parametrize("name", CASES)
def test_no_tensor_of_another_shape_or_type_gets_through(name: str) -> None:
    torch.manual_seed(0)
    model, use = CASES[name]()
    tensors = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
    use(Weights(tensors), FP32)
    for which, array in tensors.items():
        with pytest.raises(CheckpointError):
            use(Weights({other: kept for other, kept in tensors.items() if other != which}), FP32)
        with pytest.raises(CheckpointError):
            use(Weights({**tensors, f"{which}.more": array}), FP32)
        for other in changed(array):
            if other.shape == array.shape and other.dtype == array.dtype and np.array_equal(other, array):
                continue
            with pytest.raises(CheckpointError):
                use(Weights({**tensors, which: other}), FP32)


def test_a_cell_that_only_torch_has_is_named() -> None:
    model, _ = tagger(False)
    weights = Weights({name: tensor.numpy() for name, tensor in model.state_dict().items()})
    config = TaggerNetwork(hidden=4).model_copy(update={"cell": "mine"})
    with pytest.raises(OptionError, match="'mine' has no program for recurrent.cells.0.* --backend torch"):
        Tagger(weights, config, 2, 3)


def test_options_of_an_lstm_that_the_config_does_not_name_are_refused() -> None:
    torch.manual_seed(0)
    with_peephole = TorchTagger(
        TaggerNetwork(hidden=4, peephole=True), Standardise(torch.zeros(3), torch.ones(3)), 2
    )
    weights = Weights({name: tensor.numpy() for name, tensor in with_peephole.state_dict().items()})
    with pytest.raises(CheckpointError, match="holds 'recurrent.cells.0.weight_peephole', which the model"):
        Tagger(weights, TaggerNetwork(hidden=4), 2, 3)
