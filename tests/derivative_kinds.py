"""The kinds of derivatives that people build on gradients: each takes a call in its own way."""

from collections.abc import Callable
from typing import Any

import tensorflow as tf

Call = Callable[..., Any]  # (x, states) -> the output


def loss(y: Any) -> Any:
    return tf.reduce_sum(tf.sin(y))


# Each kind takes the call, x, states and weights, and returns a list of tensors.


def jacobian_by_weights(call: Call, x: Any, states: list[Any], weights: list[Any]) -> list[Any]:
    with tf.GradientTape() as tape:
        tape.watch(weights)
        y = call(x, states)
    return tape.jacobian(y, weights)


def jacobian_by_input(call: Call, x: Any, states: list[Any], weights: list[Any]) -> list[Any]:
    with tf.GradientTape() as tape:
        tape.watch([x, *states])
        y = call(x, states)
    return tape.jacobian(y, [x, *states])


def batch_jacobian(call: Call, x: Any, states: list[Any], weights: list[Any]) -> list[Any]:
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = call(x, states)
    return [tape.batch_jacobian(y, x)]


def _of_each_row(over_rows: Callable, call: Call, x: Any, states: Any, weights: Any) -> list[Any]:
    """Of each row, the gradient by its input and by each weight."""

    def row(values: Any) -> Any:
        own, *own_states = (v[tf.newaxis] for v in values)
        with tf.GradientTape() as tape:
            tape.watch([own, *weights])
            value = loss(call(own, own_states))
        return tape.gradient(value, [own, *weights])

    own, *others = over_rows(row, [x, *states])
    return [own[:, 0], *others]


def per_example(call: Call, x: Any, states: list[Any], weights: list[Any]) -> list[Any]:
    return _of_each_row(tf.vectorized_map, call, x, states, weights)


def mapped(call: Call, x: Any, states: list[Any], weights: list[Any]) -> list[Any]:
    def map_rows(function: Callable, values: list[Any]) -> Any:
        signature = [tf.float32] * (1 + len(weights))
        return tf.map_fn(function, values, fn_output_signature=signature)

    return _of_each_row(map_rows, call, x, states, weights)


def _outside(over_rows: Callable, call: Call, x: Any, states: Any, weights: Any) -> list[Any]:
    with tf.GradientTape() as tape:
        tape.watch([x, *states, *weights])
        y = over_rows(
            lambda values: call(values[0][tf.newaxis], [v[tf.newaxis] for v in values[1:]])[0],
            [x, *states],
        )
        value = loss(y)
    return tape.gradient(value, [x, *states, *weights])


def vectorized_inside(call: Call, x: Any, states: list[Any], weights: list[Any]) -> list[Any]:
    """The gradient of what a vectorised call gives."""
    return _outside(tf.vectorized_map, call, x, states, weights)


def mapped_inside(call: Call, x: Any, states: list[Any], weights: list[Any]) -> list[Any]:
    def map_rows(function: Callable, values: list[Any]) -> Any:
        return tf.map_fn(function, values, fn_output_signature=tf.float32)

    return _outside(map_rows, call, x, states, weights)


def hessian(call: Call, x: Any, states: list[Any], weights: list[Any]) -> list[Any]:
    """Second derivatives by the input and by the weights of least and of most entries."""
    sources = [x, *sorted(weights, key=lambda w: w.shape.num_elements())[:: len(weights) - 1]]
    with tf.GradientTape() as outer:
        outer.watch(sources)
        with tf.GradientTape() as inner:
            inner.watch(sources)
            value = loss(call(x, states))
        slopes = inner.gradient(value, sources)
        slope = tf.concat([tf.reshape(s, [-1]) for s in slopes], 0)
    return outer.jacobian(slope, sources)


def directions(tensors: list[Any]) -> list[Any]:
    return [tf.cos(tf.range(tf.size(t), dtype=t.dtype) + 1.0) for t in tensors]


def forward_mode(call: Call, x: Any, states: list[Any], weights: list[Any]) -> list[Any]:
    sources = [x, *weights]
    along = [tf.reshape(d, tf.shape(s)) for d, s in zip(directions(sources), sources, strict=True)]
    with tf.autodiff.ForwardAccumulator(sources, along) as accumulator:
        y = call(x, states)
    return [accumulator.jvp(y)]


def forward_over_backward(call: Call, x: Any, states: Any, weights: Any) -> list[Any]:
    """The Hessian times a vector."""
    sources = [x, *weights]
    along = [tf.reshape(d, tf.shape(s)) for d, s in zip(directions(sources), sources, strict=True)]
    with tf.autodiff.ForwardAccumulator(sources, along) as accumulator:
        with tf.GradientTape() as tape:
            tape.watch(sources)
            value = loss(call(x, states))
        slopes = tape.gradient(value, sources)
    return [accumulator.jvp(s) for s in slopes]


KINDS = {
    f.__name__: f
    for f in (
        jacobian_by_weights,
        jacobian_by_input,
        batch_jacobian,
        per_example,
        mapped,
        vectorized_inside,
        mapped_inside,
        hessian,
        forward_mode,
        forward_over_backward,
    )
}
