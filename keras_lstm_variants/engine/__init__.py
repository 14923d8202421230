"""The time loop: how a cell runs over a sequence, and nothing about cells."""

from keras_lstm_variants.engine.options import LoopOptions, Result
from keras_lstm_variants.engine.tensorflow.dispatch import (
    choices_in_graph,
    in_processing_order,
    output_size,
    run,
)
from keras_lstm_variants.engine.tensorflow.plain import is_ragged
from keras_lstm_variants.engine.tensorflow.recording import recorded, recording_of
from keras_lstm_variants.engine.tensorflow.recurring import compile_at_once
from keras_lstm_variants.engine.tensorflow.sizes import fitted, fitted_call, of_one_batch

__all__ = [
    "LoopOptions",
    "Result",
    "choices_in_graph",
    "compile_at_once",
    "fitted",
    "fitted_call",
    "in_processing_order",
    "is_ragged",
    "of_one_batch",
    "output_size",
    "recorded",
    "recording_of",
    "run",
]
