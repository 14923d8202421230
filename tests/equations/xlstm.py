"""The LSTM whose memory is a matrix."""

import numpy as np

from equations.base import sigmoid


def log_sigmoid(v):
    return -np.logaddexp(0.0, -v)


def matrix_lstm(x, states, w, *, heads=1):
    """Beck et al. 2024, xLSTM: Extended Long Short-Term Memory, arXiv 2405.04517 (mLSTM).

    q = x W_q + b_q;  k = x W_k / sqrt(d) + b_k;  v = x W_v + b_v;  o = s(x W_o + b_o)
    Of each head, of d = n / heads units, with scalars i~ = x w_i + b_i and f~ = x w_f + b_f:
    m_t = max(log s(f~) + m_{t-1}, i~)
    i = exp(i~ - m_t);  f = exp(log s(f~) + m_{t-1} - m_t)
    C_t = f C_{t-1} + i v k^T
    n_t = f n_{t-1} + i k
    h_t = o * (C_t q) / max(|n_t . q|, exp(-m_t))

    The memory of the paper is C exp(m), its normaliser n exp(m), the floor of the latter 1.
    States: C (batch, heads, d, d), n (batch, heads, d), m (batch, heads); before them the output
    h (batch, n), which is no state. Head j has the units j d to (j + 1) d of each of q, k, v, o.
    Columns: kernel and bias q, k, v, o; gate_kernel and gate_bias i, f, of one column a head each.
    """
    C, n, m = states
    batch, d = x.shape[0], n.shape[-1]
    W_q, W_k, W_v, W_o = np.split(w["kernel"], 4, axis=1)
    b_q, b_k, b_v, b_o = np.split(w.get("bias", np.zeros(4 * heads * d)), 4)

    def of_heads(values):
        return values.reshape(batch, heads, d)

    q = of_heads(x @ W_q + b_q)
    k = of_heads(x @ W_k / np.sqrt(d) + b_k)
    v = of_heads(x @ W_v + b_v)
    o = sigmoid(x @ W_o + b_o)
    a_i, a_f = np.split(x @ w["gate_kernel"] + w.get("gate_bias", 0.0), 2, axis=-1)
    kept = log_sigmoid(a_f) + m
    m_new = np.maximum(kept, a_i)
    i = np.exp(a_i - m_new)
    f = np.exp(kept - m_new)
    C_new = f[..., None, None] * C + i[..., None, None] * np.einsum("bhd,bhe->bhde", v, k)
    n_new = f[..., None] * n + i[..., None] * k
    read = np.einsum("bhde,bhe->bhd", C_new, q)
    length = np.maximum(np.abs(np.sum(n_new * q, axis=-1)), np.exp(-m_new))
    h = o * (read / length[..., None]).reshape(batch, heads * d)
    return (h, C_new, n_new, m_new), {"i": i, "f": f, "o": o}


def _state_sizes(m, n, heads=1):
    d = n // heads
    return [(heads, d, d), (heads, d), (heads,)]


EQUATIONS = {"MatrixLSTM": matrix_lstm}

STATE_SIZES = {"MatrixLSTM": _state_sizes}

# Number of weights, biases included, for m inputs and n units.
PARAMETERS = {"MatrixLSTM": lambda m, n, heads=1: (4 * n + 2 * heads) * (m + 1)}
