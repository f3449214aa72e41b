"""Programs: small typed graphs that are captured from a cell's PyTorch definition, and all else runs."""

from throughtime.program.operations import OPERATIONS, Type
from throughtime.program.program import CellProgram, Function, Node, cell_from_json, cell_to_json

__all__ = ["OPERATIONS", "CellProgram", "Function", "Node", "Type", "cell_from_json", "cell_to_json"]
