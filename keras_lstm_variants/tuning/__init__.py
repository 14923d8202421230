"""Search over variants, sizes and forget biases with Keras Tuner.

`RecurrentHyperModel` is a whole search space; `hp_variant`, `hp_forget_bias` and
`hp_recurrent_stack` are parts of one, for build functions of one's own. `make_tuner` runs
either.
"""

from keras_lstm_variants._standardize import statistics_of
from keras_lstm_variants.tuning.hypermodel import RecurrentHyperModel
from keras_lstm_variants.tuning.parameters import hp_forget_bias, hp_recurrent_stack, hp_variant
from keras_lstm_variants.tuning.tuner import SearchError, make_tuner

__all__ = [
    "RecurrentHyperModel",
    "SearchError",
    "hp_forget_bias",
    "hp_recurrent_stack",
    "hp_variant",
    "make_tuner",
    "statistics_of",
]
