"""Gates of every step, against the equations, and what moved an output."""

import threading

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
    arrays,
    assert_close,
    make,
    randomize,
    sequences,
    states_of,
)
from equations import EQUATIONS
from graphs import JIT, first_quick
from keras import ops

import keras_lstm_variants as klv


def stepped(name, layer, x, start, mask=None, backwards=False, **options):
    """Gates and states of every step by the NumPy equations, in the order of the input."""
    weights = {w.name: w.numpy() for w in layer.cell.weights}
    names = layer.cell.state_names
    found, states = {}, tuple(start)
    mask = np.ones(x.shape[:2], bool) if mask is None else mask
    for t in range(x.shape[1])[:: -1 if backwards else 1]:
        on = mask[:, t, None]
        new, gates = EQUATIONS[name](x[:, t], states, weights, **options)
        new = new[-len(states) :]
        states = tuple(
            np.where(on.reshape(-1, *[1] * (s.ndim - 1)), n, s)
            for n, s in zip(new, states, strict=True)
        )
        values = {gate: np.where(on, value, np.nan) for gate, value in gates.items()}
        values |= dict(zip(names, states, strict=True))
        for key, value in values.items():
            found.setdefault(key, []).append(value)
    order = -1 if backwards else 1
    return {key: np.stack(values[::order], axis=1) for key, values in found.items()}


@pytest.mark.parametrize("backwards", [False, True], ids=["forwards", "backwards"])
@first_quick()
def test_every_cell_against_its_equations(name, options, backwards):
    layer = make(name, options, dtype="float64", go_backwards=backwards)
    x, start = sequences("float64"), states_of(layer, dtype="float64")
    found = klv.gate_history(layer, x, mask=MASK, initial_state=start)
    assert list(found) == [layer.name]
    expected = stepped(name, layer, x, start, MASK, backwards, **options)
    for key, value in expected.items():
        np.testing.assert_allclose(found[layer.name][key], value, rtol=0, atol=1e-12)
    known = {key.split("_")[0] for key in found[layer.name]}
    assert set(layer.cell.gates) <= known
    assert set(layer.cell.state_names) <= set(found[layer.name])


class WithoutMask(keras.layers.Layer):
    """Models of Keras take no masks."""

    supports_masking = True

    def call(self, x):
        return 1 * x

    def compute_mask(self, x, mask=None):
        return None


class TestModels:
    def functional(self, **kwargs):
        inputs = keras.Input((None, FEATURES))
        x = keras.layers.Masking()(inputs)
        x = keras.layers.Bidirectional(
            klv.PeepholeLSTM(4, return_sequences=True, **kwargs), name="both"
        )(x)
        x = klv.RecurrentLayer(
            [klv.GRUCell(3, name="a"), klv.LSTMCell(2, name="b"), klv.LSTMCell(2, name="b")],
            return_sequences=True,
            name="stack",
        )(x)
        x = WithoutMask()(x)
        inner = keras.Sequential([keras.Input((None, 2)), klv.Elman(3, name="last")], name="inner")
        return randomize(keras.Model(inputs, keras.layers.Dense(2)(inner(x))))

    @JIT
    def test_of_any_form(self, jit):
        model = self.functional()
        x = sequences()
        x[~MASK] = 0
        found = klv.gate_history(model, x, jit_compile=jit)
        paths = ["both/forward", "both/backward", "stack/a", "stack/b"]
        assert list(found) == [*paths, "stack/b#2", "inner/last"]
        # What the layers behind really got.
        both = model.get_layer("both")
        y = both(x, mask=MASK)
        joined = [found[f"both/{way}"]["h"] for way in ("forward", "backward")]
        assert_close(np.concatenate(joined, -1)[MASK], np.asarray(y)[MASK], 1e-6)
        output = model.layers[-1](found["inner/last"]["h"][:, -1])
        assert_close(output, model(x), 1e-6)
        assert np.array_equal(np.isnan(found["both/backward"]["f"]).all(-1), ~MASK)
        assert not np.isnan(found["stack/a"]["h"]).any()

    def test_subclassed_and_called_twice(self):
        class Twice(keras.Model):
            def __init__(self):
                super().__init__()
                self.parts = {"one": [klv.LSTM(UNITS, return_sequences=True, name="memory")]}

            def call(self, x):
                (layer,) = self.parts["one"]
                return layer(layer(x))

        model, x = Twice(), np.ones((2, 4, UNITS), "float32")
        with pytest.raises(ValueError, match="no built recurrent layer"):
            klv.gate_history(model, x)
        y = model(x)
        found = klv.gate_history(model, x)
        assert list(found) == ["memory", "memory#2"]
        assert_close(found["memory#2"]["h"], y, 1e-6)

    @pytest.mark.parametrize("learned", [False, True])
    def test_states_that_are_kept_are_used_and_left(self, learned):
        options = {"initial_state": "learned"} if learned else {}
        layer = make("LSTM", stateful=True, **options)
        x = sequences()
        first = klv.gate_history(layer, x)[layer.name]
        assert_close(klv.gate_history(layer, x)[layer.name]["c"], first["c"], 0)
        layer(x)
        second = klv.gate_history(layer, x)[layer.name]
        assert np.max(np.abs(second["c"] - first["c"])) > 1e-2
        kept = arrays(layer.states)
        klv.gate_history(layer, x)
        assert_close(layer.states, kept, 0)

    def test_mixed_precision(self):
        layer = make("GRU", dtype="mixed_bfloat16")
        found = klv.gate_history(layer, sequences())[layer.name]
        full = make("GRU")
        expected = klv.gate_history(full, sequences())[full.name]
        assert {v.dtype.name for v in found.values()} == {"float32"}
        for name, value in expected.items():
            assert_close(found[name], value, 0.05)

    def test_attention(self):
        layer = klv.AttentionLSTM(UNITS, return_attention=True, return_sequences=True)
        x, memory = sequences(), np.ones((BATCH, 4, 2), "float32")
        _, attention = layer(x, memory=memory)
        found = klv.gate_history(layer, x, memory=memory)[layer.name]
        assert_close(found["alpha"], attention)
        assert found["beta"].shape == (BATCH, TIME, 1)

    def test_dropout_is_that_of_training(self):
        layer = make("LSTM", dropout=0.5, seed=1)
        plain, dropped = (
            klv.gate_history(layer, sequences(), training=training)[layer.name]["i"]
            for training in (False, True)
        )
        assert np.max(np.abs(plain - dropped)) > 0.01

    def test_cells_of_others_show_their_states(self):
        layer = klv.RecurrentLayer(keras.layers.LSTMCell(3), return_sequences=True, name="theirs")
        y = layer(sequences())
        found = klv.gate_history(layer, sequences())["theirs"]
        assert_close(found["state_0"], y, 1e-6)
        with pytest.raises(ValueError, match="Layers of Keras"):
            klv.gate_history(keras.Sequential([keras.Input((3, 2)), keras.layers.LSTM(2)]), None)

    def test_nobody_records_afterwards(self, fast):
        layer = make("LSTM")
        klv.gate_history(layer, sequences())
        assert not fast
        tf.function(layer)(tf.constant(sequences()))
        assert fast


def test_a_mask_that_the_input_carries():
    embedded = keras.layers.Embedding(9, FEATURES, mask_zero=True)(
        np.array([[1, 2, 0, 0], [3, 4, 5, 0]])
    )
    layer = make("LSTM", return_sequences=True)
    found = klv.gate_history(layer, embedded)[layer.name]
    assert_close(found["h"], layer(embedded), 1e-6)
    assert np.isnan(found["f"][0, 2:]).all() and not np.isnan(found["f"][0, :2]).any()


def test_states_and_statistics_of_other_layers_are_left():
    model = keras.Sequential([
        keras.Input((TIME, FEATURES), batch_size=BATCH),
        keras.layers.LSTM(UNITS, stateful=True, return_sequences=True),
        keras.layers.BatchNormalization(),
        keras.layers.Dropout(0.5),
        klv.LSTM(UNITS),
    ])  # fmt: skip
    model(sequences())
    variables = [*model.variables, *model.layers[0].states]
    before = [v.numpy() for v in variables]
    klv.gate_history(model, sequences(), training=True)
    for value, variable in zip(before, variables, strict=True):
        np.testing.assert_array_equal(value, variable.numpy())


@JIT
def test_in_the_layer_of_keras(jit):
    # Alone, in both directions, stacked; with a mask and kept states.
    inputs = keras.Input((TIME, FEATURES), batch_size=BATCH)
    mask = keras.Input((TIME,), batch_size=BATCH, dtype="bool")
    stack = [klv.LSTMCell(UNITS, name="below"), klv.PeepholeLSTMCell(UNITS, name="above")]
    first = keras.layers.RNN(stack, return_sequences=True, stateful=True, name="stack")
    y = first(inputs, mask=mask)
    both = keras.layers.RNN(klv.GRUCell(UNITS), return_sequences=True)
    y = keras.layers.Bidirectional(both, name="both")(y, mask=mask)
    model = randomize(keras.Model((inputs, mask), y))
    given = (sequences(), MASK)
    model(given)
    states = [v.numpy() for v in keras.tree.flatten(first.states)]
    found = klv.gate_history(model, given, jit_compile=jit)
    assert set(found) == {"stack/below", "stack/above", "both/forward", "both/backward"}
    assert set(found["stack/above"]) == {"i", "f", "g", "o", "h", "c"}
    for before, variable in zip(states, keras.tree.flatten(first.states), strict=True):
        np.testing.assert_array_equal(before, variable.numpy())
    halves = np.split(np.asarray(model(given)), 2, axis=-1)
    for name, half in zip(("both/forward", "both/backward"), halves, strict=True):
        # At masked steps Keras's backward outputs are those of the steps that it came from.
        assert_close(found[name]["h"][MASK], half[MASK], 1e-5)
        assert np.isnan(found[name]["z"][~MASK]).all()
    assert "inner_loop" not in vars(first)


def test_cells_inside_cells():
    model = klv.VRNN(UNITS, 2, likelihood="gaussian")
    x = sequences()
    model(x)
    history = klv.gate_history(model, x)
    (inner,) = (path for path in history if set(history[path]) == {"i", "f", "g", "o"})
    (outer,) = (path for path in history if path != inner)
    f, i, g, o = (history[inner][name] for name in "figo")
    c = history[outer]["c"]
    before = np.pad(c, ((0, 0), (1, 0), (0, 0)))[:, :-1]
    assert inner.startswith(f"{outer}/")
    assert_close(f * before + i * g, c, 1e-5)
    assert_close(o * np.tanh(c), history[outer]["h"], 1e-5)
    # A stack in a stack.
    cells = [klv.LSTMCell(3, name="a"), keras.layers.StackedRNNCells([klv.GRUCell(2, name="b")])]
    layer = klv.RecurrentLayer(cells, name="stack")
    layer(x)
    assert list(klv.gate_history(layer, x)) == ["stack/a", "stack/b"]


def test_names_belong_to_layers():
    class Crossed(keras.Model):
        def __init__(self):
            super().__init__()
            self.second = klv.LSTM(7, name="lstm")
            self.first = klv.LSTM(2, return_sequences=True, name="lstm")
            self.stack = klv.RecurrentLayer([klv.GRUCell(3, name="a")] * 1, name="s")

        def call(self, x):
            return self.second(self.first(x)), self.stack(x), self.stack(x)

    model, x = Crossed(), sequences()
    model(x)
    found = klv.gate_history(model, x)
    assert {path: values["h"].shape[-1] for path, values in found.items()} == {
        "lstm": 7, "lstm#2": 2, "s": 3, "s#2": 3,
    }  # fmt: skip


def test_models_that_look_at_numbers():
    class Looking(keras.Model):
        def __init__(self):
            super().__init__()
            self.lstm = klv.LSTM(UNITS, name="lstm")

        def call(self, x):
            return self.lstm(x * float(ops.sum(x)))

    class InALoop(Looking):
        def call(self, x):
            def body(_, y):
                return self.lstm(x) + y

            return ops.fori_loop(0, 2, body, ops.zeros((BATCH, UNITS)))

    x = sequences()
    model = Looking()
    model.compile("adam", "mse", run_eagerly=True)
    expected = model(x)
    assert_close(klv.gate_history(model, x)["lstm"]["h"][:, -1], expected, 1e-5)
    model = InALoop()
    model(x)
    with pytest.raises(ValueError, match="is called inside a loop"):
        klv.gate_history(model, x)


@pytest.mark.parametrize("keras_own", [False, True], ids=["our layer", "layer of keras"])
@pytest.mark.slow
def test_beside_another_thread(keras_own):
    layer, x = make("LSTM", return_sequences=True), sequences()
    if keras_own:
        layer = keras.layers.RNN(klv.LSTMCell(UNITS), return_sequences=True)
    expected, stop, errors = np.asarray(layer(x)), threading.Event(), []

    def serve():
        while not stop.is_set():
            try:
                np.testing.assert_allclose(layer(x), expected, atol=1e-6)
            except Exception as error:
                errors.append(error)
                return

    served = threading.Thread(target=serve)
    served.start()
    try:
        for _ in range(5):
            found = klv.gate_history(layer, x)
            assert list(found) == [layer.name] and set(found[layer.name]) == set("ifgohc")
    finally:
        stop.set()
        served.join()
    assert not errors


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((None, np.ones((2, 3, FEATURES))), {}, "`model` must be a layer"),
        ((None,), {}, "`x` must be"),
        ((3.0,), {}, "`x` must be"),
        ((np.ones((2, 3, FEATURES)),), {"initial_state": 1}, "`initial_state` is no argument"),
        ((np.ones((2, 3, FEATURES)),), {"training": "yes"}, "training='yes'"),
        ((np.ones((2, 3, FEATURES)),), {"jit_compile": "no"}, "jit_compile='no'"),
    ],
    ids=range(6),
)
def test_bad_arguments(arguments, options, message):
    inputs = keras.Input((3, FEATURES))
    sequential = keras.Sequential([inputs, klv.LSTM(2)])
    for model in (sequential, keras.Model(inputs, klv.LSTM(2)(inputs))):
        given = arguments if len(arguments) > 1 else (model, *arguments)
        with pytest.raises(ValueError, match=message):
            klv.gate_history(*given, **options)


def test_a_call_that_takes_any_argument_gets_it():
    class Scaling(keras.Model):
        def __init__(self):
            super().__init__()
            self.lstm = klv.LSTM(UNITS, name="lstm")

        def call(self, x, **options):
            return self.lstm(options.get("scale", 1.0) * x)

    model, x = Scaling(), sequences()
    model(x)
    found = klv.gate_history(model, x, scale=2.0)["lstm"]["h"][:, -1]
    assert_close(found, model.lstm(2 * x), 1e-6)


@pytest.mark.slow
def test_many_models_bring_no_warnings(caplog):
    # TensorFlow warns of a function that is traced again and again; these are of other models.
    with caplog.at_level("WARNING"):
        for _ in range(6):
            layer = make("Elman")
            klv.gate_history(layer, sequences())
            klv.attribution(layer, sequences(), 0, method="gradient_x_input")
    assert "retracing" not in caplog.text
