"""Layers in the models that people build, and in corners that others left rough."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from cases import BATCH, FEATURES, MASK, UNITS, arrays, assert_close, make, randomize, sequences

import keras_lstm_variants as klv


@pytest.mark.slow
def test_encoder_decoder_saved_cloned_and_exported(tmp_path):
    source = keras.Input((None, FEATURES), name="source")
    target = keras.Input((None, FEATURES), name="target")
    _, *states = klv.PeepholeLSTM(UNITS, return_state=True)(keras.layers.Masking()(source))
    decoded = klv.LSTM(UNITS, return_sequences=True)(target, initial_state=states)
    model = keras.Model([source, target], keras.layers.Dense(2)(decoded))
    randomize(model)
    model.compile("adam", "mse")
    x = [sequences(), sequences(time=4, seed=1)]
    x[0][1, 3:] = 0
    model.fit(x, np.zeros((BATCH, 4, 2)), verbose=0)
    expected = model.predict(x, verbose=0)
    model.save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras")
    assert_close(loaded.predict(x, verbose=0), expected)
    assert_close(
        [v.numpy() for v in loaded.optimizer.variables],
        [v.numpy() for v in model.optimizer.variables],
    )
    clone = keras.models.clone_model(model)
    clone.set_weights(model.get_weights())
    assert_close(clone.predict(x, verbose=0), expected)
    model.export(tmp_path / "m", verbose=False)
    served = tf.saved_model.load(str(tmp_path / "m"))
    assert_close(served.serve(x), expected)


def test_bidirectional_with_states_in_and_out():
    kwargs = {"return_sequences": True, "return_state": True}
    both = keras.layers.Bidirectional(klv.LSTM(UNITS, **kwargs))
    theirs = keras.layers.Bidirectional(keras.layers.LSTM(UNITS, **kwargs))
    for layer in (both, theirs):
        layer(sequences())
    randomize(theirs)
    both.set_weights(theirs.get_weights())
    states = [sequences(seed=s)[:, 0] @ np.ones((FEATURES, UNITS), "float32") for s in range(4)]
    arguments = {"initial_state": states, "mask": MASK}
    assert_close(both(sequences(), **arguments), theirs(sequences(), **arguments))


def test_bidirectional_with_all_states():
    kwargs = {"return_sequences": True, "return_all_states": True}
    both = keras.layers.Bidirectional(klv.LSTM(UNITS, **kwargs))
    output, *rest = both(sequences())
    assert len(rest) == 2 * 4
    forward_h, backward_h = rest[2], rest[6]
    assert_close(tf.concat([forward_h, backward_h], -1), output)
    symbolic = both(keras.Input((None, FEATURES)))
    assert len(symbolic) == len(rest) + 1


def test_all_states_of_stacked_cells_carry_the_mask(tmp_path):
    inputs = keras.Input((None, FEATURES))
    cells = [klv.LSTMCell(UNITS), klv.GRUCell(3)]
    layer = klv.RecurrentLayer(cells, return_sequences=True, return_all_states=True)
    outputs = keras.tree.flatten(layer(keras.layers.Masking()(inputs)))
    # Output; final h, c, h; all h, c, h.
    masked = [getattr(o, "_keras_mask", None) is not None for o in outputs]
    assert masked == [True, False, False, False, True, True, True]
    model = keras.Model(inputs, [keras.layers.GlobalAveragePooling1D()(o) for o in outputs[4:]])
    x = sequences()
    x[0, 4:] = 0
    padded, short = model(x), model(x[:1, :4])
    assert_close([p[:1] for p in padded], short)
    model.save(tmp_path / "m.keras")
    assert_close(keras.models.load_model(tmp_path / "m.keras")(x), padded)


def test_stateful_cells_of_ours_in_keras_own_rnn():
    rnn = keras.layers.RNN(klv.PeepholeLSTMCell(UNITS), stateful=True, return_sequences=True)
    parts = tf.concat([rnn(sequences()[:, :2]), rnn(sequences()[:, 2:])], 1)
    rnn.reset_state()
    assert_close(parts, rnn(sequences()))


def test_loaded_stateful_layer_starts_from_the_learned_state(tmp_path):
    inputs = keras.Input(batch_shape=(BATCH, None, FEATURES))
    layer = klv.LSTM(UNITS, stateful=True, initial_state="learned")
    model = keras.Model(inputs, layer(inputs))
    randomize(model)
    first = arrays(model(sequences()))
    model.save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras")
    assert_close(loaded(sequences()), first)
    stateless = klv.LSTM(UNITS, initial_state="learned")
    stateless.build((None, None, FEATURES))
    stateless.set_weights(layer.get_weights())
    assert_close(stateless(sequences()), first)
    layer.reset_state()
    model.export(tmp_path / "m", verbose=False)
    served = tf.saved_model.load(str(tmp_path / "m"))
    assert_close(served.serve(sequences()), first)


@pytest.mark.parametrize("dtype", ["float64", "mixed_float16", "mixed_bfloat16"])
def test_stacked_cells_in_another_precision(dtype):
    cells = [
        klv.LSTMCell(UNITS, dtype=dtype, dropout=0.2, recurrent_dropout=0.2),
        klv.GRUCell(3, dtype=dtype, recurrent_dropout=0.2),
    ]
    layer = klv.RecurrentLayer(cells, dtype=dtype, return_state=True)
    x = sequences("float64")
    assert {o.dtype.name for o in keras.tree.flatten(layer(x, training=True))} == {
        dtype.removeprefix("mixed_")
    }
    if dtype == "float64":
        one, two = (klv.RecurrentLayer(c, dtype=dtype, return_sequences=True) for c in cells)
        np.testing.assert_allclose(layer(x)[0], two(one(x))[:, -1], rtol=0, atol=1e-15)


@pytest.mark.parametrize("mask", ["numpy", "list", "int", "tensor"])
def test_forms_of_a_mask(mask):
    layer = make("LSTM")
    forms = {
        "numpy": MASK,
        "list": MASK.tolist(),
        "int": MASK.astype("int32"),
        "tensor": tf.constant(MASK),
    }
    assert_close(layer(sequences(), mask=forms[mask]), layer(sequences(), mask=MASK), 0)


def test_an_empty_batch():
    for jit in (False, True):
        layer = make("GRU", return_sequences=True)
        call = tf.function(lambda x, layer=layer: layer(x), jit_compile=jit)
        assert call(sequences()[:0]).shape == (0, 6, UNITS)


def test_numpy_scalars_are_numbers():
    layer = klv.LSTM(
        np.int64(4),
        forget_bias="chrono",
        max_timesteps=np.int64(50),
        dropout=np.float32(0.5),
        seed=np.int64(3),
        return_sequences=np.True_,
        use_bias=1,
    )
    assert (layer.units, layer.max_timesteps, layer.seed) == (4, 50, 3)
    assert layer.return_sequences is True and layer.use_bias is True
    again = klv.LSTM.from_config(layer.get_config())
    assert again.get_config() == layer.get_config()
    assert klv.LSTM(4, forget_bias=np.array(2.0)).forget_bias == 2.0


def test_old_input_shape_is_accepted_with_keras_own_warning():
    with pytest.warns(UserWarning, match="input_shape"):
        layer = klv.LSTM(4, input_shape=(5, 3))
    assert keras.Sequential([layer]).output_shape == (None, 4)


def test_unrolled_layer_behind_an_input_of_unknown_length():
    model = keras.Sequential([keras.Input((None, FEATURES)), make("LSTM", unroll=True)])
    assert_close(model(sequences()), make("LSTM")(sequences()))


def test_no_step_of_the_backward_loop_touches_the_whole_sequence():
    """The gradient of `x[t]` is a sequence of zeros for every step: quadratic in time."""
    layer = make("LSTM", return_sequences=True)

    @tf.function(input_signature=[tf.TensorSpec((None, None, FEATURES), tf.float32)])
    def gradient(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            loss = tf.reduce_sum(layer(x, mask=tf.reduce_any(x != 0, -1)))
        return tape.gradient(loss, x)

    graph = gradient.get_concrete_function().graph.as_graph_def()
    ops = {node.op for f in graph.library.function for node in f.node_def}
    assert "TensorListSetItem" in ops
    assert not ops & {"StridedSliceGrad", "GatherV2", "ResourceStridedSliceAssign"}


def test_per_gate_with_a_seed_generator():
    generator = keras.random.SeedGenerator(3)
    draw = klv.initializers.PerGate(keras.initializers.Orthogonal(seed=generator), units=4)
    one, two, three = np.split(draw((4, 12)).numpy(), 3, axis=1)
    assert not np.allclose(one, two) and not np.allclose(two, three)


class TestOwnCells:
    def test_registering_under_our_name_is_refused(self):
        class MineCell(klv.ElmanCell):
            pass

        with pytest.raises(ValueError, match=r'@register\(package="..."\)'):
            klv.register(MineCell)

    def test_defining_a_class_again_replaces_it(self):
        def define():
            @klv.register(package="notebook")
            class AgainCell(klv.ElmanCell):
                pass

            return AgainCell

        define()
        second = define()
        config = keras.saving.serialize_keras_object(second(3))
        assert type(keras.saving.deserialize_keras_object(config)) is second

    def test_an_argument_without_its_attribute_is_named(self):
        class ForgetfulCell(klv.ElmanCell):
            def __init__(self, *args, rate=1.0, **kwargs):
                super().__init__(*args, **kwargs)

        with pytest.raises(TypeError, match="ForgetfulCell must keep .*`rate`"):
            ForgetfulCell(3).get_config()

    def test_own_positional_arguments(self):
        class ScaledCell(klv.ElmanCell):
            def __init__(self, units, scale=1.0, **kwargs):
                super().__init__(units, **kwargs)
                self.scale = scale

        assert ScaledCell.from_config(ScaledCell(3, 2.0).get_config()).scale == 2.0

    @pytest.mark.parametrize("wrong", [lambda h: h, lambda h: (h, h), lambda h: ()])
    def test_step_must_return_its_states(self, wrong):
        class WrongCell(klv.Cell):
            def step(self, x, states, training=False):
                return states[0], wrong(states[0])

        with pytest.raises(ValueError, match="WrongCell.step must return the output and"):
            WrongCell(FEATURES)(sequences()[:, 0], [sequences()[:, 0]])

    def test_a_gate_may_lack_columns(self):
        class InputBlindCell(klv.AffineCell):
            gates = ("g",)
            kernel_gates = ()

            def project_inputs(self, inputs, training=False):
                return self.bias

            def step(self, z, states, training=False):
                h = self.activation(z + self.recurrent_matmul(states[0], training=training))
                return h, (h,)

        cell = InputBlindCell(4)
        cell.build((None, FEATURES))
        assert cell.kernel is None

    def test_a_layer_of_a_foreign_cell_is_refused(self):
        with pytest.raises(TypeError, match=r"cell_class must be a klv\.Cell.*RecurrentLayer"):

            class Foreign(klv.CellLayer):
                cell_class = keras.layers.GRUCell

    def test_a_cell_with_one_size_as_keras_allows(self):
        class OneSizeCell(klv.Cell):
            @property
            def state_size(self):
                return self.units

            def step(self, x, states, training=False):
                return states[0] + x, (states[0] + x,)

        layer = klv.RecurrentLayer(OneSizeCell(FEATURES))
        assert_close(layer(sequences()), sequences().sum(1))

    def test_gates_must_be_named(self):
        class NamelessCell(klv.GatedCell):
            def step(self, x, states, training=False):
                return states[0], states

        with pytest.raises(TypeError, match="NamelessCell must name its blocks"):
            NamelessCell(3)
