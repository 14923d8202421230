"""The fast loop: equal to Keras's own loop over the same cell, results and all gradients."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from cases import (
    BATCH,
    CASES,
    FEATURES,
    IDS,
    LAYERS,
    MASK,
    ROWS,
    TIME,
    UNITS,
    assert_close,
    make,
    sequences,
    states_of,
)
from hypothesis import given, settings
from hypothesis import strategies as st

import keras_lstm_variants as klv
from keras_lstm_variants.engine import blocks, dispatch, xla
from keras_lstm_variants.engine.fast import FastLoop

EVERY_CASE = pytest.mark.parametrize(("name", "options"), CASES, ids=IDS)
EVERY_LAYER = pytest.mark.parametrize(
    ("name", "options"), [(name, ROWS[name][-1]) for name in LAYERS], ids=LAYERS
)
# The loop does not look into cells: what is not about their equations is tested with these.
FEW = pytest.mark.parametrize("name", ["LSTM", "PeepholeLSTM", "GRU", "MUT1"])
JIT = pytest.mark.parametrize("jit", [False, True], ids=["graph", "xla"])
ALL = {"return_sequences": True, "return_state": True}


@pytest.fixture
def fast(monkeypatch):
    """Counts the fast loops that are built, so that no test passes on the plain one."""
    built = []
    forward = FastLoop.forward

    def counted(self, *args):
        built.append(self)
        return forward(self, *args)

    monkeypatch.setattr(FastLoop, "forward", counted)
    return built


@pytest.fixture
def short_blocks(monkeypatch):
    """Blocks of four and two steps, and two loops side by side for a few rows."""
    monkeypatch.setattr(blocks, "_length", lambda *_: 4)
    monkeypatch.setattr(dispatch, "_WORK", 0)
    monkeypatch.setattr(dispatch, "_ROWS", 1)
    monkeypatch.setattr(dispatch, "cores", lambda: 2)


def plain(layer, **kwargs):
    """Keras's own loop over the same cell."""
    return keras.layers.RNN(layer.cell, **kwargs)


def gradients(layer, x, states=None, mask=None, *, jit=False, training=True, weights=None):
    """Results, and the gradients of weights, inputs and first states, from one graph."""
    weights = layer.trainable_weights if weights is None else weights

    @tf.function(jit_compile=jit)
    def run(x, states, mask):
        with tf.GradientTape() as tape:
            tape.watch([x, *states])
            options = {"initial_state": states} if states else {}
            outputs = tf.nest.flatten(layer(x, mask=mask, training=training, **options))
            loss = tf.add_n([tf.reduce_sum(tf.sin(o)) for o in outputs])
        return outputs, tape.gradient(loss, [*[w.value for w in weights], x, *states])

    return run(tf.constant(x), [tf.constant(s) for s in states or ()], mask)


def assert_relatively_close(actual, expected, tolerance=1e-5):
    for a, e in zip(tf.nest.flatten(actual), tf.nest.flatten(expected), strict=True):
        a, e = np.asarray(a), np.asarray(e)
        assert a.shape == e.shape
        assert np.max(np.abs(a - e), initial=0) <= tolerance * np.max(np.abs(e), initial=1e-3)


@pytest.mark.usefixtures("short_blocks")
@EVERY_CASE
def test_equals_keras_in_a_graph(name, options, fast):
    layer = make(name, options, **ALL)
    x, states = sequences(), states_of(layer)
    expected = gradients(plain(layer, **ALL), x, states, MASK)
    assert_relatively_close(gradients(layer, x, states, MASK), expected)
    assert fast


@EVERY_CASE
def test_equals_keras_compiled(name, options, fast, monkeypatch):
    monkeypatch.setattr(blocks, "_length", lambda *_: 4)
    kwargs = {**ALL, "go_backwards": True}
    layer = make(name, options, **kwargs)
    x, states = sequences(), states_of(layer)
    expected = gradients(plain(layer, **kwargs), x, states, MASK)
    assert_relatively_close(gradients(layer, x, states, MASK, jit=True), expected)
    assert fast


@pytest.mark.parametrize("length", [2, 5, 6])
@JIT
@FEW
def test_blocks_of_any_length_without_a_mask(name, length, jit, fast, monkeypatch):
    monkeypatch.setattr(blocks, "_length", lambda *_: length)
    layer = make(name, **ALL)
    expected = gradients(plain(layer, **ALL), sequences())
    assert_relatively_close(gradients(layer, sequences(), jit=jit), expected)
    assert fast


@pytest.mark.usefixtures("short_blocks")
@EVERY_LAYER
def test_equals_keras_in_float64(name, options, fast):
    layer = make(name, options, dtype="float64", **ALL)
    x, states = sequences("float64"), [s.astype("float64") for s in states_of(layer)]
    rnn = plain(layer, dtype="float64", **ALL)
    expected = gradients(rnn, x, states, MASK)
    assert_relatively_close(gradients(layer, x, states, MASK), expected, 1e-10)
    assert fast


@pytest.mark.usefixtures("short_blocks")
@JIT
@FEW
def test_computed_again_equals_kept(name, jit, fast):
    kept, again = make(name, **ALL), make(name, recompute=True, **ALL)
    x, states = sequences(), states_of(kept)
    expected = gradients(kept, x, states, MASK, jit=jit)
    assert {loop.settings.keep for loop in fast} == {True}
    fast.clear()
    assert_relatively_close(gradients(again, x, states, MASK, jit=jit), expected)
    found = gradients(kept, x, states, MASK, jit=jit, training=False)
    assert_relatively_close(found, expected)
    assert {loop.settings.keep for loop in fast} == {False}


@pytest.mark.usefixtures("short_blocks")
@FEW
def test_all_options_in_a_graph(name, fast):
    """Sequences of states, backwards, zeros for masked outputs, last output only."""
    x = sequences()
    for kwargs in (
        {"return_all_states": True, "go_backwards": True},
        {"return_sequences": True, "zero_output_for_mask": True},
        {"return_sequences": True, "return_all_states": True, "zero_output_for_mask": True},
        {},
    ):
        quick, slow = (make(name, engine=e, **kwargs) for e in ("auto", "plain"))
        for mask in (None, MASK) if not kwargs else (MASK,):
            found, expected = (gradients(la, x, states_of(la), mask) for la in (quick, slow))
            assert_relatively_close(found, expected)
    assert fast


class TestCompiledAlone:
    """`engine="xla"`: the loop is compiled, the function around it is not."""

    @pytest.mark.usefixtures("short_blocks")
    @FEW
    def test_equals_keras(self, name, fast):
        layer = make(name, engine="xla", dropout=0.0, **ALL)
        x, states = sequences(), states_of(layer)
        expected = gradients(plain(layer, **ALL), x, states, MASK)
        assert_relatively_close(gradients(layer, x, states, MASK), expected)
        assert {loop.settings.xla for loop in fast} == {True}

    def test_second_derivatives_and_dropout(self):
        rates = {"dropout": 0.3, "recurrent_dropout": 0.3, "seed": 2}
        quick, slow = (make("LSTM", engine=e, **rates) for e in ("xla", "plain"))
        assert_relatively_close(penalty(quick, False), penalty(slow, False), 1e-4)

    def test_fit_with_a_smaller_last_batch_and_predict(self):
        results = []
        for engine in ("xla", "plain"):
            layer = make("LSTM", engine=engine)
            model = keras.Sequential([keras.Input((None, FEATURES)), layer])
            model.compile(keras.optimizers.SGD(0.1), "mse")
            x, y = sequences(), np.ones((BATCH, UNITS))
            model.fit(x, y, batch_size=3, shuffle=False, verbose=0, epochs=2)
            results.append([*model.get_weights(), model.predict(x, verbose=0)])
        assert_relatively_close(*results)

    def test_in_a_compiled_function_it_is_one_with_it(self, fast):
        layer = make("LSTM", engine="xla")
        expected = gradients(plain(layer), sequences())
        assert_relatively_close(gradients(layer, sequences(), jit=True), expected)
        assert fast


@EVERY_LAYER
def test_dropout_equals_keras(name, options, fast):
    """The masks of the backward loop are those of the forward loop."""
    rates = {"dropout": 0.4, "recurrent_dropout": 0.4, "seed": 1}
    layer = make(name, options, **rates, **ALL)
    cell = klv.get_variant(name).cell_class(UNITS, **options, **rates)
    rnn = keras.layers.RNN(cell, **ALL)
    rnn.build((None, None, FEATURES))
    rnn.set_weights(layer.get_weights())
    x = sequences()
    assert_relatively_close(gradients(layer, x), gradients(rnn, x))
    assert fast


def test_dropout_compiled(fast):
    """XLA draws other masks than TensorFlow, so this compares compiled with compiled."""
    rates = {"dropout": 0.4, "recurrent_dropout": 0.4, "seed": 1}
    quick, slow = (make("LSTM", engine=e, **rates, **ALL) for e in ("auto", "plain"))
    found, expected = (gradients(la, sequences(), jit=True) for la in (quick, slow))
    assert_relatively_close(found, expected)
    assert fast


@pytest.mark.usefixtures("short_blocks")
def test_dropout_of_rows_side_by_side():
    rates = {"dropout": 0.4, "recurrent_dropout": 0.4, "seed": 1}
    quick, slow = (make("LSTM", engine=e, **rates, **ALL) for e in ("auto", "plain"))
    assert_relatively_close(gradients(quick, sequences()), gradients(slow, sequences()))


@pytest.mark.usefixtures("short_blocks")
@pytest.mark.parametrize("recompute", [False, True])
@JIT
@FEW
def test_unknown_batch_and_time(name, jit, recompute, fast):
    quick = make(name, recompute=recompute, **ALL)
    slow = make(name, engine="plain", **ALL)
    graphs = []
    for layer in (quick, slow):

        def run(x, mask, layer=layer):
            with tf.GradientTape() as tape:
                tape.watch(x)
                outputs = layer(x, mask=mask, training=True)
                loss = sum(tf.reduce_sum(tf.sin(o)) for o in outputs)
            weights = [w.value for w in layer.trainable_weights]
            return outputs, tape.gradient(loss, [x, *weights])

        signature = [
            tf.TensorSpec((None, None, FEATURES), tf.float32),
            tf.TensorSpec((None, None), tf.bool),
        ]
        graphs.append(
            tf.function(run, input_signature=signature, jit_compile=jit and layer is quick)
        )
    # XLA compiles each shape anew.
    for batch, time in [(3, 5)] if jit else [(4, 6), (2, 3), (1, 1), (3, 0), (3, 5)]:
        x, mask = sequences()[:batch, :time], MASK[:batch, :time]
        assert_relatively_close(graphs[0](x, mask), graphs[1](x, mask))
    assert fast


@JIT
@FEW
def test_tape_outside_the_graph(name, jit, fast):
    layer = make(name, **ALL)
    x = tf.constant(sequences())
    graph = tf.function(lambda x: layer(x, training=True), jit_compile=jit)
    with tf.GradientTape() as tape:
        tape.watch(x)
        loss = sum(tf.reduce_sum(tf.sin(o)) for o in graph(x))
    found = tape.gradient(loss, [*[w.value for w in layer.trainable_weights], x])
    assert_relatively_close(found, gradients(plain(layer, **ALL), x)[1])
    assert fast


def penalty(layer, jit):
    """A gradient penalty, as GANs use it: the gradient of a gradient's norm."""

    @tf.function(jit_compile=jit)
    def run(x):
        weights = [w.value for w in layer.trainable_weights]
        with tf.GradientTape() as outer:
            outer.watch(x)
            with tf.GradientTape() as inner:
                inner.watch(x)
                y = tf.reduce_sum(tf.sin(layer(x, mask=MASK, training=True)))
            size = tf.reduce_sum(inner.gradient(y, x) ** 2)
        return outer.gradient(size, [x, *weights])

    return run(tf.constant(sequences()))


@JIT
@FEW
def test_second_derivatives(name, jit, fast):
    quick, slow = (make(name, engine=e) for e in ("auto", "plain"))
    assert_relatively_close(penalty(quick, jit), penalty(slow, jit), 1e-4)
    assert fast


@pytest.mark.usefixtures("short_blocks")
def test_second_derivatives_of_rows_side_by_side(fast):
    quick, slow = (make("LSTM", engine=e) for e in ("auto", "plain"))
    assert_relatively_close(penalty(quick, False), penalty(slow, False), 1e-4)
    assert fast


def test_second_derivatives_outside_the_graph(fast):
    results = []
    for engine in ("auto", "plain"):
        layer = make("PeepholeLSTM", engine=engine)
        graph = tf.function(lambda x, layer=layer: layer(x, mask=MASK, training=True))
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


@JIT
def test_persistent_tape(jit, fast):
    for engine in ("auto", "xla"):
        layer = make("LSTM", engine=engine)

        @tf.function(jit_compile=jit)
        def run(x, layer=layer):
            with tf.GradientTape(persistent=True) as tape:
                tape.watch(x)
                y = tf.reduce_sum(tf.sin(layer(x, training=True)))
            return tape.gradient(y, x), tape.gradient(y, layer.trainable_weights[0].value)

        expected = gradients(plain(layer), sequences(), weights=layer.trainable_weights[:1])[1]
        assert_relatively_close(run(sequences()), expected[::-1])
    assert fast


def test_jacobian_in_a_graph():
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


@JIT
def test_called_twice_and_shared(jit, fast):
    layer = make("PeepholeLSTM", return_sequences=True)
    reference = plain(layer, return_sequences=True)
    weights = layer.trainable_weights

    def twice(layer):
        @tf.function(jit_compile=jit)
        def run(x):
            with tf.GradientTape() as tape:
                one = layer(x, training=True)
                two = layer(x[:, ::-1], training=True)
                loss = tf.reduce_sum(one * two)
            return tape.gradient(loss, [w.value for w in weights])

        return run(tf.constant(sequences()))

    assert_relatively_close(twice(layer), twice(reference))
    assert len(fast) == 2


def test_frozen_weights_stay_and_let_gradients_through(fast):
    inner, outer = make("LSTM", return_sequences=True), klv.GRU(UNITS)
    model = keras.Sequential([keras.Input((None, FEATURES)), inner, outer])
    outer.build((None, None, UNITS))
    outer.trainable = False
    model.compile(keras.optimizers.SGD(0.1), "mse")
    frozen, moving = outer.get_weights(), inner.get_weights()
    model.train_on_batch(sequences(), np.ones((BATCH, UNITS)))
    assert_close(outer.get_weights(), frozen, 0)
    assert all(np.any(a != b) for a, b in zip(inner.get_weights(), moving, strict=True))
    assert fast


@JIT
def test_stateful_in_graphs(jit, fast):
    whole = make("LSTM", return_sequences=True)
    halves = make("LSTM", return_sequences=True, stateful=True)
    x = sequences()
    expected = gradients(whole, x, jit=jit)[0][0]
    run = tf.function(lambda x: halves(x, training=True), jit_compile=jit)
    assert_close(np.concatenate([run(x[:, :3]), run(x[:, 3:])], 1), expected)
    assert fast


@JIT
def test_learned_first_states_get_gradients(jit, fast):
    quick, slow = (make("LSTM", engine=e, initial_state="learned") for e in ("auto", "plain"))
    found, expected = (gradients(la, sequences(), mask=MASK, jit=jit) for la in (quick, slow))
    assert_relatively_close(found, expected)
    assert fast


@JIT
def test_stacked_cells_each_in_a_fast_loop(jit, fast):
    cells = [klv.LSTMCell(UNITS), klv.GRUCell(4), klv.PeepholeLSTMCell(UNITS)]
    x = sequences()
    for kwargs in ({}, {"go_backwards": True, "return_sequences": True}):
        ours = klv.RecurrentLayer(cells, return_state=True, **kwargs)
        theirs = keras.layers.RNN(cells, return_state=True, **kwargs)
        ours.build(x.shape)
        theirs.build(x.shape)
        for mask in (None, MASK):
            found, expected = (gradients(la, x, mask=mask, jit=jit) for la in (ours, theirs))
            assert_relatively_close(found, expected)
    assert len(fast) == 12


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16", "float16"])
@pytest.mark.parametrize("name", ["LSTM", "PeepholeLSTM", "GRU"])
def test_other_precisions_in_a_graph(name, policy, fast):
    exact, layer = make(name, **ALL), make(name, dtype=policy, **ALL)
    layer.set_weights(exact.get_weights())
    outputs, found = gradients(layer, sequences().astype(layer.compute_dtype), mask=MASK)
    assert {o.dtype.name for o in outputs} == {layer.compute_dtype}
    _, expected = gradients(exact, sequences(), mask=MASK)
    found = [tf.cast(g, "float32") for g in found]
    assert_relatively_close(found, expected, 2e-2 if "bfloat" not in policy else 1e-1)
    assert fast


@pytest.mark.parametrize("name", ["LSTM", "PeepholeLSTM", "GRU"])
def test_long_sequences(name, fast):
    """At 100 steps equal to Keras; at 1000, no further from float64 than Keras."""
    random = np.random.default_rng(0)
    for time in (100, 1000):
        x = random.normal(size=(2, time, FEATURES)).astype("float32")
        layer = make(name, return_sequences=True)
        found, keras_own = gradients(layer, x), gradients(plain(layer, return_sequences=True), x)
        if time == 100:
            assert_relatively_close(found, keras_own)
            continue
        exact = make(name, return_sequences=True, dtype="float64")
        exact.set_weights(layer.get_weights())
        truth = gradients(plain(exact, return_sequences=True, dtype="float64"), x.astype(float))
        as_arrays = [[np.asarray(v) for v in tf.nest.flatten(r)] for r in (found, keras_own, truth)]
        for ours, theirs, true in zip(*as_arrays, strict=True):
            size = np.max(np.abs(true))
            distance = np.max(np.abs(theirs - true))
            assert np.max(np.abs(ours - true)) <= max(2 * distance, 2e-6 * size)
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
    @JIT
    @pytest.mark.parametrize("name", ["LSTM", "GRU", "FGRLSTM"])
    def test_gradients(self, name, jit, engine, option, between):
        layer = make(name, engine=engine, **option, **ALL)
        x, states = sequences(), states_of(layer)
        found = gradients(layer, x, states, jit=jit)[1]
        assert_relatively_close(found, by_hand(layer, x, states, between))
        whole = gradients(make(name, **ALL), x, states)[1]
        assert not np.allclose(found[0], whole[0], rtol=1e-3)

    def test_masked_steps_hand_gradients_on(self):
        options = {"stop_gradient_every": 3, "clip_state_gradients": 0.1}
        quick, slow = (make("LSTM", engine=e, **options, **ALL) for e in ("auto", "plain"))
        x, states = sequences(), states_of(quick)
        found, expected = (gradients(la, x, states, MASK) for la in (quick, slow))
        assert_relatively_close(found, expected)

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


class TestOtherCells:
    """Cells that never heard of the engine, and cells that it must leave to the plain loop."""

    def same_as_keras(self, cell, jit=False, training=True):
        x = sequences()
        ours, theirs = klv.RecurrentLayer(cell, **ALL), keras.layers.RNN(cell, **ALL)
        ours.build(x.shape)
        theirs.build(x.shape)
        weights = cell.trainable_weights
        found, expected = (
            gradients(la, x, mask=MASK, jit=jit, training=training, weights=weights)
            for la in (ours, theirs)
        )
        assert_relatively_close(found, expected)

    @JIT
    @pytest.mark.parametrize("cell", [keras.layers.LSTMCell, keras.layers.GRUCell])
    def test_keras_own(self, cell, jit, fast):
        self.same_as_keras(cell(UNITS), jit)
        assert not fast

    @JIT
    def test_weights_that_are_multiplied_in_the_step_itself(self, jit, fast):
        class OwnProductCell(klv.Cell):
            state_names = ("h", "s")

            def build(self, shape):
                self.w = self.add_weight((shape[-1], self.units))
                self.u = self.add_weight((self.units, self.units))
                self.scale = self.add_weight((self.units,), initializer="ones")

            def project_inputs(self, x, training=False):
                return {"x": x, "z": keras.ops.matmul(x, self.w)}

            def step(self, z, states, training=False):
                h, s = states
                a = z["z"] + keras.ops.matmul(h, self.u * self.scale) + self.product(s, self.u)
                h = keras.ops.tanh(a) * self.scale
                return h, 0.5 * s + h * keras.ops.mean(z["x"], axis=-1, keepdims=True)

            def output(self, states):
                return states[0] + 2 * states[1]

        self.same_as_keras(OwnProductCell(UNITS), jit)
        assert fast

    @JIT
    def test_products_of_the_projected_input(self, jit, fast):
        class OwnProjectionCell(klv.Cell):
            def build(self, shape):
                self.w = self.add_weight((shape[-1], self.units))
                self.u = self.add_weight((self.units, self.units))

            def step(self, x, states, training=False):
                a = self.product(states[0], self.u, onto=self.product(x, self.w))
                return (keras.ops.tanh(a),)

        self.same_as_keras(OwnProjectionCell(UNITS), jit)
        assert fast

    def test_every_other_column(self, fast):
        class SteppedCell(klv.ElmanCell):
            def step(self, z, states, training=False):
                other = self.product(states[0], self.recurrent_kernel, slice(0, None, 2))
                size = keras.ops.sum(other, axis=-1, keepdims=True)
                return super().step(z + size, states, training)

        self.same_as_keras(SteppedCell(UNITS))
        assert fast

    def test_a_projection_that_updates_a_variable(self, fast):
        class CountingCell(klv.ElmanCell):
            def build(self, shape):
                super().build(shape)
                self.steps = self.add_weight((), initializer="zeros", trainable=False)

            def project_inputs(self, inputs, training=False):
                self.steps.assign_add(1)
                return super().project_inputs(inputs, training)

        cell = CountingCell(UNITS)
        tf.function(klv.RecurrentLayer(cell))(sequences())
        assert not fast
        assert float(cell.steps.value) == TIME

    def test_a_stack_with_a_call_of_its_own(self, fast):
        class Residual(keras.layers.StackedRNNCells):
            def call(self, inputs, states, training=False, **kwargs):
                output, states = super().call(inputs, states, training=training, **kwargs)
                return output + keras.ops.mean(inputs), states

        self.same_as_keras(Residual([klv.LSTMCell(UNITS), klv.GRUCell(UNITS)]))
        assert not fast

    def test_a_cell_that_advances_in_its_own_way(self, fast):
        class DoubledCell(klv.ElmanCell):
            def advance(self, z, states, training=False):
                output, states = super().advance(z, states, training)
                return 2 * output, states

        self.same_as_keras(DoubledCell(UNITS))
        assert not fast

    def test_a_layer_inside_that_is_built_on_first_use(self, fast):
        class DenseCell(klv.ElmanCell):
            def __init__(self, *args, **kwargs):
                super().__init__(*args, **kwargs)
                self.dense = keras.layers.Dense(self.units)

            def build(self, shape):
                super().build(shape)
                self.dense.build((None, self.units))

            def step(self, z, states, training=False):
                return super().step(z + self.dense(states[0]), states, training)

        self.same_as_keras(DenseCell(UNITS))
        assert fast

    def test_a_step_that_draws_random_numbers(self, fast):
        class NoisyCell(klv.ElmanCell):
            def step(self, z, states, training=False):
                noise = keras.random.normal(states[0].shape[1:], seed=self.seed_generator)
                return super().step(z + 0 * noise, states, training)

        self.same_as_keras(NoisyCell(UNITS))
        assert not fast

    def test_a_step_that_updates_a_variable(self, fast):
        class CountingCell(klv.ElmanCell):
            def build(self, shape):
                super().build(shape)
                self.steps = self.add_weight((), initializer="zeros", trainable=False)

            def step(self, z, states, training=False):
                self.steps.assign_add(1)
                return super().step(z, states, training)

        cell = CountingCell(UNITS)
        tf.function(klv.RecurrentLayer(cell))(sequences())
        assert not fast
        assert float(cell.steps.value) == TIME

    def test_a_step_that_uses_what_is_not_its_own(self, fast):
        foreign = tf.Variable(tf.ones((UNITS,)))

        class ForeignCell(klv.ElmanCell):
            def step(self, z, states, training=False):
                return super().step(z * foreign, states, training)

        layer = klv.RecurrentLayer(ForeignCell(UNITS))

        @tf.function
        def run(x):
            with tf.GradientTape() as tape:
                y = tf.reduce_sum(layer(x, training=True))
            return tape.gradient(y, foreign)

        assert np.any(run(sequences()) != 0)
        assert not fast

    def test_a_tensor_from_outside_keeps_its_gradient(self, fast):
        class MemoryCell(klv.ElmanCell):
            memory = None

            def step(self, z, states, training=False):
                return super().step(z + self.memory, states, training)

        cell = MemoryCell(UNITS)
        layer = klv.RecurrentLayer(cell)
        layer.build((None, None, FEATURES))

        @tf.function
        def run(x, memory):
            with tf.GradientTape() as tape:
                tape.watch(memory)
                cell.memory = memory * 2
                y = tf.reduce_sum(layer(x, training=True))
            return tape.gradient(y, memory)

        assert np.any(run(sequences(), tf.ones((BATCH, UNITS))) != 0)
        assert not fast

    def test_an_error_in_a_step_is_the_users_own(self):
        class BrokenCell(klv.Cell):
            def step(self, x, states, training=False):
                return (x + states[0], x)

        layer = klv.RecurrentLayer(BrokenCell(FEATURES))
        with pytest.raises(ValueError, match="BrokenCell.step must return a tuple of 1 states"):
            tf.function(layer)(sequences())


def test_it_knows_when_xla_compiles(monkeypatch):
    """A private function of TensorFlow tells: this test fails when it does so no longer."""
    told = []

    class TellingCell(klv.ElmanCell):
        def step(self, z, states, training=False):
            told.append(xla.compiled_by_xla())
            return super().step(z, states, training)

    for jit in (False, True):
        model = keras.Sequential(
            [keras.Input((None, FEATURES)), klv.RecurrentLayer(TellingCell(2))]
        )
        model.compile("sgd", "mse", jit_compile=jit)
        told.clear()
        model.fit(sequences(), np.ones((BATCH, 2)), verbose=0)
        assert set(told) == {jit}


@pytest.mark.parametrize("steps", [1, 7, 64, 100, 101, 500, 997, 5000])
@pytest.mark.parametrize("rows", [1, 32, 1000])
@pytest.mark.parametrize("columns", [1, 256, 4096])
def test_blocks_cover_all_steps_once(steps, rows, columns):
    for compiled in (False, True):
        parts = blocks.Blocks(steps, rows, columns, compiled)
        lengths = [int(parts.length_of(j)) for j in range(parts.count)]
        assert sum(lengths) == steps
        assert max(lengths) <= parts.length <= blocks._LONGEST
        assert min(lengths) > 0


@settings(max_examples=40, deadline=None, derandomize=True)
@given(data=st.data())
def test_equals_keras_whatever_the_shapes_masks_and_options(data):
    name = data.draw(st.sampled_from(LAYERS))
    batch, time, features, units = (data.draw(st.integers(1, n)) for n in (5, 9, 4, 6))
    options = data.draw(st.sampled_from(ROWS[name]))
    kwargs = {
        "return_sequences": data.draw(st.booleans()),
        "go_backwards": data.draw(st.booleans()),
        "zero_output_for_mask": data.draw(st.booleans()),
        "return_state": True,
    }
    recompute, use_bias = data.draw(st.booleans()), data.draw(st.booleans())
    bits = st.lists(st.booleans(), min_size=batch * time, max_size=batch * time)
    mask = data.draw(st.one_of(st.none(), bits))
    mask = None if mask is None else np.array(mask).reshape(batch, time)
    random = np.random.default_rng(data.draw(st.integers(0, 1000)))
    layer = klv.get_variant(name)(
        units, **options, **kwargs, use_bias=use_bias, recompute=recompute
    )
    layer.build((None, None, features))
    layer.set_weights([0.5 * random.normal(size=w.shape) for w in layer.get_weights()])
    x = random.normal(size=(batch, time, features)).astype("float32")
    length = data.draw(st.integers(1, time))
    before = blocks._length
    blocks._length = lambda *_: length
    try:
        found = gradients(layer, x, mask=mask, training=data.draw(st.booleans()))
    finally:
        blocks._length = before
    expected = gradients(plain(layer, **kwargs), x, mask=mask)
    assert_relatively_close(found, expected)
