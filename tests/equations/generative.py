"""VRNN, VRNN-I and STORN over whole sequences: the terms of their bounds for given noise.

`values` is the list of the trainable weights in the order of the class's docstring, `noise` is
standard normal (batch, time, k). A masked step keeps all states and counts in no sum; what is
returned by steps, `parameters` and `latent`, means nothing there.

Both return a dict, in nats, each a sum over the unmasked steps:
    reconstruction  (batch,)  -log p(x | z)
    kl              (batch,)  sum_t KL(q(z_t | ...) || p(z_t | ...)), in closed form
    log_weights     (batch,)  log p(x | z) + log p(z) - log q(z | x), the densities written out
    parameters      (batch, time, m)  the means of p(x_t | ...): for Bernoulli x its probabilities
    latent          (batch, time, k)  z = mu + sigma * noise
"""

import numpy as np

import equations
from equations.base import sigmoid

CELL_WEIGHTS = ("kernel", "recurrent_kernel", "bias")  # of LSTM, GRU and Elman
FLOOR = 1e-4


def softplus(v):
    return np.logaddexp(0.0, v)


def relu(v):
    return np.maximum(v, 0.0)


def mean_and_scale(a):
    """Columns [mean, raw scale]; scale = softplus(raw) + 1e-4."""
    mean, raw = np.split(a, 2, axis=-1)
    return mean, softplus(raw) + FLOOR


def log_normal(v, mean, scale):
    """log N(v; mean, scale^2), the sum over the last axis."""
    terms = -0.5 * np.log(2.0 * np.pi) - np.log(scale) - 0.5 * ((v - mean) / scale) ** 2
    return np.sum(terms, axis=-1)


def normal_divergence(mean, scale, mean_0, scale_0):
    """KL(N(mean, scale^2) || N(mean_0, scale_0^2)), the sum over the last axis."""
    squares = scale**2 + (mean - mean_0) ** 2
    return np.sum(np.log(scale_0 / scale) + squares / (2.0 * scale_0**2) - 0.5, axis=-1)


def observed(x, a, likelihood):
    """log p(x_t | ...), summed over the features, and its mean, from the outputs `a` of the heads.

    "bernoulli": a are logits, and x may lie between 0 and 1
    "gaussian": columns [mean, raw scale]
    """
    if likelihood == "bernoulli":
        # log s(a) = -softplus(-a);  log(1 - s(a)) = -softplus(a)
        return -np.sum(x * softplus(-a) + (1.0 - x) * softplus(a), axis=-1), sigmoid(a)
    if likelihood == "gaussian":
        mean, scale = mean_and_scale(a)
        return log_normal(x, mean, scale), mean
    raise ValueError(f"unknown likelihood {likelihood!r}")


def zero_states(cell, batch, w):
    return (np.zeros((batch, w["recurrent_kernel"].shape[0])),) * equations.NUMBER_OF_STATES[cell]


def advance(cell, x, states, w, real):
    """The states after one step; those of the rows where `real` (batch,) is False stay."""
    new, _ = equations.EQUATIONS[cell](x, states, w)
    return tuple(np.where(real[:, None], a, b) for a, b in zip(new, states, strict=True))


class Sums:
    """What the steps add up to."""

    def __init__(self, batch):
        self.rows = {k: np.zeros(batch) for k in ("reconstruction", "kl", "log_weights")}
        self.steps = {"parameters": [], "latent": []}

    def add(self, real, log_likelihood, mean, z, posterior, prior):
        log_ratio = log_normal(z, *prior) - log_normal(z, *posterior)
        self.rows["reconstruction"] += np.where(real, -log_likelihood, 0.0)
        self.rows["kl"] += np.where(real, normal_divergence(*posterior, *prior), 0.0)
        self.rows["log_weights"] += np.where(real, log_likelihood + log_ratio, 0.0)
        self.steps["parameters"].append(mean)
        self.steps["latent"].append(z)

    def result(self):
        return self.rows | {k: np.stack(v, axis=1) for k, v in self.steps.items()}


def vrnn(
    values, x, noise, *, mask=None, prior="learned", likelihood="bernoulli", cell="LSTM"
) -> dict:
    """Chung et al. 2015, A recurrent latent variable model for sequential data, arXiv 1506.02216.

    p  = relu(x_t P + b_p);  e = relu(p E + h_{t-1} E_h + b_e);  (mu, sigma) = heads(e)
    (mu_0, sigma_0) = heads(relu(h_{t-1} P_0 + b_0)), or (0, 1) with prior="standard" (VRNN-I)
    z_t = mu + sigma * noise_t;  q = relu(z_t Q + b_q)
    d  = relu([q, h_{t-1}] D + b_d);  x_t ~ p(x_t | d O + b_o)
    h_t = RNN([p, q], h_{t-1})

    Prior, posterior and decoder see h_{t-1}, of an LSTM without its c.
    """
    (P, b_p, E, E_h, b_e, M, b_m, Q, b_q), rest = values[:9], values[9:]
    w, rest = dict(zip(CELL_WEIGHTS, rest[:3], strict=True)), rest[3:]
    if prior == "learned":
        (P_0, b_0, M_0, b_m0), rest = rest[:4], rest[4:]
    elif prior != "standard":
        raise ValueError(f"unknown prior {prior!r}")
    D, b_d, O, b_o = rest  # noqa: E741

    batch, time, _ = x.shape
    mask = np.ones((batch, time), bool) if mask is None else mask
    states = zero_states(cell, batch, w)
    sums = Sums(batch)
    for t in range(time):
        h = states[0]
        p = relu(x[:, t] @ P + b_p)
        posterior = mean_and_scale(relu(p @ E + h @ E_h + b_e) @ M + b_m)
        if prior == "learned":
            prior_t = mean_and_scale(relu(h @ P_0 + b_0) @ M_0 + b_m0)
        else:
            prior_t = np.zeros_like(posterior[0]), np.ones_like(posterior[1])
        z = posterior[0] + posterior[1] * noise[:, t]
        q = relu(z @ Q + b_q)
        d = relu(np.concatenate([q, h], axis=1) @ D + b_d)
        log_likelihood, mean = observed(x[:, t], d @ O + b_o, likelihood)
        sums.add(mask[:, t], log_likelihood, mean, z, posterior, prior_t)
        states = advance(cell, np.concatenate([p, q], axis=1), states, w, mask[:, t])
    return sums.result()


def storn(
    values, x, noise, *, mask=None, bidirectional=False, likelihood="bernoulli", cell="Elman"
) -> dict:
    """Bayer & Osendorfer 2014, Learning stochastic recurrent networks, arXiv 1411.7610.

    k_t = RNN(x_t, k_{t-1}), with `bidirectional` beside it a second RNN(x_t, k_{t+1})
    (mu_t, log sigma_t^2) = k_t R + b_r;  z_t = mu_t + sigma_t * noise_t;  prior z_t ~ N(0, 1)
    h_t = RNN([x_{t-1}, z_t], h_{t-1});  x_t ~ p(x_t | h_t O + b_o)

    x_0 = 0; x_{t-1} is the x of the unmasked step before.
    """
    recognition = [values[:3]] + ([values[3:6]] if bidirectional else [])
    rest = values[3 * len(recognition) :]
    R, b_r = rest[:2]
    w = dict(zip(CELL_WEIGHTS, rest[2:5], strict=True))
    O, b_o = rest[5:]  # noqa: E741

    batch, time, _ = x.shape
    mask = np.ones((batch, time), bool) if mask is None else mask

    def recognized(cell_values, order):
        w_r = dict(zip(CELL_WEIGHTS, cell_values, strict=True))
        states = zero_states(cell, batch, w_r)
        k = [None] * time
        for t in order:
            states = advance(cell, x[:, t], states, w_r, mask[:, t])
            k[t] = states[0]
        return np.stack(k, axis=1)

    orders = range(time), range(time - 1, -1, -1)
    k = np.concatenate(
        [recognized(v, o) for v, o in zip(recognition, orders, strict=False)], axis=-1
    )
    mu, log_variance = np.split(k @ R + b_r, 2, axis=-1)
    sigma = np.exp(0.5 * log_variance)

    before = np.zeros_like(x[:, 0])
    states = zero_states(cell, batch, w)
    sums = Sums(batch)
    for t in range(time):
        posterior = mu[:, t], sigma[:, t]
        prior = np.zeros_like(mu[:, t]), np.ones_like(sigma[:, t])
        z = posterior[0] + posterior[1] * noise[:, t]
        states = advance(cell, np.concatenate([before, z], axis=1), states, w, mask[:, t])
        log_likelihood, mean = observed(x[:, t], states[0] @ O + b_o, likelihood)
        sums.add(mask[:, t], log_likelihood, mean, z, posterior, prior)
        before = np.where(mask[:, t, None], x[:, t], before)
    return sums.result()


def importance_weighted(log_weights):
    """Burda et al. 2016, arXiv 1509.00519: log(1/K sum_k w_k), log_weights (K, batch)."""
    top = np.max(log_weights, axis=0)
    return top + np.log(np.mean(np.exp(log_weights - top), axis=0))
