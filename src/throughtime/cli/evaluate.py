"""throughtime eval"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from throughtime.cli.terminal import error_console, print_json, print_table, user_errors

HELP = """
Measure how well a trained model predicts a text.

The state is carried from the text's beginning to its end, and every token but
the first is predicted once.

\b
Examples:
  throughtime eval runs/mine test.txt
  throughtime eval runs/mine large.txt --streams 32 --json
"""


def evaluate(
    run: Annotated[Path, typer.Argument(help="The run folder.", show_default=False)],
    file: Annotated[Path, typer.Argument(help="The text file.", show_default=False)],
    streams: Annotated[
        int, typer.Option(min=1, help="Read so many parts in parallel: faster, each begins without context.")
    ] = 1,
    errors: Annotated[
        str, typer.Option(metavar="strict|replace", help="What to do with bytes that are not UTF-8.")
    ] = "strict",
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
) -> None:
    """Open the run and evaluate."""
    with user_errors():
        from rich.progress import Progress as Bar

        from throughtime.errors import OptionError
        from throughtime.run import Run

        if errors not in ("strict", "replace"):
            raise OptionError(f"--errors must be strict or replace, not {errors!r}")
        opened = Run.open(run)
        console = error_console()
        with Bar(console=console, transient=True, disable=as_json or not console.is_terminal) as bar:
            task = bar.add_task("evaluating", total=1.0)
            result = opened.evaluate(file, errors, streams, lambda share: bar.update(task, completed=share))
    if as_json:
        print_json(
            {
                "run": str(run),
                "file": str(file),
                "nats_per_token": result.nats_per_token,
                "bits_per_character": result.bits_per_character,
                "perplexity": result.perplexity,
                "predictions": result.predictions,
                "streams": streams,
                "tokens_per_second": round(result.tokens_per_second, 1),
            }
        )
        return
    unit = "character" if opened.tokenizer.kind == "character" else "token"
    print_table(
        [
            (f"nats per {unit}", f"{result.nats_per_token:.4f}"),
            ("bits per character", f"{result.bits_per_character:.4f}"),
            (f"perplexity per {unit}", f"{result.perplexity:.3f}"),
            ("predicted", f"{result.predictions:,} {unit}s"),
            ("speed", f"{result.tokens_per_second:,.0f} {unit}s/s"),
        ]
    )


def command() -> Callable[..., None]:
    """The typer command."""
    return evaluate
