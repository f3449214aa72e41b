"""The functions of a run's program: what a damaged one does wrong is the file's fault, in one line."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from throughtime.errors import RunError
from throughtime.program.network import Functions

_LONGEST = 200


class ProgramFunctions:
    """Functions that are computed as a file says.

    Args:
        network: computes them.
        path: the file, for errors.
    """

    def __init__(self, network: Functions, path: Path) -> None:
        self._network = network
        self._path = path
        self.functions = _Known(network.functions, f"{path} has no function")

    def __call__(self, function: str, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """As of `Functions`.

        Raises:
            RunError: the function reads or gives something else than what it is used for.
        """
        ports = {port.name for port in self.functions[function].inputs}
        if ports != set(inputs):
            names = ", ".join(sorted(map(str, ports ^ set(inputs))))[:_LONGEST]
            raise RunError(f"{self._path}: {function} does not read what it is given: {names}")
        try:
            found = self._network(function, inputs)
        except (ValueError, TypeError, KeyError, AttributeError, ArithmeticError) as error:
            reason = str(error).splitlines()[0][:_LONGEST] if str(error) else type(error).__name__
            raise RunError(f"{self._path}: {function} cannot be computed: {reason}") from error
        return _Known(found, f"{self._path}: {function} does not give")


class _Known(dict[str, Any]):
    """A table that names what it lacks."""

    def __init__(self, values: Mapping[str, Any], lacks: str) -> None:
        super().__init__(values)
        self._lacks = lacks

    def __missing__(self, name: str) -> Any:
        raise RunError(f"{self._lacks} {name!r:.60}")
