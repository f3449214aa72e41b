"""Backpropagation through one long sequence: memory and time with a limit for the gradient, and without.

    python benchmarks/long_sequence.py --steps 100000 --mebibytes 100
    python benchmarks/long_sequence.py --steps 5000 --mebibytes 0

The loss is the mean of the outputs and of the last state. Prints the seconds of the two passes, the peak of
the process's resident memory, and the norm of the gradient, which has to be the same with any limit.
"""

from __future__ import annotations

import argparse
import resource
import time

import torch

from throughtime import Recurrent


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cell", default="lstm")
    parser.add_argument("--steps", type=int, default=100_000)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--inputs", type=int, default=32, help="features of a step")
    parser.add_argument("--hidden", type=int, default=512)
    parser.add_argument("--mebibytes", type=int, default=100, help="that the layer may keep; 0 is no limit")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()

    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    recurrent = Recurrent(
        arguments.cell, arguments.inputs, arguments.hidden, gradient_memory=arguments.mebibytes << 20
    )
    inputs = torch.randn(arguments.steps, arguments.batch, arguments.inputs)
    begin = time.perf_counter()
    outputs, state = recurrent(inputs)
    forward = time.perf_counter() - begin
    (outputs.mean() + sum(part.mean() for part in state)).backward()
    seconds = time.perf_counter() - begin
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    norm = torch.stack([one.grad.double().norm() for one in recurrent.parameters() if one.grad is not None])
    print(
        f"{arguments.cell} {arguments.hidden}, {arguments.steps:,} steps, batch {arguments.batch}, limit "
        f"{arguments.mebibytes} MiB: forward {forward:.1f} s, both {seconds:.1f} s, peak {peak:,.0f} MiB, "
        f"gradient norm {norm.norm():.9f}"
    )


if __name__ == "__main__":
    main()
