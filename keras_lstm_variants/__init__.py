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
from keras_lstm_variants.core import checks

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
    # An import asks for its modules here before it looks for files, and wants no hint.
    public = vars(sys.modules[__name__]).get("__all__", ())
    hint = checks.nearest(name, public) if public and not name.startswith("_") else ""
    # With its own `name` and no object Python does not add a second hint of the same kind.
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}{hint}", name=name)


def __dir__() -> list[str]:
    """The public names; `tuning` is one before it is imported, too."""
    _loading.load()
    return sorted({*vars(sys.modules[__name__])["__all__"], "tuning"})
