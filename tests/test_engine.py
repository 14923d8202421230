"""The fast loop: equal to Keras's own loop over the same cell, results and all gradients."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from cases import (
    BATCH,
    FEATURES,
    MASK,
    TIME,
    UNITS,
    assert_close,
    make,
    sequences,
    states_of,
)
from graphs import (
    ALL,
    EVERY_PROTOCOL,
    JIT,
    assert_relatively_close,
    cells,
    gradients,
    penalty,
    plain,
    step_by_step,
)
from tiers import quick_first

import keras_lstm_variants as klv
from keras_lstm_variants.backend import xla
from keras_lstm_variants.engine.tensorflow import chunks, divide
from keras_lstm_variants.engine.tensorflow.fast import Residuals

pytestmark = pytest.mark.usefixtures("forgotten_after_each_test")


@pytest.mark.usefixtures("short_blocks")
@EVERY_PROTOCOL
@pytest.mark.slow
def test_equals_keras_in_a_graph(name, options, fast):
    layer = make(name, options, **ALL)
    x, states = sequences(), states_of(layer)
    expected = step_by_step(plain(layer, **ALL), x, states, MASK)
    assert_relatively_close(gradients(layer, x, states, MASK), expected)
    assert fast


@pytest.mark.parametrize(
    ("name", "length"), [("LSTM", 2), ("PeepholeLSTM", 5), ("GRU", 6), ("GridLSTM", 5)]
)
@JIT
@pytest.mark.slow
def test_blocks_of_any_length_without_a_mask(name, length, jit, fast, monkeypatch):
    monkeypatch.setattr(chunks, "_length", lambda *_: length)
    layer = make(name, **ALL)
    expected = step_by_step(plain(layer, **ALL), sequences())
    assert_relatively_close(gradients(layer, sequences(), jit=jit), expected)
    assert fast


@pytest.mark.usefixtures("short_blocks")
@quick_first(EVERY_PROTOCOL)
def test_equals_keras_in_float64(name, options, fast):
    layer = make(name, options, dtype="float64", **ALL)
    x, states = sequences("float64"), [s.astype("float64") for s in states_of(layer)]
    rnn = plain(layer, dtype="float64", **ALL)
    expected = step_by_step(rnn, x, states, MASK)
    assert_relatively_close(gradients(layer, x, states, MASK), expected, 1e-10)
    assert fast


@pytest.mark.usefixtures("short_blocks")
@cells(["LSTM", "PeepholeLSTM", "GRU", "MUT1"], compiled=["MUT1"])
@pytest.mark.slow
def test_computed_again_equals_kept(name, jit, fast, monkeypatch):
    rates = {"dropout": 0.4, "recurrent_dropout": 0.4, "seed": 1}
    x = sequences()

    def found(keep, training=True, **options):
        layer = make(name, **rates, **options, **ALL)
        fast.clear()
        results = gradients(layer, x, states_of(layer), MASK, jit=jit, training=training)
        assert {loop.settings.residuals for loop in fast} == {keep}
        return results

    expected = found(Residuals.ALL)
    assert_relatively_close(found(Residuals.STARTS, recompute=True), expected)
    inference = found(Residuals.STARTS, training=False)
    monkeypatch.setattr(divide, "_KEPT", 0)
    assert_relatively_close(found(Residuals.STATES), expected)
    slow = make(name, engine="plain", **rates, **ALL)
    # XLA draws other masks than TensorFlow does.
    whole = gradients(slow, x, states_of(slow), MASK, jit=jit or None)
    assert_relatively_close(whole, expected)
    whole = step_by_step(slow, x, states_of(slow), MASK, training=False)
    assert_relatively_close(inference, whole)


@pytest.mark.usefixtures("short_blocks")
@pytest.mark.parametrize("name", ["LSTM", "ClockworkLSTM"])
@pytest.mark.slow
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
            expected = step_by_step(slow, x, states_of(slow), mask)
            assert_relatively_close(gradients(quick, x, states_of(quick), mask), expected)
    assert fast


class TestCompiledAlone:
    """`engine="xla"`: the loop is compiled, the function around it is not."""

    @pytest.mark.usefixtures("short_blocks")
    @pytest.mark.slow
    @pytest.mark.parametrize("name", ["PeepholeLSTM", "MUT1"])
    def test_equals_keras(self, name, fast):
        layer = make(name, engine="xla", dropout=0.0, **ALL)
        x, states = sequences(), states_of(layer)
        expected = step_by_step(plain(layer, **ALL), x, states, MASK)
        assert_relatively_close(gradients(layer, x, states, MASK), expected)
        assert {loop.settings.xla for loop in fast} == {True}

    @pytest.mark.slow
    def test_second_derivatives_and_dropout(self):
        rates = {"dropout": 0.3, "recurrent_dropout": 0.3, "seed": 2}
        quick, slow = (make("LSTM", engine=e, **rates) for e in ("xla", "plain"))
        assert_relatively_close(penalty(quick, False), penalty(slow, None), 1e-4)

    @pytest.mark.slow
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

    @pytest.mark.parametrize("engine", ["auto", "xla", "plain"])
    def test_no_step_where_the_number_is_unknown(self, engine):
        layer = make("LSTM", engine=engine, return_sequences=True)
        signature = [tf.TensorSpec((None, None, FEATURES), tf.float32)]
        run = tf.function(lambda x: layer(x), input_signature=signature)
        assert run(sequences()[:, :0]).shape == (BATCH, 0, UNITS)
        assert run(sequences()).shape == (BATCH, TIME, UNITS)

    def test_in_a_compiled_function_it_is_one_with_it(self, fast):
        layer = make("LSTM", engine="xla")
        expected = step_by_step(plain(layer), sequences())
        assert_relatively_close(gradients(layer, sequences(), jit=True), expected)
        assert fast


@quick_first(EVERY_PROTOCOL)
def test_dropout_equals_keras(name, options, fast):
    """The masks of the backward loop are those of the forward loop."""
    rates = {"dropout": 0.4, "recurrent_dropout": 0.4, "seed": 1}
    layer = make(name, options, **rates, **ALL)
    cell = klv.get_variant(name).cell_class(UNITS, **options, **rates)
    rnn = keras.layers.RNN(cell, **ALL)
    rnn.build((None, None, FEATURES))
    rnn.set_weights(layer.get_weights())
    x = sequences()
    assert_relatively_close(gradients(layer, x), step_by_step(rnn, x))
    assert fast


@pytest.mark.slow
def test_dropout_compiled(fast):
    """XLA draws other masks than TensorFlow, so this compares compiled with compiled."""
    rates = {"dropout": 0.4, "recurrent_dropout": 0.4, "seed": 1}
    quick, slow = (make("LSTM", engine=e, **rates, **ALL) for e in ("auto", "plain"))
    found, expected = (gradients(la, sequences(), jit=True) for la in (quick, slow))
    assert_relatively_close(found, expected)
    assert fast


@pytest.mark.usefixtures("short_blocks")
def test_dropout_of_rows_side_by_side(fast):
    rates = {"dropout": 0.4, "recurrent_dropout": 0.4, "seed": 1}
    quick, slow = (make("LSTM", engine=e, **rates, **ALL) for e in ("auto", "plain"))
    assert_relatively_close(gradients(quick, sequences()), step_by_step(slow, sequences()))
    # The shapes of what was traced: half of the rows.
    assert {loop.output.shape[0] for loop in fast} == {BATCH // 2}


@pytest.mark.parametrize("engine", ["auto", "plain"])
def test_vectorised_rows_keep_the_order_of_their_steps(engine):
    layer = make("LSTM", engine=engine, return_sequences=True)

    @tf.function(autograph=False)
    def row_by_row(x):
        return tf.vectorized_map(lambda row: layer(row[tf.newaxis])[0], x)

    assert_close(row_by_row(sequences()), layer(sequences()))


@pytest.mark.slow
def test_vectorised_gradients_through_a_function_of_the_plain_loop():
    layer = make("LSTM", engine="plain")
    weights = [w.value for w in layer.trainable_weights]
    inner = tf.function(layer, autograph=False)

    def row(x):
        with tf.GradientTape() as tape:
            tape.watch(weights)
            y = tf.reduce_sum(inner(x[tf.newaxis]))
        return tape.gradient(y, weights)

    found = tf.function(lambda x: tf.vectorized_map(row, x), autograph=False)(sequences())
    expected = zip(*map(row, tf.constant(sequences())), strict=True)
    assert_close(found, [np.stack(rows) for rows in expected], 1e-5)


@JIT
def test_called_twice_and_shared(jit, fast):
    layer = make("PeepholeLSTM", return_sequences=True)
    reference = plain(layer, return_sequences=True)
    weights = layer.trainable_weights

    def twice(layer, graph):
        def run(x):
            with tf.GradientTape() as tape:
                one = layer(x, training=True)
                two = layer(x[:, ::-1], training=True)
                loss = tf.reduce_sum(one * two)
            return tape.gradient(loss, [w.value for w in weights])

        return graph(run)(tf.constant(sequences()))

    expected = twice(reference, lambda run: run)
    assert_relatively_close(twice(layer, tf.function(jit_compile=jit)), expected)
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
    expected = whole(x)
    run = tf.function(lambda x: halves(x, training=True), jit_compile=jit)
    assert_close(np.concatenate([run(x[:, :3]), run(x[:, 3:])], 1), expected)
    assert fast


@JIT
def test_learned_first_states_get_gradients(jit, fast):
    quick, slow = (make("LSTM", engine=e, initial_state="learned") for e in ("auto", "plain"))
    expected = step_by_step(slow, sequences(), mask=MASK)
    assert_relatively_close(gradients(quick, sequences(), mask=MASK, jit=jit), expected)
    assert fast


@pytest.mark.slow
@JIT
def test_stacked_cells_each_in_a_fast_loop(jit, fast):
    cells = [klv.LSTMCell(UNITS), klv.GRUCell(4), klv.PeepholeLSTMCell(UNITS)]
    x = sequences()
    for kwargs in ({}, {"go_backwards": True, "return_sequences": True}):
        ours = klv.RecurrentLayer(cells, return_state=True, **kwargs)
        theirs = keras.layers.RNN(cells, return_state=True, **kwargs)
        ours.build(x.shape)
        theirs.build(x.shape)
        for mask in (MASK,) if jit else (None, MASK):
            expected = step_by_step(theirs, x, mask=mask)
            assert_relatively_close(gradients(ours, x, mask=mask, jit=jit), expected)
    assert len(fast) == (6 if jit else 12)


@pytest.mark.parametrize(
    ("name", "policy"),
    [
        ("LSTM", "mixed_float16"),
        ("PeepholeLSTM", "mixed_bfloat16"),
        ("GRU", "float16"),
        ("ClockworkLSTM", "mixed_float16"),
    ],
)
def test_other_precisions_in_a_graph(name, policy, fast):
    exact, layer = make(name, **ALL), make(name, dtype=policy, **ALL)
    layer.set_weights(exact.get_weights())
    outputs, found = gradients(layer, sequences().astype(layer.compute_dtype), mask=MASK)
    assert {o.dtype.name for o in outputs} == {layer.compute_dtype}
    _, expected = step_by_step(exact, sequences(), mask=MASK)
    found = [tf.cast(g, "float32") for g in found]
    assert_relatively_close(found, expected, 2e-2 if "bfloat" not in policy else 1e-1)
    assert fast


@pytest.mark.slow
@pytest.mark.parametrize("name", ["PeepholeLSTM", "GRU"])
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
