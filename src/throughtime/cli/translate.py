"""throughtime translate"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from throughtime.cli.backend import Backend, Precision, Threads
from throughtime.cli.terminal import Raw, error_console, import_torch, json_text, user_errors, write
from throughtime.errors import OptionError

if TYPE_CHECKING:
    from throughtime.tasks.translator.run import TranslatorRun
    from throughtime.tasks.translator.translation import TextTranslator, Translated

HELP = """
Translate lines, each into one line.

Without a file, lines are read from standard input and answered as they come,
those that come at once side by side. A file is sorted by length, a thousand
lines at a time, which is faster still; a table gives its source column. An
empty line stays empty.

\b
Examples:
  echo "Two dogs play in the snow." | throughtime translate runs/german
  throughtime translate runs/german news.txt > news.de
  throughtime translate runs/german news.txt --beam 10 --json
  throughtime translate runs/german news.txt --n-best 3
  echo "A man sleeps." | throughtime translate runs/german --show attention.png
  echo "A man sleeps." | throughtime translate runs/german --influence influence.png
"""


def translate(
    run: Annotated[Path, typer.Argument(help="The run folder.", show_default=False)],
    file: Annotated[
        str, typer.Argument(help="A text file or a table; - is standard input.", show_default=False)
    ] = "-",
    beam: Annotated[int, typer.Option(min=1, help="Beginnings that the search keeps; 1 is greedy.")] = 5,
    length_penalty: Annotated[
        float, typer.Option(min=0, help="Above 0 favours longer translations (alpha of Wu et al. 2016).")
    ] = 1.0,
    coverage_penalty: Annotated[
        float, typer.Option(min=0, help="Above 0 favours those that leave nothing out (beta).")
    ] = 0.0,
    n_best: Annotated[
        int,
        typer.Option("--n-best", min=1, help="Write so many translations of each line, with their scores."),
    ] = 1,
    show: Annotated[
        Path | None,
        typer.Option(help="Draw where the first line's words came from, as a picture.", show_default=False),
    ] = None,
    influence: Annotated[
        Path | None,
        typer.Option(
            help="Draw how much each word, read or written before, mattered to each word written.",
            show_default=False,
        ),
    ] = None,
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Answer lines that cannot be read with empty ones.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="JSON Lines: translation, score, tokens and attention.")
    ] = False,
    raw: Raw = False,
    backend: Backend = "native",
    precision: Precision = None,
    threads: Threads = 0,
) -> None:
    """Open the run and translate."""
    with user_errors():
        from throughtime.data.tables import BadRows
        from throughtime.tasks.translator.run import TranslatorRun

        opened = TranslatorRun.open(run, backend, precision, threads)
        if show is not None and opened.config.model.attention == "none":
            raise OptionError(f"--show: {run} was trained with --attention none, so there is none to draw")
        if n_best > beam:
            raise OptionError(f"--n-best {n_best} needs a --beam of {n_best} or more, not {beam}")
        bad = BadRows(skip_bad)
        translator = opened.translator(beam, length_penalty, coverage_penalty)
        for result in opened.translate_lines(file, translator, bad, as_json or show is not None):
            if as_json:
                typer.echo(json_text(_as_json(result, n_best)))
            elif n_best > 1:
                for text, score in result.alternatives[:n_best] or [("", 0.0)]:
                    write(f"{score:.4f}\t{text}", raw=raw)
            else:
                write(result.text, raw=raw)
            sys.stdout.flush()
            if show is not None and result.attention is not None:
                from throughtime.pictures.alignment import draw_alignment

                draw_alignment(result.attention, result.source_tokens, result.target_tokens, show)
                show = None
            if influence is not None and result.text:
                _draw_influence(opened, translator, result, influence)
                influence = None
        if summary := bad.summary():
            error_console().print(summary, soft_wrap=True)


def _draw_influence(run: TranslatorRun, translator: TextTranslator, result: Translated, path: Path) -> None:
    import numpy as np

    import_torch()
    from throughtime.inspection.influence import shares, translation_influence
    from throughtime.pictures.alignment import draw_alignment

    source = translator.encode(result.source)
    target = np.append(run.target_tokenizer.encode(result.text), run.model.end)
    read, written = translation_influence(run.model, source, target)
    together = np.concatenate([read, written], axis=1)
    source_words = [*(run.source_tokenizer.token_text(int(token)) for token in source), "END"]
    target_words = [*(run.target_tokenizer.token_text(int(token)) for token in target[:-1]), "END"]
    draw_alignment(
        shares(together),
        [*source_words, "START", *target_words[:-1]],
        target_words,
        path,
        "share of the influence",
    )


def _as_json(result: Translated, n_best: int) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "source": result.source,
        "translation": result.text,
        "log_probability": round(result.log_probability, 4),
        "score": round(result.score, 4),
        "source_tokens": result.source_tokens,
        "target_tokens": result.target_tokens,
        "attention": None if result.attention is None else result.attention.astype(float).round(4).tolist(),
    }
    if n_best > 1:
        facts["n_best"] = [
            {"translation": text, "score": round(score, 4)} for text, score in result.alternatives[:n_best]
        ]
    return facts


def command() -> Callable[..., None]:
    """The typer command."""
    return translate
