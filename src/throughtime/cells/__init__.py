"""Recurrent cells: the equations, one family a file. Their `step` is what every fast kernel is held to."""

from throughtime.cells.cell import Cell, GatedCell, State
from throughtime.cells.gru import GRU
from throughtime.cells.lstm import LSTM
from throughtime.cells.rnn import RNN

CELLS: dict[str, type[Cell]] = {"rnn": RNN, "lstm": LSTM, "gru": GRU}

__all__ = ["CELLS", "GRU", "LSTM", "RNN", "Cell", "GatedCell", "State"]
