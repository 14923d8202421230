"""A model and data for the tests of GateMonitor."""

import keras
import numpy as np

import keras_lstm_variants as klv

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
