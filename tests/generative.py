"""Small generative models with random weights, and the gradients of their losses."""

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from cases import arrays, randomize

import keras_lstm_variants as klv

BATCH, TIME, FEATURES, UNITS, LATENT = 4, 5, 3, 4, 2

# Name -> class and arguments: the default first, then the most unusual ones.
SEQUENCE_MODELS: dict[str, tuple[type, dict[str, Any]]] = {
    "VRNN": (klv.VRNN, {}),
    "VRNN-I": (
        klv.VRNN,
        {"hidden_units": 6, "prior": "standard", "cell": "GRU", "likelihood": "gaussian"},
    ),
    "STORN": (klv.STORN, {}),
    "STORN-both": (
        klv.STORN,
        {"recognition_units": 3, "bidirectional": True, "cell": "LSTM", "likelihood": "gaussian"},
    ),
}
# What costs seconds is tested with two of them, which have all options between them.
TWO = ["VRNN-I", "STORN-both"]
EVERY = pytest.mark.parametrize("name", list(SEQUENCE_MODELS))

# Every row another pattern: all, right padding, holes, nothing real.
MASK = np.array([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0], [0, 1, 0, 1, 1], [0, 0, 0, 0, 0]], bool)


def data(name: str, dtype: str = "float32", seed: int = 0) -> np.ndarray:
    random = np.random.default_rng(seed)
    shape = (BATCH, TIME, FEATURES)
    if SEQUENCE_MODELS[name][1].get("likelihood") == "gaussian":
        return random.normal(size=shape).astype(dtype)
    return random.integers(2, size=shape).astype(dtype)


def noise_of(dtype: str = "float32", seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(BATCH, TIME, LATENT)).astype(dtype)


def make(which: str, **options: Any) -> keras.Model:
    kind, own = SEQUENCE_MODELS[which]
    model = kind(UNITS, LATENT, **own, **options)
    model.build((None, None, FEATURES))
    return randomize(model)


def loss_and_gradients(model: Any, x: Any, noise: Any, mask: Any = None, **graph: Any) -> list[Any]:
    """Of a graph, with the fast loop in it, or eagerly if `graph` is empty."""

    def run(x: Any, noise: Any) -> Any:
        more = {} if mask is None else {"mask": tf.constant(mask)}
        with tf.GradientTape() as tape:
            model(x, training=True, noise=noise, **more)
            (loss,) = model.losses
        return loss, *tape.gradient(loss, [w.value for w in model.trainable_weights])

    run = tf.function(run, **graph) if graph else run
    return run(tf.constant(x), tf.constant(noise))


def assert_gradients_are_finite_differences(model: Any, loss: Any, gradients: Any) -> None:
    """`loss()` of a float64 model, and its gradients, along a random direction for each weight."""
    random = np.random.default_rng(7)
    step = 1e-5
    for weight, gradient in zip(model.trainable_weights, arrays(list(gradients)), strict=True):
        value = keras.ops.convert_to_numpy(weight)
        direction = random.normal(size=value.shape)
        direction /= np.linalg.norm(direction)
        sides = []
        for sign in (1, -1):
            weight.assign(value + sign * step * direction)
            sides.append(float(loss()))
        weight.assign(value)
        found = (sides[0] - sides[1]) / (2 * step)
        expected = np.sum(gradient * direction)
        assert abs(found - expected) <= 1e-7 * max(1, abs(expected)), weight.path
        assert np.any(gradient), weight.path
