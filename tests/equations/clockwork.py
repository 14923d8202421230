"""The networks whose groups of units are computed at different periods."""

import numpy as np

from equations.base import ACTIVATIONS, sigmoid


def group_sizes(n, periods, group_units):
    """The number of units of each group: as equal as they can be, where they are not given."""
    if list(periods) != sorted(periods):
        raise ValueError(f"periods must be ascending, got {periods}")
    if group_units is not None:
        if len(group_units) != len(periods) or sum(group_units) != n:
            raise ValueError(f"group_units must be {len(periods)} numbers of sum {n}")
        return list(group_units)
    each, rest = divmod(n, len(periods))
    return [each + 1 if j < rest else each for j in range(len(periods))]


def group_sources(periods, sizes):
    """For each group the first of the units that it sees: those of its period and longer ones."""
    return [sum(size for T, size in zip(periods, sizes, strict=True) if T < own) for own in periods]


def due_units(phase, periods, sizes, offset):
    """True for the units, (batch, n), whose group is computed in this step."""
    due = np.mod(phase + offset, np.array(periods)) == 0
    return np.repeat(due, sizes, axis=1)


def next_phase(phase, periods):
    return np.mod(phase + 1, np.array(periods))


def recurrent_terms(h, w, periods, sizes):
    """h[:, s_j:] times recurrent_kernel_j, for each group j."""
    starts = group_sources(periods, sizes)
    return [h[:, s:] @ w[f"recurrent_kernel_{j}"] for j, s in enumerate(starts, start=1)]


def clockwork_rnn(
    x, states, w, *, periods=(1, 2, 4, 8), group_units=None, offset=0, activation="tanh"
):
    """Koutnik et al. 2014, A Clockwork RNN, ICML, arXiv 1402.3511.

    Of group j with period T_j:
    g_j = act(x W_j + sum over the groups k with T_k >= T_j of h_k U_kj + b_j)
    h_t = g_j in the steps t where (t + offset) mod T_j = 0, otherwise h_{t-1}

    Groups are contiguous blocks of units in the order of `periods`, which ascend. The blocks U_kj
    of group j, one above the other, are recurrent_kernel_j, j = 1 .. G. t counts from 0.
    States: h and the phase (batch, G), which is t mod T_j.
    """
    h, phase = states
    sizes = group_sizes(h.shape[-1], periods, group_units)
    recurrent = np.concatenate(recurrent_terms(h, w, periods, sizes), axis=-1)
    g = ACTIVATIONS[activation](x @ w["kernel"] + recurrent + w.get("bias", 0.0))
    h_new = np.where(due_units(phase, periods, sizes, offset), g, h)
    return (h_new, next_phase(phase, periods)), {"g": g}


def clockwork_lstm(x, states, w, *, periods=(1, 2, 4, 8), group_units=None, offset=0):
    """The LSTM with the groups of Koutnik et al. 2014, A Clockwork RNN, ICML, arXiv 1402.3511.

    Of group j with period T_j and each gate k:
    a_k = x W_k + sum over the groups l with T_l >= T_j of h_l U_klj + b_k
    i = s(a_i);  f = s(a_f);  g = tanh(a_g);  o = s(a_o)
    c_t = f * c_{t-1} + i * g and h_t = o * tanh(c_t) in the steps t where
    (t + offset) mod T_j = 0, otherwise c_{t-1} and h_{t-1}

    Columns: kernel and bias i, f, g, o of all n units each; recurrent_kernel_j i, f, g, o of the
    units of group j each. States: h, c and the phase (batch, G), which is t mod T_j.
    """
    h, c, phase = states
    sizes = group_sizes(h.shape[-1], periods, group_units)
    groups = [np.split(r, 4, axis=-1) for r in recurrent_terms(h, w, periods, sizes)]
    r_i, r_f, r_g, r_o = (np.concatenate(gate, axis=-1) for gate in zip(*groups, strict=True))
    a_i, a_f, a_g, a_o = np.split(x @ w["kernel"] + w.get("bias", 0.0), 4, axis=-1)
    i = sigmoid(a_i + r_i)
    f = sigmoid(a_f + r_f)
    g = np.tanh(a_g + r_g)
    o = sigmoid(a_o + r_o)
    due = due_units(phase, periods, sizes, offset)
    c_new = f * c + i * g
    h_new = o * np.tanh(c_new)
    new_states = (np.where(due, h_new, h), np.where(due, c_new, c), next_phase(phase, periods))
    return new_states, {"i": i, "f": f, "g": g, "o": o}


def _parameters(blocks, m, n, periods, group_units):
    sizes = group_sizes(n, periods, group_units)
    starts = group_sources(periods, sizes)
    recurrent = sum((n - s) * size for s, size in zip(starts, sizes, strict=True))
    return blocks * (m * n + recurrent + n)


def _rnn_parameters(m, n, periods=(1, 2, 4, 8), group_units=None, offset=0, activation="tanh"):
    return _parameters(1, m, n, periods, group_units)


def _lstm_parameters(m, n, periods=(1, 2, 4, 8), group_units=None, offset=0):
    return _parameters(4, m, n, periods, group_units)


EQUATIONS = {"ClockworkRNN": clockwork_rnn, "ClockworkLSTM": clockwork_lstm}

STATE_SIZES = {
    "ClockworkRNN": lambda m, n, periods=(1, 2, 4, 8), **options: [n, len(periods)],
    "ClockworkLSTM": lambda m, n, periods=(1, 2, 4, 8), **options: [n, n, len(periods)],
}

# Number of weights, biases included, for m inputs and n units.
PARAMETERS = {"ClockworkRNN": _rnn_parameters, "ClockworkLSTM": _lstm_parameters}
