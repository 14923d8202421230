"""What happens, between two steps, to the gradient that flows back through the states."""

from collections.abc import Callable
from typing import Any

import tensorflow as tf

Edge = Callable[[Any, list[Any]], list[Any]]


def edge(
    stop_gradient_every: int | None, clip_state_gradients: float | None, but: tuple[int, ...] = ()
) -> Edge | None:
    """A function of a step's number and the gradients of the states before it; None if nothing.

    Args:
        stop_gradient_every: no gradient flows back across the edge before step k, 2k, ...
        clip_state_gradients: gradients are clipped to [-v, v], elementwise.
        but: which states are left alone.
    """
    if stop_gradient_every is None and clip_state_gradients is None:
        return None

    def change(time: Any, gradients: list[Any]) -> list[Any]:
        between = tf.convert_to_tensor(time) > 0
        for_all = gradients
        if clip_state_gradients is not None:
            v = clip_state_gradients
            clipped = [tf.clip_by_value(g, -v, v) for g in for_all]
            for_all = [tf.where(between, c, g) for c, g in zip(clipped, for_all, strict=True)]
        if stop_gradient_every is not None:
            stops = between & (tf.convert_to_tensor(time) % stop_gradient_every == 0)
            for_all = [tf.where(stops, tf.zeros_like(g), g) for g in for_all]
        both = zip(for_all, gradients, strict=True)
        return [g if k in but else changed for k, (changed, g) in enumerate(both)]

    return change


def with_edge(edge: Edge, time: Any, states: list[Any]) -> list[Any]:
    """The states before a step, whose gradient `edge` changes on its way back."""

    @tf.custom_gradient
    def unchanged(*states: Any) -> Any:
        return guarded(states), lambda *gradients: edge(time, list(gradients))

    return unchanged(*states)


def guarded(values: Any) -> list[Any]:
    """The same values, which have no other gradient than that of the function they are in.

    TensorFlow's vectorisation loses a function's own gradient; what it would take instead, the
    gradient of the function's operations, knows no edges. So it meets one without a gradient,
    x / (1 + |0|)^2, which vectorisation and XLA know.
    """
    return [tf.raw_ops.SoftsignGrad(gradients=v, features=0 * v) for v in values]


@tf.RegisterGradient("SoftsignGrad")
def _refused(*_: Any) -> None:
    # TensorFlow has none either, and says so without a word of what to do.
    raise LookupError(
        "SoftsignGrad has no gradient. With `stop_gradient_every` or `clip_state_gradients`, take "
        "gradients inside `tf.vectorized_map`, not around it; or use `tf.map_fn`."
    )
