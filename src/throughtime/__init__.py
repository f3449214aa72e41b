"""Throughtime: train, inspect and run recurrent sequence models.

Example:
    import throughtime as tt

    run = tt.train("input.txt", cell="lstm", hidden=512, layers=2)
    print(run.sample("ROMEO:", length=300))
    run = tt.load("runs/input-20260101-120000")
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from throughtime import inspection, interchange, nn, runtime
    from throughtime.cells import Cell
    from throughtime.recurrent import Recurrent
    from throughtime.run import Run

__version__ = "0.1.0"

# Imported when first asked for: `import throughtime` has to stay light, and free of torch.
_LAZY = {"Cell": "cells", "Recurrent": "recurrent", "Run": "run"}
_LAZY_MODULES = ("inspection", "interchange", "nn", "runtime")

__all__ = ["Cell", "Recurrent", "Run", "inspection", "interchange", "load", "nn", "runtime", "train"]


def train(source: str | Path, **options: Any) -> Run:
    """Train on a file or a folder, with progress on the terminal.

    Example:
        run = train("input.txt", cell="lstm", hidden=512, layers=2)

    Args:
        source: a text makes a language model, a table with text and label a classifier...
        **options: task (None infers it from the data), out (the run folder), preset, show (a `Progress`,
            for other displays), and every option of `throughtime.config`: cell, hidden, layers, epochs...
    Returns:
        The finished run, with the weights that were best on the validation text.
    Raises:
        ThroughtimeError: see `throughtime.training.train`.
    """
    from throughtime.run import require_torch

    require_torch()
    from throughtime.training.launch import train

    if "show" not in options:
        from rich.console import Console

        from throughtime.training.progress import ConsoleProgress

        options["show"] = ConsoleProgress(Console(stderr=True, markup=False))
    return train(source, **options)


def load(folder: str | Path, backend: str = "native", precision: str | None = None, threads: int = 0) -> Run:
    """Open a run folder.

    Args:
        folder: what a training left.
        backend: what runs the network: "native", which needs no torch, or "torch".
        precision: how the native backend keeps matrices: "fp32", "bf16" or "int8"; None is fp32, or what
            `throughtime quantize` made.
        threads: CPU threads; 0 leaves the choice to the backend.
    Raises:
        RunError: the folder is missing, incomplete or damaged (the message names the file).
        OptionError: an option is unknown.
    """
    from throughtime.run import Run

    return Run.open(folder, backend, precision, threads)


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name in _LAZY_MODULES:
        return import_module(f"throughtime.{name}")
    if name in _LAZY:
        return getattr(import_module(f"throughtime.{_LAZY[name]}"), name)
    raise AttributeError(f"module 'throughtime' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAZY, *_LAZY_MODULES})
