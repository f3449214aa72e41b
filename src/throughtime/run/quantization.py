"""A run folder with its weights in fewer bits."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from throughtime.errors import OptionError, RunError
from throughtime.files import write_atomically
from throughtime.run.language_model import LanguageModelRun
from throughtime.run.run import CHECKPOINT, WEIGHTS, Run
from throughtime.runtime.quantize import quantise

# What training left for itself; the new folder predicts, and cannot be trained further.
_OF_TRAINING = (CHECKPOINT.parts[0], "data", "tokens", "metrics.jsonl", "events.*", WEIGHTS)
# Parallel streams make it quick; what each loses at its beginning is the same before and after.
_STREAMS = 16


def quantize_run(
    folder: str | Path, precision: str, out: str | Path | None = None, data: str | Path | None = None
) -> dict[str, Any]:
    """Write a run folder with weights in fewer bits, and measure both.

    Args:
        folder: the run.
        precision: "int8" or "bf16".
        out: the new folder; None puts it beside the old one.
        data: what to measure on, as for `Run.evaluate`; None is a language model's validation text.
    Returns:
        out, and figures: for each metric and for the size of the weights in bytes, before and after.
    Raises:
        OptionError: the new folder exists, or there is nothing to measure on.
        RunError: the run is damaged, or its weights are quantised already.
        DataError: the data cannot be used.
    """
    folder = Path(folder)
    target = Path(out) if out is not None else folder.with_name(f"{folder.name}-{precision}")
    if target.exists():
        raise OptionError(f"{target} exists already: name another folder with --out")
    run = Run.open(folder)
    weights = run.read_weights()
    if weights.precision != "fp32":
        raise RunError(
            f"{folder} is kept as {weights.precision} already: quantise the run that it was made from"
        )
    before = _measure(run, data)
    content = quantise(weights, precision)
    weights.release()
    shutil.copytree(folder, target, ignore=shutil.ignore_patterns(*_OF_TRAINING))
    write_atomically(target / WEIGHTS, content)
    # The new folder's own weights; the text to measure on lies in the old one.
    after = _measure(Run.open(target, precision=precision), data, run)
    figures = {name: (before[name], after[name]) for name in before}
    figures["bytes"] = ((folder / WEIGHTS).stat().st_size, len(content))
    return {"out": str(target), "precision": precision, "figures": figures}


def _measure(run: Run, data: str | Path | None, source: Run | None = None) -> dict[str, float]:
    """The loss, and what else is a number that matters."""
    if data is not None:
        found = run.evaluate(data)
        if isinstance(run, LanguageModelRun):
            return {"loss (nats a token)": found.nats_per_token}
        kept = ("loss", "accuracy", "macro_f1", "bleu", "chrf", "bleu1", "bleu4", "cider_d")
        return {name: float(found[name]) for name in kept if found.get(name) is not None}
    if not isinstance(run, LanguageModelRun):
        raise OptionError(f"{run.folder} is a {run.task}: name what to measure the loss on with --data")
    from throughtime.data import EvaluationStreams
    from throughtime.runtime.stepper import mean_loss

    tokens = (source if isinstance(source, LanguageModelRun) else run).held_out_tokens()
    return {"loss (nats a token)": mean_loss(run.engine, EvaluationStreams(tokens, _STREAMS))}
