"""Gradients of the fast loop as they are asked for: outside the graph, twice, stopped, clipped."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from cases import BATCH, FEATURES, MASK, TIME, make, sequences, states_of
from graphs import ALL, JIT, assert_relatively_close, cells, gradients, penalty, plain, step_by_step

import keras_lstm_variants as klv

pytestmark = pytest.mark.usefixtures("forgotten_after_each_test")


@cells(["LSTM", "PeepholeLSTM", "GRU", "MUT1"], compiled=["GRU"])
def test_tape_outside_the_graph(name, jit, fast):
    layer = make(name, **ALL)
    x = tf.constant(sequences())
    graph = tf.function(lambda x: layer(x, training=True), jit_compile=jit)
    with tf.GradientTape() as tape:
        tape.watch(x)
        loss = sum(tf.reduce_sum(tf.sin(o)) for o in graph(x))
    found = tape.gradient(loss, [*[w.value for w in layer.trainable_weights], x])
    assert_relatively_close(found, step_by_step(plain(layer, **ALL), x)[1])
    assert fast


SECOND = ["LSTM", "PeepholeLSTM", "GRU", "MUT1", "FGRLSTM", "ClockworkLSTM", "GridLSTM"]


@cells([*SECOND, "DeepGateLSTM"], compiled=["PeepholeLSTM"])
@pytest.mark.slow
def test_second_derivatives(name, jit, fast):
    options = {"depth": 1, "priority": "time"} if name == "GridLSTM" else {}
    quick, slow = (make(name, options, engine=e) for e in ("auto", "plain"))
    assert_relatively_close(penalty(quick, jit), penalty(slow, None), 1e-4)
    assert fast


@pytest.mark.slow
@pytest.mark.usefixtures("short_blocks")
def test_second_derivatives_of_rows_side_by_side(fast):
    quick, slow = (make("LSTM", engine=e) for e in ("auto", "plain"))
    assert_relatively_close(penalty(quick, False), penalty(slow, None), 1e-4)
    assert fast


@pytest.mark.slow
def test_second_derivatives_outside_the_graph(fast):
    results = []
    for engine in ("auto", "plain"):
        layer = make("PeepholeLSTM", engine=engine)
        graph = lambda x, layer=layer: layer(x, mask=MASK, training=True)  # noqa: E731
        graph = tf.function(graph) if engine == "auto" else graph
        x = tf.constant(sequences())
        with tf.GradientTape() as outer:
            outer.watch(x)
            with tf.GradientTape() as inner:
                inner.watch(x)
                y = tf.reduce_sum(tf.sin(graph(x)))
            size = tf.reduce_sum(inner.gradient(y, x) ** 2)
        results.append(outer.gradient(size, [x, *[w.value for w in layer.trainable_weights]]))
    assert_relatively_close(*results, 1e-4)
    assert fast


def _masked_gradients(layer, inputs, mask, function):
    @function
    def run(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            loss = tf.reduce_sum(tf.sin(layer(x, mask=mask, training=True)))
        return tape.gradient(loss, [x, *[w.value for w in layer.trainable_weights]])

    return [run(tf.constant(x)) for x in inputs]


@pytest.mark.parametrize(
    "function",
    [
        pytest.param(tf.function, id="graph"),
        pytest.param(tf.function(jit_compile=True), id="xla", marks=pytest.mark.slow),
        pytest.param(lambda f: f, id="eager"),
    ],
)
@pytest.mark.slow
def test_what_is_masked_may_be_no_number(function):
    """NaN there leaves no trace in any gradient."""
    both_ways = keras.layers.Bidirectional(make("LSTM"))
    both_ways.build((None, None, FEATURES))
    stack = klv.RecurrentLayer([klv.GRUCell(4), keras.layers.LSTMCell(3)], go_backwards=True)
    stack.build((None, None, FEATURES))
    image = klv.GridLSTM2D(3, depth=1)
    image.build((None, BATCH, TIME, FEATURES))
    x = sequences()
    for layer, shape in [(both_ways, x.shape), (stack, x.shape), (image, (1, *x.shape))]:
        mask = MASK.reshape(shape[:-1])
        wild = np.where(mask[..., None], x.reshape(shape), np.nan).astype("float32")
        calm = np.where(mask[..., None], wild, 0).astype("float32")
        found, expected = _masked_gradients(layer, (wild, calm), mask, function)
        assert_relatively_close(found, expected, 1e-6)


@pytest.mark.slow
@JIT
@pytest.mark.usefixtures("short_blocks")  # of which the last is not full
def test_persistent_tape(jit, fast):
    expected = None
    # In a compiled function, "xla" is one with it.
    for engine in ("auto",) if jit else ("auto", "xla"):
        layer = make("LSTM", engine=engine)

        @tf.function(jit_compile=jit)
        def run(x, layer=layer):
            with tf.GradientTape(persistent=True) as tape:
                tape.watch(x)
                y = tf.reduce_sum(tf.sin(layer(x, training=True)))
            return tape.gradient(y, x), tape.gradient(y, layer.trainable_weights[0].value)

        expected = (
            expected
            or step_by_step(plain(layer), sequences(), weights=layer.trainable_weights[:1])[1]
        )
        assert_relatively_close(run(sequences()), expected[::-1])
    assert fast


def test_jacobian_in_a_graph(fast):
    quick, slow = (make("LSTM", engine=e) for e in ("auto", "plain"))

    def jacobian(layer):
        @tf.function
        def run(x):
            with tf.GradientTape() as tape:
                tape.watch(x)
                y = layer(x)
            return tape.jacobian(y, x, experimental_use_pfor=False)

        return run(tf.constant(sequences()))

    assert_relatively_close(jacobian(quick), jacobian(slow))
    assert fast


def by_hand(layer, x, states, between):
    """Gradients of a loop over the cell written out, with `between` before each step."""
    weights = [w.value for w in layer.trainable_weights]
    tensors = [tf.constant(v) for v in (x, *states)]
    with tf.GradientTape() as tape:
        tape.watch(tensors)
        current, results = tensors[1:], []
        for t in range(x.shape[1]):
            output, current = layer.cell(tensors[0][:, t], between(t, current))
            results.append(output)
        loss = tf.add_n([tf.reduce_sum(tf.sin(r)) for r in (*results, *current)])
    return tape.gradient(loss, [*weights, *tensors])


@tf.custom_gradient
def clipped(*states):
    return list(map(tf.identity, states)), lambda *d: [tf.clip_by_value(g, -0.05, 0.05) for g in d]


class TestBetweenSteps:
    """Truncated and clipped gradients, against a loop written out by hand."""

    @pytest.mark.usefixtures("short_blocks")
    @pytest.mark.parametrize(
        ("option", "between"),
        [
            (
                {"stop_gradient_every": 2},
                lambda t, s: list(map(tf.stop_gradient, s)) if t and t % 2 == 0 else s,
            ),
            ({"clip_state_gradients": 0.05}, lambda t, s: clipped(*s) if t else s),
        ],
        ids=["stopped", "clipped"],
    )
    @pytest.mark.parametrize("engine", ["auto", "plain"])
    @cells(["LSTM", "FGRLSTM"], compiled=["GRU"])
    def test_gradients(self, name, jit, engine, option, between, fast):
        layer = make(name, engine=engine, **option, **ALL)
        x, states = sequences(), states_of(layer)
        found = gradients(layer, x, states, jit=jit)[1]
        assert_relatively_close(found, by_hand(layer, x, states, between))
        assert bool(fast) == (engine == "auto")
        whole = step_by_step(make(name, **ALL), x, states)[1]
        assert not np.allclose(found[0], whole[0], rtol=1e-3)

    def test_masked_steps_hand_gradients_on_unrolled_too(self):
        options = {"stop_gradient_every": 3, "clip_state_gradients": 0.1, **ALL}
        layers = [make("LSTM", **options, **how) for how in ({}, {"unroll": True})]
        slow = make("LSTM", engine="plain", **options)
        x, states = sequences(), states_of(slow)
        expected = step_by_step(slow, x, states, MASK)
        for layer in layers:
            assert_relatively_close(gradients(layer, x, states, MASK), expected)

    @pytest.mark.parametrize(
        ("argument", "wrong"),
        [
            ("stop_gradient_every", 0),
            ("stop_gradient_every", 2.5),
            ("clip_state_gradients", -1.0),
            ("clip_state_gradients", float("inf")),
            ("clip_state_gradients", "1"),
            ("engine", "fast"),
            ("recompute", "yes"),
        ],
    )
    def test_wrong_values_are_refused(self, argument, wrong):
        with pytest.raises(ValueError, match=f"`{argument}` must be .*{argument}="):
            klv.LSTM(3, **{argument: wrong})

    def test_the_configuration_keeps_them(self):
        options = {
            "engine": "plain",
            "recompute": True,
            "stop_gradient_every": 4,
            "clip_state_gradients": 0.5,
        }
        config = klv.LSTM.from_config(klv.LSTM(3, **options).get_config()).get_config()
        assert {name: config[name] for name in options} == options
