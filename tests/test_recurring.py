"""The fast loop as it is compiled for shapes that come back: when it is, and that it is right."""

import logging
import os
import subprocess
import sys
from typing import NamedTuple

import keras
import numpy as np
import pytest
import tensorflow as tf
from cases import BATCH, FEATURES, MASK, TIME, UNITS, make, sequences, states_of
from graphs import ALL, EVERY_PROTOCOL, assert_relatively_close, gradients, penalty, step_by_step
from keras import ops

import keras_lstm_variants as klv
from keras_lstm_variants.engine.tensorflow import divide, kept, recurring, trace, varying

pytestmark = pytest.mark.usefixtures("forgotten_after_each_test")


@pytest.fixture
def forms(monkeypatch):
    """Short loops are compiled as well; whether each call asked for the compiled form."""
    monkeypatch.setattr(divide, "_FEW", 1)
    asked = []
    count = recurring.has_come_back

    def counted(*args):
        often = count(*args)
        tf.numpy_function(lambda *values: asked.append(any(values)), often, [])
        return often

    monkeypatch.setattr(recurring, "has_come_back", counted)
    return asked


class Form(NamedTuple):
    """Which form runs from the first call on."""

    compiled: bool
    known: bool = True  # the number of steps
    one_size: bool = False  # chunks of any length are four steps, and one of two is filled up

    def gradients(self, layer, *args, **kwargs):
        return gradients(layer, *args, any_length=not self.known, **kwargs)


FORMS = {
    "known": Form(False),
    "known, compiled": Form(True),
    "any length": Form(False, False),
    "any length, compiled": Form(True, False),
    "any length, compiled in one size": Form(True, False, True),
}


KNOWN = pytest.mark.parametrize(
    "form", [FORMS["known"], FORMS["known, compiled"]], ids=["known", "compiled"], indirect=True
)


@pytest.fixture(
    params=[pytest.param(f, marks=[pytest.mark.slow] * (f != Form(False))) for f in FORMS.values()],
    ids=FORMS,
)
def form(request, monkeypatch, forms):
    form = request.param
    monkeypatch.setattr(recurring, "ENOUGH", 0 if form.compiled else 2**39)
    if form.one_size:
        monkeypatch.setattr(recurring._Counter, "_seen", lambda _, batch, length, *__: length == 0)
    monkeypatch.setattr(recurring, "_AGAIN", 0)
    monkeypatch.setattr(varying, "_LONGEST", 4)
    monkeypatch.setattr(varying, "_ENOUGH", 1)
    return form


@EVERY_PROTOCOL
def test_equals_step_by_step(name, options, form, forms, monkeypatch):
    monkeypatch.setattr(divide, "cores", lambda: 2)
    monkeypatch.setattr(divide, "_ROWS", 1)
    layer = make(name, options, return_all_states=True, **ALL)
    slow = make(name, options, engine="plain", return_all_states=True, **ALL)
    slow.set_weights(layer.get_weights())
    x, states = sequences(), states_of(layer)
    found = form.gradients(layer, x, states, MASK)
    assert_relatively_close(found, step_by_step(slow, x, states, MASK))
    assert forms == [form.compiled]


@pytest.mark.parametrize(
    "kwargs",
    [
        {"go_backwards": True, "zero_output_for_mask": True, "return_sequences": True},
        {"recompute": True, "return_state": True},
        {"stop_gradient_every": 2, "clip_state_gradients": 0.05},
        {"dropout": 0.4, "recurrent_dropout": 0.4, "seed": 1},
    ],
    ids=lambda kwargs: next(iter(kwargs)),
)
def test_options(kwargs, form, forms):
    layer, slow = make("GRU", **kwargs), make("GRU", engine="plain", **kwargs)
    found = form.gradients(layer, sequences(), mask=MASK)
    assert_relatively_close(found, step_by_step(slow, sequences(), mask=MASK))
    assert forms == [form.compiled]


@pytest.mark.slow
def test_second_derivatives(form, forms):
    layer, slow = make("LSTM", return_sequences=True), make("LSTM", engine="plain", **ALL)
    slow.return_state = False
    found = penalty(layer, False, any_length=not form.known)
    assert_relatively_close(found, penalty(slow, None))
    assert forms == [form.compiled]


@pytest.mark.slow
def test_a_persistent_tape_around_a_function(form, forms):
    """TensorFlow then differentiates all that is in it, though in vain."""
    layer, x = make("LSTM"), tf.constant(sequences())
    weights = [w.value for w in layer.trainable_weights]
    spec = tf.TensorSpec([len(x), TIME if form.known else None, FEATURES])
    call = tf.function(lambda x: layer(x, training=True), autograph=False, input_signature=[spec])

    def slopes(call):
        with tf.GradientTape(persistent=True) as tape:
            y = tf.sin(call(x))
        return tape.gradient(y, weights)

    assert_relatively_close(slopes(call), slopes(layer))
    assert forms == [form.compiled]


def test_a_shape_is_compiled_once_it_has_come_back(forms, monkeypatch):
    monkeypatch.setattr(recurring, "ENOUGH", 3 * TIME)
    layer = make("Elman")
    weights = [w.value for w in layer.trainable_weights]

    @tf.function(input_signature=[tf.TensorSpec((None, TIME, FEATURES))])
    def step(x):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(layer(x, training=True))
        return tape.gradient(loss, weights)

    x = sequences()
    for batch in (x, x[:2], x, x, x[:2], x):
        step(batch)
    assert forms == [False, False, False, True, False, True]


def test_no_more_shapes_than_worth_it(monkeypatch):
    monkeypatch.setattr(recurring, "ENOUGH", 5)
    monkeypatch.setattr(recurring, "_SHAPES", 2)
    counter = recurring._Counter()
    steps = tf.constant(3, tf.int64)
    batches = [tf.constant(rows, tf.int64) for rows in (1, 2, 3)] * 3
    often = [bool(counter.count(batch, steps)[0]) for batch in batches]
    assert often == [False] * 3 + [True, True, False] * 2


def test_one_length_or_many(monkeypatch):
    """What nearly all sequences have is compiled for its length, and what varies for all lengths.

    So much of each: three quarters for a length, everything for any; none where both would be.
    """
    monkeypatch.setattr(recurring, "ENOUGH", 40)

    def answers(*lengths):
        counter, batch = recurring._Counter(), tf.constant(2, tf.int64)
        often = [counter.count_any(batch, tf.constant(n, tf.int64)) for n in lengths]
        return [(bool(whole), bool(any_length)) for whole, any_length in often]

    neither, whole, any_length = (False, False), (True, False), (False, True)
    assert answers(10, 10, 10, 10) == [neither, neither, whole, whole]
    assert answers(10, 11, 12, 13, 10, 10) == [*[neither] * 3, *[any_length] * 3]
    # Others beside it are compiled for any length once there is enough of them.
    others = [neither, any_length]
    assert answers(10, 10, 10, 19, 12, 10) == [neither, neither, whole, *others, whole]
    # One long sequence is not many.
    assert answers(50, 60, 60) == [neither, any_length, any_length]
    assert answers(50, 50) == [neither, whole]


@pytest.mark.slow
@pytest.mark.processes
def test_all_lengths_share_what_is_compiled(tmp_path):
    """Forwards and backwards, once: XLA writes down what it compiles."""
    script = tmp_path / "lengths.py"
    script.write_text(LENGTHS)
    flags = os.environ.get("XLA_FLAGS", "") + f" --xla_dump_to={tmp_path}"
    subprocess.run([sys.executable, script], check=True, env={**os.environ, "XLA_FLAGS": flags})
    loops = [p.name for p in tmp_path.glob("*after_optimizations.txt") if "lambda" in p.name]
    assert len(loops) == 2, loops


LENGTHS = """
import tensorflow as tf
import keras_lstm_variants as klv
from keras_lstm_variants.engine.tensorflow import recurring, varying

recurring.ENOUGH, varying._LONGEST, varying._ENOUGH = 20, 8, 1
layer = klv.LSTM(4)
layer.build((None, None, 3))


@tf.function(input_signature=[tf.TensorSpec((None, None, 3))])
def step(x):
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(layer(x, training=True))
    return tape.gradient(loss, [w.value for w in layer.trainable_weights])


for length in range(5, 25):
    step(tf.ones((2, length, 3)))
"""


def model_of(*layers):
    model = keras.Sequential([keras.Input((TIME, FEATURES)), *layers, keras.layers.Dense(1)])
    model.compile("adam", "mse")
    return model


@pytest.mark.slow
def test_fit_evaluate_and_predict(forms, monkeypatch, tmp_path):
    monkeypatch.setattr(recurring, "ENOUGH", 3 * TIME)
    random = np.random.default_rng(0)
    x = random.normal(size=(12, TIME, FEATURES)).astype("float32")
    y = x[:, :1, 0]

    def trained(engine):
        keras.utils.set_random_seed(1)
        model = model_of(klv.LSTM(UNITS, engine=engine))
        history = model.fit(x, y, batch_size=3, epochs=2, verbose=0).history["loss"]
        model.evaluate(x, y, batch_size=3, verbose=0)
        return model, history, model.predict(x, batch_size=3, verbose=0)

    model, history, predicted = trained("auto")
    # Steps of training, of evaluation and of prediction count alike.
    assert forms == [False] * 2 + [True] * 14
    assert trained("auto")[1] == history
    _, slow, by_step = trained("plain")
    np.testing.assert_allclose(history, slow, rtol=1e-4)
    np.testing.assert_allclose(predicted, by_step, rtol=1e-4, atol=1e-5)
    # Neither form is in what is saved.
    model.export(tmp_path, verbose=False)
    assert b"_XlaMustCompile" not in (tmp_path / "saved_model.pb").read_bytes()
    loaded = tf.saved_model.load(tmp_path)
    np.testing.assert_allclose(loaded.serve(x), predicted, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_who_is_compiled_says_so():
    layer = klv.LSTM(100)
    for shape, training, told in (
        (
            (None, 40, 3),
            True,
            "(compiled by XLA for shapes of which 4096 time steps have been run)",
        ),
        ((None, 40, 3), False, "may be exported"),
        ((None, None, 3), True, "(compiled by XLA for batch sizes of which 4096 time steps"),
        ((None, 5, 3), True, "fewer than 25 steps"),
        ((4000, 40, 3), True, "products as large"),
    ):
        assert told in layer.explain_engine(shape, training=training)
    exact = klv.LSTM(UNITS, dtype="float64")
    assert "in float64 wrongly" in exact.explain_engine((None, 40, 3))
    assert "(compiled by XLA)" in klv.LSTM(UNITS, engine="xla").explain_engine((None, None, 3))


class StringsCell(klv.AffineCell):
    """Its step is none that XLA can compile."""

    gates = ("g",)

    def step(self, z, states, training=False):
        h = ops.tanh(z + self.recurrent_matmul(states[0], training=training))
        same = tf.strings.to_number(tf.strings.as_string(h, precision=9))
        h = h + tf.stop_gradient(same - h)
        return h, (h,)


def test_what_xla_refuses_stays_uncompiled(forms, monkeypatch, caplog):
    monkeypatch.setattr(recurring, "ENOUGH", 0)
    layer = klv.RecurrentLayer(StringsCell(UNITS))
    layer.build((None, None, FEATURES))
    with caplog.at_level(logging.INFO, "keras_lstm_variants"):
        found = gradients(layer, sequences())
    assert_relatively_close(found, step_by_step(layer, sequences()), 1e-4)
    assert caplog.text.count("is not compiled: XLA refuses it") == 1
    assert "XLA refuses it" in layer.explain_engine((BATCH, TIME, FEATURES))


@tf.custom_gradient
def with_strings_backwards(x):
    """x, whose gradient XLA cannot compile."""
    return tf.identity(x), lambda d: tf.strings.to_number(tf.strings.as_string(d, precision=9))


class BackwardsCell(klv.ElmanCell):
    """XLA can compile its step alone."""

    def step(self, z, states, training=False):
        return super().step(with_strings_backwards(z), states, training)


@pytest.mark.slow
def test_what_xla_refuses_backwards(form, forms, monkeypatch):
    """In the graph that finds it out chunks have been kept by a compiled loop; later ones know."""
    monkeypatch.setattr(divide, "loops_of", lambda _: kept.Loops())
    layer = klv.RecurrentLayer(BackwardsCell(UNITS))
    layer.build((None, None, FEATURES))
    found = form.gradients(layer, sequences(), mask=MASK)
    assert_relatively_close(found, step_by_step(layer, sequences(), mask=MASK), 1e-4)
    assert forms == [form.compiled]
    monkeypatch.undo()
    assert "XLA refuses it" in layer.explain_engine((BATCH, TIME, FEATURES))


@pytest.mark.slow
def test_no_steps(form):
    """The output is zero, and the states are what they were."""
    x, layer = sequences()[:, :0], make("LSTM", return_state=True)
    states = states_of(layer)
    found = Form.gradients(form._replace(known=False), layer, x, states)
    assert_relatively_close(found, step_by_step(layer, x, states))


class ScaledCell(klv.ElmanCell):
    """With an attribute that is none of its arguments."""

    scale = 1.0

    def step(self, z, states, training=False):
        return super().step(self.scale * z, states, training)


@pytest.mark.parametrize(
    ("kind", "name", "value"),
    [
        (klv.ElmanCell, "activation", keras.activations.relu),
        (ScaledCell, "scale", 3.0),
    ],
)
@KNOWN
@pytest.mark.slow
def test_a_changed_cell_is_traced_anew(kind, name, value, form):
    layer = klv.RecurrentLayer(kind(UNITS))
    layer.build((None, None, FEATURES))
    before = gradients(layer, sequences())
    setattr(layer.cell, name, value)
    after = gradients(layer, sequences())
    assert_relatively_close(after, step_by_step(layer, sequences()))
    assert np.max(np.abs(before[0][0] - after[0][0])) > 1e-3


def test_a_step_is_tried_out_once_for_all_graphs(monkeypatch):
    tried, try_out = [], trace._tried
    monkeypatch.setattr(trace, "_tried", lambda *of: tried.append(of) or try_out(*of))
    layer = make("LSTM")

    def times(training):
        tf.function(lambda x: layer(x, training=training), autograph=False)(sequences())
        return len(tried)

    assert [times(False), times(False), times(True), times(True)] == [1, 1, 2, 2]
    layer.cell.activation = keras.activations.relu
    assert times(True) == 3


def test_a_function_is_traced_once():
    """It would be twice if a variable were made in it."""
    layer, traced = make("Elman"), []

    @tf.function(autograph=False)
    def step(x):
        traced.append(x)
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(layer(x, training=True))
        return tape.gradient(loss, layer.trainable_weights[0].value)

    step(tf.ones((2, 30, FEATURES)))
    assert len(traced) == 1


def test_what_a_changed_cell_has_is_never_taken_for_what_it_had():
    """Freed objects leave their ids to others."""
    cell, facts = make("LSTM").cell, set()
    for _ in range(9):
        cell.something = object()
        facts.add(kept.facts_of(cell))
        cell.something = None
    assert len(facts) == 9


@KNOWN
def test_forward_mode_around_a_training_step(form, forms):
    def product(engine):
        layer = make("LSTM", engine=engine)

        @tf.function(autograph=False)
        def step(x):
            with tf.GradientTape() as tape:
                loss = tf.reduce_sum(tf.sin(layer(x, mask=MASK, training=True)))
            return tape.gradient(loss, [w.value for w in layer.trainable_weights])

        x = tf.constant(sequences())
        with tf.autodiff.ForwardAccumulator(x, tf.cos(x)) as accumulator:
            found = step(x)
        return found, [accumulator.jvp(g) for g in found]

    assert_relatively_close(product("auto"), product("plain"))
    assert forms == [form.compiled]
