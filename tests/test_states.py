"""The kept states of whole models: reset, read, written."""

import keras
import numpy as np
import pytest
from cases import BATCH, FEATURES, UNITS, arrays, assert_close, sequences

import keras_lstm_variants as klv


def model_of():
    inner = keras.Sequential([klv.GRU(3, stateful=True, return_sequences=True, name="gru")])
    layers = [
        keras.layers.Bidirectional(
            klv.LSTM(
                4,
                stateful=True,
                return_sequences=True,
                initial_state="learned",
                name="memory",
            ),
            name="both",
        ),
        inner,
        klv.RecurrentLayer([klv.LSTMCell(4), klv.ElmanCell(2)], stateful=True, name="cells"),
    ]
    inputs = keras.Input(batch_shape=(BATCH, None, FEATURES))
    x = inputs
    for layer in layers:
        x = layer(x)
    return keras.Model(inputs, x)


def test_reset_get_and_set():
    model = model_of()
    x = sequences()
    at_first = klv.get_states(model)
    first = arrays(model(x))
    states = klv.get_states(model)
    assert len(states) == 4
    assert sorted(len(v) for v in states.values()) == [1, 2, 2, 3]
    assert {"both/forward", "both/backward"} < set(states)
    second = arrays(model(x))
    klv.set_states(model, states)
    assert_close(model(x), second, 0)
    klv.reset_states(model)
    assert_close(klv.get_states(model), at_first, 0)
    assert_close(model(x), first, 0)


def test_fresh_learned_states_are_what_the_next_call_starts_from():
    layer = klv.LSTM(4, stateful=True, initial_state="learned")
    layer.build((BATCH, None, FEATURES))
    for weight in layer.learned_states:
        weight.assign(weight + 0.5)
    (states,) = klv.get_states(layer).values()
    assert_close(states, [np.full((BATCH, 4), 0.5)] * 2, 0)
    expected = layer(sequences())
    klv.set_states(layer, {layer.name: states})
    assert_close(layer(sequences()), expected)


def test_keras_own_layers():
    model = keras.Sequential([keras.layers.LSTM(UNITS, stateful=True, name="theirs")])
    first = arrays(model(sequences()))
    states = klv.get_states(model)
    second = arrays(model(sequences()))
    klv.set_states(model, states)
    assert_close(model(sequences()), second, 0)
    klv.reset_states(model)
    assert_close(model(sequences()), first, 0)


def test_layers_inside_layers_of_others_and_of_one_name():
    class Block(keras.layers.Layer):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.rnn = klv.LSTM(4, stateful=True, return_sequences=True, name="x")
            self.more = [klv.GRU(4, stateful=True, return_sequences=True, name="x")]

        def call(self, x):
            return self.more[0](self.rnn(x))

    block = Block(name="block")
    block(sequences())
    model = keras.Sequential([block, klv.Elman(3, stateful=True, name="x")])
    model(sequences())
    klv.reset_states(model)
    first = arrays(model(sequences()))
    states = klv.get_states(model)
    assert list(states) == ["block/x", "block/x#2", "x"]
    second = arrays(model(sequences()))
    assert not np.allclose(first, second)
    klv.set_states(model, states)
    assert_close(model(sequences()), second, 0)
    klv.reset_states(model)
    assert_close(model(sequences()), first, 0)


def test_errors_write_nothing():
    model = model_of()
    states = klv.get_states(model)
    with pytest.raises(ValueError, match=r"`states` must name stateful layers.*\['x'\]"):
        klv.set_states(model, {"x": []})
    path = next(iter(states))
    wrong = {**{p: [v + 1 for v in values] for p, values in states.items()}}
    wrong[path] = [v[:, :1] for v in states[path]]
    with pytest.raises(ValueError, match="must have the shapes"):
        klv.set_states(model, wrong)
    assert_close(klv.get_states(model), states, 0)
    with pytest.raises(ValueError, match="no stateful recurrent layer"):
        klv.reset_states(keras.Sequential([klv.LSTM(3)]))
