"""Addition with grid LSTMs: the same weights at every level, or other ones, or a plain stack.

    python tutorials/grid_addition.py               # some minutes on 2 cores
    python tutorials/grid_addition.py --tiny        # seconds: only whether it runs

The task (a small form of Kalchbrenner et al. 2015, Grid long short-term memory, section 4.2):
two numbers are read digit by digit, then the sum is to be said digit by digit, from the last
one. An answer counts if all its digits are right, and is asked for of pairs of numbers that
training never saw. Writes grid_addition.csv.
"""

import argparse
import csv
import sys
import time
from pathlib import Path

import keras
import numpy as np

import keras_lstm_variants as klv

SYMBOLS = "0123456789+= "
PLUS, EQUALS, BLANK = 10, 11, 12


def batch(
    random: np.random.Generator, size: int, digits: int, held_out: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Symbols read (size, time), and digits to say (size, digits + 1), the last one first.

    A tenth of all pairs of numbers is held out: training never sees them.
    """
    a, b = random.integers(10**digits, size=(2, 20 * size))
    # Not by their last digits: what is said of these must have been seen.
    wanted = ((40503 * a ^ 26544 * b) // 64 % 10 == 0) == held_out
    a, b = a[wanted][:size], b[wanted][:size]
    size = len(a)

    def digits_of(values: np.ndarray, count: int) -> np.ndarray:
        return values[:, None] // 10 ** np.arange(count) % 10

    one = np.ones((size, 1), int)
    read = [digits_of(a, digits), PLUS * one, digits_of(b, digits), EQUALS * one]
    blanks = np.full((size, digits), BLANK)
    return np.concatenate([*read, blanks], axis=1), digits_of(a + b, digits + 1)


def model_of(name: str, digits: int, units: int, depth: int) -> keras.Model:
    inputs = keras.Input((3 * digits + 2,), dtype="int32")
    x = keras.layers.Embedding(len(SYMBOLS), units)(inputs)
    if name == "stacked LSTM":
        for _ in range(depth):
            x = klv.LSTM(units, return_sequences=True)(x)
    else:
        tied = name == "tied grid"
        x = klv.GridLSTM(units, depth=depth, tied=tied, return_sequences=True)(x)
    return keras.Model(inputs, keras.layers.Dense(10)(x[:, -(digits + 1) :]))


def accuracy(model: keras.Model, read: np.ndarray, sums: np.ndarray) -> float:
    said = np.argmax(model.predict(read, batch_size=500, verbose=0), axis=-1)
    return float(np.mean(np.all(said == sums, axis=1)))


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--digits", type=int, default=2, help="of each number (default: 2)")
    add("--units", type=int, default=64)
    add("--depth", type=int, default=4, help="levels (default: 4)")
    add("--rounds", type=int, default=10, help="of 20,000 sums each (default: 10)")
    add("--output", type=Path, default=Path("."), help="folder of the results")
    add("--tiny", action="store_true", help="one digit, one round of 100 sums")
    arguments = parser.parse_args()
    digits, rounds, sums_a_round = arguments.digits, arguments.rounds, 20_000
    if arguments.tiny:
        digits, rounds, sums_a_round = 1, 1, 100
    arguments.output.mkdir(parents=True, exist_ok=True)
    test = batch(np.random.default_rng(10**6), min(1000, sums_a_round), digits, held_out=True)
    rows = []
    for name in ("tied grid", "untied grid", "stacked LSTM"):
        keras.utils.set_random_seed(0)
        model = model_of(name, digits, arguments.units, arguments.depth)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(keras.optimizers.Adam(3e-3, clipnorm=1.0), loss, jit_compile=True)
        random, start = np.random.default_rng(1), time.monotonic()
        for k in range(rounds):
            model.fit(*batch(random, sums_a_round, digits), batch_size=100, verbose=0)
            right = accuracy(model, *test)
            seen, seconds = (k + 1) * sums_a_round, round(time.monotonic() - start, 1)
            weights = model.count_params()
            rows.append(
                {"model": name, "weights": weights, "sums": seen, "right": right, "s": seconds}
            )
            print(
                f"{name:<13} {weights:>7,} weights, {seen:>8,} sums: {right:.1%} right", flush=True
            )
            with (arguments.output / "grid_addition.csv").open("w", newline="") as file:
                writer = csv.DictWriter(file, rows[0])
                writer.writeheader()
                writer.writerows(rows)
            if right > 0.99:
                break
    return 0


if __name__ == "__main__":
    sys.exit(main())
