"""The kept states of all stateful layers of a model at once: reset, read, write."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np

from keras_lstm_variants.core import call_checks
from keras_lstm_variants.core.weight_checks import as_array
from keras_lstm_variants.layers.paths import recurrent_paths


def reset_states(model: keras.layers.Layer) -> None:
    """Set every stateful recurrent layer of a model back to its initial state.

    Args:
        model: a model or layer, whose stateful recurrent layers may be ours or Keras's, inside
            other models and wrappers too.

    Raises:
        ValueError: the model has no built stateful recurrent layer.

    Example:
        >>> import keras, keras_lstm_variants as klv
        >>> x = keras.ops.ones((2, 5, 3))
        >>> model = keras.Sequential([klv.LSTM(4, stateful=True)])
        >>> first, second = model(x), model(x)
        >>> klv.reset_states(model)
        >>> bool(keras.ops.all(model(x) == first))
        True
    """
    for layer in _stateful(model).values():
        layer.reset_state()


def get_states(model: keras.layers.Layer) -> dict[str, list[np.ndarray]]:
    """The kept states of every stateful recurrent layer of a model.

    Args:
        model: as for `reset_states`.

    Returns:
        Layer path -> list of arrays (batch, size), in the order of the cell's states; of a stack,
        those of all its cells. Paths are as in `klv.gate_history`: `lstm`, or
        `bidirectional/forward`. Further recurrent layers of one path get `#2`, `#3`, ... in the
        order of the model.

    Raises:
        ValueError: the model has no built stateful recurrent layer.

    Example:
        >>> import keras, keras_lstm_variants as klv
        >>> model = keras.Sequential([klv.LSTM(4, stateful=True, name="memory")])
        >>> output = model(keras.ops.ones((2, 5, 3)))
        >>> states = klv.get_states(model)
        >>> [state.shape for state in states["memory"]]
        [(2, 4), (2, 4)]
    """
    found = {}
    for path, layer in _stateful(model).items():
        kept = layer.kept_states() if hasattr(layer, "kept_states") else layer.states
        found[path] = [keras.ops.convert_to_numpy(v) for v in keras.tree.flatten(kept)]
    return found


def set_states(model: keras.layers.Layer, states: Mapping[str, list[Any]]) -> None:
    """Write what `get_states` returned, into this model or one whose layers have the same names.

    Args:
        model: as for `reset_states`.
        states: layer path -> list of arrays, for all stateful layers or some of them.

    Raises:
        ValueError: a path that the model does not have, or a wrong number or shape of states;
            then nothing is written.

    Example:
        >>> import keras, keras_lstm_variants as klv
        >>> x = keras.ops.ones((2, 5, 3))
        >>> model = keras.Sequential([klv.GRU(4, stateful=True)])
        >>> output = model(x)
        >>> states = klv.get_states(model)
        >>> second = model(x)
        >>> klv.set_states(model, states)
        >>> bool(keras.ops.all(model(x) == second))
        True
    """
    layers = _stateful(model)
    if not isinstance(states, Mapping):
        raise ValueError(
            "`states` must be a dict, layer path -> list of arrays, as `get_states` returns it. "
            f"Received: states={states!r}"
        )
    unknown = set(states) - set(layers)
    if unknown:
        raise ValueError(
            f"`states` must name stateful layers of {model.name}, which has {sorted(layers)}. "
            f"Received: {sorted(map(str, unknown))}. Give layers names, with `name=`, to move "
            "states between models."
        )
    arrays = {}
    for path, values in states.items():
        expected = [tuple(v.shape) for v in keras.tree.flatten(layers[path].states)]
        if not isinstance(values, list | tuple):
            raise ValueError(
                f"`states[{path!r}]` must be a list of arrays of the shapes {expected}. "
                f"Received: {values!r}"
            )
        arrays[path] = [as_array(f"states[{path!r}]", v) for v in values]
        shapes = [v.shape for v in arrays[path]]
        if shapes != expected:
            raise ValueError(
                f"States of {path!r} must have the shapes {expected}. Received: {shapes}"
            )
    for path, values in arrays.items():
        layer = layers[path]
        if hasattr(layer, "keep_states"):
            layer.keep_states(values)
        else:
            for variable, value in zip(keras.tree.flatten(layer.states), values, strict=True):
                variable.assign(value)


@contextmanager
def unchanged(model: keras.layers.Layer) -> Iterator[None]:
    """Leaves kept states, metrics, statistics and random numbers of a model as they were."""
    variables = {id(v): v for v in model.variables if not v.trainable}
    variables |= {id(v): v for v in getattr(model, "metrics_variables", [])}
    for layer in recurrent_paths(model):
        if layer.stateful:
            found = getattr(layer, "state_variables", keras.tree.flatten(layer.states or []))
            variables |= {id(v): v for v in found}
    kept = [(v, keras.ops.copy(v)) for v in variables.values()]
    try:
        yield
    finally:
        for variable, value in kept:
            variable.assign(value)


def _stateful(model: keras.layers.Layer) -> dict[str, Any]:
    call_checks.check_model(model)
    layers = recurrent_paths(model).items()
    found = {path: la for la, path in layers if la.stateful and la.states is not None}
    if not found:
        raise ValueError(
            f"{model.name} has no stateful recurrent layer that is built: give layers "
            "`stateful=True`, and call the model once."
        )
    return found
