"""Sizes that only run time knows: what does not fit raises, in graphs, under XLA and exported."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from cases import assert_close

import keras_lstm_variants as klv

JIT = pytest.mark.parametrize("jit", [False, True])


def draw(*shape):
    return np.random.default_rng(0).normal(size=shape).astype("float32")


def unknown(function, arguments, jit):
    """The function as a graph that knows no size but the number of features of x."""
    known = {"x": (None, None, 3), "memory": (None, None, 6), "images": (None, 4, None, 2)}
    specs = [
        tf.TensorSpec(known.get(name, (None,) * np.ndim(a)), np.asarray(a).dtype)
        for name, a in arguments.items()
    ]
    return tf.function(function, input_signature=specs, jit_compile=jit)


def layer_with_states(engine):
    cells = [klv.LSTMCell(4), klv.GRUCell(4)]
    layer = klv.RecurrentLayer(cells, engine=engine, go_backwards=True)

    def call(x, mask, initial_state):
        h = initial_state
        return layer(x, mask=mask, initial_state=[[h, h], [h]])

    return call, {"x": draw(3, 5, 3), "mask": draw(3, 5) > 0, "initial_state": draw(3, 4)}


def attention(_):
    layer = klv.AttentionLSTM(4, hard=True, initial_state="memory")

    def call(x, memory, memory_mask):
        return layer(x, memory=memory, memory_mask=memory_mask)

    return call, {"x": draw(3, 5, 3), "memory": draw(3, 7, 6), "memory_mask": draw(3, 7) > 0}


def grid(_):
    layer = klv.GridLSTM2D(2, depth=1)
    layer.build((None, 4, None, 2))
    return lambda images, mask: layer(images, mask=mask), {
        "images": draw(3, 4, 5, 2),
        "mask": draw(3, 4, 5) > 0,
    }


def probabilities(*shape):
    return 1 / (1 + np.exp(-draw(*shape)))


def vrnn(engine):
    model = klv.VRNN(4, 2, engine=engine)
    return lambda x, mask, noise: model(x, mask=mask, noise=noise), {
        "x": probabilities(3, 5, 3),
        "mask": draw(3, 5) > 0,
        "noise": draw(3, 5, 2),
    }


def draw_model(_):
    model = klv.DRAW(2, 3, 2, image_shape=(4, 3), attention=False)
    return lambda x, noise: model(x, noise=noise), {
        "x": probabilities(3, 4, 3),
        "noise": draw(3, 2, 2),
    }


def keras_rnn(_):
    """Keras's loop checks nothing: the cell does."""
    layer = keras.layers.RNN(klv.GRUCell(4))
    return lambda x, states: layer(x, initial_state=[states]), {
        "x": draw(3, 5, 3),
        "states": draw(3, 4),
    }


def keras_rnn_with_memory(_):
    cell = klv.AttentionLSTMCell(4)
    layer = keras.layers.RNN(cell)

    def call(x, memory):
        with cell.attending(memory):
            return layer(x)

    return call, {"x": draw(3, 5, 3), "memory": draw(3, 7, 6)}


CASES = [
    *[(layer_with_states, engine, False) for engine in ("auto", "plain", "xla")],
    *[(layer_with_states, engine, True) for engine in ("auto", "plain")],
    *[(c, "auto", jit) for c in (attention, keras_rnn_with_memory) for jit in (False, True)],
    *[(c, "plain", jit) for c in (grid, vrnn, keras_rnn) for jit in (False, True)],
    (draw_model, "plain", False),
]


@pytest.mark.parametrize(("case", "engine", "jit"), CASES)
def test_what_does_not_fit_is_named_and_what_fits_is_right(case, engine, jit):
    function, arguments = case(engine)
    expected = function(*arguments.values())
    compiled = unknown(function, arguments, jit)
    assert_close(compiled(*arguments.values()), expected)
    for name, value in list(arguments.items())[1:]:
        wrong = [value[:1], np.concatenate([value, value])]
        wrong += [value[:, :1], np.concatenate([value, value], 1)]
        if name == "memory":
            wrong = wrong[:2]  # of any number of places
        if case in (keras_rnn, keras_rnn_with_memory):
            wrong = wrong[:1]  # TensorFlow may be the first to refuse the others
        for other in wrong:
            with pytest.raises(tf.errors.InvalidArgumentError, match=f"(?s){name}.*must.have"):
                compiled(*{**arguments, name: other}.values())


@JIT
@pytest.mark.slow
def test_features_and_rows_of_images_that_a_graph_does_not_know(jit):
    layer = klv.GridLSTM2D(2, depth=1)
    layer.build((None, 4, None, 2))
    model = klv.DRAW(2, 3, 2, image_shape=(4, 3), attention=False)
    model(probabilities(1, 4, 3))
    mut = klv.MUT1(3)
    mut(draw(1, 2, 3))
    for function, rank, wrong in (
        (layer, 4, draw(3, 1, 5, 2)),
        (model, 3, probabilities(2, 2, 3)),
        (mut, 3, draw(2, 5, 1)),
    ):
        compiled = tf.function(
            lambda x, f=function: f(x),
            input_signature=[tf.TensorSpec([None] * rank)],
            autograph=False,
            jit_compile=jit,
        )
        with pytest.raises(tf.errors.InvalidArgumentError, match="(?s)must.have"):
            compiled(wrong)


@JIT
def test_rows_that_only_a_state_tells(jit):
    layer = klv.LSTM(4, return_sequences=True, engine="plain")
    x, h, mask = draw(2, 5, 3), draw(2, 4), draw(2, 5) > 0
    expected = layer(x, initial_state=[h, h], mask=mask)
    specs = [((None, None, 3), "float32"), ((2, 4), "float32"), ((None, None), "bool")]
    compiled = tf.function(
        lambda x, h, mask: layer(x, initial_state=[h, h], mask=mask),
        input_signature=[tf.TensorSpec(*s) for s in specs],
        jit_compile=jit,
    )
    found = compiled(x, h, mask)
    assert found.shape == (2, 5, 4)
    assert_close(found, expected)
    with pytest.raises(tf.errors.InvalidArgumentError, match="`initial_state`|initial_state_"):
        compiled(x[:1], h, mask[:1])


def test_a_cell_called_by_itself():
    x, h = draw(3, 2), draw(1, 4)
    with pytest.raises(ValueError, match=r"states of gru_cell must .*\(3, None\).*\(1, 4\)"):
        klv.GRUCell(4, name="gru_cell")(x, [h])
    cell = klv.AttentionLSTMCell(4, memory_features=6, name="look")
    cell.build((None, 2))
    cell.built = True
    with (
        cell.attending(draw(1, 7, 6)),
        pytest.raises(ValueError, match="`memory` of look must have as many rows"),
    ):
        cell(x, [draw(3, 4)] * 2)
    with (
        pytest.raises(ValueError, match=r"`memory_mask` of look must .*\(3, 7\).*\(3, 1\)"),
        cell.attending(draw(3, 7, 6), np.ones((3, 1), bool)),
    ):
        pass


def test_no_step_of_a_loop_is_checked():
    layer = keras.layers.RNN(klv.GRUCell(4))
    function = unknown(lambda x: layer(x), {"x": draw(3, 5, 3)}, False)
    graph = function.get_concrete_function().graph.as_graph_def()
    checked = {
        f.signature.name: any(n.op == "Assert" for n in f.node_def) for f in graph.library.function
    }
    assert any("while_body" in name for name in checked)
    assert not [name for name, found in checked.items() if found]
    assert any(n.op == "Assert" for n in graph.node)


def test_output_of_other_rows_than_the_hard_attention():
    x, memory = keras.Input((5, 3)), keras.Input((7, 6))
    y = klv.AttentionLSTM(4, hard=True)(x, memory=memory)
    first = keras.layers.Lambda(lambda y: y[:1], output_shape=(4,))(y)
    model = klv.HardAttentionModel([x, memory], first)
    model.compile("sgd", "mse")
    with pytest.raises(
        (ValueError, tf.errors.InvalidArgumentError), match="output of .* must have"
    ):
        model.train_on_batch([draw(3, 5, 3), draw(3, 7, 6)], draw(1, 4))


def stateful(layer=klv.GRU, **kwargs):
    return layer(4, stateful=True, name="memory", **kwargs)


@pytest.mark.parametrize(
    ("layer", "jit"),
    [(klv.LSTM, False), (klv.GRU, False), pytest.param(klv.GRU, True, marks=pytest.mark.slow)],
)
def test_a_last_batch_of_another_size_than_a_stateful_layers(layer, jit):
    model = keras.Sequential([keras.Input(batch_shape=(4, 5, 3)), stateful(layer)])
    model.compile("sgd", "mse", jit_compile=jit)
    x, y = draw(9, 5, 3), draw(9, 4)
    first = model.predict(x[:8], batch_size=4, verbose=0)
    klv.reset_states(model)
    assert_close(first, np.concatenate([model(x[:4]), model(x[4:8])]))
    match = "memory.is.stateful.with.a.batch.size.of.4"
    for call in (
        lambda: model.predict(x, batch_size=4, verbose=0),
        lambda: model.fit(x, y, batch_size=4, verbose=0),
        lambda: model.evaluate(x, y, batch_size=4, verbose=0),
    ):
        with pytest.raises(tf.errors.InvalidArgumentError, match=match):
            call()
    with pytest.raises(ValueError, match="memory is stateful with a batch size of 4"):
        model.train_on_batch(x[:1], y[:1])


class OwnModel(keras.Model):
    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def call(self, x):
        return self.layer(x)


def functional(layer):
    x = keras.Input(batch_shape=(4, None, 3))
    return keras.Model(x, layer(x))


@pytest.mark.parametrize(
    ("make", "layer"),
    [
        (functional, lambda: stateful(return_sequences=True)),
        (lambda layer: keras.Sequential([layer]), lambda: stateful(klv.LSTM, engine="plain")),
        (OwnModel, lambda: stateful(initial_state="learned")),
    ],
    ids=["functional", "Sequential", "own class"],
)
def test_a_stateful_model_exports_without_a_signature(make, layer, tmp_path):
    model = make(layer())
    x = draw(4, 5, 3)
    model(x)
    model.layers[-1].reset_state()
    model.export(tmp_path, verbose=False)
    served = tf.saved_model.load(tmp_path)
    for _ in range(2):
        assert_close(served.serve(x), model(x))
    for rows in (1, 3):
        with pytest.raises(tf.errors.InvalidArgumentError, match="memory|rows"):
            served.serve(x[:rows])
    assert_close(served.serve(x), model(x))
