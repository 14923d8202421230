"""The cells and their layers, a file for each family."""

from keras_lstm_variants.cells.family import LSTMFamilyCell, PeepholeFamilyCell

# In this order `list_variants` and README's table show them.
# isort: off
from keras_lstm_variants.cells.elman import Elman, ElmanCell
from keras_lstm_variants.cells.lstm1997 import LSTM1997, LSTM1997Cell
from keras_lstm_variants.cells.lstm import LSTM, LSTMCell
from keras_lstm_variants.cells.peephole import PeepholeLSTM, PeepholeLSTMCell
from keras_lstm_variants.cells.coupled import CoupledLSTM, CoupledLSTMCell
from keras_lstm_variants.cells.gru import GRU, GRUCell
# isort: on

__all__ = [
    "GRU",
    "LSTM",
    "LSTM1997",
    "CoupledLSTM",
    "CoupledLSTMCell",
    "Elman",
    "ElmanCell",
    "GRUCell",
    "LSTM1997Cell",
    "LSTMCell",
    "LSTMFamilyCell",
    "PeepholeFamilyCell",
    "PeepholeLSTM",
    "PeepholeLSTMCell",
]
