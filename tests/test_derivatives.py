"""Jacobians, Hessians, gradients of single examples and forward mode, as graphs take them."""

import logging

import keras
import numpy as np
import pytest
import tensorflow as tf
from cases import LAYERS
from derivatives import KINDS, TOLERANCE, check, combinations

import keras_lstm_variants as klv

pytestmark = [
    pytest.mark.slow,
    pytest.mark.usefixtures("forgotten_after_each_test"),
]

# Every setting of the loop, with the cheapest cell where its graphs are large; and what cells have
# beyond that, as small as shows it.
ROWS = [
    ("LSTM", "graph", {}),
    ("GRU", "masked, all", {"reset_after": False}),
    ("MUT1", "recompute", {}),
    ("PeepholeLSTM", "plain, all, masked", {"peepholes": ("o", "f")}),
    ("LSTM1997", "traced before, training", {}),
    ("Elman", "unknown, training, all", {}),
    ("Elman", "short blocks, training", {}),
    ("Elman", "engine xla, training", {}),
    ("Elman", "recurring, training", {}),
    ("Elman", "compiled, training", {}),
    ("FGRLSTM", "graph training", {"peepholes": ("f",)}),
    ("ClockworkLSTM", "short blocks", {"periods": (1, 3), "offset": 2}),
    ("GridLSTM", "graph training", {"depth": 1, "priority": "time", "input_memory": True}),
    ("DeepGateLSTM", "masked, training", {"gate_hidden_units": (4,), "deep_gates": ("f",)}),
    ("Elman", "unknown sizes", {}),
    ("Elman", "recurring, unknown", {}),
]
# Graphs of what is vectorised are large, those of a Hessian by far the largest: the first row has
# them all, each other one in turn. The script tries them all with every cell in every setting.
DEAR = ("jacobian_by_weights", "jacobian_by_input", "batch_jacobian", "per_example")
HESSIAN = ("graph", "recurring, training", "compiled, training")
# The others with what is unusual about them, but no more levels than show it.
OPTIONS = {"DepthGatedLSTM": {"depth": 2, "coupled": True, "peepholes": ("o",)}}
OTHERS = [name for name in LAYERS if name not in {row[0] for row in ROWS}]
# Refused, by a message that names what helps; all others are right.
REFUSED = {
    ("unknown sizes", "forward_mode"),
    ("unknown sizes", "forward_over_backward"),
    ("unknown, training, all", "forward_mode"),
    ("unknown, training, all", "forward_over_backward"),
    ("recurring, unknown", "forward_mode"),
    ("recurring, unknown", "forward_over_backward"),
    # XLA compiles no vectorised loop.
    ("compiled, training", "jacobian_by_weights"),
    ("compiled, training", "jacobian_by_input"),
    ("compiled, training", "batch_jacobian"),
    ("compiled, training", "per_example"),
    ("compiled, training", "vectorized_inside"),
    ("compiled, training", "hessian"),
}


@pytest.fixture(autouse=True)
def quiet():
    """TensorFlow logs whole graphs where it cannot vectorise them."""
    logger = logging.getLogger("tensorflow")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    yield
    logger.setLevel(level)


def kinds_of(row):
    own = {DEAR[(row + 2) % 4]} if row else set(DEAR)
    own |= {"hessian"} if ROWS[row][1] in HESSIAN else set()
    return [kind for kind in KINDS if kind in own or kind not in (*DEAR, "hessian")]


@pytest.mark.parametrize("row", range(len(ROWS)), ids=[" ".join(row[:2]) for row in ROWS])
def test_every_kind(row):
    name, setting, options = ROWS[row]
    known = {}
    for own, kind in combinations([setting], kinds_of(row)):
        error, told = check(name, own, kind, known, options)
        if (own, kind) in REFUSED:
            assert told, kind
        else:
            assert error < TOLERANCE, (kind, error, told)


@pytest.mark.parametrize("kind", ["forward_mode", "forward_over_backward"])
def test_forward_mode_around_a_function_called_eagerly(kind):
    error, told = check("LSTM", "eager, traced", kind, {})
    assert error < TOLERANCE, (error, told)


def test_forward_mode_around_a_compiled_layer_is_refused():
    layer = klv.LSTM(3, engine="xla")
    x = tf.ones((2, 5, 4))
    layer(x)
    function = tf.function(lambda x: layer(x, training=True), autograph=False)
    function(x)
    with (
        pytest.raises(ValueError, match='cannot differentiate forwards.*engine="auto"'),
        tf.autodiff.ForwardAccumulator(x, tf.ones_like(x)),
    ):
        function(x)


@pytest.mark.parametrize(
    ("name", "setting", "kind"),
    [
        ("LSTM", "compiled, plain", "jacobian_by_input"),
        ("Elman", "plain, all, masked", "hessian"),
    ],
)
def test_what_the_plain_loop_refuses_to_vectorise(name, setting, kind):
    error, told = check(name, setting, kind, {})
    assert error == np.inf
    assert "experimental_use_pfor" in told


@pytest.mark.parametrize("name", ["MUT1", "GridLSTM"])
def test_compiled_steps_that_concatenate(name):
    """Of which TensorFlow alone has no third derivative, which this takes."""
    error, told = check(name, "compiled", "forward_over_backward", {}, {})
    assert error < TOLERANCE, (error, told)


def test_the_gradient_of_what_is_put_into_a_compiled_tensor():
    from tensorflow.compiler.tf2xla.ops import gen_xla_ops

    random = np.random.default_rng(0)
    whole, update, d = (random.normal(size=s).astype("float32") for s in ((4, 5), (2, 3), (4, 5)))

    @tf.function(autograph=False, jit_compile=True)
    def slopes(whole, update):
        with tf.GradientTape() as tape:
            tape.watch([whole, update])
            found = gen_xla_ops.xla_dynamic_update_slice(whole, update, tf.constant([1, 2]))
        return tape.gradient(found, [whole, update], output_gradients=d)

    of_whole, of_update = slopes(tf.constant(whole), tf.constant(update))
    np.testing.assert_array_equal(of_update, d[1:3, 2:5])
    expected = d.copy()
    expected[1:3, 2:5] = 0
    np.testing.assert_array_equal(of_whole, expected)


@pytest.mark.parametrize("name", OTHERS)
def test_every_other_cell(name):
    """In turn the kinds that vectorise its steps, and the steps of its gradient alone."""
    kind = ("jacobian_by_weights", "per_example")[OTHERS.index(name) % 2]
    error, told = check(name, "graph", kind, {}, OPTIONS.get(name))
    assert error < TOLERANCE, (kind, error, told)


@pytest.mark.parametrize(
    "option", [{"stop_gradient_every": 2}, {"clip_state_gradients": 0.1}], ids=str
)
@pytest.mark.parametrize("engine", ["auto", "plain"])
def test_edges_are_never_lost(option, engine):
    """Vectorisation drops a gradient of one's own where the tape is around it."""
    layer = klv.LSTM(3, engine=engine, **option)
    x = tf.constant(np.random.default_rng(0).normal(size=(2, 5, 4)).astype("float32"))
    layer(x)
    weights = [w.value for w in layer.trainable_variables]

    def row(values):
        with tf.GradientTape() as tape:
            tape.watch(weights)
            y = tf.reduce_sum(layer(values[tf.newaxis]))
        return tape.gradient(y, weights)

    found = tf.function(lambda x: tf.vectorized_map(row, x), autograph=False)(x)
    for k in range(2):
        for part, expected in zip(found, row(x[k]), strict=True):
            np.testing.assert_allclose(part[k], expected, atol=1e-6)

    def around(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = tf.vectorized_map(lambda v: layer(v[tf.newaxis])[0], x)
        return tape.gradient(y, x)

    with pytest.raises(LookupError, match="clip_state_gradients.*inside `tf.vectorized_map`"):
        tf.function(around, autograph=False)(x)


def test_a_training_endpoint_is_exported(tmp_path):
    """With the default engine, and random at each call."""
    model = keras.Sequential([keras.Input((None, 3)), klv.LSTM(4, dropout=0.5)])
    archive = keras.export.ExportArchive()
    archive.track(model)
    archive.add_endpoint(
        "sample",
        lambda x: model(x, training=True),
        input_signature=[tf.TensorSpec((None, None, 3), "float32")],
    )
    archive.write_out(str(tmp_path / "model"), verbose=False)
    served = tf.saved_model.load(str(tmp_path / "model"))
    x = np.ones((2, 5, 3), "float32")
    first, second = served.sample(x).numpy(), served.sample(x).numpy()
    assert first.shape == (2, 4)
    assert not np.allclose(first, second)
