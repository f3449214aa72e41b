"""A cell by its name, or out of the user's own file."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import sys
import traceback
from pathlib import Path
from types import ModuleType

from throughtime.cells.cell import Cell
from throughtime.errors import OptionError


def cell_class(name: str) -> type[Cell]:
    """The cell of a name.

    Args:
        name: one of `throughtime.cells.CELLS`, "FILE.py:CLASS" or "package.module:CLASS". The file or the
            module is run, as any import is.
    Raises:
        OptionError: there is no such file, module or class, it cannot be imported, or it is no `Cell`.
    """
    from throughtime.cells import CELLS

    if name in CELLS:
        return CELLS[name]
    place, colon, wanted = name.rpartition(":")
    if not colon or not place:
        raise OptionError(f"cell {name!r} is unknown: use {', '.join(CELLS)}, FILE.py:CLASS or MODULE:CLASS")
    module = _module(place)
    found = getattr(module, wanted, None)
    if found is None:
        raise OptionError(f"{place} has no {wanted!r}{_cells_in(module)}")
    if not (inspect.isclass(found) and issubclass(found, Cell)):
        raise OptionError(f"{place}: {wanted} is no throughtime.Cell{_cells_in(module)}")
    return found


def _module(place: str) -> ModuleType:
    try:
        if not place.endswith(".py"):
            return importlib.import_module(place)
        path = Path(place)
        if not path.is_file():
            raise OptionError(f"{place}: no such file (the working directory is {Path.cwd()})")
        spec = importlib.util.spec_from_file_location(f"throughtime_cells_{path.stem}", path)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module  # dataclasses and pickles of the file look there
        spec.loader.exec_module(module)
        return module
    except OptionError:
        raise
    except (Exception, SystemExit) as error:  # whatever the user's file raises while it is imported
        lines = [
            frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == place
        ]
        line = getattr(error, "lineno", None) or (lines[-1] if lines else None)
        where = f"{place} line {line}" if line else place
        first = (str(error).splitlines() or [""])[0]
        raise OptionError(f"{where}: {type(error).__name__}: {first}") from None


def _cells_in(module: ModuleType) -> str:
    names = [
        name
        for name, value in vars(module).items()
        if inspect.isclass(value) and issubclass(value, Cell) and value.__module__ == module.__name__
    ]
    return f"; its cells are {', '.join(names)}" if names else "; it has no subclass of throughtime.Cell"
