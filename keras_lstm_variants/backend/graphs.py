"""Functions as graphs, and their gradients, for tools that are no part of a model."""

from collections.abc import Callable
from functools import partial
from typing import Any

import tensorflow as tf

from keras_lstm_variants.backend.xla import tapes_are_stopped


def compiled(function: Callable[..., Any], jit_compile: bool = False) -> Callable[..., Any]:
    """The function as a graph, compiled by XLA if wanted."""
    # TensorFlow counts the tracings of a piece of code, whatever model it is for, and warns of too
    # many. A partial has no code of its own: each function is counted apart.
    return tf.function(partial(function), jit_compile=jit_compile, autograph=False)


def current_graph() -> Any:
    """The graph that is being built, or the one of eager mode."""
    return tf.compat.v1.get_default_graph()


def followed(
    function: Callable[[list[Any]], Any], sources: list[Any], by_tape: bool = True
) -> tuple[Any, list[Any], Callable[[Any, Any], list[Any]]]:
    """What the function makes of tensors in a graph, and how to differentiate it by them.

    Args:
        function: of a list of tensors.
        sources: the tensors.
        by_tape: unless TensorFlow has stopped all tapes. False: by the graph in any case.

    Returns:
        The value; the sources as the function had them; and a function of targets and their
        gradients, whose value is the gradient by each source, None where there is none.
    """
    if not by_tape or tapes_are_stopped():
        sources = list(map(tf.identity, sources))
        value = function(sources)
        return value, sources, lambda targets, d: tf.gradients(targets, sources, grad_ys=d)
    with tf.GradientTape(persistent=True, watch_accessed_variables=False) as tape:
        tape.watch(sources)
        value = function(sources)
    return value, sources, lambda targets, d: tape.gradient(targets, sources, output_gradients=d)


def is_eager() -> bool:
    """Whether what is called now is computed now."""
    return tf.executing_eagerly()


def gradient(function: Callable[[Any], Any], x: Any) -> tuple[Any, Any]:
    """The value (batch,) of the function, and the gradient of the values' sum by x.

    Raises:
        ValueError: the value does not depend on x, as far as gradients can tell.
    """
    x = tf.convert_to_tensor(x)
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(x)
        value = function(x)
    slope = tape.gradient(value, x)
    if slope is None:
        raise ValueError(
            "No gradient of the output arrives at the input: the model rounds it, as an Embedding "
            "does with tokens, or does not use it. For tokens: `embedding=model.get_layer(...)`."
        )
    return value, tf.convert_to_tensor(slope)


def weight_gradients(function: Callable[[], Any], variables: list[Any]) -> list[Any]:
    """The gradient of the function's value by each variable; zeros where it has none."""
    tensors = [v.value for v in variables]
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(tensors)
        value = function()
    return tape.gradient(value, tensors, unconnected_gradients="zero")


def with_slopes(
    function: Callable[[list[Any]], list[Any]], sources: list[Any]
) -> tuple[list[Any], list[Any]]:
    """What the function returns, and the gradient of its first value by each source."""
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(sources)
        values = function(sources)
    return values, tape.gradient(values[0], sources)
