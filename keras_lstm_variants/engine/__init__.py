"""The time loop: how a cell runs over a sequence, and nothing about cells."""

from keras_lstm_variants.engine.data import is_dataset, is_distributed, of_shape, required
from keras_lstm_variants.engine.dispatch import output_size, run
from keras_lstm_variants.engine.graphs import (
    compiled,
    current_graph,
    gradient,
    is_eager,
    weight_gradients,
)
from keras_lstm_variants.engine.loop import Result, is_ragged
from keras_lstm_variants.engine.recording import recorded, recording_of
from keras_lstm_variants.engine.summary import Writer
from keras_lstm_variants.engine.wiring import Operation, Part, wiring
from keras_lstm_variants.engine.xla import replica_count

__all__ = [
    "Operation",
    "Part",
    "Result",
    "Writer",
    "compiled",
    "current_graph",
    "gradient",
    "is_dataset",
    "is_distributed",
    "is_eager",
    "is_ragged",
    "of_shape",
    "output_size",
    "recorded",
    "recording_of",
    "replica_count",
    "required",
    "run",
    "weight_gradients",
    "wiring",
]
