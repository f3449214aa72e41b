"""throughtime info"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from throughtime.cli.terminal import print_json, print_table, user_errors
from throughtime.units import describe_loss, duration

HELP = """
Show what is in a run folder: the model, the data, how far training came, the files.

\b
Examples:
  throughtime info runs/mine
  throughtime info runs/mine --json
"""


def info(
    run: Annotated[Path, typer.Argument(help="The run folder.", show_default=False)],
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
) -> None:
    """Open the run and describe it."""
    with user_errors():
        from throughtime.run import describe_run

        facts = describe_run(run)
    if as_json:
        print_json(facts)
    else:
        print_table(_rows(facts))


def _rows(facts: dict[str, Any]) -> list[tuple[str, str]]:
    model, training, data = facts["config"]["model"], facts["config"]["training"], facts["config"]["data"]
    options = [name for name in ("peephole", "coupled", "layer_norm", "tie_weights") if model[name]]
    options += [f"projection {model['projection']}"] if model["projection"] else []
    embedding = f"embedding {model['embedding']}" if model["embedding"] else "one-hot input"
    shape = f"{model['cell'].upper()}, {model['layers']} x {model['hidden']}, {embedding}"
    rows = [
        ("run", facts["run"]),
        ("model", ", ".join([shape, *options])),
        ("parameters", f"{facts['parameters']:,}"),
        ("tokenizer", f"{data['tokenizer']}, {facts['vocabulary_size']:,} tokens"),
        ("text", data["source"]),
    ]
    if facts["step"] is not None:
        epochs = f"{facts['epoch']} of {training['epochs']} epochs"
        state = "complete" if facts["finished"] else "can be resumed"
        rows.append(("training", f"{epochs}, {facts['step']:,} steps, {duration(facts['seconds'])}, {state}"))
    if facts["best_val_loss"] is not None:
        rows.append(
            ("best validation", describe_loss(facts["best_val_loss"], data["tokenizer"] == "character"))
        )
    sizes = facts["files"]
    rows.append(("weights", f"{sizes['model.safetensors'] / 1e6:.1f} MB"))
    rows.append(("on disk", f"{sum(sizes.values()) / 1e6:.1f} MB in {len(sizes)} files"))
    return rows


def command() -> Callable[..., None]:
    """The typer command."""
    return info
