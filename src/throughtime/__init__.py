"""Throughtime: train, inspect and run recurrent sequence models."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from throughtime import nn
    from throughtime.cells import Cell
    from throughtime.recurrent import Recurrent

__version__ = "0.1.0"

# What needs torch is imported when it is first asked for: `import throughtime` has to stay light.
_LAZY = {
    "Cell": "throughtime.cells",
    "Recurrent": "throughtime.recurrent",
    "nn": "throughtime",
}

__all__ = ["Cell", "Recurrent", "nn"]


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'throughtime' has no attribute {name!r}")
    from importlib import import_module

    if _LAZY[name] == __name__:
        return import_module(f"{__name__}.{name}")
    return getattr(import_module(_LAZY[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAZY})
