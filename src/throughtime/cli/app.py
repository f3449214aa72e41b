"""The commands put together, each imported only when it is called: `--help` has to answer at once."""

from __future__ import annotations

import os
import re
import sys
import warnings
from importlib import import_module

import typer
from typer.core import TyperCommand

from throughtime import __version__
from throughtime.cli.terminal import exit_code_of, named_output

HELP = """
Recurrent sequence models: train one on your own files, look inside it, run it anywhere.

\b
Examples:
  throughtime demo                         no data? train on Python's source
  throughtime train input.txt              learn to write like a text
  throughtime train reviews.csv            learn to tell labels from text
  throughtime sample RUN --prompt "ROMEO:" let the model write
  throughtime train load.csv               learn to forecast numbers over time
  throughtime eval RUN other.txt           bits per character, perplexity
  throughtime export RUN --onnx            files that run without Throughtime
  throughtime info RUN                     what is in a run folder
"""

# Each module has HELP and command().
COMMANDS: dict[str, tuple[str, str]] = {
    "train": ("train", "Train on your own file or folder."),
    "sample": ("sample", "Let a trained language model write."),
    "predict": ("predict", "Predict with a trained model of any other task."),
    "translate": ("translate", "Translate lines with a trained translator."),
    "forecast": ("forecast", "Forecast with a trained forecaster, or score what is odd."),
    "caption": ("caption", "Write captions for pictures with a trained captioner."),
    "eval": ("evaluate", "Measure a trained model on unseen data."),
    "quantize": ("quantize", "Keep a model's weights in fewer bits."),
    "serve": ("serve", "Serve trained models over HTTP, with a session for every stream."),
    "export": ("export", "Write a trained model as ONNX files."),
    "import": ("import_weights", "Make a run of a language model trained elsewhere."),
    "track": ("track", "Hand a run's figures on to W&B, trackio, MLflow or TensorBoard."),
    "push": ("push", "Share a run on the Hugging Face Hub."),
    "pull": ("pull", "Bring a run from the Hugging Face Hub."),
    "info": ("info", "Show what is in a run folder."),
    "inspect": ("inspect", "Look inside: gradient flow, gates, neurons."),
    "compare": ("compare", "Put runs side by side on one page."),
    "demo": ("demo", "No data? Train on data that Throughtime draws itself."),
}


def build(wanted: set[str]) -> typer.Typer:
    """The application, with the wanted commands loaded; the others have a name and a summary only."""
    app = typer.Typer(
        name="throughtime",
        help=HELP,
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode="rich",
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_root)
    for name, (module_name, summary) in COMMANDS.items():
        if name in wanted:
            module = import_module(f"throughtime.cli.{module_name}")
            kind = getattr(module, "COMMAND", TyperCommand)
            app.command(name, help=_laid_out(module.HELP), short_help=summary, cls=kind)(module.command())
        else:
            app.command(name, help=summary)(_not_loaded)
    return app


def _laid_out(text: str) -> str:
    r"""A help text that fills a terminal of any width, and in which brackets are no markup.

    The lines of a paragraph become one, but for those under \b. An example may hold a pattern such as
    [aeiou].
    """
    paragraphs = text.strip().split("\n\n")
    joined = (one if one.startswith("\b") else one.replace("\n", " ") for one in paragraphs)
    return re.sub(r"(\[[a-z#/@][^\[\]]*\])", r"\\\1", "\n\n".join(joined))


def run() -> None:
    """Do what the command line says."""
    for output in (sys.stdout, sys.stderr):
        # A model may write any character; a terminal that cannot show one gets "?", not a traceback.
        if hasattr(output, "reconfigure"):
            output.reconfigure(errors="replace")  # pyright: ignore[reportAttributeAccessIssue]
    # Pillow warns, in lines of its own source, of damage that does no harm; other damage is an error of ours.
    warnings.filterwarnings("ignore", module="PIL")
    # What weights are too large to compute with ends in an error of ours, too.
    warnings.filterwarnings("ignore", category=RuntimeWarning, module=r"throughtime\.runtime\.")
    completing = "_THROUGHTIME_COMPLETE" in os.environ or "_TT_COMPLETE" in os.environ
    application = build(set(COMMANDS) if completing else set(COMMANDS).intersection(sys.argv[1:]))
    with named_output():
        try:
            try:
                application()
            finally:
                sys.stdout.flush()  # what still waits may meet a full disk
        except OSError as error:  # from printing a command's results
            sys.exit(exit_code_of(error))


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"throughtime {__version__}")
        raise typer.Exit


def _root(
    version: bool = typer.Option(
        False, "--version", help="Show the version and exit.", is_eager=True, callback=_version
    ),
) -> None:
    """The options before a command."""


def _not_loaded() -> None:
    """Stands for a command that this call does not use."""
