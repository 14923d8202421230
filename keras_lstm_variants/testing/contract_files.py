"""The contract of a cell: what is saved, loaded and exported."""

import tempfile
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_lstm_variants.layers.recurrent_layer import RecurrentLayer
from keras_lstm_variants.testing.contract import check, known_to_keras
from keras_lstm_variants.testing.subject import Subject, arrays, assert_close


def _model(s: Subject) -> Any:
    layers = [
        keras.Input((None, s.features)),
        keras.layers.Masking(),
        keras.layers.Bidirectional(
            RecurrentLayer(s.new(), return_sequences=True), merge_mode="sum"
        ),
        RecurrentLayer(s.new(), initial_state="learned"),
    ]
    model = keras.Sequential(layers)
    random = np.random.default_rng(5)
    for weight in model.trainable_weights:
        value = arrays(weight)[0] + 0.1 * random.normal(size=weight.shape)
        weight.assign(value if weight.constraint is None else weight.constraint(value))
    return model


def _padded(s: Subject) -> np.ndarray:
    x = s.sequences()
    x[1, 3:] = 0
    return x


@check
def saving(s: Subject) -> None:
    """A model with the cell, both ways and with learned states, is saved, loaded and cloned."""
    x = _padded(s)
    with known_to_keras(s), tempfile.TemporaryDirectory() as folder:
        model = _model(s)
        expected = model(x)
        model.save(Path(folder) / "model.keras")
        loaded = keras.models.load_model(Path(folder) / "model.keras")
        clone = keras.models.clone_model(model)
        model.save_weights(Path(folder) / "model.weights.h5")
        clone.load_weights(Path(folder) / "model.weights.h5")
    assert_close(loaded(x), expected, ["the output of the loaded model"])
    assert_close(clone(x), expected, ["the output of a clone with loaded weights"])


@check
def exported(s: Subject) -> None:
    """A model with the cell is exported, for batches and sequences of any size."""
    x = _padded(s)
    with known_to_keras(s), tempfile.TemporaryDirectory() as folder:
        layers = [keras.Input((None, s.features)), keras.layers.Masking()]
        model = keras.Sequential([*layers, RecurrentLayer(s.cell())])
        model.export(folder, verbose=False)
        served = keras.layers.TFSMLayer(folder, call_endpoint="serve")
        for part in (x, x[:1, :3]):
            found, expected = served(part), model(part)
            assert_close(found, expected, [f"the output for an input {part.shape}"])
