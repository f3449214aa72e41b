"""throughtime compare"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from throughtime.cli.terminal import error_console, import_torch, print_json, result_console, user_errors
from throughtime.errors import OptionError

HELP = """
Put runs of one task side by side, on one self-contained HTML page with its
pictures beside it: parameters, speed, and the curves of the loss and of every
metric, as measured in training.

Language models are measured again, all on the same text: the validation text of
the first run, or the file given with --text. Their page adds gradient flow,
truncation and gates.

\b
Examples:
  throughtime compare runs/rnn runs/lstm
  throughtime compare runs/rnn runs/gru runs/lstm --text test.txt --out report
  throughtime compare runs/praise-lstm runs/praise-gru       classifiers
"""


def compare(
    runs: Annotated[list[Path], typer.Argument(help="Run folders.", show_default=False)],
    text: Annotated[Path | None, typer.Option(help="What to measure on.", show_default=False)] = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of the page.")] = Path("comparison"),
    lags: Annotated[
        int | None, typer.Option(min=1, help="The longest lag to measure, in tokens.", show_default="200")
    ] = None,
    windows: Annotated[
        int | None, typer.Option(min=1, help="Places in the text to measure at.", show_default="32")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the table as JSON.")] = False,
) -> None:
    """Open the runs, inspect language models, write the page."""
    with user_errors():
        from throughtime.run import Run
        from throughtime.run.side_by_side import check_comparable

        opened = [Run.open(run) for run in runs]
        names = [run.folder.resolve().name for run in opened]
        if len(set(names)) < len(names):
            names = [str(run.folder) for run in opened]
        if len(set(names)) < len(names):
            raise OptionError("a run is given twice")
        check_comparable(opened)
        if opened[0].task == "language-model":
            page, rows = _inspected(opened, names, text, out, lags or 200, windows or 32)
        else:
            given = {"--text": text, "--lags": lags, "--windows": windows}
            for name, value in given.items():
                if value is not None:
                    raise OptionError(f"{name} is for language models, and these runs are {opened[0].task}s")
            page, rows = _measured(opened, names, out)
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
    error_console().print(f"The page: {page}", soft_wrap=True)


def _measured(runs: list[Any], names: list[str], out: Path) -> tuple[Path, list[dict[str, str]]]:
    """Compare by what the trainings measured."""
    from throughtime.pictures import require_matplotlib
    from throughtime.run.side_by_side import different_data, rows_of, write_side_by_side

    require_matplotlib()
    rows = rows_of(runs, names)
    if note := different_data(runs):
        error_console().print(f"note: {note}", markup=False, soft_wrap=True)
    return write_side_by_side(runs, names, rows, out), rows


def _inspected(
    runs: list[Any], names: list[str], text: Path | None, out: Path, lags: int, windows: int
) -> tuple[Path, list[dict[str, str]]]:
    """Compare language models on one text."""
    import_torch()
    from rich.text import Text

    from throughtime.inspection.comparison import Compared, write_comparison
    from throughtime.inspection.report import Options, inspect_language_model
    from throughtime.run.history import read_metrics

    # As text, because each run has its own tokens.
    source = runs[0].held_out_text() if text is None else None
    console = error_console()
    compared = []
    for name, run in zip(names, runs, strict=True):
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
    return write_comparison(compared, out), [run.row() for run in compared]


def command() -> Callable[..., None]:
    """The typer command."""
    return compare
