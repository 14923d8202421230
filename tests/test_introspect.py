"""Gates of every step, against the equations, and what moved an output."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from cases import (
    BATCH,
    CASES,
    FEATURES,
    IDS,
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
from graphs import JIT
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
        states = tuple(np.where(on, n, s) for n, s in zip(new, states, strict=True))
        values = {gate: np.where(on, value, np.nan) for gate, value in gates.items()}
        values |= dict(zip(names, states, strict=True))
        for key, value in values.items():
            found.setdefault(key, []).append(value)
    order = -1 if backwards else 1
    return {key: np.stack(values[::order], axis=1) for key, values in found.items()}


@pytest.mark.parametrize("backwards", [False, True], ids=["forwards", "backwards"])
@pytest.mark.parametrize(("name", "options"), CASES, ids=IDS)
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


def test_many_models_bring_no_warnings(caplog):
    # TensorFlow warns of a function that is traced again and again; these are of other models.
    with caplog.at_level("WARNING"):
        for _ in range(6):
            layer = make("Elman")
            klv.gate_history(layer, sequences())
            klv.attribution(layer, sequences(), 0, method="gradient_x_input")
    assert "retracing" not in caplog.text


class TestAttribution:
    def model(self):
        inputs = keras.Input((None, FEATURES))
        y = klv.LSTM(UNITS)(inputs)
        return randomize(keras.Model(inputs, keras.layers.Dense(2)(y)))

    def test_a_linear_model_is_explained_exactly(self):
        inputs = keras.Input((TIME, FEATURES))
        model = keras.Model(inputs, keras.layers.Dense(2)(keras.layers.Flatten()(inputs)))
        x = sequences()
        weights = model.get_weights()[0][:, 1].reshape(TIME, FEATURES)
        for method in ("integrated_gradients", "gradient_x_input"):
            found = klv.attribution(model, x, 1, method=method)
            assert_close(found.values, x * weights, 1e-6)
        base = np.ones((1, TIME, FEATURES), "float32")
        found = klv.attribution(model, x, 1, baseline=base, steps=2)
        assert_close(found.values, (x - base) * weights, 1e-6)
        assert_close(found.baseline_output, np.repeat(model(base)[:, 1], BATCH), 1e-6)

    def test_it_is_complete(self):
        model, x = self.model(), sequences()
        coarse, fine = (klv.attribution(model, x, 0, steps=steps) for steps in (4, 256))
        assert np.max(np.abs(fine.gap)) < 1e-4 < np.max(np.abs(coarse.gap))
        assert_close(fine.output, model(x)[:, 0], 1e-6)
        assert_close(fine.values.sum((1, 2)), fine.output - fine.baseline_output, 1e-3)

    def test_numbers_of_python_are_as_good(self):
        model, x = self.model(), sequences("float64")
        found = klv.attribution(model, x, 0, steps=256)
        assert_close(found.values, klv.attribution(model, sequences(), 0, steps=256).values, 1e-5)
        assert np.max(np.abs(found.gap)) < 1e-4

    def test_gradient_x_input_against_differences(self):
        layer, x = make("LSTM", dtype="float64"), sequences("float64")
        found = klv.attribution(layer, x, 2, method="gradient_x_input")
        step = np.zeros_like(x)
        step[:, 1, 2] = 1e-6
        slope = (np.asarray(layer(x + step)) - np.asarray(layer(x - step)))[:, 2] / 2e-6
        assert_close(found.values[:, 1, 2], slope * x[:, 1, 2], 1e-7)
        assert found.gap is found.baseline_output is None

    def test_masked_steps_moved_nothing(self):
        layer = make("GRU")
        found = klv.attribution(layer, sequences(), 0, mask=MASK)
        assert not found.values[~MASK].any()
        assert found.values[MASK].any()

    def test_targets(self):
        layer, x = make("LSTM", return_sequences=True), sequences()
        one = klv.attribution(layer, x, (-1, 2))
        other = klv.attribution(layer, x, lambda y: y[:, -1, 2])
        assert_close(one.values, other.values, 0)
        # What comes later cannot have moved an earlier output.
        assert not klv.attribution(layer, x, (2, 0)).values[:, 3:].any()
        single = keras.Sequential([layer, klv.Elman(1)])
        single(x)
        assert klv.attribution(single, x).output.shape == (BATCH,)

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({}, "target=None"),
            ({"target": 9}, "target=9"),
            ({"target": (0, 1)}, r"target=\(0, 1\)"),
            ({"target": 1.5}, "target=1.5"),
            ({"target": lambda y: ops.sum(y)}, r"gives the shape \(\)"),
            ({"target": 0, "method": "saliency"}, "method='saliency'"),
            ({"target": 0, "steps": 0}, "steps=0"),
            ({"target": 0, "method": "gradient_x_input", "baseline": 1.0}, "baseline"),
        ],
    )
    def test_bad_arguments(self, options, message):
        with pytest.raises(ValueError, match=message):
            klv.attribution(make("LSTM"), sequences(), **options)

    def test_integers_have_no_gradient(self):
        with pytest.raises(ValueError, match="embedding"):
            klv.attribution(make("LSTM"), np.ones((2, 3, FEATURES), "int32"), 0)
