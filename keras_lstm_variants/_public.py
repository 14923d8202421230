"""The public names of the package; importing them registers every class."""

from keras_lstm_variants import _require  # noqa: F401, first: it says what is missing

# isort: split
from keras_lstm_variants import callbacks, initializers, plots
from keras_lstm_variants._version import __version__
from keras_lstm_variants.analysis.attribution import Attribution, attribution
from keras_lstm_variants.analysis.describe import describe
from keras_lstm_variants.analysis.gate_history import GateHistory, gate_history
from keras_lstm_variants.cells import *  # noqa: F403
from keras_lstm_variants.cells import __all__ as _cells
from keras_lstm_variants.core.bases import AffineCell, GatedCell
from keras_lstm_variants.core.cell import Cell
from keras_lstm_variants.core.registry import get_variant, list_variants
from keras_lstm_variants.core.state import SideInput, State
from keras_lstm_variants.generative import *  # noqa: F403
from keras_lstm_variants.generative import __all__ as _generative
from keras_lstm_variants.layers import standardize  # noqa: F401, Keras must know its classes
from keras_lstm_variants.layers.cell_layer import CellLayer
from keras_lstm_variants.layers.recurrent_layer import RecurrentLayer
from keras_lstm_variants.layers.registration import register
from keras_lstm_variants.layers.stateful import get_states, reset_states, set_states

# isort: split
from keras_lstm_variants import testing  # it checks what all of these make

__all__ = [  # noqa: PLE0604
    "AffineCell",
    "Attribution",
    "Cell",
    "CellLayer",
    "GateHistory",
    "GatedCell",
    "RecurrentLayer",
    "SideInput",
    "State",
    "__version__",
    "attribution",
    "callbacks",
    "describe",
    "gate_history",
    "get_states",
    "get_variant",
    "initializers",
    "list_variants",
    "plots",
    "register",
    "reset_states",
    "set_states",
    "testing",
    *_cells,
    *_generative,
]
