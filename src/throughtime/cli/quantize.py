"""throughtime quantize"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from throughtime.cli.terminal import error_console, print_json, print_table, user_errors

HELP = """
Keep a trained model's weights in fewer bits, and see what that costs.

A new run folder gets the weights as int8 (a quarter of the size) or bf16 (half).
The loss is measured before and after: a language model's on the text that it was
validated on, or on --data; other tasks need --data, as for `throughtime eval`.

\b
Examples:
  throughtime quantize runs/mine
  throughtime quantize runs/mine --precision bf16 --out runs/mine-small
  throughtime quantize runs/reviews --data test.csv
"""


def quantize(
    run: Annotated[Path, typer.Argument(help="The run folder.", show_default=False)],
    precision: Annotated[str, typer.Option(metavar="int8|bf16", help="What matrices are kept in.")] = "int8",
    out: Annotated[
        Path | None,
        typer.Option(help="The new run folder; RUN-int8 or RUN-bf16 by default.", show_default=False),
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="What to measure the loss on.", show_default=False)
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
) -> None:
    """Quantise, and measure both."""
    with user_errors():
        from rich.text import Text

        from throughtime.run.quantization import quantize_run

        console = error_console()
        with console.status(Text(f"measuring {run}")):
            found = quantize_run(run, precision, out, data)
        if as_json:
            print_json(found)
            return
        rows = []
        for name, (before, after) in found["figures"].items():
            change = f"  ({after / before - 1:+.3%})" if before else ""
            digits = ",d" if isinstance(before, int) else ".5f"
            rows.append((name, f"{before:{digits}} -> {after:{digits}}{change}"))
        print_table(rows)
        said = f"{found['out']}: runs at {precision} unless --precision says otherwise"
        console.print(said, style="dim", soft_wrap=True)


def command() -> Callable[..., None]:
    """The typer command."""
    return quantize
