"""Wrote v0_1_0_stacks, with version 0.1.0. Not to be run again: old files must keep loading."""

import sys
from pathlib import Path

import keras
import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent))
from cases import randomize

import keras_lstm_variants as klv

if __name__ == "__main__":
    here = Path(__file__).parent
    more = {"return_sequences": True}
    clock = {"group_units": (3, 1), "offset": 2, **more}
    model = keras.Sequential(
        [
            keras.Input((6, 2)),
            klv.DepthGatedLSTM(4, depth=3, coupled=True, peepholes=("o",), **more),
            klv.DepthGatedLSTM(4, bottom="none", **more),
            klv.ClockworkRNN(4, periods=(1, 3), **clock),
            klv.ClockworkLSTM(4, periods=(1, 300), **clock),
            klv.GridLSTM(4, depth=3, tied=True, priority="time", input_memory=True, **more),
            klv.GridLSTM(4, priority=None, output_form="tanh_o", **more),
            klv.MemoryGatedLSTM(4, candidate="memory", output_gate_memory="current", **more),
            klv.MemoryGatedLSTM(4, squash_memory=True, initial_state="learned", **more),
            klv.DeepGateLSTM(4, gate_hidden_units=(3, 2), shared_trunk=True, **more),
            klv.DeepGateLSTM(4, gate_hidden_units=(3,), deep_gates=("f", "g"), **more),
            klv.GridLSTMBlock(4, depth=3, tied=True),
            keras.layers.Reshape((6, 2, 2)),
            klv.GridLSTM2D(3, priority=None, input_memory=True, return_sequences=False),
        ]
    )
    randomize(model)
    x = np.random.default_rng(0).normal(size=(2, 6, 2)).astype("float32")
    model.save(here / "v0_1_0_stacks.keras")
    np.savez(here / "v0_1_0_stacks.npz", x=x, y=model.predict(x, verbose=0))
