"""The plain time loop, with Keras's rules for masks, differentiated by TensorFlow.

For each time step, in the order of processing:

    new_output, new_states = step(x[t], states)
    states = where(mask[t], new_states, states)         # a masked step changes nothing
    output = where(mask[t], new_output, output or 0)    # and repeats the last output

The output before the first step is zero. Keras's own loop does the same; ours also hands
out the states of every step, and needs no step outside the loop to learn shapes.
"""

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from keras_lstm_variants.backend.xla import before, vectorized
from keras_lstm_variants.core import checks
from keras_lstm_variants.engine.options import LoopOptions, Result
from keras_lstm_variants.engine.tensorflow.buffers import empty_list, sizes, stacked
from keras_lstm_variants.engine.tensorflow.truncation import Edge, with_edge

Step = Callable[[Any, Any], tuple[Any, Any]]


def is_ragged(value: Any) -> bool:
    """Whether `value` is a ragged tensor."""
    return isinstance(value, tf.RaggedTensor) or getattr(value, "ragged", False)


def run(
    step: Step,
    inputs: list[Any],
    states: Any,
    options: LoopOptions,
    output_shape: tuple[int, ...],
    output_dtype: Any,
    *,
    mask: Any = None,
    edge: Edge | None = None,
) -> Result:
    """Run `step` over the time steps of `inputs`, forwards.

    Args:
        step: `(inputs at one time, states) -> (output, new states)`.
        inputs: (batch, time, ...) each; a step is given a list of (batch, ...).
        states: structure of initial states, (batch, ...) each.
        options: what is asked for.
        output_shape: shape of the output, without the batch.
        output_dtype: dtype of the output. States keep the dtypes that they start with.
        mask: None, or bool (batch, time), False for the steps to skip.
        edge: what happens to the gradient of the states between two steps; see `truncation`.
    """
    unroll, keep_outputs = options.unroll, options.keep_outputs
    keep_states = options.keep_states
    first = inputs[0]
    steps = first.shape[1] if first.shape[1] is not None else tf.shape(first)[1]
    masks = None if mask is None else time_first(mask)
    graph = not unroll and not tf.executing_eagerly()
    dense = graph and vectorized()
    read = [_readable(time_first(v), steps, unroll, dense) for v in inputs]
    masks = None if masks is None else _readable(masks, steps, unroll, dense)
    flat_states = [tf.convert_to_tensor(s) for s in keras.tree.flatten(states)]
    zero_output = tf.zeros((tf.shape(first)[0], *output_shape), output_dtype)
    zero_output.set_shape((first.shape[0], *output_shape))

    def one_step(time: Any, output: Any, flat: list[Any]) -> tuple[Any, list[Any]]:
        if edge is not None:
            flat = with_edge(edge, time, flat)
        now = [values(time) for values in read]
        new_output, new_states = step(now, keras.tree.pack_sequence_as(states, flat))
        new_output = tf.cast(new_output, zero_output.dtype)
        new_flat = keras.tree.flatten(new_states)
        if len(new_flat) != len(flat):
            raise ValueError(
                f"The cell must return {len(flat)} new states. Received: {len(new_flat)}"
            )
        checks.new_states("The cell", range(len(flat)), flat, new_flat)
        new_flat = [tf.cast(n, s.dtype) for n, s in zip(new_flat, flat, strict=True)]
        if masks is not None:
            keep = masks(time)
            held = zero_output if options.zero_output_for_mask else output
            new_output = where(keep, new_output, held)
            new_flat = [where(keep, n, s) for n, s in zip(new_flat, flat, strict=True)]
        if graph:
            new_output = following(new_output, output, time)
            new_flat = [following(n, s, time) for n, s in zip(new_flat, flat, strict=True)]
        return new_output, new_flat

    if isinstance(steps, int) and steps == 0:
        kept = _kept(zero_output, flat_states, keep_outputs, keep_states)
        sequences = [tf.zeros_like(v)[tf.newaxis][:0] for v in kept]
        outputs = sequences.pop(0) if keep_outputs else None
        output, flat, state_sequences = zero_output, flat_states, sequences
    else:
        looped = _unrolled if unroll else _dense_loop if dense else _while_loop
        output, flat, outputs, state_sequences = looped(
            one_step, steps, zero_output, flat_states, keep_outputs, keep_states
        )
    return Result(
        output,
        batch_first(outputs) if keep_outputs else None,
        keras.tree.pack_sequence_as(states, flat),
        keras.tree.pack_sequence_as(states, [batch_first(s) for s in state_sequences])
        if keep_states
        else None,
    )


def _unrolled(one_step, steps, output, flat, keep_outputs, keep_states):
    kept = []
    for time in range(steps):
        output, flat = one_step(time, output, flat)
        kept.append(_kept(output, flat, keep_outputs, keep_states))
    sequences = [tf.stack(values) for values in zip(*kept, strict=True)]
    outputs = sequences.pop(0) if keep_outputs else None
    return output, flat, outputs, sequences


def _while_loop(one_step, steps, output, flat, keep_outputs, keep_states):
    kept = _kept(output, flat, keep_outputs, keep_states)
    arrays = [empty_list(steps, sizes(v), v.dtype) for v in kept]

    def body(time, output, flat, arrays):
        output, flat = one_step(time, output, flat)
        values = _kept(output, flat, keep_outputs, keep_states)
        arrays = [a.write(time, v) for a, v in zip(arrays, values, strict=True)]
        return time + 1, output, flat, arrays

    _, output, flat, arrays = tf.while_loop(
        before(steps),
        body,
        (tf.constant(0), output, list(flat), arrays),
        maximum_iterations=steps,
    )
    sequences = [stacked(a, sizes(v)) for a, v in zip(arrays, kept, strict=True)]
    outputs = sequences.pop(0) if keep_outputs else None
    return output, flat, outputs, sequences


def _dense_loop(one_step, steps, output, flat, keep_outputs, keep_states):
    """Slower, but TensorFlow can vectorise its gradient: no array leaves the loop."""
    kept = _kept(output, flat, keep_outputs, keep_states)
    places = tf.range(steps)
    sequences = [tf.repeat(tf.zeros_like(v)[tf.newaxis], steps, axis=0) for v in kept]

    def body(time, output, flat, sequences):
        output, flat = one_step(time, output, flat)
        values = _kept(output, flat, keep_outputs, keep_states)
        sequences = [
            where(places == time, tf.repeat(v[tf.newaxis], steps, axis=0), s)
            for s, v in zip(sequences, values, strict=True)
        ]
        return time + 1, output, flat, sequences

    _, output, flat, sequences = tf.while_loop(
        lambda time, *_: time < steps,
        body,
        (tf.constant(0), output, list(flat), sequences),
        maximum_iterations=steps,
    )
    outputs = sequences.pop(0) if keep_outputs else None
    return output, flat, outputs, sequences


def _kept(output: Any, flat: list[Any], keep_outputs: bool, keep_states: bool) -> list[Any]:
    return ([output] if keep_outputs else []) + (list(flat) if keep_states else [])


def _readable(values: Any, steps: Any, unroll: bool, dense: bool) -> Callable[[Any], Any]:
    """A function of time that reads `values` (time, ...)."""
    if unroll:
        return tf.unstack(values, num=steps).__getitem__
    if dense:
        return values.__getitem__
    # Read by index, a plain tensor's gradient would be a whole sequence of zeros per step.
    array = tf.TensorArray(values.dtype, steps, element_shape=values.shape[1:])
    return array.unstack(values).read


def where(keep: Any, new: Any, old: Any) -> Any:
    """`keep` is (batch,); the values may have more dimensions."""
    shape = tf.concat([tf.shape(keep), tf.ones(new.shape.rank - 1, tf.int32)], 0)
    return tf.where(tf.reshape(keep, shape), new, old)


def following(new: Any, old: Any, time: Any) -> Any:
    """`new`, for graphs a function of `old` as well.

    TensorFlow's vectorisation needs it of what a loop hands on: where the gradient of `new` is
    vectorised, that of `old` has to be. (The condition must not be a constant, which TensorFlow
    2.21 would evaluate to a result without entries.)
    """
    return new if isinstance(time, int) else tf.where(time < 0, old, new)


def without_masked(sequences: Any, mask: Any) -> Any:
    """Zeros for the steps that are skipped: a NaN there, times a gradient of zero, were a NaN."""
    keep = tf.cast(mask, tf.bool)
    for _ in sequences.shape[2:]:
        keep = keep[..., tf.newaxis]
    values = tf.where(keep, sequences, tf.zeros_like(sequences))
    values.set_shape(sequences.shape)
    return values


def time_first(x: Any) -> Any:
    """(batch, time, ...) to (time, batch, ...), and the other way round."""
    return tf.transpose(x, [1, 0, *range(2, x.shape.rank)])


batch_first = time_first
