"""What every cell must do, and what every layer must do in models."""

import inspect
import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from cases import (
    BATCH,
    FEATURES,
    MASK,
    PROTOCOL,
    ROWS,
    TIME,
    UNITS,
    arrays,
    assert_close,
    make,
    randomize,
    sequences,
    state_names,
    states_of,
)
from graphs import EVERY_CASE, EVERY_PROTOCOL, first_quick, plain
from tiers import quick_first

import keras_lstm_variants as klv
from keras_lstm_variants.engine.tensorflow import chunks
from keras_lstm_variants.engine.tensorflow.fast import Residuals
from keras_lstm_variants.testing import check_cell

pytestmark = pytest.mark.usefixtures("forgotten_after_each_test")

# For what takes long and is rather about the layer.
FEW_CELLS = ("MUT1", "ClockworkLSTM")
FEW = pytest.mark.parametrize(
    ("name", "options"), [(name, ROWS[name][-1]) for name in FEW_CELLS], ids=FEW_CELLS
)


def model_of(*layers, features=FEATURES, **kwargs):
    return keras.Sequential([keras.Input((None, features), **kwargs), *layers])


@first_quick(PROTOCOL)
def test_contract(name, options, fast, monkeypatch):
    """With blocks of four and two steps, in a fast loop, in a graph and compiled.

    XLA compiles the gradients of a cell's last options, and below the outputs of all.
    """
    monkeypatch.setattr(chunks, "_length", lambda *_: 4)
    skip = {}
    last = options is ROWS[name][-1]
    if name not in PROTOCOL or not last:
        skip["exported"] = "test_saving exports every layer"
    if not last:
        skip["compiled_by_xla"] = "the last options are compiled with gradients, all without"
        same = ("saving", "named_layer", "stacked", "parts_of_a_sequence", "masked_steps")
        for check in (*same, "precision"):
            skip[check] = "of what is the same for all options of a cell"
    # Of long periods no unit may be open in a few steps.
    open_often = {"periods": (1.0, 4.0), "open_ratio": 0.5} if name == "PhasedLSTM" else {}
    case = {"units": UNITS, **open_often, **options}
    check_cell(klv.get_variant(name).cell_class, [case], skip=skip)
    if klv.get_variant(name).cell_class.scan is not None:
        assert not fast  # there is no loop
        return
    # Those of an exported function keep nothing.
    in_training = {loop.settings.xla for loop in fast if loop.settings.residuals is Residuals.ALL}
    assert in_training == ({False, True} if last else {False})


SEVERAL = [name for name in ROWS if len(ROWS[name]) > 1]


@pytest.mark.slow
@pytest.mark.parametrize("name", SEVERAL)
def test_all_options_are_compiled_by_xla(name, fast):
    layers = [make(name, options, return_sequences=True) for options in ROWS[name][:-1]]

    @tf.function(jit_compile=True)
    def run(x, mask):
        return [layer(x, mask=mask) for layer in layers]

    expected = [layer(sequences(), mask=MASK) for layer in layers]
    assert_close(run(sequences(), MASK), expected, 1e-5)
    looped = klv.get_variant(name).cell_class.scan is None
    assert len(fast) == (len(layers) if looped else 0)


@EVERY_CASE
def test_config_survives_json(name, options):
    kind = klv.get_variant(name)
    given = {
        "kernel_initializer": keras.initializers.RandomNormal(stddev=0.2, seed=3),
        "bias_initializer": keras.initializers.Constant(0.5),
        "recurrent_regularizer": keras.regularizers.L2(0.01),
        "kernel_constraint": keras.constraints.MaxNorm(2.0),
        "dropout": 0.1,
        "recurrent_dropout": 0.2,
    }
    layer = kind(
        UNITS,
        **options,
        **{k: v for k, v in given.items() if k not in kind.cell_class.not_taken},
        seed=7,
        return_sequences=True,
        go_backwards=True,
        zero_output_for_mask=True,
        return_all_states=True,
        initial_state="learned",
        name="given",
        dtype="mixed_float16",
    )
    config = json.loads(json.dumps(layer.get_config()))
    again = type(layer).from_config(config)
    assert json.loads(json.dumps(again.get_config())) == config
    assert again.name == "given"
    assert (again.cell.compute_dtype, again.cell.variable_dtype) == ("float16", "float32")
    layer.build((None, None, FEATURES))
    again.build((None, None, FEATURES))
    again.set_weights(layer.get_weights())
    assert_close(again(sequences()), layer(sequences()), 0)


@EVERY_CASE
def test_every_weight_has_a_regularizer_and_a_constraint(name, options):
    layer_class = klv.get_variant(name)
    kinds = {"_regularizer": "l2", "_constraint": "non_neg"}
    given = {
        argument: value
        for argument in inspect.signature(layer_class).parameters
        for ending, value in kinds.items()
        if argument.endswith(ending) and argument != "activity_regularizer"
    }
    layer = layer_class(UNITS, **options, **given)
    layer.build((None, None, FEATURES))
    for weight in layer.cell.trainable_weights:
        assert weight.regularizer is not None and weight.constraint is not None, weight.name
    assert len(layer.losses) == len(layer.cell.trainable_weights)


@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("mask", [None, MASK], ids=["all", "masked"])
@EVERY_PROTOCOL
def test_equals_plain_rnn_with_gradients(name, options, mask, backwards):
    kwargs = {"return_sequences": True, "return_state": True, "go_backwards": backwards}
    layer = make(name, options, **kwargs)
    tensors = [tf.constant(v) for v in (sequences(), *states_of(layer))]
    results = []
    for model in (layer, plain(layer, **kwargs)):
        with tf.GradientTape() as tape:
            tape.watch(tensors)
            outputs = model(tensors[0], initial_state=tensors[1:], mask=mask)
            loss = sum(tf.reduce_sum(tf.sin(o)) for o in outputs)
        weights = [w.value for w in layer.cell.trainable_weights]
        # A state that no step looks at, as the h of some cells, has none.
        found = tape.gradient(loss, tensors + weights, unconnected_gradients="zero")
        results.append([outputs, found])
    assert_close(*results, tolerance=1e-6)


@pytest.mark.parametrize("sequences_too", [False, True])
@EVERY_PROTOCOL
def test_unrolled_equals_looped(name, options, sequences_too):
    kwargs = {"return_sequences": sequences_too, "return_all_states": True}
    looped, unrolled = make(name, options, **kwargs), make(name, options, unroll=True, **kwargs)
    assert_close(unrolled(sequences(), mask=MASK), looped(sequences(), mask=MASK))


@EVERY_PROTOCOL
def test_stacked_layers_pass_the_mask(name, options):
    symbols = np.array([[1, 2, 3, 0, 0], [4, 1, 0, 0, 0]])
    layers = [make(name, options, return_sequences=True)]
    layers.append(klv.get_variant(name)(UNITS, **options))
    model = keras.Sequential(
        [keras.Input((None,)), keras.layers.Embedding(5, FEATURES, mask_zero=True), *layers]
    )
    together = arrays(model(symbols))[0]
    assert_close(together[:1], model(symbols[:1, :3]))
    assert_close(together[1:], model(symbols[1:, :2]))


@quick_first(EVERY_PROTOCOL)
def test_bidirectional_twice_with_any_length(name, options):
    layer_class = klv.get_variant(name)
    inputs = keras.Input((None, FEATURES))
    first = keras.layers.Bidirectional(layer_class(UNITS, **options, return_sequences=True))
    second = keras.layers.Bidirectional(layer_class(UNITS, **options), merge_mode="sum")
    # Given to both: in Keras 3.16 a `Bidirectional` of any layer hands no mask on.
    mask = keras.ops.any(keras.ops.not_equal(inputs, 0), axis=-1)
    model = keras.Model(inputs, second(first(inputs, mask=mask), mask=mask))
    x = sequences()
    x[1, 4:] = 0
    assert model.output_shape == (None, UNITS)
    assert_close(model(x)[1:2], model(x[1:2, :4]))
    assert_close(model(x[:, :3]), model.predict(x[:, :3], verbose=0))


@EVERY_PROTOCOL
def test_list_of_cells_with_mask(name, options):
    cells = [make(name, options).cell, klv.get_variant(name).cell_class(4, **options)]
    ours = klv.RecurrentLayer(cells, return_sequences=True, return_state=True)
    keras_own = keras.layers.RNN(cells, return_sequences=True, return_state=True)
    result = ours(sequences(), mask=MASK)
    assert_close(result, keras_own(sequences(), mask=MASK))
    states = result[1:]
    assert_close(ours(sequences(), initial_state=states), keras_own(sequences(), states))


@pytest.mark.slow
@FEW
def test_every_weight_moves_in_training(name, options):
    layer_class = klv.get_variant(name)
    model = model_of(
        keras.layers.Bidirectional(
            layer_class(
                UNITS,
                **options,
                dropout=0.2,
                recurrent_dropout=0.2,
                return_sequences=True,
                initial_state="learned",
            )
        ),
        layer_class(3, **options),
    )
    # Output and state of the second layer start at zero: two steps to reach peepholes.
    model.compile(keras.optimizers.SGD(0.1), "mse")
    before = [w.numpy() for w in model.trainable_weights]
    for batch, time in [(2, 4), (4, 7), (3, 5)]:
        random = np.random.default_rng(time)
        x = random.normal(size=(batch, time, FEATURES))
        model.train_on_batch(x, random.normal(size=(batch, 3)))
    for weight, old in zip(model.trainable_weights, before, strict=True):
        assert np.any(weight.numpy() != old), weight.path


@pytest.mark.slow
@FEW
def test_xla_equals_graph_in_fit_evaluate_and_predict(name, options):
    x, y = sequences(), np.random.default_rng(5).normal(size=(BATCH, 2))
    x[0, 3:] = 0
    results = []
    for jit in (False, True):
        layer = make(name, options, return_sequences=True)
        last = randomize_later = klv.get_variant(name)(2, **options)
        model = model_of(keras.layers.Masking(), layer, last)
        randomize(randomize_later, seed=9)
        model.compile(keras.optimizers.SGD(0.1), "mse", jit_compile=jit)
        model.fit(x, y, epochs=3, batch_size=BATCH, verbose=0)
        loss = model.evaluate(x, y, verbose=0)
        results.append([np.array(loss), model.predict(x, verbose=0), model.get_weights()])
    assert_close(*results, tolerance=1e-5)


@quick_first(EVERY_PROTOCOL)
def test_unknown_batch_and_time_in_one_graph(name, options):
    layer = make(name, options, return_sequences=True, return_all_states=True)
    signature = [
        tf.TensorSpec((None, None, FEATURES), tf.float32),
        tf.TensorSpec((None, None), tf.bool),
    ]
    graph = tf.function(lambda x, m: layer(x, mask=m), input_signature=signature)
    for batch, time in [(4, 6), (2, 3), (1, 1), (3, 0)]:
        x, mask = sequences()[:batch, :time], MASK[:batch, :time]
        assert_close(graph(x, mask), layer(x, mask=mask))
    assert arrays(graph(x, mask))[0].shape == (3, 0, UNITS)


@EVERY_PROTOCOL
def test_a_sequence_without_steps(name, options):
    layer = make(name, options, return_sequences=True, return_state=True)
    start = states_of(layer)
    output, *states = layer(sequences()[:, :0], initial_state=start)
    assert output.shape == (BATCH, 0, UNITS)
    assert_close(states, start, 0)
    last = make(name, options, unroll=True)(sequences()[:, :0])
    assert_close(last, np.zeros((BATCH, UNITS)), 0)


@EVERY_PROTOCOL
def test_all_states_in_input_order(name, options):
    for backwards in (False, True):
        layer = make(name, options, return_all_states=True, go_backwards=backwards)
        count = len(state_names(layer.cell))
        output, *rest = layer(sequences(), mask=MASK)
        finals, histories = rest[:count], rest[count:]
        symbolic = layer(keras.Input((TIME, FEATURES)))
        assert [s.shape[1:] for s in symbolic] == [tuple(o.shape[1:]) for o in (output, *rest)]
        end = 0 if backwards else -1
        assert_close([h[:, end] for h in histories], finals)
        step = (TIME - 2) if backwards else 1
        two = make(name, options, return_state=True, go_backwards=backwards)
        part = slice(TIME - 2, None) if backwards else slice(0, 2)
        _, *expected = two(sequences()[:, part], mask=MASK[:, part])
        assert_close([h[:, step] for h in histories], expected)


@EVERY_PROTOCOL
def test_time_distributed_and_clone(name, options):
    layer = make(name, options)
    videos = keras.Input((2, TIME, FEATURES))
    model = keras.Model(videos, keras.layers.TimeDistributed(layer)(videos))
    x = np.stack([sequences(), sequences(seed=8)], 1)
    expected = np.stack([layer(x[:, 0]), layer(x[:, 1])], 1)
    assert_close(model(x), expected)
    clone = keras.models.clone_model(model)
    clone.set_weights(model.get_weights())
    assert_close(clone(x), expected)


@FEW
def test_frozen_and_shared_and_regularized(name, options):
    layer = make(name, options, kernel_regularizer="l2", activity_regularizer="l1")
    a, b = keras.Input((None, FEATURES)), keras.Input((None, FEATURES))
    head = keras.layers.Dense(2)
    model = keras.Model([a, b], head(keras.layers.Add()([layer(a), layer(b)])))
    assert model.count_params() == layer.count_params() + head.count_params()
    x = [sequences(), sequences()]
    model(x)
    assert len(layer.losses) >= 2
    layer.trainable = False
    assert model.trainable_weights == head.trainable_weights
    model.compile("sgd", "mse")
    frozen, moving = layer.get_weights(), head.get_weights()
    model.train_on_batch(x, np.ones((BATCH, 2)))
    assert_close(layer.get_weights(), frozen, 0)
    assert np.any(head.get_weights()[0] != moving[0])


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:`shuffle=True` was passed")  # Keras's test to itself
@EVERY_PROTOCOL
def test_keras_own_layer_test(name, options):
    # The one thing that Keras tests its layers with is not exported.
    from keras.src import testing

    class Check(testing.TestCase):
        def runTest(self):
            self.run_layer_test(
                klv.get_variant(name),
                init_kwargs={"units": 3, **options, "dropout": 0.1, "recurrent_dropout": 0.1},
                input_shape=(3, 2, 4),
                call_kwargs={"training": True},
                expected_output_shape=(3, 3),
                expected_num_trainable_weights=len(make(name, options).trainable_weights),
                expected_num_non_trainable_weights=0,
                expected_num_seed_generators=1,
                supports_masking=True,
            )

    Check().runTest()
