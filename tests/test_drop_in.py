"""Keras's recurrent layers replaced by ours in a script: only the name of the class changes."""

import inspect
import warnings

import keras
import numpy as np
import pytest
from cases import BATCH, FEATURES, TIME, UNITS, assert_close, sequences

import keras_lstm_variants as klv
from keras_lstm_variants.core import registry

KINDS = ["LSTM", "GRU", "SimpleRNN"]
SIDES = [klv, keras.layers]
FLAGS = ["return_sequences", "return_state", "go_backwards", "stateful", "unroll", "use_bias"]


def both(name, *args, **kwargs):
    return [getattr(side, name)(*args, **kwargs) for side in SIDES]


def deep_model(layers, kind):
    """Plain, stacked, both ways and cells, each with what draws a seed."""
    layer, cell = getattr(layers, kind), getattr(layers, f"{kind}Cell")
    return keras.Sequential(
        [
            keras.Input((TIME, FEATURES)),
            keras.layers.Bidirectional(layer(3, dropout=0.1, return_sequences=True)),
            layer(4, bias_initializer="random_normal", seed=1, return_sequences=True),
            layer(4, recurrent_initializer="random_uniform", use_bias=False, return_sequences=True),
            keras.layers.RNN([cell(3, recurrent_dropout=0.1), cell(2)]),
            keras.layers.Dense(1),
        ]
    )


@pytest.mark.parametrize("kind", KINDS)
def test_one_seed_gives_the_weights_of_keras(kind):
    weights = []
    for layers in SIDES:
        keras.utils.set_random_seed(0)
        weights.append(deep_model(layers, kind).get_weights())
    assert_close(*weights, tolerance=0)


def reviews(layers, kind):
    """As in keras.io's bidirectional LSTM on IMDB, padded."""
    layer = getattr(layers, kind)
    random = np.random.default_rng(0)
    words = random.integers(1, 20, size=(48, 8)) * (np.arange(8) < random.integers(2, 9, (48, 1)))
    inputs = keras.Input((None,), dtype="int32")
    x = keras.layers.Embedding(20, 6, mask_zero=True)(inputs)
    x = keras.layers.Bidirectional(layer(5, return_sequences=True, dropout=0.2))(x)
    x = keras.layers.Bidirectional(layer(5))(x)
    outputs = keras.layers.Dense(1, activation="sigmoid")(x)
    model = keras.Model(inputs, outputs)
    model.compile("adam", "binary_crossentropy")
    return model, words, (words.sum(1) > 50).astype("float32")


def translation(layers, kind):
    """As in keras.io's character-level seq2seq: the encoder's states start the decoder."""
    layer = getattr(layers, kind)
    random = np.random.default_rng(0)
    source, target = random.normal(size=(2, 48, 6, 4)).astype("float32")
    inputs = keras.Input((None, 4)), keras.Input((None, 4))
    _, *states = layer(5, return_state=True)(inputs[0])
    y, *_ = layer(5, return_sequences=True, return_state=True)(inputs[1], initial_state=states)
    model = keras.Model(inputs, keras.layers.Dense(4)(y))
    model.compile("rmsprop", "mse")
    return model, [source, target], np.roll(target, -1, 1)


@pytest.mark.slow
@pytest.mark.parametrize(("script", "kind"), [(reviews, "LSTM"), (translation, "GRU")])
def test_a_script_has_the_losses_that_it_had(script, kind):
    losses = []
    for layers in SIDES:
        keras.utils.set_random_seed(0)
        model, x, y = script(layers, kind)
        fitted = model.fit(x, y, batch_size=16, epochs=3, shuffle=False, verbose=0)
        losses.append(np.array(fitted.history["loss"]))
    assert np.ptp(losses[1]) > 1e-3
    assert_close(*losses, tolerance=2e-6)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("off", [None, 0, 0.0, False, np.False_], ids=repr)
def test_what_is_off_for_keras_is_off(kind, off):
    ours, theirs = both(kind, UNITS, **dict.fromkeys(FLAGS, off))
    for flag in FLAGS:
        assert getattr(ours, flag) is bool(getattr(theirs, flag)) is False
        with pytest.raises(ValueError, match=f"`{flag}` must be True or False.*{flag}='False'"):
            getattr(klv, kind)(UNITS, **{flag: "False"})
    for wrong in ("", 2, [], float("nan")):
        with pytest.raises(ValueError, match="`unroll`"):
            getattr(klv, kind)(UNITS, unroll=wrong)
    if kind == "LSTM" and off is not None:  # None is the default here
        assert klv.LSTM(UNITS, unit_forget_bias=off).unit_forget_bias is False
    assert getattr(klv, kind)(UNITS, implementation=0).cell.implementation == 0


def test_simple_rnn_is_another_name_of_elman():
    assert klv.SimpleRNN is klv.Elman and klv.SimpleRNNCell is klv.ElmanCell
    assert klv.get_variant("SimpleRNN") is klv.Elman
    for name in ("simplernn", "SimpleRNNCell", "elman"):
        assert registry.find_variant(name) == "Elman"
    assert "SimpleRNN" not in klv.list_variants()
    saved = keras.saving.serialize_keras_object(klv.SimpleRNN(UNITS))
    assert saved["registered_name"] == "keras_lstm_variants>Elman"


@pytest.mark.parametrize("name", [*KINDS, *[f"{kind}Cell" for kind in KINDS]])
def test_has_what_a_user_reads_of_keras(name):
    ours, theirs = both(name, UNITS, dropout=0.25, seed=1)
    differ = {"name", "path", "input_spec", "cell", "call_signature_parameters"}
    differ.add("supports_masking")  # not of Keras's from 3.16
    names = [n for n in dir(theirs) if not n.startswith("_") and n not in differ]
    for layer in (ours, theirs):
        layer.build((BATCH, TIME, FEATURES) if name in KINDS else (BATCH, FEATURES))
    for attribute in [n for n in names if hasattr(theirs, n)]:
        expected, found = getattr(theirs, attribute), getattr(ours, attribute)
        if expected is None or isinstance(expected, bool | int | float | str | list | tuple):
            is_of_variables = attribute.endswith(("variables", "weights"))
            assert is_of_variables or found == expected, attribute
        else:
            assert callable(found) or type(found) is type(expected), attribute
    config = {k: v for k, v in theirs.get_config().items() if k != "name"}
    assert config.items() <= ours.get_config().items()
    again = type(ours).from_config(theirs.get_config())
    assert (again.units, again.dropout) == (UNITS, 0.25)
    calls = [list(inspect.signature(layer.call).parameters) for layer in (ours, theirs)]
    # Side inputs come by keyword; these cells take none.
    assert calls[0][1:] == calls[1][1:] + ["kwargs"] * isinstance(ours, klv.RecurrentLayer)


@pytest.mark.parametrize("kind", KINDS)
def test_states_have_the_structure_of_keras(kind):
    x, structures = sequences(), []
    for layers in SIDES:
        cell = getattr(layers, f"{kind}Cell")(4)
        start = cell.get_initial_state(BATCH)
        found = [cell.state_size, keras.layers.RNN(cell).state_size, start, cell(x[:, 0], start)]
        if cell.state_size == 4:  # a cell of one state takes and gives it without a list, too
            found.append(cell(x[:, 0], start[0]))
        stack = [cell, getattr(layers, f"{kind}Cell")(3)]
        found.append(keras.layers.RNN(stack, return_state=True)(x))
        structures.append(keras.tree.map_structure(lambda v: getattr(v, "shape", v), found))
    assert structures[0] == structures[1]


def test_symbolic_states_of_a_stack_are_nested_as_those_of_a_call():
    inner = keras.layers.StackedRNNCells([klv.LSTMCell(2), klv.GRUCell(5)])
    layer = klv.RecurrentLayer([klv.GRUCell(4), inner], return_all_states=True)
    x = sequences()
    shapes = [
        keras.tree.map_structure(lambda v: tuple(v.shape[1:]), layer(given))
        for given in (x, keras.Input(x.shape[1:]))
    ]
    assert shapes[0] == shapes[1]
    assert shapes[0][1:3] == ([(4,)], [[(2,), (2,)], [(5,)]])


def test_masks_are_handed_on_where_those_of_keras_are_lost(monkeypatch):
    """Keras 3.16 lets its recurrent layers lose masks, and warns of it."""
    of_keras = keras.layers.RNN.__init__

    def as_in_3_16(self, *args, **kwargs):
        of_keras(self, *args, **kwargs)
        self.supports_masking = False

    monkeypatch.setattr(keras.layers.RNN, "__init__", as_in_3_16)
    options = {"return_sequences": True, "return_state": True}
    stack = [klv.GRUCell(2), keras.layers.LSTMCell(UNITS)]
    memory = {"memory": np.ones((BATCH, 2, 3), "float32")}
    x = sequences()
    x[:, 3:] = 0
    masked = keras.layers.Masking()(x)
    for layer, more in [
        (klv.LSTM(UNITS, **options), {}),
        (klv.LSTM(UNITS, **options), {"initial_state": [np.ones((BATCH, UNITS), "float32")] * 2}),
        (klv.RecurrentLayer(klv.GRUCell(UNITS), **options), {}),
        (klv.RecurrentLayer(stack, **options), {}),
        (klv.AttentionLSTM(UNITS, **options), memory),
    ]:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            y, *_ = layer(masked, **more)
        assert_close(keras.layers.GlobalAveragePooling1D()(y), np.mean(y[:, :3], 1))
