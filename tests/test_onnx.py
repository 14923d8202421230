"""Models of unknown length as ONNX files, run by ONNX Runtime."""

import keras
import numpy as np
import onnxruntime
import pytest
import tensorflow as tf
from cases import FEATURES, assert_close, randomize

import keras_lstm_variants as klv
from keras_lstm_variants.engine.tensorflow import chunks, divide

# Keras asks NumPy for it on behalf of tf2onnx.
pytestmark = pytest.mark.filterwarnings("ignore:In the future `np.object`:FutureWarning")

ALL = {"return_sequences": True, "return_all_states": True}


@pytest.fixture(autouse=True)
def blocks_of_eight_steps(monkeypatch):
    monkeypatch.setattr(chunks, "_ROWS", 8 * 32)
    monkeypatch.setattr(chunks, "_BYTES", 1)


def inputs(time=None):
    return [
        keras.Input((time, FEATURES), name="x"),
        keras.Input((time,), name="mask", dtype="bool"),
        keras.Input((time,), name="tokens", dtype="int32"),
    ]


def every_feature():
    """A model that uses what a layer can do, of unknown batch and length."""
    x, mask, tokens = given = inputs()
    both_ways = keras.layers.Bidirectional(klv.LSTM(4, return_sequences=True))(x, mask=mask)
    embedded = keras.layers.Embedding(9, 3, mask_zero=True)(tokens)
    cells = [klv.GRUCell(3), klv.GridLSTMCell(4, depth=1)]
    options = {"zero_output_for_mask": True, "initial_state": "learned"}
    outputs = [
        klv.LSTM(4, **ALL)(both_ways),
        klv.GRU(4, go_backwards=True, return_sequences=True)(embedded),
        klv.RecurrentLayer(cells, **options, **ALL)(x, mask=mask),
        klv.LSTM(4, engine="plain", return_sequences=True, return_state=True)(x, mask=mask),
    ]
    return keras.Model(given, outputs)


def of_length(time):
    x, mask, tokens = given = inputs(time)
    embedded = keras.layers.Embedding(9, 3)(tokens)
    outputs = [klv.LSTM(4, **ALL)(x), klv.LSTM(4, return_state=True)(embedded, mask=mask)]
    return keras.Model(given, outputs)


def data(batch, time):
    random = np.random.default_rng(batch + time)
    return [
        random.normal(size=(batch, time, FEATURES)).astype("float32"),
        random.random((batch, time)) > 0.3,
        random.integers(9, size=(batch, time)).astype("int32"),
    ]


def assert_the_same_in_onnx(model, folder, shapes):
    randomize(model)
    function = tf.function(model, reduce_retracing=True)
    expected = [function([tf.constant(v) for v in data(*shape)]) for shape in shapes]
    model.export(folder / "model.onnx", format="onnx", verbose=False)
    session = onnxruntime.InferenceSession(folder / "model.onnx")
    for shape, values in zip(shapes, expected, strict=True):
        found = session.run(None, dict(zip(("x", "mask", "tokens"), data(*shape), strict=True)))
        assert_close(found, values, 1e-5)


@pytest.mark.slow
def test_any_batch_and_length(tmp_path):
    """A step, a whole block, one step more than two blocks."""
    assert_the_same_in_onnx(every_feature(), tmp_path, [(3, 1), (1, 8), (3, 17)])


@pytest.mark.parametrize("time", [1, 9])
@pytest.mark.slow
def test_known_length(time, tmp_path):
    assert_the_same_in_onnx(of_length(time), tmp_path, [(2, time)])


@pytest.mark.slow
def test_batch_divided_among_loops(tmp_path, monkeypatch):
    """As large layers do; also where there are fewer rows than loops."""
    monkeypatch.setattr(divide, "_worthwhile_loops", lambda *_: 2)
    assert_the_same_in_onnx(of_length(None), tmp_path, [(1, 9), (3, 9)])
