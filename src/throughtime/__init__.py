"""Throughtime: train, inspect and run recurrent sequence models.

Example:
    import throughtime as tt

    run = tt.train("input.txt", cell="lstm", hidden=512, layers=2)
    print(run.sample("ROMEO:", length=300))
    run = tt.load("runs/input-20260101-120000")
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, overload

if TYPE_CHECKING:
    from pathlib import Path

    from throughtime import inspection, interchange, nn, runtime
    from throughtime.cells import Cell
    from throughtime.in_memory import Data, Text
    from throughtime.recurrent import Recurrent
    from throughtime.run import Run
    from throughtime.tasks.captioner.run import CaptionerRun
    from throughtime.tasks.classifier.run import ClassifierRun
    from throughtime.tasks.forecaster.run import ForecasterRun
    from throughtime.tasks.language_model.line_run import LineModelRun
    from throughtime.tasks.language_model.run import LanguageModelRun
    from throughtime.tasks.tagger.run import TaggerRun
    from throughtime.tasks.transcriber.run import TranscriberRun
    from throughtime.tasks.translator.run import TranslatorRun
    from throughtime.tasks.word_tagger.run import WordTaggerRun
    from throughtime.training.callbacks import OnEvaluation, OnStep
    from throughtime.training.rate_sweep import RateSweep

    class AnyRun(  # pyright: ignore
        LineModelRun,
        LanguageModelRun,
        ClassifierRun,
        TranslatorRun,
        CaptionerRun,
        TaggerRun,
        TranscriberRun,
        WordTaggerRun,
        ForecasterRun,
    ):
        """A run whose task only the data or the folder knows: an editor offers what any task's run can do.

        At run time there is no such class. Name the task, and the type is that task's run.
        """


__version__ = "0.1.0"

# Imported when first asked for: `import throughtime` has to stay light, and free of torch.
_LAZY = {
    "Cell": "cells",
    "Predictor": "predicting",
    "Recurrent": "recurrent",
    "Run": "run",
    "Text": "in_memory",
}
_LAZY_MODULES = ("inspection", "interchange", "nn", "runtime")

__all__ = [
    "Cell",
    "Predictor",
    "Recurrent",
    "Run",
    "Text",
    "find_learning_rate",
    "inspection",
    "interchange",
    "load",
    "nn",
    "resume",
    "runtime",
    "train",
]


@overload
def train(
    source: Data,
    *,
    task: Literal["language-model"],
    on_step: OnStep | None = None,
    on_evaluation: OnEvaluation | None = None,
    **options: Any,
) -> LanguageModelRun: ...
@overload
def train(
    source: Data,
    *,
    task: Literal["classifier"],
    on_step: OnStep | None = None,
    on_evaluation: OnEvaluation | None = None,
    **options: Any,
) -> ClassifierRun: ...
@overload
def train(
    source: Data,
    *,
    task: Literal["translator"],
    on_step: OnStep | None = None,
    on_evaluation: OnEvaluation | None = None,
    **options: Any,
) -> TranslatorRun: ...
@overload
def train(
    source: Data,
    *,
    task: Literal["captioner"],
    on_step: OnStep | None = None,
    on_evaluation: OnEvaluation | None = None,
    **options: Any,
) -> CaptionerRun: ...
@overload
def train(
    source: Data,
    *,
    task: Literal["tagger"],
    on_step: OnStep | None = None,
    on_evaluation: OnEvaluation | None = None,
    **options: Any,
) -> TaggerRun: ...
@overload
def train(
    source: Data,
    *,
    task: Literal["transcriber"],
    on_step: OnStep | None = None,
    on_evaluation: OnEvaluation | None = None,
    **options: Any,
) -> TranscriberRun: ...
@overload
def train(
    source: Data,
    *,
    task: Literal["word-tagger"],
    on_step: OnStep | None = None,
    on_evaluation: OnEvaluation | None = None,
    **options: Any,
) -> WordTaggerRun: ...
@overload
def train(
    source: Data,
    *,
    task: Literal["forecaster"],
    on_step: OnStep | None = None,
    on_evaluation: OnEvaluation | None = None,
    **options: Any,
) -> ForecasterRun: ...
@overload
def train(
    source: Data,
    *,
    task: None = None,
    on_step: OnStep | None = None,
    on_evaluation: OnEvaluation | None = None,
    **options: Any,
) -> AnyRun: ...
def train(
    source: Data,
    *misplaced: Any,
    task: str | None = None,
    on_step: OnStep | None = None,
    on_evaluation: OnEvaluation | None = None,
    **options: Any,
) -> Any:
    """Train on a file, a folder or data in memory, with progress on the terminal or in the notebook.

    Example:
        run = train("input.txt", cell="lstm", hidden=512, layers=2)

    Args:
        source: a path, or data in memory. A text makes a language model, a table with text and label a
            classifier... A `str` is a path; in memory, data is `tt.Text(text)`, a frame of pandas or polars,
            a tuple (inputs, labels), a list of texts, of pairs or of dictionaries, or a data set of torch.
        task: None infers it from the data.
        on_step, on_evaluation: called after each step with a `StepEvent`, after each evaluation with an
            `EvaluationEvent`. The answer "stop" ends the training as early stopping does; an exception ends
            it after a checkpoint, from which `resume` goes on.
        **options: out (the run folder), preset, overwrite, show (a `Progress`, for other displays), and every
            option of `throughtime.config`: cell, hidden, layers, epochs... `validation` may be data in
            memory, and `loss` a function of outputs, targets and a mask (see `throughtime.training.OwnLoss`).
    Returns:
        The finished run, with the weights that were best on the validation text.
    Raises:
        ThroughtimeError: see `throughtime.training.train`.
    """
    from throughtime.run import require_torch

    require_torch()
    from throughtime.training.launch import train

    if misplaced:
        from throughtime.errors import OptionError

        raise OptionError("give inputs and labels as one tuple: tt.train((inputs, labels))")

    options.setdefault("show", _display())
    return train(source, task=task, on_step=on_step, on_evaluation=on_evaluation, **options)


def resume(
    folder: str | Path,
    *,
    on_step: OnStep | None = None,
    on_evaluation: OnEvaluation | None = None,
    **options: Any,
) -> AnyRun:
    """Go on with a training that was stopped, bit for bit as if it had never been.

    Example:
        run = resume("runs/reviews", epochs=20)

    Args:
        folder: the run folder. It holds all that was read from files or given in memory.
        on_step, on_evaluation: as for `train`. A run keeps no functions, so they are given again.
        **options: epochs, to train longer than planned; threads, device, checkpoint_seconds; loss, where the
            training began with a function; and show.
    Returns:
        The finished run, with the weights that were best on the validation data.
    Raises:
        ThroughtimeError: see `throughtime.training.resume`.
    """
    from throughtime.run import require_torch

    require_torch()
    from throughtime.training.additions import Additions
    from throughtime.training.launch import resume

    options.setdefault("show", _display())
    additions = Additions.of(on_step, on_evaluation, options)
    run: Any = resume(folder, additions=additions, **options)[0]
    return run


def find_learning_rate(source: Data, *, task: str | None = None, **options: Any) -> RateSweep:
    """Look for a learning rate in a short sweep of rising ones; nothing that it trains is kept.

    Example:
        found = find_learning_rate((texts, labels), hidden=128)
        run = train((texts, labels), hidden=128, learning_rate=found.suggestion)

    Args:
        source: as for `train`.
        task: as for `train`.
        **options: as for `train`.
    Returns:
        The rates with their losses, a suggestion, and a figure; see `throughtime.training.RateSweep`.
    Raises:
        ThroughtimeError: as of `train`.
    """
    from throughtime.run import require_torch

    require_torch()
    from throughtime.training.rate_sweep import find_learning_rate

    options.setdefault("show", _display())
    return find_learning_rate(source, task=task, **options)


def _display() -> Any:
    """Where progress is shown that nobody directed elsewhere."""
    from throughtime.notebooks import in_notebook

    if in_notebook():
        from throughtime.training.notebook import NotebookProgress

        return NotebookProgress()
    from rich.console import Console

    from throughtime.training.progress import ConsoleProgress

    return ConsoleProgress(Console(stderr=True, markup=False))


@overload
def load(
    folder: str | Path,
    backend: str = "native",
    precision: str | None = None,
    threads: int = 0,
    *,
    task: Literal["language-model"],
) -> LanguageModelRun: ...
@overload
def load(
    folder: str | Path,
    backend: str = "native",
    precision: str | None = None,
    threads: int = 0,
    *,
    task: Literal["classifier"],
) -> ClassifierRun: ...
@overload
def load(
    folder: str | Path,
    backend: str = "native",
    precision: str | None = None,
    threads: int = 0,
    *,
    task: Literal["translator"],
) -> TranslatorRun: ...
@overload
def load(
    folder: str | Path,
    backend: str = "native",
    precision: str | None = None,
    threads: int = 0,
    *,
    task: Literal["captioner"],
) -> CaptionerRun: ...
@overload
def load(
    folder: str | Path,
    backend: str = "native",
    precision: str | None = None,
    threads: int = 0,
    *,
    task: Literal["tagger"],
) -> TaggerRun: ...
@overload
def load(
    folder: str | Path,
    backend: str = "native",
    precision: str | None = None,
    threads: int = 0,
    *,
    task: Literal["transcriber"],
) -> TranscriberRun: ...
@overload
def load(
    folder: str | Path,
    backend: str = "native",
    precision: str | None = None,
    threads: int = 0,
    *,
    task: Literal["word-tagger"],
) -> WordTaggerRun: ...
@overload
def load(
    folder: str | Path,
    backend: str = "native",
    precision: str | None = None,
    threads: int = 0,
    *,
    task: Literal["forecaster"],
) -> ForecasterRun: ...
@overload
def load(
    folder: str | Path,
    backend: str = "native",
    precision: str | None = None,
    threads: int = 0,
    *,
    task: None = None,
) -> AnyRun: ...
def load(
    folder: str | Path,
    backend: str = "native",
    precision: str | None = None,
    threads: int = 0,
    *,
    task: str | None = None,
) -> Any:
    """Open a run folder.

    Args:
        folder: what a training left.
        backend: what runs the network: "native", which needs no torch, or "torch".
        precision: how the native backend keeps matrices: "fp32", "bf16" or "int8"; None is fp32, or what
            `throughtime quantize` made.
        threads: CPU threads; 0 leaves the choice to the backend.
        task: the task that the run has to have; with it, an editor knows the type of the run.
    Raises:
        RunError: the folder is missing, incomplete or damaged (the message names the file), or of another
            task.
        OptionError: an option is unknown.
    """
    from throughtime.run import Run, run_class

    return (Run if task is None else run_class(task)).open(folder, backend, precision, threads)


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name in _LAZY_MODULES:
        return import_module(f"throughtime.{name}")
    if name in _LAZY:
        return getattr(import_module(f"throughtime.{_LAZY[name]}"), name)
    raise AttributeError(f"module 'throughtime' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAZY, *_LAZY_MODULES})
