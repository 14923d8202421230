"""The only module that may look for Keras's private code, or know its private names."""

import sys
from contextlib import contextmanager
from typing import Any

import keras

from keras_lstm_variants.core.startup import fail

__all__ = [
    "TRAINER_FUNCTIONS",
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

# Where it was last seen, Keras 3.12 to 3.16.
_PLACES = ("keras.src.backend.common.variables", "keras.src.backend.common.masking")


def find(name: str) -> Any:
    """A private function or class of Keras, wherever it is now; one clear line where it is gone."""
    # Keras's own layers use what we need: the module that defines it is loaded.
    others = (m for m in list(sys.modules) if m.split(".")[0] == "keras")
    for place in (*_PLACES, *others):
        found = getattr(sys.modules.get(place), name, None)
        if found is not None:
            return found
    return _gone(name)


def base_of(cls: type, name: str) -> type:
    """The class of this name from which a public class of Keras inherits."""
    for base in cls.__mro__:
        if base.__name__ == name:
            return base
    return _gone(name)


def method_of(cls: type, name: str) -> Any:
    """A private method of a public class of Keras."""
    return getattr(cls, name, None) or _gone(name)


def _gone(name: str) -> Any:
    fail(
        f"keras_lstm_variants needs `{name}`, which Keras {keras.__version__} no longer has. It "
        "was written for Keras 3.12 to 3.16: install one of these, or a newer keras_lstm_variants."
    )


# What a layer's `__call__` does for mixed precision. A gradient runs after the call.
AutocastScope = find("AutocastScope")

get_keras_mask = find("get_keras_mask")
set_keras_mask = find("set_keras_mask")

# `keras.layers.RNN` prepares dropout masks before its loop only for instances of
# this class, and Keras does not export it.
DropoutRNNCell = base_of(keras.layers.LSTMCell, "DropoutRNNCell")

# As what a model compiles a function that is its loss.
LossFunctionWrapper = base_of(keras.losses.MeanSquaredError, "LossFunctionWrapper")

# How the names of the functions begin that `fit`, `evaluate` and `predict` run.
TRAINER_FUNCTIONS = ("one_step_on_data", "multi_step_on_")

_flatten_layers = method_of(keras.layers.Layer, "_flatten_layers")


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
    return _flatten_layers(layer)
