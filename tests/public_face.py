"""Code as users write it, checked by pyright in `.ci/run`; it is never run.

A line that must be refused says so: pyright fails where such a remark is not needed.
"""

import keras
import numpy as np

import keras_lstm_variants as klv
from keras_lstm_variants.cells import GRU, LSTMCell, LSTMFamilyCell, SimpleRNN

layer: klv.CellLayer = klv.PeepholeLSTM(8, peepholes=("i",), return_sequences=True, name="p")
model = keras.Sequential([keras.Input((None, 3)), layer, klv.GRU(4, engine="xla")])
cell = klv.CoupledLSTMCell(4, couple="f=1-i", forget_bias=1.0, dtype="float64")
stack = klv.RecurrentLayer([cell, klv.LSTMCell(3)], return_all_states=True)
text: str = layer.explain_engine((None, None, 3))

klv.LSTM(4, unts=3)  # pyright: ignore[reportCallIssue]
klv.LSTM("4")  # pyright: ignore[reportArgumentType]
klv.GRUCell(4, peepholes=())  # pyright: ignore[reportCallIssue]
GRU(4, unts=3)  # pyright: ignore[reportCallIssue]
klv.NoSuchLSTM(4)  # pyright: ignore[reportAttributeAccessIssue]


@klv.register(package="mine")
class LeakyCell(klv.AffineCell):
    gates = ("g",)
    states = (klv.State("h"),)

    def step(self, z, states, training=False):
        (h,) = states
        h = self.activation(self.recurrent_matmul(h, add_to=z, training=training))
        return h, (h,)


leaky = LeakyCell.layer_class(4, return_sequences=True)
family: list[type[LSTMFamilyCell]] = [LSTMCell]
elman: klv.Elman = SimpleRNN(4)
reader: type[keras.Model] = klv.HardAttentionModel
names: list[str] = klv.list_variants()
history = klv.gate_history(model, np.zeros((2, 5, 3), "float32"))
klv.plots.gates(history["p"])
klv.testing.check_cell(LeakyCell, [{"units": 3}])
klv.callbacks.GateMonitor(np.zeros((2, 5, 3), "float32"))
klv.initializers.ChronoBias(50)
klv.State("h", kind="other")  # pyright: ignore[reportArgumentType]
