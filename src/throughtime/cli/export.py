"""throughtime export"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from throughtime.cli.terminal import error_console, print_json, result_console, user_errors

if TYPE_CHECKING:
    from throughtime.interchange.onnx_files import Export

HELP = """
Write a trained model as ONNX files, which run without Throughtime and PyTorch.

step.onnx takes one token or frame and the state of all layers, and gives the
new state; sequence.onnx takes whole sequences. Translators and captioners have
encoder.onnx and step.onnx. export.json names inputs, outputs and vocabulary.
Before anything is written, onnxruntime runs each graph on random inputs, and
the outputs are compared with those of the run's own model.

\b
Examples:
  throughtime export runs/mine --onnx
  throughtime export runs/mine --onnx --out phone/ --json
"""


def export(
    run: Annotated[Path, typer.Argument(help="The run folder.", show_default=False)],
    onnx: Annotated[bool, typer.Option("--onnx", help="As ONNX.")] = False,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Folder of the files; the default is RUN/onnx.", show_default=False),
    ] = None,
    check: Annotated[
        bool | None,
        typer.Option(
            "--check/--no-check",
            help="Compare with the run's own model; the default where onnxruntime and torch are installed.",
            show_default=False,
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print what was written as JSON.")] = False,
) -> None:
    """Open the run, build the graphs, compare, write."""
    with user_errors():
        from throughtime.errors import OptionError
        from throughtime.run import Run

        opened = Run.open(run)
        if not onnx:
            raise OptionError(f"say as what to export: throughtime export {run} --onnx")
        from throughtime.interchange.onnx_files import export_onnx

        done = export_onnx(opened, out, check)
    if as_json:
        differences = done.differences and [asdict(one) for one in done.differences]
        print_json(
            {"folder": str(done.folder), **done.description, "sizes": done.sizes, "differences": differences}
        )
    else:
        _show(done)


def _show(done: Export) -> None:
    from rich.table import Table

    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column("file", no_wrap=True)
    for heading in ("", "name", "dtype", "shape"):
        table.add_column(heading, overflow="fold")
    table.add_column("largest difference", justify="right")
    found = {(f"{one.graph}.onnx", one.output): f"{one.largest:.1e}" for one in done.differences or []}
    for file, ports in done.description["graphs"].items():
        first = f"{file} ({done.sizes[file] / 1e6:.1f} MB)"
        for side in ("inputs", "outputs"):
            for port in ports[side]:
                shape = ", ".join(map(str, port["shape"]))
                row = [
                    side[:-1],
                    port["name"],
                    port["dtype"],
                    f"({shape})",
                    found.get((file, port["name"]), ""),
                ]
                table.add_row(first, *row)
                first = ""
    result_console().print(table)
    console = error_console()
    for file, reason in done.description["missing"].items():
        console.print(f"No {file}: {reason}", soft_wrap=True)
    if done.unchecked:
        console.print(f"Not compared with the run's own model: {done.unchecked}", soft_wrap=True)
    opset, others = done.description["opset"], ", ".join(done.description["files"])
    console.print(f"Opset {opset}, in {done.folder}; beside it {others} and export.json", soft_wrap=True)


def command() -> Callable[..., None]:
    """The typer command."""
    return export
