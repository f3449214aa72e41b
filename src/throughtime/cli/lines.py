"""What `sample` and `eval` do with a model of lines."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from throughtime.cli.terminal import error_console, json_text, print_json, result_console, visible, write
from throughtime.data.tables import BadRows
from throughtime.errors import OptionError

if TYPE_CHECKING:
    from throughtime.tasks.language_model.line_run import LineModelRun
    from throughtime.tasks.language_model.line_scores import LineScore
    from throughtime.tasks.language_model.line_writing import WrittenLine

# What is shown of a table where nobody says how much.
_TOP = 20
_SHORTEST_TEXT = 20


def conditions_of(run: Any, given: Sequence[str] | None) -> dict[str, str]:
    """--condition NAME=VALUE, as often as given.

    Raises:
        OptionError: one is something else, or the run is no model of lines.
    """
    from throughtime.data.conditions import parse_conditions

    if given and not getattr(run.config.data, "lines", False):
        raise OptionError(
            f"--condition is for lines that were trained with --condition-columns, not for {run.folder}"
        )
    return parse_conditions(given or [])


def sample_lines(
    run: LineModelRun,
    prompt: str,
    length: int,
    samples: int,
    seed: int,
    stop: Sequence[str],
    beam: int,
    conditions: dict[str, str],
    as_json: bool,
    raw: bool,
    options: dict[str, Any],
) -> None:
    """Write whole lines, and say how many are distinct and new."""
    lines: Iterable[WrittenLine]
    if beam:
        if stop:
            raise OptionError("a beam search for lines ends at a line's end: leave out --stop")
        lines = run.likely(prompt, length, beam, conditions)
    else:
        lines = run.write_each(samples, prompt, length, conditions, seed, stop, **options)
    known = run.known_lines
    count = new = cut = 0
    distinct: dict[str, bool] = {}
    found: list[dict[str, Any]] = []
    for line in lines:
        is_new = distinct[line.text] = line.text not in known
        count, new, cut = count + 1, new + is_new, cut + (not line.complete)
        if not as_json:
            write(line.text, raw=raw)
            continue
        probability = {} if line.log_probability is None else {"log_probability": line.log_probability}
        found.append({"text": line.text, "new": is_new, "complete": line.complete, **probability})
    if as_json:
        seeded = {} if beam else {"seed": seed}
        counts = {"distinct": len(distinct), "distinct_new": sum(distinct.values()), "new": new}
        print_json({"prompt": prompt, **seeded, "conditions": conditions, **counts, "lines": found})
        return
    ended = f"; {cut:,} cut off at --length {length}" if cut else ""
    error_console().print(
        f"{count:,} line{'s' * (count != 1)}: {len(distinct):,} distinct, {new:,} new (not among "
        f"the {run.line_facts.lines:,} training lines){ended}",
        style="dim",
        soft_wrap=True,
    )


def score_lines(
    run: LineModelRun,
    file: str | Path,
    errors: str | None,
    top: int | None,
    skip_bad: bool,
    conditions: dict[str, str],
    as_json: bool,
    raw: bool,
) -> None:
    """Score every line of a file, the odd ones on top."""
    bad = BadRows(skip_bad)
    console = error_console()
    scores = sorted(run.score(file, conditions, errors, bad), key=lambda one: -one.surprise)
    shown = scores[: top if top is not None else len(scores) if as_json else _TOP]
    if as_json:
        for one in shown:
            typer.echo(json_text(as_values(one)))
    else:
        _print(shown, raw)
        nats = sum(one.nats for one in scores)
        console.print(
            f"{len(shown):,} of {len(scores):,} lines, the most surprising first; "
            f"{nats / len(scores):.2f} nats a line on average (--top N shows more, --json all)",
            style="dim",
            soft_wrap=True,
        )
    for remark in (run.reader.remark(file), bad.summary()):
        if remark:
            console.print(remark, style="yellow", soft_wrap=True)


def as_values(score: LineScore) -> dict[str, Any]:
    """A line's score, as JSON can hold it."""
    return {
        "line": score.line,
        "surprise": round(score.surprise, 4),
        "nats": round(score.nats, 4),
        "nats_per_character": round(score.nats_per_character, 5),
        "unknown_characters": score.unknown,
        "text": score.text.encode("utf-8", "replace").decode(),
    }


def _print(scores: Iterable[LineScore], raw: bool) -> None:
    console = result_console(raw)
    width = console.width if console.is_terminal else None
    write(f"{'line':>8}  {'surprise':>8}  {'nats':>8}  {'a char':>6}  text", raw=raw)
    for one in scores:
        figures = f"{one.line:>8}  {one.surprise:>8.2f}  {one.nats:>8.2f}  {one.nats_per_character:>6.3f}  "
        text = visible(one.text.encode("utf-8", "replace").decode())
        if width is not None:
            text = text[: max(width - len(figures), _SHORTEST_TEXT)]
        write(figures + text, raw=raw)


def evaluate_lines(
    run: LineModelRun,
    file: str | Path,
    errors: str | None,
    streams: int,
    skip_bad: bool,
    conditions: dict[str, str],
) -> tuple[dict[str, Any], list[tuple[str, str]]]:
    """The figures of a file of lines, and how they are shown."""
    bad = BadRows(skip_bad)
    found = run.evaluate(file, errors, streams, None, conditions, bad)
    for remark in (run.reader.remark(file), bad.summary()):
        if remark:
            error_console().print(remark, style="yellow", soft_wrap=True)
    figures = {
        "nats_per_token": found.nats_per_token,
        "nats_per_character": found.nats_per_character,
        "nats_per_line": found.nats_per_line,
        "perplexity": found.perplexity,
        "lines": found.lines,
        "tokens": found.tokens,
        "unknown_characters": found.unknown,
        "lines_per_second": round(found.lines_per_second, 1),
    }
    is_character = run.tokenizer.kind == "character"
    unit = "character" if is_character else "token"
    rows = [
        (f"nats per {unit}", f"{found.nats_per_token:.4f} (a line's end is one)"),
        ("nats per line", f"{found.nats_per_line:.3f}"),
        (f"perplexity per {unit}", f"{found.perplexity:.3f}"),
        ("lines", f"{found.lines:,} of {found.tokens / found.lines:.1f} {unit}s"),
        ("speed", f"{found.lines_per_second:,.0f} lines/s"),
    ]
    if not is_character:
        rows.insert(1, ("nats per character", f"{found.nats_per_character:.4f}"))
    if found.unknown:
        rows.append(("unknown characters", f"{found.unknown:,}, {run.unknown_nats:.1f} nats each"))
    return figures, rows
