"""Layers that `register` makes: what they document, and what takes their place."""

import inspect

import keras
import numpy as np
import pytest
from cases import FEATURES, LAYERS, sequences

import keras_lstm_variants as klv
from keras_lstm_variants.layers.layer_docs import entries, sections


@pytest.mark.parametrize("name", [*LAYERS, "AttentionLSTM"])
def test_every_argument_is_described(name):
    layer = getattr(klv, name)
    told = entries(sections(layer.__doc__)["Args"])
    assert set(inspect.signature(layer).parameters) - set(told) == {"kwargs"}
    assert not [text for text in told.values() if text.startswith("see `")]
    # Of the nearest class that says something.
    assert ("none by default" in told.get("peepholes", "")) == (name == "CoupledLSTM")


def test_what_a_layer_says_itself():
    assert "theirs.get_weights()" in klv.LSTM.__doc__
    assert "klv.GRU(4, return_sequences=True)" in klv.GRU.__doc__
    assert "keras.layers.RNN" not in sections(klv.GRU.__doc__)["Example"][1]


def test_of_a_cell_of_ones_own():
    @klv.register(package="own", aliases=("OlderCell",))
    class OwnDocumentedCell(klv.ElmanCell):
        """A cell.

        Args:
            rate: how much,
                in two lines.
        """

        def __init__(self, units, rate=0.5, **kwargs):
            super().__init__(units, **kwargs)
            self.rate = rate

    layer_class = OwnDocumentedCell.layer_class
    assert layer_class is klv.get_variant("OwnDocumented")
    assert "    rate: how much,\n        in two lines.\n" in layer_class.__doc__
    layer = layer_class(4, rate=0.25)
    config = keras.saving.serialize_keras_object(layer)
    assert config["registered_name"] == "own>OwnDocumented"
    for old in ("own>Older", "own>OwnDocumented"):
        again = keras.saving.deserialize_keras_object({**config, "registered_name": old})
        assert type(again) is layer_class and again.rate == 0.25
    layer.build((None, None, FEATURES))
    again.build((None, None, FEATURES))
    again.set_weights(layer.get_weights())
    np.testing.assert_array_equal(layer(sequences()), again(sequences()))

    @klv.register(package="own")
    class OwnDocumented(klv.CellLayer):
        """Written out."""

        cell_class = OwnDocumentedCell

    assert klv.get_variant("OwnDocumented") is OwnDocumented is OwnDocumentedCell.layer_class
    assert OwnDocumented.__doc__.startswith("Written out.\n\nArgs:\n")

    class Another(klv.CellLayer):
        cell_class = OwnDocumentedCell

    Another.__name__ = "OwnDocumented"
    with pytest.raises(ValueError, match="registered already"):
        klv.register(package="own")(Another)


def test_bad_aliases():
    with pytest.raises(ValueError, match="`aliases` must be a tuple of names.*'Old'"):
        klv.register(package="own", aliases="Old")(klv.ElmanCell)
