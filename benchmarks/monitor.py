"""What a GateMonitor costs: epochs with it beside epochs without.

    python benchmarks/monitor.py                    # two minutes

Medians over interleaved epochs of 60 steps, with the monitor at its default interval: on a small
sample, with gradient norms, with all that TensorBoard can show. Beside them the time that the
monitor itself took at an epoch's end, which what else the machine does disturbs less.
"""

import argparse
import statistics
import sys
import tempfile
import time
from typing import Any

import quiet  # noqa: F401, first

# isort: split
import keras
import numpy as np

import keras_lstm_variants as klv

STEPS, BATCH, TIME, FEATURES, UNITS = 60, 32, 100, 64, 128


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=9, help="epochs of each (default: 9)")
    parser.add_argument("--layer", default="LSTM", help="a variant (default: LSTM)")
    parser.add_argument("--rows", type=int, default=16, help="rows of the sample (default: 16)")
    parser.add_argument("--jit", action="store_true", help="compile the model by XLA")
    arguments = parser.parse_args()
    random = np.random.default_rng(0)
    x = random.standard_normal((STEPS * BATCH, TIME, FEATURES), "float32")
    y = random.standard_normal((STEPS * BATCH, 1), "float32")
    sample = x[: arguments.rows], y[: arguments.rows]
    layer = klv.get_variant(arguments.layer)
    model = keras.Sequential([keras.Input((TIME, FEATURES)), layer(UNITS), keras.layers.Dense(1)])
    model.compile("adam", "mse", jit_compile=arguments.jit)
    with tempfile.TemporaryDirectory() as folder:
        ways: dict[str, list[Any]] = {
            "without": [],
            "numbers": [klv.callbacks.GateMonitor(sample[0])],
            "and gradients": [klv.callbacks.GateMonitor(*sample)],
            "and TensorBoard": [klv.callbacks.GateMonitor(*sample, folder)],
        }
        watches = {way: Watch() for way in ways}
        for monitors in ways.values():
            model.fit(x[: 2 * BATCH], y[: 2 * BATCH], verbose=0, callbacks=monitors)
        for _ in range(arguments.repeats):
            for way, monitors in ways.items():
                first, last = watches[way], watches[way].last
                callbacks = [first, *monitors, last]
                model.fit(x, y, batch_size=BATCH, verbose=0, callbacks=callbacks)
    plain = statistics.median(watches["without"].epochs)
    for way, watch in watches.items():
        epoch, own = statistics.median(watch.epochs), statistics.median(watch.own)
        share = statistics.median(o / (e - o) for e, o in zip(watch.epochs, watch.own, strict=True))
        print(
            f"{way:<16} {epoch:7.3f} s an epoch: {epoch / plain:.3f}; "
            f"the monitor {own * 1e3:6.1f} ms: {share:.2%}"
        )
    return 0


class Watch(keras.callbacks.Callback):
    """Stands before the monitor, `last` behind it: seconds of an epoch, and of the monitor."""

    def __init__(self) -> None:
        super().__init__()
        self.epochs: list[float] = []
        self.own: list[float] = []
        self.last = keras.callbacks.LambdaCallback(on_epoch_end=self._note)

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.start = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.end = time.perf_counter()

    def _note(self, epoch: int, logs: Any = None) -> None:
        now = time.perf_counter()
        self.epochs.append(now - self.start)
        self.own.append(now - self.end)


if __name__ == "__main__":
    sys.exit(main())
