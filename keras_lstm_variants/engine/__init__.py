"""The time loop: how a cell runs over a sequence, and nothing about cells."""

from keras_lstm_variants.engine.data import is_dataset, is_distributed, of_shape, required
from keras_lstm_variants.engine.dispatch import (
    choices_in_graph,
    in_processing_order,
    output_size,
    run,
)
from keras_lstm_variants.engine.graphs import (
    compiled,
    current_graph,
    gradient,
    is_eager,
    weight_gradients,
)
from keras_lstm_variants.engine.loop import is_ragged
from keras_lstm_variants.engine.options import LoopOptions, Result
from keras_lstm_variants.engine.recording import recorded, recording_of
from keras_lstm_variants.engine.sizes import fitted, fitted_call, of_one_batch
from keras_lstm_variants.engine.summary import Writer
from keras_lstm_variants.engine.wiring import Operation, Part, wiring
from keras_lstm_variants.engine.xla import compiled_by_xla, in_a_loop, replica_count

__all__ = [
    "LoopOptions",
    "Operation",
    "Part",
    "Result",
    "Writer",
    "choices_in_graph",
    "compiled",
    "compiled_by_xla",
    "current_graph",
    "fitted",
    "fitted_call",
    "gradient",
    "in_a_loop",
    "in_processing_order",
    "is_dataset",
    "is_distributed",
    "is_eager",
    "is_ragged",
    "of_one_batch",
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
