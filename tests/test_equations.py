"""Each cell against float64 NumPy equations that were written from the papers by another hand."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from cases import (
    BATCH,
    CASES,
    FEATURES,
    IDS,
    LAYERS,
    MASK,
    UNITS,
    are_counters,
    arrays,
    columns_of,
    make,
    randomize,
    sequences,
    shown_gates,
    state_names,
    states_of,
)
from equations import EQUATIONS, PARAMETERS, gradient, run
from graphs import first_quick

import keras_lstm_variants as klv

ONE_GATE = ("Elman", "ClockworkRNN")


def weights_of(layer):
    return {w.name: keras.ops.convert_to_numpy(w) for w in layer.cell.trainable_weights}


def float64_layer(name, options, **kwargs):
    return make(
        name, options, dtype="float64", return_sequences=True, return_all_states=True, **kwargs
    )


@pytest.mark.parametrize(("name", "options"), CASES, ids=IDS)
def test_outputs_and_states(name, options):
    for masked, backwards in ((False, False), (True, False), (False, True), (True, True)):
        # Zeros for masked outputs are put there by the loop, in one of two directions here.
        layer = float64_layer(name, options, go_backwards=backwards, zero_output_for_mask=backwards)
        x, mask = sequences("float64"), MASK if masked else None
        start = states_of(layer, dtype="float64")
        outputs, *states = arrays(layer(x, initial_state=start, mask=mask))
        expected, finals, histories = run(
            name, x, weights_of(layer), tuple(start), mask, backwards, backwards, **options
        )
        if backwards:
            histories = [h[:, ::-1] for h in histories]
        wanted = [expected, *finals, *histories]
        names = state_names(layer.cell)
        parts = ["output", *(f"last {n}" for n in names), *(f"all {n}" for n in names)]
        for found, right, part in zip([outputs, *states], wanted, parts, strict=True):
            np.testing.assert_allclose(
                found, right, rtol=0, atol=1e-12, err_msg=f"{part} {masked=} {backwards=}"
            )


@pytest.mark.parametrize(("name", "options"), CASES, ids=IDS)
def test_without_a_bias(name, options):
    layer = make(name, options, dtype="float64", use_bias=False, return_sequences=True)
    x, start = sequences("float64"), states_of(layer, dtype="float64")
    weights = weights_of(layer)
    assert not [key for key in weights if "bias" in key]
    expected, _, _ = run(name, x, weights, tuple(start), **options)
    np.testing.assert_allclose(layer(x, initial_state=start), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("name", "options"), CASES, ids=IDS)
def test_gates(name, options):
    layer = make(name, options, dtype="float64")
    x = sequences("float64")[:, 0]
    start = states_of(layer, dtype="float64")
    shown = shown_gates(layer.cell, x, start)
    _, gates = EQUATIONS[name](x, tuple(start), weights_of(layer), **options)
    assert {gate.split("_")[0] for gate in shown} >= set(layer.cell.gates)
    for gate, value in gates.items():
        np.testing.assert_allclose(shown[gate], value, rtol=0, atol=1e-12, err_msg=gate)


@first_quick()
def test_gradients_against_finite_differences(name, options):
    layer = float64_layer(name, options)
    x, start = sequences("float64"), states_of(layer, dtype="float64")
    weights = weights_of(layer)
    keys = list(weights)
    # A phase is a number of steps, and has no gradient.
    counts = are_counters(layer.cell)
    assert counts == sorted(counts)  # those that count come last
    phases = [s for s, counted in zip(start, counts, strict=True) if counted]
    start = start[: len(start) - len(phases)]

    def loss(x, *rest):
        states, values = rest[: len(start)], rest[len(start) :]
        outputs, finals, _ = run(
            name, x, dict(zip(keys, values, strict=True)), (*states, *phases), MASK, **options
        )
        finals = finals[: len(start)]
        return float(np.sum(np.sin(outputs)) + sum(np.sum(f * f) for f in finals))

    tensors = [tf.constant(v) for v in (x, *start)]
    variables = [w.value for w in layer.cell.trainable_weights]
    with tf.GradientTape() as tape:
        tape.watch(tensors)
        outputs, *states = layer(tensors[0], initial_state=[*tensors[1:], *phases], mask=MASK)
        finals = states[: len(start)]
        value = tf.reduce_sum(tf.sin(outputs)) + sum(tf.reduce_sum(f * f) for f in finals)
    actual = tape.gradient(value, tensors + variables)
    expected = gradient(loss, [x, *start, *weights.values()])
    for a, b in zip(actual, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-7)


@pytest.mark.parametrize(("name", "options"), [c for c in CASES if c[0] not in ONE_GATE])
def test_exchanged_gates_are_noticed(name, options):
    """The equations above must tell two gates apart, or they check nothing."""
    layer = float64_layer(name, options)
    x, weights = sequences("float64"), weights_of(layer)
    first = arrays(layer(x))[0]
    for key, weight in weights.items():
        count = len(columns_of(layer.cell, key))
        if count > 1 and "peephole" not in key:  # whose rows belong to gates
            one, two, *others = np.split(weight, count, axis=-1)
            weights[key] = np.concatenate([two, one, *others], axis=-1)
    exchanged, _, _ = run(name, x, weights, units=layer.units, **options)
    assert np.max(np.abs(first - exchanged)) > 1e-3


@pytest.mark.parametrize(("name", "options"), CASES, ids=IDS)
def test_number_of_parameters(name, options):
    layer = make(name, options)
    assert layer.count_params() == PARAMETERS[name](FEATURES, UNITS, **options)


@pytest.mark.parametrize("name", [n for n in LAYERS if n not in ONE_GATE])
def test_gates_declared_sigmoid_lie_between_0_and_1(name):
    layer = make(name)
    shown = shown_gates(layer.cell, 10 * sequences()[:, 0], states_of(layer))
    for gate, value in shown.items():
        if gate.split("_")[0] not in layer.cell.candidates:
            assert np.all((value >= 0) & (value <= 1)), gate
    assert any(gate.split("_")[0] in layer.cell.candidates for gate in shown)


def test_nobody_listens_after_listening():
    layer = make("LSTM")
    heard = []
    with layer.cell.captured_by(heard.append):
        layer.cell(sequences()[:, 0], states_of(layer))
    layer.cell(sequences()[:, 0], states_of(layer))
    assert len(heard) == 1


@pytest.mark.parametrize("name", ["MUT1", "MUT2"])
def test_raw_input_where_inputs_and_units_agree(name):
    layer = klv.get_variant(name)(FEATURES, dtype="float64", return_sequences=True)
    x = sequences("float64")
    layer.build(x.shape)
    randomize(layer)
    assert "input_projection" not in weights_of(layer)
    assert layer.count_params() == PARAMETERS[name](FEATURES, FEATURES)
    expected, _, _ = run(name, x, weights_of(layer), states=(np.zeros((BATCH, FEATURES)),))
    np.testing.assert_allclose(layer(x), expected, rtol=0, atol=1e-12)


def test_hand_values_of_the_muts():
    """Zero weights, h = 0, x = 1: MUT1 gives tanh(tanh(1)) / 2, the others 0."""
    for name, expected in [("MUT1", 0.321007), ("MUT2", 0.0), ("MUT3", 0.0)]:
        cell = klv.get_variant(name).cell_class(
            1, kernel_initializer="zeros", recurrent_initializer="zeros"
        )
        cell.build((None, 1))
        h, _ = cell(np.ones((1, 1), "float32"), [np.zeros((1, 1), "float32")])
        np.testing.assert_allclose(h, [[expected]], atol=1e-6)


class TestDegenerateCases:
    """Two variants that are equal at some setting."""

    def test_peepholes_of_zero_are_the_lstm(self):
        x, lstm, peephole = sequences(), make("LSTM"), make("PeepholeLSTM")
        peephole.set_weights([*lstm.get_weights(), np.zeros((3, UNITS))])
        np.testing.assert_allclose(peephole(x), lstm(x), atol=1e-6)

    def test_the_layer_norm_lstm_is_an_option_of_the_lstm(self):
        x, named = sequences(), make("LayerNormLSTM")
        option = make("LSTM", {"layer_norm": True})
        assert [w.name for w in option.weights] == [w.name for w in named.weights]
        np.testing.assert_array_equal(option(x), named(x))
        plain = make("LayerNormLSTM", {"layer_norm": False})
        np.testing.assert_array_equal(plain(x), make("LSTM")(x))

    @pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16"])
    @pytest.mark.slow
    def test_exponential_gates_of_any_size(self, dtype):
        """Open wide, or shut: results and gradients are numbers."""
        layer = klv.MatrixLSTM(UNITS, dtype=dtype, return_sequences=True)
        layer.build((None, None, FEATURES))
        for i in (-200.0, -80.0, 0.0, 80.0, 200.0):
            for f in (-200.0, -80.0, 80.0):
                layer.cell.gate_bias.assign([i, f])
                weights = [w.value for w in layer.trainable_weights]
                with tf.GradientTape() as tape:
                    y = layer(sequences())
                    loss = tf.reduce_sum(tf.cast(y, "float32") ** 2)
                for value in (y, *tape.gradient(loss, weights)):
                    assert np.all(np.isfinite(value)), (i, f)
                # A query of zero finds nothing.
                assert not np.any(layer(np.zeros((1, 6, FEATURES), "float32"))), (i, f)

    def test_greffs_variants_that_are_other_cells(self):
        x = sequences()
        lstm, np_lstm = make("LSTM"), make("NPLSTM")
        np.testing.assert_array_equal(np_lstm(x), lstm(x))
        first, nfg = make("LSTM1997"), make("NFGLSTM", {"peepholes": ()})
        np.testing.assert_allclose(nfg(x), first(x), atol=1e-6)
        coupled = make("CoupledLSTM", {"peepholes": ("i", "o")})
        np.testing.assert_array_equal(make("CIFGLSTM")(x), coupled(x))
        peephole, fgr = make("PeepholeLSTM"), make("FGRLSTM")
        fgr.set_weights([*peephole.get_weights(), np.zeros((3 * UNITS, 3 * UNITS))])
        np.testing.assert_allclose(fgr(x), peephole(x), atol=1e-6)
        for name, options in [
            ("NIAFLSTM", {"activation": "linear", "output_activation": "tanh"}),
            ("NOAFLSTM", {"output_activation": "linear"}),
        ]:
            same = make("PeepholeLSTM", options)
            np.testing.assert_array_equal(make(name)(x), same(x))

    @pytest.mark.parametrize(("name", "gate"), [("NIG", 0), ("NFG", 1), ("NOG", 3)])
    def test_a_gate_that_is_always_open(self, name, gate):
        x, full, less = sequences(), make("PeepholeLSTM"), make(f"{name}LSTM")
        kernel, recurrent, bias, peepholes = (np.array(w) for w in full.get_weights())
        columns = slice(gate * UNITS, (gate + 1) * UNITS)
        row = min(gate, 2)
        bias[columns] = 1000
        full.set_weights([kernel, recurrent, bias, peepholes])
        weights = [np.delete(w, columns, axis=-1) for w in (kernel, recurrent, bias)]
        less.set_weights([*weights, np.delete(peepholes, row, axis=0)])
        np.testing.assert_allclose(less(x), full(x), atol=1e-6)

    def test_both_couplings_are_one_family(self):
        x = sequences()
        one = make("CoupledLSTM", {"peepholes": ("i", "o")})
        other = make("CoupledLSTM", {"couple": "i=1-f", "peepholes": ("f", "o")})
        negated = one.get_weights()
        for weight in negated[:3]:
            weight[..., :UNITS] *= -1
        negated[3][0] *= -1
        other.set_weights(negated)
        np.testing.assert_allclose(other(x), one(x), atol=1e-6)

    def test_open_forget_gate_is_the_lstm_of_1997(self):
        x, lstm, first = sequences(), make("LSTM"), make("LSTM1997")
        weights = [np.array(w) for w in lstm.get_weights()]
        f = slice(UNITS, 2 * UNITS)
        for weight in weights[:2]:
            weight[:, f] = 0
        weights[2][f] = 100
        lstm.set_weights(weights)
        first.set_weights([np.delete(w, f, axis=-1) for w in weights])
        np.testing.assert_allclose(first(x), lstm(x), atol=1e-6)

    def test_original_squashing_by_its_formula(self):
        cell = klv.LSTM1997Cell(1, squashing="original", dtype="float64")
        cell.build((None, 1))
        cell.set_weights([np.zeros((1, 3)), np.zeros((1, 3)), np.array([0.0, 2.0, 0.0])])
        h, (_, c) = cell(np.zeros((1, 1)), [np.zeros((1, 1)), np.ones((1, 1))])
        sigmoid = 1 / (1 + np.exp(-2.0))
        expected = 1 + 0.5 * (4 * sigmoid - 2)
        np.testing.assert_allclose(c, [[expected]])
        np.testing.assert_allclose(h, [[0.5 * (2 / (1 + np.exp(-expected)) - 1)]])


def test_hand_values_of_the_lstm():
    """Zero weights, c = 1: c' = 0.5; with forget bias 1, c' = sigmoid(1)."""
    for bias, c_next, h_next in [(0.0, 0.5, 0.231059), (1.0, 0.731059, 0.311856)]:
        cell = klv.LSTMCell(1, kernel_initializer="zeros", recurrent_initializer="zeros")
        cell.build((None, 1))
        cell.bias.assign([0.0, bias, 0.0, 0.0])
        h, (_, c) = cell(np.zeros((1, 1), "float32"), [np.zeros((1, 1)), np.ones((1, 1))])
        np.testing.assert_allclose([float(c[0, 0]), float(h[0, 0])], [c_next, h_next], atol=1e-6)


def test_the_mask_of_the_tests_has_every_pattern():
    assert MASK.shape[0] == BATCH
    assert not MASK[0, 0] and MASK[0, -1]
    assert not MASK[2].any()
    assert MASK[3, 0] and not MASK[3, -1]
