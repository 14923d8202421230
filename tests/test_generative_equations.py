"""VRNN, VRNN-I and STORN against their equations in NumPy, in float64 with given noise."""

import itertools

import keras
import numpy as np
import pytest
from cases import FEATURES, MASK, TIME, assert_close, randomize
from equations import generative as equations

import keras_lstm_variants as klv

UNITS, HIDDEN, LATENT, SAMPLES = 5, 4, 2, 3
CELLS = ["LSTM", "GRU", "Elman"]
LIKELIHOODS = ["bernoulli", "gaussian"]
VRNN = [
    ("VRNN", {"prior": prior, "likelihood": likelihood, "cell": cell})
    for prior, likelihood, cell in itertools.product(["learned", "standard"], LIKELIHOODS, CELLS)
]
STORN = [
    ("STORN", {"bidirectional": both, "likelihood": likelihood, "cell": cell})
    for both, likelihood, cell in itertools.product([False, True], LIKELIHOODS, CELLS)
]
IDS = [f"{name}-{'-'.join(map(str, options.values()))}" for name, options in VRNN + STORN]
# Rows of one unmasked step, at the start and at the end, beside the patterns of MASK.
MASKS = np.concatenate([MASK, np.eye(TIME, dtype=bool)[[0, -1]]])
ROWS = len(MASKS)
TOLERANCE = 1e-12


def make(name, options):
    """Random weights; hidden sizes other than the units, so that none can stand for another."""
    sizes = {"VRNN": {"hidden_units": HIDDEN}, "STORN": {"recognition_units": HIDDEN}}
    model = getattr(klv, name)(UNITS, LATENT, dtype="float64", seed=0, **sizes[name], **options)
    model(np.zeros((1, TIME, FEATURES)))
    return randomize(model)


def data(likelihood):
    """x and noise: float32 numbers, as Keras rounds to its floatx what `predict` is given."""
    random = np.random.default_rng(3)
    noise = random.normal(size=(SAMPLES, ROWS, TIME, LATENT))
    if likelihood == "gaussian":
        x = 2.0 * random.normal(size=(ROWS, TIME, FEATURES)) + 0.5
    else:
        x = random.integers(2, size=(ROWS, TIME, FEATURES)).astype("float64")
        x[0] = random.random((TIME, FEATURES))  # Bernoulli x may lie between 0 and 1.
    return (a.astype("float32").astype("float64") for a in (x, noise))


def expected(name, options, model, x, noise, mask):
    equation = {"VRNN": equations.vrnn, "STORN": equations.storn}[name]
    values = [w.numpy() for w in model.trainable_weights]
    return equation(values, x, noise, mask=mask, **options)


@pytest.mark.parametrize(("name", "options"), VRNN + STORN, ids=IDS)
def test_the_terms_and_the_means(name, options):
    model = make(name, options)
    x, noise = data(options["likelihood"])
    for mask in (None, MASKS):
        real = np.ones_like(MASKS) if mask is None else mask
        e = expected(name, options, model, x, noise[0], mask)
        terms = model.terms(x, mask, noise[0])
        assert_close(terms.log_likelihood, -e["reconstruction"], TOLERANCE)
        assert_close(terms.kl, e["kl"], TOLERANCE)
        assert_close(terms.log_likelihood + terms.log_ratio, e["log_weights"], TOLERANCE)
        nothing = ~real.any(axis=1)
        assert not np.any(e["log_weights"][nothing]) and not np.any(e["kl"][nothing])
        means = keras.ops.convert_to_numpy(model(x, mask=mask, noise=noise[0]))
        assert_close(means[real], e["parameters"][real], TOLERANCE)
        assert_close(sum(model.losses), np.mean(e["reconstruction"] + e["kl"]), TOLERANCE)


# Every prior, likelihood, cell and direction once at least: each model compiles a graph.
FEW = [VRNN[0], VRNN[10], STORN[2], STORN[9]]


@pytest.mark.parametrize(("name", "options"), FEW, ids=[IDS[(VRNN + STORN).index(v)] for v in FEW])
def test_the_bounds_and_the_reconstruction(name, options):
    model = make(name, options)
    x, noise = data(options["likelihood"])
    draws = [expected(name, options, model, x, n, MASKS) for n in noise]
    elbo = np.mean([-e["reconstruction"] - e["kl"] for e in draws], axis=0)
    weighted = equations.importance_weighted(np.stack([e["log_weights"] for e in draws]))
    # Fewer rows at once than there are: the noise stays with its rows.
    given = {"mask": MASKS, "samples": SAMPLES, "noise": noise, "batch_size": 3}
    assert_close(model.elbo(x, **given), elbo, TOLERANCE)
    assert_close(model.importance_weighted(x, **given), weighted, TOLERANCE)
    at_the_mean = expected(name, options, model, x, np.zeros_like(noise[0]), MASKS)
    means = model.reconstruct(x, MASKS)
    assert_close(means[MASKS], at_the_mean["parameters"][MASKS], TOLERANCE)


@pytest.mark.parametrize(("name", "options"), FEW, ids=[IDS[(VRNN + STORN).index(v)] for v in FEW])
def test_masked_steps_are_as_if_not_there(name, options):
    """Of the equations alone: each row against what is left of it."""
    model = make(name, options)
    x, (noise, *_) = data(options["likelihood"])
    whole = expected(name, options, model, x, noise, MASKS)
    for row in np.flatnonzero(MASKS.any(axis=1)):
        left = x[[row]][:, MASKS[row]], noise[[row]][:, MASKS[row]]
        e = expected(name, options, model, *left, None)
        for key in ("reconstruction", "kl", "log_weights"):
            assert_close(whole[key][row], e[key][0], TOLERANCE)
        for key in ("parameters", "latent"):
            assert_close(whole[key][row, MASKS[row]], e[key][0], TOLERANCE)
