"""Training any cell: the native kernel against torch.nn and the loop, forward and backward over a chunk.

One layer, I = H, one process, all contestants in turns, medians. FLOP are those of the matrix products,
forward and backward (3 times forward); beside them stands what a matrix product alone reaches here. "of LSTM"
is a cell's FLOP/s as a share of torch.nn.LSTM's at the same shape, the fastest that PyTorch has on a CPU.

    torch     what PyTorch has for the cell: torch.nn's RNN, GRU, LSTM; "-" for the others
    loop      the cell's own steps, one after the other (kernel="reference")
    compiled  with --compile, the same loop, its step by torch.compile; compiling takes up to a minute each
    native    kernel="native"

`--precision bf16` runs all of them under autocast, as `throughtime train --precision bf16` does.

    python benchmarks/training.py --threads 2
    python benchmarks/training.py --cells GRU "layer-norm LSTM" --shapes 8,100,64 --json training.json

`--cpu-time` counts the processor's time in place of the clock's, for one thread on a machine that others use.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable
from math import prod
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from throughtime import Cell, Recurrent, _native
from throughtime.cells import State

SHAPES = [
    *((1, 1000, 256), (8, 100, 64), (16, 200, 128), (32, 64, 128), (50, 50, 512), (64, 64, 1024)),
    *((64, 35, 200), (20, 35, 650)),
]


class MinimalGatedUnit(Cell):
    """The ten-line cell of the documentation (Zhou et al. 2016)."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size, state_sizes=(hidden_size,))
        self.forget = nn.Linear(input_size + hidden_size, hidden_size)
        self.candidate = nn.Linear(input_size + hidden_size, hidden_size)

    def step(self, projected: Tensor, state: State) -> tuple[Tensor, State]:
        (h,) = state
        f = torch.sigmoid(self.forget(torch.cat([projected, h], -1)))
        n = torch.tanh(self.candidate(torch.cat([projected, f * h], -1)))
        h = (1 - f) * h + f * n
        return h, (h,)


CELLS: dict[str, tuple[str | type[Cell], dict[str, Any]]] = {
    "LSTM": ("lstm", {}),
    "GRU": ("gru", {}),
    "RNN": ("rnn", {}),
    "layer-norm LSTM": ("lstm", {"layer_norm": True}),
    "peephole LSTM": ("lstm", {"peephole": True}),
    "zoneout LSTM": ("lstm", {"zoneout": (0.15, 0.05)}),
    "Mogrifier": ("mogrifier", {}),
    "sLSTM": ("slstm", {}),
    "ten-line cell": (MinimalGatedUnit, {}),
}
TORCH = {"LSTM": nn.LSTM, "GRU": nn.GRU, "RNN": nn.RNN}


def compiled(cell: str | type[Cell], size: int, options: dict[str, Any]) -> Recurrent:
    """The loop, its step by torch.compile."""
    torch._dynamo.reset()
    loop = Recurrent(cell, size, size, kernel="reference", **options)
    for one in loop.cells:
        one.step = torch.compile(one.step, dynamic=False)  # type: ignore[method-assign]
    return loop


def flops(module: nn.Module, T: int, B: int) -> float:
    """Of the matrix products of forward and backward."""
    matrices = sum(prod(one.shape) for one in module.parameters() if one.dim() > 1 and min(one.shape) > 3)
    return 6.0 * T * B * matrices


def trained(module: nn.Module, inputs: Tensor, precision: str) -> Callable[[], None]:
    """Forward and backward over the chunk."""

    def once() -> None:
        module.zero_grad(set_to_none=True)
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            outputs, _ = module(inputs)
        outputs.backward(torch.ones_like(outputs))

    return once


def medians(
    runs: dict[str, Callable[[], None]], seconds: float, clock: Callable[[], float]
) -> dict[str, float]:
    """The median time of each, all in turns."""
    times: dict[str, list[float]] = {name: [] for name in runs}
    for run in runs.values():
        run()
    begin = time.perf_counter()
    while len(next(iter(times.values()))) < 3 or time.perf_counter() - begin < seconds:
        for name, run in runs.items():
            start = clock()
            run()
            times[name].append(clock() - start)
    return {name: statistics.median(each) for name, each in times.items()}


def peak(clock: Callable[[], float], precision: str) -> float:
    """GFLOP/s of a product of two matrices of 2048."""
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    a, b = torch.randn(2048, 2048, dtype=dtype), torch.randn(2048, 2048, dtype=dtype)
    times = []
    for _ in range(7):
        start = clock()
        torch.mm(a, b)
        times.append(clock() - start)
    return 2 * 2048**3 / min(times) / 1e9


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--cells", nargs="+", choices=CELLS, default=list(CELLS))
    parser.add_argument("--shapes", nargs="+", default=[",".join(map(str, shape)) for shape in SHAPES])
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--precision", choices=["fp32", "bf16"], default="fp32")
    parser.add_argument("--seconds", type=float, default=3.0, help="for each cell and shape")
    parser.add_argument("--no-loop", action="store_true")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--cpu-time", action="store_true")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    clock = time.process_time if options.cpu_time else time.perf_counter
    versions = f"torch {torch.__version__}, Python {platform.python_version()}, {_native.isa()}"
    precision = options.precision
    best = f"a matrix product alone: {peak(clock, precision):.0f} GFLOP/s"
    print(f"{versions}, {options.threads} thread(s), {precision}; {best}")
    kinds = ("LSTM", "torch", "loop", *(["compiled"] if options.compile else []), "native")
    heads = "".join(f" {kind:>9}" for kind in kinds)
    print(f"{'B, T, H':>14}  {'cell':16}{heads}  GFLOP/s  of LSTM  speedup")
    rows = []
    for shape in options.shapes:
        B, T, H = map(int, shape.split(","))
        for name in options.cells:
            torch.manual_seed(0)
            cell, others = CELLS[name]
            if name == "sLSTM" and H % 4:
                others = dict[str, Any](heads=2)
            inputs = torch.randn(T, B, H, requires_grad=True)
            lstm = nn.LSTM(H, H)
            native = Recurrent(cell, H, H, kernel="native", **others)
            modules: dict[str, nn.Module] = {"LSTM": lstm, "native": native}
            if name in TORCH:
                modules["torch"] = TORCH[name](H, H)
            if not options.no_loop:
                modules["loop"] = Recurrent(cell, H, H, kernel="reference", **others)
            if options.compile:
                modules["compiled"] = compiled(cell, H, others)
            runs = {kind: trained(module, inputs, precision) for kind, module in modules.items()}
            times = medians(runs, options.seconds, clock)
            rate = flops(native, T, B) / times["native"] / 1e9
            share = rate / (flops(lstm, T, B) / times["LSTM"] / 1e9)
            rivals = [times[kind] for kind in ("torch", "loop", "compiled") if kind in times]
            speedup = min(rivals) / times["native"] if rivals else float("nan")
            shown = [f"{times[kind] * 1e3:9.2f}" if kind in times else f"{'-':>9}" for kind in kinds]
            figures = f"{' '.join(shown)}  {rate:7.0f}  {share:7.0%}  {speedup:7.2f}"
            print(f"{f'{B}, {T}, {H}':>14}  {name:16} {figures}", flush=True)
            rows.append(
                {
                    "shape": [B, T, H],
                    "cell": name,
                    "seconds": times,
                    "gflops": rate,
                    "share": share,
                    "speedup": speedup,
                }
            )
    if options.json:
        options.json.write_text(
            json.dumps(
                {"versions": versions, "threads": options.threads, "precision": precision, "rows": rows},
                indent=1,
            )
        )


if __name__ == "__main__":
    main()
