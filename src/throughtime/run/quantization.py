"""A run folder with its weights in fewer bits."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

from throughtime.errors import OptionError, RunError
from throughtime.files import copy_atomically, is_unfinished, refuse_odd_name, write_atomically
from throughtime.hub.cache import refuse_hub_name
from throughtime.hub.card import write_hub_files
from throughtime.run.layout import CHECKPOINT, PREPARED, WEIGHTS
from throughtime.run.lock import LOCK
from throughtime.run.run import Run
from throughtime.runtime.quantize import PRECISIONS, quantise
from throughtime.tasks.language_model.run import LanguageModelRun

# What training left for itself; the new folder predicts, and cannot be trained further. Pictures of the old
# weights would say something else than what the new ones do.
_OF_TRAINING = (
    CHECKPOINT.parts[0],
    *PREPARED,
    LOCK,
    "metrics.jsonl",
    "events.*",
    "trackers.json",
    WEIGHTS,
    "*.png",
    "confusion*.json",
    "label-scores*.json",
    "scatter*.json",
)
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
    if precision not in PRECISIONS:
        raise OptionError(f"--precision must be {' or '.join(PRECISIONS)}, not {precision!r}")
    refuse_hub_name(folder, "bring it here first, with `throughtime pull` and --out")
    folder = Path(folder)
    target = Path(out) if out is not None else folder.with_name(f"{folder.name}-{precision}")
    refuse_odd_name(target)
    if target.exists():
        raise OptionError(f"{target} exists already: name another folder with --out")
    run = Run.open(folder)
    weights = run.read_weights()
    if weights.precision != "fp32":
        raise RunError(
            f"{folder} is kept as {weights.precision} already: quantise the run that it was made from"
        )
    copied = _files_to_copy(folder)
    before = _measure(run, data)
    content = quantise(weights, precision)
    weights.release()
    try:
        for path in copied:
            copy_atomically(folder / path, target / path)
        write_atomically(target / WEIGHTS, content)
        # The new folder's own weights; the text to measure on lies in the old one.
        made = Run.open(target, precision=precision)
        after = _measure(made, data, run)
        write_hub_files(made)
    except BaseException:
        # Half a run would only be in the way of the next try.
        shutil.rmtree(target, ignore_errors=True)
        raise
    figures = {name: (before[name], after[name]) for name in before}
    figures["bytes"] = ((folder / WEIGHTS).stat().st_size, len(content))
    return {"out": str(target), "precision": precision, "figures": figures}


def _files_to_copy(folder: Path) -> list[Path]:
    """What the new folder takes over, relative to the old one.

    Raises:
        RunError: one of it is a symbolic link, and would bring in what lies outside the folder.
    """
    left_out = shutil.ignore_patterns(*_OF_TRAINING)
    found: list[Path] = []
    for parent, folders, files in os.walk(folder):
        names = [*folders, *files]
        ignored = left_out(parent, names)
        folders[:] = [name for name in folders if name not in ignored]
        for name in names:
            path = Path(parent, name)
            if name in ignored or is_unfinished(path):
                continue
            if path.is_symlink():
                raise RunError(
                    f"{path} is a symbolic link, and quantize follows none: put the file itself there, or "
                    f"remove it"
                )
            if path.is_file():
                found.append(path.relative_to(folder))
    return found


def _measure(run: Run, data: str | Path | None, source: Run | None = None) -> dict[str, float]:
    """The loss, and what else is a number that matters."""
    if data is not None:
        found = run.evaluate(data)
        if isinstance(run, LanguageModelRun):
            return {"loss (nats a token)": found.nats_per_token}
        found = found.get("table", {}).get(run.task, found)  # of a forecaster, without the baselines
        kept = (
            *("loss", "accuracy", "f1", "micro_f1", "macro_f1", "subset_accuracy"),
            *("mae", "rmse", "r2", "crps", "mase"),
            *("bleu", "chrf", "bleu1", "bleu4", "cider_d"),
        )
        return {name: float(found[name]) for name in kept if found.get(name) is not None}
    if not isinstance(run, LanguageModelRun):
        raise OptionError(f"{run.folder} is a {run.task}: name what to measure the loss on with --data")
    if source is None and not run.holds_text:
        raise OptionError(
            f"{run.folder} holds no text to measure the loss on, as after an import: name one with "
            f"--data FILE"
        )
    from throughtime.data import EvaluationStreams
    from throughtime.runtime.stepper import mean_loss

    tokens = (source if isinstance(source, LanguageModelRun) else run).held_out_tokens()
    return {"loss (nats a token)": mean_loss(run.engine, EvaluationStreams(tokens, _STREAMS))}
