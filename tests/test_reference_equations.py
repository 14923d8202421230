"""The equations in tests/equations by themselves: closed forms, invariances, values by hand."""

import numpy as np
from cases import BATCH, FEATURES, MASK, TIME, UNITS, sequences
from equations import PARAMETERS, run
from equations.linear import min_gru
from equations.lstm import peephole_lstm
from equations.normalised import layer_norm_lstm
from equations.timed import openness, phase_of, phased_lstm
from equations.xlstm import log_sigmoid, matrix_lstm

HEADS = 2
LSTM = {"kernel": (FEATURES, 4 * UNITS), "recurrent_kernel": (UNITS, 4 * UNITS)}
LSTM["bias"] = (4 * UNITS,)
NORMALISED = LSTM | {
    f"{norm}_norm_{part}": (UNITS if norm == "state" else 4 * UNITS,)
    for norm in ("kernel", "recurrent", "state")
    for part in ("gamma", "beta")
}
PHASED = LSTM | {"peephole_kernel": (3, UNITS)}
PHASED |= dict.fromkeys(("period", "shift", "open_ratio"), (UNITS,))
MIN_GRU = {"kernel": (FEATURES, 2 * UNITS), "bias": (2 * UNITS,)}
MATRIX = {"kernel": (FEATURES, 4 * 6), "bias": (4 * 6,)}  # 6 units in two heads
MATRIX |= {"gate_kernel": (FEATURES, 2 * HEADS), "gate_bias": (2 * HEADS,)}

TIMES = np.cumsum(np.random.default_rng(7).uniform(0.1, 2.0, (BATCH, TIME)), axis=1)


def draw(shapes, seed=3):
    random = np.random.default_rng(seed)
    return {key: random.normal(size=shape) for key, shape in shapes.items()}


def states(*sizes):
    return tuple(draw({j: (BATCH, *size) for j, size in enumerate(sizes)}, 4).values())


def assert_same(actual, expected):
    for a, b in zip(actual, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-12)


def test_numbers_of_weights_are_those_of_the_weights():
    for name, shapes, units, options in [
        ("LayerNormLSTM", NORMALISED, UNITS, {}),
        ("MinGRU", MIN_GRU, UNITS, {}),
        ("PhasedLSTM", PHASED, UNITS, {}),
        ("MatrixLSTM", MATRIX, 6, {"heads": HEADS}),
    ]:
        count = sum(w.size for w in draw(shapes).values())
        assert PARAMETERS[name](FEATURES, units, **options) == count, name


class TestLayerNormLSTM:
    def test_the_scale_of_either_product_does_not_matter(self):
        x, start, w = sequences("float64")[:, 0], states((UNITS,), (UNITS,)), draw(NORMALISED)
        (h, c), gates = layer_norm_lstm(x, start, w, layer_norm_epsilon=0.0)
        scaled = w | {
            "kernel": 7.0 * w["kernel"],
            "recurrent_kernel": 0.1 * w["recurrent_kernel"] + np.ones((UNITS, 1)),
        }
        same, same_gates = layer_norm_lstm(x, start, scaled, layer_norm_epsilon=0.0)
        assert_same([*same, *same_gates.values()], [h, c, *gates.values()])
        one_gate = w["kernel"].copy()
        one_gate[:, :UNITS] *= 7.0  # the gates are normalised together
        (other, _), _ = layer_norm_lstm(x, start, w | {"kernel": one_gate})
        assert np.max(np.abs(other - h)) > 1e-2

    def test_the_memory_itself_is_not_normalised(self):
        """i = 0 and f = o = 1: c is kept, and [1, 3] is [-1, 1] in h, for a biased variance."""
        bias = np.repeat([-1000.0, 1000.0, 0.0, 1000.0], 2)
        ones, zeros = np.ones(8), np.zeros(8)
        w = {"kernel": np.zeros((1, 8)), "recurrent_kernel": np.zeros((2, 8)), "bias": bias}
        for norm in ("kernel", "recurrent"):
            w |= {f"{norm}_norm_gamma": ones, f"{norm}_norm_beta": zeros}
        w |= {"state_norm_gamma": np.array([1.0, 2.0]), "state_norm_beta": np.array([0.0, 0.5])}
        c = np.array([[1.0, 3.0]])
        for epsilon, size in [(1e-14, 1.0), (3.0, 0.5)]:
            new, _ = layer_norm_lstm(
                np.ones((1, 1)), (np.zeros((1, 2)), c), w, layer_norm_epsilon=epsilon
            )
            assert_same(new, [np.tanh([[-size, 2.0 * size + 0.5]]), c])


class TestMinGRU:
    def test_closed_form(self):
        """h_T = h_0 prod (1 - z) + sum over t of z_t g_t prod over the later steps (1 - z)."""
        x, (start,), w = sequences("float64"), states((UNITS,)), draw(MIN_GRU)
        for activation, act in [("linear", np.asarray), ("tanh", np.tanh)]:
            _, (final,), _ = run("MinGRU", x, w, (start,), MASK, activation=activation)
            a_z, a_g = np.split(x @ w["kernel"] + w["bias"], 2, axis=-1)
            z = np.where(MASK[..., None], 1.0 / (1.0 + np.exp(-a_z)), 0.0)
            later = np.cumprod((1.0 - z)[:, ::-1], axis=1)[:, ::-1]
            after = np.concatenate([later[:, 1:], np.ones((BATCH, 1, UNITS))], axis=1)
            assert_same([final], [start * later[:, 0] + np.sum(z * act(a_g) * after, axis=1)])

    def test_an_open_gate_writes(self):
        w = {"kernel": np.zeros((1, 2)), "bias": np.array([1000.0, 3.0])}
        (h,), _ = min_gru(np.zeros((1, 1)), (np.ones((1, 1)),), w)
        assert_same([h], [[[3.0]]])


class TestPhasedLSTM:
    def test_openness_by_hand(self):
        times = np.array([1.0, 2.0, 3.0, 4.0, 5.0, 0.0, 12.0])
        expected = [0.0, 0.5, 1.0, 0.5, 0.04, 0.09, 0.5]
        for sign in (1.0, -1.0):
            found = openness(phase_of(times, sign * 10.0, 1.0), sign * 0.4, 0.1)
            assert_same([found], [expected])

    def test_fully_open_it_is_the_peephole_lstm_and_closed_it_keeps_its_states(self):
        x, w = sequences("float64")[:, 0], draw(PHASED)
        h, c, _ = start = states((UNITS,), (UNITS,), (1,))
        w |= {"period": np.full(UNITS, 8.0), "shift": np.ones(UNITS)}
        w |= {"open_ratio": np.full(UNITS, 0.5)}
        lstm, _ = peephole_lstm(x, (h, c), w)
        new, gates = phased_lstm(x, start, w, times=np.full(BATCH, 3.0))
        assert_same(new, [*lstm, np.full((BATCH, 1), 4.0)])
        assert np.all(gates["k"] == 1.0)
        half, _ = phased_lstm(x, (h, c, np.full((BATCH, 1), 2.0)), w)
        middle = [(a + b) / 2 for a, b in zip(lstm, (h, c), strict=True)]
        assert_same(half, [*middle, np.full((BATCH, 1), 3.0)])
        kept, _ = phased_lstm(x, start, w, times=np.full((BATCH, 1), 7.0))
        assert_same(kept, [h, c, np.full((BATCH, 1), 8.0)])
        leaky, gates = phased_lstm(x, start, w, times=np.full(BATCH, 7.0), training=True)
        assert np.all(gates["k"] == 0.00075)
        assert_same(leaky[:2], [a + 0.00075 * (b - a) for a, b in zip((h, c), lstm, strict=True)])

    def test_steps_are_one_apart_without_times(self):
        x, w = sequences("float64"), draw(PHASED)
        h, c, _ = states((UNITS,), (UNITS,), (1,))
        counted, last, _ = run("PhasedLSTM", x, w, (h, c, np.full((BATCH, 1), 3.0)), MASK)
        # A masked step takes no time, and what times tell of it has no effect.
        times = np.where(MASK, 3.0 + np.cumsum(MASK, axis=1) - MASK, np.inf)
        told, final, _ = run("PhasedLSTM", x, w, (h, c, last[2]), MASK, side={"times": times})
        assert_same([told, *final[:2]], [counted, *last[:2]])
        assert_same([last[2][:, 0]], [3.0 + MASK.sum(axis=1)])

    def test_backwards_the_gaps_stay_and_masked_times_have_no_effect(self):
        x, w, start = sequences("float64"), draw(PHASED), states((UNITS,), (UNITS,), (1,))
        times = np.where(MASK, TIMES, np.inf)
        outputs, finals, _ = run(
            "PhasedLSTM", x, w, start, MASK, go_backwards=True, side={"times": times}
        )
        for row in np.flatnonzero(MASK.any(axis=1)):
            real = np.flatnonzero(MASK[row])[::-1]
            left = TIMES[row, real[0]] - TIMES[row, real]
            assert left[0] == 0.0 and np.all(np.diff(left) > 0.0)
            short, ends, _ = run(
                "PhasedLSTM",
                x[row : row + 1, real],
                w,
                tuple(s[row : row + 1] for s in start),
                side={"times": left[None]},
            )
            assert_same([outputs[row, TIME - 1 - real]], [short[0]])
            assert_same([s[row : row + 1] for s in finals], ends)
        assert not MASK[2].any()
        assert_same([s[2] for s in finals], [s[2] for s in start])


class TestMatrixLSTM:
    SIZES = ((HEADS, 3, 3), (HEADS, 3), (HEADS,))

    def test_a_constant_in_the_stabiliser_changes_no_output(self):
        x, (C, n, m), w = sequences("float64")[:, 0], states(*self.SIZES), draw(MATRIX)
        (h, *_), _ = matrix_lstm(x, (C, n, m), w, heads=HEADS)
        add = np.array([3.0, -20.0])
        moved = (C * np.exp(-add)[:, None, None], n * np.exp(-add)[:, None], m + add)
        (same, *_), gates = matrix_lstm(x, moved, w, heads=HEADS)
        assert_same([same], [h])
        assert all(np.all((gate >= 0.0) & (gate <= 1.0)) for gate in gates.values())

    def test_closed_form(self):
        """h_t = o * sum over s of D_ts (q_t . k_s) v_s / max(|sum over s of D_ts (q_t . k_s)|, 1),
        with D_ts = exp(i~_s) times the f of the later steps, as in attention."""
        x, w = sequences("float64"), draw(MATRIX)
        w["gate_bias"][:HEADS] -= 2.0  # so that both the sum and 1 are the larger one
        found, finals, _ = run("MatrixLSTM", x, w, units=6, heads=HEADS)
        bias = np.split(w["bias"], 4)
        products = np.split(x @ w["kernel"], 4, axis=-1)
        products[1] = products[1] / np.sqrt(3.0)
        q, k, v, o = (a + b for a, b in zip(products, bias, strict=True))
        gates = x @ w["gate_kernel"] + w["gate_bias"]
        larger = []
        for head in range(HEADS):
            columns = slice(3 * head, 3 * head + 3)
            kept = np.cumsum(log_sigmoid(gates[..., HEADS + head]), axis=1)
            weight = np.exp(gates[:, None, :, head] + kept[:, :, None] - kept[:, None])
            scores = np.tril(weight) * (q[..., columns] @ k[..., columns].swapaxes(1, 2))
            size = np.abs(scores.sum(axis=-1, keepdims=True))
            larger.append(size > 1.0)
            read = scores @ v[..., columns] / np.maximum(size, 1.0)
            expected = read / (1.0 + np.exp(-o[..., columns]))
            np.testing.assert_allclose(found[..., columns], expected, rtol=1e-9, atol=1e-12)
        assert 0.2 < np.mean(larger) < 0.8
        assert [s.shape[1:] for s in finals] == list(self.SIZES)

    def test_gates_far_open_overflow_nowhere_and_masked_states_keep(self):
        x, start, w = sequences("float64"), states(*self.SIZES), draw(MATRIX)
        w["gate_bias"] = np.array([900.0, -500.0, 900.0, -900.0])
        outputs, finals, history = run("MatrixLSTM", x, w, start, MASK, heads=HEADS)
        assert np.all(np.isfinite(outputs)) and all(np.all(np.isfinite(s)) for s in finals)
        assert_same([s[2] for s in finals], [s[2] for s in start])
        assert_same([s[1, 1] for s in history], [s[1, 0] for s in history])
        assert not outputs[2].any() and outputs.shape == (BATCH, TIME, 6)
