"""Search over variants, sizes and forget biases with Keras Tuner.

`RecurrentHyperModel` is a whole search space; `hp_variant`, `hp_forget_bias` and
`hp_recurrent_stack` are parts of one, for build functions of one's own. `make_tuner` runs
either.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from keras_lstm_variants.layers.standardize import statistics_of
    from keras_lstm_variants.tuning.factory import make_tuner
    from keras_lstm_variants.tuning.hypermodel import RecurrentHyperModel
    from keras_lstm_variants.tuning.parameters import (
        hp_forget_bias,
        hp_recurrent_stack,
        hp_variant,
    )
    from keras_lstm_variants.tuning.tuner import SearchError

__all__ = [
    "RecurrentHyperModel",
    "SearchError",
    "hp_forget_bias",
    "hp_recurrent_stack",
    "hp_variant",
    "make_tuner",
    "statistics_of",
]

# Imported when they are used: the command's parser must not wait for them.
_MODULES = {
    "RecurrentHyperModel": "tuning.hypermodel",
    "SearchError": "tuning.tuner",
    "make_tuner": "tuning.factory",
    "statistics_of": "layers.standardize",
}


def __getattr__(name: str) -> Any:
    if name in __all__:
        module = importlib.import_module(
            f"keras_lstm_variants.{_MODULES.get(name, 'tuning.parameters')}"
        )
        return getattr(module, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
