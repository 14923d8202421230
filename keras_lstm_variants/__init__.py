"""LSTM variants from the literature, for Keras 3 on TensorFlow.

Each variant is a cell for `keras.layers.RNN` and a layer of its own:

    >>> import keras, keras_lstm_variants as klv
    >>> model = keras.Sequential([keras.Input((None, 3)), klv.PeepholeLSTM(8)])
    >>> model.output_shape
    (None, 8)
"""

import importlib.util
import sys
from typing import Any

from keras_lstm_variants import _loading
from keras_lstm_variants._version import __version__  # noqa: F401

if not _loading.puts_off():
    from keras_lstm_variants._public import *  # noqa: F403
    from keras_lstm_variants._public import __all__  # noqa: F401


def __getattr__(name: str) -> Any:
    """`klv.tuning` is imported when it is first used: it brings Keras Tuner along."""
    if name == "tuning":
        return importlib.import_module("keras_lstm_variants.tuning")
    # Names of modules are left to the import that asks for them.
    if _loading.is_waiting() and importlib.util.find_spec(f"{__name__}.{name}") is None:
        _loading.load()
        return getattr(sys.modules[__name__], name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
