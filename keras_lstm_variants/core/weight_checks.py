"""Weights that fit are assigned, all of them; of those that do not fit, none."""

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from keras import ops

from keras_lstm_variants.core.keras_private import own_variables


class CheckedWeights:
    """Mixin of layers: every shape is checked before the first weight is assigned.

    Keras assigns one after the other, and stops at the first that does not fit.
    """

    def set_weights(self, weights: Sequence[Any]) -> None:
        variables = self.weights
        given = isinstance(weights, list | tuple)
        if not given or len(weights) != len(variables):
            got = len(weights) if given else repr(weights)
            raise ValueError(
                f"`weights` of {self.name} must be a list of {len(variables)} arrays, for "
                f"{[v.path for v in variables]}. Received: {got}"
            )
        arrays = [as_array(f"weights[{k}]", value) for k, value in enumerate(weights)]
        for k, (variable, array) in enumerate(zip(variables, arrays, strict=True)):
            if array.shape != tuple(variable.shape):
                raise ValueError(
                    f"`weights[{k}]` of {self.name}, `{variable.path}`, must have the shape "
                    f"{tuple(variable.shape)}. Received: {array.shape}. Nothing was assigned."
                )
        super().set_weights(arrays)

    def load_own_variables(self, store: Any) -> None:
        variables = own_variables(self)
        if len(store.keys()) == len(variables):
            for k, variable in enumerate(variables):
                if tuple(store[str(k)].shape) != tuple(variable.shape):
                    raise ValueError(
                        f"`{variable.path}` has the shape {tuple(variable.shape)}, and the file "
                        f"holds the shape {tuple(store[str(k)].shape)}: it is of another layer. "
                        "Nothing of this layer was loaded."
                    )
        super().load_own_variables(store)


class CheckedModel(CheckedWeights):
    """Mixin of models: a file is loaded as a whole, or nothing of it is."""

    def load_weights(self, filepath: str | os.PathLike[str], *args: Any, **kwargs: Any) -> None:
        before = [(v, ops.copy(v)) for v in self.variables]
        try:
            super().load_weights(filepath, *args, **kwargs)
        except Exception:
            for variable, value in before:
                variable.assign(value)
            raise


def as_array(name: str, value: Any) -> np.ndarray:
    """`value` as an array of numbers, or a `ValueError`."""
    try:
        found = np.asarray(ops.convert_to_numpy(value))
    except (TypeError, ValueError):
        found = np.array(None)
    # bfloat16 is of no kind of NumPy's own.
    if found.dtype.kind not in "fiub" and "float" not in found.dtype.name:
        raise ValueError(f"`{name}` must be an array of numbers. Received: {name}={value!r}")
    return found
