"""One scheme of layer paths and state names in every tool."""

import keras
import numpy as np
import pytest
from cases import BATCH, FEATURES, TIME, sequences

import keras_lstm_variants as klv
from keras_lstm_variants.layers.paths import recurrent_paths, state_names

SHAPE = (BATCH, TIME, FEATURES)
OPTIONS = {"stateful": True, "return_sequences": True}


def sequential(*layers):
    return keras.Sequential([keras.Input(batch_shape=SHAPE), *layers])


def lstm(name="lstm", **options):
    return klv.LSTM(3, name=name, **OPTIONS | options)


def both(layer, name="both"):
    return keras.layers.Bidirectional(layer, name=name)


def nested():
    inputs = keras.Input(batch_shape=SHAPE)
    block = sequential(lstm("memory"), both(klv.GRU(2, **OPTIONS)))
    block.name = "block"
    return keras.Model(inputs, klv.Elman(2, name="last", **OPTIONS)(block(inputs)))


def stack(kind, name="stack"):
    inner = keras.layers.StackedRNNCells([klv.ElmanCell(2, name="c")])
    cells = [klv.LSTMCell(3, name="a"), klv.GRUCell(2, name="b"), inner]
    return kind(cells, name=name, **OPTIONS)


class Twins(keras.Model):
    """Two layers of one name, the second of which is called first; and one of Keras's."""

    def __init__(self):
        super().__init__()
        self.second, self.parts = lstm(), {"one": [keras.layers.LSTM(3, name="lstm", **OPTIONS)]}
        self.first = lstm()

    def call(self, x):
        return self.second(self.parts["one"][0](self.first(x)))


# Model -> paths in `get_states` with the names of the states, and those of its cells where it is
# a stack. `()`: no cell of ours, which `gate_history` does not see.
H, HC = ("h",), ("h", "c")
TABLE = {
    "a layer": (lstm, {"lstm": {"lstm": HC}}),
    "sequential": (lambda: sequential(lstm("x"), lstm("y")), {k: {k: HC} for k in "xy"}),
    "nested": (
        nested,
        {
            "block/memory": {"block/memory": HC},
            "block/both/forward": {"block/both/forward": H},
            "block/both/backward": {"block/both/backward": H},
            "last": {"last": H},
        },
    ),
    "bidirectional alone": (
        lambda: both(lstm()),
        {f"both/{way}": {f"both/{way}": HC} for way in ("forward", "backward")},
    ),
    "bidirectional stack": (
        lambda: both(stack(klv.RecurrentLayer)),
        {
            f"both/{way}": {f"both/{way}/a": HC, f"both/{way}/b": H, f"both/{way}/c": H}
            for way in ("forward", "backward")
        },
    ),
    "stack": (
        lambda: sequential(stack(klv.RecurrentLayer)),
        {"stack": {"stack/a": HC, "stack/b": H, "stack/c": H}},
    ),
    "our cells in keras": (
        lambda: sequential(
            stack(keras.layers.RNN), both(keras.layers.RNN(klv.GRUCell(2), **OPTIONS))
        ),
        {
            "stack": {"stack/a": HC, "stack/b": H, "stack/c": H},
            "both/forward": {"both/forward": H},
            "both/backward": {"both/backward": H},
        },
    ),
    "cells of keras in our layer": (
        lambda: klv.RecurrentLayer(keras.layers.LSTMCell(3), name="theirs", **OPTIONS),
        {"theirs": {"theirs": ("state_0", "state_1")}},
    ),
    "layers of keras": (
        lambda: sequential(keras.layers.LSTM(3, name="x", **OPTIONS), lstm("y")),
        {"x": {}, "y": {"y": HC}},
    ),
    "one name": (Twins, {"lstm": {"lstm": HC}, "lstm#2": {}, "lstm#3": {"lstm#3": HC}}),
}


@pytest.mark.parametrize(("make", "expected"), TABLE.values(), ids=TABLE)
def test_every_tool_has_the_same_paths_and_names(make, expected):
    model, x = make(), sequences()
    model(x)
    states = klv.get_states(model)
    assert list(states) == list(expected)
    history = klv.gate_history(model, x)
    by_path = {path: names for cells in expected.values() for path, names in cells.items()}
    assert {path: found.states for path, found in history.items()} == by_path
    assert list(recurrent_paths(model).values()) == list(expected)
    for path, cells in expected.items():
        # A layer's states are those of its cells, one after the other.
        shapes = [
            (BATCH, history[cell][name].shape[-1])
            for cell, names in cells.items()
            for name in names
        ]
        assert not cells or [kept.shape for kept in states[path]] == shapes
        for cell in cells:
            described = klv.describe(history[cell].cell, format="dict")
            assert tuple(described["states"]) == by_path[cell] == state_names(history[cell].cell)
    klv.set_states(model, {path: [v + 1 for v in kept] for path, kept in states.items()})
    for path, kept in klv.get_states(model).items():
        for after, before in zip(kept, states[path], strict=True):
            np.testing.assert_array_equal(after, before + 1)


@pytest.mark.slow
def test_the_monitor_has_the_same_paths():
    inputs = keras.Input((TIME, FEATURES))
    y = keras.layers.Bidirectional(klv.GRU(2, return_sequences=True), name="both")(inputs)
    cells = [klv.LSTMCell(3, name="a"), keras.layers.SimpleRNNCell(2, name="b")]
    model = keras.Model(inputs, klv.RecurrentLayer(cells, name="stack")(y))
    model.compile("sgd", "mse")
    x = sequences()
    monitor = klv.callbacks.GateMonitor(x)
    found = model.fit(x, np.zeros((BATCH, 2)), verbose=0, callbacks=[monitor]).history
    history = klv.gate_history(model, x)
    norms = {f"{path}/{name}/norm" for path, of in history.items() for name in of.states}
    assert norms == {name for name in found if name.endswith("/norm")}
    assert {"both/forward/h/norm", "stack/a/c/norm", "stack/b/state_0/norm"} < norms


def test_layers_inside_wrappers_and_other_layers():
    class Block(keras.layers.Layer):
        def __init__(self):
            super().__init__(name="block")
            self.rnn = lstm("x")

    wrapped = keras.layers.TimeDistributed(keras.Sequential([lstm("x")], name="each"), name="days")
    assert list(recurrent_paths(wrapped).values()) == ["each/x"]
    outer = keras.Sequential([wrapped, Block()])
    assert list(recurrent_paths(outer).values()) == ["days/each/x", "block/x"]
