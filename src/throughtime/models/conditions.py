"""Categories and numbers beside an example, as one vector."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from throughtime.program.network import Port


class Conditioned(nn.Module):
    """Embeddings and numbers, added up: sum of E_k[category_k] + V (numbers - mean) / deviation + b.

    Args:
        categories: how many values each of K has.
        numbers: (mean, deviation) of each of R.
        width: of the vector.
    """

    mean: Tensor
    deviation: Tensor
    _counts: tuple[int, ...]

    def __init__(
        self, categories: tuple[int, ...], numbers: tuple[tuple[float, float], ...], width: int
    ) -> None:
        super().__init__()
        self._counts = categories
        self.embeddings = nn.ModuleList(nn.Embedding(count, width) for count in categories)
        self.numbers = nn.Linear(len(numbers), width) if numbers else None
        if numbers:
            self.register_buffer("mean", torch.tensor([mean for mean, _ in numbers]))
            self.register_buffer("deviation", torch.tensor([deviation for _, deviation in numbers]))

    def together(self, categories: tuple[Tensor, ...], numbers: Tensor | None) -> Tensor:
        """(B, width).

        Args:
            categories: K of (B,) int64.
            numbers: (B, R) float, or None.
        """
        parts = [table(rows) for table, rows in zip(self.embeddings, categories, strict=True)]
        if self.numbers is not None and numbers is not None:
            parts.append(self.numbers((numbers - self.mean) / self.deviation))
        entered = parts[0]
        for part in parts[1:]:
            entered = entered + part
        return entered

    def ports(self) -> list[Port]:
        """What a function takes to compute it: a category each, then all numbers."""
        ports = [
            Port(f"category_{place}", "int64", ("B",), "the number of a condition's value", count)
            for place, count in enumerate(self._counts)
        ]
        if self.numbers is not None:
            wide = self.numbers.in_features
            ports.append(Port("numbers", "float32", ("B", wide), "conditions as they are"))
        return ports

    def of_ports(self, given: tuple[Tensor, ...]) -> tuple[tuple[Tensor, ...], Tensor | None]:
        """The arguments of `together` from the inputs that `ports` names."""
        count = len(self.embeddings)
        return given[:count], given[count] if self.numbers is not None else None
