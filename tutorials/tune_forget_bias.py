"""A search finds the forget bias that a long memory needs, where 0 and the usual 1 fail.

    python tutorials/tune_forget_bias.py            # ten minutes on 2 cores
    python tutorials/tune_forget_bias.py --tiny     # seconds: only whether it runs

The task: sequences of 150 steps have two marked numbers, whose sum is to be given at the end
(Hochreiter & Schmidhuber 1997, the adding problem). A forget bias b keeps sigmoid(b) of the
memory in a step: with b = 1 nothing is left after 150 steps, and within the eight epochs here an
LSTM learns no more than to answer with the mean. The search is free to choose b, or
chrono initialisation (Tallec & Ollivier 2018), which gives each unit a time scale of its own.

It is Keras Tuner's random search over a `RecurrentHyperModel`, made by `klv.tuning.make_tuner`:
stopped or killed, the same command continues it. Without a line of Python, and with a
choice of variants besides:

    klv tune --task adding --length 150 --variants LSTM,CoupledLSTM --units 32 --layers 1 \\
        --learning-rate 5e-3 --batch-size 50 --epochs 8 --max-trials 8 --directory adding

Writes tune_forget_bias.csv (all runs), tune_forget_bias.png and the search in `search/`.
"""

import argparse
import csv
import json
import sys
from pathlib import Path
from typing import Any

import keras
import keras_tuner
import numpy as np

import keras_lstm_variants as klv
from keras_lstm_variants.tasks.adding import draw


def hypermodel_of(steps: int, units: int, forget_bias: Any) -> klv.tuning.RecurrentHyperModel:
    """LSTMs that differ in nothing but their forget bias."""
    return klv.tuning.RecurrentHyperModel(
        (steps, 2),
        "regression",
        variants=["LSTM"],
        layers=1,
        units=units,
        forget_bias=forget_bias,
        learning_rate=5e-3,
        batch_size=50,
        # Compiling takes longer than a tiny training.
        jit_compile=steps > 20,
    )


def shown(forget_bias: Any) -> str:
    return forget_bias if isinstance(forget_bias, str) else f"{forget_bias:.3g}"


def curve_of(
    steps: int, units: int, forget_bias: Any, seed: int, epochs: int, train: Any, valid: Any
) -> list[float]:
    """Validation error after each epoch of one training without a search."""
    keras.utils.set_random_seed(seed)
    hypermodel = hypermodel_of(steps, units, forget_bias)
    hp = keras_tuner.HyperParameters()
    model = hypermodel.build(hp)
    history = hypermodel.fit(hp, model, *train, validation_data=valid, epochs=epochs, verbose=0)
    return history.history["val_loss"]


def picture(path: Path, rows: list[dict[str, Any]], trials: list[Any], baseline: float) -> None:
    # Not pyplot: no display, no global state.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4.6), layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2, sharey=True)
    values = [(t.hyperparameters.values, t.score) for t in trials]
    numbers = [(v["forget_bias"], s) for v, s in values if "forget_bias" in v]
    left.scatter(
        *zip(*numbers, strict=True), color="#0072B2", s=45, label="a number, for all units"
    )
    for k, (_, score) in enumerate((v, s) for v, s in values if "forget_bias" not in v):
        label = "chrono, each unit its own" if k == 0 else None
        left.axhline(score, color="#D55E00", label=label)
    left.set_xlabel("forget bias")
    left.set_ylabel("validation, mean squared error")
    left.set_title("The search")
    colours = {"0": "#CC79A7", "1": "#E69F00"}
    for row in rows:
        colour = colours.get(row["forget_bias"], "#009E73")
        label = f"forget bias {row['forget_bias']}" if row["seed"] == 0 else None
        right.plot(range(1, len(row["curve"]) + 1), row["curve"], color=colour, label=label)
    right.set_xlabel("epoch")
    right.set_title("0, 1 and what the search found, a line for each seed")
    for axes in (left, right):
        axes.axhline(baseline, color="0.4", linewidth=1, linestyle=":", label="answering the mean")
        axes.set_yscale("log")
        axes.grid(alpha=0.3)
        axes.legend()
    figure.savefig(path, dpi=120)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--steps", type=int, default=150, help="of each sequence (default: 150)")
    add("--units", type=int, default=32)
    add("--epochs", type=int, default=8, help="of 4,000 sequences each (default: 8)")
    add("--trials", type=int, default=8, help="of the search (default: 8)")
    add("--seeds", type=int, default=3, help="trainings of 0, 1 and the best (default: 3)")
    add("--output", type=Path, default=Path("."), help="folder of the results")
    add("--tiny", action="store_true", help="10 steps, 4 units, 2 trials of one epoch")
    arguments = parser.parse_args()
    steps, units, epochs, trials = (
        (10, 4, 1, 2)
        if arguments.tiny
        else (arguments.steps, arguments.units, arguments.epochs, arguments.trials)
    )
    seeds = 1 if arguments.tiny else arguments.seeds
    folder = arguments.output / "tune_forget_bias"
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(0)
    sizes = (100, 50, 50) if arguments.tiny else (4000, 500, 500)
    train, valid, test = (draw(size, steps, random) for size in sizes)
    baseline = float(np.mean((valid[1] - train[1].mean()) ** 2))

    # A range of numbers up to a memory of `steps` steps, and chrono.
    highest = float(np.ceil(np.log(steps))) + 1
    tuner = klv.tuning.make_tuner(
        "random",
        hypermodel_of(steps, units, [(-1.0, highest), "chrono"]),
        directory=folder / "search",
        max_trials=trials,
        epochs=epochs,
    )
    tuner.search(*train, validation_data=valid)
    for trial in tuner.oracle.completed:
        name = shown(trial.hyperparameters.values.get("forget_bias", "chrono"))
        print(f"trial {trial.trial_id}: forget bias {name:<6}  validation {trial.score:.4f}")
    best = tuner.get_best_hyperparameters()[0].values
    found = best.get("forget_bias", "chrono")

    rows = []
    for forget_bias in (0.0, 1.0, found):
        name = shown(forget_bias)
        for seed in range(seeds):
            curve = curve_of(steps, units, forget_bias, seed, epochs, train, valid)
            rows.append({"forget_bias": name, "seed": seed, "curve": curve})
            print(f"forget bias {name}, seed {seed}: validation {min(curve):.4f}", flush=True)
    print(f"answering the mean: {baseline:.4f}")
    with (folder / "tune_forget_bias.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["forget_bias", "seed", "epoch", "valid"])
        for row in rows:
            for epoch, value in enumerate(row["curve"], 1):
                writer.writerow([row["forget_bias"], row["seed"], epoch, value])

    # The weights of the search's best trial, looked at with sequences nobody has seen.
    model = tuner.get_best_models()[0]
    score = float(model.evaluate(*test, verbose=0, return_dict=True)["loss"])
    print(f"test split, the best model of the search: {score:.4f}")
    record = {"settings": best, "valid": tuner.oracle.completed[0].score, "test": score}
    (folder / "best.json").write_text(json.dumps(record, indent=1), "utf-8")
    try:
        picture(folder / "tune_forget_bias.png", rows, tuner.oracle.completed, baseline)
    except ModuleNotFoundError:
        print("No picture: pip install 'keras_lstm_variants[plot]' draws it.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
