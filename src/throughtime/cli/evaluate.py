"""throughtime eval"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from throughtime.cli.backend import Backend, Precision, Threads
from throughtime.cli.beam import Beam, beam_for
from throughtime.cli.outside_files import OutsideFiles, outside_files
from throughtime.cli.rows import as_rows
from throughtime.cli.target import ThresholdOption, threshold_for
from throughtime.cli.terminal import Raw, error_console, print_json, print_table, user_errors, write

# Their tables may have a column that says which rows are for testing, and evaluations keep to these.
_WITH_SPLITS = ("captioner", "tagger", "transcriber")

HELP = """
Measure a trained model on data that it has not seen, with the metrics of its task.

A language model reads a text: the state is carried from its beginning to its
end, and every token but the first is predicted once. The other tasks take the
data format that they train on.

\b
Examples:
  throughtime eval runs/mine test.txt
  throughtime eval runs/mine large.txt --streams 32 --json
  throughtime eval runs/reviews test.csv
  throughtime eval runs/german test.en --target test.de
  throughtime eval runs/names test.conll
  throughtime eval runs/log new.log --per-line --top 50
  throughtime eval runs/load test.csv --context train.csv
"""


def evaluate(
    run: Annotated[Path, typer.Argument(help="The run folder.", show_default=False)],
    file: Annotated[
        str,
        typer.Argument(
            help="The text, table or folder; of tables, also a pattern ('test-*.csv') or a URL.",
            show_default=False,
        ),
    ],
    streams: Annotated[
        int,
        typer.Option(
            min=1, help="Language model: read so many parts in parallel: faster, each begins without context."
        ),
    ] = 1,
    errors: Annotated[
        str | None,
        typer.Option(
            metavar="strict|replace",
            help="Language model: what to do with bytes that are not UTF-8 (default strict; for lines as "
            "trained).",
            show_default=False,
        ),
    ] = None,
    per_line: Annotated[
        bool, typer.Option("--per-line", help="Lines: score each, the most surprising ones first.")
    ] = False,
    top: Annotated[
        int | None,
        typer.Option(
            help="With --per-line: how many to show (default 20; all with --json).", show_default=False
        ),
    ] = None,
    condition: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=VALUE",
            help="Lines of a text: the condition that all have; once for each condition.",
        ),
    ] = None,
    target: Annotated[
        Path | None,
        typer.Option(
            help="Translator: the translations, where FILE is a text of sources.",
            show_default=False,
        ),
    ] = None,
    context: Annotated[
        str | None,
        typer.Option(
            help="Forecaster: the table with the rows before those of FILE, to forecast its first rows, too.",
            show_default=False,
        ),
    ] = None,
    beam: Beam = 1,
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Leave out examples that cannot be used, with a count.")
    ] = False,
    threshold: ThresholdOption = None,
    allow_outside_files: OutsideFiles = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
    raw: Raw = False,
    backend: Backend = "native",
    precision: Precision = None,
    threads: Threads = 0,
) -> None:
    """Open the run and evaluate."""
    with user_errors():
        from rich.progress import Progress as Bar

        from throughtime.cli.lines import conditions_of, evaluate_lines, score_lines
        from throughtime.errors import OptionError
        from throughtime.run import Run
        from throughtime.tasks.language_model.line_run import LineModelRun
        from throughtime.tasks.language_model.run import LanguageModelRun

        if errors not in (None, "strict", "replace"):
            raise OptionError(f"--errors must be strict or replace, not {errors!r}")
        opened = Run.open(run, backend, precision, threads)
        if target is not None and opened.task != "translator":
            raise OptionError(f"--target is for translators, and {run} is a {opened.task}")
        conditions = conditions_of(opened, condition)
        if not isinstance(opened, LineModelRun) and (per_line or top is not None):
            raise OptionError(f"--per-line is for models that were trained with --lines, and {run} is none")
        if top is not None and (not per_line or top < 1):
            raise OptionError("--top is how many lines to show, 1 or more, and needs --per-line")
        if context is not None and opened.task != "forecaster":
            raise OptionError(f"--context is for forecasters, and {run} is a {opened.task}")
        named = ("classifier", "captioner", "tagger", "transcriber")
        outside = outside_files(opened, allow_outside_files, *named)
        more = {**outside, **threshold_for(opened, threshold), **beam_for(opened, beam)}
        console = error_console()
        if _is_training_data(opened, file):
            console.print(
                f"{file} is what {opened.hub_name or run} was trained on: the figures tell what it remembers",
                style="yellow",
                soft_wrap=True,
            )
        if isinstance(opened, LineModelRun) and per_line:
            score_lines(opened, file, errors, top, skip_bad, conditions, as_json, raw)
            return
        with Bar(console=console, transient=True, disable=as_json or not console.is_terminal) as bar:
            task = bar.add_task("evaluating", total=1.0)

            def progress(share: float) -> None:
                bar.update(task, completed=share)

            if isinstance(opened, LineModelRun):
                figures, rows = evaluate_lines(opened, file, errors, streams, skip_bad, conditions)
            elif isinstance(opened, LanguageModelRun):
                figures, rows = _language_model(opened, file, errors or "strict", streams, progress)
            else:
                extra: dict[str, Any] = {} if target is None else {"target": target}
                extra |= more
                extra |= {} if context is None else {"context": context}
                figures = opened.evaluate(file, skip_bad=skip_bad, progress=progress, **extra)
                rows = [
                    (name.replace("_", " "), _shown(value))
                    for name, value in figures.items()
                    if not isinstance(value, (list, dict))
                ]
    if as_json:
        print_json({"run": str(run), "file": file, **figures})
    else:
        print_table(rows)
        for table in figures.values():
            # The same figures for each kind of what was found.
            if isinstance(table, list):
                for line in as_rows(table, None, len(table)):
                    write(line)
        if "table" in figures:
            _print_methods(figures["table"])


def _print_methods(methods: dict[str, dict[str, float | None]]) -> None:
    """A row for each method, a column for each metric."""
    rows = (
        {
            "method": method,
            **{name: "" if value is None else f"{value:.4g}" for name, value in figures.items()},
        }
        for method, figures in methods.items()
    )
    for line in as_rows(rows, None, len(methods)):
        write(line)


def _is_training_data(run: Any, name: str) -> bool:
    """Whether a model is measured on its own training data, and not on rows that are for testing."""
    from throughtime.data.splits import SPLIT_COLUMN, SPLITS
    from throughtime.data.tables import BadRows, column_names, find_metadata, read_rows
    from throughtime.patterns import is_pattern

    if is_pattern(name):
        return bool(run.config.source == name)
    file = Path(name)
    if not run.config.source or not file.exists() or Path(run.config.source).resolve() != file.resolve():
        return False
    table = find_metadata(file) if run.task in _WITH_SPLITS else None
    if table is None or SPLIT_COLUMN not in column_names(table):
        return True
    rows = read_rows(table, BadRows(skip=True))
    return not any(SPLITS.get(str(row.values.get(SPLIT_COLUMN)).strip().lower()) == "test" for row in rows)


def _language_model(
    run: Any, file: str, errors: str, streams: int, progress: Callable[[float], None]
) -> tuple[dict[str, Any], list[tuple[str, str]]]:
    result = run.evaluate(file, errors, streams, progress)
    figures = {
        "nats_per_token": result.nats_per_token,
        "bits_per_character": result.bits_per_character,
        "perplexity": result.perplexity,
        "predictions": result.predictions,
        "streams": streams,
        "tokens_per_second": round(result.tokens_per_second, 1),
    }
    unit = "character" if run.tokenizer.kind == "character" else "token"
    rows = [
        (f"nats per {unit}", f"{result.nats_per_token:.4f}"),
        ("bits per character", f"{result.bits_per_character:.4f}"),
        (f"perplexity per {unit}", f"{result.perplexity:.3f}"),
        ("predicted", f"{result.predictions:,} {unit}s"),
        ("speed", f"{result.tokens_per_second:,.0f} {unit}s/s"),
    ]
    return figures, rows


def _shown(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4f}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def command() -> Callable[..., None]:
    """The typer command."""
    return evaluate
