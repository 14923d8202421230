"""The LSTM with layer normalisation."""

import numpy as np

from equations.base import K, sigmoid


def layer_norm(v, gamma, beta, epsilon):
    """(v - mean) / sqrt(variance + epsilon) * gamma + beta over the columns, biased variance."""
    mean = np.mean(v, axis=-1, keepdims=True)
    variance = np.mean((v - mean) ** 2, axis=-1, keepdims=True)
    return (v - mean) / np.sqrt(variance + epsilon) * gamma + beta


def layer_norm_lstm(x, states, w, *, layer_norm_epsilon=1e-5):
    """Ba, Kiros & Hinton 2016, Layer Normalization, arXiv 1607.06450 (supplement).

    (a_i, a_f, a_g, a_o) = LN(x W; gamma_1, beta_1) + LN(h U; gamma_2, beta_2) + b
    i = s(a_i);  f = s(a_f);  g = tanh(a_g);  o = s(a_o)
    c_t = f * c_{t-1} + i * g
    h_t = o * tanh(LN(c_t; gamma_3, beta_3))

    The first two LN go over all 4 n columns at once. c_t is carried as it is, not normalised.
    Weights of LN: kernel_norm_*, recurrent_norm_*, state_norm_*. Without a bias there is no beta.
    Columns: i, f, g, o.
    """
    h, c = states

    def LN(v, norm):
        beta = w.get(f"{norm}_norm_beta", 0.0)
        return layer_norm(v, w[f"{norm}_norm_gamma"], beta, layer_norm_epsilon)

    a = LN(x @ w["kernel"], "kernel") + LN(h @ w["recurrent_kernel"], "recurrent")
    a_i, a_f, a_g, a_o = np.split(a + w.get("bias", 0.0), 4, axis=-1)
    i = sigmoid(a_i)
    f = sigmoid(a_f)
    g = np.tanh(a_g)
    o = sigmoid(a_o)
    c_new = f * c + i * g
    h_new = o * np.tanh(LN(c_new, "state"))
    return (h_new, c_new), {"i": i, "f": f, "g": g, "o": o}


EQUATIONS = {"LayerNormLSTM": layer_norm_lstm}

NUMBER_OF_STATES = {"LayerNormLSTM": 2}

# Number of weights, biases included, for m inputs and n units.
PARAMETERS = {"LayerNormLSTM": lambda m, n, layer_norm_epsilon=1e-5: K(4, m, n) + 18 * n}
