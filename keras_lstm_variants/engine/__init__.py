"""The time loop: how a cell runs over a sequence, and nothing about cells."""

from keras_lstm_variants.backend.cell_graph import Operation, Part, wiring
from keras_lstm_variants.backend.datasets import is_dataset, is_distributed, of_shape, required
from keras_lstm_variants.backend.graphs import (
    compiled,
    current_graph,
    gradient,
    is_eager,
    weight_gradients,
)
from keras_lstm_variants.backend.tensorboard import Writer
from keras_lstm_variants.backend.xla import compiled_by_xla, in_a_loop, replica_count
from keras_lstm_variants.engine.options import LoopOptions, Result
from keras_lstm_variants.engine.tensorflow.dispatch import (
    choices_in_graph,
    in_processing_order,
    output_size,
    run,
)
from keras_lstm_variants.engine.tensorflow.plain import is_ragged
from keras_lstm_variants.engine.tensorflow.recording import recorded, recording_of
from keras_lstm_variants.engine.tensorflow.sizes import fitted, fitted_call, of_one_batch

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
