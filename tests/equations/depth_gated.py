"""The stack of LSTMs whose cell states are joined by depth gates."""

import numpy as np

from equations.base import K, peephole_vectors, sigmoid


def _peepholes(coupled, peepholes):
    if peepholes is None:
        return ("i", "o") if coupled else ("i", "f", "o")
    return peepholes


def depth_gated_lstm(x, states, w, *, depth=2, bottom="projection", coupled=False, peepholes=None):
    """Yao et al. 2015, Depth-Gated LSTM (Depth-Gated Recurrent Neural Networks), arXiv 1508.03790.

    For the levels l = 1 .. L from the bottom, with v = x at level 1 and v = h_t of level l - 1
    above, c_low = c_t of level l - 1, and A_k = v W_k + h U_k + b_k:
    i = s(A_i + p_i * c_{t-1});  f = s(A_f + p_f * c_{t-1});  g = tanh(A_g)
    d = s(v W_d + q_own * c_{t-1} + q_low * c_low + b_d)
    c_t = d * c_low + f * c_{t-1} + i * g
    o = s(A_o + p_o * c_t)
    h_t = o * tanh(c_t)

    At level 1, which has no c_low, bottom="projection" puts x W_0 for it in c_t, and d has no
    q_low; with bottom="none" c_t = f * c_{t-1} + i * g and there is no d.
    coupled: f = 1 - i. A gate not in `peepholes` has no p; by default all three have one, or with
    coupled i and o.
    States: h and c of level L, then of L - 1, .. down to 1. The gates' names end in the level.
    Weights by level: kernel_l, recurrent_kernel_l and bias_l with columns i, f, g, o, or i, g, o
    with coupled; peephole_kernel_l; depth_kernel_l (W_d), depth_bias_l (b_d) and
    depth_peephole_kernel_l with rows q_own, q_low; and projection_kernel (W_0).
    """
    if bottom not in ("projection", "none"):
        raise ValueError(f"unknown bottom {bottom!r}")
    peepholes = _peepholes(coupled, peepholes)
    allowed = ("i", "o") if coupled else ("i", "f", "o")
    new_states = ()
    gates = {}
    v = x
    c_low = None
    for level in range(1, depth + 1):
        h, c = states[2 * (depth - level) : 2 * (depth - level) + 2]
        suffix = f"_{level}"
        own = {k.removesuffix(suffix): value for k, value in w.items() if k.endswith(suffix)}

        a = v @ own["kernel"] + h @ own["recurrent_kernel"] + own.get("bias", 0.0)
        p = peephole_vectors(own, peepholes, allowed)
        if coupled:
            a_i, a_g, a_o = np.split(a, 3, axis=-1)
            i = sigmoid(a_i + p["i"] * c)
            f = 1.0 - i
        else:
            a_i, a_f, a_g, a_o = np.split(a, 4, axis=-1)
            i = sigmoid(a_i + p["i"] * c)
            f = sigmoid(a_f + p["f"] * c)
        g = np.tanh(a_g)
        c_new = f * c + i * g

        d = None
        if level > 1:
            q_own, q_low = own["depth_peephole_kernel"]
            a_d = v @ own["depth_kernel"] + own.get("depth_bias", 0.0)
            d = sigmoid(a_d + q_own * c + q_low * c_low)
            c_new = d * c_low + c_new
        elif bottom == "projection":
            (q_own,) = own["depth_peephole_kernel"]
            a_d = v @ own["depth_kernel"] + own.get("depth_bias", 0.0)
            d = sigmoid(a_d + q_own * c)
            c_new = d * (v @ w["projection_kernel"]) + c_new

        o = sigmoid(a_o + p["o"] * c_new)
        h_new = o * np.tanh(c_new)
        gates |= {"i" + suffix: i, "f" + suffix: f, "g" + suffix: g, "o" + suffix: o}
        if d is not None:
            gates["d" + suffix] = d
        new_states = (h_new, c_new, *new_states)
        v, c_low = h_new, c_new
    return new_states, gates


def _parameters(m, n, depth=2, bottom="projection", coupled=False, peepholes=None):
    blocks = 3 if coupled else 4
    count = 0
    for level in range(1, depth + 1):
        inputs = m if level == 1 else n
        count += K(blocks, inputs, n) + n * len(_peepholes(coupled, peepholes))
        if level > 1:
            count += inputs * n + n + 2 * n
        elif bottom == "projection":
            count += inputs * n + n + n + m * n
    return count


EQUATIONS = {"DepthGatedLSTM": depth_gated_lstm}

STATE_SIZES = {"DepthGatedLSTM": lambda m, n, depth=2, **options: [n] * (2 * depth)}

# Number of weights, biases included, for m inputs and n units.
PARAMETERS = {"DepthGatedLSTM": _parameters}
