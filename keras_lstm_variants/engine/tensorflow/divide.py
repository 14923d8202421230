"""The fast loop over a batch, whose rows may be divided among several loops."""

import math
from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from keras_lstm_variants.backend.threads import cores, only_on_cpu
from keras_lstm_variants.backend.xla import (
    built_by_keras,
    compiled_by_xla,
    replica_count,
    under_a_tape,
    vectorized,
)
from keras_lstm_variants.core.cell import Cell
from keras_lstm_variants.engine.options import LoopOptions, Result
from keras_lstm_variants.engine.tensorflow import plain, recurring, rows, truncation
from keras_lstm_variants.engine.tensorflow.fast import FastLoop, Residuals, Settings, differentiable
from keras_lstm_variants.engine.tensorflow.kept import loops_of
from keras_lstm_variants.engine.tensorflow.step import Step
from keras_lstm_variants.engine.tensorflow.trace import StepTrace, trace_step

# What is worth a loop of its own: so many rows, so many multiplications a step; and so many
# loops at most, for they must be built. The batch that is expected where none is known.
_ROWS, _WORK, _LOOPS, _USUAL_BATCH = 4, 1_000_000, 4, 32
# Loops of at least so many steps, with at most so many multiplications each, are worth compiling.
_FEW, _SMALL = 25, 16_000_000
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
) -> tuple[Result, str] | str:
    """The result of the fast loop, and in what form; or why it cannot run the cell."""
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
    compiled, whole = options.engine == "xla", settings.xla
    reason = None
    if not compiled and not whole:
        reason = loops_of(cell).refused or _why_not_compiled(trace, inputs[0])
    recurs = reason is None and not compiled and not whole
    loops = 1 if whole else _worthwhile_loops(trace, inputs[0].shape[0], compiled or recurs)

    def plain(
        inputs: list[Any], states: list[Any], weights: list[Any], mask: Any, dropout_masks: Any
    ) -> Result:
        return _plainly(step.with_masks(dropout_masks), inputs, mask, states, weights, settings)

    def some_rows(
        inputs: list[Any], mask: Any, states: Any, weights: Any, dropout_masks: Any
    ) -> Result:
        own, now = step.with_masks(dropout_masks), settings._replace(xla=compiled_by_xla())
        loop = FastLoop(own, trace, inputs, mask, states, now)
        return differentiable(loop, plain, inputs, states, weights, mask, dropout_masks)

    if recurs:
        often = recurring.has_come_back(cell, inputs[0])
        steps = inputs[0].shape[1]
        loop = recurring.RecurringLoop(step, trace, mask, settings, loops, often, steps)
        result = differentiable(loop, plain, inputs, flat, weights, mask, step.masks)
    else:
        if (loops > 1 and options.training) or (compiled and not whole):
            # One function, so that it is traced and compiled once. Not at inference: tf2onnx
            # spoils what is called twice.
            some_rows = tf.function(
                some_rows, autograph=False, reduce_retracing=True, jit_compile=compiled
            )
        result = _side_by_side(some_rows, loops, inputs, mask, flat, weights, step)

    def packed(values: list[Any] | None) -> Any:
        return None if values is None else keras.tree.pack_sequence_as(states, values)

    form, reason = "compiled by XLA", reason or loops_of(cell).refused
    if recurs and reason is None:
        what = "shapes" if inputs[0].shape[1] is not None else "batch sizes"
        form += f" for {what} of which {recurring.ENOUGH} time steps have been run"
    elif reason is not None:
        form = f"not compiled: {reason}"
    result = result._replace(
        states=packed(result.states), state_sequences=packed(result.state_sequences)
    )
    return result, f"the fast loop ({form})"


def _why_not_compiled(trace: StepTrace, sequences: Any) -> str | None:
    """Why a loop is not compiled once its shape has come back; None if it is."""
    batch, steps = sequences.shape[:2]
    batch = _USUAL_BATCH if batch is None else batch
    if not only_on_cpu() or replica_count() > 1:
        return "an accelerator computes, or several devices do"
    if vectorized():
        return "it will be vectorised"
    if sequences.dtype == tf.float64:
        return "XLA has been seen to compile a loop in float64 wrongly"
    if steps is not None and steps < _FEW:
        return f"there are fewer than {_FEW} steps"
    if batch * _work(trace) > _SMALL:
        return "products as large are faster in TensorFlow"
    if not under_a_tape() and not built_by_keras() and not recurring.at_once():
        return (
            "nobody differentiates it, and the function is none of Keras's: it may be exported, "
            "or run once"
        )
    return None


def _work(trace: StepTrace) -> int:
    """Multiplications in the products of a step with one row."""
    return sum(math.prod(p.state.shape[1:]) * p.value.shape[-1] for p in trace.products)


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
    if batch * _work(trace) < _WORK and not compiled:
        return 1
    return max(1, min(cores(), _LOOPS, batch // _ROWS))


def _side_by_side(
    run: Callable[..., Result],
    loops: int,
    inputs: list[Any],
    mask: Any,
    states: list[Any],
    weights: list[Any],
    step: Step,
) -> Result:
    """Divide the rows of the batch among `loops` loops."""
    if loops == 1:
        return run(inputs, mask, states, weights, step.masks)
    values = (list(inputs), mask, list(states), list(step.masks))
    own = rows.of_weights(loops, inputs[0], weights, step.by_row)
    parts = zip(rows.divided(loops, inputs[0], values), own, strict=True)
    return rows.joined(
        [
            run(inputs, mask, states, weights, tuple(masks))
            for (inputs, mask, states, masks), weights in parts
        ]
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
