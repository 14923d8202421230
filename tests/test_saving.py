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
    expected = np.load(f"{folder}/{name}.npz")
    model = keras.models.load_model(f"{folder}/{name}.keras")
    again = keras.models.clone_model(model)
    again.load_weights(f"{folder}/{name}.weights.h5")
    found = model(x), again(x)
    for key, wanted in expected.items():
        for results in found:
            assert np.max(np.abs(results[key] - wanted)) < 1e-6, (name, key)
        print("read", key)
    if name != "every_layer":
        model.fit(x, {key: np.zeros_like(v) for key, v in expected.items()}, verbose=0)
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
    found = model.serve(x)
    served = model.signatures["serving_default"](sequence=tf.constant(x[:1, :3]))
    expected, short = np.load(f"{folder}/{name}.npz"), np.load(f"{folder}/{name}-short.npz")
    for key, wanted in expected.items():
        assert np.max(np.abs(found[key] - wanted)) < 1e-6, (name, key)
        assert np.max(np.abs(served[key] - short[key])) < 1e-6, (name, key)
        print("read", key)
"""

# Whose layers are also saved both ways, in stacks of layers and of cells, and trained again.
STACKED = ("ClockworkLSTM", "DeepGateLSTM")


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


def arguments_of(name):
    """Unusual arguments everywhere."""
    options = ROWS[name][-1]
    if klv.get_variant(name).cell_class.forget_gate:
        options = {**options, "forget_bias": "chrono", "max_timesteps": 20}
    return options


# What cells with a recurrent kernel take.
RECURRENT = {
    "recurrent_dropout": 0.1,
    "recurrent_initializer": klv.initializers.PerGate("orthogonal", UNITS),
}


def layer_of(variant, **more):
    refused = klv.get_variant(variant).cell_class.not_taken
    return klv.get_variant(variant)(
        UNITS,
        **arguments_of(variant),
        **{k: v for k, v in RECURRENT.items() if k not in refused},
        dropout=0.1,
        seed=1,
        kernel_regularizer=keras.regularizers.L2(0.01),
        return_sequences=True,
        **more,
    )


def every_layer():
    """All layers side by side, with an output each."""
    x = keras.Input((None, FEATURES), name="sequence")
    masked = keras.layers.Masking()(x)
    outputs = {name: layer_of(name, name=name, go_backwards=True)(masked) for name in LAYERS}
    return keras.Model(x, outputs)


def stack_of(name):
    """Stacked, bidirectional and masked."""
    layer_class, options = klv.get_variant(name), arguments_of(name)
    x = keras.Input((None, FEATURES), name="sequence")
    y = keras.layers.Bidirectional(layer_of(name))(keras.layers.Masking()(x))
    y = layer_class(4, **options, initial_state="learned", return_sequences=True)(y)
    y = klv.RecurrentLayer([layer_class.cell_class(4, **options), klv.GRUCell(3)])(y)
    return keras.Model(x, {f"stack_of_{name}": y})


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved")
    x = np.random.default_rng(0).normal(size=(3, 5, FEATURES)).astype("float32")
    x[0, 3:] = 0
    np.save(folder / "x.npy", x)
    models = {"every_layer": every_layer(), **{name: stack_of(name) for name in STACKED}}
    (folder / "names.json").write_text(json.dumps(list(models)))
    for name, model in models.items():
        randomize(model)
        model.compile("adam", "mse")
        for end, part in (("", x), ("-short", x[:1, :3])):
            np.savez(folder / f"{name}{end}.npz", **{k: v.numpy() for k, v in model(part).items()})
        model.save(folder / f"{name}.keras")
        model.save_weights(folder / f"{name}.weights.h5")
        model.export(folder / name, verbose=False)
    return folder


@pytest.mark.slow
@pytest.mark.processes
@pytest.mark.parametrize(
    "script", [READ_WITH_THE_PACKAGE, READ_WITHOUT_THE_PACKAGE], ids=["keras", "savedmodel"]
)
def test_files_and_weights_in_another_process(folder, script):
    """SavedModels in a process without the package."""
    assert run_script(script, str(folder)).count("read") == len(LAYERS) + len(STACKED)


def test_package_name_in_files_never_changes():
    """The registered name is the file format."""
    for name in LAYERS:
        config = keras.saving.serialize_keras_object(klv.get_variant(name)(UNITS))
        assert config["registered_name"] == f"keras_lstm_variants>{name}"


@pytest.mark.parametrize("name", ["v0_1_0", "v0_1_0_stacks"])
@pytest.mark.slow
def test_golden_file_of_the_first_version(name):
    """A file written by version 0.1.0 must load for ever."""
    golden = Path(__file__).parent / "golden"
    model = keras.models.load_model(golden / f"{name}.keras")
    for layer in model.layers:
        layer.supports_masking = True  # of Keras's own, too: in 3.16 they would lose the mask
    with np.load(golden / f"{name}.npz") as data:
        np.testing.assert_allclose(model.predict(data["x"], verbose=0), data["y"], atol=1e-5)
