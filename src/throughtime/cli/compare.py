"""throughtime compare"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from throughtime.cli.terminal import error_console, print_json, result_console, user_errors
from throughtime.errors import OptionError

HELP = """
Put language models side by side: loss curves, gradient flow, truncation, gates,
parameters and speed, on one self-contained HTML page with its pictures beside it.

Every run is measured on the same text: the validation text of the first run, or
the file given with --text.

\b
Examples:
  throughtime compare runs/rnn runs/lstm
  throughtime compare runs/rnn runs/gru runs/lstm --text test.txt --out report
"""


def compare(
    runs: Annotated[list[Path], typer.Argument(help="Run folders.", show_default=False)],
    text: Annotated[Path | None, typer.Option(help="What to measure on.", show_default=False)] = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of the page.")] = Path("comparison"),
    lags: Annotated[int, typer.Option(min=1, help="The longest lag to measure, in tokens.")] = 200,
    windows: Annotated[int, typer.Option(min=1, help="Places in the text to measure at.")] = 32,
    as_json: Annotated[bool, typer.Option("--json", help="Print the table as JSON.")] = False,
) -> None:
    """Open the runs, inspect each, write the page."""
    with user_errors():
        from throughtime.run import require_torch

        require_torch()
        from rich.text import Text

        from throughtime.inspection.comparison import Compared, write_comparison
        from throughtime.inspection.report import Options, inspect_language_model
        from throughtime.run.history import read_metrics
        from throughtime.tasks.language_model.run import LanguageModelRun

        opened = [LanguageModelRun.open(run) for run in runs]
        names = [run.folder.resolve().name for run in opened]
        if len(set(names)) < len(names):
            names = [str(run.folder) for run in opened]
        if len(set(names)) < len(names):
            raise OptionError("a run is given twice")
        # As text, because each run has its own tokens.
        source = opened[0].held_out_text() if text is None else None
        console = error_console()
        compared = []
        for name, run in zip(names, opened, strict=True):
            if text is not None:
                tokens = run.read_tokens(text)
            else:
                tokens = run.tokenizer.encode(source or "", f"the validation text of {names[0]}")
            with console.status("") as status:
                report = inspect_language_model(
                    run.model,
                    run.tokenizer,
                    tokens,
                    run.config.training.first_chunk,
                    Options(lags, windows),
                    lambda what, name=name: status.update(Text(f"{name}: measuring {what}")),
                )
            compared.append(Compared(name, run.describe(), read_metrics(run.folder), report))
        page = write_comparison(compared, out)
    rows = [run.row() for run in compared]
    if as_json:
        print_json({"page": str(page), "runs": rows})
        return
    from rich.table import Table

    output = result_console()
    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column("")
    for name in names:
        table.add_column(output.cell(name), justify="right")
    for heading in list(rows[0])[1:]:
        table.add_row(heading, *(row[heading] for row in rows))
    output.print(table)
    console.print(f"The page: {page}", soft_wrap=True)


def command() -> Callable[..., None]:
    """The typer command."""
    return compare
