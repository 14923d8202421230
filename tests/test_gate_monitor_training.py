"""GateMonitor in a training: where its numbers go, and that it changes nothing."""

import random

import keras
import numpy as np
import pytest
import tensorflow as tf
from monitored import FEATURES, TIME, UNITS, data, fit, model_of
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import keras_lstm_variants as klv
from keras_lstm_variants import callbacks

EAGERLY = pytest.mark.usefixtures("trained_eagerly")


@pytest.mark.slow
@pytest.mark.parametrize("stateful", [False, True])
@pytest.mark.slow
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


@EAGERLY
class TestTensorBoard:
    def tags(self, folder):
        events = EventAccumulator(str(folder), size_guidance={"tensors": 0})
        events.Reload()
        return {
            tag: [event.step for event in events.Tensors(tag)] for tag in events.Tags()["tensors"]
        }, events

    @pytest.mark.slow
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

    @pytest.mark.slow
    def test_every_so_many_batches(self, tmp_path):
        found = fit(model_of(), callbacks.GateMonitor(data(4)[0], None, tmp_path, 2, images=False))
        tags, _ = self.tags(tmp_path)
        # Three batches an epoch; the end of an epoch is measured, too.
        assert tags["lstm/c/norm"] == [2, 3, 4, 6]
        assert not any(tag.endswith(("map", "gradient_norm")) for tag in tags)
        assert len(found["lstm/c/norm"]) == 2

    @pytest.mark.slow
    def test_batches_that_are_run_at_once_and_a_run_that_goes_on(self, tmp_path):
        x, y = data(48)
        model = model_of()
        model.compile("adam", "mse", steps_per_execution=4)
        for _ in range(2):  # as from a file, with a monitor of its own
            monitor = callbacks.GateMonitor(x[:2], log_dir=tmp_path, every=4)
            options = {"batch_size": 4, "verbose": 0, "callbacks": [monitor]}
            model.fit(x, y, **options)
        assert self.tags(tmp_path)[0]["lstm/c/norm"] == [4, 8, 12, 16, 20, 24]

    @pytest.mark.slow
    def test_not_into_the_history(self, tmp_path):
        found = fit(model_of(), callbacks.GateMonitor(data(4)[0], log_dir=tmp_path, history=False))
        assert set(found) == {"loss"} and self.tags(tmp_path)[0]


@EAGERLY
@pytest.mark.slow
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


@pytest.mark.slow
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


@EAGERLY
def test_training_that_diverges_is_not_stopped_by_it():
    x, y = data()
    model = model_of()
    model.compile(keras.optimizers.SGD(1e38), "mse")
    stop = keras.callbacks.TerminateOnNaN()
    found = model.fit(
        1e3 * x, 1e30 * y, epochs=2, verbose=0, callbacks=[stop, callbacks.GateMonitor(x[:2])]
    ).history
    assert np.isnan(found["lstm/h/norm"]).all()


@EAGERLY
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


@EAGERLY
@pytest.mark.slow
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


@EAGERLY
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


@pytest.mark.slow
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


@pytest.mark.slow
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
