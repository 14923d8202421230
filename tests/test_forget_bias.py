"""The forget bias reaches the right columns, and the memory decays at the promised rate."""

import itertools
import re

import keras
import numpy as np
import pytest
from cases import FEATURES, GATED, LAYERS, ROWS, UNITS, columns_of, state_names, state_shapes

import keras_lstm_variants as klv

# A clockwork keeps all where it does not run.
EVERY_STEP = {"ClockworkLSTM": {"periods": (1,)}, "PhasedLSTM": {"periods": (1, 1)}}
# A forget bias for each head.
HEADS = {"MatrixLSTM": {"heads": 6}}


def sigmoid(b):
    return 1 / (1 + np.exp(-np.asarray(b, "float64")))


def columns(name, **kwargs):
    """Initial bias by gate: {"i": (units,), ...}; for two rows the input side."""
    layer = klv.get_variant(name)(6, **HEADS.get(name, {}), **kwargs)
    layer.build((None, None, FEATURES))
    bias = bias_of(layer.cell).numpy()
    if bias.ndim == 2:
        assert not np.any(bias[1])
        bias = bias[0]
    gates = layer.cell.bias_gates or layer.gates
    return dict(zip(gates, np.split(bias, len(gates)), strict=True)), layer.cell


def bias_of(cell):
    """The first one with a column for each gate."""
    gates = cell.bias_gates or cell.gates
    return next(w for w in cell.weights if "bias" in w.name and columns_of(cell, w.name) == gates)


def decay(cell):
    """What the third step keeps of the memory when nothing else speaks."""
    state = 1e-3
    for weight in cell.weights:
        if "kernel" in weight.name:
            weight.assign(np.zeros(weight.shape))
        if weight.name == "shift":  # wide open at whole numbers
            weight.assign(-cell.ratio / 2)
    level = "".join(re.findall(r"_\d+$", bias_of(cell).name))
    names = enumerate(state_names(cell))
    memories = [k for k, name in names if name[0] in "cmC" and name.endswith(level)]
    memory = memories[0] if memories else 0
    states = [np.zeros((1, *shape), "float32") for shape in state_shapes(cell)]
    states[memory] = states[memory] + state
    for _ in range(3):  # what a step adds must not change the rate of the next
        _, new = cell(np.zeros((1, FEATURES), "float32"), states)
        kept = np.ravel(_size(cell, new, memory)[0] / _size(cell, states, memory)[0])
        states = new
    return kept


def _size(cell, states, memory):
    """Of a stabilised memory, what it stands for."""
    values = np.asarray(states[memory])
    if "m" not in state_names(cell):
        return values
    return values * np.exp(states[state_names(cell).index("m")])[..., None, None]


@pytest.mark.parametrize("name", GATED)
def test_number_is_the_rate_at_which_memory_is_kept(name):
    cases = [EVERY_STEP.get(name, {})]
    if name in ("CoupledLSTM", "CIFGLSTM"):
        cases.append({"couple": "i=1-f", "peepholes": ()})
    for options, bias in itertools.product(cases, [-1.5, 0, 0.0, 2, np.float32(3.5)]):
        found, cell = columns(name, forget_bias=bias, **options)
        np.testing.assert_allclose(decay(cell), sigmoid(bias), rtol=1e-4)
        gate, sign = cell.forget_gate
        for other, values in found.items():
            assert np.all(values == (sign * bias if other == gate else 0)), (other, options, bias)


@pytest.mark.parametrize("name", GATED)
def test_chrono_spreads_memory_over_time(name):
    options = EVERY_STEP.get(name, {})
    found, cell = columns(name, forget_bias="chrono", max_timesteps=50, **options)
    gate, sign = cell.forget_gate
    bias = sign * found[gate]
    assert np.all((bias >= 0) & (bias <= np.log(49)))
    assert len(np.unique(bias)) == len(bias)
    np.testing.assert_allclose(decay(cell), sigmoid(bias), rtol=1e-4)
    for other, values in found.items():
        if other == cell.input_gate:
            np.testing.assert_array_equal(values, -bias)
        elif other != gate:
            assert not np.any(values)
    assert cell.input_gate == ("i" if {"i", "f"} <= set(cell.gates) else None)


@pytest.mark.parametrize("name", GATED)
def test_initializer_is_used_as_it_is(name):
    found, cell = columns(name, forget_bias=keras.initializers.Constant(0.7))
    np.testing.assert_allclose(found[cell.forget_gate[0]], 0.7)
    found, cell = columns(name, forget_bias=klv.initializers.ChronoBias(50, seed=1))
    expected = klv.initializers.ChronoBias(50, seed=1)((6,))
    np.testing.assert_array_equal(found[cell.forget_gate[0]], expected)


@pytest.mark.parametrize("name", GATED)
def test_usual_bias(name):
    found, cell = columns(name)
    gate, sign = cell.forget_gate
    if name == "MatrixLSTM":
        np.testing.assert_allclose(found["f"], np.linspace(3, 6, 6), rtol=1e-6)
        assert not np.any(found["i"])
        return
    for other, values in found.items():
        np.testing.assert_array_equal(values, sign * cell.usual_forget_bias * (other == gate))
    assert cell.usual_forget_bias == (1 if isinstance(cell, klv.LSTMFamilyCell) else 0)


def test_bias_initializer_fills_the_other_columns():
    found, _ = columns("LSTM", bias_initializer=keras.initializers.Constant(0.25))
    for gate, values in found.items():
        np.testing.assert_array_equal(values, 1 if gate == "f" else 0.25)


def test_usual_bias_of_the_gru_that_resets_before_is_zero():
    found, _ = columns("GRU", reset_after=False)
    assert not any(np.any(v) for v in found.values())


def test_unit_forget_bias_off():
    found, _ = columns("LSTM", unit_forget_bias=False)
    assert not any(np.any(v) for v in found.values())


def test_forget_bias_survives_the_config():
    for value in (2.0, "chrono", klv.initializers.ChronoBias(9, seed=2)):
        steps = 9 if isinstance(value, str) else None
        layer = klv.LSTM(4, forget_bias=value, max_timesteps=steps)
        again = klv.LSTM.from_config(layer.get_config())
        assert again.get_config() == layer.get_config()
        if not isinstance(value, klv.initializers.ChronoBias):
            assert again.forget_bias == value


def test_chrono_is_a_seeded_draw():
    keras.utils.set_random_seed(3)
    first, _ = columns("LSTM", forget_bias="chrono", max_timesteps=50)
    keras.utils.set_random_seed(3)
    again, _ = columns("LSTM", forget_bias="chrono", max_timesteps=50)
    np.testing.assert_array_equal(first["f"], again["f"])


ERRORS = {
    "word": ({"forget_bias": "big"}, "`forget_bias`.*chrono.*forget_bias='big'"),
    "slip": ({"forget_bias": "crono", "max_timesteps": 9}, "Did you mean 'chrono'"),
    "bool": ({"forget_bias": True}, "`forget_bias`.*forget_bias=True"),
    "infinite": ({"forget_bias": float("inf")}, "finite"),
    "chrono alone": ({"forget_bias": "chrono"}, "go together.*max_timesteps=None"),
    "timesteps alone": ({"max_timesteps": 9}, "go together.*forget_bias=None"),
    "timesteps small": ({"forget_bias": "chrono", "max_timesteps": 2}, "above 2.*max_timesteps=2"),
    "timesteps word": ({"forget_bias": "chrono", "max_timesteps": "9"}, "max_timesteps='9'"),
    "no bias": ({"forget_bias": 1.0, "use_bias": False}, "use_bias=True"),
}


@pytest.mark.parametrize("case", ERRORS)
def test_errors(case):
    options, message = ERRORS[case]
    for name in GATED:
        with pytest.raises(ValueError, match=f"(?s){message}"):
            klv.get_variant(name)(4, **options)


@pytest.mark.parametrize("unit", [True, False])
def test_both_rules_at_once(unit):
    with pytest.raises(ValueError, match="either `forget_bias` or `unit_forget_bias`"):
        klv.LSTM(4, forget_bias=1.0, unit_forget_bias=unit)


@pytest.mark.parametrize("name", ["Elman", "LSTM1997", "NFGLSTM"])
def test_cells_without_a_keeping_gate_refuse(name):
    with pytest.raises(ValueError, match="no gate that keeps its memory.*forget_bias=1"):
        klv.get_variant(name)(4, forget_bias=1)
    with pytest.raises(ValueError, match="no gate that keeps its memory.*unit_forget_bias"):
        klv.get_variant(name)(4, unit_forget_bias=True)


@pytest.mark.parametrize("name", LAYERS)
def test_no_two_weights_start_as_copies(name):
    """One initializer gives the same values at every call: each weight needs its own."""
    for options, seed, per_gate in itertools.product(ROWS[name], (None, 7), (False, True)):
        kernel = keras.initializers.RandomNormal(seed=seed)
        kernel = klv.initializers.PerGate(kernel, UNITS) if per_gate else kernel
        refused = klv.get_variant(name).cell_class.not_taken
        recurrent = {} if "recurrent_initializer" in refused else {"recurrent_initializer": kernel}
        layer = klv.get_variant(name)(UNITS, **options, kernel_initializer=kernel, **recurrent)
        layer.build((None, None, UNITS))
        first = [w.numpy().ravel()[0] for w in layer.weights if np.any(w.numpy() % 1)]
        assert len(set(first)) == len(first)
