"""A clockwork RNN against an Elman network and an LSTM of as many weights: a sum of sines.

    python tutorials/clockwork_sines.py             # a few minutes on 2 cores
    python tutorials/clockwork_sines.py --tiny      # seconds: only whether it runs

The task (after Koutnik et al. 2014, A clockwork RNN, section 4): 320 steps of a sum of four
sines with the periods 8, 32, 80 and 160. The input is constant, so that the network must make
the signal from its state alone. The error is the mean squared error over the signal's variance:
1 is what a network reaches that says the mean. Writes clockwork_sines.csv, and a plot where
matplotlib is installed.
"""

import argparse
import csv
import statistics
import sys
from pathlib import Path

import keras
import numpy as np

import keras_lstm_variants as klv

STEPS, SINES = 320, (8, 32, 80, 160)
MODELS = {
    "ClockworkRNN": lambda: klv.ClockworkRNN(
        64, periods=(1, 2, 4, 8, 16, 32, 64, 128), return_sequences=True
    ),
    "Elman": lambda: klv.Elman(48, return_sequences=True),
    "LSTM": lambda: klv.LSTM(23, return_sequences=True),
}


def signal() -> np.ndarray:
    """(1, steps, 1), mean 0 and variance 1."""
    t = np.arange(STEPS)
    total = sum(np.sin(2 * np.pi * t / period + k) for k, period in enumerate(SINES))
    total = (total - total.mean()) / total.std()
    return total[None, :, None].astype("float32")


def train(name: str, seed: int, epochs: int) -> tuple[float, int, np.ndarray]:
    """The error at the end, the number of weights, and what the network says."""
    keras.utils.set_random_seed(seed)
    y = signal()
    x = np.ones_like(y)
    model = keras.Sequential([keras.Input(x.shape[1:]), MODELS[name](), keras.layers.Dense(1)])
    rate = keras.optimizers.schedules.CosineDecay(5e-3, epochs)
    optimizer = keras.optimizers.Adam(rate, clipnorm=1.0)
    model.compile(optimizer, "mse", jit_compile=True)
    # One batch an epoch: a data set that repeats itself saves the rest of an epoch's work.
    model.fit(np.repeat(x, epochs, 0), np.repeat(y, epochs, 0), batch_size=1, verbose=0)
    said = model.predict(x, verbose=0)
    return float(np.mean((said - y) ** 2)), model.count_params(), said[0, :, 0]


def plot(said: dict[str, np.ndarray], path: Path) -> bool:
    try:
        import matplotlib
    except ImportError:
        return False
    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, rows = pyplot.subplots(len(said), 1, sharex=True, figsize=(9, 6))
    for row, (name, values) in zip(rows, said.items(), strict=True):
        row.plot(signal()[0, :, 0], color="0.7", linewidth=4)
        row.plot(values, color="C0")
        row.set_title(f"{name} (blue), and the signal (grey)", loc="left", fontsize=10)
    rows[-1].set_xlabel("step")
    figure.tight_layout()
    figure.savefig(path, dpi=120)
    return True


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=3, help="runs of each (default: 3)")
    parser.add_argument("--epochs", type=int, default=2000, help="training steps")
    parser.add_argument("--output", type=Path, default=Path("."), help="folder of the results")
    parser.add_argument("--tiny", action="store_true", help="one seed, three training steps")
    arguments = parser.parse_args()
    seeds, epochs = (1, 3) if arguments.tiny else (arguments.seeds, arguments.epochs)
    arguments.output.mkdir(parents=True, exist_ok=True)
    rows, said = [], {}
    for name in MODELS:
        errors = []
        for seed in range(seeds):
            error, weights, said[name] = train(name, seed, epochs)
            errors.append(error)
            rows.append({"model": name, "seed": seed, "weights": weights, "error": error})
        spread = f"{min(errors):.4f} to {max(errors):.4f}"
        print(f"{name:<13} {weights} weights: error {statistics.mean(errors):.4f} ({spread})")
        with (arguments.output / "clockwork_sines.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, rows[0])
            writer.writeheader()
            writer.writerows(rows)
    if plot(said, arguments.output / "clockwork_sines.png"):
        print(f"Plot: {arguments.output / 'clockwork_sines.png'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
