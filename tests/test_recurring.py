"""The fast loop as it is compiled for shapes that come back: when it is, and that it is right."""

import logging
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
    ("mask", "kwargs"),
    [
        (MASK, {"go_backwards": True, "zero_output_for_mask": True, "return_sequences": True}),
        (None, {"recompute": True, "return_state": True}),
        (MASK, {"stop_gradient_every": 2, "clip_state_gradients": 0.05}),
        (None, {"dropout": 0.4, "recurrent_dropout": 0.4, "seed": 1}),
    ],
    ids=["go_backwards", "recompute", "stop_gradient_every", "dropout"],
)
def test_options(mask, kwargs, form, forms):
    layer, slow = make("GRU", **kwargs), make("GRU", engine="plain", **kwargs)
    found = form.gradients(layer, sequences(), mask=mask)
    assert_relatively_close(found, step_by_step(slow, sequences(), mask=mask))
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

    def __init__(self, units, **kwargs):
        super().__init__(units, **kwargs)
        self.scale, self._scale, self.scales, self._array = 1.0, 1.0, [1.0], np.ones(UNITS)

    def step(self, z, states, training=False):
        scale = self.scale * self._scale * self.scales[0]
        return super().step(scale * ops.cast(self._array, z.dtype) * z, states, training)


CHANGES = {
    "activation": lambda cell: setattr(cell, "activation", keras.activations.relu),
    "public": lambda cell: setattr(cell, "scale", 3.0),
    "private": lambda cell: setattr(cell, "_scale", 3.0),
    "within a list": lambda cell: cell.scales.__setitem__(0, 3.0),
    "within an array": lambda cell: cell._array.fill(3.0),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
@KNOWN
@pytest.mark.slow
def test_a_changed_cell_is_traced_anew(change, form):
    layer = klv.RecurrentLayer(ScaledCell(UNITS))
    layer.build((None, None, FEATURES))
    before = gradients(layer, sequences())
    change(layer.cell)
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


def test_what_a_changed_cell_has_is_never_taken_for_what_it_had():
    """Freed objects leave their ids to others."""
    cell, facts = make("LSTM").cell, set()
    for _ in range(9):
        cell.something = object()
        facts.add(kept.facts_of(cell))
        cell.something = None
    assert len(facts) == 9


@KNOWN
@pytest.mark.slow
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
