"""Which loop runs a cell, and the reason a user can read."""

import logging

import keras
import pytest
import tensorflow as tf
from cases import FEATURES, MASK, UNITS, make, sequences, states_of
from graphs import ALL, assert_relatively_close, gradients, step_by_step

import keras_lstm_variants as klv
from keras_lstm_variants.engine.tensorflow import dispatch

SHAPE = (None, None, FEATURES)


class NoisyCell(klv.ElmanCell):
    def step(self, z, states, training=False):
        noise = keras.random.normal(states[0].shape[1:], seed=self.seed_generator)
        return super().step(z + noise, states, training)


class CountingCell(klv.ElmanCell):
    def build(self, shape):
        super().build(shape)
        self.steps = self.add_weight((), initializer="zeros", trainable=False)

    def step(self, z, states, training=False):
        self.steps.assign_add(1)
        return super().step(z, states, training)


class VariableCell(klv.ElmanCell):
    constant = tf.Variable(tf.ones((UNITS,)))

    def step(self, z, states, training=False):
        return super().step(z * self.constant, states, training)


class ForeignCell(VariableCell):
    constant = tf.ones((UNITS,))


class OwnCallCell(klv.ElmanCell):
    def call(self, inputs, states, training=False):
        return super().call(inputs, states, training)


class NoBatchCell(klv.Cell):
    def project_inputs(self, inputs, training=False):
        return keras.ops.sum(inputs, axis=0, keepdims=True)

    def step(self, z, states, training=False):
        h = states[0] + keras.ops.mean(z)
        return h, (h,)


class SharingCell(klv.ElmanCell):
    def get_initial_state(self, batch_size=None):
        return [keras.ops.zeros((1, self.units))]

    def step(self, z, states, training=False):
        h, _ = super().step(z, states, training)
        return h, (keras.ops.mean(h, axis=0, keepdims=True),)


class RankCell(klv.ElmanCell):
    """A step that asks for the number of its rows, which only a trial does not know."""

    def step(self, z, states, training=False):
        if z.shape[0] is None:
            raise TypeError("no rows")
        return super().step(z, states, training)


REASONS = [
    (klv.ElmanCell, {"engine": "plain"}, '`engine="plain"`'),
    (klv.ElmanCell, {"unroll": True}, "`unroll=True`"),
    (keras.layers.GRUCell, {}, "GRUCell is no `klv.Cell`"),
    (NoisyCell, {}, "NoisyCell.step draws random numbers, updates"),
    (CountingCell, {}, "CountingCell.step draws random numbers, updates a variable"),
    (VariableCell, {}, "VariableCell.step reads a variable that is no weight of the cell"),
    (ForeignCell, {}, "ForeignCell.step uses a tensor that is neither"),
    (OwnCallCell, {}, "OwnCallCell overrides `call`"),
    (NoBatchCell, {}, "NoBatchCell.project_inputs returns what has not one row"),
    (RankCell, {}, "RankCell.step cannot be run apart from its layer: TypeError: no rows"),
    (SharingCell, {}, "an initial state is not one of each row"),
]


@pytest.mark.parametrize(
    ("cell", "options", "reason"), REASONS, ids=[r[0].__name__ for r in REASONS]
)
def test_why_the_plain_loop(cell, options, reason, caplog):
    layer = klv.RecurrentLayer(cell(UNITS), **options)
    shape = (3, 4, FEATURES) if options.get("unroll") or cell is RankCell else SHAPE
    with caplog.at_level(logging.DEBUG, "keras_lstm_variants"):
        told = layer.explain_engine(shape)
    assert told.startswith(f"{cell.__name__}: the plain loop, because ")
    assert reason in told
    assert told.split("because ")[1] in caplog.text


def test_the_fast_loop_and_a_stack():
    layer = klv.RecurrentLayer([klv.LSTMCell(4), keras.layers.LSTMCell(3), klv.GRUCell(2)])
    first, second, third = layer.explain_engine(SHAPE).splitlines()
    assert first.startswith("LSTMCell: the fast loop (")
    assert second == "LSTMCell: the plain loop, because LSTMCell is no `klv.Cell`"
    assert third.startswith("GRUCell: the fast loop (")
    attention = klv.AttentionLSTM(4)
    attention.build((None, None, 3), memory_shape=(None, None, 2))
    told = attention.explain_engine(SHAPE, memory=(None, None, 2))
    assert told.startswith("AttentionLSTMCell: the fast loop (")


def test_a_type_that_differs():
    layer = klv.LSTM(4, dtype="mixed_float16")
    layer.build(SHAPE)
    assert layer.explain_engine().startswith("LSTMCell: the fast loop (")
    stack = klv.RecurrentLayer([klv.LSTMCell(4), klv.LSTMCell(4, dtype="float64")])
    assert "cell float64" in stack.explain_engine(SHAPE).splitlines()[1]


@pytest.mark.parametrize("name", ["LSTM", "GRU", "GridLSTM"])
def test_few_steps_are_written_out(name, monkeypatch, fast):
    monkeypatch.setattr(dispatch, "WRITTEN_OUT", 4)
    options = {**ALL, "return_all_states": True, "go_backwards": True}
    layer, slow = make(name, **options), make(name, engine="plain", **options)
    x, mask = sequences()[:, :4], MASK[:, :4]
    found = gradients(layer, x, states_of(layer), mask)
    assert_relatively_close(found, step_by_step(slow, x, states_of(layer), mask))
    assert not fast
    assert "written out" in layer.explain_engine((None, 4, FEATURES))
    assert "the fast loop" in layer.explain_engine((None, 5, FEATURES))


def test_eager_calls_are_logged(caplog):
    layer = klv.LSTM(4)
    with caplog.at_level(logging.DEBUG, "keras_lstm_variants"):
        layer(sequences())
    assert "plain loop: the layer is called eagerly" in caplog.text


def test_bad_arguments():
    with pytest.raises(ValueError, match="is not built: give `sequences_shape`"):
        klv.LSTM(4).explain_engine()
    with pytest.raises(ValueError, match="`training` must be"):
        klv.LSTM(4).explain_engine(SHAPE, training="yes")
