"""A run folder in a table that fits on a screen."""

from __future__ import annotations

from typing import Any

from throughtime.run.folds import FoldMetrics
from throughtime.units import describe_loss, duration


def summary(facts: dict[str, Any], objective: str) -> list[tuple[str, str]]:
    """What is in a run folder, as names with texts.

    Args:
        facts: of `Run.describe`.
        objective: of the run.
    """
    model, training, data = facts["config"]["model"], facts["config"]["training"], facts["config"]["data"]
    idle = facts["idle_options"]
    known = ("peephole", "coupled", "layer_norm", "tie_weights", "bidirectional", "locked_dropout")
    options = [name.replace("_", " ") for name in known if model.get(name) and name not in idle]
    for name in (
        "activation",
        "projection",
        "zoneout",
        "input_noise",
        *(name for name in model if name.endswith("dropout")),
    ):
        value = model.get(name)
        if name not in idle and value and not isinstance(value, bool):
            options.append(f"{name.replace('_', ' ')} {value}")
    shape = f"{model['cell'].upper()}, {model['layers']} x {model['hidden']}"
    if model.get("convolutions"):
        options.insert(0, f"behind {model['convolutions']} convolutions")
    if model.get("members", 1) > 1:
        options.append(f"{model['members']} networks together")
    rows = [
        ("run", facts["run"]),
        ("task", facts["task"]),
        ("model", ", ".join([shape, *options])),
        ("parameters", f"{facts['parameters']:,}"),
        ("learning", _learning(training, idle)),
        ("data", data["source"]),
    ]
    if facts["own_loss"] is not None:
        rows.append(("loss", f"{facts['own_loss']}, a function of the program that trained it"))
    if "vocabulary_size" in facts:
        rows.append(("tokenizer", f"{data['tokenizer']}, {facts['vocabulary_size']:,} tokens"))
    if "source_vocabulary" in facts:
        sizes = f"{facts['source_vocabulary']:,} source and {facts['target_vocabulary']:,} target tokens"
        rows.append(("tokenizers", f"{data['tokenizer']}, {sizes}"))
    if "words" in facts:
        rows.append(("vocabulary", f"{facts['words']:,} words, {facts['characters']:,} characters"))
    if "alphabet" in facts:
        rows.append(("alphabet", f"{len(facts['alphabet'])} characters: {facts['alphabet']}"))
    if "labels" in facts:
        rows.append(("labels", ", ".join(facts["labels"])))
    if "numbers" in facts:
        predicted = facts["numbers"]
        rows.append(("numbers", f"{', '.join(predicted['columns'])} (loss {predicted['loss']})"))
    if "beside" in facts:
        beside = (
            f"{name} ({value if isinstance(value, str) else f'{len(value):,} values'})"
            for name, value in facts["beside"].items()
        )
        rows.append(("beside", ", ".join(beside)))
    if facts.get("segment", 1) > 1 or "around" in facts:
        steps = f"{facts['segment']} steps are read as one" if facts["segment"] > 1 else "one step at a time"
        around = f", with {facts['around']} on either side" if "around" in facts else ""
        rows.append(("segments", steps + around))
    if facts["step"] is not None:
        epochs = f"{facts['epoch']} of {training['epochs']} epochs"
        state = "complete" if facts["finished"] else "can be resumed"
        rows.append(("training", f"{epochs}, {facts['step']:,} steps, {duration(facts['seconds'])}, {state}"))
        rows.append(("trained on", _trained_on(facts["trained_on"])))
    if facts["folds"] is not None:
        count = len(next(iter(facts["folds"].values())))
        rows.append((f"{count} folds", FoldMetrics(facts["folds"]).summary()))
    if facts["best"] is not None:
        shown = f"{facts['best']:.4f}"
        # Of several labels at once, and of numbers, a perplexity says nothing.
        of_one_label = data.get("target", "label") not in ("labels", "number")
        if objective == "val_loss" and of_one_label and facts["task"] != "forecaster":
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


def _trained_on(facts: dict[str, Any]) -> str:
    """The kernel and the rest on which the last bits of a training depend."""
    threads = facts["threads"]
    parts = [f"{threads} thread{'s' if threads != 1 else ''}", f"PyTorch {facts['torch']}"]
    return ", ".join([f"kernel {facts['kernels']}", *parts] if facts["kernels"] else parts)


def _learning(training: dict[str, Any], idle: dict[str, str]) -> str:
    """The options of the optimiser that do something."""
    names = ("learning_rate", "schedule", "weight_decay", "momentum", "clip_norm", "clip_value", "precision")
    parts = [training["optimizer"], f"batch {training['batch']}"]
    parts += [
        f"{name.replace('_', ' ')} {training[name]}" for name in names if training[name] and name not in idle
    ]
    return ", ".join(parts)
