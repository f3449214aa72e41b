"""throughtime demo"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from throughtime.cli.terminal import error_console, user_errors

HELP = """
No data at hand? Train a character model on the source of Python's own standard
library, about two minutes on two cores, and let it write a program.

\b
Examples:
  throughtime demo
  throughtime demo --bytes 500000 --out runs/demo
"""


def demo(
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Run folder.", show_default=False)] = None,
    size: Annotated[
        int, typer.Option("--bytes", min=20_000, help="How much source to train on.")
    ] = 2_000_000,
    seed: Annotated[int, typer.Option(min=0, help="Of weights, dropout and sample.")] = 1,
) -> None:
    """Write the corpus, train, sample."""
    with user_errors():
        from throughtime.run import require_torch

        require_torch()
        from throughtime.config import resolve
        from throughtime.data.standard_library import write_corpus
        from throughtime.presets import preset
        from throughtime.training import Interrupted, start
        from throughtime.training.progress import ConsoleProgress

        console = error_console()
        source = Path("runs") / "standard_library.py.txt"
        written = write_corpus(source, size)
        console.print(f"Wrote {written:,} bytes of Python's standard library to {source}")
        config = resolve(preset("demo"), {"source": str(source), "seed": seed})
        try:
            run, _ = start(config, out, ConsoleProgress(console))
        except Interrupted as stop:
            console.print(f"Stopped and saved. Go on with: throughtime train --resume {stop.folder}")
            raise typer.Exit(128 + stop.signal_number) from None
        console.print(f"\nA sample, at temperature 0.7, from the run in {run.folder}:\n")
        prompt = "def "
        typer.echo(prompt, nl=False)
        for _, text in run.stream(prompt, 600, seed=seed, temperature=0.7):
            typer.echo(text, nl=False)
        typer.echo()
        console.print(f"\nMore: throughtime sample {run.folder} --prompt 'class '", soft_wrap=True)


def command() -> Callable[..., None]:
    """The typer command."""
    return demo
