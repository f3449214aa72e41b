"""throughtime train"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal, Optional, Union, get_args, get_origin

import typer
from pydantic.fields import FieldInfo

from throughtime.cli.terminal import error_console, print_json, user_errors
from throughtime.config import SECTIONS, read_options, resolve
from throughtime.errors import OptionError
from throughtime.presets import PRESETS, preset

HELP = """
Train a language model on a text file.

The run folder gets the best weights, the tokenizer, the resolved options,
metrics.jsonl, TensorBoard events, a picture of the loss, and a checkpoint to
resume from. Ctrl-C saves and stops.

\b
Examples:
  throughtime train input.txt
  throughtime train input.txt --out runs/mine --hidden 512 --epochs 14
  throughtime train input.txt --preset quick --seed 3
  throughtime train words.txt --tokenizer bpe --vocabulary 8000 --cell gru
  throughtime train input.txt --config options.toml
  throughtime train --resume runs/mine
"""


def run(
    source: Path | None,
    out: Path | None,
    resume: Path | None,
    preset_name: str | None,
    config: Path | None,
    quiet: bool,
    as_json: bool,
    options: dict[str, Any],
) -> None:
    """Train, or go on with a training."""
    with user_errors():
        given = {name: value for name, value in options.items() if value is not None}
        resolved = None
        if resume is not None:
            _refuse_with_resume(source, out, preset_name, config, given)
        elif source is None:
            raise OptionError("name the text file: throughtime train FILE.txt (or --resume RUN)")
        else:
            layers = [preset(preset_name)] if preset_name else []
            layers += [read_options(config)] if config else []
            resolved = resolve(*layers, given, {"source": str(source)})

        from throughtime.run import require_torch

        require_torch()
        from throughtime.training import Interrupted
        from throughtime.training.progress import ConsoleProgress, Progress

        console = error_console()
        show = Progress() if quiet else ConsoleProgress(console)
        try:
            if resume is not None:
                from throughtime.training import resume as resume_training

                finished, position = resume_training(resume, show, given.get("epochs"))
            else:
                from throughtime.training import start

                assert resolved is not None
                finished, position = start(resolved, out, show)
        except Interrupted as stop:
            console.print(
                f"Stopped and saved at step {stop.step:,}. "
                f"Go on with: throughtime train --resume {stop.folder}",
                soft_wrap=True,
            )
            raise typer.Exit(128 + stop.signal_number) from None
    if as_json:
        print_json(
            {
                "run": str(finished.folder),
                "steps": position.step,
                "epochs": position.epoch,
                "tokens": position.tokens,
                "seconds": round(position.seconds, 3),
                "best_val_loss": position.best_loss,
            }
        )
    elif not quiet:
        console.print(
            f"Saved in {finished.folder}. Let it write: throughtime sample {finished.folder}", soft_wrap=True
        )


def command() -> Callable[..., None]:
    """The typer command, with an option for each field of the config."""
    fields = {
        name: (section, field)
        for section, model in SECTIONS.items()
        for name, field in model.model_fields.items()
        # The text is the command's argument, and text has one task.
        if name not in ("source", "task")
    }

    def train(**arguments: Any) -> None:
        options = {name: arguments.pop(name) for name in fields}
        run(options=options, **arguments)

    parameters = [
        _parameter("source", Optional[Path], typer.Argument(help="The text file.", show_default=False)),
        _parameter(
            "out", Optional[Path], typer.Option("--out", "-o", help="Run folder (default: runs/NAME-DATE).")
        ),
        _parameter(
            "resume", Optional[Path], typer.Option("--resume", metavar="RUN", help="Go on with this run.")
        ),
        _parameter(
            "preset_name",
            Optional[str],
            typer.Option("--preset", metavar="NAME", help=f"Begin with known options: {', '.join(PRESETS)}."),
        ),
        _parameter(
            "config",
            Optional[Path],
            typer.Option("--config", help="TOML file with options, like a run's config.toml."),
        ),
        _parameter("quiet", bool, typer.Option("--quiet", "-q", help="Show no progress."), False),
        _parameter("as_json", bool, typer.Option("--json", help="Print a summary as JSON."), False),
    ]
    parameters += [_option(section, name, field) for name, (section, field) in fields.items()]
    train.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    train.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return train


def _option(section: str, name: str, field: FieldInfo) -> inspect.Parameter:
    flag = "--" + name.replace("_", "-")
    kind = _scalar(field.annotation)
    # Set ranges and choices are pydantic's to check, so that config files and the API get the same errors.
    metavar = None
    if get_origin(kind) is Literal:
        metavar, kind = "|".join(get_args(kind)), str
    default = "" if field.default in (None, "") else f" (default {_shown(field.default)})"
    option = typer.Option(
        f"{flag}/--no-{flag[2:]}" if kind is bool else flag,
        help=f"{field.description}{default}",
        metavar=metavar,
        rich_help_panel=f"{section.capitalize()} options",
        show_default=False,
    )
    return _parameter(name, Optional[kind], option)


def _scalar(annotation: Any) -> Any:
    """The type inside `X | None`."""
    if get_origin(annotation) is Union or type(annotation).__name__ == "UnionType":
        return next(part for part in get_args(annotation) if part is not type(None))
    return annotation


def _shown(value: Any) -> str:
    return {True: "on", False: "off"}[value] if isinstance(value, bool) else str(value)


def _parameter(name: str, kind: Any, info: Any, default: Any = None) -> inspect.Parameter:
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[kind, info]
    )


def _refuse_with_resume(
    source: Path | None, out: Path | None, preset_name: str | None, config: Path | None, given: dict[str, Any]
) -> None:
    refused = {"FILE": source, "--out": out, "--preset": preset_name, "--config": config}
    refused |= {"--" + name.replace("_", "-"): value for name, value in given.items() if name != "epochs"}
    for name, value in refused.items():
        if value is not None:
            raise OptionError(
                f"{name} cannot be given with --resume: a run goes on with the options in its config.toml "
                f"(only --epochs may grow)"
            )
