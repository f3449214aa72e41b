"""Kills trainings with SIGKILL at random moments, resumes them, and compares their end with undisturbed ones.

A killed run is resumed and killed again, up to six times, and then goes on to its end. Counted are runs that
could not be resumed, lines of metrics.jsonl that are lost or there twice, and runs whose weights, checkpoint
or metrics differ in a bit from those of a run that nothing disturbed. A third of the kills falls before the
training's first step, the others behind it.

This process imports everything once and forks for each training, so that 50 kills take about a minute. It
computes nothing itself: a process that has started threads cannot be forked safely.

    python benchmarks/kills.py
    python benchmarks/kills.py --kills 200 --tasks language-model classifier --seed 7 --json kills.json
"""

from __future__ import annotations

import argparse
import json
import mmap
import os
import platform
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

# Before torch is imported, which would start threads.
os.environ["OMP_NUM_THREADS"] = "1"

PHASES = ("starting", "preparing", "training", "evaluating", "finishing")
COMMON: dict[str, Any] = {"threads": 1, "log_every": 3, "batch": 4, "tensorboard": False, "evaluate_every": 7}
# A run of each takes about a second: long enough to be killed six times, short enough for hundreds.
OPTIONS: dict[str, dict[str, Any]] = {
    "language-model": {"hidden": 12, "embedding": 6, "chunk": 8, "epochs": 4, "chunk_mode": "random"},
    "classifier": {"hidden": 8, "embedding": 6, "epochs": 6, "input_dropout": 0.3},
    "tagger": {"hidden": 8, "chunk": 8, "epochs": 8},
    "translator": {"hidden": 8, "embedding": 6, "epochs": 4},
}
# From a checkpoint after each step to one at evaluations only.
CHECKPOINT_SECONDS = (0.0, 0.05, 60.0)
MOST_KILLS = 6


@dataclass
class Figures:
    """What is counted."""

    kills: int = 0
    runs: int = 0
    not_resumed: int = 0
    lost_lines: int = 0
    doubled_lines: int = 0
    different_runs: int = 0
    by_moment: Counter[str] = field(default_factory=Counter)

    def is_clean(self) -> bool:
        """Whether nothing was lost, doubled or different."""
        return not (self.not_resumed or self.lost_lines or self.doubled_lines or self.different_runs)


def write_data(folder: Path) -> dict[str, Path]:
    """Something small to train each task on."""
    import numpy as np

    generator = random.Random(0)
    words = ["to", "be", "or", "not", "that", "is", "the", "question", "suffer", "slings", "arrows"]

    def sentence(length: int) -> str:
        return " ".join(generator.choices(words, k=length))

    (folder / "text.txt").write_text("\n".join(sentence(8) for _ in range(60)))
    rows = [f"{sentence(6)},{generator.choice(['yes', 'no'])}" for _ in range(60)]
    (folder / "table.csv").write_text("\n".join(["text,label", *rows]) + "\n")
    pairs = [(text := sentence(4)) + "\t" + text.upper() for _ in range(60)]
    (folder / "pairs.tsv").write_text("\n".join(["source\ttarget", *pairs]) + "\n")
    clips = folder / "clips"
    clips.mkdir()
    listed = ["file_name,labels"]
    for number in range(8):
        length = generator.randint(10, 30)
        steps = np.random.default_rng(number).normal(size=(length, 3))
        np.save(clips / f"{number}.npy", steps.astype(np.float32))
        labels = ["up" if step[0] > 0 else "down" for step in steps]
        (clips / f"{number}.csv").write_text("\n".join(["label", *labels]) + "\n")
        listed.append(f"{number}.npy,{number}.csv")
    (clips / "metadata.csv").write_text("\n".join(listed) + "\n")
    return {
        "language-model": folder / "text.txt",
        "classifier": folder / "table.csv",
        "tagger": clips,
        "translator": folder / "pairs.tsv",
    }


def import_everything() -> None:
    """All that a training needs, so that a child has it at once."""
    import torch

    from throughtime.run import run_class
    from throughtime.tasks import TASKS

    for task in OPTIONS:
        run_class(task)
    # torch._dynamo comes with the first optimiser, and takes longer than a training here.
    for name in ("torch._dynamo", "matplotlib.figure", "matplotlib.backends.backend_agg"):
        import_module(name)
    import_module("throughtime.training.launch")
    for task in OPTIONS:
        import_module(f"throughtime.tasks.{TASKS[task].room}.training")
    torch.set_num_threads(1)


def begin(work: Callable[[], object], log: Path) -> int:
    """Run `work` in a child; return its process number. What it says goes to the log."""
    number = os.fork()
    if number:
        return number
    code = 1
    try:
        descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(descriptor, 1)
        os.dup2(descriptor, 2)
        work()
        code = 0
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
    finally:
        os._exit(code)


def train(source: Path, folder: Path, options: dict[str, Any], phase: mmap.mmap) -> None:
    """Begin a run, or go on with it, and write down where it is."""
    from throughtime.config import resolve
    from throughtime.run import CONFIG
    from throughtime.training import resume, start
    from throughtime.training.progress import Progress

    class Moments(Progress):
        def preparing(self, *_: Any) -> None:
            phase[0] = 1

        def started(self, *_: Any) -> None:
            phase[0] = 2

        def stepped(self, *_: Any) -> None:
            phase[0] = 2

        def evaluating(self, *_: Any) -> None:
            phase[0] = 3

        def finished(self, *_: Any) -> None:
            phase[0] = 4

    if (folder / CONFIG).exists():
        resume(folder, Moments())
    else:
        start(resolve({**COMMON, **options, "source": str(source)}), folder, Moments())


def moment_of(folder: Path, phase: int) -> str:
    """Where a kill fell."""
    if not (folder / "config.toml").exists():
        return "before config.toml"
    if not (folder / "checkpoints" / "last.safetensors").exists():
        return "before the first checkpoint"
    if any((folder / "checkpoints").glob(".*.partial")):
        return "while a checkpoint was written"
    return f"while {PHASES[phase]}"


def read_outcome(folder: Path) -> tuple[list[dict[str, Any]], dict[str, Any], dict[str, bytes]]:
    """Metrics, position and tensors, without the measured times."""
    from safetensors import safe_open

    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    for line in lines:
        line.pop("seconds"), line.pop("tokens_per_second", None)
    with safe_open(str(folder / "checkpoints" / "last.safetensors"), framework="np") as file:
        tensors = {name: file.get_tensor(name).tobytes() for name in file.keys()}  # noqa: SIM118
        state = json.loads((file.metadata() or {})["state"])
    state.pop("log_bytes"), state["position"].pop("seconds"), state["position"]["window"].pop("seconds")
    return lines, state, {**tensors, "weights": (folder / "model.safetensors").read_bytes()}


def compare(whole: Path, killed: Path, figures: Figures) -> str:
    """Count what a killed run has lost, doubled or made different; say it in a line."""
    expected, found = read_outcome(whole), read_outcome(killed)

    def kinds(lines: list[dict[str, Any]]) -> Counter[tuple[Any, ...]]:
        return Counter((line["step"], *sorted(set(line) - {"step"})) for line in lines)

    lost = (kinds(expected[0]) - kinds(found[0])).total()
    doubled = (kinds(found[0]) - kinds(expected[0])).total()
    left = [path.name for path in killed.rglob("*.partial")]
    different = expected != found or bool(left)
    figures.lost_lines += lost
    figures.doubled_lines += doubled
    figures.different_runs += different
    return f"{lost} lost, {doubled} doubled, {'different' if different else 'bit-equal'}"


def measure(source: Path, folder: Path, options: dict[str, Any]) -> tuple[float, float]:
    """Train without disturbance; return the seconds until it trains, and from there to the end."""
    phase, begun = mmap.mmap(-1, 1), time.monotonic()
    number = begin(lambda: train(source, folder, options, phase), folder.with_suffix(".log"))
    started = wait_until_it_trains(number, phase)
    _, status = os.waitpid(number, 0)
    if status or not started:
        raise SystemExit(f"the undisturbed training failed:\n{folder.with_suffix('.log').read_text()}")
    return started - begun, time.monotonic() - started


def wait_until_it_trains(number: int, phase: mmap.mmap) -> float:
    """The moment at which a child trains; 0 where it has ended before."""
    while phase[0] < PHASES.index("training"):
        if os.waitid(os.P_PID, number, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            return 0
        time.sleep(0.001)
    return time.monotonic()


def kill_and_resume(
    source: Path,
    folder: Path,
    options: dict[str, Any],
    times: tuple[float, float],
    kills: int,
    rng: random.Random,
    figures: Figures,
) -> bool:
    """Kill a run so many times at random moments, and let it end; False where it could not go on."""
    phase = mmap.mmap(-1, 1)
    log = folder.with_suffix(".log")
    while True:
        phase[0] = 0
        number = begin(lambda: train(source, folder, options, phase), log)
        if kills > 0:
            if rng.random() < 1 / 3:
                time.sleep(rng.uniform(0, times[0]))
            elif wait_until_it_trains(number, phase):
                time.sleep(rng.uniform(0, times[1] / 2))
            os.kill(number, signal.SIGKILL)
        _, status = os.waitpid(number, 0)
        if os.WIFSIGNALED(status):
            kills -= 1
            figures.kills += 1
            figures.by_moment[moment_of(folder, phase[0])] += 1
        elif os.WEXITSTATUS(status):
            figures.not_resumed += 1
            print(f"{folder.name} could not go on:\n{log.read_text()}", flush=True)
            return False
        else:
            return True


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=50, help="how many, over all tasks (default 50)")
    parser.add_argument("--tasks", nargs="+", choices=list(OPTIONS), default=list(OPTIONS))
    parser.add_argument("--seed", type=int, default=None, help="of the moments; drawn if it is not given")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    arguments = parser.parse_args()
    if not hasattr(os, "fork"):
        raise SystemExit("this needs a system that can fork")
    seed = random.randrange(2**32) if arguments.seed is None else arguments.seed
    rng, figures, begun = random.Random(seed), Figures(), time.monotonic()
    import_everything()
    work = Path(tempfile.mkdtemp(prefix="kills-"))
    sources = write_data(work)
    times = {
        task: measure(sources[task], work / f"{task}-whole", {"task": task, **OPTIONS[task]})
        for task in arguments.tasks
    }
    while figures.kills < arguments.kills and figures.not_resumed == 0:
        task = arguments.tasks[figures.runs % len(arguments.tasks)]
        folder = work / f"{task}-{figures.runs}"
        wanted = min(rng.randint(1, MOST_KILLS), arguments.kills - figures.kills)
        options = {"task": task, **OPTIONS[task], "checkpoint_seconds": rng.choice(CHECKPOINT_SECONDS)}
        before = figures.kills
        figures.runs += 1
        if kill_and_resume(sources[task], folder, options, times[task], wanted, rng, figures):
            verdict = compare(work / f"{task}-whole", folder, figures)
            print(f"{folder.name}: killed {figures.kills - before} times: {verdict}", flush=True)
            if figures.is_clean():
                shutil.rmtree(folder)
    import torch

    seconds = time.monotonic() - begun
    print(f"\nseed {seed}, {seconds:.0f} s, Python {platform.python_version()}, torch {torch.__version__}")
    for moment, count in figures.by_moment.most_common():
        print(f"  {count:5,} kills {moment}")
    print(
        f"{figures.kills:,} kills of {figures.runs:,} runs: {figures.not_resumed} runs could not go on, "
        f"{figures.lost_lines} lines lost, {figures.doubled_lines} doubled, {figures.different_runs} runs "
        f"differ"
    )
    if arguments.json:
        found = {**vars(figures), "seed": seed, "seconds": round(seconds, 1), "torch": torch.__version__}
        arguments.json.write_text(json.dumps(found, indent=1))
    if not figures.is_clean():
        raise SystemExit(f"what was left is in {work}")
    shutil.rmtree(work)


if __name__ == "__main__":
    main()
