"""Checks of layers and models as arguments, and of what their calls are given."""

from typing import Any

import keras
from keras import ops

from keras_lstm_variants.core import checks


def as_mask(name: str, value: Any) -> Any:
    """A mask as a tensor of bools, or a `ValueError`; None stays None.

    Whole numbers are taken as Keras takes them: 0 is False. Others look like a mask, and are
    weights, or are to be added to something.
    """
    if value is None:
        return None
    dtype = "?"
    try:
        found = value if isinstance(value, keras.KerasTensor) else ops.convert_to_tensor(value)
        dtype = keras.backend.standardize_dtype(found.dtype)
    except (TypeError, ValueError):
        found = None
    if dtype != "bool" and "int" not in dtype:
        got = repr(value) if found is None else f"{name} of the dtype {dtype}"
        raise ValueError(
            f"`{name}` must be of the dtype bool: True for what counts. Received: {got}"
        )
    # A symbol only tells its shape.
    return found if isinstance(found, keras.KerasTensor) else ops.cast(found, "bool")


def check_training(value: Any) -> None:
    """A `ValueError` unless `training` is True, False or None."""
    if value is not None and (not ops.is_tensor(value) or value.shape != ()):
        checks.flag("training", value)


def check_model(value: Any) -> None:
    """A `ValueError` unless `model` is a layer or a model."""
    if not isinstance(value, keras.layers.Layer):
        raise ValueError(f"`model` must be a layer or a model. Received: model={value!r}")


def check_states(owner: str, states: Any) -> None:
    """A `ValueError` unless `initial_state` is a tensor or a structure of tensors."""
    if not all(map(_is_tensor, keras.tree.flatten(states))):
        raise ValueError(
            f"`initial_state` of {owner} must be a list of tensors (batch, size), one for each "
            f"state. Received: initial_state={states!r}"
        )


def _is_tensor(value: Any) -> bool:
    if not hasattr(value, "shape") or not hasattr(value, "dtype"):
        return False
    name = str(getattr(value.dtype, "name", value.dtype))
    return any(kind in name for kind in ("float", "int", "bool"))
