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
    idle = facts["idle_options"]
    known = ("peephole", "coupled", "layer_norm", "tie_weights", "bidirectional", "locked_dropout")
    options = [name.replace("_", " ") for name in known if model.get(name) and name not in idle]
    for name in (
        "activation",
        "projection",
        "zoneout",
        *(name for name in model if name.endswith("dropout")),
    ):
        value = model.get(name)
        if name not in idle and value and not isinstance(value, bool):
            options.append(f"{name.replace('_', ' ')} {value}")
    shape = f"{model['cell'].upper()}, {model['layers']} x {model['hidden']}"
    rows = [
        ("run", facts["run"]),
        ("task", facts["task"]),
        ("model", ", ".join([shape, *options])),
        ("parameters", f"{facts['parameters']:,}"),
        ("learning", _learning(training, idle)),
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
    if facts["folds"] is not None:
        from throughtime.run.folds import FoldMetrics

        count = len(next(iter(facts["folds"].values())))
        rows.append((f"{count} folds", FoldMetrics(facts["folds"]).summary()))
    if facts["best"] is not None:
        shown = f"{facts['best']:.4f}"
        if objective == "val_loss":
            shown = describe_loss(facts["best"], data.get("tokenizer") == "character")
        rows.append((f"best {objective.removeprefix('val_').replace('_', ' ')}", shown))
    sizes = facts["files"]
    weights = sizes.get("model.safetensors")
    shown = (
        f"{weights / 1e6:.1f} MB" if weights else "those of the last checkpoint: nothing was evaluated yet"
    )
    rows.append(("weights", shown))
    rows.append(("on disk", f"{sum(sizes.values()) / 1e6:.1f} MB in {len(sizes)} files"))
    return rows


def _learning(training: dict[str, Any], idle: dict[str, str]) -> str:
    """The options of the optimiser that do something."""
    names = ("learning_rate", "schedule", "weight_decay", "momentum", "clip_norm", "clip_value", "precision")
    parts = [training["optimizer"], f"batch {training['batch']}"]
    parts += [
        f"{name.replace('_', ' ')} {training[name]}" for name in names if training[name] and name not in idle
    ]
    return ", ".join(parts)


def command() -> Callable[..., None]:
    """The typer command."""
    return info
