"""Files written here are read in another process, which has only what a user would have."""

import json
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from cases import FEATURES, LAYERS, ROWS, UNITS, randomize

import keras_lstm_variants as klv

READ_WITH_THE_PACKAGE = """
import json, sys
import keras, numpy as np
import keras_lstm_variants
folder = sys.argv[1]
x = np.load(folder + "/x.npy")
for name in json.load(open(folder + "/names.json")):
    expected = np.load(f"{folder}/{name}.npy")
    model = keras.models.load_model(f"{folder}/{name}.keras")
    assert np.max(np.abs(model.predict(x, verbose=0) - expected)) < 1e-6, name
    again = keras.models.clone_model(model)
    again.load_weights(f"{folder}/{name}.weights.h5")
    assert np.max(np.abs(again.predict(x, verbose=0) - expected)) < 1e-6, name
    model.fit(x, np.zeros_like(expected), verbose=0)
    print("read", name)
"""

READ_WITHOUT_THE_PACKAGE = """
import json, sys


class Hide:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "keras_lstm_variants":
            raise ModuleNotFoundError(name)


sys.meta_path.insert(0, Hide())
import numpy as np
import tensorflow as tf
folder = sys.argv[1]
x = np.load(folder + "/x.npy")
for name in json.load(open(folder + "/names.json")):
    model = tf.saved_model.load(f"{folder}/{name}")
    expected = np.load(f"{folder}/{name}.npy")
    assert np.max(np.abs(model.serve(x) - expected)) < 1e-6, name
    served = model.signatures["serving_default"](sequence=tf.constant(x[:1, :3]))
    short = np.load(f"{folder}/{name}-short.npy")
    assert np.max(np.abs(list(served.values())[0] - short)) < 1e-6, name
    print("read", name)
"""


def run_script(script: str, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def model_with(name):
    """Stacked, bidirectional, masked, with unusual arguments everywhere."""
    layer_class, options = klv.get_variant(name), ROWS[name][-1]
    if layer_class.cell_class.forget_gate:
        options = {**options, "forget_bias": "chrono", "max_timesteps": 20}
    first = layer_class(
        UNITS,
        **options,
        dropout=0.1,
        recurrent_dropout=0.1,
        seed=1,
        kernel_regularizer=keras.regularizers.L2(0.01),
        recurrent_initializer=klv.initializers.PerGate("orthogonal", UNITS),
        return_sequences=True,
    )
    cells = [layer_class.cell_class(4, **options), klv.GRUCell(3)]
    model = keras.Sequential(
        [
            keras.Input((None, FEATURES), name="sequence"),
            keras.layers.Masking(),
            keras.layers.Bidirectional(first),
            layer_class(4, **options, initial_state="learned", return_sequences=True),
            klv.RecurrentLayer(cells),
        ]
    )
    randomize(model)
    model.compile("adam", "mse")
    return model


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved")
    x = np.random.default_rng(0).normal(size=(3, 5, FEATURES)).astype("float32")
    x[0, 3:] = 0
    np.save(folder / "x.npy", x)
    (folder / "names.json").write_text(json.dumps(LAYERS))
    for name in LAYERS:
        model = model_with(name)
        np.save(folder / f"{name}.npy", model.predict(x, verbose=0))
        np.save(folder / f"{name}-short.npy", model(x[:1, :3]))
        model.save(folder / f"{name}.keras")
        model.save_weights(folder / f"{name}.weights.h5")
        model.export(folder / name, verbose=False)
    return folder


def test_keras_files_and_weights_in_another_process(folder):
    output = run_script(READ_WITH_THE_PACKAGE, str(folder))
    assert output.count("read") == len(LAYERS)


def test_saved_models_in_a_process_without_the_package(folder):
    output = run_script(READ_WITHOUT_THE_PACKAGE, str(folder))
    assert output.count("read") == len(LAYERS)


def test_package_name_in_files_never_changes(folder):
    """The registered name is the file format."""
    for name in LAYERS:
        config = keras.saving.serialize_keras_object(klv.get_variant(name)(UNITS))
        assert config["registered_name"] == f"keras_lstm_variants>{name}"


@pytest.mark.parametrize("name", ["v0_1_0", "v0_1_0_stacks"])
def test_golden_file_of_the_first_version(name):
    """A file written by version 0.1.0 must load for ever."""
    golden = Path(__file__).parent / "golden"
    model = keras.models.load_model(golden / f"{name}.keras")
    for layer in model.layers:
        layer.supports_masking = True  # of Keras's own, too: in 3.16 they would lose the mask
    with np.load(golden / f"{name}.npz") as data:
        np.testing.assert_allclose(model.predict(data["x"], verbose=0), data["y"], atol=1e-5)
