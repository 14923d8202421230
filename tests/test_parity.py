"""Equal to Keras's own layers with copied weights, and to a second engine where there is one."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from cases import BATCH, FEATURES, MASK, TIME, UNITS, assert_close, randomize, sequences

import keras_lstm_variants as klv

PAIRS = {
    "lstm": (klv.LSTM, keras.layers.LSTM, {}),
    "lstm_no_bias": (klv.LSTM, keras.layers.LSTM, {"use_bias": False}),
    "lstm_relu": (
        klv.LSTM,
        keras.layers.LSTM,
        {"activation": "relu", "recurrent_activation": "hard_sigmoid"},
    ),
    "lstm_linear": (klv.LSTM, keras.layers.LSTM, {"activation": None, "unit_forget_bias": False}),
    "gru_after": (klv.GRU, keras.layers.GRU, {}),
    "gru_before": (klv.GRU, keras.layers.GRU, {"reset_after": False}),
    "gru_before_no_bias": (klv.GRU, keras.layers.GRU, {"reset_after": False, "use_bias": False}),
    "gru_after_no_bias": (klv.GRU, keras.layers.GRU, {"use_bias": False}),
    "elman": (klv.Elman, keras.layers.SimpleRNN, {}),
}


def pair(key, **kwargs):
    ours, theirs, options = PAIRS[key]
    ours = ours(UNITS, **options, **kwargs)
    theirs = theirs(UNITS, **options, **kwargs)
    for layer in (ours, theirs):
        layer.build((BATCH if kwargs.get("stateful") else None, None, FEATURES))
    randomize(theirs)
    ours.set_weights(theirs.get_weights())
    return ours, theirs


@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("key", PAIRS)
def test_outputs_and_states(key, backwards):
    ours, theirs = pair(key, return_sequences=True, return_state=True, go_backwards=backwards)
    # All rows alike, or each another pattern.
    for mask in (None, *(np.tile(row, (BATCH, 1)) for row in MASK), MASK):
        assert_close(ours(sequences(), mask=mask), theirs(sequences(), mask=mask))


@pytest.mark.parametrize("key", PAIRS)
def test_zeros_for_masked_steps(key):
    ours, theirs = pair(key, return_sequences=True, zero_output_for_mask=True)
    assert_close(ours(sequences(), mask=MASK), theirs(sequences(), mask=MASK))
    ours, theirs = pair(key, zero_output_for_mask=True)
    assert_close(ours(sequences(), mask=MASK), theirs(sequences(), mask=MASK))


@pytest.mark.parametrize("key", PAIRS)
def test_gradients(key):
    ours, theirs = pair(key, return_sequences=True)
    x = tf.constant(sequences())
    gradients = []
    for layer in (ours, theirs):
        with tf.GradientTape() as tape:
            tape.watch(x)
            loss = tf.reduce_sum(layer(x, mask=MASK) ** 2)
        gradients.append(tape.gradient(loss, [x, *[w.value for w in layer.trainable_weights]]))
    assert_close(*gradients, tolerance=1e-5)


@pytest.mark.parametrize("key", ["lstm", "gru_after"])
def test_bidirectional(key):
    ours, theirs, options = PAIRS[key]
    ours = keras.layers.Bidirectional(ours(UNITS, return_sequences=True, **options))
    theirs = keras.layers.Bidirectional(theirs(UNITS, return_sequences=True, **options))
    theirs(sequences())
    ours(sequences())
    randomize(theirs)
    ours.set_weights(theirs.get_weights())
    assert_close(ours(sequences(), mask=MASK), theirs(sequences(), mask=MASK))


@pytest.mark.parametrize("key", ["lstm", "gru_after", "gru_before", "elman"])
def test_starts_like_keras(key):
    """The same seed gives the same first weights, the forget bias included."""
    ours, theirs, options = PAIRS[key]
    built = []
    for layer_class in (ours, theirs):
        layer = layer_class(
            UNITS,
            **options,
            kernel_initializer=keras.initializers.GlorotUniform(seed=1),
            recurrent_initializer=keras.initializers.Orthogonal(seed=2),
        )
        layer.build((None, None, FEATURES))
        built.append(layer.get_weights())
    assert_close(*built, tolerance=0)


@pytest.mark.parametrize("name", ["LSTM", "GRU", "Elman"])
def test_accepts_every_argument_of_keras_with_its_default(name):
    import inspect

    theirs = keras.layers.SimpleRNN if name == "Elman" else getattr(keras.layers, name)
    ours = inspect.signature(klv.get_variant(name)).parameters
    for parameter in list(inspect.signature(theirs.__init__).parameters.values())[1:]:
        if parameter.kind is parameter.VAR_KEYWORD:
            continue
        assert parameter.name in ours, parameter.name
        if parameter.name != "unit_forget_bias":  # None here: True unless forget_bias is given
            assert ours[parameter.name].default == parameter.default, parameter.name
    assert klv.LSTM(4).unit_forget_bias is True


@pytest.mark.parametrize("name", ["LSTM", "GRU"])
def test_reads_the_config_of_the_keras_layer(name):
    theirs = getattr(keras.layers, name)(7, dropout=0.1, return_sequences=True, name="theirs")
    ours = klv.get_variant(name).from_config(theirs.get_config())
    config = ours.get_config()
    for key, value in theirs.get_config().items():
        assert config[key] == value, key


def onnx_lstm(layer, x, coupled):
    """The outputs of ONNX Runtime's LSTM operator with the weights of `layer`."""
    onnx = pytest.importorskip("onnx")
    runtime = pytest.importorskip("onnxruntime")
    helper, floats = onnx.helper, onnx.TensorProto.FLOAT
    kernel, recurrent, bias, peepholes = layer.get_weights()
    n = layer.units
    # ONNX: gates i, o, f, c as rows; peepholes i, o, f.
    blocks = {g: k for k, g in enumerate(layer.gates)}

    def rows(weight):
        def block(gate):
            if gate not in blocks:  # the coupled forget gate: computed from i, weights unused
                return np.zeros((*weight.shape[:-1], n), "float32")
            return weight[..., blocks[gate] * n : (blocks[gate] + 1) * n]

        return np.concatenate([block(g) for g in ("i", "o", "f", "g")], -1).T[None]

    order = [g for g in ("i", "f", "o") if g in layer.peepholes]
    peep = dict(zip(order, peepholes, strict=True))
    peep = [peep.get(g, np.zeros(n, "float32")) for g in ("i", "o", "f")]
    inputs = {
        "W": rows(kernel),
        "R": rows(recurrent),
        "B": np.concatenate([rows(bias), np.zeros((1, 4 * n), "float32")], 1),
        "P": np.concatenate(peep)[None],
    }
    node = helper.make_node(
        "LSTM",
        ["X", "W", "R", "B", "", "", "", "P"],
        ["Y"],
        hidden_size=n,
        input_forget=int(coupled),
    )
    graph = helper.make_graph(
        [node],
        "lstm",
        [helper.make_tensor_value_info("X", floats, [TIME, BATCH, FEATURES])],
        [helper.make_tensor_value_info("Y", floats, None)],
        [onnx.numpy_helper.from_array(v.astype("float32"), k) for k, v in inputs.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8)
    session = runtime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    (y,) = session.run(None, {"X": np.swapaxes(x, 0, 1)})
    return np.swapaxes(y[:, 0], 0, 1)


def test_peephole_lstm_equals_onnx_runtime():
    layer = klv.PeepholeLSTM(UNITS, return_sequences=True)
    layer.build((None, None, FEATURES))
    randomize(layer)
    assert_close(layer(sequences()), onnx_lstm(layer, sequences(), coupled=False), 1e-5)


def test_coupled_lstm_equals_onnx_runtime():
    layer = klv.CoupledLSTM(UNITS, peepholes=("i", "o"), return_sequences=True)
    layer.build((None, None, FEATURES))
    randomize(layer)
    assert_close(layer(sequences()), onnx_lstm(layer, sequences(), coupled=True), 1e-5)
