"""Which loop runs a cell, and why."""

import inspect
import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import keras
import tensorflow as tf

from keras_lstm_variants.backend.xla import (
    check_vectorized,
    compiled_by_xla,
    differentiated_forwards,
    refusing_vectorized,
    vectorized,
)
from keras_lstm_variants.core import keras_private
from keras_lstm_variants.core.cell import Cell
from keras_lstm_variants.core.context import derived_as
from keras_lstm_variants.core.state import side_inputs_of, states_of
from keras_lstm_variants.engine.options import LoopOptions, Result
from keras_lstm_variants.engine.tensorflow import divide, plain, recording, scan, truncation
from keras_lstm_variants.engine.tensorflow.step import WeightsAs, with_side_inputs

_logger = logging.getLogger("keras_lstm_variants")
_running = threading.local()
# So many steps are faster written out than looped over, and take no longer to build.
WRITTEN_OUT = 4
_EAGERLY = "the layer is called eagerly, not in a graph"


@contextmanager
def choices_noted() -> Iterator[list[tuple[Any, str, str | None]]]:
    """While active, in this thread, lists the cells that are run: in what, and why in no better."""
    before = getattr(_running, "choices", None)
    _running.choices = []
    try:
        yield _running.choices
    finally:
        _running.choices = before


def run(
    cell: Any,
    sequences: Any,
    states: Any,
    options: LoopOptions,
    *,
    output_dtype: Any,
    mask: Any = None,
    side: dict[str, Any] | None = None,
    recorder: tuple[list[Any], recording.Recorder] | None = None,
) -> Result:
    """Run a cell over the time steps of `sequences`.

    Args:
        cell: any cell; its dropout masks, if it needs some, have been drawn.
        sequences: (batch, time, ...).
        states: the cell's structure of initial states, (batch, ...) each.
        options: how.
        output_dtype: dtype of the output. States keep the dtypes that they start with.
        mask: None, or bool (batch, time), False for the steps to skip.
        side: the cell's side inputs by name, (batch, time, ...) each.
        recorder: see `recording`; then the plain loop runs.
    """
    side = side or {}
    inputs = list(map(tf.convert_to_tensor, (sequences, *side.values())))
    if mask is not None:
        mask = tf.cast(mask, tf.bool)
        if recorder is None and _treats_rows_alone(cell):
            inputs = [plain.without_masked(values, mask) for values in inputs]
    # The one place where sequences are turned round: all loops go forwards.
    inputs, mask = in_processing_order((inputs, mask), options)
    options = options.but(go_backwards=False)
    graph = not tf.executing_eagerly()
    if graph and not options.unroll and _sees_forward_mode(cell, inputs, states):
        if inputs[0].shape[1] is None:
            raise ValueError(
                "`tf.autodiff.ForwardAccumulator` goes through a recurrent layer in a graph only "
                "where its number of time steps is known, as with `unroll=True`. Received: input "
                f"shape {tuple(inputs[0].shape)}. Give it, or call the layer eagerly."
            )
        options = options.but(unroll=True)
    if (
        graph
        and options.engine == "auto"
        and (inputs[0].shape[1] or WRITTEN_OUT + 1) <= WRITTEN_OUT
    ):
        options = options.but(unroll=True)
    if graph and not options.unroll:
        check_vectorized()
    return _run(cell, inputs, states, options, mask, output_dtype, tuple(side), recorder)


def in_processing_order(values: Any, options: LoopOptions) -> Any:
    """Sequences (batch, time, ...) in the order in which their steps are run, or back again."""
    if not options.go_backwards:
        return values
    return keras.tree.map_structure(lambda v: None if v is None else tf.reverse(v, [1]), values)


def _run(
    cell: Any,
    inputs: list[Any],
    states: Any,
    options: LoopOptions,
    mask: Any,
    output_dtype: Any,
    side_names: tuple[str, ...],
    recorder: tuple[list[Any], recording.Recorder] | None = None,
) -> Result:
    if recorder is None and _is_plain_stack(cell):
        return _run_stack(cell, inputs, states, options, mask, output_dtype, side_names)
    reason = _why_plain(options, recorder)
    aside = None
    if reason in (None, _EAGERLY) and scan.has_parallel_form(cell):
        aside = scan.why_not(cell, inputs, options)
        if aside is None:
            _note(cell, "its parallel form")
            call = lambda: scan.run(  # noqa: E731
                cell, inputs, states, options, mask, output_dtype, side_names
            )
            alone = options.engine == "xla" and reason is None and not compiled_by_xla()
            return tf.function(call, autograph=False, jit_compile=True)() if alone else call()
    if recorder is not None and any(getattr(c, "mixes_rows", False) for c in _cells_in(cell)):
        raise ValueError(
            f"The gates of {cell.name} cannot be recorded: rows of a cell in it see each other. "
            "Make a layer of each cell."
        )
    but = tuple(k for k, state in enumerate(states_of(cell)) if state.kind == "sum")
    edge = truncation.edge(options.stop_gradient_every, options.clip_state_gradients, but)
    shape = _output_shape(cell)
    reason = reason or _why_not_fast(cell, inputs, output_dtype)
    if reason is None:
        found = divide.run(
            cell, inputs, states, options, mask, shape, output_dtype, side_names, edge
        )
        if not isinstance(found, str):
            result, chosen = found
            _note(cell, chosen, aside)
            return result
        reason = found
    _note(cell, "the plain loop", reason)

    takes_training = "training" in inspect.signature(cell.call).parameters
    cell_options = {"training": options.training} if takes_training else {}
    cells = [c for c in _cells_in(cell) or [cell] if isinstance(c, Cell)]
    derived = {}
    for c in cells:
        with keras_private.AutocastScope(c.compute_dtype):
            derived |= {id(w): w.value for w in c.derived_weights}

    def step(now: list[Any], states: Any) -> Any:
        x, *side = now
        with with_side_inputs(side_names, side) if side else nullcontext():
            return cell(x, states, **cell_options)

    if isinstance(cell, Cell) and cell.mixes_rows:
        with keras_private.AutocastScope(cell.compute_dtype), derived_as(derived):
            z = scan.projected(cell, inputs, side_names, options.training)
        leaves = keras.tree.flatten(z)
        inputs = [plain.batch_first(leaf) for leaf in leaves if leaf is not None]

        def step(now: list[Any], states: Any) -> Any:
            left = iter(now)
            packed = [None if leaf is None else next(left) for leaf in leaves]
            with keras_private.AutocastScope(cell.compute_dtype):
                return cell.advance(
                    keras.tree.pack_sequence_as(z, packed), tuple(states), options.training
                )

    in_a_loop = not tf.executing_eagerly() and not options.unroll
    with derived_as(derived), _weights_read_before(cell) if in_a_loop else nullcontext():
        result = (plain if recorder is None else recording).run(
            step,
            inputs,
            states,
            options,
            shape,
            output_dtype,
            mask=mask,
            edge=edge,
            **({} if recorder is None else {"recorder": recorder}),
        )
    if in_a_loop and compiled_by_xla():
        flat = [v for v in keras.tree.flatten(result) if v is not None]
        kept = iter(refusing_vectorized(flat))
        return keras.tree.map_structure(lambda v: None if v is None else next(kept), result)
    return result


def _note(cell: Any, chosen: str, reason: str | None = None) -> None:
    choices = getattr(_running, "choices", None)
    if choices is not None:
        choices.append((cell, chosen, reason))
    _logger.debug("%s runs in %s%s.", cell.name, chosen, f": {reason}" if reason else "")


def choices_in_graph(
    call: Callable[..., Any],
    shapes: dict[str, tuple[int | None, ...]],
    dtype: Any,
    training: bool,
) -> list[tuple[Any, str, str | None]]:
    """`choices_noted` while `call` is traced for tensors of these shapes, by argument names.

    Args:
        training: whether somebody is to differentiate it.
    """

    def run(tensors: dict[str, Any]) -> Any:
        with tf.GradientTape() if training else nullcontext():
            return call(**tensors)

    function = tf.function(run, autograph=False)
    with choices_noted() as choices:
        function.get_concrete_function({k: tf.TensorSpec(s, dtype) for k, s in shapes.items()})
    return choices


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
    inputs: list[Any],
    states: Any,
    options: LoopOptions,
    mask: Any,
    output_dtype: Any,
    side_names: tuple[str, ...],
) -> Result:
    """Cell after cell instead of step after step: the same, and each in a loop of its own."""
    results: list[Result] = []
    last = len(stack.cells) - 1
    sequences, *values = inputs
    side = dict(zip(side_names, values, strict=True))
    between = options.but(zero_output_for_mask=False, keep_outputs=True)
    for k, (cell, own_states) in enumerate(zip(stack.cells, states, strict=True)):
        dtype = output_dtype if k == last else getattr(cell, "compute_dtype", output_dtype)
        own = options if k == last else between
        mine = {name: side[name] for name in side_inputs_of(cell) if name in side}
        given = [sequences, *mine.values()]
        results.append(_run(cell, given, own_states, own, mask, dtype, tuple(mine)))
        sequences = results[-1].outputs
    return Result(
        results[-1].last_output,
        results[-1].outputs,
        [r.states for r in results],
        [r.state_sequences for r in results] if options.keep_states else None,
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


def _sees_forward_mode(cell: Any, inputs: list[Any], states: Any) -> bool:
    weights = [w.value for w in cell.weights if tf.as_dtype(w.dtype).is_floating]
    tensors = [*inputs, *keras.tree.flatten(states), *weights]
    return differentiated_forwards(list(map(tf.convert_to_tensor, tensors)))


def _treats_rows_alone(cell: Any) -> bool:
    """As our cells do, and Keras's; what others make of a masked row is theirs."""
    if _is_plain_stack(cell):
        return all(map(_treats_rows_alone, cell.cells))
    own = isinstance(cell, keras.layers.StackedRNNCells)
    return isinstance(cell, Cell) or (type(cell).__module__.startswith("keras.") and not own)


def _cells_in(cell: Any) -> list[Any]:
    """The cells of a stack, and of stacks in it; none if it is no stack."""
    inner = getattr(cell, "cells", [])
    return [c for one in inner for c in _cells_in(one) or [one]]


def _is_plain_stack(cell: Any) -> bool:
    stack = keras.layers.StackedRNNCells
    return isinstance(cell, stack) and type(cell).call is stack.call


def _why_plain(options: LoopOptions, recorder: Any) -> str | None:
    """Why the plain loop runs, whatever the cell; None if it need not."""
    if options.engine == "plain":
        return '`engine="plain"`'
    if options.unroll:
        return "the steps are written out (`unroll=True`, or only a few)"
    if tf.executing_eagerly():
        return _EAGERLY
    return None if recorder is None else "its gates are recorded"


def _why_not_fast(cell: Any, inputs: list[Any], output_dtype: Any) -> str | None:
    """Why the fast loop cannot run the cell, as far as this is seen without its step."""
    sequences = inputs[0]
    name, own = type(cell).__name__, tf.as_dtype(getattr(cell, "compute_dtype", output_dtype))
    if not isinstance(cell, Cell):
        return f"{name} is no `klv.Cell`"
    for method in ("call", "advance"):
        if getattr(type(cell), method) is not getattr(Cell, method):
            return f"{name} overrides `{method}`"
    if cell.is_captured:
        return "somebody listens to its gates"
    if cell.mixes_rows:
        return f"the rows of {name} see each other"
    if not (own == tf.as_dtype(output_dtype) == sequences.dtype and own.is_floating):
        return (
            "input, cell and output must have one real type. Received: input "
            f"{sequences.dtype.name}, cell {own.name}, output {tf.as_dtype(output_dtype).name}"
        )
    if any(None in values.shape[2:] for values in inputs):
        return f"the features are not known: input shape {tuple(sequences.shape)}"
    return "the sequence has no steps" if sequences.shape[1] == 0 else None
