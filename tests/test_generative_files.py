"""VRNN and STORN: files, configuration, and what they refuse."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from cases import assert_close
from generative import EVERY, FEATURES, LATENT, MASK, TIME, TWO, UNITS, data, make, noise_of
from test_saving import run_script

import keras_lstm_variants as klv

READ = """
import json, sys
import keras, numpy as np
import keras_lstm_variants
folder = sys.argv[1]
x = {"x": np.load(folder + "/x.npy"), "mask": np.load(folder + "/mask.npy")}
for name in json.load(open(folder + "/names.json")):
    expected = np.load(f"{folder}/{name}.npz")
    model = keras.models.load_model(f"{folder}/{name}.keras")
    assert np.max(np.abs(model.reconstruct(**x) - expected["means"])) < 1e-6, name
    assert np.max(np.abs(model.elbo(**x, seed=3) - expected["elbo"])) < 1e-5, name
    assert np.max(np.abs(model.sample(2, 3, seed=3) - expected["sample"])) < 1e-5, name
    assert int(model.training_steps.value) == int(model.optimizer.iterations.value) == 2
    assert model.kl_warm_up == 4
    again = model.__class__.from_config(model.get_config())
    again.build((None, None, x["x"].shape[-1]))
    again.load_weights(f"{folder}/{name}.weights.h5")
    assert np.max(np.abs(again.reconstruct(**x) - expected["means"])) < 1e-6, name
    loss = model.train_on_batch(x, return_dict=True)
    assert abs(loss["reconstruction"] + 0.5 * loss["kl"] - loss["loss"]) < 1e-4
    print("read", name)
"""


@pytest.mark.slow
@pytest.mark.processes
def test_files_in_another_process(tmp_path):
    (tmp_path / "names.json").write_text(json.dumps(TWO))
    x = {"x": data("VRNN"), "mask": MASK}
    for name, value in x.items():
        np.save(tmp_path / f"{name}.npy", value)
    for name in TWO:
        model = make(name, kl_warm_up=4)
        model.compile("adam")
        model.fit(x, epochs=2, verbose=0)
        means = model.reconstruct(**x)
        sample = model.sample(2, 3, seed=3)
        np.savez(tmp_path / name, means=means, elbo=model.elbo(**x, seed=3), sample=sample)
        model.save(tmp_path / f"{name}.keras")
        model.save_weights(tmp_path / f"{name}.weights.h5")
    assert run_script(READ, str(tmp_path)).count("read") == len(TWO)


@pytest.mark.parametrize("name", TWO)
@pytest.mark.slow
def test_exported(name, tmp_path):
    """Built with unknown sizes, a model is exported for any batch and length."""
    model = make(name)
    model(data(name))
    model.export(tmp_path / "model", verbose=False)
    served = tf.saved_model.load(tmp_path / "model")
    for time in (TIME, 2):
        x = data(name)[:2, :time]
        assert_close(served.serve(x), model(x), 1e-6)
    spec = {
        "x": tf.TensorSpec((None, None, FEATURES)),
        "mask": tf.TensorSpec((None, None), tf.bool),
    }
    model.export(tmp_path / "masked", verbose=False, input_signature=[spec])
    served = tf.saved_model.load(tmp_path / "masked")
    x = {"x": data(name), "mask": MASK}
    assert_close(served.serve(x), model(x), 1e-6)


@EVERY
def test_configuration(name):
    model = make(name, kl_warm_up=3, engine="plain", seed=2, dtype="mixed_float16", name="mine")
    config = json.loads(json.dumps(keras.saving.serialize_keras_object(model)))
    assert config["registered_name"] == f"keras_lstm_variants>{type(model).__name__}"
    again = keras.saving.deserialize_keras_object(config)
    assert again.get_config() == model.get_config()
    assert again.dtype_policy.name == "mixed_float16" and again.name == "mine"


WRONG = [
    ({"units": 0}, "`units` must be a positive integer"),
    ({"latent_units": 1.5}, "`latent_units` must be a positive integer"),
    ({"likelihood": "poisson"}, "`likelihood` must be one of"),
    ({"kl_warm_up": -1}, "`kl_warm_up` must be a whole number from 0"),
    ({"engine": "fast"}, "`engine` must be one of"),
    ({"seed": "a"}, "`seed` must be None or a whole number"),
    ({"cell": "lstmm"}, "Unknown variant 'lstmm'"),
]


@pytest.mark.parametrize(("arguments", "message"), WRONG)
@pytest.mark.parametrize("kind", [klv.VRNN, klv.STORN])
def test_wrong_arguments_are_refused(kind, arguments, message):
    with pytest.raises(ValueError, match=message):
        kind(**{"units": 3, "latent_units": 2, **arguments})


def test_other_wrong_arguments_are_refused():
    with pytest.raises(ValueError, match="`hidden_units` must be a positive integer"):
        klv.VRNN(3, 2, 0)
    with pytest.raises(ValueError, match="`prior` must be one of .*prior='none'"):
        klv.VRNN(3, 2, prior="none")
    with pytest.raises(ValueError, match="whose input enters as `x W \\+ b`.*cell='MUT1'"):
        klv.VRNN(3, 2, cell="MUT1")
    with pytest.raises(ValueError, match="`recognition_units` must be a positive integer"):
        klv.STORN(3, 2, -1)
    with pytest.raises(ValueError, match="`bidirectional` must be True or False"):
        klv.STORN(3, 2, bidirectional="both")


@pytest.mark.parametrize("kind", [klv.VRNN, klv.STORN])
def test_wrong_data_are_refused(kind):
    x, model = data("VRNN"), kind(UNITS, LATENT)
    with pytest.raises(ValueError, match="has no weights yet"):
        model.sample(1, 2)
    with pytest.raises(ValueError, match="has no weights yet"):
        model.elbo(x)
    with pytest.raises(ValueError, match=r"`x` must have the shape \(None, None, None\)"):
        model(x[0])
    model(x)
    with pytest.raises(ValueError, match=r"`x` must have the shape \(None, None, 3\)"):
        model(x[..., :2])
    with pytest.raises(ValueError, match=r"`mask` must have the shape \(4, 5\)"):
        model(x, mask=MASK[:, 1:])
    with pytest.raises(ValueError, match=r"`noise` must have the shape \(4, 5, 2\)"):
        model(x, noise=x)
    with pytest.raises(ValueError, match=r"`noise` must have the shape \(None, 4, 5, 2\)"):
        model.elbo(x, noise=noise_of())
    with pytest.raises(ValueError, match='must have the key "x" and may have "mask"'):
        model({"x": x, "y": x})
    with pytest.raises(ValueError, match=r"must lie in \[0, 1\].*from 0.0 to 2.0"):
        model.importance_weighted(2 * x)
    with pytest.raises(ValueError, match="`samples` must be a positive integer"):
        model.elbo(x, samples=0)
    with pytest.raises(ValueError, match="`steps` must be a positive integer"):
        model.sample(1, 0)
    with pytest.raises(ValueError, match='`noise` must be a dict with the keys "x" and "z"'):
        model.sample(1, 2, noise=noise_of())
    with pytest.raises(ValueError, match=r"`noise\['x'\]` must have the shape \(1, 2, 3\)"):
        model.sample(1, 2, noise={"z": np.zeros((1, 2, LATENT)), "x": np.zeros((1, 2, 2))})
    model.compile("adam")
    with pytest.raises(ValueError, match="learns to model x alone: `y` must be None"):
        model.fit(x, x, verbose=0)
