"""The fast loop over a batch, whose rows may be divided among several loops."""

import itertools
import math
from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from keras_lstm_variants.backend.threads import cores
from keras_lstm_variants.backend.xla import compiled_by_xla, under_a_tape
from keras_lstm_variants.core.cell import Cell
from keras_lstm_variants.engine.options import LoopOptions, Result
from keras_lstm_variants.engine.tensorflow import plain, truncation
from keras_lstm_variants.engine.tensorflow.fast import FastLoop, Residuals, Settings, differentiable
from keras_lstm_variants.engine.tensorflow.step import Step
from keras_lstm_variants.engine.tensorflow.trace import StepTrace, trace_step

# What is worth a loop of its own: so many rows, so many multiplications a step; and so many
# loops at most, for they must be built. The batch that is expected where none is known.
_ROWS, _WORK, _LOOPS, _USUAL_BATCH = 4, 1_000_000, 4, 32
# Bytes of products' values that are kept for the gradient. More are not worth their memory.
_KEPT = 2**26


def run(
    cell: Cell,
    inputs: list[Any],
    states: Any,
    options: LoopOptions,
    mask: Any,
    output_shape: tuple[int, ...],
    output_dtype: Any,
    side_names: tuple[str, ...],
    edge: truncation.Edge | None,
) -> Result | str:
    """The result of the fast loop; or why it cannot run the cell."""
    flat = [tf.convert_to_tensor(s) for s in keras.tree.flatten(states)]
    if any(s.shape.rank == 0 or s.shape[0] == 1 != inputs[0].shape[0] for s in flat):
        return "an initial state is not one of each row"
    known = None
    # A layer inside a cell may be built on first use, which then is the trace.
    while known != len(cell.weights):
        known = len(cell.weights)
        step = Step(cell, bool(options.training), output_dtype, side_names)
        weights = step.weights()
        trace = trace_step(step, inputs, flat, weights)
    if isinstance(trace, str):
        return trace
    # Without a tape nothing is worth its memory, as in an exported function, which could
    # not be saved with what is kept. A gradient that comes later computes it again.
    keep = Residuals.STARTS
    if options.training and not options.recompute and under_a_tape():
        keep = _kept(trace, inputs[0], any(step.by_row))
    settings = Settings(options, output_shape, keep, edge, compiled_by_xla())

    def rows(inputs: list[Any], mask: Any, states: Any, weights: Any, dropout_masks: Any) -> Result:
        own = step.with_masks(dropout_masks)
        now = settings._replace(xla=compiled_by_xla())
        fast = FastLoop(own, trace, inputs, mask, states, now)

        def plain(
            inputs: list[Any],
            states: list[Any],
            weights: list[Any],
            mask: Any,
            dropout_masks: Any,
        ) -> Result:
            again = step.with_masks(dropout_masks)
            return _plainly(again, inputs, mask, states, weights, now)

        return differentiable(fast, plain, inputs, states, weights, mask, dropout_masks)

    compiled, whole = options.engine == "xla", settings.xla
    loops = 1 if whole else _worthwhile_loops(trace, inputs[0].shape[0], compiled)
    if (loops > 1 and options.training) or (compiled and not whole):
        # One function, so that it is traced and compiled once. Not at inference: tf2onnx spoils
        # what is called twice.
        rows = tf.function(rows, autograph=False, reduce_retracing=True, jit_compile=compiled)
    result = _side_by_side(rows, loops, inputs, mask, flat, weights, step)

    def packed(values: list[Any] | None) -> Any:
        return None if values is None else keras.tree.pack_sequence_as(states, values)

    return result._replace(
        states=packed(result.states), state_sequences=packed(result.state_sequences)
    )


def _kept(trace: StepTrace, sequences: Any, constants: bool) -> Residuals:
    """What to keep for the gradient where memory need not be saved at any price."""
    if constants:
        return Residuals.ALL  # The rows of many steps as one would need as many copies of them.
    batch, steps = sequences.shape[:2]
    columns = sum(math.prod(p.value.shape[1:]) for p in trace.products)
    rows = (_USUAL_BATCH if batch is None else batch) * (steps or 0)
    return Residuals.ALL if rows * columns * sequences.dtype.size <= _KEPT else Residuals.STATES


def _worthwhile_loops(trace: StepTrace, batch: int | None, compiled: bool) -> int:
    """Among how many loops to divide the rows of the batch.

    Within a function XLA runs loops one after the other, but TensorFlow runs loops, compiled
    or not, side by side, each on a core of its own: a step is too small to be divided well
    among the cores itself.
    """
    batch = _USUAL_BATCH if batch is None else batch
    work = sum(math.prod(p.state.shape[1:]) * p.value.shape[-1] for p in trace.products)
    if batch * work < _WORK and not compiled:
        return 1
    return max(1, min(cores(), _LOOPS, batch // _ROWS))


def _side_by_side(
    rows: Callable[..., Result],
    loops: int,
    inputs: list[Any],
    mask: Any,
    states: list[Any],
    weights: list[Any],
    step: Step,
) -> Result:
    """Divide the rows of the batch among `loops` loops."""
    if loops == 1:
        return rows(inputs, mask, states, weights, step.masks)
    batch = inputs[0].shape[0] if inputs[0].shape[0] is not None else tf.shape(inputs[0])[0]
    ends = [batch * k // loops for k in range(loops + 1)]
    sizes = [end - start for start, end in itertools.pairwise(ends)]

    def divided(value: Any) -> list[Any]:
        return [None] * loops if value is None else tf.split(value, sizes)

    own = [
        divided(w) if by_row else [w] * loops
        for w, by_row in zip(weights, step.by_row, strict=True)
    ]
    parts = [
        rows(list(inputs), mask, list(states), list(weights), masks)
        for inputs, mask, states, weights, masks in zip(
            zip(*map(divided, inputs), strict=True),
            divided(mask),
            zip(*map(divided, states), strict=True),
            zip(*own, strict=True),
            zip(*map(divided, step.masks), strict=True),
            strict=True,
        )
    ]
    return keras.tree.map_structure(
        lambda *values: None if values[0] is None else tf.concat(values, 0), *parts
    )


def _plainly(
    step: Step,
    inputs: list[Any],
    mask: Any,
    states: list[Any],
    weights: list[Any],
    settings: Settings,
) -> Result:
    """What the fast loop computes, in a loop that TensorFlow differentiates."""
    return plain.run(
        lambda now, s: step.whole(now, s, weights),
        inputs,
        states,
        settings.options,
        settings.output_shape,
        step.output_dtype,
        mask=mask,
        edge=settings.edge,
    )
