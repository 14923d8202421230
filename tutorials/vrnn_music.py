"""VRNN and STORN learn to play from piano rolls, and make up pieces of their own.

    python tutorials/vrnn_music.py                  # some minutes on 2 cores
    python tutorials/vrnn_music.py --tiny           # seconds: only whether it runs

The pieces are drawn at random: a major key, a progression of chords, held or played as
arpeggios, and a melody that walks along the scale and starts each chord on one of its notes.
They have two, three or four bars; shorter ones are padded, and the padding is masked. The
evidence lower bound stands beside what is reached by pitches that do not know of each other,
and by pitches that each know whether it sounded at the step before. Of the pieces that a model
makes up, it is counted how many notes lie in one major scale. Writes vrnn_music.csv and, with
matplotlib, a picture.
"""

import argparse
import csv
import sys
import time
from pathlib import Path

import keras
import numpy as np

import keras_lstm_variants as klv

SCALE = (0, 2, 4, 5, 7, 9, 11)
PROGRESSIONS = ((0, 4, 5, 3), (0, 5, 3, 4), (5, 3, 0, 4), (0, 3, 4, 0))
PITCHES, BAR, BARS, KEYS = 42, 8, 4, 6


def note(degree: int) -> int:
    """The pitch of a degree of the scale, above the key."""
    return 12 * (degree // 7) + SCALE[degree % 7]


def piece(random: np.random.Generator) -> np.ndarray:
    """A piano roll (steps, pitches) of 0 and 1, a step being an eighth note."""
    bars = random.integers(2, BARS + 1)
    roll = np.zeros((BAR * bars, PITCHES), "float32")
    key = random.integers(KEYS)
    progression = PROGRESSIONS[random.integers(len(PROGRESSIONS))]
    arpeggio = random.integers(2)
    degree = 14 + random.integers(7)
    for bar, root in enumerate(progression[:bars]):
        chord = [root, root + 2, root + 4]
        for step in range(BAR * bar, BAR * (bar + 1)):
            sounding = [chord[(0, 1, 2, 1)[step % 4]]] if arpeggio else chord
            roll[step, [key + note(d) for d in sounding]] = 1
            if step % BAR == 0:
                degree = 14 + random.choice([d % 7 for d in chord])
            elif step % 2 == 0:
                degree = int(np.clip(degree + random.integers(-2, 3), 14, 20))
            roll[step, key + note(degree)] = 1
    return roll


def pieces(count: int, seed: int) -> dict[str, np.ndarray]:
    """What `fit` takes: x (count, steps, pitches) and mask (count, steps)."""
    random = np.random.default_rng(seed)
    rolls = [piece(random) for _ in range(count)]
    x = np.zeros((count, BAR * BARS, PITCHES), "float32")
    for k, roll in enumerate(rolls):
        x[k, : len(roll)] = roll
    return {"x": x, "mask": np.arange(BAR * BARS) < [[len(roll)] for roll in rolls]}


def baselines(train: dict[str, np.ndarray], test: dict[str, np.ndarray]) -> dict[str, float]:
    """Log-likelihoods a step, in nats, of models that can be counted."""

    def before(x: np.ndarray) -> np.ndarray:
        return np.concatenate([np.zeros_like(x[:, :1]), x[:, :-1]], axis=1)

    def log_likelihood(p: np.ndarray) -> float:
        x, mask = test["x"], test["mask"]
        values = np.sum(x * np.log(p) + (1 - x) * np.log(1 - p), axis=-1)
        return float(values[mask].mean())

    x, old = train["x"][train["mask"]], before(train["x"])[train["mask"]]
    alone = (x.sum(0) + 0.5) / (len(x) + 1)
    after = [((x * (old == v)).sum(0) + 0.5) / ((old == v).sum(0) + 1) for v in (0, 1)]
    return {
        "independent pitches": log_likelihood(np.broadcast_to(alone, test["x"].shape)),
        "each given the step before": log_likelihood(
            np.where(before(test["x"]), after[1], after[0])
        ),
    }


def in_one_scale(rolls: np.ndarray) -> float:
    """The share of notes in the best major scale, the mean over pieces."""
    shares = []
    for roll in rolls:
        pitches = np.nonzero(roll)[1]
        keys = [np.isin((pitches - key) % 12, SCALE) for key in range(12)]
        shares.append(max(map(np.mean, keys)) if len(pitches) else 0)
    return float(np.mean(shares))


def plot(path: Path, rows: dict[str, np.ndarray]) -> bool:
    try:
        import matplotlib
    except ImportError:
        return False
    matplotlib.use("Agg")
    from matplotlib import pyplot

    columns = 5
    figure, axes = pyplot.subplots(
        len(rows), columns, figsize=(2.4 * columns, 2.2 * len(rows)), sharex=True, sharey=True
    )
    for row, (name, rolls) in zip(axes, rows.items(), strict=True):
        for axis, roll in zip(row, rolls, strict=False):
            axis.imshow(roll.T, cmap="gray_r", vmin=0, vmax=1, origin="lower", aspect="auto")
            axis.set_xticks(np.arange(0, len(roll), BAR) - 0.5, [""] * (len(roll) // BAR))
            axis.set_yticks([])
            axis.grid(axis="x", linewidth=0.5)
        row[0].set_ylabel(name)
    figure.tight_layout()
    figure.savefig(path, dpi=100)
    pyplot.close(figure)
    return True


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--units", type=int, default=128)
    add("--latent-units", type=int, default=16)
    add("--epochs", type=int, default=40, help="over 2,000 pieces (default: 40)")
    add("--output", type=Path, default=Path("."), help="folder of the results")
    add("--tiny", action="store_true", help="one epoch over 50 pieces, 8 units")
    arguments = parser.parse_args()
    units, epochs, count = arguments.units, arguments.epochs, 2000
    if arguments.tiny:
        units, epochs, count = 8, 1, 50
    arguments.output.mkdir(parents=True, exist_ok=True)
    train, test = pieces(count, seed=0), pieces(count // 10, seed=1)
    steps = test["mask"].sum() / len(test["mask"])  # of a piece, on average
    for name, value in baselines(train, test).items():
        print(f"{name:<27} {value:7.3f} nats a step")
    # At first KL is cheap, so that the models learn to say by z which notes sound.
    common = {"kl_warm_up": epochs * count // 50 // 2, "engine": "xla", "seed": 0}
    models = {
        "VRNN": klv.VRNN(units, arguments.latent_units, **common),
        "STORN": klv.STORN(units, arguments.latent_units, cell="LSTM", **common),
    }
    results, rows = [], {"training": train["x"]}
    for name, model in models.items():
        keras.utils.set_random_seed(0)
        model.build((None, None, PITCHES))
        rate = keras.optimizers.schedules.CosineDecay(3e-3, epochs * count // 50)
        model.compile(keras.optimizers.Adam(rate, clipnorm=5.0))
        start = time.monotonic()
        for epoch in range(epochs + 1):
            if epoch:
                model.fit(train, batch_size=50, verbose=0)
            if epoch % 10 == 0 or epoch == epochs:
                bound = float(np.mean(model.elbo(**test, samples=5, seed=0))) / steps
                seconds = round(time.monotonic() - start, 1)
                results.append({"model": name, "epochs": epoch, "bound": bound, "s": seconds})
                print(
                    f"{name:<6} epoch {epoch:>3}: {bound:7.3f} nats a step ({seconds} s)",
                    flush=True,
                )
        kl = model.evaluate(test, verbose=0, return_dict=True)["kl"] / steps
        print(f"{name:<6} of which KL: {kl:.3f} nats a step")
        samples = 5 if arguments.tiny else 50
        weighted = np.mean(model.importance_weighted(**test, samples=samples, seed=0)) / steps
        print(f"{name:<6} importance-weighted, {samples} draws: {weighted:.3f} nats a step")
        made_up = model.sample(100, BAR * BARS, seed=0)
        print(f"{name:<6} of the notes made up, in one scale: {in_one_scale(made_up):.1%}")
        shown = {k: v[:5] for k, v in train.items()}
        rows[f"{name}, reconstructed"] = model.reconstruct(**shown) * shown["mask"][..., None]
        rows[f"{name}, made up"] = made_up
        with (arguments.output / "vrnn_music.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, results[0])
            writer.writeheader()
            writer.writerows(results)
    random = np.random.default_rng(0).uniform(size=(100, BAR * BARS, PITCHES))
    alone = random < train["x"][train["mask"]].mean(0)
    print(
        f"Training pieces, and independent pitches, in one scale: "
        f"{in_one_scale(train['x']):.1%}, {in_one_scale(alone):.1%}"
    )
    if plot(arguments.output / "vrnn_music.png", rows):
        print(f"Picture: {arguments.output / 'vrnn_music.png'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
