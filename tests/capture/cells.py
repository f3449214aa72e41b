"""Cells that a user could have written, of every kind of operation that a program has."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from throughtime.cells import CELLS, Cell, State


class MinimalGatedUnit(Cell):
    """Zhou et al. 2016, written without a thought for speed."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size, state_sizes=(hidden_size,))
        self.forget = nn.Linear(input_size + hidden_size, hidden_size)
        self.candidate = nn.Linear(input_size + hidden_size, hidden_size)

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        (h,) = state
        f = torch.sigmoid(self.forget(torch.cat([x, h], -1)))
        n = torch.tanh(self.candidate(torch.cat([x, f * h], -1)))
        h = (1 - f) * h + f * n
        return h, (h,)


class LearnedStart(Cell):
    """Its state begins at parameters and at fixed numbers; its output is no tensor of its state."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size, state_sizes=(hidden_size, 3), output_size=2)
        self.start = nn.Parameter(torch.linspace(-1, 1, hidden_size))
        self.register_buffer("scale", torch.linspace(0.5, 1.5, hidden_size))
        self.read = nn.Linear(input_size + hidden_size, hidden_size)
        self.write = nn.Linear(hidden_size, 5)

    def initial_state(self, batch_size: int, like: Tensor) -> State:
        return self.start.expand(batch_size, -1), like.new_full((batch_size, 3), 0.25)

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        h, memory = state
        h = torch.tanh(self.read(torch.cat([x, h], -1))) * self.scale  # type: ignore[operator]
        written, kept = self.write(h).split([2, 3], -1)
        return written * memory[:, :1], (h, 0.5 * memory + kept)


class Combined(Cell):
    """One function of its products and of both tensors of its state, which it may swap."""

    def __init__(
        self, input_size: int, hidden_size: int, function: Callable[..., Tensor], swap: bool = False
    ) -> None:
        super().__init__(input_size, hidden_size, state_sizes=(hidden_size, hidden_size))
        self.function, self.swap = function, swap
        self.input, self.recurrent = nn.Linear(input_size, hidden_size), nn.Linear(hidden_size, hidden_size)

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        a, b = state
        k = self.function(self.input(x) + self.recurrent(a), a, b)
        return k, ((b, torch.tanh(k)) if self.swap else (torch.tanh(k) * 0.5, k * 0.1))


FUNCTIONS: dict[str, Callable[..., Tensor]] = {
    "sum": lambda p, a, b: p.clamp(-1, 2) + a.sum(-1, keepdim=True) * 0.1 - b.mean(-1, keepdim=True),
    "softmax": lambda p, a, b: p.softmax(-1) * 3 + b.log_softmax(-1) * 0.1,
    "interleaved": lambda p, a, b: torch.stack([p, a, b], 1).transpose(1, 2).flatten(1)[:, 1:-1:3],
    "outer product": lambda p, a, b: (p[:, :, None] * b[:, None, :]).amax(-1) + a.amin(-1, keepdim=True),
    "matrix of the state": lambda p, a, b: (p[:, :, None] @ b[:, None, :]).mean(1),
    "logarithm": lambda p, a, b: (
        torch.log(p.abs() + 0.1) + torch.sqrt(b.square() + 0.1) - (a + 9).reciprocal()
    ),
    "error function": lambda p, a, b: torch.erf(p) + F.gelu(a) + F.gelu(b, approximate="tanh"),
    "where": lambda p, a, b: torch.where((p > 0) & ~(b >= 0.5) | (a == 0), p, a),
    "layer norm": lambda p, a, b: F.layer_norm(p + b, (p.shape[-1],)) + F.rms_norm(a, (a.shape[-1],)),
    "softplus": lambda p, a, b: F.softplus(p) - F.logsigmoid(b) + F.softplus(a, beta=2.0),
    "activations": lambda p, a, b: F.silu(p) + F.elu(b) + F.leaky_relu(a) + F.hardsigmoid(p) + F.hardtanh(b),
    "powers": lambda p, a, b: (
        p**3 * 0.1 + torch.lerp(a, b, 0.3) + torch.addcmul(a, p, b, value=0.5) - 2 / (b + 9)
    ),
    "parts": lambda p, a, b: torch.cat([*p.unflatten(-1, (3, -1)).unbind(1), a[:, ::2], b][:3], -1) + 0 * p,
    "old state alone": lambda p, a, b: b * 1.0,
}


def every_cell() -> dict[str, Cell]:
    """Built-in cells with their options and cells of a user's, of even and odd sizes, by what they are."""
    torch.manual_seed(0)
    cells: dict[str, Cell] = {
        "rnn": CELLS["rnn"](5, 7),
        "rnn relu": CELLS["rnn"](40, 33, activation="relu", bias=False),
        "lstm": CELLS["lstm"](40, 48),
        "lstm with all": CELLS["lstm"](5, 33, peephole=True, projection=20, coupled=True, layer_norm=True),
        "gru": CELLS["gru"](5, 7),
        "gru reset before": CELLS["gru"](30, 40, reset_after=False),
        "mogrifier": CELLS["mogrifier"](5, 7, rounds=5),
        "mogrifier of one round": CELLS["mogrifier"](40, 70, rounds=1),
        "mingru": CELLS["mingru"](50, 70),
        "slstm of blocks": CELLS["slstm"](5, 64, heads=2),
        "slstm of odd heads": CELLS["slstm"](7, 96, heads=3),
        "slstm small": CELLS["slstm"](5, 8, heads=4),
        "minimal gated unit": MinimalGatedUnit(19, 40),
        "learned start": LearnedStart(4, 9),
    }
    for name, function in FUNCTIONS.items():
        cells[name] = Combined(6, 9, function, swap=len(cells) % 2 == 0)
    with torch.no_grad():
        for cell in cells.values():
            for parameter in cell.parameters():
                if parameter.dim() == 1:
                    parameter.add_(
                        torch.randn_like(parameter) * 0.3
                    )  # biases and gains that are not all alike
    return cells
