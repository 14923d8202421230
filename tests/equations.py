"""Reference equations of the recurrent cells, in float64 NumPy, one function for each paper.

Each cell function computes one time step: `x` is (batch, m), `states` a tuple of (batch, n)
arrays (h, then c), `w` a dict of weights in Keras layout. It returns the new states and the
activations of the gates by name. In the docstrings s() is the logistic sigmoid, * is
elementwise, and A_k = x W_k + h U_k + b_k is the affine block of gate k, with h the old output.
"""

import numpy as np


def sigmoid(v):
    e = np.exp(-np.abs(v))
    return np.where(v >= 0, 1.0, e) / (1.0 + e)


ACTIVATIONS = {
    "tanh": np.tanh,
    "sigmoid": sigmoid,
    "relu": lambda v: np.maximum(v, 0.0),
    "linear": lambda v: v,
}


def affine(x, h, w, count):
    """The `count` blocks A_k = x W_k + h U_k + b_k, in column order."""
    a = x @ w["kernel"] + h @ w["recurrent_kernel"] + w.get("bias", 0.0)
    return np.split(a, count, axis=-1)


def peephole_vectors(w, peepholes, allowed):
    """The vectors p_k by gate name, zero where a gate has none; rows are in the order i, f, o."""
    if not set(peepholes) <= set(allowed):
        raise ValueError(f"peepholes must be among {allowed}, got {peepholes}")
    p = {"i": 0.0, "f": 0.0, "o": 0.0}
    present = [k for k in ("i", "f", "o") if k in peepholes]
    for row, k in enumerate(present):
        p[k] = w["peephole_kernel"][row]
    return p


def elman(x, states, w, *, activation="tanh"):
    """Elman 1990, Finding structure in time, Cognitive Science 14.

    h_t = act(x W + h U + b)

    Elman used the logistic function for act; the usual choice now is tanh.
    """
    (h,) = states
    act = ACTIVATIONS[activation]
    (a,) = affine(x, h, w, 1)
    h_new = act(a)
    return (h_new,), {}


def lstm1997(x, states, w, *, squashing="tanh"):
    """Hochreiter & Schmidhuber 1997, Long Short-Term Memory, Neural Computation 9(8).

    i = s(A_i);  g = G(A_g);  o = s(A_o)
    c_t = c_{t-1} + i * g
    h_t = o * H(c_t)

    squashing="tanh": G = H = tanh; "original": G(v) = 4 s(v) - 2 and H(v) = 2 s(v) - 1.
    Columns: i, g, o.
    """
    h, c = states
    if squashing == "tanh":
        G = H = np.tanh
    elif squashing == "original":

        def G(v):
            return 4.0 * sigmoid(v) - 2.0

        def H(v):
            return 2.0 * sigmoid(v) - 1.0

    else:
        raise ValueError(f"unknown squashing {squashing!r}")
    a_i, a_g, a_o = affine(x, h, w, 3)
    i = sigmoid(a_i)
    g = G(a_g)
    o = sigmoid(a_o)
    c_new = c + i * g
    h_new = o * H(c_new)
    return (h_new, c_new), {"i": i, "g": g, "o": o}


def lstm(x, states, w):
    """Gers, Schmidhuber & Cummins 2000, Learning to Forget, Neural Computation 12(10).

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


def peephole_lstm(x, states, w, *, peepholes=("i", "f", "o")):
    """Gers & Schmidhuber 2000, Recurrent nets that time and count, IJCNN.

    i = s(A_i + p_i * c_{t-1});  f = s(A_f + p_f * c_{t-1});  g = tanh(A_g)
    c_t = f * c_{t-1} + i * g
    o = s(A_o + p_o * c_t)
    h_t = o * tanh(c_t)

    The output gate looks at the new c_t. A gate not in `peepholes` has no p. Columns: i, f, g, o.
    """
    h, c = states
    a_i, a_f, a_g, a_o = affine(x, h, w, 4)
    p = peephole_vectors(w, peepholes, ("i", "f", "o"))
    i = sigmoid(a_i + p["i"] * c)
    f = sigmoid(a_f + p["f"] * c)
    g = np.tanh(a_g)
    c_new = f * c + i * g
    o = sigmoid(a_o + p["o"] * c_new)
    h_new = o * np.tanh(c_new)
    return (h_new, c_new), {"i": i, "f": f, "g": g, "o": o}


def coupled_lstm(x, states, w, *, peepholes=(), couple="f=1-i"):
    """Greff et al. 2015, LSTM: A Search Space Odyssey, arXiv 1503.04069 (variant CIFG).

    couple="f=1-i":  i = s(A_i + p_i * c_{t-1});  f = 1 - i      columns i, g, o
    couple="i=1-f":  f = s(A_f + p_f * c_{t-1});  i = 1 - f      columns f, g, o
    g = tanh(A_g)
    c_t = f * c_{t-1} + i * g
    o = s(A_o + p_o * c_t)
    h_t = o * tanh(c_t)

    A gate not in `peepholes` has no p; the gate that is 1 minus the other cannot have one.
    """
    h, c = states
    if couple == "f=1-i":
        a_i, a_g, a_o = affine(x, h, w, 3)
        p = peephole_vectors(w, peepholes, ("i", "o"))
        i = sigmoid(a_i + p["i"] * c)
        f = 1.0 - i
    elif couple == "i=1-f":
        a_f, a_g, a_o = affine(x, h, w, 3)
        p = peephole_vectors(w, peepholes, ("f", "o"))
        f = sigmoid(a_f + p["f"] * c)
        i = 1.0 - f
    else:
        raise ValueError(f"unknown couple {couple!r}")
    g = np.tanh(a_g)
    c_new = f * c + i * g
    o = sigmoid(a_o + p["o"] * c_new)
    h_new = o * np.tanh(c_new)
    return (h_new, c_new), {"i": i, "f": f, "g": g, "o": o}


def gru(x, states, w, *, reset_after=True):
    """Cho et al. 2014, Learning phrase representations using RNN encoder-decoder, arXiv 1406.1078.

    z = s(A_z);  r = s(A_r)
    reset_after=False (v3):         g = tanh(x W_g + (r * h) U_g + b_g)
    reset_after=True (v1, cuDNN):   g = tanh(x W_g + b_g + r * (h U_g + br_g))
    h_t = z * h + (1 - z) * g

    z keeps the old state. With reset_after the bias has a row for the input side (b) and one for
    the recurrent side (br), which z and r add as well. Columns: z, r, g.
    """
    (h,) = states
    n = h.shape[-1]
    W_z, W_r, W_g = np.split(w["kernel"], 3, axis=1)
    U_z, U_r, U_g = np.split(w["recurrent_kernel"], 3, axis=1)
    if reset_after:
        bias, recurrent_bias = w.get("bias", np.zeros((2, 3 * n)))
    else:
        bias, recurrent_bias = w.get("bias", np.zeros(3 * n)), np.zeros(3 * n)
    b_z, b_r, b_g = np.split(bias, 3)
    br_z, br_r, br_g = np.split(recurrent_bias, 3)
    z = sigmoid(x @ W_z + h @ U_z + b_z + br_z)
    r = sigmoid(x @ W_r + h @ U_r + b_r + br_r)
    if reset_after:
        g = np.tanh(x @ W_g + b_g + r * (h @ U_g + br_g))
    else:
        g = np.tanh(x @ W_g + (r * h) @ U_g + b_g)
    h_new = z * h + (1.0 - z) * g
    return (h_new,), {"z": z, "r": r, "g": g}


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


def mut1(x, states, w):
    """Jozefowicz et al. 2015, An Empirical Exploration of Recurrent Network Architectures, ICML.

    z = s(x W_z + b_z)
    r = s(x W_r + h U_r + b_r)
    g = tanh((r * h) U_g + tanh(v) + b_g)
    h_t = g * z + h * (1 - z)

    v is the raw x where m = n, otherwise x P with P the weight `input_projection` (m, n). z writes.
    Columns: kernel z, r; recurrent_kernel r, g; bias z, r, g.
    """
    (h,) = states
    n = h.shape[-1]
    W_z, W_r = np.split(w["kernel"], 2, axis=1)
    U_r, U_g = np.split(w["recurrent_kernel"], 2, axis=1)
    b_z, b_r, b_g = np.split(w.get("bias", np.zeros(3 * n)), 3)
    v = x if x.shape[-1] == n else x @ w["input_projection"]
    z = sigmoid(x @ W_z + b_z)
    r = sigmoid(x @ W_r + h @ U_r + b_r)
    g = np.tanh((r * h) @ U_g + np.tanh(v) + b_g)
    h_new = g * z + h * (1.0 - z)
    return (h_new,), {"z": z, "r": r, "g": g}


def mut2(x, states, w):
    """Jozefowicz et al. 2015, An Empirical Exploration of Recurrent Network Architectures, ICML.

    z = s(x W_z + h U_z + b_z)
    r = s(v + h U_r + b_r)
    g = tanh((r * h) U_g + x W_g + b_g)
    h_t = g * z + h * (1 - z)

    v is the raw x where m = n, otherwise x P with P the weight `input_projection` (m, n). z writes.
    Columns: kernel z, g; recurrent_kernel z, r, g; bias z, r, g.
    """
    (h,) = states
    n = h.shape[-1]
    W_z, W_g = np.split(w["kernel"], 2, axis=1)
    U_z, U_r, U_g = np.split(w["recurrent_kernel"], 3, axis=1)
    b_z, b_r, b_g = np.split(w.get("bias", np.zeros(3 * n)), 3)
    v = x if x.shape[-1] == n else x @ w["input_projection"]
    z = sigmoid(x @ W_z + h @ U_z + b_z)
    r = sigmoid(v + h @ U_r + b_r)
    g = np.tanh((r * h) @ U_g + x @ W_g + b_g)
    h_new = g * z + h * (1.0 - z)
    return (h_new,), {"z": z, "r": r, "g": g}


def mut3(x, states, w):
    """Jozefowicz et al. 2015, An Empirical Exploration of Recurrent Network Architectures, ICML.

    z = s(x W_z + tanh(h) U_z + b_z)
    r = s(x W_r + h U_r + b_r)
    g = tanh((r * h) U_g + x W_g + b_g)
    h_t = g * z + h * (1 - z)

    Only z sees tanh(h) in place of h. z writes. Columns: z, r, g.
    """
    (h,) = states
    n = h.shape[-1]
    W_z, W_r, W_g = np.split(w["kernel"], 3, axis=1)
    U_z, U_r, U_g = np.split(w["recurrent_kernel"], 3, axis=1)
    b_z, b_r, b_g = np.split(w.get("bias", np.zeros(3 * n)), 3)
    z = sigmoid(x @ W_z + np.tanh(h) @ U_z + b_z)
    r = sigmoid(x @ W_r + h @ U_r + b_r)
    g = np.tanh((r * h) @ U_g + x @ W_g + b_g)
    h_new = g * z + h * (1.0 - z)
    return (h_new,), {"z": z, "r": r, "g": g}


EQUATIONS = {
    "Elman": elman,
    "LSTM1997": lstm1997,
    "LSTM": lstm,
    "PeepholeLSTM": peephole_lstm,
    "CoupledLSTM": coupled_lstm,
    "GRU": gru,
    "NIGLSTM": nig_lstm,
    "NFGLSTM": nfg_lstm,
    "NOGLSTM": nog_lstm,
    "NIAFLSTM": niaf_lstm,
    "NOAFLSTM": noaf_lstm,
    "NPLSTM": np_lstm,
    "CIFGLSTM": cifg_lstm,
    "FGRLSTM": fgr_lstm,
    "MUT1": mut1,
    "MUT2": mut2,
    "MUT3": mut3,
}

NUMBER_OF_STATES = {
    "Elman": 1,
    "LSTM1997": 2,
    "LSTM": 2,
    "PeepholeLSTM": 2,
    "CoupledLSTM": 2,
    "GRU": 1,
    "NIGLSTM": 2,
    "NFGLSTM": 2,
    "NOGLSTM": 2,
    "NIAFLSTM": 2,
    "NOAFLSTM": 2,
    "NPLSTM": 2,
    "CIFGLSTM": 2,
    "FGRLSTM": 5,
    "MUT1": 1,
    "MUT2": 1,
    "MUT3": 1,
}


def K(r, m, n):
    """Number of weights of r affine blocks."""
    return r * n * (m + n + 1)


# Number of weights, biases included, for m inputs and n units.
PARAMETERS = {
    "Elman": lambda m, n, activation="tanh": K(1, m, n),
    "LSTM1997": lambda m, n, squashing="tanh": K(3, m, n),
    "LSTM": lambda m, n: K(4, m, n),
    "PeepholeLSTM": lambda m, n, peepholes=("i", "f", "o"): K(4, m, n) + n * len(peepholes),
    "CoupledLSTM": lambda m, n, peepholes=(), couple="f=1-i": K(3, m, n) + n * len(peepholes),
    "GRU": lambda m, n, reset_after=True: 3 * n * (m + n) + 6 * n if reset_after else K(3, m, n),
    "NIGLSTM": lambda m, n, peepholes=("f", "o"): K(3, m, n) + n * len(peepholes),
    "NFGLSTM": lambda m, n, peepholes=("i", "o"): K(3, m, n) + n * len(peepholes),
    "NOGLSTM": lambda m, n, peepholes=("i", "f"): K(3, m, n) + n * len(peepholes),
    "NIAFLSTM": lambda m, n, peepholes=("i", "f", "o"): K(4, m, n) + n * len(peepholes),
    "NOAFLSTM": lambda m, n, peepholes=("i", "f", "o"): K(4, m, n) + n * len(peepholes),
    "NPLSTM": lambda m, n: K(4, m, n),
    "CIFGLSTM": lambda m, n, peepholes=("i", "o"): K(3, m, n) + n * len(peepholes),
    "FGRLSTM": lambda m, n, peepholes=("i", "f", "o"): K(4, m, n) + n * len(peepholes) + 9 * n * n,
    "MUT1": lambda m, n: 2 * m * n + 2 * n * n + 3 * n + (m * n if m != n else 0),
    "MUT2": lambda m, n: 2 * m * n + 3 * n * n + 3 * n + (m * n if m != n else 0),
    "MUT3": lambda m, n: 3 * m * n + 3 * n * n + 3 * n,
}


def run(
    name,
    x,
    w,
    states=None,
    mask=None,
    go_backwards=False,
    zero_output_for_mask=False,
    **options,
):
    """Run a cell over x (batch, time, m), with Keras's rules for masks.

    Returns the outputs (batch, time, n), the tuple of final states, and the tuple of the states
    after each step (batch, time, n), all sequences in processing order. `mask` is (batch, time),
    False where a step is masked: there the states keep their values and the output repeats the
    previous output (zeros before the first unmasked step), or is zero with zero_output_for_mask.
    """
    step = EQUATIONS[name]
    batch, time, _ = x.shape
    n = w["recurrent_kernel"].shape[0]
    if states is None:
        states = tuple(np.zeros((batch, n)) for _ in range(NUMBER_OF_STATES[name]))
    states = tuple(states)
    if mask is None:
        mask = np.ones((batch, time), dtype=bool)
    order = range(time - 1, -1, -1) if go_backwards else range(time)

    output = np.zeros((batch, n))
    outputs = []
    history = []
    for t in order:
        keep = np.asarray(mask[:, t], dtype=bool)[:, None]
        new_states, _ = step(x[:, t], states, w, **options)
        masked_output = np.zeros((batch, n)) if zero_output_for_mask else output
        output = np.where(keep, new_states[0], masked_output)
        states = tuple(
            np.where(keep, new, old) for new, old in zip(new_states, states, strict=True)
        )
        outputs.append(output)
        history.append(states)
    sequences = tuple(np.stack(s, axis=1) for s in zip(*history, strict=True))
    return np.stack(outputs, axis=1), states, sequences


def gradient(f, arrays, eps=1e-6):
    """Central finite differences of the scalar f(*arrays) with respect to each float64 array."""
    arrays = [np.array(a, dtype=np.float64) for a in arrays]
    gradients = []
    for a in arrays:
        g = np.zeros_like(a)
        for index in np.ndindex(a.shape):
            value = a[index]
            a[index] = value + eps
            above = f(*arrays)
            a[index] = value - eps
            below = f(*arrays)
            a[index] = value
            g[index] = (above - below) / (2.0 * eps)
        gradients.append(g)
    return gradients
