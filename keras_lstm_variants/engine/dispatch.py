"""Which loop runs a cell."""

import functools
import inspect
import itertools
import math
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import keras
import tensorflow as tf

from keras_lstm_variants import _keras
from keras_lstm_variants.cell import Cell
from keras_lstm_variants.derived import derived_as
from keras_lstm_variants.engine import edges, loop, recording
from keras_lstm_variants.engine.fast import FastLoop, Keep, Results, Settings, differentiable
from keras_lstm_variants.engine.loop import Result
from keras_lstm_variants.engine.rehearsal import Plan, rehearse
from keras_lstm_variants.engine.step import Step, WeightsAs
from keras_lstm_variants.engine.xla import (
    check_vectorized,
    compiled_by_xla,
    cores,
    differentiated_forwards,
    refusing_vectorized,
    under_a_tape,
    vectorized,
)

# What is worth a loop of its own: so many rows, so many multiplications a step; and so many
# loops at most, for they must be built. The batch that is expected where none is known.
_ROWS, _WORK, _LOOPS, _USUAL_BATCH = 4, 1_000_000, 4, 32
# Bytes of products' values that are kept for the gradient. More are not worth their memory.
_KEPT = 2**26


def run(
    cell: Any,
    sequences: Any,
    states: Any,
    output_dtype: Any,
    *,
    training: bool = False,
    mask: Any = None,
    go_backwards: bool = False,
    unroll: bool = False,
    zero_output_for_mask: bool = False,
    keep_outputs: bool = True,
    keep_states: bool = False,
    engine: str = "auto",
    recompute: bool = False,
    stop_gradient_every: int | None = None,
    clip_state_gradients: float | None = None,
    recorder: tuple[list[Any], recording.Recorder] | None = None,
) -> Result:
    """Run a cell over the time steps of `sequences`.

    Args:
        cell: any cell; its dropout masks, if it needs some, have been drawn.
        sequences: (batch, time, ...).
        states: the cell's structure of initial states, (batch, ...) each.
        output_dtype: dtype of the output. States keep the dtypes that they start with.
        training: passed to the cell, if it takes it.
        mask: None, or bool (batch, time), False for the steps to skip.
        go_backwards: process from the end to the start.
        unroll: write the steps out instead of looping; the number must be known.
        zero_output_for_mask: the output of a masked step is zero, not the last one.
        keep_outputs, keep_states: return the outputs, the states of all steps.
        engine: "auto": the fast loop where it can run, which is in graphs, for a `Cell` whose
            step may be run twice. "xla": the same, compiled by XLA also where the function
            that it stands in is not. "plain": the plain loop.
        recompute: in training, compute again what the gradient needs instead of keeping it.
        stop_gradient_every, clip_state_gradients: see `edges`.
        recorder: see `recording`; then the plain loop runs.
    """
    options = {
        "mask": mask,
        "zero_output_for_mask": zero_output_for_mask,
        "keep_outputs": keep_outputs,
        "keep_states": keep_states,
    }
    summed, names = getattr(cell, "sums", ()), getattr(cell, "state_names", ())
    sums = [k for k, name in enumerate(names) if name in summed]
    edge = edges.edge(stop_gradient_every, clip_state_gradients, tuple(sums))
    sequences = tf.convert_to_tensor(sequences)
    if mask is not None and recorder is None and _treats_rows_alone(cell):
        sequences = loop.without_masked(sequences, mask)
    graph = not tf.executing_eagerly()
    if graph and not unroll and _sees_forward_mode(cell, sequences, states):
        if sequences.shape[1] is None:
            raise ValueError(
                "`tf.autodiff.ForwardAccumulator` goes through a recurrent layer in a graph only "
                "where its number of time steps is known, as with `unroll=True`. Received: input "
                f"shape {tuple(sequences.shape)}. Give it, or call the layer eagerly."
            )
        unroll = True
    if graph and not unroll:
        check_vectorized()
    if engine != "plain" and not unroll and graph and recorder is None:
        if _is_plain_stack(cell):
            limits = {
                "engine": engine,
                "recompute": recompute,
                "stop_gradient_every": stop_gradient_every,
                "clip_state_gradients": clip_state_gradients,
            }
            return _run_stack(
                cell, sequences, states, output_dtype, training, go_backwards, options, limits
            )
        if _may_be_fast(cell, sequences, output_dtype):
            # Without a tape nothing is worth its memory, as in an exported function, which could
            # not be saved with what is kept. A gradient that comes later computes it again.
            keep = bool(training) and not recompute and under_a_tape()
            result = _run_fast(
                cell,
                sequences,
                states,
                output_dtype,
                training,
                go_backwards,
                keep,
                edge,
                engine == "xla",
                options,
            )
            if result is not None:
                return result

    takes_training = "training" in inspect.signature(cell.call).parameters
    cell_options = {"training": training} if takes_training else {}
    cells = [c for c in getattr(cell, "cells", [cell]) if isinstance(c, Cell)]
    derived = {}
    for c in cells:
        with _keras.AutocastScope(c.compute_dtype):
            derived |= {id(w): w.value for w in c.derived_weights}
    run_loop = loop.run
    if recorder is not None:
        run_loop = functools.partial(recording.run, recorder=recorder)
    with derived_as(derived), _weights_read_before(cell) if graph and not unroll else nullcontext():
        result = run_loop(
            lambda x, s: cell(x, s, **cell_options),
            sequences=sequences,
            states=states,
            output_shape=_output_shape(cell),
            output_dtype=output_dtype,
            go_backwards=go_backwards,
            unroll=unroll,
            edge=edge,
            **options,
        )
    if graph and not unroll and compiled_by_xla():
        flat = [v for v in keras.tree.flatten(result) if v is not None]
        kept = iter(refusing_vectorized(flat))
        return keras.tree.map_structure(lambda v: None if v is None else next(kept), result)
    return result


def output_size(cell: Any) -> int | tuple[int, ...]:
    """How many features the output of a cell has; a tuple where it has several dimensions."""
    size = getattr(cell, "output_size", None)
    if size is None:
        size = cell.state_size if isinstance(cell.state_size, int) else cell.state_size[0]
    return size


def _output_shape(cell: Any) -> tuple[int, ...]:
    """The shape of the output of a cell, without the batch."""
    size = output_size(cell)
    return (size,) if isinstance(size, int) else tuple(size)


def _run_stack(
    stack: Any,
    sequences: Any,
    states: Any,
    output_dtype: Any,
    training: bool,
    go_backwards: bool,
    options: dict[str, Any],
    limits: dict[str, Any],
) -> Result:
    """Cell after cell instead of step after step: the same, and each in a loop of its own."""
    results: list[Result] = []
    last = len(stack.cells) - 1
    for k, (cell, own_states) in enumerate(zip(stack.cells, states, strict=True)):
        between = {"zero_output_for_mask": False, "keep_outputs": True} if k < last else {}
        dtype = output_dtype if k == last else getattr(cell, "compute_dtype", output_dtype)
        result = run(
            cell,
            sequences,
            own_states,
            dtype,
            training=training,
            go_backwards=go_backwards and k == 0,
            **{**options, **between},
            **limits,
        )
        if go_backwards and k == 0 and options["mask"] is not None:
            # The outputs come in the order of processing, and so must the mask.
            options = {**options, "mask": tf.reverse(tf.cast(options["mask"], tf.bool), [1])}
        sequences = result.outputs
        results.append(result)
    return Result(
        results[-1].last_output,
        results[-1].outputs,
        [r.states for r in results],
        [r.state_sequences for r in results] if options["keep_states"] else None,
    )


def _weights_read_before(cell: Any) -> AbstractContextManager[Any]:
    """While active, what is vectorised reads weights outside of its loop.

    TensorFlow finds no gradient of a vectorised loop that reads variables itself.
    """
    if not vectorized():
        return nullcontext()
    variables = [v for v in cell.trainable_weights if tf.as_dtype(v.dtype).is_floating]
    return WeightsAs(variables, [tf.convert_to_tensor(v.value) for v in variables], _no_update)


def _no_update(update: Any) -> None:
    raise ValueError(
        "A cell that changes variables or adds losses in a step cannot be vectorised. Take "
        "`tf.map_fn` instead of `tf.vectorized_map`, `experimental_use_pfor=False` for Jacobians, "
        "or a layer with `unroll=True`."
    )


def _sees_forward_mode(cell: Any, sequences: Any, states: Any) -> bool:
    weights = [w.value for w in cell.weights if tf.as_dtype(w.dtype).is_floating]
    tensors = [sequences, *keras.tree.flatten(states), *weights]
    return differentiated_forwards(list(map(tf.convert_to_tensor, tensors)))


def _treats_rows_alone(cell: Any) -> bool:
    """As our cells do, and Keras's; what others make of a masked row is theirs."""
    if _is_plain_stack(cell):
        return all(map(_treats_rows_alone, cell.cells))
    own = isinstance(cell, keras.layers.StackedRNNCells)
    return isinstance(cell, Cell) or (type(cell).__module__.startswith("keras.") and not own)


def _is_plain_stack(cell: Any) -> bool:
    stack = keras.layers.StackedRNNCells
    return isinstance(cell, stack) and type(cell).call is stack.call


def _may_be_fast(cell: Any, sequences: Any, output_dtype: Any) -> bool:
    return (
        isinstance(cell, Cell)
        and type(cell).call is Cell.call
        and type(cell).advance is Cell.advance
        and not cell.listened_to
        and tf.as_dtype(cell.compute_dtype) == tf.as_dtype(output_dtype) == sequences.dtype
        and sequences.dtype.is_floating
        and all(size is not None for size in sequences.shape[2:])
        and sequences.shape[1] != 0
    )


def _run_fast(
    cell: Cell,
    sequences: Any,
    states: Any,
    output_dtype: Any,
    training: bool,
    go_backwards: bool,
    keep: bool,
    edge: edges.Edge | None,
    compiled: bool,
    options: dict[str, Any],
) -> Result | None:
    """The result of the fast loop; None if it cannot run the cell."""
    flat = [tf.convert_to_tensor(s) for s in keras.tree.flatten(states)]
    if any(s.shape.rank == 0 or s.shape[0] == 1 != sequences.shape[0] for s in flat):
        return None  # A state that is not one of each row.
    known = None
    # A layer inside a cell may be built on first use, which then is the rehearsal.
    while known != len(cell.weights):
        known = len(cell.weights)
        step = Step(cell, bool(training), output_dtype)
        weights = step.weights()
        plan = rehearse(step, sequences.shape[2:], flat, weights)
    if plan is None:
        return None
    inputs, mask = sequences, options["mask"]
    mask = None if mask is None else tf.cast(mask, tf.bool)
    if go_backwards:
        inputs = tf.reverse(inputs, [1])
        mask = None if mask is None else tf.reverse(mask, [1])

    def rows(inputs: Any, mask: Any, states: Any, weights: Any, dropout_masks: Any) -> Results:
        own = step.with_masks(dropout_masks)
        settings = Settings(
            _output_shape(cell),
            options["zero_output_for_mask"],
            options["keep_outputs"],
            options["keep_states"],
            _kept(plan, sequences, any(step.by_row)) if keep else Keep.STARTS,
            edge,
            compiled_by_xla(),
        )
        fast = FastLoop(own, plan, inputs, mask, states, settings)

        def plain(
            inputs: Any, states: list[Any], weights: list[Any], mask: Any, dropout_masks: Any
        ) -> Results:
            again = step.with_masks(dropout_masks)
            return _plainly(again, inputs, mask, states, weights, settings)

        return differentiable(fast, plain, inputs, states, weights, mask, dropout_masks)

    whole = compiled_by_xla()
    loops = 1 if whole else _worthwhile_loops(plan, sequences.shape[0], compiled)
    if (loops > 1 and training) or (compiled and not whole):
        # One function, so that it is traced and compiled once. Not at inference: tf2onnx spoils
        # what is called twice.
        rows = tf.function(rows, autograph=False, reduce_retracing=True, jit_compile=compiled)
    results = _side_by_side(rows, loops, inputs, mask, flat, weights, step)
    return Result(
        results.output,
        results.outputs,
        keras.tree.pack_sequence_as(states, results.states),
        keras.tree.pack_sequence_as(states, results.sequences) if options["keep_states"] else None,
    )


def _kept(plan: Plan, sequences: Any, constants: bool) -> Keep:
    """What to keep for the gradient where memory need not be saved at any price."""
    if constants:
        return Keep.ALL  # The rows of many steps as one would need as many copies of them.
    batch, steps = sequences.shape[:2]
    columns = sum(math.prod(p.value.shape[1:]) for p in plan.products)
    rows = (_USUAL_BATCH if batch is None else batch) * (steps or 0)
    return Keep.ALL if rows * columns * sequences.dtype.size <= _KEPT else Keep.STATES


def _worthwhile_loops(plan: Plan, batch: int | None, compiled: bool) -> int:
    """Among how many loops to divide the rows of the batch.

    Within a function XLA runs loops one after the other, but TensorFlow runs loops, compiled
    or not, side by side, each on a core of its own: a step is too small to be divided well
    among the cores itself.
    """
    batch = _USUAL_BATCH if batch is None else batch
    work = sum(math.prod(p.state.shape[1:]) * p.value.shape[-1] for p in plan.products)
    if batch * work < _WORK and not compiled:
        return 1
    return max(1, min(cores(), _LOOPS, batch // _ROWS))


def _side_by_side(
    rows: Callable[..., Results],
    loops: int,
    inputs: Any,
    mask: Any,
    states: list[Any],
    weights: list[Any],
    step: Step,
) -> Results:
    """Divide the rows of the batch among `loops` loops."""
    if loops == 1:
        return rows(inputs, mask, states, weights, step.masks)
    batch = inputs.shape[0] if inputs.shape[0] is not None else tf.shape(inputs)[0]
    ends = [batch * k // loops for k in range(loops + 1)]
    sizes = [end - start for start, end in itertools.pairwise(ends)]

    def divided(value: Any) -> list[Any]:
        return [None] * loops if value is None else tf.split(value, sizes)

    own = [
        divided(w) if by_row else [w] * loops
        for w, by_row in zip(weights, step.by_row, strict=True)
    ]
    parts = [
        rows(inputs, mask, list(states), list(weights), masks)
        for inputs, mask, states, weights, masks in zip(
            divided(inputs),
            divided(mask),
            zip(*map(divided, states), strict=True),
            zip(*own, strict=True),
            zip(*map(divided, step.masks), strict=True),
            strict=True,
        )
    ]
    return Results(
        tf.concat([p.output for p in parts], 0),
        [tf.concat(s, 0) for s in zip(*(p.states for p in parts), strict=True)],
        None if parts[0].outputs is None else tf.concat([p.outputs for p in parts], 0),
        [tf.concat(s, 0) for s in zip(*(p.sequences for p in parts), strict=True)],
    )


def _plainly(
    step: Step, inputs: Any, mask: Any, states: list[Any], weights: list[Any], settings: Settings
) -> Results:
    """What the fast loop computes, in a loop that TensorFlow differentiates."""
    result = loop.run(
        lambda x, s: step.whole(x, s, weights),
        inputs,
        states,
        settings.output_shape,
        step.output_dtype,
        mask=mask,
        zero_output_for_mask=settings.zero_output_for_mask,
        keep_outputs=settings.keep_outputs,
        keep_states=settings.keep_states,
        edge=settings.edge,
    )
    return Results(
        result.last_output,
        result.states,
        result.outputs,
        result.state_sequences if settings.keep_states else [],
    )
