"""How far back the gradient reaches: vanilla RNN, GRU and LSTM of one size, on one text.

    python benchmarks/gradient_memory.py TEXT --out runs/memory

Each is trained with the same options and seed, then measured on the same validation text. Runs that are there
already are not trained again. Prints a table: validation loss, effective memory in tokens (the lag at which
the gradient has fallen to 1 %), the factor a step with its 95 % interval, the chunk that keeps 95 and 99 % of
the gradient. `throughtime compare` of the three runs draws the same.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch

import throughtime as tt
from throughtime.inspection.comparison import Compared
from throughtime.inspection.report import Options, inspect_language_model
from throughtime.run.history import read_metrics
from throughtime.tasks.language_model.run import LanguageModelRun


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("text", type=Path)
    parser.add_argument("--out", type=Path, default=Path("runs/memory"))
    parser.add_argument("--hidden", type=int, default=256)
    parser.add_argument("--layers", type=int, default=1)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--chunk", type=int, default=128)
    parser.add_argument("--lags", type=int, default=400)
    parser.add_argument("--windows", type=int, default=64)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    arguments = parser.parse_args()

    rows = []
    for cell in ("rnn", "gru", "lstm"):
        folder = arguments.out / cell
        if not (folder / "model.safetensors").exists():
            tt.train(
                arguments.text,
                out=folder,
                cell=cell,
                hidden=arguments.hidden,
                layers=arguments.layers,
                epochs=arguments.epochs,
                chunk=arguments.chunk,
                seed=arguments.seed,
                threads=arguments.threads,
                precision="auto",
                # A rate at which the vanilla RNN does not diverge, for all three.
                learning_rate=1e-3,
            )
        run = LanguageModelRun.open(folder)
        report = inspect_language_model(
            run.model,
            run.tokenizer,
            run.held_out_tokens(),
            arguments.chunk,
            Options(lags=arguments.lags, windows=arguments.windows),
        )
        rows.append(Compared(cell, run.describe(), read_metrics(folder), report).row())
    print(
        f"{arguments.layers} x {arguments.hidden}, chunk {arguments.chunk}, {arguments.epochs} epochs, seed "
        f"{arguments.seed}; {arguments.lags} lags at {arguments.windows} places; torch {torch.__version__}, "
        f"{torch.get_num_threads()} threads"
    )
    headings = list(rows[0])
    widths = [max(len(heading), *(len(row[heading]) for row in rows)) for heading in headings]
    for line in (dict(zip(headings, headings, strict=True)), *rows):
        print("  ".join(line[h].ljust(w) for h, w in zip(headings, widths, strict=True)))
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
