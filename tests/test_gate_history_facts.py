"""What a history of gates knows of its cell: which names are gates, which states, and its mask."""

import pickle

import keras
import numpy as np
import pytest
from cases import BATCH, MASK, UNITS, make, sequences
from keras import ops

import keras_lstm_variants as klv
from keras_lstm_variants.analysis.gate_history import GateHistory
from keras_lstm_variants.analysis.gate_statistics import is_gate


class TestWhatAHistoryKnows:
    @pytest.mark.parametrize(("name", "gates"), [
        ("Elman", ()),
        ("GRU", ("z", "r")),
        ("LSTM", ("i", "f", "o")),
        ("FGRLSTM", ("i", "f", "o")),  # which are states, too
        ("ClockworkRNN", ()),
        ("DepthGatedLSTM", ("i_1", "f_1", "o_1", "d_1", "i_2", "f_2", "o_2", "d_2")),
    ])  # fmt: skip
    def test_gates_and_states(self, name, gates):
        layer = make(name)
        (found,) = klv.gate_history(layer, sequences(), mask=MASK).values()
        assert isinstance(found, GateHistory) and found.cell is layer.cell
        assert set(found.gates) == set(gates) and found.states == layer.cell.state_names
        np.testing.assert_array_equal(found.mask, MASK)
        assert klv.gate_history(layer, sequences())[layer.name].mask is None

    def test_of_attention_and_of_cells_of_others(self):
        layer = klv.AttentionLSTM(UNITS, name="look")
        x, memory = sequences(), np.ones((BATCH, 4, 2), "float32")
        layer(x, memory=memory)
        found = klv.gate_history(layer, x, memory=memory)["look"]
        assert set(found.gates) == {"i", "f", "o", "beta"} and found.states == ("h", "c")

        class Leaky(klv.Cell):
            gates, candidates = ("leak", "w"), ("w",)

            def step(self, x, states, training=False):
                leak, w = ops.sigmoid(x[:, :1]), x[:, 1:2]
                self.sow(leak=leak, w=w)
                h = leak * states[0] + w
                return h, (h,)

        layer = klv.RecurrentLayer(Leaky(1), name="leaky")
        layer(x)
        found = klv.gate_history(layer, x)["leaky"]
        assert (found.gates, found.states) == (("leak",), ("h",))

    def test_it_is_a_dict(self):
        layer = make("GRU")
        (found,) = klv.gate_history(layer, sequences()).values()
        assert found | {} == dict(found) == {**found} and {"z", "h"} < set(found)
        assert found["z"] is dict(found.items())["z"]
        again = pickle.loads(pickle.dumps(found))
        np.testing.assert_array_equal(again["z"], found["z"])
        assert again.gates == found.gates and again.cell.units == UNITS

    @pytest.mark.parametrize(
        ("cell", "name", "expected"),
        [
            (None, "f_1", True),
            (None, "h_1", False),
            (None, "g", False),
            (klv.LSTMCell, "f", True),
            (klv.LSTMCell, "g", False),
            (klv.LSTMCell, "c", False),
            (klv.GridLSTMCell, "m_1", False),
            (keras.layers.LSTMCell, "state_1", False),
        ],
        ids=str,
    )
    def test_is_gate(self, cell, name, expected):
        assert is_gate(cell and cell(4), name) is expected
