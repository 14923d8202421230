"""The grids of LSTMs, which run along the depth as well as along time or space."""

import numpy as np

from equations.base import K, sigmoid


def _projection(x, w, n, input_memory):
    """The h and m that enter the first level along the depth."""
    p = x @ w["projection_kernel"] + w.get("projection_bias", 0.0)
    if input_memory:
        return p[:, :n], p[:, n:]
    return p, np.zeros_like(p)


def _lstm(H, m, w, dimension, level, tied, output_form):
    """The new h and m of one dimension at one level, and its gates by name."""
    suffix = "" if tied else f"_{level}"
    a = H @ w[f"{dimension}_kernel{suffix}"] + w.get(f"{dimension}_bias{suffix}", 0.0)
    a_i, a_f, a_g, a_o = np.split(a, 4, axis=-1)
    i = sigmoid(a_i)
    f = sigmoid(a_f)
    g = np.tanh(a_g)
    o = sigmoid(a_o)
    m_new = f * m + i * g
    if output_form == "o_tanh":
        h_new = o * np.tanh(m_new)
    elif output_form == "tanh_o":
        h_new = np.tanh(o * m_new)
    else:
        raise ValueError(f"unknown output_form {output_form!r}")
    gates = {"i": i, "f": f, "g": g, "o": o}
    return h_new, m_new, {f"{k}_{dimension}_{level}": v for k, v in gates.items()}


def grid_lstm(
    x,
    states,
    w,
    *,
    depth=2,
    tied=False,
    priority="depth",
    output_form="o_tanh",
    input_memory=False,
):
    """Kalchbrenner et al. 2016, Grid Long Short-Term Memory, ICLR, arXiv 1507.01526 (2-D).

    (h', m') = LSTM_k(H, m) is, with H = [h_t, h_d] and A_j = H W_j + b_j of the weights of k:
    i = s(A_i);  f = s(A_f);  g = tanh(A_g);  o = s(A_o)
    m' = f * m + i * g
    h' = o * tanh(m'), or with output_form="tanh_o" h' = tanh(o * m')

    h_d = x P + b and m_d = 0, or with input_memory [h_d, m_d] = x P + b
    for the levels l = 1 .. L, with h_t, m_t the states of level l:
    priority="depth":  (h_t, m_t) = LSTM_time(H, m_t),  then (h_d, m_d) = LSTM_depth(H, m_d)
    priority="time":   (h_d, m_d) = LSTM_depth(H, m_d), then (h_t, m_t) = LSTM_time(H, m_t)
    priority=None:     both with the H that has the old h_t and h_d
    y = h_d after level L

    States: h_t and m_t of level 1, then of 2, .. up to L. y is none: it stands before them.
    The gates are named i_time_1, i_depth_1 and so on.
    Weights: projection_kernel (P), projection_bias; by level time_kernel_l, time_bias_l,
    depth_kernel_l and depth_bias_l, with tied the same at all levels and without _l.
    Columns: i, f, g, o. Rows: h_t, h_d.
    """
    if priority not in ("depth", "time", None):
        raise ValueError(f"unknown priority {priority!r}")
    n = states[0].shape[-1]
    h_d, m_d = _projection(x, w, n, input_memory)
    new_states = ()
    gates = {}
    for level in range(1, depth + 1):
        h_t, m_t = states[2 * level - 2 : 2 * level]
        H = np.concatenate([h_t, h_d], axis=-1)
        same = (level, tied, output_form)
        if priority == "depth":
            h_t, m_t, time_gates = _lstm(H, m_t, w, "time", *same)
            H = np.concatenate([h_t, h_d], axis=-1)
            h_d, m_d, depth_gates = _lstm(H, m_d, w, "depth", *same)
        elif priority == "time":
            h_d, m_d, depth_gates = _lstm(H, m_d, w, "depth", *same)
            H = np.concatenate([h_t, h_d], axis=-1)
            h_t, m_t, time_gates = _lstm(H, m_t, w, "time", *same)
        else:
            h_t, m_t, time_gates = _lstm(H, m_t, w, "time", *same)
            h_d, m_d, depth_gates = _lstm(H, m_d, w, "depth", *same)
        new_states = (*new_states, h_t, m_t)
        gates |= time_gates | depth_gates
    return (h_d, *new_states), gates


def grid_block(x, w, depth, tied=False, output_form="o_tanh", input_memory=False):
    """The 1-D grid of the same paper, a feedforward network over features x (batch, m).

    h_d, m_d from x as in grid_lstm; for the levels l = 1 .. L: (h_d, m_d) = LSTM_depth(h_d, m_d)

    Returns h_d after level L. Weights: as in grid_lstm without time; depth_kernel_l is (n, 4n).
    """
    n = w["projection_kernel"].shape[1] // (2 if input_memory else 1)
    h_d, m_d = _projection(x, w, n, input_memory)
    for level in range(1, depth + 1):
        h_d, m_d, _ = _lstm(h_d, m_d, w, "depth", level, tied, output_form)
    return h_d


def grid_sweep(
    x,
    w,
    depth,
    tied=False,
    priority="depth",
    output_form="o_tanh",
    input_memory=False,
    mask=None,
):
    """The 3-D grid of the same paper, over images x (batch, rows, cols, m).

    At each position h_d, m_d from its x as in grid_lstm; h_v, m_v of each level come from the
    position one row above, h_h, m_h from the position one column to the left, zero at the
    borders. For the levels l = 1 .. L, with H = [h_v, h_h, h_d]:
    (h_v', m_v') = LSTM_vertical(H, m_v);  (h_h', m_h') = LSTM_horizontal(H, m_h)
    priority="depth":  (h_d', m_d') = LSTM_depth([h_v', h_h', h_d], m_d)
    priority=None:     (h_d', m_d') = LSTM_depth(H, m_d)

    Returns h_d after level L, (batch, rows, cols, n). `mask` is (batch, rows, cols); a position
    where it is False hands on h_v, m_v and h_h, m_h of each level as they came, and returns zero.
    Weights: as in grid_lstm with vertical, horizontal and depth; each kernel is (3n, 4n).
    Rows: h_v, h_h, h_d.
    """
    if priority not in ("depth", None):
        raise ValueError(f"unknown priority {priority!r}")
    batch, rows, cols, _ = x.shape
    n = w["projection_kernel"].shape[1] // (2 if input_memory else 1)
    if mask is None:
        mask = np.ones((batch, rows, cols), dtype=bool)
    outputs = np.zeros((batch, rows, cols, n))

    # What position (r, c) hands on to (r + 1, c) and to (r, c + 1): (h, m) by level.
    vertical = {}
    horizontal = {}
    border = [(np.zeros((batch, n)), np.zeros((batch, n)))] * depth
    for r in range(rows):
        for c in range(cols):
            keep = np.asarray(mask[:, r, c], dtype=bool)[:, None]
            vertical[r, c] = []
            horizontal[r, c] = []
            h_d, m_d = _projection(x[:, r, c], w, n, input_memory)
            for level in range(1, depth + 1):
                h_v, m_v = vertical.get((r - 1, c), border)[level - 1]
                h_h, m_h = horizontal.get((r, c - 1), border)[level - 1]
                H = np.concatenate([h_v, h_h, h_d], axis=-1)
                same = (level, tied, output_form)
                new_h_v, new_m_v, _ = _lstm(H, m_v, w, "vertical", *same)
                new_h_h, new_m_h, _ = _lstm(H, m_h, w, "horizontal", *same)
                if priority == "depth":
                    H = np.concatenate([new_h_v, new_h_h, h_d], axis=-1)
                h_d, m_d, _ = _lstm(H, m_d, w, "depth", *same)
                vertical[r, c].append((np.where(keep, new_h_v, h_v), np.where(keep, new_m_v, m_v)))
                horizontal[r, c].append(
                    (np.where(keep, new_h_h, h_h), np.where(keep, new_m_h, m_h))
                )
            outputs[:, r, c] = np.where(keep, h_d, 0.0)
    return outputs


def _count(m, n, dimensions, depth, tied, input_memory):
    projection = (2 if input_memory else 1) * (m + 1) * n
    levels = 1 if tied else depth
    return projection + levels * dimensions * K(4, (dimensions - 1) * n, n)


def _parameters(
    m, n, depth=2, tied=False, priority="depth", output_form="o_tanh", input_memory=False
):
    return _count(m, n, 2, depth, tied, input_memory)


def grid_block_parameters(m, n, depth, tied=False, output_form="o_tanh", input_memory=False):
    """Number of weights of grid_block, biases included, for m inputs and n units."""
    return _count(m, n, 1, depth, tied, input_memory)


def grid_sweep_parameters(
    m, n, depth, tied=False, priority="depth", output_form="o_tanh", input_memory=False
):
    """Number of weights of grid_sweep, biases included, for m inputs and n units."""
    return _count(m, n, 3, depth, tied, input_memory)


EQUATIONS = {"GridLSTM": grid_lstm}

STATE_SIZES = {"GridLSTM": lambda m, n, depth=2, **options: [n] * (2 * depth)}

# Number of weights, biases included, for m inputs and n units.
PARAMETERS = {"GridLSTM": _parameters}
