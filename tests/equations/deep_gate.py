"""The LSTM whose gates are small feedforward networks."""

import numpy as np

from equations.base import ACTIVATIONS, K, sigmoid

GATES = ("i", "f", "g", "o")


def _deep(gate_hidden_units, deep_gates):
    """The deep gates, in the order i, f, g, o; none where the gates have no hidden layers."""
    if not set(deep_gates) <= set(GATES):
        raise ValueError(f"deep_gates must be among {GATES}, got {deep_gates}")
    return [k for k in GATES if gate_hidden_units and k in deep_gates]


def deep_gate_lstm(
    x,
    states,
    w,
    *,
    gate_hidden_units=(16,),
    deep_gates=("i", "f", "o"),
    hidden_activation="tanh",
    shared_trunk=False,
):
    """A design from a teaching text, of no paper (near Pascanu et al. 2014, arXiv 1312.6026).

    shallow gate k:  a_k = A_k
    deep gate k:     q_1 = act(x M_1 + h N_1 + b_1);  q_j = act(q_{j-1} M_j + b_j), j = 2 .. J
                     a_k = q_J Q_k + b_k
    i = s(a_i);  f = s(a_f);  g = tanh(a_g);  o = s(a_o)
    c_t = f * c_{t-1} + i * g
    h_t = o * tanh(c_t)

    gate_hidden_units holds the widths d_1 .. d_J of q_1 .. q_J; empty, it is the ordinary LSTM.
    Each deep gate has a trunk q of its own, or all have one and the same with shared_trunk.
    Columns: kernel and recurrent_kernel the shallow gates; bias i, f, g, o, the deep ones too;
    trunk_kernel_j (M), trunk_bias_j and, only for j = 1, trunk_recurrent_kernel (N) one block of
    d_j columns for each trunk; gate_kernel (Q) the deep gates; all in the order i, f, g, o.
    """
    h, c = states
    n = c.shape[-1]
    act = ACTIVATIONS[hidden_activation]
    deep = _deep(gate_hidden_units, deep_gates)
    shallow = [k for k in GATES if k not in deep]
    b = dict(zip(GATES, np.split(w.get("bias", np.zeros(4 * n)), 4), strict=True))
    a = {}

    if shallow:
        W = np.split(w["kernel"], len(shallow), axis=1)
        U = np.split(w["recurrent_kernel"], len(shallow), axis=1)
        for k, W_k, U_k in zip(shallow, W, U, strict=True):
            a[k] = x @ W_k + h @ U_k + b[k]

    if deep:
        trunks = 1 if shared_trunk else len(deep)
        q = act(
            x @ w["trunk_kernel_1"] + h @ w["trunk_recurrent_kernel"] + w.get("trunk_bias_1", 0.0)
        )
        q = np.split(q, trunks, axis=1)
        for j in range(2, len(gate_hidden_units) + 1):
            M = np.split(w[f"trunk_kernel_{j}"], trunks, axis=1)
            d = gate_hidden_units[j - 1]
            b_j = np.split(w.get(f"trunk_bias_{j}", np.zeros(trunks * d)), trunks)
            q = [act(q[k] @ M[k] + b_j[k]) for k in range(trunks)]
        Q = np.split(w["gate_kernel"], len(deep), axis=1)
        for index, k in enumerate(deep):
            a[k] = q[0 if shared_trunk else index] @ Q[index] + b[k]

    i = sigmoid(a["i"])
    f = sigmoid(a["f"])
    g = np.tanh(a["g"])
    o = sigmoid(a["o"])
    c_new = f * c + i * g
    h_new = o * np.tanh(c_new)
    return (h_new, c_new), {"i": i, "f": f, "g": g, "o": o}


def _parameters(
    m,
    n,
    gate_hidden_units=(16,),
    deep_gates=("i", "f", "o"),
    hidden_activation="tanh",
    shared_trunk=False,
):
    deep = len(_deep(gate_hidden_units, deep_gates))
    if deep == 0:
        return K(4, m, n)
    trunk = 0
    inputs = m + n
    for d in gate_hidden_units:
        trunk += (inputs + 1) * d
        inputs = d
    trunks = 1 if shared_trunk else deep
    return K(4 - deep, m, n) + trunks * trunk + deep * (inputs + 1) * n


EQUATIONS = {"DeepGateLSTM": deep_gate_lstm}

NUMBER_OF_STATES = {"DeepGateLSTM": 2}

# Number of weights, biases included, for m inputs and n units.
PARAMETERS = {"DeepGateLSTM": _parameters}
