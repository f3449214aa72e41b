"""The values that published reference code gives for cells that torch.nn does not have.

Parameters and inputs follow a formula; each expected number was printed once by running the reference in
float64:

- sLSTM: the `vanilla` backend of NX-AI/xlstm (Apache-2.0), commit 032a6fb.
- minGRU: lucidrains/minGRU-pytorch (MIT), commit 38b26e1; its parallel and its sequential form agree.
- Mogrifier LSTM: fawazsammani/mogrifier-lstm-pytorch, commit 8299b38.
"""

from __future__ import annotations

import math

import torch

from throughtime.cells import SLSTM, Cell, MinGRU, Mogrifier


def formula(shape: tuple[int, ...], shift: float) -> torch.Tensor:
    numbers = torch.arange(math.prod(shape), dtype=torch.double)
    return torch.sin(numbers * 0.7 + shift).reshape(shape)


def run(cell: Cell, inputs: torch.Tensor, state: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
    for projected in cell.project(inputs):
        _, state = cell.step(projected, state)
    return state


@torch.no_grad()
def test_slstm_gives_the_numbers_of_its_authors_code() -> None:
    steps, batch, heads, width = 4, 2, 2, 3
    hidden = heads * width
    cell = SLSTM(4 * hidden, hidden, heads).double()
    cell.input.weight.copy_(torch.eye(4 * hidden))
    cell.input.bias.copy_(formula((4 * hidden,), 0.3))
    recurrent = formula((heads, 4 * width, width), 0.2) * 0.8
    cell.weight_hh.copy_(recurrent.transpose(1, 2).reshape(heads, width, 4, width))
    inputs = formula((steps, batch, 4 * hidden), 0.1) * 1.5
    h, c, n, m = run(cell, inputs, cell.initial_state(batch, inputs))
    expected = {
        "h": [
            [0.595264566, -0.059027053, -0.749448012, -0.405610171, -0.424323771, -0.131010093],
            [-0.029603107, 0.016902307, 0.147057958, -0.286689868, -0.588591743, -0.471093386],
        ],
        "c": [
            [0.888477206, -0.06871369, -0.923770621, -1.174437113, -1.289024555, -0.694193253],
            [-0.285839889, 0.09492028, 0.315598636, -0.461661281, -0.985522988, -1.015924503],
        ],
        "n": [
            [1.05224919, 1.045041195, 1.14052444, 1.997062425, 1.542571888, 1.381213077],
            [1.639747006, 2.353391323, 1.571845324, 1.20645078, 1.334726095, 1.587346986],
        ],
        "m": [
            [0.795336182, 2.127647009, 2.532754339, 0.880195988, 0.961662327, 0.975022242],
            [-0.150568209, 0.46178209, 0.975917902, 1.080964484, 1.368242437, 1.070796911],
        ],
    }
    for name, found in zip("hcnm", (h, c, n, m), strict=True):
        torch.testing.assert_close(found, torch.tensor(expected[name], dtype=torch.double), rtol=0, atol=1e-8)


@torch.no_grad()
def test_mingru_gives_the_numbers_of_the_published_module() -> None:
    cell = MinGRU(3, 3, bias=False).double()
    weights = formula((6, 3), 0.4)  # the candidate's rows, then the gate's
    cell.candidate.weight.copy_(weights[:3])
    cell.update.weight.copy_(weights[3:])
    inputs = formula((2, 4, 3), 0.5).transpose(0, 1)
    (h,) = run(cell, inputs, cell.initial_state(2, inputs))
    expected = [[2.295276901, 0.610499052, 1.571639878], [1.565256039, 1.113947605, 1.050869213]]
    torch.testing.assert_close(h, torch.tensor(expected, dtype=torch.double), rtol=0, atol=1e-8)


@torch.no_grad()
def test_mogrifier_gives_the_numbers_of_the_published_module() -> None:
    cell = Mogrifier(3, 4, rounds=5).double()
    names = ["weight_ih", "weight_hh", "bias_ih", "bias_hh"]
    names += [f"rounds.{i}.{kind}" for i in range(5) for kind in ("weight", "bias")]
    parameters = dict(cell.named_parameters())
    assert sorted(names) == sorted(parameters)
    for k, name in enumerate(names):
        parameters[name].copy_(formula(tuple(parameters[name].shape), 0.1 * k))
    inputs = torch.stack([formula((2, 3), float(t)) for t in range(3)])
    h, c = run(cell, inputs, (formula((2, 4), 0.2), formula((2, 4), 0.3)))
    expected_h = [
        [-0.161911506, 0.582995414, 0.003072342, 0.1494372],
        [0.000917304, -0.5076392, -0.523221461, 8.3707e-05],
    ]
    expected_c = [
        [-2.722799925, 0.676331055, 0.573039306, 0.333957066],
        [0.060215609, -1.727647442, -0.607482103, 0.022790955],
    ]
    torch.testing.assert_close(h, torch.tensor(expected_h, dtype=torch.double), rtol=0, atol=1e-8)
    torch.testing.assert_close(c, torch.tensor(expected_c, dtype=torch.double), rtol=0, atol=1e-8)
