"""The adding problem: the inspector's verdict early in training against what training comes to.

    python benchmarks/adding_problem.py

Two numbers among T are marked, one in each half; the answer is their sum (Hochreiter and Schmidhuber 1997,
experiment 4; here as in Le, Jaitly and Hinton 2015: values from U(0, 1)). Predicting 1 whatever comes has a
mean squared error of 1/6. A vanilla RNN and an LSTM of one size train on the same sequences; after 5 % of
the steps the gradient is measured over the T steps (`throughtime.inspection.gradient_flow`), and the verdict,
healthy or not, is held against whether the error falls below 0.01. The LSTM's gates begin such that its units
remember for 1 to T steps (Tallec and Ollivier 2018, "chrono initialisation").
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import torch
from torch import Tensor, nn

from throughtime import Recurrent
from throughtime.cells import LSTM
from throughtime.inspection import gradient_flow

SOLVED = 0.01
_TEST_SEQUENCES = 1000


def sequences(count: int, T: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Inputs (T, count, 2), values and marks, and the sums (count,)."""
    values = torch.rand(T, count, generator=generator)
    marks = torch.zeros(T, count)
    columns = torch.arange(count)
    for low, high in ((0, T // 2), (T // 2, T)):
        marks[torch.randint(low, high, (count,), generator=generator), columns] = 1
    return torch.stack([values, marks], -1), (values * marks).sum(0)


class Adder(nn.Module):
    """Recurrence, and a linear readout of the last state."""

    def __init__(self, cell: str, hidden: int, T: int) -> None:
        super().__init__()
        self.recurrent = Recurrent(cell, 2, hidden)
        self.readout = nn.Linear(hidden, 1)
        if cell == "lstm":
            remember_for(T, self.recurrent.cells[0], hidden)  # type: ignore[arg-type]

    def forward(self, inputs: Tensor) -> Tensor:
        return self.readout(self.recurrent(inputs)[0][-1])[:, 0]


@torch.no_grad()
def remember_for(T: int, cell: LSTM, hidden: int) -> None:
    """Let each unit keep its cell state for 1 to T steps, and write as slowly, lest it saturates."""
    assert cell.bias_ih is not None and cell.bias_hh is not None
    forget = torch.empty(hidden).uniform_(1, T - 1).log()
    cell.bias_hh.zero_()
    cell.bias_ih[hidden : 2 * hidden] = forget
    cell.bias_ih[:hidden] = -forget


def train(cell: str, arguments: argparse.Namespace) -> dict[str, object]:
    """One training, with the verdict on the way."""
    torch.manual_seed(arguments.seed)
    generator = torch.Generator().manual_seed(arguments.seed)
    model = Adder(cell, arguments.hidden, arguments.length)
    optimizer = torch.optim.Adam(model.parameters(), arguments.learning_rate)
    test_inputs, test_sums = sequences(_TEST_SEQUENCES, arguments.length, generator)
    early = max(1, arguments.steps // 20)
    result: dict[str, object] = {"cell": cell}
    begin, solved_at = time.perf_counter(), None
    for step in range(1, arguments.steps + 1):
        inputs, sums = sequences(arguments.batch, arguments.length, generator)
        loss = ((model(inputs) - sums) ** 2).mean()
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if step == early:
            targets = sums[:16]
            flow = gradient_flow(
                model.recurrent,
                inputs[:, :16],
                loss=lambda last, targets=targets: (model.readout(last)[:, 0] - targets) ** 2,
            )
            result |= {
                "measured at step": step,
                "verdict": flow.verdict(),
                "effective memory": flow.effective_memory,
                "factor a step": flow.layers[0].rate[0],
            }
        if step % 100 == 0 or step == arguments.steps:
            with torch.no_grad():
                error = ((model(test_inputs) - test_sums) ** 2).mean().item()
            if error < SOLVED and solved_at is None:
                solved_at = step
                break
    return result | {
        "test error": error,
        "solved": error < SOLVED,
        "solved at step": solved_at,
        "seconds": round(time.perf_counter() - begin, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--length", type=int, default=200, help="T")
    parser.add_argument("--hidden", type=int, default=64)
    parser.add_argument("--steps", type=int, default=6000)
    parser.add_argument("--batch", type=int, default=50)
    parser.add_argument("--learning-rate", type=float, default=2e-3)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--cells", nargs="+", default=["rnn", "lstm"], choices=["rnn", "gru", "lstm"])
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    print(
        f"T = {arguments.length}, {arguments.hidden} units, at most {arguments.steps} steps of "
        f"{arguments.batch}, seed {arguments.seed}; predicting 1 has error {1 / 6:.4f}; torch "
        f"{torch.__version__}, {torch.get_num_threads()} threads"
    )
    results = []
    for cell in arguments.cells:
        results.append(train(cell, arguments))
        print("  ".join(f"{name} {value}" for name, value in results[-1].items()), flush=True)
    agree = all((one["verdict"] == "healthy") == one["solved"] for one in results)
    print(f"the early verdict {'predicted' if agree else 'did NOT predict'} every outcome")
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
