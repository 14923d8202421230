"""Cells that never heard of the engine, and cells that it must leave to the plain loop."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from cases import (
    BATCH,
    FEATURES,
    MASK,
    TIME,
    UNITS,
    sequences,
)
from graphs import ALL, JIT, assert_relatively_close, gradients, step_by_step

import keras_lstm_variants as klv


class TestOtherCells:
    """Cells that never heard of the engine, and cells that it must leave to the plain loop."""

    def same_as_keras(self, cell, jit=False, training=True):
        x = sequences()
        ours, theirs = klv.RecurrentLayer(cell, **ALL), keras.layers.RNN(cell, **ALL)
        ours.build(x.shape)
        theirs.build(x.shape)
        weights = cell.trainable_weights
        how = {"mask": MASK, "training": training, "weights": weights}
        expected = step_by_step(theirs, x, **how)
        assert_relatively_close(gradients(ours, x, jit=jit, **how), expected)

    @JIT
    @pytest.mark.parametrize("cell", [keras.layers.LSTMCell, keras.layers.GRUCell])
    def test_keras_own(self, cell, jit, fast):
        self.same_as_keras(cell(UNITS), jit)
        assert not fast

    @JIT
    def test_weights_that_are_multiplied_in_the_step_itself(self, jit, fast):
        class OwnProductCell(klv.Cell):
            states = (klv.State("h"), klv.State("s"))

            def build(self, shape):
                self.w = self.add_weight((shape[-1], self.units))
                self.u = self.add_weight((self.units, self.units))
                self.scale = self.add_weight((self.units,), initializer="ones")

            def project_inputs(self, x, training=False):
                return {"x": x, "z": keras.ops.matmul(x, self.w)}

            def step(self, z, states, training=False):
                h, s = states
                a = z["z"] + keras.ops.matmul(h, self.u * self.scale) + self.matmul(s, self.u)
                h = keras.ops.tanh(a) * self.scale
                s = 0.5 * s + h * keras.ops.mean(z["x"], axis=-1, keepdims=True)
                return h + 2 * s, (h, s)

        self.same_as_keras(OwnProductCell(UNITS), jit)
        assert fast

    def test_gradients_of_many_steps_are_summed_in_float32(self, fast):
        class ShiftedCell(klv.Cell):
            def build(self, shape):
                self.shift = self.add_weight((self.units,), initializer="zeros")

            def step(self, x, states, training=False):
                h = 0 * states[0] + x + self.shift
                return h, (h,)

        cell = ShiftedCell(2, dtype="bfloat16")
        layer = klv.RecurrentLayer(cell, return_sequences=True, dtype="bfloat16")
        layer.build((1, 600, 2))

        @tf.function
        def slope(x):
            with tf.GradientTape() as tape:
                y = layer(x, training=True)
            return tape.gradient(y, cell.shift.value)

        # One by one, ones in bfloat16 come to 256 at most.
        found = slope(tf.zeros((1, 600, 2), "bfloat16"))
        assert np.array_equal(tf.cast(found, "float32"), [600, 600])
        assert fast

    @JIT
    def test_products_of_the_projected_input(self, jit, fast):
        class OwnProjectionCell(klv.Cell):
            def build(self, shape):
                self.w = self.add_weight((shape[-1], self.units))
                self.u = self.add_weight((self.units, self.units))

            def step(self, x, states, training=False):
                a = self.matmul(states[0], self.u, add_to=self.matmul(x, self.w))
                h = keras.ops.tanh(a)
                return h, (h,)

        self.same_as_keras(OwnProjectionCell(UNITS), jit)
        assert fast

    @pytest.mark.usefixtures("short_blocks")
    @JIT
    def test_a_matrix_computed_from_weights(self, jit, fast):
        """Chang et al. 2019, AntisymmetricRNN: U - U' in place of U."""
        computed = []

        class AntisymmetricCell(klv.ElmanCell):
            def build(self, shape):
                super().build(shape)
                self.turning = self.derived(self.antisymmetric)

            def antisymmetric(self):
                computed.append(1)
                u = keras.ops.convert_to_tensor(self.recurrent_kernel)
                return u - keras.ops.transpose(u)

            def step(self, z, states, training=False):
                h = self.activation(self.matmul(states[0], self.turning, add_to=z))
                other = self.matmul(h, self.turning, slice(0, 2))
                h = h + 0.1 * keras.ops.sum(other, axis=-1, keepdims=True)
                return h, (h,)

        self.same_as_keras(AntisymmetricCell(UNITS), jit)
        assert fast
        layer = klv.RecurrentLayer([AntisymmetricCell(UNITS), klv.ElmanCell(UNITS)])
        layer.build((None, None, FEATURES))
        computed.clear()
        expected = layer(sequences())
        assert len(computed) == 1
        assert_relatively_close(tf.function(layer, jit_compile=jit)(sequences()), expected)

    @JIT
    def test_sums_with_what_is_the_same_for_all_rows(self, jit, fast):
        class SharedCell(klv.ElmanCell):
            def build(self, shape):
                super().build(shape)
                self.b = self.add_weight((self.units,), initializer="ones")
                self.c = self.add_weight((1, self.units), initializer="ones")
                self.d = self.add_weight((1,), initializer="ones")

            def step(self, z, states, training=False):
                b, c, d = map(keras.ops.convert_to_tensor, (self.b, self.c, self.d))
                for add_to in (b, c, d, z):
                    h = keras.ops.tanh(states[0])
                    states = (self.matmul(h, self.recurrent_kernel, add_to=add_to),)
                return states[0], states

        self.same_as_keras(SharedCell(UNITS), jit)
        assert fast

    def test_every_other_column(self, fast):
        class SteppedCell(klv.ElmanCell):
            def step(self, z, states, training=False):
                other = self.matmul(states[0], self.recurrent_kernel, slice(0, None, 2))
                size = keras.ops.sum(other, axis=-1, keepdims=True)
                return super().step(z + size, states, training)

        self.same_as_keras(SteppedCell(UNITS))
        assert fast

    def test_a_projection_that_updates_a_variable(self, fast):
        class CountingCell(klv.ElmanCell):
            def build(self, shape):
                super().build(shape)
                self.steps = self.add_weight((), initializer="zeros", trainable=False)

            def project_inputs(self, inputs, training=False):
                self.steps.assign_add(1)
                return super().project_inputs(inputs, training)

        cell = CountingCell(UNITS)
        tf.function(klv.RecurrentLayer(cell))(sequences())
        assert not fast
        assert float(cell.steps.value) == TIME

    def test_a_stack_with_a_call_of_its_own(self, fast):
        class Residual(keras.layers.StackedRNNCells):
            def call(self, inputs, states, training=False, **kwargs):
                output, states = super().call(inputs, states, training=training, **kwargs)
                return output + keras.ops.mean(inputs), states

        self.same_as_keras(Residual([klv.LSTMCell(UNITS), klv.GRUCell(UNITS)]))
        assert not fast

    def test_a_cell_that_advances_in_its_own_way(self, fast):
        class DoubledCell(klv.ElmanCell):
            def advance(self, z, states, training=False):
                output, states = super().advance(z, states, training)
                return 2 * output, states

        self.same_as_keras(DoubledCell(UNITS))
        assert not fast

    def test_a_layer_inside_that_is_built_on_first_use(self, fast):
        class DenseCell(klv.ElmanCell):
            def __init__(self, *args, **kwargs):
                super().__init__(*args, **kwargs)
                self.dense = keras.layers.Dense(self.units)

            def build(self, shape):
                super().build(shape)
                self.dense.build((None, self.units))

            def step(self, z, states, training=False):
                return super().step(z + self.dense(states[0]), states, training)

        self.same_as_keras(DenseCell(UNITS))
        assert fast

    @pytest.mark.parametrize(
        "draw",
        [
            lambda cell, shape: keras.random.normal(shape, seed=cell.seed_generator),
            lambda cell, shape: tf.random.normal(shape),
        ],
        ids=["keras", "tensorflow"],
    )
    def test_a_step_that_draws_random_numbers(self, draw, fast):
        class NoisyCell(klv.ElmanCell):
            def step(self, z, states, training=False):
                noise = draw(self, states[0].shape[1:])
                return super().step(z + 0 * noise, states, training)

        self.same_as_keras(NoisyCell(UNITS))
        assert not fast

    def test_a_step_that_updates_a_variable(self, fast):
        class CountingCell(klv.ElmanCell):
            def build(self, shape):
                super().build(shape)
                self.steps = self.add_weight((), initializer="zeros", trainable=False)

            def step(self, z, states, training=False):
                self.steps.assign_add(1)
                return super().step(z, states, training)

        cell = CountingCell(UNITS)
        tf.function(klv.RecurrentLayer(cell))(sequences())
        assert not fast
        assert float(cell.steps.value) == TIME

    def test_a_step_that_uses_what_is_not_its_own(self, fast):
        foreign = tf.Variable(tf.ones((UNITS,)))

        class ForeignCell(klv.ElmanCell):
            def step(self, z, states, training=False):
                return super().step(z * foreign, states, training)

        layer = klv.RecurrentLayer(ForeignCell(UNITS))

        @tf.function
        def run(x):
            with tf.GradientTape() as tape:
                y = tf.reduce_sum(layer(x, training=True))
            return tape.gradient(y, foreign)

        assert np.any(run(sequences()) != 0)
        assert not fast

    def test_a_tensor_from_outside_keeps_its_gradient(self, fast):
        class MemoryCell(klv.ElmanCell):
            memory = None

            def step(self, z, states, training=False):
                return super().step(z + self.memory, states, training)

        cell = MemoryCell(UNITS)
        layer = klv.RecurrentLayer(cell)
        layer.build((None, None, FEATURES))

        @tf.function
        def run(x, memory):
            with tf.GradientTape() as tape:
                tape.watch(memory)
                cell.memory = memory * 2
                y = tf.reduce_sum(layer(x, training=True))
            return tape.gradient(y, memory)

        assert np.any(run(sequences(), tf.ones((BATCH, UNITS))) != 0)
        assert not fast

    @JIT
    @pytest.mark.parametrize("lazy", ["layer", "activation"])
    def test_what_is_built_while_the_step_is_tried(self, lazy, jit, fast):
        class LazyCell(klv.ElmanCell):
            def __init__(self, *args, **kwargs):
                super().__init__(*args, activation=keras.layers.PReLU(), **kwargs)
                self.dense = keras.layers.Dense(self.units)

            def step(self, z, states, training=False):
                more = self.dense(states[0]) if lazy == "layer" else 0.0
                return super().step(z + more, states, training)

        layer = klv.RecurrentLayer(LazyCell(UNITS), return_sequences=True)
        layer.build((None, None, FEATURES))
        found = tf.function(layer, jit_compile=jit)(sequences())
        assert_relatively_close(found, layer(sequences()))
        assert fast
        assert len(layer.weights) > 3 if lazy == "activation" else len(layer.weights) > 5
        self.same_as_keras(layer.cell, jit)

    @JIT
    def test_an_inner_cell_that_draws_a_mask(self, jit, fast):
        class InnerCell(klv.ElmanCell):
            def __init__(self, *args, **kwargs):
                super().__init__(*args, **kwargs)
                self.inner = keras.layers.GRUCell(self.units, dropout=0.5, seed=1)

            def build(self, shape):
                super().build(shape)
                self.inner.build((None, self.units))

            def step(self, z, states, training=False):
                h, _ = self.inner(z, [states[0]], training=training)
                return h, (h,)

        layer = klv.RecurrentLayer(InnerCell(UNITS))
        layer.build((None, None, FEATURES))
        found = tf.function(layer, jit_compile=jit)(sequences(), training=True)
        assert np.all(np.isfinite(found))
        assert not fast

    def test_a_state_that_all_rows_share(self, fast):
        class SharingCell(klv.ElmanCell):
            states = (klv.State("h"), klv.State("mean"))

            def get_initial_state(self, batch_size=None):
                return [keras.ops.zeros((n, self.units)) for n in (batch_size, 1)]

            def step(self, z, states, training=False):
                h, mean = states
                h, _ = super().step(z + mean, (h,), training)
                return h, (h, keras.ops.mean(h, axis=0, keepdims=True))

        layer = klv.RecurrentLayer(SharingCell(UNITS))
        assert_relatively_close(tf.function(layer)(sequences()), layer(sequences()))
        assert not fast

    def test_a_normalised_projection(self, fast):
        class NormalisedCell(klv.ElmanCell):
            def __init__(self, *args, **kwargs):
                super().__init__(*args, **kwargs)
                self.norm = keras.layers.BatchNormalization()

            def build(self, shape):
                super().build(shape)
                self.norm.build((None, self.units))

            def project_inputs(self, inputs, training=False):
                return self.norm(super().project_inputs(inputs, training), training=training)

        self.same_as_keras(NormalisedCell(UNITS), training=False)
        assert fast
        fast.clear()
        tf.function(klv.RecurrentLayer(NormalisedCell(UNITS)))(sequences(), training=True)
        assert not fast

    def test_an_error_in_a_step_is_the_users_own(self):
        class BrokenCell(klv.Cell):
            def step(self, x, states, training=False):
                return x + states[0], (x, x)

        layer = klv.RecurrentLayer(BrokenCell(FEATURES))
        with pytest.raises(ValueError, match="must return the output and a tuple of 1 new states"):
            tf.function(layer)(sequences())
