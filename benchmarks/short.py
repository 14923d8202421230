"""Short sequences: time of a training step, and to build its graph, beside Keras's layer.

    python benchmarks/short.py                        # ten minutes on 2 cores
    python benchmarks/short.py --lengths 1,8 --layers GRU --rounds 3

Writes OUTPUT/short.json and OUTPUT/short.csv; `python benchmarks/report.py` makes RESULTS.md of
them. Ours and Keras's take turns. Loops are compiled at their first call, as the default engine
does in the end.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import quiet  # noqa: F401, first

# isort: split
import fits
import keras
import numpy as np
import tensorflow as tf

import keras_lstm_variants as klv
from keras_lstm_variants._cli.errors import UsageError
from keras_lstm_variants.bench import environment, report
from keras_lstm_variants.bench.command import check_repeats, open_folder
from keras_lstm_variants.engine import compile_at_once

CALLS, BUILDS, STEPS = 5, 3, 5
BATCH, FEATURES, UNITS = 64, 64, 128
LAYERS = ("LSTM", "GRU")
RESULTS = Path(__file__).parent / "results"


def layer_of(side: Any, name: str, units: int, both: bool) -> Any:
    layer = getattr(side, name)(units, return_sequences=True)
    return keras.layers.Bidirectional(layer) if both else layer


def step_of(layer: Any, calls: int) -> Callable[[Any], Any]:
    def step(x: Any) -> Any:
        with tf.GradientTape() as tape:
            loss = tf.add_n([tf.reduce_sum(layer(x, training=True)) for _ in range(calls)])
        return tape.gradient(loss, [w.value for w in layer.trainable_weights])

    return tf.function(step, autograph=False)


def built(layer: Any, shape: tuple[Any, ...], calls: int) -> tuple[float, Any]:
    """Seconds to trace a function with so many calls, and the function."""
    start = time.perf_counter()
    function = step_of(layer, calls).get_concrete_function(tf.TensorSpec(shape))
    return time.perf_counter() - start, function


def measure(name: str, both: bool, length: int, rounds: int) -> dict[str, Any]:
    """Medians of a layer at one length."""
    shape = (BATCH, length, FEATURES)
    x = tf.constant(np.random.default_rng(0).standard_normal(shape, "float32"))
    sides = {"klv": klv, "keras": keras.layers}
    builds, more, steps = ({side: [] for side in sides} for _ in range(3))
    functions = {}
    for _ in range(BUILDS):
        for side, module in sides.items():
            seconds = []
            for calls in (1, 1 + CALLS):
                layer = layer_of(module, name, UNITS, both)
                layer.build((None, *shape[1:]))
                found, function = built(layer, (None, *shape[1:]), calls)
                seconds.append(found)
                functions.setdefault(side, function)
            builds[side].append(seconds[0])
            more[side].append((seconds[1] - seconds[0]) / CALLS)
    for function in functions.values():
        function(x)
    for _ in range(rounds):
        for side, function in functions.items():
            start = time.perf_counter()
            for _ in range(STEPS):
                gradients = function(x)
            gradients[0].numpy()
            steps[side].append((time.perf_counter() - start) / STEPS)
    row = {"layer": f"Bidirectional({name})" if both else name, "length": length}
    for what, times in {"step": steps, "build": builds, "more": more}.items():
        row |= {f"{side}_{what}_s": round(statistics.median(times[side]), 6) for side in sides}
    return row


def section(results: dict[str, Any]) -> str:
    """The results in Markdown."""
    head = ["layer", "steps", "klv ms", "of Keras's", "build ms", "of Keras's", "more ms"]
    return report.markdown(
        (
            [*head, "of Keras's"],
            [
                [row["layer"], str(row["length"])]
                + [
                    text
                    for what in ("step", "build", "more")
                    for ours in [row[f"klv_{what}_s"]]
                    for text in (
                        report.number(1000 * ours),
                        report.number(ours / row[f"keras_{what}_s"]),
                    )
                ]
                for row in results["rows"]
            ],
        )
    )


def numbers(text: str) -> list[int]:
    try:
        return [check_repeats(int(n), "--lengths") for n in text.split(",")]
    except ValueError as error:
        raise UsageError(f"--lengths must be whole numbers. Received: {text!r}") from error


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--lengths", default="1,2,4,8,12,25,50", metavar="N,N", help="default: %(default)s")
    add("--layers", default=",".join(LAYERS), metavar="A,B", help="default: %(default)s")
    add("--rounds", type=int, default=15, metavar="N", help="default: %(default)s")
    add("--output", default=str(RESULTS), metavar="DIR", help="folder (default: %(default)s)")
    arguments = parser.parse_args(argv)
    try:
        lengths, rounds = numbers(arguments.lengths), check_repeats(arguments.rounds, "--rounds")
        names = fits.chosen("--layers", arguments.layers, LAYERS, ",")
        folder = open_folder(arguments.output)
    except UsageError as error:
        print(f"short.py: {error}", file=sys.stderr)
        return 2
    compile_at_once()
    sizes = {"batch": BATCH, "features": FEATURES, "units": UNITS, "rounds": rounds}
    rows: list[dict[str, Any]] = []
    results = {"environment": environment.environment(), "settings": sizes, "rows": rows}
    for name in names:
        for both in (False, True):
            for length in lengths:
                rows.append(measure(name, both, length, rounds))
                print(rows[-1], flush=True)
                report.write(folder, "short", results, rows)
    print(f"Written: {folder / 'short.csv'}, {folder / 'short.json'}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
