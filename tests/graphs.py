"""Results and gradients from one graph, compared with Keras's own loop over the same cell."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from cases import CASES, IDS, MASK, PROTOCOL, ROWS, sequences
from tiers import quick_first

EVERY_CASE = pytest.mark.parametrize(("name", "options"), CASES, ids=IDS)


def first_quick(names=tuple(ROWS)):
    """`EVERY_CASE`, of which a quick run tries the first of each of these cells alone."""
    marks = [
        [] if name in names and options is ROWS[name][0] else pytest.mark.slow
        for name, options in CASES
    ]
    cases = zip(CASES, IDS, marks, strict=True)
    return pytest.mark.parametrize(
        ("name", "options"), [pytest.param(*case, id=id_, marks=own) for case, id_, own in cases]
    )


# The loop does not look into cells: what is not about their equations is tested with these.
EVERY_PROTOCOL = pytest.mark.parametrize(
    ("name", "options"), [(name, ROWS[name][-1]) for name in PROTOCOL], ids=PROTOCOL
)
XLA = pytest.param(True, marks=pytest.mark.slow, id="xla")
JIT = pytest.mark.parametrize("jit", [pytest.param(False, id="graph"), XLA])


def cells(names, compiled):
    """A case for each of the names in a graph, and for some compiled by XLA; the first is quick."""
    graphs = [pytest.param(name, False, id=f"{name}-graph") for name in names]
    compiled = [pytest.param(name, True, id=f"{name}-xla") for name in compiled]
    return quick_first(pytest.mark.parametrize(("name", "jit"), graphs + compiled))


ALL = {"return_sequences": True, "return_state": True}


def plain(layer, **kwargs):
    """Keras's own loop over the same cell."""
    return keras.layers.RNN(layer.cell, **kwargs)


def gradients(
    layer, x, states=None, mask=None, *, jit=False, training=True, weights=None, any_length=False
):
    """Results, and the gradients of weights, inputs and first states, from one graph.

    Or step by step, where `jit` is None: what is right is then there without tracing its loop.
    `any_length`: the graph does not know the number of steps.
    """
    weights = layer.trainable_weights if weights is None else weights

    def run(x, states, mask):
        with tf.GradientTape() as tape:
            tape.watch([x, *states])
            options = {"initial_state": states} if states else {}
            outputs = tf.nest.flatten(layer(x, mask=mask, training=training, **options))
            loss = tf.add_n([tf.reduce_sum(tf.sin(o)) for o in outputs])
        sources = [*[w.value for w in weights], x, *states]
        # A loop in a graph has zeros where step by step there is none.
        none = "zero" if jit is None else "none"
        return outputs, tape.gradient(loss, sources, unconnected_gradients=none)

    function = run if jit is None else tf.function(run, jit_compile=jit)
    given = tf.constant(x), [tf.constant(s) for s in states or ()], mask
    if any_length:
        function = function.get_concrete_function(*of_any_length(given))
    return function(*given)


def of_any_length(given):
    """Specifications of (sequence, states, mask) for any number of steps."""
    x, states, mask = given
    x = tf.TensorSpec([x.shape[0], None, *x.shape[2:]], x.dtype)
    states = [tf.TensorSpec(s.shape, s.dtype) for s in states]
    return x, states, None if mask is None else tf.TensorSpec([len(mask), None], tf.bool)


def step_by_step(layer, *args, **kwargs):
    """The same without a graph."""
    return gradients(layer, *args, jit=None, **kwargs)


def assert_relatively_close(actual, expected, tolerance=1e-5):
    for a, e in zip(tf.nest.flatten(actual), tf.nest.flatten(expected), strict=True):
        a, e = np.asarray(a), np.asarray(e)
        assert a.shape == e.shape
        assert np.max(np.abs(a - e), initial=0) <= tolerance * np.max(np.abs(e), initial=1e-3)


def penalty(layer, jit, any_length=False):
    """A gradient penalty, as GANs use it: the gradient of a gradient's norm; no graph if None."""

    def run(x, mask):
        weights = [w.value for w in layer.trainable_weights]
        with tf.GradientTape() as outer:
            outer.watch(x)
            with tf.GradientTape() as inner:
                inner.watch(x)
                y = tf.reduce_sum(tf.sin(layer(x, mask=mask, training=True)))
            size = tf.reduce_sum(inner.gradient(y, x) ** 2)
        return outer.gradient(size, [x, *weights])

    function = run if jit is None else tf.function(run, jit_compile=jit)
    x = tf.constant(sequences())
    if any_length:
        x_spec, _, mask_spec = of_any_length((x, [], MASK))
        function = function.get_concrete_function(x_spec, mask_spec)
    return function(x, tf.constant(MASK))
