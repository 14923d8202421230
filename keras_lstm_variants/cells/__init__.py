"""The cells and their layers, a file for each family."""

from keras_lstm_variants.core.bases import LSTMFamilyCell, PeepholeFamilyCell

# In this order `list_variants` and README's table show them.
# isort: off
from keras_lstm_variants.cells.elman import Elman, ElmanCell, SimpleRNN, SimpleRNNCell
from keras_lstm_variants.cells.lstm1997 import LSTM1997, LSTM1997Cell
from keras_lstm_variants.cells.lstm import LSTM, LSTMCell
from keras_lstm_variants.cells.peephole import PeepholeLSTM, PeepholeLSTMCell
from keras_lstm_variants.cells.coupled import CoupledLSTM, CoupledLSTMCell
from keras_lstm_variants.cells.gru import GRU, GRUCell
from keras_lstm_variants.cells.greff2015 import NIGLSTM, NIGLSTMCell, NFGLSTM, NFGLSTMCell
from keras_lstm_variants.cells.greff2015 import NOGLSTM, NOGLSTMCell, NIAFLSTM, NIAFLSTMCell
from keras_lstm_variants.cells.greff2015 import NOAFLSTM, NOAFLSTMCell, NPLSTM, NPLSTMCell
from keras_lstm_variants.cells.greff2015 import CIFGLSTM, CIFGLSTMCell, FGRLSTM, FGRLSTMCell
from keras_lstm_variants.cells.jozefowicz2015 import MUT1, MUT1Cell, MUT2, MUT2Cell, MUT3, MUT3Cell
from keras_lstm_variants.cells.depth_gated import DepthGatedLSTM, DepthGatedLSTMCell
from keras_lstm_variants.cells.clockwork import ClockworkRNN, ClockworkRNNCell
from keras_lstm_variants.cells.clockwork import ClockworkLSTM, ClockworkLSTMCell
from keras_lstm_variants.cells.grid import GridLSTM, GridLSTMCell
from keras_lstm_variants.cells.grid_sweep import GridLSTM2D, GridLSTMBlock
from keras_lstm_variants.cells.memory_gated import MemoryGatedLSTM, MemoryGatedLSTMCell
from keras_lstm_variants.cells.deep_gate import DeepGateLSTM, DeepGateLSTMCell
from keras_lstm_variants.cells.attention import AttentionLSTMCell
from keras_lstm_variants.cells.attention_layer import AttentionLSTM
from keras_lstm_variants.cells.hard_attention import HardAttentionModel
# isort: on

__all__ = [
    "CIFGLSTM",
    "FGRLSTM",
    "GRU",
    "LSTM",
    "LSTM1997",
    "MUT1",
    "MUT2",
    "MUT3",
    "NFGLSTM",
    "NIAFLSTM",
    "NIGLSTM",
    "NOAFLSTM",
    "NOGLSTM",
    "NPLSTM",
    "AttentionLSTM",
    "AttentionLSTMCell",
    "CIFGLSTMCell",
    "ClockworkLSTM",
    "ClockworkLSTMCell",
    "ClockworkRNN",
    "ClockworkRNNCell",
    "CoupledLSTM",
    "CoupledLSTMCell",
    "DeepGateLSTM",
    "DeepGateLSTMCell",
    "DepthGatedLSTM",
    "DepthGatedLSTMCell",
    "Elman",
    "ElmanCell",
    "FGRLSTMCell",
    "GRUCell",
    "GridLSTM",
    "GridLSTM2D",
    "GridLSTMBlock",
    "GridLSTMCell",
    "HardAttentionModel",
    "LSTM1997Cell",
    "LSTMCell",
    "LSTMFamilyCell",
    "MUT1Cell",
    "MUT2Cell",
    "MUT3Cell",
    "MemoryGatedLSTM",
    "MemoryGatedLSTMCell",
    "NFGLSTMCell",
    "NIAFLSTMCell",
    "NIGLSTMCell",
    "NOAFLSTMCell",
    "NOGLSTMCell",
    "NPLSTMCell",
    "PeepholeFamilyCell",
    "PeepholeLSTM",
    "PeepholeLSTMCell",
    "SimpleRNN",
    "SimpleRNNCell",
]
