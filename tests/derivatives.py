"""What people build on gradients, for any layer, in a graph: the table of derivatives.

`python tests/derivatives.py` checks every cell in every setting against loops in float64 and
prints what is wrong, raises, and how many are right. `test_derivatives.py` holds a part of it.
"""

import argparse
import contextlib
import logging
import sys
from collections.abc import Iterator
from typing import Any
from unittest import mock

import keras
import numpy as np
import tensorflow as tf
from cases import LAYERS, MASK, ROWS, are_counters, make, sequences, states_of
from conftest import forgetting
from derivative_kinds import KINDS, Call, directions, loss

from keras_lstm_variants.engine.tensorflow import dispatch

BATCH, TIME, TOLERANCE = 3, 3, 1e-4
# Name -> arguments of the layer, whether the function is compiled, how it is called.
SETTINGS: dict[str, dict[str, Any]] = {
    "graph": {},
    "graph training": {"training": True},
    "recompute": {"layer": {"recompute": True}, "training": True},
    "masked, all": {"layer": {"return_sequences": True}, "masked": True},
    "masked, training": {"masked": True, "training": True},
    "unknown sizes": {"unknown": True},
    "unknown, training, all": {
        "unknown": True,
        "training": True,
        "layer": {"return_sequences": True},
    },
    "short blocks": {"short": True, "masked": True},
    "short blocks, training": {"short": True, "training": True},
    "short blocks, unknown": {"short": True, "unknown": True, "training": True},
    "traced before": {"traced": True},
    "traced before, training": {"traced": True, "training": True, "masked": True},
    "eager, traced": {"traced": True, "eager": True, "training": True},
    "engine xla": {"layer": {"engine": "xla"}},
    "engine xla, training": {"layer": {"engine": "xla"}, "training": True, "masked": True},
    "plain": {"layer": {"engine": "plain"}},
    "plain, all, masked": {"layer": {"engine": "plain", "return_sequences": True}, "masked": True},
    "plain, unknown": {"layer": {"engine": "plain"}, "unknown": True},
    "recurring": {"recurring": True},
    "recurring, training": {"recurring": True, "training": True, "masked": True},
    "recurring, unknown": {"recurring": True, "training": True, "unknown": True},
    "compiled": {"jit": True},
    "compiled, training": {"jit": True, "training": True, "masked": True},
    "compiled, plain": {"jit": True, "layer": {"engine": "plain"}},
    "eager": {"eager": True},
}


@contextlib.contextmanager
def short_blocks(active: bool) -> Iterator[None]:
    """Blocks of two steps and one."""
    from keras_lstm_variants.engine.tensorflow import chunks

    with mock.patch.object(chunks, "_length", lambda *_: 2) if active else contextlib.nullcontext():
        yield


# An error that names one of these tells how to get the right value.
REMEDIES = ("engine=", "unroll=True", "inside `tf.vectorized_map`", "experimental_use_pfor")


@contextlib.contextmanager
def compiled_at_once(active: bool) -> Iterator[None]:
    """Loops compiled at their first run, as those of shapes that have come back often."""
    from keras_lstm_variants.engine.tensorflow import divide, recurring

    with contextlib.ExitStack() as stack:
        if active:
            for module, name, value in (
                (divide, "_FEW", 0),
                (recurring, "ENOUGH", 0),
                (recurring, "_AGAIN", 0),
                (recurring, "_SHAPES", 2**30),
            ):
                stack.enter_context(mock.patch.object(module, name, value))
        yield


class Subject:
    """A layer with an input, states to start from and a mask."""

    def __init__(self, name: str, options: dict[str, Any], dtype: str = "float32", **kwargs: Any):
        # What is right is computed without training; a leak would be in training alone.
        same = {"leak": 0.0} if name == "PhasedLSTM" else {}
        self.layer = make(name, {**options, **same}, dtype=dtype, **kwargs)
        self.x = sequences(dtype, TIME)[:BATCH]
        self.states = [s[:BATCH] for s in states_of(self.layer, dtype=dtype)]
        # Counted steps are no numbers to differentiate by, and stay as they are.
        self.fixed = are_counters(self.layer.cell)

    def call(self, masked: bool, training: bool, counters: list[Any]) -> Call:
        def call(x: Any, states: list[Any]) -> Any:
            given, counted = iter(states), iter(counters)
            rows = tf.shape(x)[0]
            every = [
                tf.repeat(next(counted), rows, axis=0) if f else next(given) for f in self.fixed
            ]
            mask = tf.repeat(tf.constant(MASK[1:2, :TIME]), rows, axis=0) if masked else None
            return self.layer(x, initial_state=every, mask=mask, training=training)

        return call

    def tensors(self) -> tuple[Any, list[Any], list[Any]]:
        apart = list(zip(self.states, self.fixed, strict=True))
        free = [tf.constant(s) for s, f in apart if not f]
        # One phase for all rows: those of a batch are tried elsewhere.
        return tf.constant(self.x), free, [tf.constant(s[:1]) for s, f in apart if f]


class Exact:
    """A layer in float64, its output from eager loops, and what it is differentiated by."""

    def __init__(
        self, name: str, options: dict[str, Any], masked: bool, return_sequences: bool
    ) -> None:
        subject = Subject(name, options, "float64", return_sequences=return_sequences)
        self.x, self.states, counters = subject.tensors()
        self.call = subject.call(masked, False, counters)
        self.variables = subject.layer.trainable_variables
        self.weights = [tf.convert_to_tensor(w.value) for w in self.variables]
        self.sources = [self.x, *self.states, *self.weights]
        # Where the weights begin.
        self.n = 1 + len(self.states)
        both = [self.x, *self.weights]
        along = zip(directions(both), both, strict=True)
        self.along = [tf.reshape(d, s.shape) for d, s in along]

    def value(self, *sources: Any) -> Any:
        x, *states = sources[: self.n]
        pairs = list(zip(self.variables, sources[self.n :], strict=True))
        with keras.StatelessScope(state_mapping=pairs):
            return self.call(x, states)

    def slopes(self) -> list[Any]:
        """The gradients of the loss by all sources."""
        with tf.GradientTape() as inner:
            inner.watch(self.sources)
            total = loss(self.value(*self.sources))
        return inner.gradient(total, self.sources, unconnected_gradients="zero")


def first_order(exact: Exact) -> dict[str, Any]:
    """Every kind of first derivatives, from gradients of single entries."""
    sources, n = exact.sources, exact.n
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(sources)
        y = exact.value(*sources)
        entries = tf.unstack(tf.reshape(y, [-1]))
    rows = [tape.gradient(e, sources, unconnected_gradients="zero") for e in entries]
    found = [
        tf.reshape(tf.stack(column), [*y.shape, *s.shape])
        for column, s in zip(zip(*rows, strict=True), sources, strict=True)
    ]
    by_x = found[0]
    # Rows do not see each other: a row's gradient is that of its own outputs.
    weight_of_entry = tf.cos(y)
    axes = list(range(1, y.shape.rank))

    def summed(jacobian: Any, over: list[int]) -> Any:
        d = tf.reshape(weight_of_entry, [*y.shape, *[1] * (jacobian.shape.rank - y.shape.rank)])
        return tf.reduce_sum(d * jacobian, over)

    diagonal = tf.stack([by_x[k, ..., k, :, :] for k in range(BATCH)])
    whole = [0, *axes]
    each = [summed(j, whole) for j in found]
    of_each_row = [each[0], *[summed(j, axes) for j in found[n:]]]
    pushed = [
        tf.reduce_sum(j * d, list(range(y.shape.rank, j.shape.rank)))
        for j, d in zip([by_x, *found[n:]], exact.along, strict=True)
    ]
    return {
        "jacobian_by_weights": found[n:],
        "jacobian_by_input": found[:n],
        "batch_jacobian": [diagonal],
        "per_example": of_each_row,
        "mapped": of_each_row,
        "vectorized_inside": each,
        "mapped_inside": each,
        "forward_mode": [tf.add_n(pushed)],
    }


def hessian(exact: Exact) -> dict[str, Any]:
    """Second derivatives by the input and the weights of least and most entries."""
    sources, n, weights = exact.sources, exact.n, exact.weights
    sizes = [w.shape.num_elements() for w in weights]
    few = sorted(range(len(weights)), key=sizes.__getitem__)[:: len(weights) - 1]
    picked = [sources[0], *[weights[k] for k in few]]
    with tf.GradientTape(persistent=True) as outer:
        outer.watch(sources)
        slopes = exact.slopes()
        slope = tf.concat(
            [tf.reshape(slopes[0], [-1]), *[tf.reshape(slopes[n + k], [-1]) for k in few]], 0
        )
        entries = tf.unstack(slope)
    rows = [outer.gradient(e, picked, unconnected_gradients="zero") for e in entries]
    columns = zip(zip(*rows, strict=True), picked, strict=True)
    return {"hessian": [tf.reshape(tf.stack(c), [-1, *s.shape]) for c, s in columns]}


def product_with_hessian(exact: Exact) -> dict[str, Any]:
    """Second derivatives along a direction."""
    with tf.GradientTape() as outer:
        outer.watch(exact.sources)
        slopes = exact.slopes()
        pairs = zip([slopes[0], *slopes[exact.n :]], exact.along, strict=True)
        directed = tf.add_n([tf.reduce_sum(s * d) for s, d in pairs])
    both = [exact.x, *exact.weights]
    found = outer.gradient(directed, both, unconnected_gradients="zero")
    return {"forward_over_backward": found}


SECOND = {"hessian": hessian, "forward_over_backward": product_with_hessian}


def expected(kind: str, *form: Any) -> dict[str, list[np.ndarray]]:
    """What is right, in float64, for this kind, and for others that come of the same loops."""
    results = SECOND.get(kind, first_order)(Exact(*form))
    return {k: [v.numpy() for v in values] for k, values in results.items()}


def found(
    kind: str,
    subject: Subject,
    *,
    masked: bool = False,
    training: bool = False,
    unknown: bool = False,
    traced: bool = False,
    eager: bool = False,
    jit: bool = False,
    short: bool = False,
    recurring: bool = False,
) -> list[np.ndarray]:
    x, states, counters = subject.tensors()
    call = subject.call(masked, training, counters)
    with short_blocks(short), compiled_at_once(recurring):
        if traced:
            call = tf.function(call, autograph=False)
            call(x, states)

        def run(x: Any, states: list[Any]) -> Any:
            weights = [w.value for w in subject.layer.trainable_variables]
            return KINDS[kind](call, x, states, weights)

        def spec(t: Any) -> Any:
            free = [None] * (2 if t.shape.rank == 3 else 1)
            return tf.TensorSpec([*free, *t.shape[len(free) :]], t.dtype)

        signature = [spec(x), list(map(spec, states))] if unknown else None
        if not eager:
            run = tf.function(run, autograph=False, jit_compile=jit, input_signature=signature)
        results = run(x, states)
    return [np.asarray(tf.convert_to_tensor(r)) for r in results]


def error_of(actual: list[np.ndarray], wanted: list[np.ndarray]) -> float:
    """The largest difference, as a part of the largest entry."""
    assert len(actual) == len(wanted)
    worst = 0.0
    for a, e in zip(actual, wanted, strict=True):
        assert a.shape == e.shape, (a.shape, e.shape)
        assert np.all(np.isfinite(a))
        worst = max(worst, np.max(np.abs(a - e)) / max(np.max(np.abs(e)), 1e-2))
    return worst


def check(
    name: str,
    setting: str,
    kind: str,
    known: dict[Any, Any],
    options: dict[str, Any] | None = None,
) -> tuple[float, str]:
    """The error of one combination; or infinity and the message, if it names a remedy.

    `known` keeps what is right, by form of the output, for one cell. Its options are its most
    unusual ones if not given.
    """
    options = ROWS[name][-1] if options is None else options
    how = dict(SETTINGS[setting])
    kwargs = how.pop("layer", {})
    form = (how.get("masked", False), kwargs.get("return_sequences", False))
    right = known.setdefault(form, {})
    if kind not in right:
        right |= expected(kind, name, options, *form)
    try:
        actual = found(kind, Subject(name, options, **kwargs), **how)
    except Exception as problem:
        if any(remedy in str(problem) for remedy in REMEDIES):
            return np.inf, " ".join(str(problem).split())[:200]
        raise
    return error_of(actual, right[kind]), ""


def combinations(settings: list[str], kinds: list[str]) -> list[tuple[str, str]]:
    """Settings and kinds, without those where TensorFlow loses the weights of any layer.

    Of a function that was traced before and is called in a graph, it finds no gradient by the
    variables, a Dense layer's neither, where the call is vectorised or differentiated forwards.
    """
    lost = {"vectorized_inside", "forward_mode", "forward_over_backward"}
    return [
        (setting, kind)
        for setting in settings
        for kind in kinds
        if not (setting.startswith("traced before") and kind in lost)
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cells", default=",".join(LAYERS))
    parser.add_argument("--kinds", default=",".join(KINDS))
    parser.add_argument("--settings", default=";".join(SETTINGS))
    parser.add_argument(
        "--every",
        type=int,
        default=1,
        help="of each cell's combinations one in so many, others for each cell: all settings and "
        "kinds if 5 at most",
    )
    given = parser.parse_args()
    dispatch.WRITTEN_OUT = 0  # The loop is tried, with few steps.
    # TensorFlow logs whole graphs where vectorisation fails.
    logging.getLogger("tensorflow").setLevel(logging.CRITICAL)
    counts = {"right": 0, "refused": 0, "WRONG": 0}
    settings, kinds = given.settings.split(";"), given.kinds.split(",")
    for name in given.cells.split(","):
        known: dict[Any, Any] = {}
        for setting, kind in combinations(settings, kinds):
            place = settings.index(setting) + 2 * kinds.index(kind) + list(LAYERS).index(name)
            if place % given.every:
                continue
            with contextlib.contextmanager(forgetting)():  # else memory grows by gigabytes
                try:
                    error, told = check(name, setting, kind, known)
                except Exception as problem:
                    error, told = np.inf, ""
                    print(" ".join(str(problem).split())[:400])
            verdict = "right" if error < TOLERANCE else "refused" if told else "WRONG"
            counts[verdict] += 1
            if verdict != "right":
                print(f"{verdict}: {name}; {setting}; {kind}: {told or error}", flush=True)
        print(name, counts, flush=True)
    sys.exit(counts["WRONG"] > 0)


if __name__ == "__main__":
    main()
