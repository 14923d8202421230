"""Arguments that Keras makes functions of: activations, initializers, regularizers, constraints.

As Keras's `get`, with errors that name the argument; and what is accepted can be saved.
"""

import inspect
from collections.abc import Callable
from types import ModuleType
from typing import Any

import keras
import numpy as np

from keras_lstm_variants.core import checks


def activation(name: str, value: Any) -> Callable[..., Any]:
    """The activation that `value` names or is, or a `ValueError`; None is linear."""
    return _found(keras.activations, "activation", name, value)


def initializer(name: str, value: Any) -> Any:
    """The initializer that `value` names or is, or a `ValueError`; None is None.

    An array becomes a `keras.initializers.Constant`, which can be saved.
    """
    if isinstance(value, np.ndarray | np.generic | keras.Variable) or keras.ops.is_tensor(value):
        return keras.initializers.Constant(_numbers(name, value))
    return _found(keras.initializers, "initializer", name, value)


def regularizer(name: str, value: Any) -> Any:
    """The regularizer that `value` names or is, or a `ValueError`; None is None."""
    return _found(keras.regularizers, "regularizer", name, value)


def constraint(name: str, value: Any) -> Any:
    """The constraint that `value` names or is, or a `ValueError`; None is None."""
    return _found(keras.constraints, "constraint", name, value)


def _found(module: ModuleType, what: str, name: str, value: Any) -> Any:
    # Of a class Keras makes an instance where it takes no argument, whatever it may be.
    is_wrong = inspect.isclass(value) and value.__module__.split(".")[0] == "builtins"
    # Only an activation may be a layer.
    is_wrong |= what != "activation" and isinstance(value, keras.layers.Layer)
    cause, hint = None, ""
    if not is_wrong:
        try:
            is_lambda = isinstance(value, dict) and value.get("class_name") == "__lambda__"
            found = (keras.saving.deserialize_keras_object if is_lambda else module.get)(value)
            if found is None or (callable(found) and not inspect.isclass(found)):
                return found
        except (ValueError, TypeError) as error:
            cause = error
    if isinstance(value, dict):
        # Of a file: Keras knows what is missing to read it.
        hint = f". {cause}"
    elif isinstance(value, str):
        hint = checks.nearest(value, (n for n in dir(module) if n not in _NO_NAMES))
    raise ValueError(
        f"`{name}` must be the name of a Keras {what}, a function or object that is one, or None. "
        f"Received: {name}={value!r}{hint}"
    ) from cause


def check_dtype(value: Any) -> None:
    """A `ValueError` unless `value` is a type or policy that computes in floating point."""
    try:
        computed = keras.dtype_policies.get(value).compute_dtype
        if computed is not None and keras.backend.is_float_dtype(computed):
            return
        cause = None
    except (ValueError, TypeError, AttributeError) as error:
        cause = error
    raise ValueError(
        "`dtype` must be None, a floating type such as 'float32', a policy such as "
        f"'mixed_bfloat16', or a keras.DTypePolicy. Received: dtype={value!r}"
    ) from cause


_NO_NAMES = ("get", "serialize", "deserialize")


def _numbers(name: str, value: Any) -> np.ndarray | float:
    try:
        found = np.asarray(keras.ops.convert_to_numpy(value))
        fits = found.dtype.kind in "fiu" and bool(np.isfinite(found).all())
    except (TypeError, ValueError):
        fits = False
    if not fits:
        raise ValueError(f"`{name}` must hold finite numbers. Received: {name}={value!r}")
    return found if found.ndim else found.item()


def check_values(name: str, found: Any, shape: tuple[int, ...]) -> None:
    """A `ValueError` where an initializer made of an array does not have the weight's shape."""
    if isinstance(found, keras.initializers.Constant) and np.ndim(found.value):
        checks.shape(name, np.shape(found.value), shape)
