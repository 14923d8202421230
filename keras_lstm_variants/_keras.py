"""The only module that may import Keras's private code, or know its private names."""

from contextlib import contextmanager
from typing import Any

# What a layer's `__call__` does for mixed precision. A gradient runs after the call.
from keras.src.backend import AutocastScope, get_keras_mask
from keras.src.backend.common.masking import set_keras_mask

# `keras.layers.RNN` prepares dropout masks before its loop only for instances of
# this class, and Keras does not export it.
from keras.src.layers.rnn.dropout_rnn_cell import DropoutRNNCell

# As what a model compiles a function that is its loss.
from keras.src.losses.losses import LossFunctionWrapper

__all__ = [
    "AutocastScope",
    "DropoutRNNCell",
    "LossFunctionWrapper",
    "dropout_masks",
    "dropout_masks_as",
    "get_keras_mask",
    "layers_of",
    "own_variables",
    "set_keras_mask",
]


def dropout_masks(cell: DropoutRNNCell) -> tuple[Any, Any]:
    """The masks that the cell holds now, of its inputs and of its state; None without."""
    return getattr(cell, "_dropout_mask", None), getattr(cell, "_recurrent_dropout_mask", None)


@contextmanager
def dropout_masks_as(cell: DropoutRNNCell, masks: tuple[Any, Any]):
    """While active, the cell holds these masks."""
    before = dropout_masks(cell)
    cell._dropout_mask, cell._recurrent_dropout_mask = masks
    try:
        yield
    finally:
        cell._dropout_mask, cell._recurrent_dropout_mask = before


def own_variables(layer: Any) -> list[Any]:
    """The layer's variables without those of layers in it, in the order of saved files."""
    return [*layer._trainable_variables, *layer._non_trainable_variables]


def layers_of(layer: Any) -> list[Any]:
    """The layer and all layers inside it."""
    return layer._flatten_layers()
