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
        from throughtime.run import Run

        opened = Run.open(run)
        facts = opened.describe()
    if as_json:
        print_json(facts)
    else:
        print_table(_rows(facts, opened.objective))


def _rows(facts: dict[str, Any], objective: str) -> list[tuple[str, str]]:
    model, training, data = facts["config"]["model"], facts["config"]["training"], facts["config"]["data"]
    known = ("peephole", "coupled", "layer_norm", "tie_weights", "bidirectional")
    if model["cell"] == "none":
        known = ()  # without a recurrence, its options mean nothing
    options = [name.replace("_", " ") for name in known if model.get(name)]
    options += [f"projection {model['projection']}"] if model["projection"] else []
    shape = f"{model['cell'].upper()}, {model['layers']} x {model['hidden']}"
    rows = [
        ("run", facts["run"]),
        ("task", facts["task"]),
        ("model", ", ".join([shape, *options])),
        ("parameters", f"{facts['parameters']:,}"),
        ("data", data["source"]),
    ]
    if "vocabulary_size" in facts:
        rows.append(("tokenizer", f"{data['tokenizer']}, {facts['vocabulary_size']:,} tokens"))
    if "source_vocabulary" in facts:
        sizes = f"{facts['source_vocabulary']:,} source and {facts['target_vocabulary']:,} target tokens"
        rows.append(("tokenizers", f"{data['tokenizer']}, {sizes}"))
    if "labels" in facts:
        rows.append(("labels", ", ".join(facts["labels"])))
    if facts["step"] is not None:
        epochs = f"{facts['epoch']} of {training['epochs']} epochs"
        state = "complete" if facts["finished"] else "can be resumed"
        rows.append(("training", f"{epochs}, {facts['step']:,} steps, {duration(facts['seconds'])}, {state}"))
    if facts["best"] is not None:
        shown = f"{facts['best']:.4f}"
        if objective == "val_loss":
            shown = describe_loss(facts["best"], data.get("tokenizer") == "character")
        rows.append((f"best {objective.removeprefix('val_').replace('_', ' ')}", shown))
    sizes = facts["files"]
    rows.append(("weights", f"{sizes['model.safetensors'] / 1e6:.1f} MB"))
    rows.append(("on disk", f"{sum(sizes.values()) / 1e6:.1f} MB in {len(sizes)} files"))
    return rows


def command() -> Callable[..., None]:
    """The typer command."""
    return info
