"""What a cell is given at each step besides its input: through layers, loops and files."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from cases import BATCH, FEATURES, MASK, TIME, UNITS, assert_close, make, sequences
from equations import run
from keras import ops

import keras_lstm_variants as klv

TIMES = np.cumsum(np.random.default_rng(3).uniform(0.2, 2.0, (BATCH, TIME)), 1).astype("float32")
ALL = {"return_sequences": True, "return_state": True}


class AddsCell(klv.Cell):
    """h = h / 2 + x + noise W; of two cells in a stack each takes what it declares."""

    side_inputs = (klv.SideInput("noise", size=2, dtype=None, required=True),)

    def build(self, input_shape):
        self.kernel = self.add_weight((2, self.units), "ones")

    def project_inputs(self, inputs, training=False, *, noise):
        return inputs + ops.matmul(noise, self.kernel)

    def step(self, z, states, training=False):
        (h,) = states
        h = h / 2 + z
        return h, (h,)


def weights_of(layer):
    return {w.name: ops.convert_to_numpy(w) for w in layer.cell.trainable_weights}


@pytest.mark.parametrize("backwards", [False, True])
def test_times_against_numpy(backwards):
    layer = make("PhasedLSTM", dtype="float64", **ALL, go_backwards=backwards)
    x, times = sequences("float64"), TIMES.astype("float64")
    times[~MASK] = np.inf  # what a masked step holds is of no interest
    found = layer(x, mask=MASK, times=np.where(MASK, times, 999.0))
    expected, last, _ = run(
        "PhasedLSTM", x, weights_of(layer), mask=MASK, go_backwards=backwards, side={"times": times}
    )
    assert_close(found, [expected, *last], 1e-12)


def test_without_times_steps_are_one_apart():
    x = sequences()
    for backwards in (False, True):
        layer = make("PhasedLSTM", return_sequences=True, go_backwards=backwards)
        steps = np.tile(np.arange(TIME, dtype="float32"), (BATCH, 1))
        assert_close(layer(x, times=steps + 5 * backwards), layer(x))
    # Masked steps take no time.
    layer = make("PhasedLSTM")
    assert_close(layer(x, mask=MASK, times=np.cumsum(MASK, 1) - 1.0), layer(x, mask=MASK))


@pytest.mark.parametrize("given", [False, True])
def test_a_closed_unit_leaks_in_training_alone(given):
    layer = klv.PhasedLSTM(UNITS, periods=(50, 50), open_ratio=0.1, leak=0.01)
    layer.build((None, None, FEATURES))
    layer.cell.shift.assign(np.full(UNITS, -25.0))  # closed from 5 to 50
    x = 10 * sequences()
    times = {"times": np.tile(np.arange(TIME, dtype="float32"), (BATCH, 1))} if given else {}
    assert not np.any(layer(x, **times))
    assert np.all(np.asarray(layer(x, **times, training=True)) != 0)


def test_times_go_on_from_the_last_call():
    x, layer = sequences(), make("PhasedLSTM", **ALL)
    late = np.tile(np.arange(TIME, dtype="float32") + 100, (BATCH, 1))
    whole, *_ = layer(x, times=late)
    first, *states = layer(x[:, :2], times=late[:, :2])
    second, *_ = layer(x[:, 2:], initial_state=states)
    assert_close(ops.concatenate([first, second], 1), whole)
    stateful = make("PhasedLSTM", return_sequences=True, stateful=True)
    parts = [stateful(x[:, :2], times=late[:, :2]), stateful(x[:, 2:])]
    assert_close(ops.concatenate(parts, 1), whole)


@pytest.mark.parametrize("policy", ["mixed_float16", "float16", "mixed_bfloat16"])
def test_times_and_phases_stay_exact_in_half_precision(policy):
    """2049 and 2049.5 are one number in float16."""
    exact = make("PhasedLSTM", **ALL)
    layer = klv.PhasedLSTM(UNITS, **ALL, dtype=policy)
    layer.build((None, None, FEATURES))
    layer.set_weights(exact.get_weights())
    times = 2049 + TIMES
    x = sequences()
    found, *states = layer(x, times=times)
    expected, *_ = exact(x, times=times)
    assert np.max(np.abs(ops.cast(found, "float32") - expected)) < 0.03
    assert states[-1].dtype == "float32"
    assert_close(states[-1][:, 0], times[:, -1] + 1, 0)
    # As an initial state it comes back as it is.
    _, *again = layer(x[:, :1], initial_state=states)
    assert_close(again[-1], states[-1] + 1, 0)


def functional():
    x, times = keras.Input((None, FEATURES)), keras.Input((None,))
    options = {"periods": (1, 5), "open_ratio": 1.0, "return_sequences": True}
    hidden = klv.PhasedLSTM(UNITS, **options)(x, times=times)
    y = klv.PhasedLSTM(2, **options, return_state=True)(hidden, times=times)[0]
    return keras.Model([x, times], y)


@pytest.mark.slow
def test_functional_models_are_trained_saved_and_exported(tmp_path):
    model = functional()
    model.compile("sgd", "mse")
    data = [sequences(), TIMES]
    before = model.predict(data, verbose=0)
    model.fit(data, np.ones((BATCH, TIME, 2)), verbose=0)
    after = model.predict(data, verbose=0)
    assert np.max(np.abs(after - before)) > 0
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert_close(loaded.predict(data, verbose=0), after)
    model.export(tmp_path / "served", verbose=False)
    served = keras.layers.TFSMLayer(tmp_path / "served", call_endpoint="serve")
    assert_close(served([tf.constant(v[:1, :3]) for v in data]), after_of(model, data))


def after_of(model, data):
    return model([v[:1, :3] for v in data])


def test_masks_reach_the_layer_beside_side_inputs():
    layer, x = make("PhasedLSTM"), sequences()
    x[1, 3:] = 0
    masked = keras.layers.Masking()(x)
    mask = np.any(x != 0, -1)
    assert_close(layer(masked, times=TIMES), layer(x, times=TIMES, mask=mask), 0)
    assert not np.allclose(layer(masked, times=TIMES), layer(x, times=TIMES))


@pytest.mark.parametrize("engine", ["auto", "plain", "xla"])
def test_a_stack_hands_each_cell_its_own(engine):
    random = np.random.default_rng(1)
    noise = random.normal(size=(BATCH, TIME, 2)).astype("float32")
    phased, adds = make("PhasedLSTM").cell, AddsCell(UNITS)
    stack = klv.RecurrentLayer([phased, adds], return_sequences=True, engine=engine)
    x = sequences()
    first = klv.RecurrentLayer(phased, return_sequences=True)(x, times=TIMES)
    expected = klv.RecurrentLayer(adds, return_sequences=True)(first, noise=noise)
    assert_close(stack(x, times=TIMES, noise=noise), expected)
    graph = tf.function(lambda *v: stack(v[0], times=v[1], noise=v[2]), autograph=False)
    assert_close(graph(x, TIMES, noise), expected)


@pytest.mark.parametrize("jit", [False, pytest.param(True, marks=pytest.mark.slow)])
@pytest.mark.slow
def test_gradients_by_side_inputs(jit, fast, short_blocks):
    """In all three forms of the loop; of the times as well."""
    layer, x = make("PhasedLSTM", return_sequences=True), tf.constant(sequences())
    found = {}

    def gradients(x, times):
        with tf.GradientTape() as tape:
            tape.watch([x, times])
            loss = tf.reduce_sum(tf.sin(layer(x, times=times, mask=MASK, training=True)))
        return tape.gradient(loss, [x, times, *(w.value for w in layer.trainable_weights)])

    expected = gradients(x, tf.constant(TIMES))
    assert np.any(np.asarray(expected[1])[MASK]) and not np.any(np.asarray(expected[1])[~MASK])
    for recompute in (False, True):
        layer.recompute = recompute
        found = tf.function(gradients, autograph=False, jit_compile=jit)(x, tf.constant(TIMES))
        assert_close(found, expected, 1e-5)
    assert fast


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"times": TIMES[:, :2]}, r"`times` of .* must have the shape \(4, 6\).*\(4, 2\)"),
        ({"times": TIMES[..., None]}, r"`times` of .* must have the shape \(4, 6\)"),
        ({"times": 3}, "`times` must be a tensor.*of the type int"),
        ({"time": TIMES}, "takes no `time`.*Did you mean 'times'"),
    ],
)
def test_what_does_not_fit_is_refused(given, message):
    with pytest.raises(ValueError, match=f"(?s){message}"):
        make("PhasedLSTM")(sequences(), **given)


def test_a_side_input_that_is_needed():
    layer, x = klv.RecurrentLayer(AddsCell(FEATURES)), sequences()
    with pytest.raises(ValueError, match=r"needs `noise` at each step.*Sequential.*go_backwards"):
        layer(x)
    with pytest.raises(
        ValueError, match=r"needs `noise`.*RecurrentLayer\(cell\)\(sequences, noise"
    ):
        keras.layers.RNN(AddsCell(FEATURES))(x)
    with pytest.raises(ValueError, match="takes no `times`"):
        make("LSTM")(x, times=TIMES)


def test_sizes_that_only_run_time_knows(tmp_path):
    layer = make("PhasedLSTM")
    spec = [tf.TensorSpec((None, None, FEATURES)), tf.TensorSpec((None, None))]
    call = tf.function(lambda x, t: layer(x, times=t), input_signature=spec, autograph=False)
    assert_close(call(sequences(), TIMES), layer(sequences(), times=TIMES))
    with pytest.raises(tf.errors.InvalidArgumentError, match="`times`"):
        call(sequences(), TIMES[:1])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"name": "two words"}, "`name` must be a Python name"),
        ({"name": "mask"}, "must not be an argument of every call"),
        ({"name": "t", "kind": "gap"}, '`kind` must be "value" or "time".*gap'),
    ],
)
def test_wrong_declarations(given, message):
    with pytest.raises(ValueError, match=message):
        klv.SideInput(**given)


def test_cells_of_a_stack_declare_a_name_alike():
    class CountsCell(AddsCell):
        side_inputs = (klv.SideInput("noise", size=3, required=True),)

    with pytest.raises(ValueError, match="must declare `noise` alike"):
        klv.RecurrentLayer([AddsCell(3), CountsCell(3)])


@pytest.mark.parametrize("name", ["MatrixLSTM", "ClockworkLSTM", "PhasedLSTM"])
def test_states_of_a_type_of_their_own_in_keras_own_loop(name):
    """Keras casts them to half precision: that is right, or refused."""
    cell = klv.get_variant(name).cell_class(4, dtype="mixed_float16")
    model = keras.Sequential(
        [keras.Input((TIME, FEATURES)), keras.layers.RNN(cell, dtype="mixed_float16")]
    )
    if name == "PhasedLSTM":
        with pytest.raises(ValueError, match="`time` of PhasedLSTMCell.*RecurrentLayer"):
            model.predict(sequences(), verbose=0)
        return
    ours = klv.RecurrentLayer(cell, dtype="mixed_float16")(sequences())
    found = model.predict(sequences(), verbose=0)
    assert np.max(np.abs(found - np.asarray(ours, "float32"))) < 1e-2


@pytest.mark.slow
def test_matrix_states_of_functional_models():
    """Keras takes the sizes of a matrix for those of several states."""
    x, options = keras.Input((TIME, FEATURES)), {"heads": 2, "return_state": True}
    layer = klv.MatrixLSTM(4, **options, return_all_states=True, return_sequences=True)
    outputs = layer(x, mask=keras.ops.ones((BATCH, TIME), "bool"))
    found = keras.Model(x, outputs).predict(sequences(), verbose=0)
    expected = layer(sequences())
    assert_close(found, expected)
    assert [v.shape[1:] for v in outputs] == [tuple(v.shape[1:]) for v in expected]
    last = klv.MatrixLSTM(4, heads=2)(x, initial_state=list(outputs[1:4]))
    both = keras.layers.Bidirectional(klv.MatrixLSTM(4, **options))(x)
    assert len(both) == 7 and tuple(last.shape) == (None, 4)
