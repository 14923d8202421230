"""The cells that know the time of each step."""

import numpy as np

from equations.base import K, affine, peephole_vectors, sigmoid


def phase_of(time, period, shift):
    """((time - shift) mod |period|) / |period|, in [0, 1)."""
    period = np.abs(period)
    return np.mod(time - shift, period) / period


def openness(phase, open_ratio, leak):
    """The time gate k: up to 1 and down again while it is open, then `leak` of the phase."""
    ratio = np.abs(open_ratio)
    rising = 2.0 * phase / ratio
    return np.where(
        phase < ratio / 2.0, rising, np.where(phase < ratio, 2.0 - rising, leak * phase)
    )


def phased_lstm(x, states, w, *, peepholes=("i", "f", "o"), leak=0.001, times=None, training=False):
    """Neil, Pfeiffer & Liu 2016, Phased LSTM, arXiv 1610.09513.

    phi = ((t - shift) mod |period|) / |period|;  r = |open_ratio|
    k = 2 phi / r where phi < r / 2;  2 - 2 phi / r where r / 2 <= phi < r;  otherwise leak phi
    i = s(A_i + p_i * c_{t-1});  f = s(A_f + p_f * c_{t-1});  g = tanh(A_g)
    c' = f * c_{t-1} + i * g
    o = s(A_o + p_o * c')
    h' = o * tanh(c')
    c_t = k * c' + (1 - k) * c_{t-1}
    h_t = k * h' + (1 - k) * h_{t-1}

    period, shift, open_ratio are the paper's tau, s, r_on, one of each for a unit. leak is 0 but
    in training. t is `times`, (batch,) or (batch, 1), or else what the state `time` holds.
    States: h, c and time (batch, 1), which is t + 1 after the step. A gate not in `peepholes` has
    no p. Columns: i, f, g, o.
    """
    h, c, time = states
    if times is not None:
        time = np.reshape(times, time.shape)
    k = openness(
        phase_of(time, w["period"], w["shift"]), w["open_ratio"], leak if training else 0.0
    )
    a_i, a_f, a_g, a_o = affine(x, h, w, 4)
    p = peephole_vectors(w, peepholes, ("i", "f", "o"))
    i = sigmoid(a_i + p["i"] * c)
    f = sigmoid(a_f + p["f"] * c)
    g = np.tanh(a_g)
    candidate_c = f * c + i * g
    o = sigmoid(a_o + p["o"] * candidate_c)
    candidate_h = o * np.tanh(candidate_c)
    c_new = k * candidate_c + (1.0 - k) * c
    h_new = k * candidate_h + (1.0 - k) * h
    return (h_new, c_new, time + 1.0), {"i": i, "f": f, "g": g, "o": o, "k": k}


def _parameters(m, n, peepholes=("i", "f", "o"), leak=0.001):
    return K(4, m, n) + n * len(peepholes) + 3 * n


EQUATIONS = {"PhasedLSTM": phased_lstm}

STATE_SIZES = {"PhasedLSTM": lambda m, n, **options: [n, n, 1]}

# Number of weights, biases included, for m inputs and n units.
PARAMETERS = {"PhasedLSTM": _parameters}
