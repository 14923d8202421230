"""DRAW learns to draw handwritten digits, with attention and without.

    python tutorials/draw_digits.py                 # some minutes on 2 cores
    python tutorials/draw_digits.py --tiny          # seconds: only whether it runs

The digits are scikit-learn's, which must be installed: 8 x 8 pixels, made black and white at a
grey that is drawn anew for each image in every round. So the bound can be compared with the
likelihood of independent pixels. Writes draw_digits.csv and, with matplotlib, a picture for each
model: digits that training never saw, their reconstructions, digits that the model made up, and
how these were drawn, step by step.
"""

import argparse
import csv
import sys
import time
from pathlib import Path

import keras
import numpy as np

import keras_lstm_variants as klv

MODELS = {
    "attention": {"attention": True, "read_size": 4, "write_size": 5},
    "no attention": {"attention": False},
}


def digits() -> tuple[np.ndarray, np.ndarray]:
    """Greys in [0, 1] to train on and to test with, (images, 8, 8)."""
    from sklearn.datasets import load_digits

    greys = load_digits().images / 16
    order = np.random.default_rng(0).permutation(len(greys))
    return greys[order[300:]], greys[order[:300]]


def black_or_white(greys: np.ndarray, random: np.random.Generator) -> np.ndarray:
    return (greys > random.uniform(0.3, 0.7, size=(len(greys), 1, 1))).astype("float32")


def independent_pixels(train: np.ndarray, test: np.ndarray) -> float:
    """The mean log-likelihood of images whose pixels do not know of each other, in nats."""
    p = np.clip(train.mean(axis=0), 1e-3, 1 - 1e-3)
    return float(np.mean(np.sum(test * np.log(p) + (1 - test) * np.log(1 - p), axis=(1, 2))))


def plot(path: Path, model: klv.DRAW, test: np.ndarray) -> bool:
    try:
        import matplotlib
    except ImportError:
        return False
    matplotlib.use("Agg")
    from matplotlib import pyplot

    count = 12
    drawn = model.sample(3 * count, seed=0, every_step=True)
    rows = [test[:count], model.reconstruct(test[:count]), *np.split(drawn[:, -1], 3)]
    titles = ["never seen", "reconstructed", "made up", "", ""]
    # How the first two of them came to be, from an empty canvas.
    rows += [drawn[0], drawn[1]]
    titles += ["the first,\nstep by step", "the second"]
    figure, axes = pyplot.subplots(len(rows), count, figsize=(count * 0.8, len(rows) * 0.85))
    for row, title, images in zip(axes, titles, rows, strict=True):
        for axis in row:
            axis.set_xticks([])
            axis.set_yticks([])
            axis.set_frame_on(False)
        for axis, image in zip(row, images, strict=False):
            axis.imshow(image, cmap="gray_r", vmin=0, vmax=1)
            axis.set_frame_on(True)
        row[0].set_ylabel(title, rotation=0, ha="right", va="center")
    figure.tight_layout()
    figure.savefig(path, dpi=100)
    pyplot.close(figure)
    return True


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--steps", type=int, default=8, help="of drawing (default: 8)")
    add("--units", type=int, default=64)
    add("--latent-units", type=int, default=8, help="at each step (default: 8)")
    add("--rounds", type=int, default=30, help="of 12,000 images each (default: 30)")
    add("--output", type=Path, default=Path("."), help="folder of the results")
    add("--tiny", action="store_true", help="a round of 100 images, 2 steps, 8 units")
    arguments = parser.parse_args()
    steps, units, rounds = arguments.steps, arguments.units, arguments.rounds
    train, greys = digits()
    if arguments.tiny:
        steps, units, rounds, train, greys = 2, 8, 1, train[:25], greys[:20]
    arguments.output.mkdir(parents=True, exist_ok=True)
    test = black_or_white(greys, np.random.default_rng(1))
    baseline = independent_pixels(black_or_white(train, np.random.default_rng(3)), test)
    print(f"Independent pixels: {baseline:.2f} nats an image")
    results = []
    for name, options in MODELS.items():
        keras.utils.set_random_seed(0)
        model = klv.DRAW(
            steps,
            units,
            arguments.latent_units,
            image_shape=(8, 8),
            kl_warm_up=1000,
            engine="xla",
            **options,
        )
        model.build((None, 8, 8))
        rate = keras.optimizers.schedules.CosineDecay(3e-3, rounds * 8 * len(train) // 50)
        model.compile(keras.optimizers.Adam(rate, clipnorm=5.0))
        random, start = np.random.default_rng(2), time.monotonic()
        for k in range(-1, rounds):
            if k >= 0:
                x = black_or_white(np.concatenate([train] * 8), random)
                random.shuffle(x)
                x = x[: len(x) // 50 * 50]  # XLA compiles anew for a smaller batch
                model.fit(x, batch_size=50, verbose=0)
            if k % 10 != 9 and k not in (-1, rounds - 1):
                continue
            bound = float(np.mean(model.elbo(test, samples=5, seed=0, batch_size=50)))
            seconds = round(time.monotonic() - start, 1)
            results.append({"model": name, "rounds": k + 1, "bound": bound, "s": seconds})
            print(
                f"{name:<12} round {k + 1:>3}: {bound:8.2f} nats an image ({seconds} s)", flush=True
            )
        samples = 5 if arguments.tiny else 100
        weighted = model.importance_weighted(test, samples=samples, seed=0, batch_size=50)
        print(f"{name:<12} importance-weighted, {samples} draws: {np.mean(weighted):.2f} nats")
        with (arguments.output / "draw_digits.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, results[0])
            writer.writeheader()
            writer.writerows(results)
        path = arguments.output / f"draw_digits_{name.replace(' ', '_')}.png"
        if plot(path, model, test):
            print(f"Picture: {path}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
