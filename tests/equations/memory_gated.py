"""The LSTM whose gates see the cell state in place of the output."""

import numpy as np

from equations.base import K, sigmoid


def memory_gated_lstm(
    x, states, w, *, candidate="hidden", output_gate_memory="previous", squash_memory=False
):
    """A design from a teaching text, of no paper.

    i = s(x W_i + u(c_{t-1}) V_i + b_i);  f = s(x W_f + u(c_{t-1}) V_f + b_f)
    g = tanh(x W_g + R + b_g)
    c_t = f * c_{t-1} + i * g
    o = s(x W_o + u(c') V_o + b_o)
    h_t = o * tanh(c_t)

    candidate="hidden": R = h_{t-1} U_g; "memory": R = u(c_{t-1}) V_g; "none": R = 0.
    output_gate_memory="previous": c' = c_{t-1}; "current": c' = c_t.
    u(c) = c, or tanh(c) with squash_memory. V_k are full (n, n) matrices.
    Columns: kernel and bias i, f, g, o; memory_kernel (V) i, f, o, or i, f, g, o with
    candidate="memory"; recurrent_kernel (U_g) g, with candidate="hidden" only.
    """
    h, c = states
    n = c.shape[-1]

    def u(memory):
        return np.tanh(memory) if squash_memory else memory

    W_i, W_f, W_g, W_o = np.split(w["kernel"], 4, axis=1)
    b_i, b_f, b_g, b_o = np.split(w.get("bias", np.zeros(4 * n)), 4)
    if candidate == "hidden":
        V_i, V_f, V_o = np.split(w["memory_kernel"], 3, axis=1)
        R = h @ w["recurrent_kernel"]
    elif candidate == "memory":
        V_i, V_f, V_g, V_o = np.split(w["memory_kernel"], 4, axis=1)
        R = u(c) @ V_g
    elif candidate == "none":
        V_i, V_f, V_o = np.split(w["memory_kernel"], 3, axis=1)
        R = 0.0
    else:
        raise ValueError(f"unknown candidate {candidate!r}")

    i = sigmoid(x @ W_i + u(c) @ V_i + b_i)
    f = sigmoid(x @ W_f + u(c) @ V_f + b_f)
    g = np.tanh(x @ W_g + R + b_g)
    c_new = f * c + i * g
    if output_gate_memory == "previous":
        seen = c
    elif output_gate_memory == "current":
        seen = c_new
    else:
        raise ValueError(f"unknown output_gate_memory {output_gate_memory!r}")
    o = sigmoid(x @ W_o + u(seen) @ V_o + b_o)
    h_new = o * np.tanh(c_new)
    return (h_new, c_new), {"i": i, "f": f, "g": g, "o": o}


def _parameters(m, n, candidate="hidden", output_gate_memory="previous", squash_memory=False):
    return K(4, m, n) - (n * n if candidate == "none" else 0)


EQUATIONS = {"MemoryGatedLSTM": memory_gated_lstm}

NUMBER_OF_STATES = {"MemoryGatedLSTM": 2}

# Number of weights, biases included, for m inputs and n units.
PARAMETERS = {"MemoryGatedLSTM": _parameters}
