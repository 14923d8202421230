"""What the benchmarks time: a layer's work, or matrix products alone, as one compiled call."""

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf


def training_step(
    layer: Any, x: Any, jit: bool, *, mask: Any = None, input_gradient: bool = True
) -> Callable[[], float]:
    """One training step of a built layer: its output, a loss, and all gradients.

    The loss is half the sum of squares of the output, which takes next to no time and memory:
    its gradient is the output itself. Nothing is updated, so that each call does
    the same.

    Args:
        layer: a built layer.
        x: its input.
        jit: whether XLA compiles the step.
        mask: None, or the layer's `mask`.
        input_gradient: whether the gradient of `x` is computed too.

    Returns:
        A function that runs the step, waits for its end, and returns the loss.
    """
    x = tf.convert_to_tensor(x)
    weights = [w.value for w in layer.trainable_weights]
    options = {} if mask is None else {"mask": tf.convert_to_tensor(mask)}

    @tf.function(jit_compile=jit, autograph=False)
    def step(x: Any, options: dict[str, Any]) -> Any:
        sources = [x, *weights] if input_gradient else weights
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(sources)
            loss = tf.nn.l2_loss(layer(x, training=True, **options))
        # The gradients are outputs of the function, or TensorFlow would leave them out.
        return loss, [g for g in tape.gradient(loss, sources) if g is not None]

    return lambda: float(step(x, options)[0].numpy())


def inference(layer: Any, x: Any, jit: bool, *, mask: Any = None) -> Callable[[], float]:
    """The output of a built layer, without training.

    Args:
        layer, x, jit, mask: see `training_step`.

    Returns:
        A function that computes the output, waits for it, and returns one of its numbers.
    """
    x = tf.convert_to_tensor(x)
    options = {} if mask is None else {"mask": tf.convert_to_tensor(mask)}

    @tf.function(jit_compile=jit, autograph=False)
    def infer(x: Any, options: dict[str, Any]) -> Any:
        y = layer(x, training=False, **options)
        return y, y[(0,) * y.shape.rank]

    return lambda: float(infer(x, options)[1].numpy())


def product_floor(
    batch: int,
    time: int,
    features: int,
    units: int,
    input_columns: int,
    recurrent_columns: int,
    jit: bool,
    training: bool,
) -> Callable[[], float]:
    """The matrix products of a recurrent layer, and nothing else: what all else adds to.

    The products with the input are one; those with the state follow each other, and those
    with its gradient too. One loop, in which each product waits for the one before.

    Args:
        batch, time, features, units: shape of the layer and its input.
        input_columns: columns of all weights that the input is multiplied with.
        recurrent_columns: columns of all weights that a state is multiplied with; at least
            as many as units.
        jit: whether XLA compiles it.
        training: also the products of the gradients: back through time, and those of the
            input and of the weights, one for all steps.

    Returns:
        A function that computes the products, waits for them, and returns one number.
    """
    if recurrent_columns < units:
        raise ValueError(
            "`recurrent_columns` must be at least `units`. "
            f"Received: recurrent_columns={recurrent_columns}, units={units}"
        )
    random, rows = np.random.default_rng(0), time * batch

    def normal(*shape: int) -> Any:
        return tf.constant(random.standard_normal(shape, "float32"))

    # An orthogonal block takes the state to the next: it neither grows nor vanishes.
    turn = np.linalg.qr(random.standard_normal((units, units)))[0].astype("float32")
    rest = random.standard_normal((units, recurrent_columns - units), "float32")
    kernel = np.concatenate([turn, rest / units**0.5], axis=1)
    forward = {
        "x": normal(rows, features),
        "kernel": normal(features, input_columns),
        "recurrent": tf.constant(kernel),
        "z": normal(batch, recurrent_columns),
    }
    backward = {
        "recurrent_turned": tf.constant(np.ascontiguousarray(kernel.T)),
        "d_state": normal(batch, units),
        "d_rest": normal(batch, recurrent_columns - units),
        "states": normal(rows, units),
        "d_inputs": normal(rows, input_columns),
        "d_recurrent": normal(rows, recurrent_columns),
    }

    @tf.function(jit_compile=jit, autograph=False)
    def products(a: dict[str, Any], b: dict[str, Any]) -> Any:
        large = [tf.matmul(a["x"], a["kernel"])]
        if training:
            large += [
                tf.matmul(b["d_inputs"], a["kernel"], transpose_b=True),
                tf.matmul(a["x"], b["d_inputs"], transpose_a=True),
                tf.matmul(b["states"], b["d_recurrent"], transpose_a=True),
            ]
        # The loops wait for the large products, and the second one for the first: side by
        # side they would be faster than any layer can be.
        z = a["z"] + _nearly_zero(*large)
        z = _repeat(time, lambda z: tf.matmul(z[:, :units], a["recurrent"]), z)
        if not training:
            return z[0, 0], z, large
        d = b["d_state"] + _nearly_zero(z)
        turned = b["recurrent_turned"]
        if recurrent_columns == units:
            d = _repeat(time, lambda d: tf.matmul(d, turned), d)
        else:
            d = _repeat(time, lambda d: tf.matmul(tf.concat([d, b["d_rest"]], 1), turned), d)
        return d[0, 0], z, d, large

    # As arguments: constants of the function might be computed with while it is compiled.
    return lambda: float(products(forward, backward if training else {})[0].numpy())


def _nearly_zero(*values: Any) -> Any:
    """A number that no compiler knows before `values` are computed, too small to matter."""
    return 1e-30 * tf.add_n([v[0, 0] for v in values])


def _repeat(times: int, body: Callable[[Any], Any], value: Any) -> Any:
    return tf.while_loop(
        lambda i, value: i < times,
        lambda i, value: (i + 1, body(value)),
        (tf.constant(0), value),
    )[1]
