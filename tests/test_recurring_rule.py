"""When the fast loop is compiled for what comes back."""

import os
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from cases import FEATURES, TIME, UNITS, make, sequences

import keras_lstm_variants as klv
from keras_lstm_variants.engine.tensorflow import recurring, varying

pytestmark = pytest.mark.usefixtures("forgotten_after_each_test")


def test_a_shape_is_compiled_once_it_has_come_back(forms, monkeypatch):
    monkeypatch.setattr(recurring, "ENOUGH", 3 * TIME)
    layer = make("Elman")
    weights = [w.value for w in layer.trainable_weights]

    @tf.function(input_signature=[tf.TensorSpec((None, TIME, FEATURES))])
    def step(x):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(layer(x, training=True))
        return tape.gradient(loss, weights)

    x = sequences()
    for batch in (x, x[:2], x, x, x[:2], x):
        step(batch)
    assert forms == [False, False, False, True, False, True]


def test_no_layer_waits_for_another_to_be_counted():
    """Branches of a model run side by side."""
    layers = [make("Elman") for _ in range(2)]
    spec = tf.TensorSpec((None, 50, FEATURES))

    @tf.function(autograph=False, input_signature=[spec, spec])
    def step(*inputs):
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            outputs = [layer(x, training=True) for layer, x in zip(layers, inputs, strict=True)]
        return tape.gradient(outputs, inputs)

    graph = step.get_concrete_function().graph
    calls = [op for op in graph.get_operations() if "PartitionedCall" in op.type]
    counts = [op for op in calls if "count" in op.get_attr("f").name]
    assert len(counts) == 2
    assert not any(op.control_inputs for op in counts)


def test_no_more_shapes_than_worth_it(monkeypatch):
    monkeypatch.setattr(recurring, "ENOUGH", 5)
    monkeypatch.setattr(recurring, "_SHAPES", 2)
    counter = recurring._Counter()
    steps = tf.constant(3, tf.int64)
    batches = [tf.constant(rows, tf.int64) for rows in (1, 2, 3)] * 3
    often = [bool(counter.count(batch, steps)[0]) for batch in batches]
    assert often == [False] * 3 + [True, True, False] * 2


def test_one_length_or_many(monkeypatch):
    """What nearly all sequences have is compiled for its length, and what varies for all lengths.

    So much of each: three quarters for a length, everything for any; none where both would be.
    """
    monkeypatch.setattr(recurring, "ENOUGH", 40)

    def answers(*lengths):
        counter, batch = recurring._Counter(), tf.constant(2, tf.int64)
        often = [counter.count_any(batch, tf.constant(n, tf.int64)) for n in lengths]
        return [(bool(whole), bool(any_length)) for whole, any_length in often]

    neither, whole, any_length = (False, False), (True, False), (False, True)
    assert answers(10, 10, 10, 10) == [neither, neither, whole, whole]
    assert answers(10, 11, 12, 13, 10, 10) == [*[neither] * 3, *[any_length] * 3]
    # Others beside it are compiled for any length once there is enough of them.
    others = [neither, any_length]
    assert answers(10, 10, 10, 19, 12, 10) == [neither, neither, whole, *others, whole]
    # One long sequence is not many.
    assert answers(50, 60, 60) == [neither, any_length, any_length]
    assert answers(50, 50) == [neither, whole]


@pytest.mark.slow
@pytest.mark.processes
def test_all_lengths_share_what_is_compiled(tmp_path):
    """Forwards and backwards, once: XLA writes down what it compiles."""
    script = tmp_path / "lengths.py"
    script.write_text(LENGTHS)
    flags = os.environ.get("XLA_FLAGS", "") + f" --xla_dump_to={tmp_path}"
    subprocess.run([sys.executable, script], check=True, env={**os.environ, "XLA_FLAGS": flags})
    loops = [p.name for p in tmp_path.glob("*after_optimizations.txt") if "lambda" in p.name]
    assert len(loops) == 2, loops


LENGTHS = """
import tensorflow as tf
import keras_lstm_variants as klv
from keras_lstm_variants.engine.tensorflow import recurring, varying

recurring.ENOUGH, varying._LONGEST, varying._ENOUGH = 20, 8, 1
layer = klv.LSTM(4)
layer.build((None, None, 3))


@tf.function(input_signature=[tf.TensorSpec((None, None, 3))])
def step(x):
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(layer(x, training=True))
    return tape.gradient(loss, [w.value for w in layer.trainable_weights])


for length in range(5, 25):
    step(tf.ones((2, length, 3)))
"""


def model_of(*layers):
    model = keras.Sequential([keras.Input((TIME, FEATURES)), *layers, keras.layers.Dense(1)])
    model.compile("adam", "mse")
    return model


@pytest.mark.slow
def test_fit_evaluate_and_predict(forms, monkeypatch, tmp_path):
    monkeypatch.setattr(recurring, "ENOUGH", 3 * TIME)
    random = np.random.default_rng(0)
    x = random.normal(size=(12, TIME, FEATURES)).astype("float32")
    y = x[:, :1, 0]

    def trained(engine):
        keras.utils.set_random_seed(1)
        model = model_of(klv.LSTM(UNITS, engine=engine))
        history = model.fit(x, y, batch_size=3, epochs=2, verbose=0).history["loss"]
        model.evaluate(x, y, batch_size=3, verbose=0)
        return model, history, model.predict(x, batch_size=3, verbose=0)

    model, history, predicted = trained("auto")
    # Steps of training, of evaluation and of prediction count alike.
    assert forms == [False] * 2 + [True] * 14
    assert trained("auto")[1] == history
    _, slow, by_step = trained("plain")
    np.testing.assert_allclose(history, slow, rtol=1e-4)
    np.testing.assert_allclose(predicted, by_step, rtol=1e-4, atol=1e-5)
    # Neither form is in what is saved.
    model.export(tmp_path, verbose=False)
    assert b"_XlaMustCompile" not in (tmp_path / "saved_model.pb").read_bytes()
    loaded = tf.saved_model.load(tmp_path)
    np.testing.assert_allclose(loaded.serve(x), predicted, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_batches_of_many_lengths(forms, monkeypatch):
    monkeypatch.setattr(recurring, "ENOUGH", 20)
    monkeypatch.setattr(varying, "_LONGEST", 4)
    monkeypatch.setattr(varying, "_ENOUGH", 2)
    random = np.random.default_rng(0)
    lengths = [5, 7, 6, 9, 1, 8, 4, 10]
    x = [random.normal(size=(3, n, FEATURES)).astype("float32") for n in lengths]

    def trained(engine):
        keras.utils.set_random_seed(1)
        model = keras.Sequential(
            [
                keras.Input((None, FEATURES)),
                keras.layers.Masking(),
                klv.LSTM(UNITS, return_sequences=True, engine=engine),
                klv.GRU(UNITS, engine=engine),
                keras.layers.Dense(1),
            ]
        )
        model.compile("adam", "mse")
        specs = tf.TensorSpec((None, None, FEATURES)), tf.TensorSpec((None, 1))
        batches = tf.data.Dataset.from_generator(
            lambda: ((b, b[:, :1, 0]) for b in x), output_signature=specs
        )
        steps = {"steps_per_epoch": len(x), "epochs": 2}
        return model.fit(batches.repeat(), shuffle=False, verbose=0, **steps).history["loss"]

    history = trained("auto")
    # Of both layers. A single step is fewer than are worth it, which no count tells.
    assert forms == [False] * 6 + [True] * 26
    assert trained("auto") == history
    np.testing.assert_allclose(history, trained("plain"), rtol=1e-4)


@pytest.mark.slow
def test_who_is_compiled_says_so():
    layer = klv.LSTM(100)
    for shape, training, told in (
        (
            (None, 40, 3),
            True,
            "(compiled by XLA for shapes of which 4096 time steps have been run)",
        ),
        ((None, 40, 3), False, "may be exported"),
        ((None, None, 3), True, "(compiled by XLA for batch sizes of which 4096 time steps"),
        ((None, 5, 3), True, "fewer than 25 steps"),
        ((4000, 40, 3), True, "products as large"),
    ):
        assert told in layer.explain_engine(shape, training=training)
    exact = klv.LSTM(UNITS, dtype="float64")
    assert "in float64 wrongly" in exact.explain_engine((None, 40, 3))
    assert "(compiled by XLA)" in klv.LSTM(UNITS, engine="xla").explain_engine((None, None, 3))


def test_a_function_is_traced_once():
    """It would be twice if a variable were made in it."""
    layer, traced = make("Elman"), []

    @tf.function(autograph=False)
    def step(x):
        traced.append(x)
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(layer(x, training=True))
        return tape.gradient(loss, layer.trainable_weights[0].value)

    step(tf.ones((2, 30, FEATURES)))
    assert len(traced) == 1
