"""How `gate_history` and `attribution` call a model: its arguments, tensors and masks."""

import inspect
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_lstm_variants.backend import graphs
from keras_lstm_variants.core import checks
from keras_lstm_variants.core.keras_private import get_keras_mask, set_keras_mask
from keras_lstm_variants.core.state import side_inputs_of
from keras_lstm_variants.layers.recurrent_layer import RecurrentLayer

# One thread at a time replaces methods of layers.
_replacing = threading.RLock()


def check_arguments(model: keras.layers.Layer, call_arguments: dict[str, Any]) -> None:
    """A `ValueError` for arguments that the model's call would ignore, or fail at."""
    checks.flag("training", call_arguments.get("training", False))
    parameters = inspect.signature(model.call).parameters.values()
    known: list[str] | None = [p.name for p in parameters if p.kind is not p.VAR_KEYWORD][1:]
    others = len(known) + 1 < len(parameters)
    if isinstance(model, RecurrentLayer):
        known += side_inputs_of(model.cell)
    # Functional and sequential models accept any name, and do nothing with it.
    elif others and type(model).call.__module__.split(".")[0] != "keras":
        known = None
    for name in call_arguments:
        if known is not None and name not in (*known, "training"):
            raise ValueError(
                f"`{name}` is no argument of the call of {model.name}, which takes {known}. "
                f"Received: {name}={type(call_arguments[name]).__name__}"
            )


def as_tensors(x: Any) -> Any:
    """The input of a model as tensors, or a `ValueError`."""
    try:
        tensors = keras.tree.map_structure(ops.convert_to_tensor, x)
    except (TypeError, ValueError) as error:
        raise ValueError(f"`x` must be arrays, as the model takes them: {error}") from error
    leaves = keras.tree.flatten(tensors)
    if not leaves or not all(hasattr(t, "shape") and len(t.shape) for t in leaves):
        raise ValueError(
            "`x` must be an array, or a structure of arrays, as the model takes them. "
            f"Received: x={type(x).__name__}"
        )
    return tensors


def as_array(value: Any) -> np.ndarray:
    """A tensor in NumPy; half precision as float32."""
    if keras.backend.standardize_dtype(value.dtype) in ("float16", "bfloat16"):
        value = ops.cast(value, "float32")
    return ops.convert_to_numpy(value)


def masks_of(x: Any) -> list[Any]:
    """The masks that the tensors of an input carry, each None where there is none."""
    return [get_keras_mask(tensor) for tensor in keras.tree.flatten(x)]


def with_masks(x: Any, masks: list[Any]) -> Any:
    """The input with these masks: the arguments of a graph come without those they carried."""

    def masked(tensor: Any, mask: Any) -> Any:
        if mask is not None:
            tensor = ops.copy(tensor)  # the caller's own tensor stays as it is
            set_keras_mask(tensor, mask)
        return tensor

    leaves = keras.tree.flatten(x)
    return keras.tree.pack_sequence_as(x, list(map(masked, leaves, masks)))


def compiled_for(
    model: keras.layers.Layer, function: Callable[..., Any], jit_compile: bool
) -> Callable[..., Any]:
    """A function of a model as a graph; as it is where the model is to run eagerly."""
    eager = getattr(model, "run_eagerly", False) and not jit_compile
    return function if eager else graphs.compiled(function, jit_compile)


@contextmanager
def replaced(layer: Any, method: str, function: Callable[..., Any]) -> Iterator[None]:
    """While active, and in this thread only, a method of the layer is this function.

    Keras has no hooks: this is how the output of a layer deep inside a model is seen or changed
    without building the model again.
    """
    thread = threading.get_ident()

    def chosen(*args: Any, **kwargs: Any) -> Any:
        return (function if threading.get_ident() == thread else original)(*args, **kwargs)

    with _replacing:
        original, is_of_class = getattr(layer, method), method not in vars(layer)
        object.__setattr__(layer, method, chosen)
        try:
            yield
        finally:
            object.__setattr__(layer, method, original)
            if is_of_class:
                object.__delattr__(layer, method)
