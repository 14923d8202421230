"""A clockwork RNN beside the same cell with one dense matrix that is masked at every step.

    python benchmarks/clockwork.py                  # half a minute

Medians over interleaved runs of a training step and of inference, with and without XLA.
"""

import argparse
import statistics
import sys
import time
from typing import Any

import quiet  # noqa: F401, first

# isort: split
import numpy as np
from keras import ops

import keras_lstm_variants as klv
from keras_lstm_variants.backend.timing import inference, training_step

GROUPS, OF = 8, 32
PERIODS = tuple(2**k for k in range(GROUPS))
BATCH, TIME, FEATURES, UNITS = 32, 100, 64, GROUPS * OF


class MaskedCell(klv.AffineCell):
    """What one writes without further thought."""

    gates = ("g",)
    states = (klv.State("h"), klv.State("phase", kind="counter"))

    @property
    def state_size(self) -> list[int]:
        return [self.units, GROUPS]

    def step(self, z: Any, states: tuple[Any, ...], training: bool = False) -> tuple[Any, ...]:
        h, phase = states
        of_unit = np.repeat(PERIODS, OF)
        mask = (of_unit[:, None] >= of_unit[None, :]).astype("float32")
        runs = ops.take(ops.equal(phase, 0), np.repeat(np.arange(GROUPS), OF), axis=-1)
        phase = phase + 1
        phase = ops.where(ops.equal(phase, ops.cast([PERIODS], phase.dtype)), 0 * phase, phase)
        g = self.activation(z + ops.matmul(h, self.recurrent_kernel * mask))
        return ops.where(runs, g, h), phase


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=21, help="rounds (default: 21)")
    arguments = parser.parse_args()
    x = np.random.default_rng(0).standard_normal((BATCH, TIME, FEATURES), "float32")
    runs, times = {}, {}
    for jit in (False, True):
        for kind in (training_step, inference):
            for name in ("ClockworkRNN", "masked"):
                layer = (
                    klv.ClockworkRNN(UNITS, periods=PERIODS, return_sequences=True)
                    if name == "ClockworkRNN"
                    else klv.RecurrentLayer(MaskedCell(UNITS), return_sequences=True)
                )
                layer.build(x.shape)
                key = (name, kind.__name__, "XLA" if jit else "no XLA")
                runs[key], times[key] = kind(layer, x, jit), []
                runs[key]()
    for _ in range(arguments.repeats):
        for key, run in runs.items():
            start = time.perf_counter()
            run()
            times[key].append(time.perf_counter() - start)
    for how in dict.fromkeys(tuple(how) for _, *how in times):
        ours, theirs = (statistics.median(times[k, *how]) * 1e3 for k in ("ClockworkRNN", "masked"))
        print(f"{', '.join(how):<22} {ours:6.1f} ms, masked {theirs:6.1f} ms: {ours / theirs:.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
