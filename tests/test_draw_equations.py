"""DRAW against its equations in NumPy, in float64 with given noise, and its grid by hand."""

import numpy as np
import pytest
from cases import assert_close
from equations import draw as equations
from equations.base import sigmoid
from equations.generative import importance_weighted

import keras_lstm_variants as klv

STEPS, UNITS, LATENT, ROWS, SAMPLES = 4, 5, 3, 6, 2
CASES = {
    "attention": {"attention": True, "read_size": 2, "write_size": 3, "image_shape": (5, 4)},
    "plain": {"attention": False, "read_size": 2, "write_size": 3, "image_shape": (5, 4)},
    "read one": {"attention": True, "read_size": 1, "write_size": 4, "image_shape": (3, 6)},
    "write one": {"attention": True, "read_size": 3, "write_size": 1, "image_shape": (4, 5)},
    "one line": {"attention": True, "read_size": 3, "write_size": 2, "image_shape": (1, 5)},
}
TOLERANCE = 1e-12


def make(options, scale=0.0, steps=STEPS, units=UNITS, latent=LATENT):
    model = klv.DRAW(steps, units, latent, dtype="float64", seed=0, **options)
    model(np.zeros((1, *options["image_shape"])))
    random = np.random.default_rng(1)
    for weight in model.trainable_weights:
        weight.assign(scale * random.normal(size=weight.shape))
    return model


def data(options):
    """x and noise: float32 numbers, as Keras rounds to its floatx what `predict` is given."""
    random = np.random.default_rng(3)
    x = random.integers(2, size=(ROWS, *options["image_shape"])).astype("float64")
    x[0] = random.random(options["image_shape"])  # x may lie between 0 and 1.
    noise = random.normal(size=(SAMPLES, ROWS, STEPS, LATENT))
    return (a.astype("float32").astype("float64") for a in (x, noise))


def values(model):
    return [w.numpy() for w in model.trainable_weights]


# With the larger weights some of the filters lie far from the image.
@pytest.mark.parametrize("scale", [0.5, 2.0])
@pytest.mark.parametrize("name", CASES)
def test_the_terms_and_the_means(name, scale):
    options = CASES[name]
    model = make(options, scale)
    x, (noise, _) = data(options)
    e = equations.draw(values(model), x, noise, **options)
    terms = model.terms(x, None, noise)
    assert_close(terms.log_likelihood, -e["reconstruction"], TOLERANCE)
    assert_close(terms.kl, e["kl"], TOLERANCE)
    assert_close(terms.log_likelihood + terms.log_ratio, e["log_weights"], TOLERANCE)
    assert_close(model(x, noise=noise), e["probabilities"], TOLERANCE)
    assert_close(sum(model.losses), np.mean(e["reconstruction"] + e["kl"]), TOLERANCE)


@pytest.mark.parametrize("name", ["attention", "plain"])
def test_the_bounds_and_the_reconstruction(name):
    options = CASES[name]
    model = make(options, 0.5)
    x, noise = data(options)
    draws = [equations.draw(values(model), x, n, **options) for n in noise]
    elbo = np.mean([-e["reconstruction"] - e["kl"] for e in draws], axis=0)
    weighted = importance_weighted(np.stack([e["log_weights"] for e in draws]))
    # Fewer rows at once than there are: the noise stays with its rows.
    given = {"samples": SAMPLES, "noise": noise, "batch_size": 3}
    assert_close(model.elbo(x, **given), elbo, TOLERANCE)
    assert_close(model.importance_weighted(x, **given), weighted, TOLERANCE)
    at_the_mean = equations.draw(values(model), x, np.zeros_like(noise[0]), **options)
    assert_close(model.reconstruct(x), at_the_mean["probabilities"], TOLERANCE)


@pytest.mark.parametrize("name", CASES)
def test_the_images_drawn(name):
    options = CASES[name]
    given = {k: v for k, v in options.items() if k != "read_size"}
    model = make(options, 0.5)
    x, (noise, _) = data(options)
    canvas = equations.sample(values(model), noise, **given)
    assert_close(model.sample(ROWS, noise=noise), sigmoid(canvas[:, -1]), TOLERANCE)
    steps = model.sample(ROWS, noise=noise, every_step=True)
    assert_close(steps, sigmoid(canvas), TOLERANCE)
    # Of the equations alone: the posterior's z draw what inference draws.
    e = equations.draw(values(model), x, noise, **options)
    assert_close(equations.sample(values(model), e["latent"], **given), e["canvas"], TOLERANCE)


# The variance of which exp(-d^2 / (2 var)) = 2^(-d^2).
HALVES = -np.log(2.0 * np.log(2.0))
# (g_X~, g_Y~, log var, log delta~, log gamma), (B, A), F_Y, F_X; a row is divided by its last.
BY_HAND = {
    # delta = (3 - 1) / (3 - 1): one filter on every pixel.
    "square": (
        (0.0, 0.0, HALVES, 0.0, 0.0),
        (3, 3),
        [[16, 8, 1, 25], [1, 2, 1, 4], [1, 8, 16, 25]],
        [[16, 8, 1, 25], [1, 2, 1, 4], [1, 8, 16, 25]],
    ),
    # delta = (3 - 1) / (2 - 1) by the longer side: mu_X = 1 -+ 1, mu_Y = 1/2 -+ 1.
    "wide": (
        (0.0, 0.0, HALVES, 0.0, 0.0),
        (2, 3),
        [[4, 1, 5], [1, 4, 5]],
        [[16, 8, 1, 25], [1, 8, 16, 25]],
    ),
    # g_X~ = 1/2 moves by (3 + 1) / 2 / 2 pixels: mu_X = 2 -+ 1/2, mu_Y = 1 -+ 1/2.
    "moved, half the stride": (
        (0.5, 0.0, HALVES, -np.log(2.0), np.log(3.0)),
        (3, 3),
        [[4, 4, 1, 9], [1, 4, 4, 9]],
        [[1, 4, 4, 9], [1, 16, 64, 81]],
    ),
    # One filter: at the centre, whatever the stride.
    "one": ((0.0, 0.0, HALVES, 3.0, 0.0), (1, 3), [[1, 1]], [[1, 2, 1, 4]]),
    # g_Y~ = -1/3 moves by (5 + 1) / 2 / 3 lines, to mu_Y = 1.
    "high": (
        (0.0, -1 / 3, HALVES, 0.0, -1.0),
        (5, 1),
        [[256, 512, 256, 32, 1, 1057]],
        [[1, 1]],
    ),
    # mu_X = 6: 2^-36, 2^-25 and 2^-16 still become a row of sum 1.
    "far": ((2.5, 0.0, HALVES, 0.0, 0.0), (1, 3), [[1, 1]], [[1, 2**11, 2**20, 1 + 2**11 + 2**20]]),
    # mu_X = 8: 2^-64, 2^-49 and 2^-36 add to less than 1e-8, by which they are divided.
    "farther": ((3.5, 0.0, HALVES, 0.0, 0.0), (1, 3), [[1, 1]], [[1, 2**15, 2**28, 2**64 / 1e8]]),
}


def by_hand(name):
    parameters, image_shape, *tables = BY_HAND[name]
    F_Y, F_X = (np.array([np.array(row[:-1]) / row[-1] for row in table]) for table in tables)
    return np.array(parameters), image_shape, F_Y, F_X


def assign(model, **weights):
    """The weights named; `encoder_kernel` is the encoder's. All the others are zero."""
    of = {w.path.split("draw_cell/")[1].replace("/", "_"): w for w in model.trainable_weights}
    for name, weight in of.items():
        weight.assign(weights.get(name, np.zeros(weight.shape)))
    assert set(weights) <= set(of)


@pytest.mark.parametrize("name", BY_HAND)
def test_the_grid_by_hand(name):
    parameters, image_shape, F_Y, F_X = by_hand(name)
    got = equations.filters(parameters[None], len(F_Y), image_shape)
    gamma = np.exp(parameters[-1])
    assert_close(got, [F_Y[None], F_X[None], np.reshape(gamma, (1, 1, 1))], 1e-14)


@pytest.mark.parametrize("name", BY_HAND)
def test_a_stroke_by_hand(name):
    """One step of a model without other weights draws 1 / gamma F_Y^T w F_X."""
    parameters, image_shape, F_Y, F_X = by_hand(name)
    size = len(F_Y)
    model = make({"image_shape": image_shape, "write_size": size}, steps=1)
    patch = np.arange(1.0, 1 + size**2)
    assign(model, patch_bias=patch, write_bias=parameters)
    canvas = F_Y.T @ patch.reshape(size, size) @ F_X / np.exp(parameters[-1])
    assert_close(model.sample(1, noise=np.zeros((1, 1, LATENT)))[0], sigmoid(canvas), 1e-14)


@pytest.mark.parametrize("name", BY_HAND)
def test_a_look_by_hand(name):
    """With one pixel lit and the canvas at 1/2: a latent for every number read."""
    parameters, image_shape, F_Y, F_X = by_hand(name)
    size, count = len(F_Y), 2 * len(F_Y) ** 2
    x = np.zeros((count, *image_shape))
    x[:, 0, -1] = 1.0
    lit = np.outer(F_Y[:, 0], F_X[:, -1])
    sums = np.outer(F_Y.sum(axis=1), F_X.sum(axis=1))
    numbers = np.exp(parameters[-1]) * np.append(lit, lit - sums / 2.0)
    options = {"image_shape": image_shape, "read_size": size}
    model = make(options, steps=1, units=count, latent=count)
    kernel = np.zeros((2 * count, 4 * count))
    kernel[:count, 2 * count : 3 * count] = np.eye(count)  # g; all gates are 1/2
    heads = np.eye(count, 2 * count)
    assign(model, read_bias=parameters, encoder_kernel=kernel, heads_kernel=heads)
    mu = np.tanh(np.tanh(numbers) / 2.0) / 2.0
    terms = model.terms(x, None, np.eye(count)[:, None])
    assert_close(terms.kl, np.full(count, np.sum(mu**2) / 2.0), 1e-14)
    # sigma = 1, z = mu + noise: log p(z) - log q(z) = -mu^2 / 2 - mu * noise
    assert_close(-terms.log_ratio - terms.kl, mu, 1e-14)


@pytest.mark.parametrize("attention", [True, False])
def test_the_bound_by_hand(attention):
    """Heads without a kernel: every step adds the same to KL, and the canvas stays at 1/2."""
    model = make({"image_shape": (2, 3), "attention": attention}, steps=2, latent=2)
    assign(model, heads_bias=np.array([1.0, -2.0, np.log(2.0), 0.0]))
    terms = model.terms(np.ones((1, 2, 3)), None, np.ones((1, 2, 2)))
    # (1 + 4 - 2 log 2 - 1) / 2 + (4 + 1 - 0 - 1) / 2 = 4 - log 2
    assert_close(terms.kl, np.array([2.0 * (4.0 - np.log(2.0))]), 1e-14)
    assert_close(terms.log_likelihood, np.array([-6.0 * np.log(2.0)]), 1e-14)
    # z = 3, -1: -(9 + 1) / 2 + (1 + 1) / 2 + log 2 = log 2 - 4
    assert_close(terms.log_ratio, np.array([2.0 * (np.log(2.0) - 4.0)]), 1e-14)
