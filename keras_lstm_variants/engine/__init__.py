"""The time loop: how a cell runs over a sequence, and nothing about cells."""

from keras_lstm_variants.engine.dispatch import output_size, run
from keras_lstm_variants.engine.graphs import compiled, gradient, weight_gradients
from keras_lstm_variants.engine.loop import Result, is_ragged
from keras_lstm_variants.engine.summary import Writer
from keras_lstm_variants.engine.wiring import Part, wiring
from keras_lstm_variants.engine.xla import replica_count

__all__ = [
    "Part",
    "Result",
    "Writer",
    "compiled",
    "gradient",
    "is_ragged",
    "output_size",
    "replica_count",
    "run",
    "weight_gradients",
    "wiring",
]
