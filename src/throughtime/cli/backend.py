"""The options of what runs a trained network, which every command that does has."""

from __future__ import annotations

from typing import Annotated

import typer

Backend = Annotated[
    str,
    typer.Option(
        metavar="native|torch", help="What runs the network: the native runtime, without PyTorch; or PyTorch."
    ),
]
Precision = Annotated[
    str | None,
    typer.Option(
        metavar="fp32|bf16|int8",
        help="Native: how matrices are kept; bf16 and int8 are smaller and faster, and less exact. By "
        "default fp32, or what `throughtime quantize` made.",
        show_default=False,
    ),
]
Threads = Annotated[int, typer.Option(min=0, help="CPU threads; 0 leaves the choice to the backend.")]
