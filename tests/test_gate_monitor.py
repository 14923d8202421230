"""GateMonitor: what it finds in layers of all kinds, and what it refuses."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from graphs import JIT
from monitored import FEATURES, TIME, UNITS, data, fit, model_of

import keras_lstm_variants as klv
from keras_lstm_variants import callbacks
from keras_lstm_variants.analysis.heat_image import heat_image


@JIT
@pytest.mark.slow
def test_numbers_by_hand(jit):
    model, (x, y) = model_of(jit=jit), data(4, seed=1)
    found = fit(model, callbacks.GateMonitor(x, y, low=0.4, high=0.6))
    values = klv.gate_history(model, x)["lstm"]
    expected = {}
    for gate in "ifo":
        expected[f"lstm/{gate}/saturated_low"] = np.mean(values[gate] < 0.4)
        expected[f"lstm/{gate}/saturated_high"] = np.mean(values[gate] > 0.6)
    mean = values["f"].mean((0, 1), dtype="float64")
    expected["lstm/f/half_life"] = np.median(np.log(0.5) / np.log(mean))
    for state in "hc":
        expected[f"lstm/{state}/norm"] = np.sqrt((values[state] ** 2).sum(-1)).mean()
    with tf.GradientTape() as tape:
        loss = keras.ops.mean((model(x) - y) ** 2)
    slopes = tape.gradient(loss, [w.value for w in model.get_layer("lstm").trainable_weights])
    expected["lstm/gradient_norm"] = np.sqrt(sum(np.sum(np.square(s)) for s in slopes))
    assert set(found) == {"loss", *expected}
    assert all(len(values) == 2 for values in found.values())
    for name, value in expected.items():
        np.testing.assert_allclose(found[name][-1], value, rtol=1e-4, atol=1e-7, err_msg=name)


@pytest.mark.slow
@pytest.mark.slow
def test_layers_of_all_kinds_and_masks():
    inputs = keras.Input((None,), dtype="int32")
    y = keras.layers.Embedding(9, 4, mask_zero=True)(inputs)
    y = keras.layers.Bidirectional(klv.GRU(3, return_sequences=True), name="both")(y)
    y = klv.RecurrentLayer([klv.MUT1Cell(3, name="a"), klv.ElmanCell(3, name="b")], name="s")(y)
    model = keras.Model(inputs, keras.layers.Dense(1)(y))
    model.compile("adam", "mse")
    x = np.random.default_rng(0).integers(1, 9, (8, 5))
    x[:, 3:] = 0
    monitor = callbacks.GateMonitor(x[:4], np.zeros((4, 1)))
    found = model.fit(x, np.zeros((8, 1)), verbose=0, callbacks=[monitor]).history
    values = klv.gate_history(model, x[:4])
    z = values["s/a"]["z"]
    kept = 1 - np.nanmean(z, (0, 1), dtype="float64")
    np.testing.assert_allclose(
        found["s/a/z/half_life"], np.median(np.log(0.5) / np.log(kept)), rtol=1e-5
    )
    h = values["both/backward"]["h"][:, :3]
    np.testing.assert_allclose(
        found["both/backward/h/norm"], np.linalg.norm(h, axis=-1).mean(), rtol=1e-5
    )
    assert {"both/forward/r/saturated_low", "s/b/h/norm"} <= set(found)
    norms = {"both/forward/gradient_norm", "both/backward/gradient_norm", "s/gradient_norm"}
    assert norms == {name for name in found if name.endswith("gradient_norm")}
    assert all(np.isfinite(value).all() for value in found.values())


def test_a_sample_of_padding_alone():
    tokens = keras.Input((4,), dtype="int32")
    x = keras.layers.Embedding(9, FEATURES, mask_zero=True)(tokens)
    model = keras.Model(tokens, keras.layers.Dense(1)(klv.LSTM(UNITS, name="lstm")(x)))
    model.compile("adam", "mse")
    monitor = callbacks.GateMonitor(np.zeros((2, 4), "int32"))
    options = {"verbose": 0, "callbacks": [monitor]}
    found = model.fit(np.ones((4, 4), "int32"), np.ones((4, 1)), **options).history
    assert np.isnan(found["lstm/f/saturated_low"]).all() and np.isnan(found["lstm/c/norm"]).all()


def test_masked_steps_do_not_count_where_a_cell_has_no_gates():
    layer = klv.RecurrentLayer(keras.layers.SimpleRNNCell(UNITS), name="simple")
    tokens = keras.Input((TIME,), dtype="int32")
    x = keras.layers.Embedding(9, FEATURES, mask_zero=True)(tokens)
    model = keras.Model(tokens, keras.layers.Dense(1)(layer(x)))
    model.compile(keras.optimizers.SGD(0.0), "mse")
    sample = np.array([[1, 2, 0, 0, 0, 0], [3, 4, 5, 0, 0, 0]])
    monitor = callbacks.GateMonitor(sample)
    found = model.fit(sample, np.ones((2, 1)), verbose=0, callbacks=[monitor]).history
    states = klv.gate_history(model, sample)["simple"]["state_0"]
    expected = np.linalg.norm(states, axis=-1)[sample > 0].mean()
    np.testing.assert_allclose(found["simple/state_0/norm"], expected, rtol=1e-5)


@pytest.mark.slow
def test_gradients_and_gates_of_one_name_are_of_one_layer():
    class Crossed(keras.Model):
        def __init__(self):
            super().__init__()
            self.second = klv.LSTM(7, name="lstm")
            self.first = klv.LSTM(2, return_sequences=True, name="lstm")
            self.head = keras.layers.Dense(1)

        def call(self, x):
            return self.head(self.second(self.first(x)))

    (x, y), model = data(4), Crossed()
    model.compile(keras.optimizers.SGD(0.0), "mse")
    found = fit(model, callbacks.GateMonitor(x, y), epochs=1)
    with tf.GradientTape() as tape:
        loss = keras.ops.mean((model(x) - y) ** 2)
    slopes = tape.gradient(loss, [w.value for w in model.second.trainable_weights])
    expected = np.sqrt(sum(float(tf.reduce_sum(s**2)) for s in slopes))
    np.testing.assert_allclose(found["lstm/gradient_norm"], [expected], rtol=1e-4)


@pytest.mark.slow
def test_time_constants_of_a_grid_are_those_along_time():
    found = fit(model_of(klv.GridLSTM(3, depth=2, name="grid")), callbacks.GateMonitor(data(4)[0]))
    lives = [name for name in found if name.endswith("half_life")]
    assert lives and all("f_time" in name for name in lives)


class TestErrors:
    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"x": None}, "`x`"),
            ({"every": "batch"}, "every='batch'"),
            ({"every": 0}, "every=0"),
            ({"low": 0.9, "high": 0.1}, "`low` must not be above"),
            ({"images": "no"}, "images='no'"),
            ({"log_dir": 5}, "log_dir=5"),
            ({"logs": "yes"}, "logs='yes'"),
            ({"logs": True, "history": False}, "history=False"),
        ],
        ids=str,
    )
    def test_bad_arguments(self, options, message):
        with pytest.raises(ValueError, match=message):
            callbacks.GateMonitor(**({"x": data()[0]} | options))

    @pytest.mark.parametrize(
        ("monitor", "message"),
        [
            (lambda x, y: callbacks.GateMonitor(x[..., :2]), r"`x`.*\(12, 6, 2\)"),
            (lambda x, y: callbacks.GateMonitor(x, y[:5]), "`y`"),
        ],
        ids=["features", "rows"],
    )
    def test_before_the_first_batch(self, monitor, message):
        model = model_of()
        before = model.get_weights()
        with pytest.raises(ValueError, match=message):
            fit(model, monitor(*data()))
        for a, b in zip(before, model.get_weights(), strict=True):
            np.testing.assert_array_equal(a, b)

    def test_no_layer_of_ours(self):
        with pytest.raises(ValueError, match="no built recurrent layer of keras_lstm_variants"):
            fit(model_of(keras.layers.LSTM(3)), callbacks.GateMonitor(data()[0]))


def test_heat_maps():
    image = heat_image(np.array([[0.0, 1.0, np.nan]]), one_sided=True)
    assert image.shape == (24, 8, 3) and image.dtype == "uint8"
    assert image[[0, 8, 16], 0].tolist() == [[68, 1, 84], [253, 231, 37], [166, 166, 166]]
    around = heat_image(np.array([[-2.0, 0.0, 2.0]]), one_sided=False)
    assert around[[0, 8, 16], 0].tolist() == [[5, 48, 97], [247, 247, 247], [103, 0, 31]]
    assert heat_image(np.zeros((500, 300)), True).shape == (128, 128, 3)
