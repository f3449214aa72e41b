"""throughtime demo"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from throughtime.cli.terminal import error_console, import_torch, user_errors
from throughtime.cli.terminal import write as write_text
from throughtime.places import check_alone

if TYPE_CHECKING:
    from throughtime.cli.console import PlainConsole

HELP = """
No data at hand? Train on data that Throughtime draws itself, in about two
minutes on two cores, and see what the model learned.

Without a name, a character model trains on the source of Python's own standard
library and writes a program. The others: translation, sentiment,
vectors, captioning, sound, video, words, lines, forecasting.

\b
Examples:
  throughtime demo
  throughtime demo --data                  only write all the data, to data/
  throughtime demo video --write clips     only write this data, to clips/
  throughtime demo program --bytes 500000 --out runs/demo
"""

DATA = Path("data")


def demo(
    name: Annotated[str | None, typer.Argument(help="Which one.", show_default="program")] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Run folder.", show_default=False)] = None,
    write: Annotated[
        Path | None,
        typer.Option("--write", metavar="FOLDER", help="Only write the data there.", show_default=False),
    ] = None,
    data: Annotated[
        bool, typer.Option("--data", help=f"Only write the data of every demo, to {DATA}/ or --write.")
    ] = False,
    size: Annotated[
        int | None,
        typer.Option("--bytes", min=20_000, help="program: how much source to train on.", show_default=False),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seeds data, weights and dropout.")] = 1,
) -> None:
    """Write the data, train, show."""
    with user_errors():
        check_alone("throughtime demo")
        from rich.text import Text

        from throughtime.demos import demo_named
        from throughtime.errors import OptionError

        console = error_console()
        if data:
            if name is not None or size is not None or out is not None:
                raise OptionError("--data writes the data of every demo: it takes only --write and --seed")
            _write_all(console, write if write is not None else DATA, seed)
            return
        name = "program" if name is None else name
        chosen = demo_named(name)
        if size is not None and name != "program":
            raise OptionError("--bytes is for the demo program only")
        if write is None:
            import_torch()
        folder = write if write is not None else Path("runs") / f"demo-{name}-data"
        extra = {} if size is None else {"max_bytes": size}
        with console.status(Text(f"Writing the data to {folder}")):
            source = chosen.write(folder, seed, **extra)
        console.print(f"{chosen.SUMMARY[0].upper()}{chosen.SUMMARY[1:]}. The data: {source}", soft_wrap=True)
        if write is not None:
            flags = getattr(chosen, "FLAGS", "")
            console.print(f"Train on it: throughtime train {source} {flags}".rstrip(), soft_wrap=True)
            return

        from throughtime.config import resolve
        from throughtime.training import Interrupted, start
        from throughtime.training.progress import ConsoleProgress

        config = resolve(chosen.OPTIONS, {"source": str(source), "seed": seed})
        try:
            run, _ = start(config, out, ConsoleProgress(console))
        except Interrupted as stop:
            console.print(
                f"Stopped and saved. Go on with: throughtime train --resume {stop.folder}", soft_wrap=True
            )
            raise typer.Exit(128 + stop.signal_number) from None
        console.print(f"\nThe run is in {run.folder}.", soft_wrap=True)
        for text in chosen.show(run, folder):
            write_text(text, newline=False)


def _write_all(console: PlainConsole, folder: Path, seed: int) -> None:
    from rich.text import Text

    from throughtime.demos import DEMOS, demo_named, write_all
    from throughtime.errors import MissingExtraError

    width = max(map(len, DEMOS))
    with console.status(Text(f"Writing the data to {folder}")):
        for name, written in write_all(folder, seed):
            if isinstance(written, MissingExtraError):
                console.print(f"{name:{width}}  left out: {written}", soft_wrap=True)
            else:
                write_text(f"{name:{width}}  {written}")
                console.print(f"{'':{width}}  {demo_named(name).SUMMARY}", style="dim", soft_wrap=True)
    console.print("Train on any of them: throughtime train PATH", soft_wrap=True)


def command() -> Callable[..., None]:
    """The typer command."""
    return demo
