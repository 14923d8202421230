"""The LSTM that attends to a memory, over whole sequences.

Its step needs the memory beside x and the states, so it is not among the cells by name.
"""

import numpy as np

from equations.base import sigmoid


def scores(h, memory, w, scoring="additive"):
    """e (batch, places), from the old output h (batch, n) and the annotations (batch, places, D).

    scoring="additive":        e_l = tanh(a_l W_a + h W_h + b_att) . v
    scoring="multiplicative":  e_l = (a_l W_a + b_att) . (h W_h) / sqrt(k)

    The constant that the paper's code adds to every e_l is left out: the softmax takes it away.
    """
    keys = memory @ w["memory_kernel"]
    query = (h @ w["query_kernel"])[:, None, :]
    b_att = w.get("attention_bias", 0.0)
    if scoring == "additive":
        return (np.tanh(keys + query + b_att) @ w["score_kernel"])[..., 0]
    if scoring == "multiplicative":
        k = w["query_kernel"].shape[1]
        return np.sum((keys + b_att) * query, axis=-1) / np.sqrt(k)
    raise ValueError(f"unknown scoring {scoring!r}")


def shares(e, places):
    """alpha = softmax of e over the places that there are, 0 elsewhere; all 0 where there is none.

    `places` (batch, L) is False where a place is masked.
    """
    top = np.max(np.where(places, e, -np.inf), axis=1, keepdims=True, initial=-np.inf)
    top = np.where(np.isfinite(top), top, 0.0)
    p = np.where(places, np.exp(np.where(places, e - top, 0.0)), 0.0)
    total = np.sum(p, axis=1, keepdims=True)
    return p / np.where(total > 0.0, total, 1.0)


def drawn_place(alpha, u):
    """k (batch,): the place drawn with u in [0, 1), or the place of largest share where u = 2.

    alpha_1 + ... + alpha_{k-1} <= u * sum(alpha) < alpha_1 + ... + alpha_k
    """
    cumulative = np.cumsum(alpha, axis=1)
    k = np.sum(cumulative <= (u * cumulative[:, -1])[:, None], axis=1)
    return np.where(u == 2, np.argmax(alpha, axis=1), np.minimum(k, alpha.shape[1] - 1))


def step(x, states, w, memory, places, *, scoring="additive", use_beta=True, draw=None):
    """Xu et al. 2015, Show, Attend and Tell, arXiv 1502.03044.

    e = scores(h_{t-1}, a);  alpha = softmax(e)
    beta = s(h_{t-1} w_beta + b_beta), or 1 without use_beta
    soft: ctx = beta * sum_l alpha_l a_l;  hard: ctx = beta * a_k, k drawn with the shares alpha
    A_k = x W_k + h_{t-1} U_k + ctx Z_k + b_k
    i = s(A_i);  f = s(A_f);  g = tanh(A_g);  o = s(A_o)
    c_t = f * c_{t-1} + i * g
    h_t = o * tanh(c_t)

    draw (batch, 1): soft where it is -1, else hard, see drawn_place. Columns: i, f, g, o.
    """
    h, c = states
    batch = h.shape[0]
    alpha = shares(scores(h, memory, w, scoring), places)
    beta = 1.0
    if use_beta:
        beta = sigmoid(h @ w["beta_kernel"] + w.get("beta_bias", 0.0))

    expected = np.sum(alpha[:, :, None] * memory, axis=1)
    log_probability = np.zeros(batch)
    if draw is None:
        ctx = beta * expected
    else:
        u = np.asarray(draw, dtype=np.float64)[:, 0]
        k = drawn_place(alpha, u)
        rows = np.arange(batch)
        some = np.any(places, axis=1)
        one = np.where(some[:, None], memory[rows, k], 0.0)
        ctx = beta * np.where((u == -1)[:, None], expected, one)
        drawn = some & (0 <= u) & (u < 1)
        log_probability = np.log(np.where(drawn, alpha[rows, k], 1.0))
    entropy = -np.sum(alpha * np.log(np.where(alpha > 0.0, alpha, 1.0)), axis=1)

    a = x @ w["kernel"] + h @ w["recurrent_kernel"] + ctx @ w["context_kernel"] + w.get("bias", 0.0)
    a_i, a_f, a_g, a_o = np.split(a, 4, axis=-1)
    i = sigmoid(a_i)
    f = sigmoid(a_f)
    g = np.tanh(a_g)
    o = sigmoid(a_o)
    c_new = f * c + i * g
    h_new = o * np.tanh(c_new)
    return (h_new, c_new), {
        "context": ctx,
        "attention": alpha,
        "log_probability": log_probability,
        "entropy": entropy,
    }


def attention_lstm(
    weights,
    x,
    memory,
    *,
    memory_mask=None,
    mask=None,
    h0=None,
    c0=None,
    scoring="additive",
    use_beta=True,
    draw=None,
    go_backwards=False,
):
    """Run the attention LSTM over x (batch, time, m), with memory (batch, L, D).

    At a masked step the states keep their values, the output repeats the previous output (zeros
    before the first unmasked step), and the context and the shares are zero. Sequences are in
    order of processing; `mask` (batch, time) and `draw` (batch, time, 1) are in that of x.

    Returns by name: output (batch, time, n); h and c (batch, n), the final states; context
    (batch, time, D); attention (batch, time, L), the shares alpha, however the context was made;
    and sums over the unmasked steps: coverage (batch, L), of alpha; entropy (batch,), of that of
    alpha in nats; log_probability (batch,), of log alpha_k at the steps at which k was drawn.
    """
    batch, time, _ = x.shape
    length, depth = memory.shape[1:]
    n = weights["recurrent_kernel"].shape[0]
    h = np.zeros((batch, n)) if h0 is None else h0
    c = np.zeros((batch, n)) if c0 is None else c0
    if mask is None:
        mask = np.ones((batch, time), dtype=bool)
    if memory_mask is None:
        memory_mask = np.ones((batch, length), dtype=bool)
    mask = np.asarray(mask, dtype=bool)
    places = np.asarray(memory_mask, dtype=bool)
    memory = np.where(places[:, :, None], memory, 0.0)
    order = range(time - 1, -1, -1) if go_backwards else range(time)

    y = np.zeros((batch, n))
    output = np.zeros((batch, time, n))
    context = np.zeros((batch, time, depth))
    attention = np.zeros((batch, time, length))
    log_probability = np.zeros(batch)
    entropy = np.zeros(batch)
    for position, t in enumerate(order):
        keep = mask[:, t]
        (h_new, c_new), made = step(
            x[:, t],
            (h, c),
            weights,
            memory,
            places,
            scoring=scoring,
            use_beta=use_beta,
            draw=None if draw is None else draw[:, t],
        )
        h = np.where(keep[:, None], h_new, h)
        c = np.where(keep[:, None], c_new, c)
        y = np.where(keep[:, None], h_new, y)
        output[:, position] = y
        context[:, position] = np.where(keep[:, None], made["context"], 0.0)
        attention[:, position] = np.where(keep[:, None], made["attention"], 0.0)
        log_probability += np.where(keep, made["log_probability"], 0.0)
        entropy += np.where(keep, made["entropy"], 0.0)
    return {
        "output": output,
        "h": h,
        "c": c,
        "context": context,
        "attention": attention,
        "coverage": np.sum(attention, axis=1),
        "log_probability": log_probability,
        "entropy": entropy,
    }


def coverage_penalty(coverage, memory_mask, mask, weight):
    """weight * the mean over rows of sum_l (1 - sum_t alpha_{t,l})^2.

    The sum is over the unmasked places, the mean over the rows that have an unmasked step; 0 where
    no row has. `memory_mask` (batch, L) and `mask` (batch, time) may be None: nothing is masked.
    """
    squares = (1.0 - coverage) ** 2
    if memory_mask is not None:
        squares = np.where(memory_mask, squares, 0.0)
    rows = np.sum(squares, axis=1)
    if mask is not None:
        rows = rows[np.any(mask, axis=1)]
    return weight * np.mean(rows) if rows.size else 0.0


def initial_states(memory, memory_mask, kernel_h, bias_h, kernel_c, bias_c):
    """h_0 and c_0 from the mean of the unmasked annotations, zero where there is none.

    h_0 = tanh(mean(a) W_h0 + b_h0);  c_0 = tanh(mean(a) W_c0 + b_c0)

    `memory_mask` may be None: nothing is masked; so may a bias: it is zero.
    """
    if memory_mask is None:
        memory_mask = np.ones(memory.shape[:2], dtype=bool)
    places = np.asarray(memory_mask, dtype=bool)[:, :, None]
    count = np.sum(places, axis=1)
    mean = np.sum(np.where(places, memory, 0.0), axis=1) / np.maximum(count, 1)
    h0 = np.tanh(mean @ kernel_h + (0.0 if bias_h is None else bias_h))
    c0 = np.tanh(mean @ kernel_c + (0.0 if bias_c is None else bias_c))
    return h0, c0
