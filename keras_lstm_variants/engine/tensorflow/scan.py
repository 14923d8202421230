r"""Cells that need no loop over all steps.

The steps of a linear recurrence $s_t = a_t \odot s_{t-1} + b_t$ are cut into $\sqrt T$ chunks of
$\sqrt T$ steps. All chunks go forward together, each as if it began at zero, and keep the product
of their a; then the chunks follow each other; and what came before each is added to its steps.
That makes $3 \sqrt T$ large operations out of T small ones. They are ordinary ones, which
TensorFlow differentiates in every way it knows.
"""

import math
from typing import Any

import keras
import tensorflow as tf

from keras_lstm_variants.core import keras_private
from keras_lstm_variants.core.cell import Cell
from keras_lstm_variants.core.context import derived_as
from keras_lstm_variants.engine.options import LoopOptions, Result
from keras_lstm_variants.engine.tensorflow.buffers import sizes
from keras_lstm_variants.engine.tensorflow.plain import batch_first, time_first
from keras_lstm_variants.engine.tensorflow.step import rows_of


def has_parallel_form(cell: Any) -> bool:
    """Whether the cell says how to compute all steps at once."""
    return isinstance(cell, Cell) and (cell.scan is not None or cell.parallel is not None)


def why_not(cell: Cell, inputs: list[Any], options: LoopOptions) -> str | None:
    """Why a cell's parallel form is not taken; None if it is."""
    name = type(cell).__name__
    for method in ("call", "advance"):
        if getattr(type(cell), method) is not getattr(Cell, method):
            return f"{name} overrides `{method}`"
    form = "scan" if cell.parallel is None else "parallel"
    if not issubclass(_owner(cell, form), _owner(cell, "step")):
        return f"{name} has a `step` of its own, and the `{form}` of a parent"
    if form == "scan" and len(cell.states) != 1:
        return "`scan` is for cells with one state"
    if form == "scan" and options.training and cell.recurrent_dropout:
        return "its state is dropped at each step (`recurrent_dropout`)"
    if cell.is_captured:
        return "somebody listens to its gates"
    if options.stop_gradient_every is not None or options.clip_state_gradients is not None:
        return "its gradients are stopped or clipped between steps"
    if options.recompute:
        return "memory is to be saved (`recompute=True`)"
    return None if inputs[0].shape[1] else "the number of steps is not known, or zero"


def _owner(cell: Cell, name: str) -> type:
    """The class that defines an attribute of the cell."""
    return next(c for c in type(cell).__mro__ if name in vars(c))


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
    masks = None if mask is None else time_first(mask)
    with keras_private.AutocastScope(cell.compute_dtype):
        derived = {id(w): w.value for w in cell.derived_weights}
        with derived_as(derived):
            z = projected(cell, inputs, side_names, options.training)
            form = _by_scan if cell.parallel is None else _by_cell
            outputs, sequences = form(cell, z, first, masks, options.training)
    outputs = tf.cast(outputs, output_dtype)
    sequences = [tf.cast(s, f.dtype) for s, f in zip(sequences, first, strict=True)]
    if mask is not None:
        on = _like(masks, outputs)
        outputs = tf.where(on, outputs, tf.zeros_like(outputs))
        if not options.zero_output_for_mask:
            # Repeated: the same recurrence, with nothing new at a masked step.
            repeats = tf.cast(~on, outputs.dtype) + tf.zeros_like(outputs)
            outputs = linear(repeats, outputs)

    def in_batches(values: list[Any]) -> Any:
        return keras.tree.pack_sequence_as(states, list(map(batch_first, values)))

    return Result(
        outputs[-1],
        batch_first(outputs) if options.keep_outputs else None,
        keras.tree.pack_sequence_as(states, [s[-1] for s in sequences]),
        in_batches(sequences) if options.keep_states else None,
    )


def projected(cell: Cell, inputs: list[Any], side_names: tuple[str, ...], training: bool) -> Any:
    """What the cell makes of all inputs (batch, time, ...): (time, batch, ...)."""
    x, *side = map(time_first, inputs)
    given = dict(zip(side_names, map(rows_of, side), strict=True))
    z = cell.project_inputs(rows_of(cell.drop_inputs(x, training)), training=training, **given)

    def by_step(leaf: Any) -> Any:
        rows = tf.convert_to_tensor(leaf)
        steps = tf.reshape(rows, [tf.shape(x)[0], tf.shape(x)[1], *rows.shape[1:]])
        steps.set_shape([*x.shape[:2], *rows.shape[1:]])
        return steps

    return keras.tree.map_structure(lambda v: None if v is None else by_step(v), z)


def _by_cell(
    cell: Cell, z: Any, first: list[Any], masks: Any, training: bool
) -> tuple[Any, list[Any]]:
    z = keras.tree.map_structure(lambda v: None if v is None else batch_first(v), z)
    mask = None if masks is None else batch_first(masks)
    returned = cell.parallel(z, tuple(first), mask)
    if not isinstance(returned, tuple) or len(returned) != 2 or len(returned[1]) != len(first):
        raise ValueError(
            f"{type(cell).__name__}.parallel must return the output and a list of {len(first)} "
            f"states, (batch, time, ...) each. Received: {returned!r}"
        )
    outputs, sequences = returned
    return time_first(outputs), list(map(time_first, sequences))


def _by_scan(
    cell: Cell, z: Any, first: list[Any], masks: Any, training: bool
) -> tuple[Any, list[Any]]:
    (state,) = first
    returned = cell.scan(z)
    if not isinstance(returned, tuple | list) or len(returned) != 2:
        raise ValueError(
            f"{type(cell).__name__}.scan must return a and b of `state = a * state + b`. "
            f"Received: {returned!r}"
        )
    steps = next(leaf.shape[0] for leaf in keras.tree.flatten(z) if leaf is not None)
    shape = [steps, *sizes(state)]
    a, b = (tf.broadcast_to(tf.cast(v, state.dtype), shape) for v in returned)
    if masks is not None:
        on = _like(masks, b)
        a, b = tf.where(on, a, tf.ones_like(a)), tf.where(on, b, tf.zeros_like(b))
    after = linear(a, b, state)
    before = tf.concat([state[tf.newaxis], after[:-1]], 0)
    # Step by step nothing is left to wait for: the states before each step are known.
    rows = keras.tree.map_structure(lambda v: None if v is None else rows_of(v), z)
    output, (new,) = cell.advance(rows, (rows_of(before),), training)
    if output is new:
        return after, [after]
    steps = tf.reshape(output, [after.shape[0], tf.shape(after)[1], *output.shape[1:]])
    return steps, [after]


def linear(a: Any, b: Any, start: Any = None) -> Any:
    r"""All $s_t = a_t \odot s_{t-1} + b_t$ over (time, batch, ...), from `start` or zero."""
    steps = a.shape[0]
    length = math.isqrt(steps - 1) + 1
    chunks = -(-steps // length)
    nothing = [[0, chunks * length - steps], *[[0, 0]] * (a.shape.rank - 1)]
    a, b = (
        tf.unstack(tf.reshape(v, [chunks, length, tf.shape(v)[1], *v.shape[2:]]), axis=1)
        for v in (tf.pad(a, nothing, constant_values=1), tf.pad(b, nothing))
    )
    products, sums = [a[0]], [b[0]]
    for k in range(1, length):
        products.append(a[k] * products[-1])
        sums.append(a[k] * sums[-1] + b[k])
    befores = [tf.zeros_like(sums[0][0]) if start is None else start]
    for product, total in zip(tf.unstack(products[-1]), tf.unstack(sums[-1]), strict=True):
        befores.append(product * befores[-1] + total)
    before = tf.stack(befores[:-1])
    found = tf.stack([p * before + s for p, s in zip(products, sums, strict=True)], axis=1)
    return tf.reshape(found, [chunks * length, *sizes(before)[1:]])[:steps]


def _like(mask: Any, values: Any) -> Any:
    """A mask (time, batch) with as many axes as the values."""
    for _ in values.shape[2:]:
        mask = mask[..., tf.newaxis]
    return mask
