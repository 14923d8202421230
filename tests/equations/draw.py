"""DRAW over all its steps: the terms of its bound for given noise, and the images it draws.

`weights` is the list of the trainable weights in the order of the class's docstring, `noise` is
standard normal (batch, steps, k), `image_shape` is (height, width) = (B, A).
"""

import numpy as np

from equations.base import sigmoid
from equations.generative import CELL_WEIGHTS, log_normal, normal_divergence, observed
from equations.lstm import lstm

SMALLEST_SUM = 1e-8


def filter_rows(centre, stride, variance, size, pixels):
    """F (batch, size, pixels), all parameters (batch,), pixels and filters counted from 0.

    mu[i] = g + (i - (N - 1) / 2) delta
    F[i, a] = exp(-(a - mu[i])^2 / (2 var)) / max(Z_i, 1e-8), Z_i the sum of the row

    Rows sum to 1, but those far from the image, which sum to less.
    """
    mu = centre[:, None] + (np.arange(size) - (size - 1) / 2.0) * stride[:, None]
    distances = np.arange(pixels) - mu[:, :, None]
    F = np.exp(-(distances**2) / (2.0 * variance[:, None, None]))
    return F / np.maximum(np.sum(F, axis=-1, keepdims=True), SMALLEST_SUM)


def filters(parameters, size, image_shape):
    """F_Y (batch, N, B), F_X (batch, N, A) and gamma (batch, 1, 1).

    Columns of `parameters`: g_X~, g_Y~, log var, log delta~, log gamma.

    g_X = (A + 1) / 2 (g_X~ + 1) - 1;  g_Y = (B + 1) / 2 (g_Y~ + 1) - 1
    delta = (max(A, B) - 1) / (N - 1) delta~, of no effect for N = 1
    """
    B, A = image_shape
    g_X, g_Y, log_var, log_delta, log_gamma = parameters.T
    centre_X = (A + 1) / 2.0 * (g_X + 1.0) - 1.0
    centre_Y = (B + 1) / 2.0 * (g_Y + 1.0) - 1.0
    stride = (max(A, B) - 1.0) / max(size - 1, 1) * np.exp(log_delta)
    F_Y = filter_rows(centre_Y, stride, np.exp(log_var), size, B)
    F_X = filter_rows(centre_X, stride, np.exp(log_var), size, A)
    return F_Y, F_X, np.exp(log_gamma)[:, None, None]


def unpacked(weights, attention):
    """The weights by name; those of encoder and decoder each as the equations of a cell."""
    names = ["heads_kernel", "heads_bias", "patch_kernel", "patch_bias"]
    if attention:
        names += ["read_kernel", "read_bias", "write_kernel", "write_bias"]
    assert len(weights) == len(names) + 2 * len(CELL_WEIGHTS)
    w = dict(zip(names, weights, strict=False))
    w["encoder"] = dict(zip(CELL_WEIGHTS, weights[-6:-3], strict=True))
    w["decoder"] = dict(zip(CELL_WEIGHTS, weights[-3:], strict=True))
    return w


def read(w, x, error, h_dec, attention, size):
    """[x, x^] of the grid of h_dec_{t-1}: gamma [F_Y x F_X^T, F_Y x^ F_X^T], in row order."""
    if attention:
        parameters = h_dec @ w["read_kernel"] + w["read_bias"]
        F_Y, F_X, gamma = filters(parameters, size, x.shape[1:])
        x, error = (gamma * (F_Y @ v @ F_X.transpose(0, 2, 1)) for v in (x, error))
    return np.concatenate([v.reshape(len(v), -1) for v in (x, error)], axis=1)


def write(w, h_dec, attention, size, image_shape):
    """h_dec W + b, with attention 1 / gamma^ F_Y^T (h_dec W + b) F_X, of the grid of h_dec_t."""
    patch = h_dec @ w["patch_kernel"] + w["patch_bias"]
    if not attention:
        return patch.reshape(-1, *image_shape)
    parameters = h_dec @ w["write_kernel"] + w["write_bias"]
    F_Y, F_X, gamma = filters(parameters, size, image_shape)
    return F_Y.transpose(0, 2, 1) @ patch.reshape(-1, size, size) @ F_X / gamma


def draw(weights, images, noise, *, attention, read_size, write_size, image_shape) -> dict:
    """Gregor et al. 2015, DRAW: a recurrent neural network for image generation, arXiv 1502.04623.

    x^ = x - s(c_{t-1});  r = read(x, x^, h_dec_{t-1});  h_enc = LSTM([r, h_dec_{t-1}])
    (mu, log sigma) = h_enc W + b;  z = mu + sigma * noise_t;  h_dec = LSTM(z)
    c_t = c_{t-1} + write(h_dec);  after the last step x ~ Bernoulli(s(c_T));  prior z ~ N(0, 1)

    All states and the canvas are zero at first. Returns, in nats:
        reconstruction  (batch,)  -log p(x | z), the sum over the pixels; x in [0, 1]
        kl              (batch,)  sum_t KL(q(z_t | ...) || N(0, 1)), in closed form
        log_weights     (batch,)  log p(x | z) + log p(z) - log q(z | x), the densities written out
        canvas          (batch, steps, B, A)  c_t
        probabilities   (batch, B, A)  s(c_T)
        latent          (batch, steps, k)  z_t
    """
    w = unpacked(weights, attention)
    batch, units = len(images), w["heads_kernel"].shape[0]
    h_enc, c_enc, h_dec, c_dec = (np.zeros((batch, units)) for _ in range(4))
    canvas = np.zeros((batch, *image_shape))
    kl, log_ratio = np.zeros(batch), np.zeros(batch)
    canvases, latent = [], []
    for t in range(noise.shape[1]):
        r = read(w, images, images - sigmoid(canvas), h_dec, attention, read_size)
        seen = np.concatenate([r, h_dec], axis=1)
        (h_enc, c_enc), _ = lstm(seen, (h_enc, c_enc), w["encoder"])
        mu, log_sigma = np.split(h_enc @ w["heads_kernel"] + w["heads_bias"], 2, axis=1)
        posterior, prior = (mu, np.exp(log_sigma)), (np.zeros_like(mu), np.ones_like(mu))
        z = mu + np.exp(log_sigma) * noise[:, t]
        kl += normal_divergence(*posterior, *prior)
        log_ratio += log_normal(z, *prior) - log_normal(z, *posterior)
        (h_dec, c_dec), _ = lstm(z, (h_dec, c_dec), w["decoder"])
        canvas = canvas + write(w, h_dec, attention, write_size, image_shape)
        canvases.append(canvas)
        latent.append(z)
    log_likelihood, _ = observed(images.reshape(batch, -1), canvas.reshape(batch, -1), "bernoulli")
    return {
        "reconstruction": -log_likelihood,
        "kl": kl,
        "log_weights": log_likelihood + log_ratio,
        "canvas": np.stack(canvases, axis=1),
        "probabilities": sigmoid(canvas),
        "latent": np.stack(latent, axis=1),
    }


def sample(weights, latent, *, attention, write_size, image_shape):
    """The canvas after each step (batch, steps, B, A), for z (batch, steps, k): the decoder alone.

    h_dec = LSTM(z);  c_t = c_{t-1} + write(h_dec)
    """
    w = unpacked(weights, attention)
    h_dec, c_dec = (np.zeros((len(latent), w["heads_kernel"].shape[0])) for _ in range(2))
    strokes = []
    for t in range(latent.shape[1]):
        (h_dec, c_dec), _ = lstm(latent[:, t], (h_dec, c_dec), w["decoder"])
        strokes.append(write(w, h_dec, attention, write_size, image_shape))
    return np.cumsum(np.stack(strokes, axis=1), axis=1)
