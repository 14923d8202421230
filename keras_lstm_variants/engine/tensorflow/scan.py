r"""Cells that need no loop: all steps at once.

A linear recurrence $s_t = a_t \odot s_{t-1} + b_t$ is a sum under an associative rule,

$$(a, b) \circ (a', b') = (a a',\; b a' + b'),$$

so that all of its prefixes come out of $\log_2 T$ rounds, in each of which a step takes in what
another one, twice as far back as in the round before, has gathered. These are ordinary operations,
which TensorFlow differentiates in every way it knows.
"""

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from keras_lstm_variants.core import keras_private
from keras_lstm_variants.core.cell import Cell
from keras_lstm_variants.core.context import derived_as
from keras_lstm_variants.engine.options import LoopOptions, Result
from keras_lstm_variants.engine.tensorflow.forward import repeat
from keras_lstm_variants.engine.tensorflow.plain import batch_first, time_first
from keras_lstm_variants.engine.tensorflow.step import rows_of


def why_not(cell: Any, options: LoopOptions) -> str | None:
    """Why no parallel form is taken; None if one is."""
    if not isinstance(cell, Cell) or (cell.scan is None and cell.parallel is None):
        return "it has no parallel form"
    if cell.is_captured:
        return "somebody listens to its gates"
    if options.stop_gradient_every is not None or options.clip_state_gradients is not None:
        return "gradients are stopped or clipped between steps"
    if options.recompute:
        return "memory is to be saved (`recompute=True`)"
    return None


def run(
    cell: Cell,
    inputs: list[Any],
    states: Any,
    options: LoopOptions,
    mask: Any,
    output_dtype: Any,
    side_names: tuple[str, ...],
) -> Result:
    """Run a cell over all steps of `inputs` (batch, time, ...) at once. See `dispatch.run`."""
    first = [tf.convert_to_tensor(s) for s in keras.tree.flatten(states)]
    with keras_private.AutocastScope(cell.compute_dtype):
        derived = {id(w): w.value for w in cell.derived_weights}
        with derived_as(derived):
            z = projected(cell, inputs, side_names, options.training)
            form = _by_scan if cell.parallel is None else _by_cell
            outputs, sequences = form(cell, z, first, mask, options.training)
    outputs = tf.cast(outputs, output_dtype)
    sequences = [tf.cast(s, f.dtype) for s, f in zip(sequences, first, strict=True)]
    nothing = tf.zeros_like(outputs[:, :1])
    if mask is not None:
        on = _like(mask, outputs)
        outputs = tf.where(on, outputs, tf.zeros_like(outputs))
        if not options.zero_output_for_mask:
            # Repeated: the same recurrence, with nothing new at a masked step.
            repeats = tf.cast(~on, outputs.dtype) + tf.zeros_like(outputs)
            outputs = linear(repeats, outputs)
    last = [
        tf.concat([f[:, tf.newaxis], s], 1)[:, -1] for f, s in zip(first, sequences, strict=True)
    ]
    return Result(
        tf.concat([nothing, outputs], 1)[:, -1],
        outputs if options.keep_outputs else None,
        keras.tree.pack_sequence_as(states, last),
        keras.tree.pack_sequence_as(states, sequences) if options.keep_states else None,
    )


def projected(cell: Cell, inputs: list[Any], side_names: tuple[str, ...], training: bool) -> Any:
    """What the cell makes of all inputs (batch, time, ...), in that form."""
    x, *side = inputs
    # Time first, for the dropout mask, one for all steps.
    x = rows_of(cell.drop_inputs(time_first(x), training))
    values = [rows_of(time_first(v)) for v in side]
    given = dict(zip(side_names, values, strict=True))
    z = cell.project_inputs(x, training=training, **given)
    batch = tf.shape(inputs[0])[0]

    def by_step(leaf: Any) -> Any:
        rows = tf.convert_to_tensor(leaf)
        steps = tf.reshape(rows, [-1, batch, *rows.shape[1:]])
        steps.set_shape([inputs[0].shape[1], inputs[0].shape[0], *rows.shape[1:]])
        return batch_first(steps)

    return keras.tree.map_structure(lambda v: None if v is None else by_step(v), z)


def _by_cell(
    cell: Cell, z: Any, first: list[Any], mask: Any, training: bool
) -> tuple[Any, list[Any]]:
    outputs, sequences = cell.parallel(z, tuple(first), mask)
    return outputs, list(sequences)


def _by_scan(
    cell: Cell, z: Any, first: list[Any], mask: Any, training: bool
) -> tuple[Any, list[Any]]:
    (state,) = first
    a, b = cell.scan(z)
    if mask is not None:
        on = _like(mask, b)
        a, b = tf.where(on, a, tf.ones_like(a)), tf.where(on, b, tf.zeros_like(b))
    a, b = (tf.cast(v, state.dtype) for v in (a, b))
    after = linear(a, b, state)
    before = tf.concat([state[:, tf.newaxis], after], 1)[:, :-1]
    # Step by step nothing is left to wait for: the states before each step are known.
    rows = keras.tree.map_structure(lambda v: None if v is None else rows_of(v), z)
    output, (new,) = cell.advance(rows, (rows_of(before),), training)
    if output is new:
        return after, [after]
    steps = tf.reshape(output, [*_sizes(after), *output.shape[1:]])
    return steps, [after]


def linear(a: Any, b: Any, start: Any = None) -> Any:
    """All $s_t = a_t \\odot s_{t-1} + b_t$ over (batch, time, ...), from `start` or zero."""
    gathered_a, gathered_b = _prefixes(a, b)
    if start is None:
        return gathered_b
    return gathered_a * start[:, tf.newaxis] + gathered_b


def _prefixes(a: Any, b: Any) -> tuple[Any, Any]:
    steps = a.shape[1]
    if steps is not None:
        distance = 1
        while distance < steps:
            a, b = _round(a, b, lambda v, fill, d=distance: _later(v, fill, d))
            distance *= 2
        return a, b
    distances = tf.constant([2**k for k in range(30)])
    rounds = tf.reduce_sum(tf.cast(distances < tf.shape(a)[1], tf.int32))

    def body(k: Any, a: Any, b: Any) -> Any:
        return _round(a, b, lambda v, fill: _later_by(v, fill, distances[k]))

    return repeat(rounds, body, (a, b))


def _round(a: Any, b: Any, later: Callable[[Any, float], Any]) -> tuple[Any, Any]:
    """Each step takes in what the one `later` shifts to it has gathered."""
    return a * later(a, 1.0), a * later(b, 0.0) + b


def _later(values: Any, fill: float, distance: int) -> Any:
    start = tf.fill(tf.shape(values[:, :distance]), tf.cast(fill, values.dtype))
    return tf.concat([start, values[:, :-distance]], 1)


def _later_by(values: Any, fill: float, distance: Any) -> Any:
    """The same for a distance that only run time knows; XLA wants sizes that do not change."""
    times = tf.range(tf.shape(values)[1]) - distance
    moved = tf.gather(values, tf.maximum(times, 0), axis=1)
    return tf.where(_like((times >= 0)[tf.newaxis], values), moved, tf.cast(fill, values.dtype))


def _like(mask: Any, values: Any) -> Any:
    """A mask (batch, time) with as many axes as the values."""
    for _ in values.shape[2:]:
        mask = mask[..., tf.newaxis]
    return mask


def _sizes(values: Any) -> list[Any]:
    known, found = values.shape[:2].as_list(), tf.shape(values)
    return [found[k] if size is None else size for k, size in enumerate(known)]
