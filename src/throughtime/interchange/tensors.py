"""The weights of a network by name, and the programs of its cells beside them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from throughtime.errors import RunError
from throughtime.program.program import CellProgram

Array = NDArray[Any]


class Tensors(Mapping[str, Array]):
    """The weights of a network or of a part of it; what is missing is a damaged run, not a bug.

    Args:
        arrays: by name.
        programs: of the cells that have one, by the prefix of their arrays.
    """

    def __init__(
        self, arrays: Mapping[str, Array], programs: Mapping[str, CellProgram] | None = None
    ) -> None:
        self._arrays = arrays
        self.programs = dict(programs or {})

    def __getitem__(self, name: str) -> Array:
        if name not in self._arrays:
            raise RunError(f"the weights lack {name}: they do not belong to this config.toml")
        return self._arrays[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._arrays)

    def __len__(self) -> int:
        return len(self._arrays)

    def __contains__(self, name: object) -> bool:
        return name in self._arrays

    def under(self, prefix: str) -> Tensors:
        """The part whose names begin with `prefix`, without it."""
        programs = {
            name.removeprefix(prefix): program
            for name, program in self.programs.items()
            if name.startswith(prefix)
        }
        return Tensors(under(self._arrays, prefix), programs)


def under(tensors: Mapping[str, Array], prefix: str) -> dict[str, Array]:
    """The tensors whose names begin with a prefix, without it, as float32."""
    return {
        name[len(prefix) :]: np.asarray(array, dtype=np.float32)
        for name, array in tensors.items()
        if name.startswith(prefix)
    }
