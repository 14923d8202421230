"""A package of somebody else's: its cell gets engine, saving, listing, describing, comparing."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import keras_lstm_variants as klv

PACKAGE = '''
"""Leaky units whose leak is learned: h' = l h + (1 - l) tanh(x W + h U + b)."""

import keras

import keras_lstm_variants as klv


@klv.register(package="acme_cells")
class LeakyCell(klv.AffineCell):
    r"""Leaky units, each with a leak of its own.

    $$h_t = l \\odot h_{t-1} + (1 - l) \\odot \\tanh(x_t W + h_{t-1} U + b)$$

    Weights: `n (m + n + 2)` for m inputs and n units.
    """

    gates = ("g",)
    states = (klv.State("h"),)
    reference = "Acme 2026, Leaks"

    def __init__(self, *args, leak=0.5, **kwargs):
        super().__init__(*args, **kwargs)
        self.leak = leak

    def build(self, input_shape):
        super().build(input_shape)
        self.leaks = self.add_weight(
            shape=(self.units,),
            name="leaks",
            initializer=keras.initializers.Constant(self.leak),
        )

    def step(self, z, states, training=False):
        (h,) = states
        g = self.activation(z + self.recurrent_matmul(h, training=training))
        self.sow(g=g)
        h = self.leaks * h + (1 - self.leaks) * g
        return h, (h,)


@klv.register(package="acme_cells")
class Leaky(klv.CellLayer):
    cell_class = LeakyCell


class PlainKerasCell(keras.layers.Layer):
    """A cell that never heard of this package."""

    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.units = self.state_size = units

    def build(self, shape):
        self.w = self.add_weight(shape=(shape[-1], self.units), name="w")

    def call(self, x, states):
        h = keras.ops.tanh(x @ self.w + states[0])
        return h, [h]
'''

SAVE = """
import keras, numpy as np
import acme_cells, keras_lstm_variants as klv

assert klv.list_variants()[-1] == "Leaky" and klv.get_variant("Leaky") is acme_cells.Leaky
found = klv.describe("Leaky", 3, 4, format="dict")
assert found["parameters"] == 4 * (3 + 4 + 2) and found["reference"] == "Acme 2026, Leaks"
skip = dict.fromkeys(["compiled_by_xla", "exported"], "the model below is both")
klv.testing.check_cell(acme_cells.LeakyCell, [{"units": 4, "leak": 0.3}], skip=skip)
plain = klv.RecurrentLayer(acme_cells.PlainKerasCell(3), return_sequences=True)
assert plain(np.ones((2, 5, 3), "float32")).shape == (2, 5, 3)
model = keras.Sequential([
    keras.Input((None, 3)),
    keras.layers.Masking(),
    keras.layers.Bidirectional(acme_cells.Leaky(4, leak=0.3, return_sequences=True, dropout=0.1)),
    klv.RecurrentLayer(acme_cells.LeakyCell(4, leak=0.7), initial_state="learned"),
])
model.compile("adam", "mse", jit_compile=True)
x = np.random.default_rng(0).normal(size=(4, 6, 3)).astype("float32")
x[0, 3:] = 0
model.fit(x, np.zeros((4, 4)), verbose=0)
model.save("model.keras")
model.export("model", verbose=False)
np.savez("data.npz", x=x, y=model.predict(x, verbose=0))
"""

LOAD = """
import keras, numpy as np, tensorflow as tf
import acme_cells

data = np.load("data.npz")
model = keras.models.load_model("model.keras")
assert np.max(np.abs(model.predict(data["x"], verbose=0) - data["y"])) < 1e-6
assert model.layers[-1].cell.leak == 0.7
served = tf.saved_model.load("model")
assert np.max(np.abs(served.serve(data["x"]) - data["y"])) < 1e-6
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("acme")
    (folder / "acme_cells.py").write_text(PACKAGE)
    return folder


def run(folder: Path, *command: str) -> str:
    done = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.mark.slow
@pytest.mark.processes
def test_saves_in_one_process_and_loads_in_another(folder):
    run(folder, sys.executable, "-c", SAVE)
    run(folder, sys.executable, "-c", LOAD)


@pytest.mark.slow
@pytest.mark.processes
def test_is_listed_described_and_compared_by_the_command(folder):
    klv = str(Path(sys.executable).parent / "klv")
    assert run(folder, klv, "list", "--import", "acme_cells").splitlines()[-1].startswith("Leaky")
    text = run(folder, klv, "describe", "Leaky", "--import", "acme_cells")
    assert "h[t] = l * h[t-1] + (1 - l) * tanh(x[t] W + h[t-1] U + b)" in text
    options = ["--task", "digits", "--units", "4", "--epochs", "1", "--no-jit", "--jobs", "1"]
    table = run(
        folder, klv, "compare", "--import", "acme_cells", "--variants", "leaky,Elman", *options
    )
    assert "Leaky " in table and "Elman " in table
    results = json.loads((folder / "klv_compare" / "results.json").read_text())
    assert {r["variant"] for r in results["runs"]} == {"Leaky", "Elman"}


def test_a_weight_whose_kind_is_not_known():
    class RatedCell(klv.ElmanCell):
        def build(self, shape):
            super().build(shape)
            self.rate = self.add_cell_weight("rate", (self.units,), "zeros")

    with pytest.raises(ValueError, match=r"no `rate_regularizer`.*kind=\"bias\""):
        klv.RecurrentLayer(RatedCell(2)).build((None, None, 3))
