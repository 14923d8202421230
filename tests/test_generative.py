"""VRNN and STORN: the bound and its gradients, masks, training, generation, files."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from cases import arrays, assert_close, randomize
from generative import (
    BATCH,
    EVERY,
    FEATURES,
    LATENT,
    MASK,
    SEQUENCE_MODELS,
    TIME,
    TWO,
    UNITS,
    assert_gradients_are_finite_differences,
    data,
    loss_and_gradients,
    make,
    noise_of,
)
from graphs import assert_relatively_close
from tiers import quick_first

import keras_lstm_variants as klv

LOG_2 = np.log(2)


@EVERY
@pytest.mark.slow
def test_gradients_are_finite_differences(name, fast):
    model = make(name, dtype="float64")
    x, noise = tf.constant(data(name, "float64")), tf.constant(noise_of("float64"))
    _, *gradients = loss_and_gradients(model, x, noise, MASK, jit_compile=False)
    assert fast

    @tf.function
    def loss():
        model(x, mask=MASK, noise=noise)
        return model.losses[0]

    assert_gradients_are_finite_differences(model, loss, gradients)


@quick_first(
    pytest.mark.parametrize(
        ("name", "engine", "jit"),
        [
            ("VRNN", "auto", False),
            ("VRNN-I", "auto", True),
            ("VRNN-I", "xla", False),
            ("STORN", "auto", True),
            ("STORN", "xla", False),
            ("STORN-both", "auto", False),
        ],
    )
)
@pytest.mark.slow
def test_the_fast_loop_gives_what_the_plain_one_gives(name, engine, jit, fast):
    expected = loss_and_gradients(make(name, engine="plain"), data(name), noise_of(), MASK)
    assert not fast
    model = make(name, engine=engine)
    found = loss_and_gradients(model, data(name), noise_of(), MASK, jit_compile=jit)
    assert fast
    assert_relatively_close(found, expected)


@EVERY
@pytest.mark.slow
def test_masked_steps_count_in_nothing(name):
    """Right padding and holes are the same as if these steps were not there."""
    model = make(name, dtype="float64")
    x, noise = data(name, "float64"), noise_of("float64")
    anything = np.where(MASK[..., None], x, np.nan)
    found = arrays(model.terms(anything, MASK, noise))
    for row in range(BATCH):
        real = MASK[row]
        if real.any():
            terms = model.terms(x[row : row + 1, real], None, noise[row : row + 1, real])
            assert_close([f[row : row + 1] for f in found], arrays(terms), 1e-12)
        else:
            assert [f[row] for f in found] == [0, 0, 0]
    both = [model({"x": anything, "mask": MASK}), model(anything, mask=MASK)]
    assert_close(both[0], both[1], 0)
    gradients = loss_and_gradients(model, anything, noise, MASK, jit_compile=False)
    assert all(np.all(np.isfinite(g)) for g in arrays(gradients))


@pytest.mark.parametrize("kind", [klv.VRNN, klv.STORN])
def test_metrics_are_sums_of_nats(kind):
    """Without kernels all is known: p(x) is fair coins, posterior and prior are the biases'."""
    model = kind(UNITS, LATENT)
    model.build((None, None, FEATURES))
    for weight in model.trainable_weights:
        weight.assign(np.zeros(weight.shape))
    mean, raw = np.array([0.5, -1.0]), np.array([0.3, 1.0])
    for weight in model.trainable_weights:
        if weight.path.endswith(("posterior_heads_bias", "recognition_heads/bias")):
            weight.assign(np.concatenate([mean, raw]))
        if weight.path.endswith("prior_heads/bias"):
            weight.assign([0.0, 0.0, 1.0, 1.0])
    softplus = lambda v: np.log1p(np.exp(v)) + 1e-4  # noqa: E731
    scale, prior = (
        (softplus(raw), softplus(np.ones(2))) if kind is klv.VRNN else (np.exp(raw / 2), np.ones(2))
    )
    kl = np.sum(np.log(prior / scale) + (scale**2 + mean**2) / (2 * prior**2) - 0.5)
    x = {"x": data("VRNN"), "mask": MASK}
    steps = MASK.sum() / BATCH
    expected = {"reconstruction": steps * FEATURES * LOG_2, "kl": steps * kl}
    expected["loss"] = expected["reconstruction"] + expected["kl"]
    model.compile("sgd")
    found = model.evaluate(x, verbose=0, return_dict=True, batch_size=3)
    # The loss of an epoch is the mean over its batches, as everywhere in Keras.
    assert found == pytest.approx(expected, rel=1e-5)
    assert np.mean(model.elbo(**x)) == pytest.approx(-expected["loss"], rel=1e-5)


@pytest.mark.parametrize("name", TWO)
@pytest.mark.slow
def test_warm_up_weighs_kl_in_training_alone(name):
    model = make(name, kl_warm_up=4)
    model.compile(keras.optimizers.SGD(0.0))
    x = data(name)
    for step in range(6):
        found = model.train_on_batch(x, return_dict=True)
        weight = min(step / 4, 1)
        assert found["loss"] == pytest.approx(
            found["reconstruction"] + weight * found["kl"], rel=1e-5
        )
        assert int(model.training_steps.value) == step + 1
        model.reset_metrics()
    fresh = make(name, kl_warm_up=4)
    fresh.compile()
    found = fresh.evaluate(x, verbose=0, return_dict=True)
    assert found["loss"] == pytest.approx(found["reconstruction"] + found["kl"], rel=1e-5)
    assert int(fresh.training_steps.value) == 0


@quick_first(
    pytest.mark.parametrize(
        ("name", "jit"),
        [("VRNN", False), ("VRNN-I", True), ("STORN", True), ("STORN-both", False)],
    )
)
@pytest.mark.slow
def test_every_weight_moves_and_the_bound_rises(name, jit):
    model = make(name, seed=0)
    before = arrays(model.trainable_weights)
    model.compile(keras.optimizers.Adam(0.03), jit_compile=jit)
    x = {"x": data(name), "mask": MASK}
    history = model.fit(x, epochs=20, verbose=0).history
    assert sorted(history) == ["kl", "loss", "reconstruction"]
    assert np.mean(history["loss"][-5:]) < np.mean(history["loss"][:5])
    for old, weight in zip(before, model.trainable_weights, strict=True):
        assert np.all(np.any(arrays(weight)[0] != old)), weight.path


@pytest.mark.parametrize("name", TWO)
@pytest.mark.slow
def test_sequences_of_any_length_from_a_dataset(name):
    def sequences():
        for time in (2, 5, 3, 4):
            yield data(name)[0, :time]

    spec = tf.TensorSpec((None, FEATURES), tf.float32)
    dataset = tf.data.Dataset.from_generator(sequences, output_signature=spec)
    dataset = dataset.map(lambda x: {"x": x, "mask": tf.ones(tf.shape(x)[0], tf.bool)})
    dataset = dataset.padded_batch(2).apply(tf.data.experimental.assert_cardinality(2))
    model = SEQUENCE_MODELS[name][0](UNITS, LATENT, **SEQUENCE_MODELS[name][1])
    model.compile("adam")
    history = model.fit(dataset, epochs=2, shuffle=False, verbose=0).history
    assert np.all(np.isfinite(history["loss"]))
    assert model.predict(data(name)[:, :2], verbose=0).shape == (BATCH, 2, FEATURES)


@EVERY
def test_generation_and_inference_are_one_model(name):
    """The latents and x that were drawn, put through inference, give the same parameters of x."""
    model = make(name, dtype="float64")
    features = FEATURES
    random = np.random.default_rng(3)
    z = random.normal(size=(BATCH, TIME, LATENT))
    noise = {"z": z, "x": random.uniform(size=(BATCH, TIME, features))}
    x = model.sample(BATCH, TIME, noise=noise)
    means = model.sample(BATCH, TIME, noise=noise, means=True)
    eps = np.zeros_like(z)
    for t in range(TIME):
        found = model.infer(x, None, eps)
        prior, posterior = arrays(found.prior), arrays(found.posterior)
        latent = prior[0] + np.exp(prior[1]) * z
        eps[:, t] = ((latent - posterior[0]) * np.exp(-posterior[1]))[:, t]
    found = model.infer(x, None, eps)
    assert_close(model.observation.mean(found.parameters), means, 1e-12)
    assert_close(model.observation.draw(found.parameters, noise["x"]), x, 1e-12)


@EVERY
def test_sampling(name):
    model = make(name, seed=5)
    one, two = model.sample(3, 4, seed=1), model.sample(3, 4, seed=1)
    np.testing.assert_array_equal(one, two)
    assert one.shape == (3, 4, FEATURES) and one.dtype == "float32"
    assert np.any(one != model.sample(3, 4, seed=2))
    assert np.any(model.sample(30, 4) != model.sample(30, 4))
    again = make(name, seed=5)
    np.testing.assert_array_equal(again.sample(3, 4), make(name, seed=5).sample(3, 4))
    if model.likelihood == "bernoulli":
        assert set(np.unique(one)) <= {0, 1}
        means = model.sample(3, 4, seed=1, means=True)
        assert np.all((0 < means) & (means < 1))
        # One where the noise is below the mean.
        noise = {"z": np.zeros((3, 4, LATENT)), "x": np.zeros((3, 4, FEATURES))}
        assert np.all(model.sample(3, 4, noise=noise) == 1)


@pytest.mark.parametrize("name", TWO)
@pytest.mark.slow
def test_estimates(name):
    model = make(name)
    x, noise = data(name), noise_of()
    log_likelihood, kl, log_ratio = arrays(model.terms(x, MASK, noise))
    elbo = model.elbo(x, MASK, noise=noise[None])
    assert_close(elbo, log_likelihood - kl)
    assert_close(model.elbo({"x": x, "mask": MASK}, noise=noise[None], batch_size=3), elbo)
    one = model.importance_weighted(x, MASK, noise=noise[None])
    assert_close(one.astype("float32"), log_likelihood + log_ratio)
    few = model.importance_weighted(x, samples=2, seed=1)
    assert_close(model.importance_weighted(x, samples=2, seed=1), few, 0)
    # More draws together give more than fewer, whatever they are (Jensen).
    several = np.random.default_rng(2).normal(size=(12, *noise.shape)).astype("float32")
    weighted = [
        np.mean([model.importance_weighted(x, noise=part) for part in np.split(several, 12 // k)])
        for k in (1, 4, 12)
    ]
    assert weighted[0] < weighted[1] < weighted[2]
    bound = model.elbo(x, samples=600, seed=0)
    mean = np.mean([model.importance_weighted(x, noise=several[k : k + 1]) for k in range(12)])
    assert np.mean(bound) == pytest.approx(mean, abs=1.5)
    assert_close(model.reconstruct(x, MASK), model(x, mask=MASK), 1e-6)
    assert_close(model(x, noise=np.zeros_like(noise)), model(x), 0)


def test_importance_weights_are_exact_where_the_posterior_is():
    """x_t = a z_t + s e_t, as a VRNN-I whose ReLUs come in pairs: relu(v) - relu(-v) = v."""
    a, s = 1.5, 0.5
    variance = a * a + s * s
    model = klv.VRNN(
        2, 1, 2, likelihood="gaussian", prior="standard", cell="Elman", dtype="float64"
    )
    model.build((None, None, 1))
    raw = lambda scale: np.log(np.expm1(scale - 1e-4))  # noqa: E731
    pair, identity = np.array([[1.0, -1.0]]), np.eye(2)
    values = {
        "phi_x_kernel": pair,
        "posterior_kernel": identity,
        "posterior_heads_kernel": np.array([[1, 0], [-1, 0]]) * a / variance,
        "posterior_heads_bias": [0, raw(s / np.sqrt(variance))],
        "phi_z_kernel": pair,
        "decoder_hidden/kernel": np.concatenate([identity, 0 * identity]),
        "decoder_heads/kernel": np.array([[1, 0], [-1, 0]]) * a,
        "decoder_heads/bias": [0, raw(s)],
    }
    for weight in model.trainable_weights:
        name = next((k for k in values if weight.path.endswith(f"/{k}")), None)
        weight.assign(np.zeros(weight.shape) if name is None else values[name])
    x = np.random.default_rng(0).normal(size=(3, 4, 1)) * 2
    exact = np.sum(-0.5 * x**2 / variance - 0.5 * np.log(2 * np.pi * variance), axis=(1, 2))
    for samples in (1, 3):
        assert_close(model.importance_weighted(x, samples=samples, seed=0), exact, 1e-5)
    # Its mean is exact too: KL is that of the true posterior.
    assert_close(model.elbo(x, samples=500, seed=0), exact, 0.03)


@pytest.mark.parametrize("name", TWO)
def test_without_use_of_z_the_bounds_are_the_likelihood(name):
    model = make(name)
    for weight in model.trainable_weights:
        if "decoder_hidden/kernel" in weight.path or "decoder_heads/kernel" in weight.path:
            weight.assign(np.zeros(weight.shape))
        if "heads" in weight.path and "decoder" not in weight.path:
            weight.assign(np.zeros(weight.shape))
        if "VRNN-I" in name and "posterior_heads_bias" in weight.path:
            weight.assign([0.0, 0.0, *np.full(2, np.log(np.expm1(1 - 1e-4)))])
    x = data(name)
    parameters = model.infer(x, None, np.zeros((BATCH, TIME, LATENT), "float32")).parameters
    exact = np.sum(model.observation.log_density(x, parameters), axis=(1, 2))
    assert_close(model.elbo(x, seed=0), exact, 1e-5)
    assert_close(model.importance_weighted(x, samples=3, seed=0), exact, 1e-5)


@quick_first(
    pytest.mark.parametrize(
        ("name", "policy"), [("VRNN", "mixed_float16"), ("STORN-both", "mixed_bfloat16")]
    )
)
@pytest.mark.slow
def test_other_precisions(name, policy):
    x, noise = data(name), noise_of()
    exact = arrays(make(name).terms(x, MASK, noise))
    model = make(name, dtype=policy)
    terms = model.terms(x, MASK, noise)
    assert {t.dtype for t in terms} == {tf.float32}
    # The logarithm of the ratio is a difference of large numbers.
    assert_close(arrays(terms)[:2], exact[:2], 0.05)
    model.compile(keras.optimizers.Adam(0.01))
    assert np.isfinite(model.fit({"x": x, "mask": MASK}, verbose=0).history["loss"][0])
    assert model.sample(2, 3).shape == (2, 3, FEATURES)


@pytest.mark.parametrize("name", TWO)
@pytest.mark.slow
def test_evaluation_draws_and_prediction_does_not(name):
    found = []
    for _ in range(2):
        model = make(name, seed=4)
        model.compile()
        found.append(model.evaluate(data(name), verbose=0))
        found.append(model.evaluate(data(name), verbose=0))
    assert found[:2] == found[2:] and found[0] != found[1]
    assert_close(model.predict(data(name), verbose=0), model(data(name)), 1e-6)
    assert not model.losses
    model(data(name), training=True)
    model(data(name), training=True)
    assert len(model.losses) == 1


@quick_first(
    pytest.mark.parametrize(
        ("kind", "cell"),
        [(klv.VRNN, "LSTM1997"), (klv.VRNN, "PeepholeLSTM"), (klv.STORN, "ClockworkRNN")],
    )
)
def test_other_recurrent_cells(kind, cell, fast):
    model = kind(8, LATENT, cell=cell, engine="plain")
    model.build((None, None, FEATURES))
    randomize(model)
    expected = loss_and_gradients(model, data("VRNN"), noise_of(), MASK)
    model = kind(8, LATENT, cell=cell)
    model.build((None, None, FEATURES))
    randomize(model)
    found = loss_and_gradients(model, data("VRNN"), noise_of(), MASK, jit_compile=False)
    assert fast
    assert_relatively_close(found, expected)
