"""The eight variants of LSTM: A Search Space Odyssey."""

import numpy as np

from equations.base import K, affine, peephole_vectors, sigmoid


def nig_lstm(x, states, w, *, peepholes=("f", "o")):
    """Greff et al. 2015, LSTM: A Search Space Odyssey, arXiv 1503.04069 (variant NIG: i = 1).

    f = s(A_f + p_f * c_{t-1});  g = tanh(A_g)
    c_t = f * c_{t-1} + g
    o = s(A_o + p_o * c_t)
    h_t = o * tanh(c_t)

    Columns: f, g, o.
    """
    h, c = states
    a_f, a_g, a_o = affine(x, h, w, 3)
    p = peephole_vectors(w, peepholes, ("f", "o"))
    f = sigmoid(a_f + p["f"] * c)
    g = np.tanh(a_g)
    c_new = f * c + g
    o = sigmoid(a_o + p["o"] * c_new)
    h_new = o * np.tanh(c_new)
    return (h_new, c_new), {"f": f, "g": g, "o": o}


def nfg_lstm(x, states, w, *, peepholes=("i", "o")):
    """Greff et al. 2015, LSTM: A Search Space Odyssey, arXiv 1503.04069 (variant NFG: f = 1).

    i = s(A_i + p_i * c_{t-1});  g = tanh(A_g)
    c_t = c_{t-1} + i * g
    o = s(A_o + p_o * c_t)
    h_t = o * tanh(c_t)

    Columns: i, g, o.
    """
    h, c = states
    a_i, a_g, a_o = affine(x, h, w, 3)
    p = peephole_vectors(w, peepholes, ("i", "o"))
    i = sigmoid(a_i + p["i"] * c)
    g = np.tanh(a_g)
    c_new = c + i * g
    o = sigmoid(a_o + p["o"] * c_new)
    h_new = o * np.tanh(c_new)
    return (h_new, c_new), {"i": i, "g": g, "o": o}


def nog_lstm(x, states, w, *, peepholes=("i", "f")):
    """Greff et al. 2015, LSTM: A Search Space Odyssey, arXiv 1503.04069 (variant NOG: o = 1).

    i = s(A_i + p_i * c_{t-1});  f = s(A_f + p_f * c_{t-1});  g = tanh(A_g)
    c_t = f * c_{t-1} + i * g
    h_t = tanh(c_t)

    Columns: i, f, g.
    """
    h, c = states
    a_i, a_f, a_g = affine(x, h, w, 3)
    p = peephole_vectors(w, peepholes, ("i", "f"))
    i = sigmoid(a_i + p["i"] * c)
    f = sigmoid(a_f + p["f"] * c)
    g = np.tanh(a_g)
    c_new = f * c + i * g
    h_new = np.tanh(c_new)
    return (h_new, c_new), {"i": i, "f": f, "g": g}


def niaf_lstm(x, states, w, *, peepholes=("i", "f", "o")):
    """Greff et al. 2015, LSTM: A Search Space Odyssey, arXiv 1503.04069 (variant NIAF: g linear).

    i = s(A_i + p_i * c_{t-1});  f = s(A_f + p_f * c_{t-1});  g = A_g
    c_t = f * c_{t-1} + i * g
    o = s(A_o + p_o * c_t)
    h_t = o * tanh(c_t)

    Columns: i, f, g, o.
    """
    h, c = states
    a_i, a_f, a_g, a_o = affine(x, h, w, 4)
    p = peephole_vectors(w, peepholes, ("i", "f", "o"))
    i = sigmoid(a_i + p["i"] * c)
    f = sigmoid(a_f + p["f"] * c)
    g = a_g
    c_new = f * c + i * g
    o = sigmoid(a_o + p["o"] * c_new)
    h_new = o * np.tanh(c_new)
    return (h_new, c_new), {"i": i, "f": f, "g": g, "o": o}


def noaf_lstm(x, states, w, *, peepholes=("i", "f", "o")):
    """Greff et al. 2015, LSTM: A Search Space Odyssey, arXiv 1503.04069 (variant NOAF: h = o * c).

    i = s(A_i + p_i * c_{t-1});  f = s(A_f + p_f * c_{t-1});  g = tanh(A_g)
    c_t = f * c_{t-1} + i * g
    o = s(A_o + p_o * c_t)
    h_t = o * c_t

    Columns: i, f, g, o.
    """
    h, c = states
    a_i, a_f, a_g, a_o = affine(x, h, w, 4)
    p = peephole_vectors(w, peepholes, ("i", "f", "o"))
    i = sigmoid(a_i + p["i"] * c)
    f = sigmoid(a_f + p["f"] * c)
    g = np.tanh(a_g)
    c_new = f * c + i * g
    o = sigmoid(a_o + p["o"] * c_new)
    h_new = o * c_new
    return (h_new, c_new), {"i": i, "f": f, "g": g, "o": o}


def np_lstm(x, states, w):
    """Greff et al. 2015, LSTM: A Search Space Odyssey, arXiv 1503.04069 (variant NP: no peepholes).

    i = s(A_i);  f = s(A_f);  g = tanh(A_g);  o = s(A_o)
    c_t = f * c_{t-1} + i * g
    h_t = o * tanh(c_t)

    Columns: i, f, g, o.
    """
    h, c = states
    a_i, a_f, a_g, a_o = affine(x, h, w, 4)
    i = sigmoid(a_i)
    f = sigmoid(a_f)
    g = np.tanh(a_g)
    o = sigmoid(a_o)
    c_new = f * c + i * g
    h_new = o * np.tanh(c_new)
    return (h_new, c_new), {"i": i, "f": f, "g": g, "o": o}


def cifg_lstm(x, states, w, *, peepholes=("i", "o")):
    """Greff et al. 2015, LSTM: A Search Space Odyssey, arXiv 1503.04069 (variant CIFG: f = 1 - i).

    i = s(A_i + p_i * c_{t-1});  f = 1 - i;  g = tanh(A_g)
    c_t = f * c_{t-1} + i * g
    o = s(A_o + p_o * c_t)
    h_t = o * tanh(c_t)

    Columns: i, g, o.
    """
    h, c = states
    a_i, a_g, a_o = affine(x, h, w, 3)
    p = peephole_vectors(w, peepholes, ("i", "o"))
    i = sigmoid(a_i + p["i"] * c)
    f = 1.0 - i
    g = np.tanh(a_g)
    c_new = f * c + i * g
    o = sigmoid(a_o + p["o"] * c_new)
    h_new = o * np.tanh(c_new)
    return (h_new, c_new), {"i": i, "f": f, "g": g, "o": o}


def fgr_lstm(x, states, w, *, peepholes=("i", "f", "o")):
    """Greff et al. 2015, LSTM: A Search Space Odyssey, arXiv 1503.04069 (variant FGR).

    i_t = s(A_i + p_i * c_{t-1} + i_{t-1} R_ii + f_{t-1} R_fi + o_{t-1} R_oi)
    f_t = s(A_f + p_f * c_{t-1} + i_{t-1} R_if + f_{t-1} R_ff + o_{t-1} R_of);  g = tanh(A_g)
    c_t = f_t * c_{t-1} + i_t * g
    o_t = s(A_o + p_o * c_t + i_{t-1} R_io + f_{t-1} R_fo + o_{t-1} R_oo)
    h_t = o_t * tanh(c_t)

    R_ab leads from gate a to gate b; it is block row a and block column b, each in the order
    i, f, o, of `gate_kernel` (3n, 3n). The output gate looks at the new c_t (the paper may print
    c_{t-1} in this variant). States: h, c, i, f, o. Columns: i, f, g, o.
    """
    h, c, i_old, f_old, o_old = states
    a_i, a_f, a_g, a_o = affine(x, h, w, 4)
    p = peephole_vectors(w, peepholes, ("i", "f", "o"))
    old_gates = np.concatenate([i_old, f_old, o_old], axis=-1)
    r_i, r_f, r_o = np.split(old_gates @ w["gate_kernel"], 3, axis=-1)
    i = sigmoid(a_i + p["i"] * c + r_i)
    f = sigmoid(a_f + p["f"] * c + r_f)
    g = np.tanh(a_g)
    c_new = f * c + i * g
    o = sigmoid(a_o + p["o"] * c_new + r_o)
    h_new = o * np.tanh(c_new)
    return (h_new, c_new, i, f, o), {"i": i, "f": f, "g": g, "o": o}


EQUATIONS = {
    "NIGLSTM": nig_lstm,
    "NFGLSTM": nfg_lstm,
    "NOGLSTM": nog_lstm,
    "NIAFLSTM": niaf_lstm,
    "NOAFLSTM": noaf_lstm,
    "NPLSTM": np_lstm,
    "CIFGLSTM": cifg_lstm,
    "FGRLSTM": fgr_lstm,
}

NUMBER_OF_STATES = {
    "NIGLSTM": 2,
    "NFGLSTM": 2,
    "NOGLSTM": 2,
    "NIAFLSTM": 2,
    "NOAFLSTM": 2,
    "NPLSTM": 2,
    "CIFGLSTM": 2,
    "FGRLSTM": 5,
}

# Number of weights, biases included, for m inputs and n units.
PARAMETERS = {
    "NIGLSTM": lambda m, n, peepholes=("f", "o"): K(3, m, n) + n * len(peepholes),
    "NFGLSTM": lambda m, n, peepholes=("i", "o"): K(3, m, n) + n * len(peepholes),
    "NOGLSTM": lambda m, n, peepholes=("i", "f"): K(3, m, n) + n * len(peepholes),
    "NIAFLSTM": lambda m, n, peepholes=("i", "f", "o"): K(4, m, n) + n * len(peepholes),
    "NOAFLSTM": lambda m, n, peepholes=("i", "f", "o"): K(4, m, n) + n * len(peepholes),
    "NPLSTM": lambda m, n: K(4, m, n),
    "CIFGLSTM": lambda m, n, peepholes=("i", "o"): K(3, m, n) + n * len(peepholes),
    "FGRLSTM": lambda m, n, peepholes=("i", "f", "o"): K(4, m, n) + n * len(peepholes) + 9 * n * n,
}
