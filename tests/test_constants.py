"""Tensors that are the same at every step, one for each row: in the loops, and their gradients."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from cases import BATCH, FEATURES, MASK, UNITS, randomize, sequences
from graphs import JIT, assert_relatively_close
from keras import ops

import keras_lstm_variants as klv
from keras_lstm_variants.core.context import derived_as

PLACES = 4


class LookingCell(klv.ElmanCell):
    """Adds to its state what it finds in a memory (batch, places, units)."""

    def build(self, shape):
        super().build(shape)
        self.memory = self.constant("memory")
        self.keys = self.derived(self.projected, by_row=True)

    def projected(self):
        return ops.matmul(self.memory.value, ops.convert_to_tensor(self.recurrent_kernel))

    def step(self, z, states, training=False):
        (h,) = states
        found = ops.softmax(ops.sum(self.keys.value * h[:, None], axis=-1))
        seen = ops.sum(found[..., None] * self.memory.value, axis=1)
        h = self.activation(self.matmul(h, self.recurrent_kernel, add_to=z) + seen)
        return h, (h,)


def run(engine, *, jit=False, mask=None, known=True, **options):
    """Outputs and gradients of weights, inputs and memory."""
    layer = klv.RecurrentLayer(LookingCell(UNITS), engine=engine, return_sequences=True, **options)
    layer.build((None, None, FEATURES))
    randomize(layer)
    memory = np.random.default_rng(5).normal(size=(BATCH, PLACES, UNITS)).astype("float32")
    shapes = (
        [(BATCH, None, FEATURES), memory.shape] if known else [(None,) * 3, (None, None, UNITS)]
    )
    shapes[0] = (*shapes[0][:2], FEATURES)

    def graph(x, memory):
        with tf.GradientTape() as tape:
            tape.watch([x, memory])
            with derived_as({id(layer.cell.memory): memory}):
                y = layer(x, mask=mask, training=True)
            loss = tf.reduce_sum(tf.sin(y))
        weights = [w.value for w in layer.trainable_weights]
        return y, *tape.gradient(loss, [x, memory, *weights])

    graph = tf.function(
        graph, jit_compile=jit, input_signature=[tf.TensorSpec(s, tf.float32) for s in shapes]
    )
    return graph(tf.constant(sequences()), tf.constant(memory))


@JIT
@pytest.mark.parametrize("known", [True, False], ids=["known", "unknown"])
@pytest.mark.parametrize("recompute", [False, True], ids=["kept", "recomputed"])
@pytest.mark.usefixtures("short_blocks")
def test_the_fast_loop_gives_what_the_plain_one_gives(jit, known, recompute, fast):
    found = run("auto", jit=jit, mask=MASK, known=known, recompute=recompute)
    assert fast
    assert_relatively_close(found, run("plain", mask=MASK))


def test_it_never_copies_constants_for_many_steps_at_once(fast, monkeypatch):
    from keras_lstm_variants.engine.tensorflow import divide

    monkeypatch.setattr(divide, "_KEPT", 0)
    found = run("auto")
    assert [loop.settings.residuals.name for loop in fast] == ["ALL"]
    assert_relatively_close(found, run("plain"))


def test_compiled_by_itself(fast):
    found = run("xla")
    assert fast
    assert_relatively_close(found, run("plain"))


def test_without_it(fast):
    layer = klv.RecurrentLayer(LookingCell(UNITS))
    with pytest.raises(ValueError, match="LookingCell was called without `memory`"):
        layer(sequences())
    with pytest.raises(ValueError, match="LookingCell was called without `memory`"):
        tf.function(layer)(sequences())
    assert not fast


def test_in_the_layer_of_keras():
    cell = LookingCell(UNITS)
    memory = tf.ones((BATCH, PLACES, UNITS))
    ours, theirs = klv.RecurrentLayer(cell), keras.layers.RNN(cell)
    ours.build((None, None, FEATURES))
    with derived_as({id(cell.memory): memory}):
        assert_relatively_close(ours(sequences()), theirs(sequences()))
