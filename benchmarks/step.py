"""One step of generation with a small recurrent language model: Throughtime's engine against its peers.

A step reads a token for each of `batch` texts and gives the logits of the next: input vector, two recurrent
layers, output layer. All contenders have the same weights and run in one process in turns, so that what else
the machine does hits all alike. Each turn times two things, and the table holds the medians of the turns
(and the fastest turn, which tells how much the machine was busy with other work):

    step      a step with given tokens: what the network costs
    token     a step and the draw of the next token, fed back: what a user waits for. Everyone has the same
              native sampler (throughtime._native.sample), about a microsecond for one text.

A peer counts with the fastest of its settings (graph by hand or operators, spinning, prepacking, eager or
compiled ...), chosen for each size and number of threads: `--all` shows the others too. All logits are
compared with equations in float64: fp32 must agree within 1e-4 (or the program fails), int8 and bf16 report
the largest difference. Choosing the fastest of many by the figures that are then reported favours the peers a
little.

    python benchmarks/step.py --quick
    python benchmarks/step.py --cells lstm --hidden 512 --batch 1 --rounds 15 --compile --json step.json
"""

from __future__ import annotations

import argparse
import json
import logging
import platform
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import step_onnx
import step_torch
import torch
from step_model import Setup, Weights, reference_logits

from throughtime import _native
from throughtime.runtime import Engine
from throughtime.runtime.sampling import Sampler, SamplingOptions
from throughtime.tasks.language_model.run import LanguageModelRun

TOLERANCE = 1e-4
STEPS_CHECKED = 8
LEFT_OUT: set[tuple[str, int]] = set()  # Said once, not for every size.


class Throughtime:
    """Our engine, one precision."""

    library = "throughtime"

    def __init__(self, precision: str) -> None:
        self.precision = precision
        self.name = f"throughtime {precision}"

    def prepare(self, weights: Weights, batch: int, threads: int) -> None:
        setup = weights.setup
        options = {name: getattr(setup, name) for name in ("cell", "embedding", "layers")}
        self.engine = Engine.from_tensors(options, weights.tensors, self.precision, threads)
        self.slots = self.engine.open(batch)
        self.sampler = Sampler(SamplingOptions(), setup.vocabulary, seed=1, rows=batch)

    def reset(self) -> None:
        self.engine.close(self.slots)
        self.slots = self.engine.open(len(self.slots))

    def step(self, tokens: Any) -> Any:
        return self.engine.step(self.slots, tokens)

    def generate(self, count: int) -> Any:
        """All tokens in one call, draws included: only our engine has that, so it is timed apart."""
        return self.engine.generate(self.slots, self.sampler, count)


def contenders(cell: str, arguments: argparse.Namespace) -> list[Any]:
    """Everyone who takes part."""
    return [
        *(Throughtime(precision) for precision in ("fp32", "bf16", "int8")),
        *step_onnx.contenders(cell),
        *step_torch.contenders(cell, arguments.compile),
    ]


def seconds_of_steps(contender: Any, tokens: Any, count: int) -> float:
    """Seconds a step with given tokens."""
    begin = time.perf_counter()
    for _ in range(count):
        contender.step(tokens)
    return (time.perf_counter() - begin) / count


def seconds_of_tokens(contender: Any, tokens: Any, uniforms: Any, count: int) -> float:
    """Seconds a step with the draw of the next token, which the next step reads."""
    begin = time.perf_counter()
    for index in range(count):
        tokens = _native.sample(contender.step(tokens), uniforms[index], 1.0)
    return (time.perf_counter() - begin) / count


def difference(contender: Any, weights: Weights) -> float:
    """Largest difference of the logits from the reference, over a few steps.

    Raises:
        AssertionError: an fp32 contender computes something else.
    """
    setup = weights.setup
    tokens = np.random.default_rng(2).integers(setup.vocabulary, size=(STEPS_CHECKED, setup.batch))
    expected = reference_logits(weights, tokens)
    contender.reset()
    found = max(np.abs(contender.step(row) - want).max() for row, want in zip(tokens, expected, strict=True))
    assert found <= TOLERANCE or contender.precision != "fp32", f"{contender.name}: logits differ by {found}"
    return float(found)


def measure(setup: Setup, arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """Rows of one size: every contender with every number of threads."""
    weights = Weights(setup)
    rows, ready = [], []
    for threads in arguments.threads:
        for contender in contenders(setup.cell, arguments):
            try:
                contender.prepare(weights, setup.batch, threads)
            except (ImportError, RuntimeError, NotImplementedError) as error:
                if (contender.name, threads) not in LEFT_OUT:
                    print(f"left out: {contender.name}: {str(error).splitlines()[0]}", file=sys.stderr)
                LEFT_OUT.add((contender.name, threads))
                continue
            row = {"name": contender.name, "library": contender.library, "precision": contender.precision}
            row |= {"threads": threads, "difference": difference(contender, weights)}
            rows.append(row | {"steps": [], "tokens": [], "generate": []})
            ready.append(contender)
    tokens = np.zeros(setup.batch, np.int64)
    generator = np.random.default_rng(3)
    for turn in range(arguments.rounds):
        pairs = list(zip(rows, ready, strict=True))
        # Who goes first changes, as a turn can profit from the one before.
        for row, contender in pairs[:: 1 if turn % 2 == 0 else -1]:
            getattr(contender, "activate", lambda: None)()
            contender.reset()
            # The threads of whoever came before spin on for a while: let them go to sleep.
            time.sleep(0.005)
            # Not timed: these warm the caches and tell how many steps fill a turn.
            seconds_of_steps(contender, tokens, 20)
            warm = seconds_of_steps(contender, tokens, 10)
            count = max(10, int(arguments.turn / 1000 / warm))
            uniforms = generator.random((count, setup.batch))
            row["steps"].append(seconds_of_steps(contender, tokens, count))
            row["tokens"].append(seconds_of_tokens(contender, tokens, uniforms, count))
            if hasattr(contender, "generate"):
                begin = time.perf_counter()
                contender.generate(count)
                row["generate"].append((time.perf_counter() - begin) / count)
    torch._dynamo.reset()
    return [row | {"setup": vars(setup), "weight_bytes": weights.step_bytes()} for row in rows]


def microseconds(row: dict[str, Any], what: str) -> float:
    return statistics.median(row[what]) * 1e6 if row[what] else float("nan")


def print_rows(rows: list[dict[str, Any]], everything: bool) -> None:
    """The best of each library, precision and number of threads, and how it compares to ours."""
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault((row["precision"], row["threads"], row["library"]), []).append(row)
    for key in sorted(groups):
        ranked = sorted(groups[key], key=lambda row: microseconds(row, "tokens"))
        ours = groups.get((*key[:2], "throughtime"), [None])[0]
        for row in ranked if everything else ranked[:1]:
            ratio = microseconds(row, "tokens") / microseconds(ours, "tokens") if ours else float("nan")
            per_second = row["setup"]["batch"] / microseconds(row, "tokens") * 1e6
            print(
                f"{key[0]:5} {key[1]:2} threads  {row['name']:36} step {microseconds(row, 'steps'):8.1f} us  "
                f"token {microseconds(row, 'tokens'):8.1f} us (at "
                f"best {min(row['tokens']) * 1e6:8.1f})  {per_second:10,.0f} tokens/s  "
                f"x ours {ratio:5.2f}  logits within {row['difference']:.0e}"
            )
            if row["generate"]:
                print(f"{'':18}  ... all tokens in one call: {microseconds(row, 'generate'):.1f} us a token")


def print_bandwidth(setup: Setup, threads: list[int]) -> None:
    """How long only reading as many bytes as a step's weights takes: no step can be faster at batch 1."""
    for precision, width in (("fp32", 4), ("bf16", 2), ("int8", 1)):
        size = Weights(setup).step_bytes(width)
        times = [(size / _native.read_bandwidth(size, count) * 1e6, count) for count in threads]
        print(f"reading {size:,} bytes ({precision}):", *(f"{t:.1f} us on {n} threads" for t, n in times))


def loss_by_precision(run: Path, text: Path) -> dict[str, float]:
    """Mean next-token loss, in nats, of a run on a text for each precision of our engine."""
    return {
        precision: LanguageModelRun.open(run, precision=precision).evaluate(text, streams=16).nats_per_token
        for precision in ("fp32", "bf16", "int8")
    }


def machine() -> dict[str, Any]:
    """Versions and the processor."""
    facts: dict[str, Any] = {"python": platform.python_version(), "numpy": np.__version__}
    facts |= {"torch": torch.__version__, "onnxruntime": onnxruntime.__version__}
    listing = Path("/proc/cpuinfo")
    lines = listing.read_text().splitlines() if listing.exists() else []
    fields = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    wanted = ("avx2", "fma", "avx512f", "avx512_vnni", "avx512_bf16", "avx_vnni", "amx_int8", "amx_bf16")
    present = fields.get("flags", "").split()
    cores = sum(line.startswith("processor") for line in lines)
    processor = fields.get("model name", platform.machine())
    return facts | {"processor": processor, "cores": cores, "flags": [f for f in wanted if f in present]}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cells", nargs="+", default=["lstm", "gru", "rnn"], choices=["lstm", "gru", "rnn"])
    parser.add_argument("--hidden", nargs="+", type=int, default=[128, 256, 512, 1024])
    parser.add_argument("--batch", nargs="+", type=int, default=[1, 16, 64])
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--vocabulary", type=int, default=96)
    parser.add_argument(
        "--embedding", type=int, default=0, help="0 feeds one-hot vectors, the cheapest for all"
    )
    parser.add_argument("--rounds", type=int, default=9, help="turns of each contender")
    parser.add_argument("--turn", type=float, default=10, help="milliseconds of steps in a turn")
    parser.add_argument("--compile", action="store_true", help="torch.compile too: about a minute a size")
    parser.add_argument("--all", action="store_true", help="show every setting, not only each peer's best")
    parser.add_argument("--quick", action="store_true", help="one small size, few turns")
    parser.add_argument("--run", type=Path, help="a language model's run: report its loss by precision")
    parser.add_argument("--text", type=Path, help="the text for --run")
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.hidden, arguments.batch, arguments.rounds = [128], [1], 3
    if bool(arguments.run) != bool(arguments.text):
        parser.error("--run and --text belong together")
    # The quantiser advises a pre-processing that only infers shapes, once for every model.
    logging.getLogger().setLevel(logging.ERROR)

    facts = machine()
    print(", ".join(f"{key} {value}" for key, value in facts.items()))
    rows: list[dict[str, Any]] = []
    for cell in arguments.cells:
        for hidden in arguments.hidden:
            for batch in arguments.batch:
                setup = Setup(cell, hidden, batch, arguments.vocabulary, arguments.embedding)
                print(f"\n{cell} 2 x {hidden}, batch {batch}", flush=True)
                if batch == 1:
                    print_bandwidth(setup, arguments.threads)
                found = measure(setup, arguments)
                print_rows(found, arguments.all)
                rows += found
                if arguments.json:
                    arguments.json.write_text(json.dumps({"machine": facts, "rows": rows}, indent=1))
    if arguments.run:
        print(loss_by_precision(arguments.run, arguments.text))


if __name__ == "__main__":
    main()
