"""RNN against LSTM, as the tutorial teaches it: equal parameters, equal data, three seeds.

    python benchmarks/lesson.py

Both learn the adding problem of benchmarks/adding_problem.py: two of T numbers are marked, and the answer is
their sum. Always answering 1 has a mean squared error of 1/6 = 0.167. Each cell has the learning rate at
which it did best (--rates tries others). The LSTM begins with gates that remember for 1 to T steps.
Prints for each seed the error on unseen sequences and the effective memory (the first lag from which the
gradient stays below 1 % of lag 0), and says whether the LSTM has the lower error and three times the memory.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import torch
from adding_problem import remember_for, sequences
from torch import nn

import throughtime as tt
from throughtime.inspection import gradient_flow

# The sizes give both the same number of weights within 1 %.
CELLS: dict[str, dict[str, Any]] = {
    "rnn": {"hidden_size": 98, "learning_rate": 1e-3},
    "lstm": {"hidden_size": 48, "learning_rate": 5e-3},
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--length", type=int, default=100, help="T")
    parser.add_argument("--updates", type=int, default=1000)
    parser.add_argument("--cells", nargs="+", default=list(CELLS), choices=list(CELLS))
    parser.add_argument("--rates", type=float, nargs="+", help="try these learning rates, for both cells")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    print(f"T = {arguments.length}, {arguments.updates} updates, torch {torch.__version__}", flush=True)
    print("seed  cell  rate   parameters  error   memory  seconds", flush=True)
    measured: list[dict[str, Any]] = []
    for seed in arguments.seeds:
        for cell in arguments.cells:
            options = CELLS[cell]
            for rate in arguments.rates or [options["learning_rate"]]:
                run = measure(
                    cell, {**options, "learning_rate": rate}, seed, arguments.length, arguments.updates
                )
                measured.append(run)
                memory = f"> {arguments.length - 1}" if run["memory"] is None else run["memory"]
                print(
                    f"{seed:4}  {cell:4}  {rate:5}  {run['parameters']:10,}  {run['error']:.4f}  "
                    f"{memory:>6}  {run['seconds']:7.0f}",
                    flush=True,
                )
    if not arguments.rates and len(arguments.cells) == 2:
        for seed in arguments.seeds:
            rnn, lstm = (run for run in measured if run["seed"] == seed)
            ratio = (lstm["memory"] or arguments.length) / (rnn["memory"] or arguments.length)
            verdict = "holds" if lstm["error"] < rnn["error"] and ratio >= 3 else "FAILS"
            print(
                f"seed {seed}: the LSTM has {lstm['error'] / rnn['error']:.3f} of the RNN's error and "
                f"{ratio:.1f} times its memory: {verdict}"
            )
    if arguments.json:
        arguments.json.write_text(json.dumps(measured))


def measure(cell: str, options: dict[str, Any], seed: int, T: int, updates: int) -> dict[str, Any]:
    """Train one network on sequences of length T, test it on others, and look inside."""
    torch.manual_seed(seed)
    rate, hidden = options["learning_rate"], options["hidden_size"]
    recurrent, readout = tt.Recurrent(cell, 2, hidden), nn.Linear(hidden, 1)
    if cell == "lstm":
        remember_for(T, recurrent.cells[0], hidden)  # type: ignore[arg-type]
    weights = [*recurrent.parameters(), *readout.parameters()]
    optimizer = torch.optim.Adam(weights, lr=rate)
    generator = torch.Generator().manual_seed(seed)
    test_inputs, test_sums = sequences(1000, T, torch.Generator().manual_seed(0))

    def error(inputs: torch.Tensor, sums: torch.Tensor) -> torch.Tensor:
        return ((readout(recurrent(inputs)[0][-1])[:, 0] - sums) ** 2).mean()

    errors, begin = [], time.perf_counter()
    for update in range(updates + 1):
        if update % 50 == 0:
            with torch.no_grad():
                errors.append((update, round(error(test_inputs, test_sums).item(), 5)))
        loss = error(*sequences(50, T, generator))
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
    seconds = time.perf_counter() - begin
    targets = test_sums[:200]
    (layer,) = gradient_flow(
        recurrent, test_inputs[:, :200], loss=lambda last: (readout(last)[:, 0] - targets) ** 2
    ).layers
    return {
        "cell": cell,
        "seed": seed,
        "rate": rate,
        "parameters": sum(parameter.numel() for parameter in weights),
        "errors": errors,
        "error": errors[-1][1],
        "memory": layer.effective_memory,
        "curve": [float(f"{share:.3g}") for share in layer.curve],
        "seconds": round(seconds, 1),
    }


if __name__ == "__main__":
    main()
