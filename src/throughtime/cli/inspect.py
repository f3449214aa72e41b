"""throughtime inspect"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from throughtime.cli.terminal import error_console, import_torch, print_json, result_console, user_errors
from throughtime.errors import OptionError
from throughtime.files import refuse_link
from throughtime.hub.cache import refuse_hub_name

if TYPE_CHECKING:
    from throughtime.inspection.gates import GateStatistics
    from throughtime.inspection.report import Report

# Of a text that a unit colours: so many tokens, from windows of so many.
_UNIT_TOKENS = 1200
_WINDOW = 400

HELP = """
Look inside: where the gradient goes, what truncation costs, what the gates do,
what single neurons know.

Numbers and a verdict in words go to the terminal, pictures to RUN/inspection.
Throughtime measures a language model on its own validation text, or on a file
that you give. For other tasks, it measures the gradient flow and the gates of
every recurrence, on a batch of the run's own training data.

\b
Examples:
  throughtime inspect runs/mine
  throughtime inspect runs/mine other.txt --lags 500
  throughtime inspect runs/mine --property "vowels=[aeiou]"
  throughtime inspect runs/mine --unit 37            text coloured by unit 37
  throughtime inspect runs/mine --json
"""


def inspect(
    run: Annotated[Path, typer.Argument(help="The run folder.", show_default=False)],
    file: Annotated[Path | None, typer.Argument(help="A text file.", show_default=False)] = None,
    lags: Annotated[int, typer.Option(min=1, help="The longest lag to measure, in tokens.")] = 200,
    windows: Annotated[int, typer.Option(min=1, help="Places in the text to measure at.")] = 32,
    properties: Annotated[
        list[str] | None,
        typer.Option(
            "--property",
            metavar="NAME=REGEX",
            help="A property of the text to rank neurons by, in place of the built-in ones.",
        ),
    ] = None,
    unit: Annotated[
        int | None, typer.Option(min=0, help="Show text coloured by this hidden unit.", show_default=False)
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Where pictures go.", show_default="RUN/inspection")
    ] = None,
    errors: Annotated[
        str, typer.Option(metavar="strict|replace", help="What to do with bytes that are not UTF-8.")
    ] = "strict",
    as_json: Annotated[bool, typer.Option("--json", help="Print all numbers as JSON.")] = False,
) -> None:
    """Open the run, measure, draw."""
    with user_errors():
        import_torch()
        from throughtime.inspection.report import Options, inspect_language_model
        from throughtime.run import Run
        from throughtime.tasks.language_model.run import LanguageModelRun

        if errors not in ("strict", "replace"):
            raise OptionError(f"--errors must be strict or replace, not {errors!r}")
        chosen = None if properties is None else dict(_name_and_pattern(text) for text in properties)
        opened = Run.open(run)
        if out is None:
            refuse_hub_name(run, "name a folder for the pictures with --out")
            refuse_link(run / "inspection")
        folder = out if out is not None else run / "inspection"
        if not isinstance(opened, LanguageModelRun):
            if file is not None or unit is not None or properties:
                raise OptionError(f"{run} is a {opened.task}: only language models are measured on a text")
            _other_task(opened, folder, as_json)
            return
        text = opened.held_out_tokens() if file is None else opened.read_tokens(file, errors)
        console = error_console()
        with console.status("") as status:
            report = inspect_language_model(
                opened.model,
                opened.tokenizer,
                text,
                opened.config.training.first_chunk,
                Options(lags, windows, properties=chosen),
                lambda what: status.update(f"measuring {what}"),
            )
            status.update("drawing")
            pictures = _draw(report, opened.model, folder)
            if unit is not None:
                pictures += _draw_unit(opened, text, unit, folder, show=not as_json)
    if as_json:
        print_json({"run": str(run), **report.summary(), "pictures": [str(path) for path in pictures]})
        return
    _print(report)
    console.print(f"{len(pictures)} pictures in {folder}", style="dim", soft_wrap=True)


def _other_task(run: Any, folder: Path, as_json: bool) -> None:
    """Gradient flow and gates of every recurrence, on a batch of the run's training data."""
    import torch

    from throughtime.errors import RunError
    from throughtime.inspection import plots
    from throughtime.inspection.capture import capture, inspect_captured

    model = run.model
    task = run.make_task(model, torch.device("cpu"))
    task.start_epoch(0)
    with torch.no_grad():
        captured = capture(model, task.next_loss)
    if not captured:
        raise RunError(
            f"{run.folder} has no recurrence that reads several steps at once: there is nothing through time "
            f"to look at (a vector is a single step, and --cell none reads each step alone)"
        )
    segment = run.facts().get("segment", 1)
    console, found = result_console(), []
    for one in captured:
        flow, gates, units = inspect_captured(one)
        steps = len(one.inputs)
        stem = one.name.replace(".", "_")
        pictures = [plots.draw_flow({"": flow}, folder / f"gradient_flow_{stem}.png")]
        if picture := plots.draw_gates(gates, folder / f"gates_{stem}.png"):
            pictures.append(picture)
        found.append(
            {
                "recurrence": one.name,
                "steps": steps,
                "segment": segment,
                "verdict": flow.verdict(),
                "effective_memory": flow.effective_memory,
                "gradient_flow": flow.summary(),
                "units": [vars(unit) for unit in units],
                "pictures": [str(path) for path in pictures],
            }
        )
        if not as_json:
            memory = flow.effective_memory
            reach = f"more than {steps - 1}" if memory is None else str(memory)
            each = f" of {segment} steps each" if segment > 1 else ""
            unit = "segments" if segment > 1 else "steps"
            console.print(
                f"{one.name}: {flow.verdict()} over {steps} {unit}{each}: the gradient reaches back {reach} "
                f"before it falls below 1 %.",
                style="bold",
                soft_wrap=True,
            )
            _print_gates(console, gates)
    if as_json:
        print_json({"run": str(run.folder), "recurrences": found})
    else:
        error_console().print(f"pictures in {folder}", style="dim", soft_wrap=True)


def _name_and_pattern(text: str) -> tuple[str, str]:
    name, separator, pattern = text.partition("=")
    if not separator or not pattern:
        raise OptionError(f'--property {text!r} is not of the form NAME=REGEX, like "vowels=[aeiou]"')
    return name, pattern


def _draw(report: Report, model: Any, folder: Path) -> list[Path]:
    from throughtime.cells import GatedCell
    from throughtime.inspection import plots
    from throughtime.inspection.coloured_text import draw_text
    from throughtime.inspection.jacobian import recurrent_spectrum

    pictures = [
        plots.draw_flow({"": report.flow}, folder / "gradient_flow.png"),
        plots.draw_truncation({"": report.truncation}, folder / "truncation.png"),
        plots.draw_influence(report.influence, folder / "influence_by_lag.png"),
    ]
    pieces, values, target = report.example
    title = f"What mattered to the prediction of {target!r} after this"
    relative = values / max(values.max(), 1e-12)
    pictures.append(draw_text(pieces, relative, folder / "influence.png", title))
    if gates := plots.draw_gates(report.gates, folder / "gates.png"):
        pictures.append(gates)
    # Other cells have no square matrix a gate.
    if not model.config.projection and all(isinstance(cell, GatedCell) for cell in model.recurrent.cells):
        spectra = {
            f"layer {layer + 1}": recurrent_spectrum(model.recurrent, layer)
            for layer in range(model.recurrent.num_layers)
        }
        pictures.append(plots.draw_spectrum(spectra, folder / "spectrum.png"))
    return pictures


def _draw_unit(run: Any, text: Any, unit: int, folder: Path, show: bool) -> list[Path]:
    """Text coloured by a unit: on the terminal, as PNG and as HTML."""
    from rich.text import Text

    from throughtime.files import write_atomically
    from throughtime.inspection.coloured_text import colour, draw_text, html_text, stretches
    from throughtime.inspection.report import hidden_states

    hidden, tokens = hidden_states(run.model, text, 16 * _WINDOW)
    if unit >= hidden.shape[-1]:
        raise OptionError(f"--unit {unit}: the layers have {hidden.shape[-1]} units together, from 0")
    length = tokens.shape[1]
    shown_windows = max(1, _UNIT_TOKENS // length)
    pieces = [run.tokenizer.token_text(int(token)) for token in tokens[:shown_windows].flat]
    values = hidden[:shown_windows, :, unit].reshape(-1)
    # Windows from all over the text: none goes on from the one before.
    starts = range(0, len(pieces), length)
    title = f"Unit {unit} (orange above 0, blue below)"
    picture = draw_text(pieces, values, folder / f"unit_{unit}.png", title, diverging=True, starts=starts)
    page = (
        f'<!doctype html><meta charset="utf-8"><title>{title}</title><h1>{title}</h1>'
        f"{html_text(pieces, values, diverging=True, starts=starts)}"
    )
    write_atomically(folder / f"unit_{unit}.html", page.encode())
    if show:
        for first, stop in stretches(len(pieces), starts):
            shown = Text()
            for piece, value in zip(pieces[first:stop], values[first:stop], strict=True):
                shown.append(piece, style=f"black on {colour(float(value), True)}")
            result_console().print(shown, end="\n\n")
    return [picture, folder / f"unit_{unit}.html"]


def _print(report: Report) -> None:
    from rich.table import Table

    console = result_console()
    for index, sentence in enumerate(report.sentences()):
        console.print(sentence, style="bold" if index == 0 else None, soft_wrap=True)
    flow = Table(title="\nGradient flow", title_justify="left", box=None, padding=(0, 2, 0, 0))
    headings = ("layer", "memory", "factor a step (95 %)", "cell path", "max s.v.", "radius", "Lyapunov")
    for heading in headings:
        flow.add_column(heading, justify="left" if heading == "layer" else "right")
    dynamics = {layer.layer: layer for layer in report.dynamics}
    for layer in report.flow.layers:
        rate, low, high = layer.rate
        memory, share, one = layer.effective_memory, layer.cell_share, dynamics[layer.name]
        flow.add_row(
            layer.name,
            f"> {report.lags}" if memory is None else str(memory),
            f"{rate:.3f} ({low:.3f} to {high:.3f})",
            "" if share is None else f"{share:.0%}",
            f"{one.singular_value:.2f}",
            f"{one.spectral_radius:.2f}",
            f"{one.lyapunov:+.3f}",
        )
    console.print(flow)
    _print_gates(console, report.gates)
    for units in report.units:
        console.print(
            f"{units.layer}: {units.dead} of {units.units} units never move, {units.saturated} are saturated"
        )
    if report.probes:
        probes = Table(title="\nNeurons (AUC on held-out text)", title_justify="left", box=None)
        for heading in ("property", "share", "best units", "all units"):
            probes.add_column(heading)
        for probe in report.probes:
            units = "  ".join(f"{unit}: {area:.2f}" for unit, area, _ in probe.units[:3])
            probes.add_row(console.cell(probe.name), f"{probe.share:.1%}", units, f"{probe.probe:.2f}")
        console.print(probes)


def _print_gates(console: Any, gates: list[GateStatistics]) -> None:
    from rich.table import Table

    if not gates:
        return
    table = Table(title="\nGates", title_justify="left", box=None, padding=(0, 2, 0, 0))
    for heading in ("layer", "gate", "mean", "below 0.1", "above 0.9", "time scale, median"):
        table.add_column(heading, justify="left" if heading in ("layer", "gate") else "right")
    for gate in gates:
        scales = gate.time_scales
        table.add_row(
            gate.layer,
            gate.gate,
            f"{gate.mean:.2f}",
            "" if gate.shut is None else f"{gate.shut:.0%}",
            "" if gate.open is None else f"{gate.open:.0%}",
            "" if scales is None else f"{sorted(scales)[len(scales) // 2]:.1f} steps",
        )
    console.print(table)


def command() -> Callable[..., None]:
    """The typer command."""
    return inspect
