"""DRAW: its filters, the bound and its gradients, training, drawing, files."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from cases import arrays, assert_close, randomize
from generative import assert_gradients_are_finite_differences, loss_and_gradients
from graphs import assert_relatively_close
from test_saving import run_script
from tiers import quick_first

import keras_lstm_variants as klv
from keras_lstm_variants.generative import filters

BATCH, STEPS, UNITS, LATENT = 3, 4, 5, 2
HEIGHT, WIDTH = 6, 4
OPTIONS = {
    "attention": {"read_size": 2, "write_size": 3},
    "one-filter": {"read_size": 1, "write_size": 1},
    "plain": {"attention": False},
}
EVERY = pytest.mark.parametrize("name", list(OPTIONS))


def images(dtype="float32"):
    return np.random.default_rng(0).uniform(size=(BATCH, HEIGHT, WIDTH)).astype(dtype)


def noise_of(dtype="float32"):
    return np.random.default_rng(1).normal(size=(BATCH, STEPS, LATENT)).astype(dtype)


def make(which, **options):
    model = klv.DRAW(STEPS, UNITS, LATENT, image_shape=(HEIGHT, WIDTH), **OPTIONS[which], **options)
    model.build((None, HEIGHT, WIDTH))
    return randomize(model)


def test_filters_equal_the_formula():
    """One row and one filter at a time, pixels counted from 0."""
    parameters = np.random.default_rng(0).normal(size=(2, 5)) * 0.5
    size = 3
    found, gamma = filters.filterbank(keras.ops.convert_to_tensor(parameters), HEIGHT, WIDTH, size)
    for row, (g_x, g_y, log_variance, log_delta, log_gamma) in enumerate(parameters):
        delta = (max(HEIGHT, WIDTH) - 1) / (size - 1) * np.exp(log_delta)
        for values, center, pixels in zip(found, (g_y, g_x), (HEIGHT, WIDTH), strict=True):
            for i in range(size):
                mu = (pixels + 1) / 2 * (center + 1) - 1 + (i - (size - 1) / 2) * delta
                expected = np.exp(-((np.arange(pixels) - mu) ** 2) / (2 * np.exp(log_variance)))
                expected /= max(expected.sum(), 1e-8)
                np.testing.assert_allclose(values[row, i], expected, atol=1e-12)
        np.testing.assert_allclose(gamma[row, 0, 0], np.exp(log_gamma))


def test_filters_of_an_image_read_and_write_its_pixels():
    """Sharp filters on a grid of stride 1 about the centre are the pixels there."""
    stride = np.log((5 - 1) / (3 - 1))  # what makes delta 1
    parameters = keras.ops.convert_to_tensor(np.array([[0, 0, -20.0, -stride, 0]]))
    grid, _ = filters.filterbank(parameters, 5, 5, 3)
    image = np.arange(25.0).reshape(1, 5, 5)
    assert_close(filters.read(image, grid), image[:, 1:4, 1:4], 1e-12)
    assert_close(filters.write(image[:, 1:4, 1:4], grid)[:, 1:4, 1:4], image[:, 1:4, 1:4], 1e-12)
    # Far away from the image nothing is seen, and nothing is divided by zero.
    far = keras.ops.convert_to_tensor(np.array([[50.0, 0, -20, 0, 0]]))
    assert not np.any(filters.read(image, filters.filterbank(far, 5, 5, 3)[0]))


@quick_first(EVERY, quick=2)
def test_without_weights(name):
    """The canvas stays empty: fair coins; and the posterior is the prior."""
    model = make(name)
    for weight in model.trainable_weights:
        weight.assign(np.zeros(weight.shape))
    bits = HEIGHT * WIDTH * np.log(2)
    model.compile()
    found = model.evaluate(images(), verbose=0, return_dict=True)
    assert found == pytest.approx({"loss": bits, "reconstruction": bits, "kl": 0}, rel=1e-6)
    assert_close(model.elbo(images()), np.full(BATCH, -bits, "float32"))
    assert_close(model.importance_weighted(images(), samples=3), np.full(BATCH, -bits), 1e-5)
    assert_close(model.sample(2), np.full((2, HEIGHT, WIDTH), 0.5, "float32"))


@quick_first(EVERY, quick=2)
def test_gradients_are_finite_differences(name, fast):
    model = make(name, dtype="float64")
    x, noise = tf.constant(images("float64")), tf.constant(noise_of("float64"))
    _, *gradients = loss_and_gradients(model, x, noise, jit_compile=False)
    assert fast

    @tf.function
    def loss():
        model(x, noise=noise)
        return model.losses[0]

    # With one filter there is no stride, and so no gradient of it.
    assert_gradients_are_finite_differences(model, loss, gradients)


@pytest.mark.parametrize("name", ["attention", "plain"])
@quick_first(
    pytest.mark.parametrize(
        ("engine", "jit"),
        [("auto", False), ("auto", True), ("xla", False)],
        ids=["graph", "jit", "xla"],
    )
)
@pytest.mark.slow
def test_the_fast_loop_gives_what_the_plain_one_gives(name, engine, jit, fast):
    expected = loss_and_gradients(make(name, engine="plain"), images(), noise_of())
    assert not fast
    found = loss_and_gradients(make(name, engine=engine), images(), noise_of(), jit_compile=jit)
    assert fast
    assert_relatively_close(found, expected)


@EVERY
@pytest.mark.slow
def test_training(name):
    model = make(name, seed=0, kl_warm_up=4)
    before = arrays(model.trainable_weights)
    model.compile(keras.optimizers.Adam(0.01), jit_compile=name == "attention")
    history = model.fit(images(), epochs=30, verbose=0).history
    assert np.mean(history["reconstruction"][-5:]) < np.mean(history["reconstruction"][:5])
    for step in (0, 2, 10):
        parts = history["reconstruction"][step] + min(step / 4, 1) * history["kl"][step]
        assert history["loss"][step] == pytest.approx(parts, rel=1e-5)
    for old, weight in zip(before, model.trainable_weights, strict=True):
        assert np.any(arrays(weight)[0] != old), weight.path


@EVERY
def test_drawing_and_inference_are_one_model(name):
    """The latents of a reconstruction, given to `sample`, draw the same image."""
    model = make(name, dtype="float64")
    found = model.infer(images("float64").reshape(BATCH, -1), None, noise_of("float64"))
    mean, log_scale = arrays(found.posterior)
    latents = mean + np.exp(log_scale) * noise_of("float64")
    expected = model(images("float64"), noise=noise_of("float64"))
    assert_close(model.sample(BATCH, noise=latents), expected, 1e-12)
    steps = model.sample(BATCH, noise=latents, every_step=True)
    assert steps.shape == (BATCH, STEPS, HEIGHT, WIDTH)
    assert_close(steps[:, -1], expected, 1e-12)
    np.testing.assert_array_equal(model.sample(2, seed=1), model.sample(2, seed=1))
    assert np.any(model.sample(2, seed=1) != model.sample(2, seed=2))


@quick_first(
    pytest.mark.parametrize(
        ("name", "policy"), [("attention", "mixed_float16"), ("plain", "mixed_bfloat16")]
    ),
    quick=1,
)
def test_other_precisions(name, policy):
    exact = arrays(make(name).terms(images(), None, noise_of()))
    model = make(name, dtype=policy)
    terms = model.terms(images(), None, noise_of())
    assert {t.dtype for t in terms} == {tf.float32}
    assert_close(arrays(terms)[:2], exact[:2], 0.05)
    model.compile("adam")
    assert np.isfinite(model.fit(images(), verbose=0).history["loss"][0])


READ = """
import sys
import keras, numpy as np
import keras_lstm_variants
folder = sys.argv[1]
x = np.load(folder + "/x.npy")
for name in ("attention", "plain"):
    expected = np.load(f"{folder}/{name}.npz")
    model = keras.models.load_model(f"{folder}/{name}.keras")
    assert np.max(np.abs(model.reconstruct(x) - expected["means"])) < 1e-6, name
    assert np.max(np.abs(model.elbo(x, seed=3) - expected["elbo"])) < 1e-4, name
    assert np.max(np.abs(model.sample(2, seed=3) - expected["sample"])) < 1e-6, name
    assert int(model.training_steps.value) == 2
    model.fit(x, verbose=0)
    print("read", name)
"""


@pytest.mark.slow
@pytest.mark.processes
def test_files_in_another_process(tmp_path):
    np.save(tmp_path / "x.npy", images())
    for name in ("attention", "plain"):
        model = make(name, kl_warm_up=4)
        model.compile("adam")
        model.fit(images(), epochs=2, verbose=0)
        sample, elbo = model.sample(2, seed=3), model.elbo(images(), seed=3)
        np.savez(tmp_path / name, means=model.reconstruct(images()), elbo=elbo, sample=sample)
        model.save(tmp_path / f"{name}.keras")
        model.export(tmp_path / name, verbose=False)
        served = tf.saved_model.load(tmp_path / name)
        assert_close(served.serve(images()[:2]), model(images()[:2]), 1e-6)
        config = json.loads(json.dumps(keras.saving.serialize_keras_object(model)))
        assert config["registered_name"] == "keras_lstm_variants>DRAW"
        again = keras.saving.deserialize_keras_object(config)
        assert again.get_config() == model.get_config()
    assert run_script(READ, str(tmp_path)).count("read") == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"steps": 0}, "`steps` must be a positive integer"),
        ({"units": 2.5}, "`units` must be a positive integer"),
        ({"latent_units": -1}, "`latent_units` must be a positive integer"),
        ({"image_shape": 28}, r"`image_shape` must be a pair \(height, width\)"),
        ({"image_shape": (28, 0)}, "`image_shape` must be a positive integer"),
        ({"attention": "no"}, "`attention` must be True or False"),
        ({"read_size": 0}, "`read_size` must be a positive integer"),
        ({"write_size": None}, "`write_size` must be a positive integer"),
        ({"kl_warm_up": 0.5}, "`kl_warm_up` must be a whole number"),
        ({"likelihood": "gaussian"}, "likelihood"),
    ],
)
def test_wrong_arguments_are_refused(arguments, message):
    usual = {"steps": 2, "units": 3, "latent_units": 2, "image_shape": (4, 4)}
    with pytest.raises(ValueError, match=message):
        klv.DRAW(**{**usual, **arguments})


def test_wrong_data_are_refused():
    model = klv.DRAW(2, 3, 2, image_shape=(HEIGHT, WIDTH))
    with pytest.raises(ValueError, match="has no weights yet"):
        model.sample(1)
    with pytest.raises(ValueError, match=r"`x` must have the shape \(None, 6, 4\)"):
        model(images()[:, 1:])
    with pytest.raises(ValueError, match="takes no `mask`"):
        model(images(), mask=np.ones((BATCH, HEIGHT)))
    with pytest.raises(ValueError, match=r"`noise` must have the shape \(3, 2, 2\)"):
        model(images(), noise=noise_of())
    with pytest.raises(ValueError, match=r"`noise` must have the shape \(1, 2, 2\)"):
        model.sample(1, noise=noise_of())
    with pytest.raises(ValueError, match=r"must lie in \[0, 1\]"):
        model.elbo(images() - 1)
    with pytest.raises(ValueError, match="`n` must be a positive integer"):
        model.sample(0)
