"""throughtime caption"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from throughtime.cli.backend import Backend, Precision, Threads
from throughtime.cli.terminal import Raw, error_console, json_text, user_errors, write

HELP = """
Write a caption for each picture, with a trained captioner.

Inputs are pictures, folders of pictures, or .npz files of ready features; "-"
reads paths from standard input and answers as they come.

\b
Examples:
  throughtime caption runs/photos photo.jpg
  throughtime caption runs/photos holiday/ --json > captions.jsonl
  throughtime caption runs/photos photo.jpg --beam 10 --show captioned.png
  throughtime caption runs/photos photo.jpg --temperature 0.8 --seed 3
"""


def caption(
    run: Annotated[Path, typer.Argument(help="The run folder.", show_default=False)],
    inputs: Annotated[
        list[str], typer.Argument(help="Pictures or folders; - is standard input.", show_default=False)
    ],
    beam: Annotated[
        int | None, typer.Option(min=1, help="Beginnings kept; 1 is greedy.", show_default="the run's")
    ] = None,
    length_penalty: Annotated[
        float | None, typer.Option(min=0, help="Higher for longer captions.", show_default="the run's")
    ] = None,
    word_reward: Annotated[
        float | None,
        typer.Option(min=0, help="Nats for each word, up to a length.", show_default="the run's"),
    ] = None,
    consensus: Annotated[
        bool | None,
        typer.Option(
            "--consensus/--no-consensus",
            help="Pick the caption that agrees best with the rest of the beam.",
            show_default="the run's",
        ),
    ] = None,
    n_best: Annotated[
        int, typer.Option("--n-best", min=1, help="Write so many captions, with their log-probabilities.")
    ] = 1,
    temperature: Annotated[
        float | None,
        typer.Option(min=0, help="Draw the words instead of searching for them.", show_default=False),
    ] = None,
    top_k: Annotated[int, typer.Option(min=0, help="Draw from the K most probable words; 0 is off.")] = 0,
    top_p: Annotated[float, typer.Option(help="Draw from the words that hold this probability.")] = 1.0,
    seed: Annotated[int, typer.Option(min=0, help="Seeds the drawing.")] = 0,
    show: Annotated[
        Path | None,
        typer.Option(
            metavar="OUT.png",
            help="Write the picture with its caption, and with attention where the model looked.",
            show_default=False,
        ),
    ] = None,
    influence: Annotated[
        Path | None,
        typer.Option(
            metavar="OUT.png",
            help="Draw how much the picture, and each word before, mattered to each word.",
            show_default=False,
        ),
    ] = None,
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Leave out pictures that cannot be read, with a count.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="JSON Lines: one object for each picture.")] = False,
    raw: Raw = False,
    backend: Backend = "native",
    precision: Precision = None,
    threads: Threads = 0,
) -> None:
    """Open the run and write captions."""
    with user_errors():
        from throughtime.data.tables import BadRows
        from throughtime.errors import OptionError
        from throughtime.generation import SamplingOptions
        from throughtime.tasks.captioner.run import CaptionerRun

        sampling = None
        if temperature is not None:
            sampling = SamplingOptions(temperature=temperature, top_k=top_k, top_p=top_p)
        elif top_k or top_p != 1:
            raise OptionError("--top-k and --top-p are for drawing: give a --temperature as well")
        opened = CaptionerRun.open(run, backend, precision, threads)
        width = opened.config.model.beam if beam is None else beam
        if n_best > 1 and (sampling is not None or n_best > width):
            raise OptionError(f"--n-best {n_best} needs a --beam of {n_best} or more, and no --temperature")
        bad = BadRows(skip_bad)
        several = len(inputs) > 1 or inputs == ["-"] or Path(inputs[0]).is_dir()
        wants = influence is not None
        if several and (show is not None or wants):
            raise OptionError("--show and --influence draw one picture: name a single one")
        for found in opened.caption(
            inputs,
            beam,
            length_penalty,
            sampling,
            seed,
            bad=bad,
            with_influence=wants,
            word_reward=word_reward,
            consensus=consensus,
        ):
            if as_json:
                facts: dict[str, Any] = {
                    "image": found.image,
                    "caption": found.text,
                    "log_probability": found.log_probability,
                }
                if n_best > 1:
                    facts["n_best"] = [
                        {"caption": text, "log_probability": value}
                        for text, value in found.alternatives[:n_best]
                    ]
                typer.echo(json_text(facts))
            elif n_best > 1:
                for text, value in found.alternatives[:n_best]:
                    write(f"{f'{found.image}: ' if several else ''}{value:.4f}\t{text}", raw=raw)
            else:
                write(f"{found.image}: {found.text}" if several else found.text, raw=raw)
            if show is not None:
                _draw(show, found)
            if influence is not None:
                _draw_influence(influence, found)
        if bad.count:
            error_console().print(bad.summary(), style="yellow", soft_wrap=True)


def _draw(path: Path, found: Any) -> None:
    from throughtime.data.images import open_image
    from throughtime.tasks.captioner.picture import draw_caption

    draw_caption(path, open_image(found.image), found.text, found.words, found.attention)
    error_console().print(f"Drawn in {path}", soft_wrap=True)


def _draw_influence(path: Path, found: Any) -> None:
    from throughtime.inspection.influence import shares
    from throughtime.pictures.alignment import draw_alignment

    columns = ["(image)", "START", *found.words]
    draw_alignment(shares(found.influence), columns, [*found.words, "END"], path, "share of the influence")
    error_console().print(f"Drawn in {path}", soft_wrap=True)


def command() -> Callable[..., None]:
    """The typer command."""
    return caption
