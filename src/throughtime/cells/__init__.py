"""The equations of recurrent cells, one family in each file. Tests compare every kernel with `step`."""

from throughtime.cells.cell import Cell, GatedCell, State
from throughtime.cells.gru import GRU
from throughtime.cells.load import cell_class
from throughtime.cells.lstm import LSTM
from throughtime.cells.mingru import MinGRU
from throughtime.cells.mogrifier import Mogrifier
from throughtime.cells.rnn import RNN
from throughtime.cells.slstm import SLSTM

CELLS: dict[str, type[Cell]] = {
    "rnn": RNN,
    "lstm": LSTM,
    "gru": GRU,
    "mogrifier": Mogrifier,
    "mingru": MinGRU,
    "slstm": SLSTM,
}

__all__ = [
    "CELLS",
    "GRU",
    "LSTM",
    "RNN",
    "SLSTM",
    "Cell",
    "GatedCell",
    "MinGRU",
    "Mogrifier",
    "State",
    "cell_class",
]
