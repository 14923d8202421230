"""The fast loop for batches and sequences of any size, in blocks of any length."""

import itertools
import re

import numpy as np
import pytest
import tensorflow as tf
from cases import FEATURES, MASK, PROTOCOL, ROWS, UNITS, make, sequences
from graphs import ALL, JIT, assert_relatively_close, gradients, plain, step_by_step
from hypothesis import given, settings
from hypothesis import strategies as st

import keras_lstm_variants as klv
from keras_lstm_variants.engine.tensorflow import chunks

pytestmark = pytest.mark.usefixtures("forgotten_after_each_test")


@pytest.mark.parametrize("steps", [1, 7, 64, 100, 101, 500, 997, 5000])
@pytest.mark.parametrize("compiled", [False, True])
def test_chunks_cover_all_steps_once(steps, compiled, monkeypatch):
    monkeypatch.setattr(chunks, "repeat", _repeat)
    for rows, columns, backwards in itertools.product((1, 32, 1000), (1, 256, 4096), (False, True)):
        parts = chunks.Chunks(steps, rows, columns, compiled)
        (seen,) = parts.repeat(lambda chunk, seen: ([*seen, chunk],), ([],), backwards)
        assert [int(c.place) for c in seen] == sorted(range(parts.count), reverse=backwards)
        starts, lengths = [int(c.start) for c in seen], [int(c.length) for c in seen]
        pairs = zip(starts, lengths, strict=True)
        assert sorted(t for s, n in pairs for t in range(s, s + n)) == list(range(steps))
        assert 0 < min(lengths) <= max(lengths) == parts.length <= 2 * chunks._LONGEST
        # XLA is told the length of each.
        assert not compiled or all(isinstance(c.length, int) for c in seen)


def _repeat(count, body, values):
    for i in range(count):
        values = body(i, *values)
    return values


@pytest.mark.parametrize("known", [True, False])
def test_xla_knows_how_often_each_loop_runs(known, monkeypatch):
    monkeypatch.setattr(chunks, "_length", lambda *_: 4)
    layer = klv.LSTM(3)
    layer.build((None, None, 2))

    def gradients(x):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(layer(x, training=True))
        return tape.gradient(loss, [w.value for w in layer.trainable_weights])

    shape = tf.TensorSpec((None, 19 if known else None, 2))
    graph = tf.function(gradients, jit_compile=True, input_signature=[shape])
    text = graph.experimental_get_compiler_ir(tf.ones((3, 19, 2)))("optimized_hlo")
    loops = [line for line in text.splitlines() if " while(" in line]
    trips = [int(n) for n in re.findall(r'"known_trip_count":{"n":"(\d+)"', text)]
    assert len(trips) == len(loops)
    # Forwards and back: four chunks of four steps, and one of three.
    assert sorted(trips) == [3, 3, 4, 4, 4, 4]


@pytest.mark.usefixtures("short_blocks")
@pytest.mark.parametrize(
    ("name", "recompute"), [("LSTM", False), ("FGRLSTM", True), ("GRU", True), ("MUT1", False)]
)
@JIT
@pytest.mark.slow
def test_unknown_batch_and_time(name, jit, recompute, fast):
    quick = make(name, recompute=recompute, **ALL)
    slow = make(name, engine="plain", **ALL)
    graphs = []
    for layer in (quick, slow):

        def run(x, mask, layer=layer):
            with tf.GradientTape() as tape:
                tape.watch(x)
                outputs = layer(x, mask=mask, training=True)
                loss = sum(tf.reduce_sum(tf.sin(o)) for o in outputs)
            sources = [x, *(w.value for w in layer.trainable_weights)]
            # Without a step, nothing depends on them: a graph says so by zeros.
            none = "none" if layer is quick else "zero"
            return outputs, tape.gradient(loss, sources, unconnected_gradients=none)

        signature = [
            tf.TensorSpec((None, None, FEATURES), tf.float32),
            tf.TensorSpec((None, None), tf.bool),
        ]
        graph = tf.function(run, input_signature=signature, jit_compile=jit)
        graphs.append(graph if layer is quick else run)
    # XLA compiles each shape anew.
    for batch, time in [(3, 5)] if jit else [(4, 6), (2, 3), (1, 1), (3, 0), (3, 5)]:
        x, mask = sequences()[:batch, :time], MASK[:batch, :time]
        expected = graphs[1](tf.constant(x), tf.constant(mask))
        assert_relatively_close(graphs[0](x, mask), expected)
    assert fast


@pytest.mark.parametrize("name", PROTOCOL)
@settings(max_examples=5, deadline=None, derandomize=True)
@given(data=st.data())
@pytest.mark.slow
def test_equals_keras_whatever_the_shapes_masks_and_options(name, data):
    batch, time, features, units = (data.draw(st.integers(1, n)) for n in (5, 9, 4, 6))
    options = data.draw(st.sampled_from(ROWS[name]))
    units = UNITS if "Clockwork" in name else units  # which its groups must fit
    kwargs = {
        "return_sequences": data.draw(st.booleans()),
        "go_backwards": data.draw(st.booleans()),
        "zero_output_for_mask": data.draw(st.booleans()),
        "return_state": True,
    }
    recompute, use_bias = data.draw(st.booleans()), data.draw(st.booleans())
    bits = st.lists(st.booleans(), min_size=batch * time, max_size=batch * time)
    mask = data.draw(st.one_of(st.none(), bits))
    mask = None if mask is None else np.array(mask).reshape(batch, time)
    random = np.random.default_rng(data.draw(st.integers(0, 1000)))
    layer = klv.get_variant(name)(
        units, **options, **kwargs, use_bias=use_bias, recompute=recompute
    )
    layer.build((None, None, features))
    layer.set_weights([0.5 * random.normal(size=w.shape) for w in layer.get_weights()])
    x = random.normal(size=(batch, time, features)).astype("float32")
    length = data.draw(st.integers(1, time))
    before = chunks._length
    chunks._length = lambda *_: length
    try:
        found = gradients(layer, x, mask=mask, training=data.draw(st.booleans()))
    finally:
        chunks._length = before
    expected = step_by_step(plain(layer, **kwargs), x, mask=mask)
    assert_relatively_close(found, expected)
