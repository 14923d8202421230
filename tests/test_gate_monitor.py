"""GateMonitor: what it finds, where it writes it, and that it changes nothing."""

import random

import keras
import numpy as np
import pytest
import tensorflow as tf
from graphs import JIT
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import keras_lstm_variants as klv
from keras_lstm_variants import callbacks
from keras_lstm_variants.analysis.gate_monitor import heat_map

FEATURES, TIME, UNITS = 3, 6, 5


def data(rows=12, seed=0):
    draw = np.random.default_rng(seed)
    x = draw.normal(size=(rows, TIME, FEATURES)).astype("float32")
    return x, draw.normal(size=(rows, 1)).astype("float32")


def model_of(layer=None, jit=False, **options):
    keras.utils.set_random_seed(0)
    layer = layer or klv.LSTM(UNITS, name="lstm", **options)
    model = keras.Sequential([keras.Input((TIME, FEATURES)), layer, keras.layers.Dense(1)])
    model.compile("adam", "mse", jit_compile=jit)
    return model


def fit(model, monitor=None, epochs=2, **options):
    x, y = data()
    monitors = [] if monitor is None else [monitor]
    options = {"batch_size": 4, "shuffle": False, "verbose": 0} | options
    return model.fit(x, y, epochs=epochs, callbacks=monitors, **options).history


@JIT
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
    import tensorflow as tf

    with tf.GradientTape() as tape:
        loss = keras.ops.mean((model(x) - y) ** 2)
    slopes = tape.gradient(loss, [w.value for w in model.get_layer("lstm").trainable_weights])
    expected["lstm/gradient_norm"] = np.sqrt(sum(np.sum(np.square(s)) for s in slopes))
    assert set(found) == {"loss", *expected}
    assert all(len(values) == 2 for values in found.values())
    for name, value in expected.items():
        np.testing.assert_allclose(found[name][-1], value, rtol=1e-4, atol=1e-7, err_msg=name)


@pytest.mark.parametrize("stateful", [False, True])
def test_training_is_as_without(stateful, tmp_path):
    def trained(monitor):
        keras.utils.set_random_seed(0)
        layers = [
            klv.LSTM(
                UNITS,
                return_sequences=True,
                stateful=stateful,
                dropout=0.3,
                initial_state="learned",
                activity_regularizer="l2",
            ),
            keras.layers.LSTM(3, dropout=0.3),
            keras.layers.Dropout(0.2),
            keras.layers.BatchNormalization(),
        ]
        inputs = keras.Input((TIME, FEATURES), batch_size=4)
        y = inputs
        for layer in layers:
            y = layer(y)
        one, two = keras.layers.Dense(1, name="one")(y), keras.layers.Dense(1, name="two")(y)
        model = keras.Model(inputs, [one, two])
        model.compile("adam", ["mse", "mae"])
        x, y = data()
        history = model.fit(
            x, [y, y], batch_size=4, epochs=2, verbose=0, callbacks=monitor, shuffle=False
        )
        states = klv.get_states(model) if stateful else {}
        return history.history, model.get_weights(), keras.tree.flatten(states)

    x, y = data(4, seed=1)
    monitor = callbacks.GateMonitor(x, [y, y], tmp_path, every=1)
    plain, watched = trained([]), trained([monitor])
    for name, values in plain[0].items():
        np.testing.assert_array_equal(watched[0][name], values)
    for k in (1, 2):
        for a, b in zip(plain[k], watched[k], strict=True):
            np.testing.assert_array_equal(a, b)


class TestTensorBoard:
    def tags(self, folder):
        events = EventAccumulator(str(folder), size_guidance={"tensors": 0})
        events.Reload()
        return {
            tag: [event.step for event in events.Tensors(tag)] for tag in events.Tags()["tensors"]
        }, events

    def test_numbers_histograms_and_images(self, tmp_path):
        model, (x, y) = model_of(), data(4)
        monitor = callbacks.GateMonitor(x, y, tmp_path)
        found = fit(model, monitor)
        fit(model, monitor, epochs=3, initial_epoch=2)
        tags, events = self.tags(tmp_path)
        numbers = {name for name in found if "/" in name}
        histograms = {f"lstm/{name}/values" for name in "ifgohc"} | {"lstm/f/half_lives"}
        maps = {f"lstm/{name}/map" for name in "ifgohc"}
        assert set(tags) == numbers | histograms | maps
        assert all(steps == [0, 1, 2] for steps in tags.values())
        for k, event in enumerate(events.Tensors("lstm/f/half_life")[:2]):
            value = tf.make_ndarray(event.tensor_proto)
            np.testing.assert_allclose(value, found["lstm/f/half_life"][k], rtol=1e-6)
        buckets = tf.make_ndarray(events.Tensors("lstm/f/values")[0].tensor_proto)
        assert buckets[:, 2].sum() == 4 * TIME * UNITS

    def test_every_so_many_batches(self, tmp_path):
        found = fit(model_of(), callbacks.GateMonitor(data(4)[0], None, tmp_path, 2, images=False))
        tags, _ = self.tags(tmp_path)
        # Three batches an epoch; the end of an epoch is measured, too.
        assert tags["lstm/c/norm"] == [2, 3, 4, 6]
        assert not any(tag.endswith(("map", "gradient_norm")) for tag in tags)
        assert len(found["lstm/c/norm"]) == 2

    def test_batches_that_are_run_at_once_and_a_run_that_goes_on(self, tmp_path):
        x, y = data(48)
        model = model_of()
        model.compile("adam", "mse", steps_per_execution=4)
        for _ in range(2):  # as from a file, with a monitor of its own
            monitor = callbacks.GateMonitor(x[:2], log_dir=tmp_path, every=4)
            options = {"batch_size": 4, "verbose": 0, "callbacks": [monitor]}
            model.fit(x, y, **options)
        assert self.tags(tmp_path)[0]["lstm/c/norm"] == [4, 8, 12, 16, 20, 24]

    def test_not_into_the_history(self, tmp_path):
        found = fit(model_of(), callbacks.GateMonitor(data(4)[0], log_dir=tmp_path, history=False))
        assert set(found) == {"loss"} and self.tags(tmp_path)[0]


def test_the_history_has_what_the_line_of_the_epoch_has_not(capsys, tmp_path):
    class Stop(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.model.stop_training = epoch == 1

    model, x = model_of(), data(2)[0]
    found = model.fit(*data(), epochs=9, callbacks=[callbacks.GateMonitor(x), Stop()], verbose=2)
    assert found.epoch == [0, 1] and {len(values) for values in found.history.values()} == {2}
    assert "lstm/f/half_life" in found.history and "lstm" not in capsys.readouterr().out
    # A run that goes on, and one after it that was broken off.
    monitor = callbacks.GateMonitor(x)
    options = {"verbose": 0, "callbacks": [monitor]}
    found = model.fit(*data(), initial_epoch=2, epochs=4, **options)
    assert found.epoch == [2, 3] and {len(values) for values in found.history.values()} == {2}

    def breaks(epoch, logs):
        raise KeyboardInterrupt

    broken = keras.callbacks.LambdaCallback(on_epoch_end=breaks)
    with pytest.raises(KeyboardInterrupt):
        model.fit(*data(), epochs=2, verbose=0, callbacks=[monitor, broken])
    found = model.fit(*data(), epochs=3, **options).history
    assert {len(values) for values in found.values()} == {3}
    # On demand, for the callbacks behind it.
    written = keras.callbacks.CSVLogger(tmp_path / "log.csv")
    early = keras.callbacks.EarlyStopping("lstm/c/norm", mode="min", patience=9)
    monitors = [callbacks.GateMonitor(x, logs=True), written, early]
    found = model.fit(*data(), epochs=2, verbose=2, callbacks=monitors).history
    assert {len(values) for values in found.values()} == {2}
    header, *rows = (tmp_path / "log.csv").read_text().splitlines()
    assert {"epoch", *found} <= set(header.split(",")) and len(rows) == 2
    assert "lstm/c/norm" in capsys.readouterr().out and early.best == min(found["lstm/c/norm"])


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


def test_a_model_that_fit_builds_and_one_compiled_anew():
    model = keras.Sequential([klv.LSTM(UNITS, name="lstm"), keras.layers.Dense(1)])
    model.compile("adam", "mse")
    x, y = data(4)
    monitor = callbacks.GateMonitor(x, y)
    fit(model, monitor, epochs=1)
    model.compile(keras.optimizers.SGD(0.0), lambda y, p: 1000 * keras.ops.square(y - p))
    norms = fit(model, monitor, epochs=1)["lstm/gradient_norm"]
    model.compile(keras.optimizers.SGD(0.0), "mse")
    assert norms[0] == pytest.approx(
        1000 * fit(model, monitor, epochs=1)["lstm/gradient_norm"][0], rel=1e-3
    )


def test_training_that_diverges_is_not_stopped_by_it():
    x, y = data()
    model = model_of()
    model.compile(keras.optimizers.SGD(1e38), "mse")
    stop = keras.callbacks.TerminateOnNaN()
    found = model.fit(
        1e3 * x, 1e30 * y, epochs=2, verbose=0, callbacks=[stop, callbacks.GateMonitor(x[:2])]
    ).history
    assert np.isnan(found["lstm/h/norm"]).all()


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


def test_layers_that_are_changed_between_trainings():
    x, _ = data(4)
    monitor, model = callbacks.GateMonitor(x), model_of()
    assert "lstm/h/norm" in fit(model, monitor)
    model.pop()
    model.pop()
    model.add(klv.GRU(3, name="gru"))
    model.add(keras.layers.Dense(1))
    model.compile("adam", "mse")
    found = fit(model, monitor)
    assert "gru/h/norm" in found and "lstm/h/norm" not in found


def test_states_of_layers_of_keras_are_left():
    def losses(*monitors):
        keras.utils.set_random_seed(0)
        theirs = keras.layers.LSTM(UNITS, stateful=True, return_sequences=True)
        model = keras.Sequential(
            [
                keras.Input((TIME, FEATURES), batch_size=4),
                theirs,
                klv.LSTM(3),
                keras.layers.Dense(1),
            ]
        )
        model.compile("adam", "mse")
        return fit(model, *monitors)["loss"]

    assert losses(callbacks.GateMonitor(data(4, seed=1)[0])) == losses()


def test_every_list_has_as_many_numbers_as_epochs():
    class Sharper(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            scale = 30.0 if epoch else 1e-3
            layer = self.model.get_layer("look")
            layer.cell.query_kernel.assign(scale * np.ones(layer.cell.query_kernel.shape))

    inputs = {"x": keras.Input((TIME, FEATURES), name="x"), "a": keras.Input((4, 2), name="a")}
    layer = klv.AttentionLSTM(UNITS, name="look", hard=True)
    y = keras.layers.Dense(1)(layer(inputs["x"], memory=inputs["a"]))
    model = klv.HardAttentionModel(inputs, y)
    model.compile("adam", "mse")
    draw = np.random.default_rng(0)
    sample = {"x": data(4)[0], "a": draw.normal(size=(4, 4, 2)).astype("float32")}
    monitors = [Sharper(), callbacks.GateMonitor(sample)]
    options = {"epochs": 3, "verbose": 0, "callbacks": monitors}
    found = model.fit(sample, np.ones((4, 1), "float32"), **options).history
    assert {len(values) for values in found.values()} == {3}
    assert "look/entropy/norm" in found and "look/entropy/saturated_low" not in found


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


def test_a_model_that_fit_builds_is_trained_as_without():
    def losses(*monitors):
        keras.utils.set_random_seed(0)
        model = keras.Sequential(
            [klv.LSTM(UNITS), keras.layers.Dropout(0.5), keras.layers.Dense(1)], name="same"
        )
        model.compile("adam", "mse")
        # Python's random numbers are Keras's seeds of what comes next.
        return fit(model, *monitors, shuffle=True)["loss"], random.random()

    assert losses(callbacks.GateMonitor(data(4, seed=1)[0])) == losses()


def test_a_model_that_fit_builds_takes_any_length():
    model = keras.Sequential([klv.LSTM(UNITS), keras.layers.Dense(1)])
    model.compile("adam", "mse")
    fit(model, callbacks.GateMonitor(data(2)[0][:, :4]))
    assert model.input_shape == (None, None, FEATURES)
    # Where a length must be known, it is that of the sample.
    model = keras.Sequential(
        [klv.LSTM(UNITS, return_sequences=True), keras.layers.Flatten(), keras.layers.Dense(1)]
    )
    model.compile("adam", "mse")
    fit(model, callbacks.GateMonitor(data(2)[0]))
    assert model.output_shape == (None, 1)


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
    image = heat_map(np.array([[0.0, 1.0, np.nan]]), one_sided=True)
    assert image.shape == (24, 8, 3) and image.dtype == "uint8"
    assert image[[0, 8, 16], 0].tolist() == [[68, 1, 84], [253, 231, 37], [166, 166, 166]]
    around = heat_map(np.array([[-2.0, 0.0, 2.0]]), one_sided=False)
    assert around[[0, 8, 16], 0].tolist() == [[5, 48, 97], [247, 247, 247], [103, 0, 31]]
    assert heat_map(np.zeros((500, 300)), True).shape == (128, 128, 3)
