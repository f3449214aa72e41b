"""Training speed: the whole path of `throughtime train` against a bare loop over torch.nn.LSTM.

Both train the same shapes on the same text with the same optimiser in one process, in turns, so that what
else the machine does hits both alike. Ours is everything that the command does after tokenising: reading the
memory-mapped tokens, truncated BPTT, gradient norms, the schedule, metrics.jsonl, TensorBoard events and the
checkpoints at the beginning and the end. The peer is the shortest loop that trains: tokens ready as tensors
in memory, fused AdamW, clipping, no logging, no norm or loss read back.

    python benchmarks/training_speed.py
    python benchmarks/training_speed.py --hidden 512 --batch 64 --rounds 3 --json speed.json
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from throughtime.config import RunConfig, resolve
from throughtime.tasks.language_model.model import LanguageModel
from throughtime.tasks.language_model.training import LanguageModelling
from throughtime.training.progress import Progress
from throughtime.training.trainer import Trainer

VOCABULARY = 96


class BareModel(nn.Module):
    """What a user of torch.nn writes."""

    def __init__(self, config: RunConfig) -> None:
        super().__init__()
        model = config.model
        kind = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}[model.cell]
        self.embedding = nn.Embedding(VOCABULARY, model.embedding)
        self.recurrent = kind(
            model.embedding, model.hidden, model.layers, dropout=model.dropout if model.layers > 1 else 0.0
        )
        self.dropout = nn.Dropout(model.output_dropout)
        self.output = nn.Linear(model.hidden, VOCABULARY)

    def forward(self, tokens: torch.Tensor, state: object) -> tuple[torch.Tensor, object]:
        outputs, state = self.recurrent(self.embedding(tokens), state)
        return self.output(self.dropout(outputs)), state


def bare_seconds(config: RunConfig, tokens: np.ndarray) -> float:
    """Time of one epoch of the bare loop."""
    training = config.training
    torch.manual_seed(1)
    model = BareModel(config)
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3, fused=True)
    length = (len(tokens) - 1) // training.batch
    count = length * training.batch
    inputs = torch.tensor(tokens[:count].reshape(training.batch, length).T.astype(np.int64)).contiguous()
    targets = torch.tensor(
        tokens[1 : count + 1].reshape(training.batch, length).T.astype(np.int64)
    ).contiguous()
    state = None
    begin = time.perf_counter()
    for start in range(0, length, training.chunk):
        logits, state = model(inputs[start : start + training.chunk], state)
        state = tuple(part.detach() for part in state) if isinstance(state, tuple) else state.detach()
        loss = F.cross_entropy(logits.flatten(0, 1), targets[start : start + training.chunk].flatten())
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    return time.perf_counter() - begin


def our_seconds(config: RunConfig, tokens: np.ndarray) -> float:
    """Time of one epoch of the trainer, with all that it writes."""
    with tempfile.TemporaryDirectory() as folder:
        torch.manual_seed(1)
        model = LanguageModel(config.model, VOCABULARY)
        task = LanguageModelling(model, tokens, None, config.training)
        trainer = Trainer(task, config.training, Path(folder), Progress())
        begin = time.perf_counter()
        trainer.train()
        return time.perf_counter() - begin


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cell", default="lstm", choices=["rnn", "lstm", "gru"])
    parser.add_argument("--hidden", type=int, default=256)
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--chunk", type=int, default=64)
    parser.add_argument("--steps", type=int, default=200, help="optimiser steps of each turn")
    parser.add_argument("--rounds", type=int, default=7, help="turns of each side")
    parser.add_argument("--threads", type=int, default=0, help="0 leaves the choice to PyTorch")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    options = {name: getattr(arguments, name) for name in ("cell", "hidden", "layers", "batch", "chunk")}
    config = resolve(options, {"epochs": 1})
    count = arguments.batch * arguments.chunk * arguments.steps
    tokens = np.random.default_rng(0).integers(VOCABULARY, size=count + 1).astype(np.uint8)

    sides = {"bare torch.nn loop": bare_seconds, "throughtime train": our_seconds}
    warm_up = tokens[: arguments.batch * arguments.chunk * 10 + 1]
    for measure in sides.values():
        measure(config, warm_up)
    speeds: dict[str, list[float]] = {name: [] for name in sides}
    for turn in range(arguments.rounds):
        # Who goes first changes, as a turn can profit from the one before.
        for name, measure in list(sides.items())[:: 1 if turn % 2 == 0 else -1]:
            speeds[name].append(count / measure(config, tokens))
    ratios = [ours / bare for bare, ours in zip(*speeds.values(), strict=True)]

    print(
        f"{arguments.cell} {arguments.layers} x {arguments.hidden}, batch {arguments.batch}, chunk "
        f"{arguments.chunk}, fp32, {arguments.steps} steps a turn, {arguments.rounds} turns each; torch "
        f"{torch.__version__}, {torch.get_num_threads()} threads, {platform.machine()}, Python "
        f"{platform.python_version()}"
    )
    for name, values in speeds.items():
        span = f"({min(values):,.0f} to {max(values):,.0f})"
        print(f"{name:20} {statistics.median(values):10,.0f} tokens/s  {span}")
    print(
        f"{'ratio':20} {statistics.median(ratios):10.3f}           ({min(ratios):.3f} to {max(ratios):.3f})"
    )
    if arguments.json:
        figures = {"speeds": speeds, "ratios": ratios, "torch": torch.__version__, "options": options}
        arguments.json.write_text(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
