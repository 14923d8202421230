"""The GRU and its mutations."""

import numpy as np

from equations.base import K, sigmoid


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
    "GRU": gru,
    "MUT1": mut1,
    "MUT2": mut2,
    "MUT3": mut3,
}

NUMBER_OF_STATES = {
    "GRU": 1,
    "MUT1": 1,
    "MUT2": 1,
    "MUT3": 1,
}

# Number of weights, biases included, for m inputs and n units.
PARAMETERS = {
    "GRU": lambda m, n, reset_after=True: 3 * n * (m + n) + 6 * n if reset_after else K(3, m, n),
    "MUT1": lambda m, n: 2 * m * n + 2 * n * n + 3 * n + (m * n if m != n else 0),
    "MUT2": lambda m, n: 2 * m * n + 3 * n * n + 3 * n + (m * n if m != n else 0),
    "MUT3": lambda m, n: 3 * m * n + 3 * n * n + 3 * n,
}
