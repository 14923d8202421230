"""The LSTM and its early forms."""

import numpy as np

from equations.base import K, affine, peephole_vectors, sigmoid


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


EQUATIONS = {
    "LSTM1997": lstm1997,
    "LSTM": lstm,
    "PeepholeLSTM": peephole_lstm,
    "CoupledLSTM": coupled_lstm,
}

NUMBER_OF_STATES = {
    "LSTM1997": 2,
    "LSTM": 2,
    "PeepholeLSTM": 2,
    "CoupledLSTM": 2,
}

# Number of weights, biases included, for m inputs and n units.
PARAMETERS = {
    "LSTM1997": lambda m, n, squashing="tanh": K(3, m, n),
    "LSTM": lambda m, n: K(4, m, n),
    "PeepholeLSTM": lambda m, n, peepholes=("i", "f", "o"): K(4, m, n) + n * len(peepholes),
    "CoupledLSTM": lambda m, n, peepholes=(), couple="f=1-i": K(3, m, n) + n * len(peepholes),
}
