"""What layers add to Keras's: learned and kept states, seeds of their own, clear errors."""

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
    arrays,
    assert_close,
    make,
    randomize,
    sequences,
    states_of,
)

import keras_lstm_variants as klv


class TestLearnedInitialState:
    def test_starts_at_zero_like_no_state(self):
        learned = klv.LSTM(UNITS, initial_state="learned")
        learned.build((None, None, FEATURES))
        assert [w.path.rsplit("/", 1)[-1] for w in learned.learned_states] == [
            "initial_h",
            "initial_c",
        ]
        assert [tuple(w.shape) for w in learned.learned_states] == [(1, UNITS)] * 2
        plain = klv.LSTM(UNITS)
        plain.build((None, None, FEATURES))
        plain.cell.set_weights(learned.cell.get_weights())
        assert_close(learned(sequences()), plain(sequences()), 0)

    def test_is_used_for_every_row_and_a_passed_state_wins(self):
        layer = make("LSTM", initial_state="learned")
        rows = [np.repeat(w.numpy(), BATCH, 0) for w in layer.learned_states]
        assert np.any(rows[0])
        assert_close(layer(sequences()), layer(sequences(), initial_state=rows))
        other = states_of(layer)
        assert not np.allclose(layer(sequences(), initial_state=other), layer(sequences()))

    def test_stateful_returns_to_it_and_trains_it(self):
        layer = make("LSTM", initial_state="learned", stateful=True, return_sequences=True)
        once = make("LSTM", initial_state="learned", return_sequences=True)
        x = sequences()
        for _ in range(2):
            parts = tf.concat([layer(x[:, :2]), layer(x[:, 2:])], 1)
            assert_close(parts, once(x))
            layer.reset_state()
        kept = arrays(layer.states)
        assert_close(kept, [np.repeat(w.numpy(), BATCH, 0) for w in layer.learned_states], 0)
        for expected in (True, False):  # after a reset; not in mid-sequence
            with tf.GradientTape() as tape:
                loss = tf.reduce_sum(layer(x))
            for grad in tape.gradient(loss, [w.value for w in layer.learned_states]):
                assert bool(np.any(grad)) is expected

    def test_list_of_cells(self):
        cells = [klv.LSTMCell(4), klv.GRUCell(3)]
        layer = klv.RecurrentLayer(cells, initial_state="learned")
        layer(sequences())
        assert [tuple(w.shape) for w in layer.learned_states] == [(1, 4), (1, 4), (1, 3)]
        randomize(layer)
        rows = [np.repeat(w.numpy(), BATCH, 0) for w in layer.learned_states]
        nested = [rows[:2], rows[2:]]
        assert_close(layer(sequences()), layer(sequences(), initial_state=nested))


def test_reset_state_of_stacked_cells_in_a_stateful_layer():
    layer = klv.RecurrentLayer([klv.LSTMCell(4), klv.GRUCell(3)], stateful=True)
    first, second = layer(sequences()), layer(sequences())
    assert not np.allclose(first, second)
    layer.reset_state()
    assert all(not np.any(s) for s in arrays(layer.states))
    assert_close(layer(sequences()), first, 0)


def test_stateful_mixed_precision_keeps_its_dtypes():
    layer = klv.LSTM(4, stateful=True, dtype="mixed_float16", return_state=True)
    output, *_ = layer(sequences())
    assert output.dtype == "float16"
    assert {v.dtype for v in layer.states} == {"float32"}
    assert not np.allclose(layer(sequences())[0], output)


def test_directions_of_a_bidirectional_layer_draw_their_own_masks():
    both = keras.layers.Bidirectional(klv.LSTM(UNITS, dropout=0.5, seed=3))
    both(sequences())
    forward, backward = both.forward_layer.cell, both.backward_layer.cell
    assert forward.seed == backward.seed == 3
    states = [c.seed_generator.state.numpy() for c in (forward, backward)]
    assert not np.array_equal(*states)


def test_same_seed_same_dropout():
    one, two = (make("LSTM", dropout=0.5, recurrent_dropout=0.5, seed=3) for _ in range(2))
    assert_close(one(sequences(), training=True), two(sequences(), training=True), 0)


@pytest.mark.parametrize("engine", ["auto", "plain"])
def test_the_mask_of_an_input_is_seen_when_states_are_passed(engine):
    """Keras hands the mask on only where a layer is called with one tensor: a decoder's is lost."""
    tokens = keras.Input((None,), dtype="int32")
    states = [keras.Input((UNITS,)), keras.Input((UNITS,))]
    x = keras.layers.Embedding(9, 3, mask_zero=True)(tokens)
    layer = klv.LSTM(UNITS, return_sequences=True, engine=engine)
    model = keras.Model([tokens, *states], layer(x, initial_state=states))
    t = np.array([[1, 2, 0, 0], [3, 4, 5, 6]])
    start = [np.ones((2, UNITS), "float32")] * 2
    y = model.predict([t, *start], verbose=0)
    assert_close(y[0, 2:], np.stack([y[0, 1]] * 2), 0)
    assert not np.allclose(y[1, 2], y[1, 1])


def test_a_failed_call_leaves_no_mask_behind():
    layer = make("LSTM", dropout=0.5)
    with layer.cell.captured_by(lambda gates: 1 / 0), pytest.raises(ZeroDivisionError):
        layer(sequences(), training=True)
    tf.function(lambda x: layer(x, training=True))(sequences())
    layer(sequences()[:2], training=True)


@pytest.mark.parametrize("rate", ["dropout", "recurrent_dropout"])
def test_every_call_draws_its_mask_anew(rate):
    layer = make("LSTM", return_sequences=True, **{rate: 0.5})
    first, second = (layer(sequences(), training=True) for _ in range(2))
    assert not np.allclose(first, second)


def test_exported_inference_draws_no_random_numbers(tmp_path):
    model = keras.Sequential(
        [keras.Input((None, FEATURES)), klv.LSTM(4, dropout=0.5, recurrent_dropout=0.5)]
    )
    model.export(tmp_path / "model", verbose=False)
    loaded = tf.saved_model.load(str(tmp_path / "model"))
    graph = loaded.signatures["serving_default"].graph.as_graph_def()
    names = {node.op for f in graph.library.function for node in f.node_def}
    names |= {node.op for node in graph.node}
    assert not [n for n in names if "Random" in n or "Assign" in n]


@pytest.mark.parametrize("cell", [keras.layers.LSTMCell, keras.layers.GRUCell])
def test_keras_own_cells_run_in_our_layer(cell):
    ours = klv.RecurrentLayer(cell(UNITS, dropout=0.3, recurrent_dropout=0.3, seed=1))
    theirs = keras.layers.RNN(cell(UNITS, dropout=0.3, recurrent_dropout=0.3, seed=1))
    theirs(sequences())
    ours(sequences())
    ours.set_weights(theirs.get_weights())
    assert_close(ours(sequences(), mask=MASK), theirs(sequences(), mask=MASK))
    seeds = [theirs.cell.seed_generator, ours.cell.seed_generator]
    for seed in seeds:
        seed.state.assign([1, 0])
    assert_close(ours(sequences(), training=True), theirs(sequences(), training=True))


def test_activity_regularizer_survives_the_config():
    layer = klv.GRU(3, activity_regularizer=keras.regularizers.L1(0.25))
    again = klv.GRU.from_config(layer.get_config())
    same = keras.layers.Activation("linear", activity_regularizer=keras.regularizers.L1(0.25))
    same(again(sequences()))
    assert_close(again.losses, same.losses)
    assert again.losses[0] > 0


def test_layer_forwards_the_arguments_of_its_cell():
    layer = klv.PeepholeLSTM(UNITS, peepholes=["o", "f"], dropout=0.1)
    assert (layer.units, layer.peepholes, layer.dropout) == (UNITS, ("f", "o"), 0.1)
    assert layer.gates == ("i", "f", "g", "o")
    assert klv.CoupledLSTM(UNITS, couple="i=1-f").gates == ("f", "g", "o")
    assert klv.CoupledLSTM.gates == ("i", "g", "o")


def test_positional_arguments_in_the_order_of_keras():
    layer = klv.LSTM(4, "relu", "hard_sigmoid", False, "ones", "zeros")
    assert layer.activation is keras.activations.relu
    assert layer.recurrent_activation is keras.activations.hard_sigmoid
    assert layer.use_bias is False
    assert isinstance(layer.recurrent_initializer, keras.initializers.Zeros)


def test_peephole_rows_stand_in_the_order_i_f_o():
    layer = klv.PeepholeLSTM(UNITS, peepholes=("o", "i"), peephole_initializer="ones")
    layer.build((None, None, FEATURES))
    layer.cell.peephole_kernel.assign([[1.0] * UNITS, [2.0] * UNITS])
    assert_close(layer.cell.peep("i", 1.0), np.full(UNITS, 1.0), 0)
    assert_close(layer.cell.peep("o", 1.0), np.full(UNITS, 2.0), 0)
    assert layer.cell.peep("f", 1.0) == 0


x = sequences()
ERRORS = {
    "units zero": (lambda: klv.LSTM(0), "`units` must be a positive integer.*units=0"),
    "units float": (lambda: klv.LSTM(2.5), "units=2.5"),
    "units bool": (lambda: klv.LSTM(True), "units=True"),
    "units missing": (lambda: klv.LSTM(), "units"),
    "dropout": (lambda: klv.LSTM(4, dropout=-0.1), "`dropout`.*dropout=-0.1"),
    "dropout one": (lambda: klv.LSTM(4, dropout=1.0), "`dropout`.*up to, but not including, 1"),
    "recurrent dropout": (lambda: klv.GRU(4, recurrent_dropout="a"), "recurrent_dropout='a'"),
    "peephole": (
        lambda: klv.PeepholeLSTM(4, peepholes=("i", "g")),
        r"`peepholes`.*\('i', 'f', 'o'\).*\('i', 'g'\)",
    ),
    "peephole twice": (lambda: klv.PeepholeLSTM(4, peepholes=("i", "i")), "at most once"),
    "peephole string": (lambda: klv.PeepholeLSTM(4, peepholes="ifo"), "peepholes='ifo'"),
    "coupled peephole": (lambda: klv.CoupledLSTM(4, peepholes=("f",)), r"\('i', 'o'\)"),
    "couple": (lambda: klv.CoupledLSTM(4, couple="f=i"), "`couple`.*f=1-i.*couple='f=i'"),
    "squashing": (lambda: klv.LSTM1997(4, squashing="relu"), "`squashing`.*original"),
    "squashing twice": (
        lambda: klv.LSTM1997(4, squashing="original", activation="relu"),
        "squashing.*activation",
    ),
    "reset_after": (lambda: klv.GRU(4, reset_after="no"), "`reset_after`"),
    "implementation": (lambda: klv.LSTM(4, implementation=3), "`implementation`.*implementation=3"),
    "use_cudnn": (
        lambda: klv.LSTM(4, use_cudnn=True),
        "no cuDNN path.*use_cudnn=True",
    ),
    "initial_state": (lambda: klv.LSTM(4, initial_state="ones"), "`initial_state`.*learned"),
    "flag": (lambda: klv.LSTM(4, return_sequences="yes"), "`return_sequences`.*True or False"),
    "seed": (lambda: klv.LSTM(4, seed=-1), "`seed`.*seed=-1"),
    "no cells": (lambda: klv.RecurrentLayer([]), "`cell`"),
    "layer as cell": (lambda: klv.RecurrentLayer(klv.LSTM(3)), "`cell`"),
    "rank of any cell": (lambda: klv.RecurrentLayer(klv.LSTMCell(4))(x[0]), "expected ndim=3"),
    "symbolic number of states": (
        lambda: klv.LSTM(4)(keras.Input((6, 3)), initial_state=[keras.Input((4,))]),
        r"`initial_state`.*2 tensor.*Received: 1",
    ),
    "symbolic width of states": (
        lambda: klv.GRU(4)(keras.Input((6, 3)), initial_state=[keras.Input((5,))]),
        r"`initial_state`.*\(None, 4\).*\(None, 5\)",
    ),
    "batch of states": (
        lambda: klv.GRU(4)(x, initial_state=[np.zeros((1, 4))]),
        r"`initial_state`.*\(4, 4\).*\(1, 4\)",
    ),
    "length of mask": (lambda: klv.LSTM(4)(x, mask=MASK[:, :4]), r"`mask`.*\(4, 6\).*\(4, 4\)"),
    "batch of mask": (lambda: klv.LSTM(4)(x, mask=MASK[:2]), r"`mask`.*\(4, 6\).*\(2, 6\)"),
    "states of a cell": (lambda: make("LSTM").cell(x[:, 0], [x[:, 0]]), "2 states.*Received: 1"),
    "unknown": (lambda: klv.PeepholeLSTM(4, peephole=()), "no argument `peephole`.*'peepholes'"),
    "not a cell": (lambda: klv.RecurrentLayer("lstm"), "`cell`.*cell='lstm'"),
    "rank": (lambda: klv.LSTM(4)(x[0]), r"expected ndim=3.*\(6, 3\)"),
    "features": (lambda: make("LSTM")(x[..., :2]), "axis -1"),
    "unknown features": (lambda: klv.LSTM(4)(keras.Input((5, None))), "number of input features"),
    "number of states": (
        lambda: klv.LSTM(4)(x, initial_state=[x[:, 0]]),
        r"`initial_state`.*2 tensor.*Received: 1",
    ),
    "shape of states": (
        lambda: klv.GRU(4)(x, initial_state=[x[:, 0]]),
        r"`initial_state`.*\(4, 4\).*\(4, 3\)",
    ),
    "mask": (lambda: klv.LSTM(4)(x, mask=MASK[0]), r"`mask`.*\(batch, time\).*\(6,\)"),
    "ragged": (
        lambda: klv.LSTM(4)(tf.ragged.constant([[[1.0]], [[1.0], [2.0]]], ragged_rank=1)),
        "ragged.*to_tensor",
    ),
    "dict": (lambda: klv.LSTM(4)({"x": x}), "not a dict.*Concatenate"),
    "list": (lambda: klv.LSTM(4)([x, x[:, 0]]), "not a list.*initial_state"),
    "unroll": (
        lambda: tf.function(
            make("LSTM", unroll=True).call, input_signature=[tf.TensorSpec((None, None, 3))]
        ).get_concrete_function(),
        "unroll=True.*number of time steps",
    ),
    "stateful batch": (
        lambda: make("LSTM", stateful=True)(x[:2]),
        r"stateful with a batch size of 4.*\(2, 6, 3\)",
    ),
    "stateful unknown batch": (
        lambda: klv.LSTM(4, stateful=True)(keras.Input((5, 3))),
        "batch size must be static",
    ),
    "per gate units": (
        lambda: klv.initializers.PerGate("orthogonal", units=5)((3, 8)),
        r"multiple.*\(3, 8\)",
    ),
}


@pytest.mark.parametrize("case", ERRORS)
def test_error_names_argument_value_and_what_is_allowed(case):
    call, message = ERRORS[case]
    with pytest.raises((ValueError, TypeError), match=f"(?s){message}"):
        call()


def test_cell_without_step_says_so():
    class Half(klv.Cell):
        pass

    with pytest.raises(TypeError, match="Half must define step"):
        Half(3)


def test_recur_takes_neighbouring_gates_only():
    cell = make("GRU").cell
    with pytest.raises(ValueError, match="not neighbours"):
        cell.recurrent_matmul(np.ones((1, UNITS), "float32"), "z", "g")


def test_weights_have_the_regularizer_and_the_constraint_of_their_kind():
    kinds = ("kernel", "recurrent", "bias", "peephole")
    options = {f"{kind}_regularizer": keras.regularizers.L2() for kind in kinds}
    options |= {f"{kind}_constraint": keras.constraints.NonNeg() for kind in kinds}
    cell = klv.PeepholeLSTMCell(4, **options)
    cell.build((None, 3))
    for kind, weight in zip(kinds, cell.weights, strict=True):
        assert weight.regularizer is options[f"{kind}_regularizer"], weight.path
        assert weight.constraint is options[f"{kind}_constraint"], weight.path


def test_per_gate_orthogonal_blocks():
    draw = klv.initializers.PerGate(keras.initializers.Orthogonal(seed=1), units=4)
    blocks = np.split(draw((4, 12)).numpy(), 3, axis=1)
    for block in blocks:
        np.testing.assert_allclose(block @ block.T, np.eye(4), atol=1e-5)
    assert not np.allclose(blocks[0], blocks[1])
    assert not np.allclose(blocks[1], blocks[2])
    again = klv.initializers.PerGate.from_config(draw.get_config())
    assert_close(again((4, 12)), draw((4, 12)), 0)


def test_per_gate_of_an_unseeded_initializer():
    draw = klv.initializers.PerGate("glorot_uniform", units=4)((3, 8)).numpy()
    assert not np.allclose(draw[:, :4], draw[:, 4:])
    assert np.max(np.abs(draw)) <= np.sqrt(6 / (3 + 4))


def test_time_of_the_tests():
    assert TIME == MASK.shape[1]


@pytest.mark.slow
@pytest.mark.parametrize("jit", [False, True])
def test_one_model_with_every_option_trains_under_xla(jit):
    """Dropouts, both directions, learned and kept states, stacked cells, all states."""
    keras.utils.set_random_seed(1)
    inputs = keras.Input(batch_shape=(BATCH, None, FEATURES))
    h = keras.layers.Masking()(inputs)
    options = {"dropout": 0.2, "recurrent_dropout": 0.2, "return_sequences": True}
    h = keras.layers.Bidirectional(klv.PeepholeLSTM(UNITS, **options))(h)
    h, *_ = klv.GRU(
        UNITS, **options, return_all_states=True, stateful=True, initial_state="learned"
    )(h)
    cells = [klv.CoupledLSTMCell(UNITS, dropout=0.2), klv.ElmanCell(2, recurrent_dropout=0.2)]
    h = klv.RecurrentLayer(cells, go_backwards=True, stateful=True)(h)
    model = keras.Model(inputs, h)
    model.compile(keras.optimizers.Adam(0.02), "mse", jit_compile=jit)
    y = np.tanh(sequences()[:, :2, 0])
    history = model.fit(sequences(), y, batch_size=BATCH, epochs=30, verbose=0).history["loss"]
    assert np.mean(history[-5:]) < 0.8 * np.mean(history[:5])
    assert np.all(np.isfinite(model.predict(sequences(), batch_size=BATCH, verbose=0)))
