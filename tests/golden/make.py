"""Wrote the files here, with version 0.1.0. Not to be run again: old files must keep loading."""

import sys
from pathlib import Path

import keras
import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent))
from cases import randomize

import keras_lstm_variants as klv

if __name__ == "__main__":
    here = Path(__file__).parent
    peephole = klv.PeepholeLSTM(3, peepholes=("f", "o"), return_sequences=True, seed=1)
    model = keras.Sequential(
        [
            keras.Input((None, 2)),
            keras.layers.Masking(),
            klv.Elman(3, return_sequences=True),
            klv.LSTM1997(3, squashing="original", return_sequences=True),
            klv.LSTM(3, return_sequences=True, forget_bias="chrono", max_timesteps=9),
            keras.layers.Bidirectional(peephole),
            klv.CoupledLSTM(3, couple="i=1-f", peepholes=("f",), return_sequences=True),
            *[
                klv.get_variant(name)(3, return_sequences=True)
                for name in klv.list_variants()
                if name.startswith(("N", "CIFG", "FGR", "MUT"))
            ],
            klv.MUT1(4, return_sequences=True),
            klv.MUT2(5, return_sequences=True),
            klv.GRU(3, reset_after=False, initial_state="learned", return_sequences=True),
            klv.RecurrentLayer(
                [klv.LSTMCell(3, kernel_initializer=klv.initializers.PerGate("ones", 3))],
            ),
        ]
    )
    randomize(model)
    x = np.random.default_rng(0).normal(size=(2, 4, 2)).astype("float32")
    x[1, 2:] = 0
    model.save(here / "v0_1_0.keras")
    np.savez(here / "v0_1_0.npz", x=x, y=model.predict(x, verbose=0))
