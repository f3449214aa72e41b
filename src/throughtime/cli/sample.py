"""throughtime sample"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from throughtime.cli.backend import Backend, Precision, Threads
from throughtime.cli.terminal import Raw, error_console, print_json, unescape, user_errors, write
from throughtime.errors import OptionError

HELP = """
Let a trained model write.

The text streams to standard output as it is drawn, after the prompt. The same
seed draws the same text. A model that was trained with --lines writes whole
lines, and says how many are distinct and how many are new.

\b
Examples:
  throughtime sample runs/mine
  throughtime sample runs/mine --prompt "ROMEO:" --temperature 0.8 --seed 1
  throughtime sample runs/mine --prompt "def " --top-p 0.9 --stop "\\n\\n"
  throughtime sample runs/mine --samples 5 --json
  throughtime sample runs/names --condition country=Korean --samples 20
  throughtime sample runs/mine --prompt "The " --beam 8 --length 40
"""


def sample(
    run: Annotated[Path, typer.Argument(help="The run folder.", show_default=False)],
    prompt: Annotated[
        str,
        typer.Option(
            "--prompt", "--prefix", "--prime", "-p", help=r"Text to begin with; \n and \t are understood."
        ),
    ] = "",
    length: Annotated[int, typer.Option("--length", "-n", help="Tokens to write, at most.")] = 500,
    temperature: Annotated[
        float, typer.Option("--temperature", "-t", help="Below 1 safer, above 1 bolder, 0 greedy.")
    ] = 1.0,
    greedy: Annotated[bool, typer.Option("--greedy", help="Always take the most probable token.")] = False,
    top_k: Annotated[int, typer.Option(help="Draw from the k most probable tokens only; 0 is off.")] = 0,
    top_p: Annotated[float, typer.Option(help="Draw from the top tokens that hold this probability.")] = 1.0,
    min_p: Annotated[
        float, typer.Option(help="Drop tokens below this share of the best one's chance.")
    ] = 0.0,
    repetition_penalty: Annotated[
        float, typer.Option(help="Above 1 makes tokens less likely once they have occurred.")
    ] = 1.0,
    beam: Annotated[
        int, typer.Option(help="Search the most probable text with so many beams instead of drawing.")
    ] = 0,
    stop: Annotated[
        list[str] | None, typer.Option(help=r"End before this text; may be given several times.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Seeds the draws.", show_default=False)] = None,
    samples: Annotated[int, typer.Option("--samples", help="Texts to write, in one batch.")] = 1,
    condition: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=VALUE",
            help="Lines: what steers them, as in country=Korean; once for each condition.",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the texts as JSON.")] = False,
    raw: Raw = False,
    backend: Backend = "native",
    precision: Precision = None,
    threads: Threads = 0,
) -> None:
    """Open the run and write."""
    with user_errors():
        from throughtime.cli.lines import conditions_of, sample_lines
        from throughtime.generation.text import random_seed
        from throughtime.tasks.language_model.line_run import LineModelRun
        from throughtime.tasks.language_model.run import LanguageModelRun

        prompt, stops = unescape(prompt), [unescape(text) for text in stop or []]
        opened = LanguageModelRun.open(run, backend, precision, threads)
        if beam and (beam < 0 or samples > 1):
            raise OptionError("--beam must be 1 or above, and finds one text: leave out --samples")
        conditions = conditions_of(opened, condition)
        drawn_seed = random_seed() if seed is None else seed
        sampling: dict[str, Any] = {
            "temperature": 0.0 if greedy else temperature,
            "top_k": top_k,
            "top_p": top_p,
            "min_p": min_p,
            "repetition_penalty": repetition_penalty,
        }
        if opened.is_unfinished:
            error_console().print(
                "training stopped before its first evaluation: these are the weights of its checkpoint",
                style="yellow",
            )
        says_seed = seed is None and not greedy and not as_json
        if isinstance(opened, LineModelRun):
            sample_lines(
                opened, prompt, length, samples, drawn_seed, stops, beam, conditions, as_json, raw, sampling
            )
            if says_seed and not beam:
                error_console().print(f"seed {drawn_seed}", style="dim")
            return
        if beam:
            found = opened.beam(prompt, length, beam, stops)
            if as_json:
                print_json({"prompt": prompt, "beam": [{"text": t, "log_probability": p} for t, p in found]})
            else:
                write(prompt + found[0][0], raw=raw)
            return
        pieces = opened.stream(prompt, length, samples, drawn_seed, stops, **sampling)
        if samples == 1 and not as_json:
            # The model is loaded at the first piece: its errors come before any output.
            first = next(pieces, (0, ""))[1]
            write(prompt + first, newline=False, raw=raw)
            for _, text in pieces:
                write(text, newline=False, raw=raw)
            write("")
        else:
            written: dict[int, str] = {}
            for row, text in pieces:
                written[row] = written.get(row, "") + text
            texts = [written.get(row, "") for row in range(samples)]
            if as_json:
                print_json({"prompt": prompt, "seed": drawn_seed, "texts": texts})
            else:
                for row, text in enumerate(texts):
                    typer.secho(f"--- sample {row + 1} of {samples}", dim=True)
                    write(prompt + text, raw=raw)
        if says_seed:
            error_console().print(f"seed {drawn_seed}", style="dim")


def command() -> Callable[..., None]:
    """The typer command."""
    return sample
