"""throughtime import"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from throughtime.cli.terminal import print_json, print_table, user_errors

HELP = """
Make a run folder of a language model that was trained with PyTorch: an embedding
(or one-hot input), an RNN, LSTM or GRU of torch.nn, a linear layer.

The weights are a state_dict in a .safetensors or .npz file. Cell, sizes and
layers are found from names and shapes. The vocabulary is a tokenizer.json of
Throughtime, or --text: then each character that occurs in that file is a token,
in sorted order.

\b
Examples:
  throughtime import weights.safetensors --text input.txt --out runs/theirs
  throughtime import weights.npz --tokenizer tokenizer.json --out runs/theirs
"""


def import_weights(
    weights: Annotated[Path, typer.Argument(help="The file of weights.", show_default=False)],
    out: Annotated[Path, typer.Option("--out", "-o", help="The run folder to make.", show_default=False)],
    tokenizer: Annotated[
        Path | None, typer.Option(help="The vocabulary, a tokenizer.json.", show_default=False)
    ] = None,
    text: Annotated[
        Path | None,
        typer.Option(help="A text whose characters, sorted, are the vocabulary.", show_default=False),
    ] = None,
    activation: Annotated[str, typer.Option(metavar="tanh|relu", help="The activation of an RNN.")] = "tanh",
    embedding: Annotated[
        str | None,
        typer.Option(help="Name of the embedding's matrix, if it is not found.", show_default=False),
    ] = None,
    output: Annotated[
        str | None, typer.Option(help="Name of the output layer's matrix.", show_default=False)
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print what was found as JSON.")] = False,
) -> None:
    """Read the weights, infer what they are, write the run."""
    with user_errors():
        from throughtime.data import Tokenizer
        from throughtime.errors import OptionError
        from throughtime.interchange import import_language_model

        if (tokenizer is None) == (text is None):
            raise OptionError("give the vocabulary: either --tokenizer tokenizer.json, or --text input.txt")
        vocabulary = (
            Tokenizer.train("character", text) if text is not None else Tokenizer.load(tokenizer or "")
        )
        run = import_language_model(weights, vocabulary, out, activation, embedding, output)
        facts = run.describe()
    model = facts["config"]["model"]
    found = {
        "run": str(out),
        "cell": model["cell"],
        "layers": model["layers"],
        "hidden": model["hidden"],
        "projection": model["projection"],
        "embedding": model["embedding"],
        "tokens": facts["vocabulary_size"],
        "parameters": facts["parameters"],
    }
    if as_json:
        print_json(found)
    else:
        print_table(
            [(name, f"{value:,}" if isinstance(value, int) else value) for name, value in found.items()]
        )


def command() -> Callable[..., None]:
    """The typer command."""
    return import_weights
