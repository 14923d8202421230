"""Nonsense as an argument: a clear error, or a configuration that can be saved and read."""

import inspect
import json
import re
from contextlib import nullcontext

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops

import keras_lstm_variants as klv

NONSENSE = [
    *("", "tnah", -1, 0, 1.5, float("nan"), float("inf"), 2**70, [1, "a"], {"a": 1}, object()),
    *(np.zeros(3), np.array(["a"]), np.array([np.nan, 1]), np.float32(0.5), np.int64(3), b"x", 1j),
    *(tf.ones((2, 3)), keras.Variable(1.0), int, keras.layers.Dense, {1}),
]
X = np.ones((2, 5, 3), "float32")

# Arguments that a constructor needs; and those whose own errors are Keras's.
NEEDED = {
    "units": 8,
    "steps": 2,
    "latent_units": 2,
    "image_shape": (6, 5),
    "cell": klv.ElmanCell(2),
}
LAYERS = [
    cls
    for cls in (getattr(klv, name) for name in klv.list_variants())
    if issubclass(cls, keras.layers.Layer)
] + [klv.RecurrentLayer, klv.AttentionLSTM, klv.GridLSTM2D, klv.DRAW, klv.STORN, klv.VRNN]


def distinct_arguments() -> list[tuple[type, str]]:
    """Every constructor argument, with the first class that has it in this form."""
    found = {}
    for cls in LAYERS:
        for name, parameter in inspect.signature(cls).parameters.items():
            if name != "kwargs":
                found.setdefault((name, str(parameter.default)), (cls, name))
        found.setdefault("dtype", (cls, "dtype"))
    return list(found.values())


@pytest.mark.parametrize(
    ("cls", "name"), distinct_arguments(), ids=lambda v: v if isinstance(v, str) else v.__name__
)
def test_constructor_refuses_nonsense_or_keeps_it_in_its_configuration(cls, name):
    parameters = inspect.signature(cls).parameters.values()
    needed = {
        p.name: NEEDED[p.name] for p in parameters if p.default is p.empty and p.name in NEEDED
    }
    for value in NONSENSE:
        try:
            made = cls(**{**needed, name: value})
        except (TypeError, ValueError) as error:
            # Keras alone knows the arguments of `kwargs`.
            assert re.search(rf"`{name}`|`{name}\b|\b{name}=", str(error)), (value, error)
            continue
        config = json.loads(json.dumps(made.get_config()))
        assert json.loads(json.dumps(cls.from_config(config).get_config())) == config, value


TAKEN = {
    "forget_bias": [np.arange(4.0), keras.Variable(np.arange(4.0)), ops.arange(4.0)],
    "bias_initializer": [np.arange(16.0)],
    "kernel_initializer": [np.ones((3, 16))],
    "activation": [lambda x: x / 2, keras.layers.LeakyReLU()],
}

# Where the weight stands that it fills.
PLACES = {"forget_bias": 2, "bias_initializer": 2, "kernel_initializer": 0}


def test_what_may_be_an_array_or_a_lambda_is_read_back_from_a_file(tmp_path):
    for name, values in TAKEN.items():
        for value in values:
            options = {"unit_forget_bias": False} if name == "bias_initializer" else {}
            layer = klv.LSTM(4, **{name: value}, **options)
            model = keras.Sequential([keras.Input((5, 3)), layer])
            warned = inspect.isfunction(value)
            with pytest.warns(UserWarning, match="lambda") if warned else nullcontext():
                model.save(tmp_path / "model.keras")
                again = keras.models.load_model(tmp_path / "model.keras", safe_mode=False)
            np.testing.assert_allclose(again(X), model(X))
            # The initial weights of a copy, too.
            if name in PLACES:
                drawn = keras.models.clone_model(again).layers[0].get_weights()[PLACES[name]]
                columns = drawn[4:8] if name == "forget_bias" else drawn
                np.testing.assert_array_equal(columns, value)
    with pytest.raises(ValueError, match=r"(?s)`activation`.*safe_mode=False"):
        with pytest.warns(UserWarning, match="lambda"):
            config = klv.LSTM(4, activation=lambda x: x / 2).get_config()
        klv.LSTM.from_config(config)


@keras.saving.register_keras_serializable("tests")
def halved(x):
    return x / 2


def test_a_registered_function_is_read_back_from_a_configuration():
    config = json.loads(json.dumps(klv.LSTM(4, activation=halved).get_config()))
    assert klv.LSTM.from_config(config).activation is halved


def refused(call, message):
    with pytest.raises(ValueError, match=f"(?s){message}"):
        call()


BY_CONSTRUCTOR = [
    (lambda: klv.LSTM(4, activation="tnah"), "`activation`.*'tanh'"),
    (lambda: klv.LSTM(4, recurrent_initializer="ortogonal"), "`recurrent_init.*'orthogonal'"),
    (lambda: klv.GRU(4, kernel_regularizer="L3"), "`kernel_regularizer`.*'l2'"),
    (lambda: klv.MUT1(4, bias_constraint="nonneg"), "`bias_constraint`.*'non_neg'"),
    (lambda: klv.LSTM(4, bias_initializer=keras.layers.Dense(2)), "`bias_initializer`"),
    (lambda: klv.LSTM(4, forget_bias=np.zeros(3)), r"`forget_bias`.*\(4,\).*\(3,\)"),
    (lambda: klv.LSTM(4, kernel_initializer=np.ones(3))(X), r"`kernel_initializer`.*\(3, 16\)"),
    (lambda: klv.GRU(4, bias_initializer=np.ones(3))(X), r"`bias_initializer`.*\(2, 12\)"),
    (lambda: klv.LSTM(2**40), "`units` must be at most"),
    (lambda: klv.LSTM(4, dtype="int32"), "`dtype`.*int32"),
    (lambda: klv.DRAW(2, 4, 2, image_shape=(6, 5), read_size=99), "`read_size`.*6.*99"),
    (lambda: klv.VRNN(4, 2, cell="LTSM"), "`cell`.*'LSTM'"),
    (lambda: klv.initializers.PerGate(None, 4), "`initializer`"),
    (lambda: klv.initializers.ChronoBias(9)("x"), "`shape`"),
    (lambda: klv.ClockworkLSTM(8, periods={1, 2}), "`periods`"),
    (lambda: klv.DeepGateLSTM(4, gate_hidden_units=keras.Input((2,))), "`gate_hidden_units`"),
]
BY_CALL = [
    (lambda: klv.LSTM(4)(X, mask=np.ones((2, 5))), "`mask`.*bool.*float"),
    (lambda: klv.LSTM(4)(keras.Input((5, 3)), mask=keras.Input((5,))), "`mask`.*bool.*float32"),
    (lambda: klv.LSTM(4)(X, mask="x"), "`mask`"),
    (lambda: klv.LSTM(4)(X, training="yes"), "`training`.*'yes'"),
    (lambda: klv.LSTM(4)(keras.Input((5, 3)), training=2), "`training`.*2"),
    (lambda: klv.STORN(4, 2)(X, training="yes"), "`training`.*'yes'"),
    (lambda: klv.LSTMCell(4)(X[:, 0], [np.zeros((2, 4))] * 2, training="no"), "`training`.*'no'"),
    (lambda: klv.LSTM(4)(X, initial_state="x"), "`initial_state`.*'x'"),
    (lambda: klv.LSTM(4)(X, initial_state=[np.zeros((2, 4), complex)] * 2), "`initial_state`"),
    (lambda: klv.GridLSTM2D(3)(np.ones((2, 4, 4, 2)), mask=np.ones((2, 4, 4))), "`mask`.*bool"),
    (
        lambda: klv.AttentionLSTM(3)(X, memory=np.ones((2, 4, 2)), memory_mask=np.ones((2, 4))),
        "`memory_mask`.*bool",
    ),
    (lambda: klv.AttentionLSTM(3)(X, memory="x"), "`memory=...`"),
]
BY_FUNCTION = [
    (lambda: klv.register(package=None), "`package`.*None"),
    (lambda: klv.register(package="another")(klv.LSTM), "registered already.*another"),
    (lambda: klv.register("LSTM"), "`cls`.*'LSTM'"),
    (lambda: klv.get_variant(["LSTM"]), r"`name`.*\['LSTM'\]"),
    (lambda: klv.get_states(None), "`model`.*None"),
    (lambda: klv.set_states(None, {}), "`model`.*None"),
    (lambda: klv.reset_states("x"), "`model`.*'x'"),
    (lambda: klv.attribution(None, X), "`model`.*None"),
    (lambda: klv.gate_history(None, X), "`model`.*None"),
    (lambda: klv.gate_history(klv.LSTM(4), []), "x|built"),
    (lambda: klv.callbacks.GateMonitor(X, log_dir=__file__), "`log_dir`.*is a file"),
    (lambda: klv.callbacks.GateMonitor(X, log_dir=""), "`log_dir`"),
    (lambda: klv.callbacks.GateMonitor(X, every=np.zeros(3)), "`every`"),
    (lambda: klv.callbacks.GateMonitor("x"), "`x`.*'x'"),
    (lambda: klv.callbacks.GateMonitor(X, y=3), "`y`.*3"),
    (lambda: klv.plots.time_constants({"f": np.ones((2, 5, 4))}, gate=0), "`gate`.*0"),
    (lambda: klv.plots.time_constants({"f": np.ones((2, 5, 4))}, layer="x"), "`layer`.*'x'"),
    (lambda: klv.plots.gates({"f": np.ones((2, 5, 4))}, names=keras.Variable(1.0)), "`names`"),
    (lambda: klv.plots.attention(np.eye(3), read=keras.Input((3,))), "`read` must be 3 labels"),
    (lambda: klv.ElmanCell(3).add_cell_weight("", (3,), "zeros"), "`name`"),
]


@pytest.mark.parametrize("table", [BY_CONSTRUCTOR, BY_CALL, BY_FUNCTION])
def test_error_names_the_argument_its_value_and_what_is_near(table):
    for call, message in table:
        refused(call, message)


def test_whole_numbers_as_mask_are_taken_as_keras_takes_them():
    mask = np.array([[1, 0, 2, 1, 0]] * 2)
    layer, grid = klv.LSTM(4), klv.GridLSTM2D(3)
    np.testing.assert_array_equal(layer(X, mask=mask), layer(X, mask=mask > 0))
    images, seen = np.ones((2, 1, 5, 3), "float32"), mask[:, None]
    np.testing.assert_array_equal(grid(images, mask=seen), grid(images, mask=seen > 0))


STEPS = {
    "width": (lambda z, h, c: (h + z, c[:, :2]), r"'c'.*\(2, 3\).*\(2, 2\)"),
    "rank": (lambda z, h, c: (h + z, c[0]), r"'c'.*\(3,\)"),
    "rows": (lambda z, h, c: (h + z, ops.ones((1, 3))), r"'c'.*\(1, 3\)"),
    "dtype": (lambda z, h, c: (h + z, ops.cast(c, "int32")), "'c'.*float32.*int32"),
    "number": (lambda z, h, c: (h + z, c, c), "2 new states"),
    "no tensor": (lambda z, h, c: (h + z, None), "tensors.*c=None"),
}


@pytest.mark.parametrize("case", STEPS)
def test_step_must_return_states_like_those_it_was_given(case):
    function, message = STEPS[case]

    class Wrong(klv.Cell):
        states = (klv.State("h"), klv.State("c"))

        def step(self, z, states, training=False):
            return z, function(z, *states)

    layer = klv.RecurrentLayer(Wrong(3))
    refused(lambda: layer(X), message)
    refused(lambda: tf.function(layer, autograph=False)(X), message)


def test_other_cells_must_return_such_states_and_outputs_of_their_size_too():
    class Others(keras.layers.Layer):
        state_size = output_size = 3

        def call(self, x, states):
            return x, [states[0][:, :1]]

    class WrongOutput(klv.Cell):
        def step(self, z, states, training=False):
            return z[:, :2], states

    refused(lambda: klv.RecurrentLayer(Others())(X), r"\(2, 3\).*\(2, 1\)")
    refused(lambda: klv.RecurrentLayer(WrongOutput(3))(X), r"\(None, 3\).*\(2, 2\)")


def test_weights_that_do_not_fit_change_none(tmp_path):
    layer = klv.LSTM(4)
    layer(X)
    model, other = klv.VRNN(4, 2), klv.VRNN(4, 3)
    model(X), other(X)
    other.save_weights(tmp_path / "other.weights.h5")
    small, big = (keras.Sequential([keras.Input((5, 3)), klv.LSTM(n)]) for n in (4, 5))
    big.save_weights(tmp_path / "big.weights.h5")
    for one, load, message in (
        (layer, None, r"weights\[2\].*\(16,\).*\(3,\)"),
        (model, None, r"weights\[20\].*\(3,\).*\(4,\)"),
        (model, "other.weights.h5", ""),
        (small, "big.weights.h5", r"\(3, 16\).*\(3, 20\)"),
    ):
        before = one.get_weights()
        zeros = [np.zeros_like(w) for w in before[:-1]]
        wrong = [*zeros, np.zeros(len(before[-1]) + 1 if one is model else 3)]
        if load is None:
            refused(lambda one=one, wrong=wrong: one.set_weights(wrong), message)
            refused(lambda one=one, zeros=zeros: one.set_weights(zeros), "must be a list of")
            refused(lambda one=one, zeros=zeros: one.set_weights([*zeros, "x"]), "numbers.*'x'")
        else:
            refused(lambda one=one, load=load: one.load_weights(tmp_path / load), message)
        for weight, kept in zip(one.get_weights(), before, strict=True):
            np.testing.assert_array_equal(weight, kept)
    turned = [w.T for w in layer.get_weights()]
    refused(lambda: layer.set_weights(turned), r"weights\[0\].*\(3, 16\).*\(16, 3\).*Nothing")
    layer.set_weights([w.tolist() for w in layer.get_weights()])


def test_what_a_built_layer_cannot_follow_is_refused():
    layer, cell, model = klv.LSTM(4), klv.LSTMCell(4), klv.STORN(4, 2)
    layer(X), cell.build((None, 3)), model(X)
    for owner, name, value in (
        (layer, "stateful", True),
        (layer, "initial_state", "learned"),
        (layer, "engine", "fast"),
        (layer, "return_sequences", "yes"),
        (cell, "units", 5),
        (cell, "use_bias", False),
        (cell, "forget_bias", 3.0),
        (model, "engine", "xla"),
        (model, "likelihood", "gaussian"),
    ):
        refused(lambda o=owner, n=name, v=value: setattr(o, n, v), f"`{name}`.*{value}")
    # What is read at each call may change, and then does.
    layer.return_all_states, cell.dropout, model.kl_warm_up = True, 0.5, 7
    assert len(layer(X)) == 5
    layer.stateful = False
    kept = klv.LSTM(4, stateful=True)
    first = kept(X)
    kept.stateful = False
    np.testing.assert_array_equal(kept(X), first)


def test_public_names_are_listed_and_the_nearest_is_named():
    assert {"tuning", "LSTM", "plots"} <= set(dir(klv))
    assert not {"Any", "importlib"} & set(dir(klv))
    with pytest.raises(AttributeError, match="Did you mean 'PeepholeLSTM'"):
        _ = klv.PeepholLSTM


@pytest.mark.parametrize("kind", [klv.MinGRUCell, klv.MatrixLSTMCell, klv.MinGRU])
def test_arguments_of_no_use_are_refused(kind):
    with pytest.raises(ValueError, match="`recurrent_dropout`.*recurrent_dropout=0.1"):
        kind(4, recurrent_dropout=0.1)
    assert "recurrent_initializer" not in inspect.signature(kind).parameters
