"""throughtime train"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Optional, Union, get_args, get_origin

import typer
from pydantic.fields import FieldInfo

from throughtime.cli.processes import check_processes, run_processes, without_processes
from throughtime.cli.terminal import error_console, import_torch, print_json, user_errors
from throughtime.cli.train_help import TrainCommand
from throughtime.config import CONFIGS, RunConfig, every_option, read_options
from throughtime.errors import OptionError
from throughtime.places import place_here
from throughtime.presets import PRESETS, preset

if TYPE_CHECKING:
    from throughtime.training.progress import Progress

HELP = """
Train on your own file or folder.

Throughtime infers the task from your data, and says what it recognised. --task
names the task where the data leaves it open; docs/reference.md lists the formats.

The run folder gets the best weights, the tokenizer, the resolved options,
metrics.jsonl, TensorBoard events, a picture of the loss, and a checkpoint to
resume from. Ctrl-C saves and stops.

\b
Examples:
  throughtime train input.txt
  throughtime train input.txt --out runs/mine --hidden 512 --epochs 14
  throughtime train reviews.csv --text-column review --label-column stars
  throughtime train input.txt --preset quick --seed 3
  throughtime train input.txt --config options.toml
  throughtime train 's3://bucket/reviews/*.parquet'
  throughtime train 'texts/*.jsonl' --text-column body --tokenizer bpe
  throughtime train --resume runs/mine
  throughtime train reviews.csv --seeds 3 --sweep lr=1e-3,2e-3 hidden=256,512
"""


COMMAND = TrainCommand

# What a resumed training may take from the command line.
_CHANGEABLE = ("epochs", "threads", "device", "checkpoint_seconds", "track")


def run(
    source: str | None,
    out: Path | None,
    resume: Path | None,
    preset_name: str | None,
    config: Path | None,
    overwrite: bool,
    quiet: bool,
    as_json: bool,
    options: dict[str, Any],
    find_lr: bool = False,
    seeds: int | None = None,
    sweep: list[str] | None = None,
    processes: int | None = None,
) -> None:
    """Train, or go on with a training, or look for a learning rate, or train many times."""
    with user_errors():
        if processes is not None:
            check_processes(processes, {"--find-lr": find_lr, "--seeds": seeds, "--sweep": sweep})
        if processes is not None and processes > 1:
            raise typer.Exit(run_processes(processes, without_processes(sys.argv[1:])))
        place = place_here()
        if place.rank > 0:
            _take_part()
            return
    with user_errors(), _leading() if place.count > 1 else nullcontext():
        given = {name: value for name, value in options.items() if value is not None}
        if "cell_option" in given:
            given["cell_option"] = dict(map(_named_value, given["cell_option"]))
        resolved, why = None, ""
        if resume is not None:
            flags = {
                "overwrite": overwrite or None,
                "find_lr": find_lr or None,
                "seeds": seeds,
                "sweep": sweep or None,
            }
            _refuse_with_resume(source, out, preset_name, config, {**given, **flags})
        elif source is None:
            raise OptionError("name the training data: throughtime train FILE.txt (or --resume RUN)")
        else:
            from throughtime.recognition import settle

            layers = [preset(preset_name)] if preset_name else []
            layers += [read_options(config)] if config else []
            if seeds is not None or sweep:
                for flag, is_given in {"--overwrite": overwrite, "--find-lr": find_lr}.items():
                    if is_given:
                        raise OptionError(f"{flag} cannot be given with --sweep or --seeds")
                _sweep(source, out, given, preset_name, layers, seeds, sweep or [], quiet, as_json)
                return
            resolved, why = settle(source, given, *layers)

        import_torch()
        from throughtime.training import Interrupted
        from throughtime.training.progress import ConsoleProgress, Progress

        console = error_console()
        show = Progress() if quiet else ConsoleProgress(console)
        if find_lr:
            assert resolved is not None
            _find_learning_rate(resolved, why, out, overwrite, show, as_json)
            return
        try:
            if resume is not None:
                from throughtime.training import resume as resume_training

                changed = {name: given.get(name) for name in _CHANGEABLE}
                finished, position = resume_training(resume, show, **changed)
            else:
                from throughtime.training import start

                assert resolved is not None
                finished, position = start(resolved, out, show, why, overwrite)
        except Interrupted as stop:
            console.print(
                f"Stopped and saved at step {stop.step:,}. "
                f"Go on with: throughtime train --resume {stop.folder}",
                soft_wrap=True,
            )
            raise typer.Exit(128 + stop.signal_number) from None
    if as_json:
        objective = finished.objective
        print_json(
            {
                "run": str(finished.folder),
                "steps": position.step,
                "epochs": position.epoch,
                "tokens": position.tokens,
                "seconds": round(position.seconds, 3),
                f"best_{objective}": position.best,
            }
        )
    elif not quiet:
        console.print(f"Saved in {finished.folder}. {finished.next_command()}", soft_wrap=True)


def _sweep(
    source: str,
    out: Path | None,
    given: dict[str, Any],
    preset_name: str | None,
    layers: list[dict[str, Any]],
    seeds: int | None,
    sweep: list[str],
    quiet: bool,
    as_json: bool,
) -> None:
    """Train every combination of options with every seed."""
    from throughtime.cli.sweep import run_sweep
    from throughtime.pictures import require_matplotlib
    from throughtime.recognition import settle

    import_torch()
    require_matplotlib()
    named = {"preset": preset_name, "layers": layers}

    def settled(options: dict[str, Any]) -> tuple[RunConfig, str]:
        return settle(source, options, *layers)

    run_sweep(source, out, given, named, seeds, sweep, settled, quiet, as_json)


def _leading() -> AbstractContextManager[Any]:
    """The first of several processes from the beginning, so that the others hear of any error."""
    import_torch()
    from throughtime.training.processes import joined

    return joined(lambda _: None)


def _take_part() -> None:
    """Train with the first of several processes, which knows what, and says all that there is to say."""
    import_torch()
    from throughtime.training import Interrupted, follow

    try:
        follow()
    except Interrupted as stop:
        raise typer.Exit(128 + stop.signal_number) from None


def _find_learning_rate(
    config: RunConfig, why: str, out: Path | None, overwrite: bool, show: Progress, as_json: bool
) -> None:
    """Sweep, and print what the loss was at each rate; the picture is all that is kept."""
    from throughtime.pictures.writing import write_picture
    from throughtime.training.rate_sweep import sweep_rates

    picture = out or Path("learning-rate.png")
    if picture.suffix.lower() not in (".png", ".svg", ".pdf"):
        raise OptionError(
            f"--find-lr leaves a picture and no run: let --out name a .png, .svg or .pdf, not {out}"
        )
    if out is not None and out.exists() and not overwrite:
        raise OptionError(f"{out} exists already: choose another --out, or replace it with --overwrite")
    show.recognised(why)
    found = sweep_rates(config, show)
    write_picture(picture, found.figure())
    if as_json:
        print_json({**found.as_dict(), "picture": str(picture)})
        return
    print("learning rate  loss")
    for rate, loss in found.rows():
        print(f"{rate:<13.1e}  {loss:.4f}")
    said = "the loss did not fall clearly at any rate, so none is suggested: more data in a batch shows more"
    if found.suggestion is not None:
        said = f"suggestion: --learning-rate {found.suggestion:g} (now {found.current:g})"
    print(f"{said}; the curve is in {picture}")


def command() -> Callable[..., None]:
    """The typer command, with an option for each field of the config."""
    # The data is the command's argument.
    fields = {name: tasks for name, tasks in every_option().items() if name != "source"}

    def train(**arguments: Any) -> None:
        arguments.pop("help_all")
        options = {name: arguments.pop(name) for name in ("task", *fields)}
        run(options=options, **arguments)

    parameters = [
        _parameter(
            "source",
            Optional[str],
            typer.Argument(help="The file or folder; or a pattern in quotes, or a URL.", show_default=False),
        ),
        _parameter(
            "out", Optional[Path], typer.Option("--out", "-o", help="Run folder (default: runs/NAME-DATE).")
        ),
        _parameter(
            "resume", Optional[Path], typer.Option("--resume", metavar="RUN", help="Go on with this run.")
        ),
        _parameter(
            "task",
            Optional[str],
            typer.Option(
                "--task",
                metavar="|".join(CONFIGS),
                help="What to learn (default: what the data is for).",
            ),
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
        _parameter(
            "overwrite",
            bool,
            typer.Option("--overwrite", help="Replace the run that is in --out."),
            False,
        ),
        _parameter(
            "help_all",
            bool,
            typer.Option(
                "--help-all", is_eager=True, callback=_show_help, help="Show the options of all tasks."
            ),
            False,
        ),
        _parameter(
            "find_lr",
            bool,
            typer.Option(
                "--find-lr",
                help="Train nothing: try learning rates in a short sweep, draw the losses, suggest a rate.",
            ),
            False,
        ),
        _parameter(
            "seeds",
            Optional[int],
            typer.Option(
                "--seeds",
                min=1,
                metavar="N",
                help="Train with so many seeds, side by side.",
            ),
        ),
        _parameter(
            "sweep",
            Optional[list[str]],
            typer.Option(
                "--sweep",
                metavar="NAME=A,B",
                help="Train with every combination of such values.",
            ),
        ),
        _parameter(
            "processes",
            Optional[int],
            typer.Option(
                "--processes",
                metavar="N",
                help="Train in N processes on this machine.",
            ),
        ),
        _parameter("quiet", bool, typer.Option("--quiet", "-q", help="Show no progress."), False),
        _parameter("as_json", bool, typer.Option("--json", help="Print a summary as JSON."), False),
    ]
    parameters += [_option(name, tasks) for name, tasks in fields.items()]
    train.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    train.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return train


def _show_help(ctx: typer.Context, wanted: bool) -> None:
    """Show the help that `TrainCommand` makes of the command line."""
    if wanted:
        typer.echo(ctx.get_help())
        raise typer.Exit


def _option(name: str, tasks: dict[str, tuple[str, FieldInfo]]) -> inspect.Parameter:
    """The flag of an option, described once where its tasks agree and for each where they differ."""
    flag = "--" + name.replace("_", "-")
    section, field = next(iter(tasks.values()))
    # Set ranges and choices are pydantic's to check, so that config files and the API get the same errors.
    kinds = list(dict.fromkeys(kind for _, field in tasks.values() for kind in _kinds(field.annotation)))
    choices = dict.fromkeys(
        choice for kind in kinds if get_origin(kind) is Literal for choice in get_args(kind)
    )
    others = [kind for kind in kinds if get_origin(kind) is not Literal]
    kind, metavar = (str, "|".join(_any_other(others) + list(choices))) if choices else (others[0], None)
    if get_origin(kind) is dict:
        kind, metavar = list[str], "NAME=VALUE"
    if get_origin(kind) is list:
        kind, metavar = list[str], metavar or "|".join(get_args(get_args(kind)[0])) or None
    texts: dict[str, list[str]] = {}
    for task, (_, field) in tasks.items():
        default = "" if field.default in (None, "", {}, []) else f" (default {_shown(field.default)})"
        texts.setdefault(f"{field.description}{default}", []).append(task)
    help_text = next(iter(texts))
    if len(texts) > 1:
        help_text = " ".join(f"{', '.join(names)}: {text}" for text, names in texts.items())
    option = typer.Option(
        f"{flag}/--no-{flag[2:]}" if kind is bool else flag,
        help=help_text,
        metavar=metavar,
        rich_help_panel=_panel(section, tasks),
        show_default=False,
    )
    return _parameter(name, Optional[kind], option)


def _any_other(kinds: list[Any]) -> list[str]:
    """How a help writes what an option takes besides its choices."""
    return [{str: "FILE"}.get(kinds[0], "N")] if kinds else []


def _named_value(text: str) -> tuple[str, Any]:
    """NAME=VALUE as the command line has it; the value is a number or true or false where it reads as one."""
    name, equals, value = text.partition("=")
    if not equals or not name.isidentifier():
        raise OptionError(f"--cell-option {text!r} is not NAME=VALUE, as in --cell-option rounds=4")
    if value in ("true", "false"):
        return name, value == "true"
    for kind in (int, float):
        with suppress(ValueError):
            return name, kind(value)
    return name, value


def _panel(section: str, tasks: dict[str, Any]) -> str:
    """Options of all tasks by section, those of some under the tasks' names."""
    if len(tasks) in (1, len(CONFIGS)) and len(CONFIGS) > 1:
        return f"{section.capitalize()} options" if len(tasks) > 1 else f"Only for a {next(iter(tasks))}"
    return f"{section.capitalize()} options"


def _kinds(annotation: Any) -> list[Any]:
    """The types of a field, without None and without the ranges that are annotated."""
    if get_origin(annotation) is Annotated:
        return _kinds(get_args(annotation)[0])
    if get_origin(annotation) is Union or type(annotation).__name__ == "UnionType":
        return [kind for part in get_args(annotation) if part is not type(None) for kind in _kinds(part)]
    return [annotation]


def _shown(value: Any) -> str:
    return {True: "on", False: "off"}[value] if isinstance(value, bool) else str(value)


def _parameter(name: str, kind: Any, info: Any, default: Any = None) -> inspect.Parameter:
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[kind, info]
    )


def _refuse_with_resume(
    source: str | None, out: Path | None, preset_name: str | None, config: Path | None, given: dict[str, Any]
) -> None:
    refused = {"FILE": source, "--out": out, "--preset": preset_name, "--config": config}
    refused |= {
        "--" + name.replace("_", "-"): value for name, value in given.items() if name not in _CHANGEABLE
    }
    for name, value in refused.items():
        if value is not None:
            raise OptionError(
                f"{name} cannot be given with --resume: a run goes on with the options in its config.toml "
                f"(--epochs may grow; --threads, --device, --checkpoint-seconds and --track may change)"
            )
