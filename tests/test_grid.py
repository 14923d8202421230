"""The grids that are no recurrent layers: of depth alone, and over images."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from cases import FEATURES, UNITS, arrays, assert_close, randomize
from equations.grid import (
    grid_block,
    grid_block_parameters,
    grid_sweep,
    grid_sweep_parameters,
)

import keras_lstm_variants as klv

BATCH, ROWS, COLUMNS = 2, 3, 4
MASK = np.array(
    [
        [[1, 1, 1, 1], [1, 0, 1, 1], [1, 1, 1, 0]],
        [[0, 0, 0, 0], [0, 1, 1, 0], [0, 1, 0, 0]],
    ],
    bool,
)
OPTIONS = [
    {},
    {"depth": 1, "output_form": "tanh_o"},
    {"depth": 3, "tied": True, "input_memory": True},
]
EVERY = pytest.mark.parametrize("options", OPTIONS, ids=["default", "tanh_o", "tied"])


def built(kind, shape, options=None, **kwargs):
    layer = kind(UNITS, **(options or {}), **kwargs)
    layer.build((None, *shape[1:]))
    return randomize(layer)


def images(dtype="float32"):
    random = np.random.default_rng(0)
    return random.normal(size=(BATCH, ROWS, COLUMNS, FEATURES)).astype(dtype)


def weights_of(layer):
    return {w.name: keras.ops.convert_to_numpy(w) for w in layer.trainable_weights}


@EVERY
def test_block_equals_the_equations(options):
    x = np.random.default_rng(0).normal(size=(BATCH, 5, FEATURES))
    layer = built(klv.GridLSTMBlock, x.shape, options, dtype="float64")
    found = arrays(layer(x))[0]
    expected = grid_block(x.reshape(-1, FEATURES), weights_of(layer), **{"depth": 2} | options)
    np.testing.assert_allclose(found.reshape(-1, UNITS), expected, rtol=0, atol=1e-12)
    assert layer.count_params() == grid_block_parameters(FEATURES, UNITS, **{"depth": 2} | options)
    assert layer.compute_output_shape(x.shape) == found.shape


@pytest.mark.parametrize("priority", ["depth", None])
@pytest.mark.parametrize("mask", [None, MASK], ids=["all", "masked"])
@EVERY
def test_sweep_equals_the_equations(options, mask, priority):
    layer = built(klv.GridLSTM2D, images().shape, options, priority=priority, dtype="float64")
    found = arrays(layer(images("float64"), mask=mask))[0]
    known = {"depth": 2} | options
    expected = grid_sweep(
        images("float64"), weights_of(layer), mask=mask, priority=priority, **known
    )
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)
    assert layer.count_params() == grid_sweep_parameters(FEATURES, UNITS, **known)
    last = built(
        klv.GridLSTM2D,
        images().shape,
        options,
        priority=priority,
        dtype="float64",
        return_sequences=False,
    )
    if mask is None:
        np.testing.assert_array_equal(arrays(last(images("float64")))[0], found[:, -1, -1])


@pytest.mark.parametrize("jit", [False, True], ids=["graph", "xla"])
@EVERY
@pytest.mark.slow
def test_sweep_in_graphs_equals_eager_with_gradients(options, jit, fast):
    layer = built(klv.GridLSTM2D, images().shape, options)
    weights = [w.value for w in layer.trainable_weights]

    def run(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x, mask=MASK, training=True)
            loss = tf.reduce_sum(tf.sin(y))
        return y, tape.gradient(loss, [x, *weights])

    x = tf.constant(images())
    expected = run(x)
    assert not fast
    assert_close(tf.function(run, jit_compile=jit)(x), expected, 1e-5)
    assert fast


def test_sweep_sees_what_is_above_and_on_the_left_alone():
    layer = built(klv.GridLSTM2D, images().shape)
    changed = images()
    changed[:, 1, 2] += 1
    differs = np.any(arrays(layer(changed))[0] != arrays(layer(images()))[0], axis=(0, 3))
    expected = np.zeros((ROWS, COLUMNS), bool)
    expected[1:, 2:] = True
    np.testing.assert_array_equal(differs, expected)


@pytest.mark.parametrize("kind", [klv.GridLSTMBlock, klv.GridLSTM2D])
@pytest.mark.slow
def test_in_a_model(kind, tmp_path):
    """Unknown batch and columns, fit with XLA, mask from a layer before, saved and exported."""
    options = {"depth": 2, "tied": True, "recurrent_regularizer": "l2", "forget_bias": 2.0}
    inputs = keras.Input((ROWS, None, FEATURES))
    outputs = kind(UNITS, **options)(keras.layers.Dense(FEATURES)(inputs))
    model = keras.Model(inputs, outputs)
    assert model.output_shape == (None, ROWS, None, UNITS)
    model.compile("adam", "mse", jit_compile=True)
    y = np.ones((BATCH, ROWS, COLUMNS, UNITS))
    losses = model.fit(images(), y, epochs=5, verbose=0).history["loss"]
    assert losses[-1] < losses[0] and len(model.losses) > 0
    expected = model.predict(images(), verbose=0)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert_close(again.predict(images(), verbose=0), expected, 0)
    assert again.layers[-1].get_config() == model.layers[-1].get_config()
    model.export(tmp_path / "exported", verbose=False)
    exported = tf.saved_model.load(tmp_path / "exported")
    assert_close(exported.serve(images()), expected, 1e-6)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_sweep_in_other_precisions(policy):
    exact = built(klv.GridLSTM2D, images().shape)
    layer = built(klv.GridLSTM2D, images().shape, dtype=policy)
    found = layer(images(), mask=MASK)
    assert found.dtype == layer.compute_dtype
    assert_close(keras.ops.cast(found, "float32"), exact(images(), mask=MASK), 0.05)


@pytest.mark.parametrize(
    ("argument", "wrong"),
    [("depth", 0), ("tied", "yes"), ("output_form", "o"), ("input_memory", 2), ("units", -1)],
)
@pytest.mark.parametrize("kind", [klv.GridLSTMBlock, klv.GridLSTM2D, klv.GridLSTM])
def test_wrong_values_are_refused(kind, argument, wrong):
    with pytest.raises(ValueError, match=f"`{argument}` must be .*{argument}="):
        kind(**{"units": 3, argument: wrong})


def test_wrong_priorities_and_shapes_are_refused():
    with pytest.raises(ValueError, match="`priority` must be one of .*priority='time'"):
        klv.GridLSTM2D(3, priority="time")
    with pytest.raises(ValueError, match="`priority` must be one of .*priority='width'"):
        klv.GridLSTM(3, priority="width")
    with pytest.raises(ValueError, match="needs to know the number of rows"):
        klv.GridLSTM2D(3).build((None, None, 4, 3))
    with pytest.raises(ValueError, match=r"`mask` must have the shape \(batch, rows, columns\)"):
        klv.GridLSTM2D(3)(images(), mask=MASK[:, 0])
    with pytest.raises(ValueError, match=r"`mask` must have the shape .*\(2, 3, 3\)"):
        klv.GridLSTM2D(3)(images(), mask=MASK[:, :, 1:])
    with pytest.raises(ValueError, match="it takes no `mask`"):
        klv.GridLSTM2D(3, return_sequences=False)(images(), mask=MASK)
    with pytest.raises(ValueError, match="needs to know the number of input features"):
        klv.GridLSTMBlock(3).build((2, None))


def test_the_block_hands_masks_on():
    x = np.array([[1, 2, 3, 0, 0], [4, 5, 0, 0, 0]])
    model = keras.Sequential(
        [
            keras.layers.Embedding(6, FEATURES, mask_zero=True),
            klv.GridLSTMBlock(UNITS),
            klv.LSTM(UNITS),
        ]
    )
    assert_close(model(x)[:1], model(x[:1, :3]), 1e-6)
