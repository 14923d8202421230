"""Short sequences: time of a training step, and to build its graph, beside Keras's layer.

    python benchmarks/short.py                        # ten minutes on 2 cores
    python benchmarks/short.py --lengths 1,8 --layers GRU --rounds 3

Prints a Markdown table. *build*: seconds to trace a function that calls the layer once and
takes the gradients of its weights; *more*: what each further call of the layer in that function
adds. Loops are compiled at their first call, as the default engine does in the end; ours and
Keras's take turns, and the numbers are medians.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import quiet  # noqa: F401, first

# isort: split
import keras
import numpy as np
import tensorflow as tf

import keras_lstm_variants as klv
from keras_lstm_variants.bench import environment, report
from keras_lstm_variants.engine import compile_at_once

CALLS = 5


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


def measure(
    name: str, both: bool, batch: int, length: int, features: int, units: int, rounds: int
) -> list[str]:
    x = tf.constant(np.random.default_rng(0).standard_normal((batch, length, features), "float32"))
    sides = {"klv": klv, "keras": keras.layers}
    builds: dict[str, list[float]] = {side: [] for side in sides}
    more: dict[str, list[float]] = {side: [] for side in sides}
    steps: dict[str, list[float]] = {side: [] for side in sides}
    functions = {}
    for _ in range(3):
        for side, module in sides.items():
            layer = layer_of(module, name, units, both)
            layer.build((None, length, features))
            once, functions[side] = built(layer, (None, length, features), 1)
            fresh = layer_of(module, name, units, both)
            fresh.build((None, length, features))
            often, _ = built(fresh, (None, length, features), 1 + CALLS)
            builds[side].append(once)
            more[side].append((often - once) / CALLS)
    for function in functions.values():
        function(x)
    for _ in range(rounds):
        for side, function in functions.items():
            start = time.perf_counter()
            for _ in range(5):
                gradients = function(x)
            gradients[0].numpy()
            steps[side].append((time.perf_counter() - start) / 5)

    def ratio(times: dict[str, list[float]]) -> str:
        return report.number(statistics.median(times["klv"]) / statistics.median(times["keras"]))

    ours = report.number(1000 * statistics.median(steps["klv"]))
    what = f"Bidirectional({name})" if both else name
    return [what, str(length), ours, ratio(steps), ratio(builds), ratio(more)]


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--lengths", default="1,2,4,8,12,25,50", metavar="N,N", help="default: %(default)s")
    add("--layers", default="LSTM,GRU", metavar="A,B", help="default: %(default)s")
    add("--rounds", type=int, default=15, metavar="N", help="default: %(default)s")
    arguments = parser.parse_args(argv)
    compile_at_once()
    batch, features, units = 64, 64, 128
    rows = []
    for name in arguments.layers.split(","):
        for both in (False, True):
            for length in map(int, arguments.lengths.split(",")):
                row = measure(name, both, batch, length, features, units, arguments.rounds)
                print(*row, flush=True, file=sys.stderr)
                rows.append(row)
    head = ["layer", "steps", "ms", "step/Keras's", "build/Keras's", "more/Keras's"]
    machine = environment.environment()["machine"]
    print(
        f"{machine['cpu']}, {machine['cores']} cores; batch {batch}, {features} features, ", end=""
    )
    print(f"{units} units\n")
    print(report.markdown((head, rows)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
