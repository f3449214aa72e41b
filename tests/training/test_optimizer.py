"""The optimiser: its state in a checkpoint, and what of another one is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from throughtime.errors import CheckpointError
from throughtime.saved import Saved
from throughtime.training.checkpoint import read_tensors, save_tensors
from throughtime.training.optimizer import pack_optimizer, unpack_optimizer


def make(name: str) -> tuple[nn.Module, torch.optim.Optimizer]:
    torch.manual_seed(0)
    model = nn.Linear(3, 2)
    if name == "adamw":
        return model, torch.optim.AdamW(model.parameters(), fused=True)
    return model, torch.optim.SGD(model.parameters(), 0.1, momentum=0.9 if name == "momentum" else 0)


def step(model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    optimizer.zero_grad()
    model(torch.ones(1, 3)).square().sum().backward()
    optimizer.step()


def after_three_steps(name: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    model, optimizer = make(name)
    for _ in range(3):
        step(model, optimizer)
    return pack_optimizer(optimizer)


@pytest.mark.parametrize("name", ["adamw", "sgd", "momentum"])
def test_an_optimizer_goes_on_exactly(name: str, tmp_path: Path) -> None:
    model, optimizer = make(name)
    for _ in range(3):
        step(model, optimizer)
    tensors, state = pack_optimizer(optimizer)
    save_tensors(tmp_path / "o", {**tensors, **model.state_dict()}, {})
    loaded, _ = read_tensors(tmp_path / "o")
    twin, other = make(name)
    twin.load_state_dict({key: loaded.pop(key) for key in ("weight", "bias")})
    unpack_optimizer(other, loaded, Saved(state, "o"), 3)
    for _ in range(3):
        step(model, optimizer)
        step(twin, other)
    for one, two in zip(model.parameters(), twin.parameters(), strict=True):
        assert torch.equal(one, two)


@pytest.mark.parametrize(
    ("name", "changed", "message"),
    [
        (
            "adamw",
            {"0.exp_avg": torch.zeros(1)},
            r"optimizer\.0\.exp_avg has shape \(1,\), expected \(2, 3\)",
        ),
        ("adamw", {"0.exp_avg_sq": torch.zeros(200, 300)}, r"optimizer\.0\.exp_avg_sq has shape"),
        (
            "adamw",
            {"1.exp_avg": torch.zeros(2).double()},
            r"1\.exp_avg is torch.float64, expected torch.float32",
        ),
        ("adamw", {"1.exp_avg": None}, r"lacks optimizer\.1\.exp_avg:"),
        ("adamw", {"1.step": torch.tensor([3.0])}, r"optimizer\.1\.step has shape \(1,\)"),
        ("adamw", {"1.step": torch.tensor(float("nan"))}, r"optimizer\.1\.step is nan"),
        ("adamw", {"1.step": torch.tensor(1e9)}, r"optimizer\.1\.step is 1e\+09, expected .* from 1 to 3"),
        ("adamw", {"2.exp_avg": torch.zeros(2)}, r"holds optimizer\.2\.exp_avg"),
        ("adamw", {"x": torch.zeros(2)}, r"holds optimizer\.x"),
        ("momentum", {"1.momentum_buffer": torch.zeros(3)}, r"optimizer\.1\.momentum_buffer has shape"),
        ("momentum", {"0.momentum_buffer": None}, r"lacks optimizer\.0\.momentum_buffer"),
        ("sgd", {"0.exp_avg": torch.zeros(2, 3)}, r"holds optimizer\.0\.exp_avg"),
    ],
)
def test_a_state_that_does_not_fit_is_refused_by_name(
    name: str, changed: dict[str, Tensor | None], message: str
) -> None:
    tensors, state = after_three_steps(name)
    tensors |= {key: value for key, value in changed.items() if value is not None}
    for key in (key for key, value in changed.items() if value is None):
        del tensors[key]
    with pytest.raises(CheckpointError, match=message):
        unpack_optimizer(make(name)[1], tensors, Saved(state, "c.safetensors"), 3)


def test_a_missing_state_is_an_error_after_the_first_step() -> None:
    for parameters in ([], [0, 1]):
        with pytest.raises(CheckpointError, match="lacks (the )?optimizer"):
            unpack_optimizer(make("adamw")[1], {}, Saved({"parameters": parameters}, "c"), 3)
    unpack_optimizer(make("adamw")[1], {}, Saved({"parameters": []}, "c"), 0)
    unpack_optimizer(make("sgd")[1], {}, Saved({"parameters": []}, "c"), 3)


def test_a_parameter_without_gradient_has_no_state() -> None:
    def frozen() -> torch.optim.Optimizer:
        model, optimizer = make("adamw")
        model.bias.requires_grad_(False)  # type: ignore[union-attr]
        step(model, optimizer)
        return optimizer

    tensors, state = pack_optimizer(frozen())
    assert state == {"parameters": [0]}
    unpack_optimizer(frozen(), tensors, Saved(state, "c"), 1)
