"""Sizes that only run time knows: what does not fit is an error there too, not broadcast or cut."""

import re
from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from keras_lstm_variants.engine.tensorflow.buffers import sizes

# An index that no tensor has.
_BEYOND = 2**30


def fitted(rule: str, value: Any, wanted: Sequence[Any]) -> Any:
    """`value` if its sizes are the wanted ones; an error at run time where only that knows.

    Args:
        rule: a sentence for the error, with the name of the argument first.
        value: a tensor or an array of a known rank.
        wanted: sizes of the first axes: int, scalar tensor, or None for any.

    Raises:
        ValueError: a size that is known is another one.
    """
    known = list(value.shape)
    wanted = [*wanted, *[None] * (len(known) - len(wanted))]
    pairs = list(zip(known, wanted, strict=True))
    if any(isinstance(k, int) and isinstance(w, int) and k != w for k, w in pairs):
        needed = tuple(w if isinstance(w, int) else None for w in wanted)
        raise ValueError(
            f"{rule}: here {needed} (None is any size). Received: the shape {tuple(known)}"
        )
    pairs = [(k, w) for k, w in pairs if w is not None]
    if all(isinstance(size, int) for pair in pairs for size in pair):
        return value
    value = tf.convert_to_tensor(value)
    found = tf.shape(value)
    right = tf.stack([found[axis] if w is None else w for axis, w in enumerate(wanted)])
    wrong = tf.not_equal(found, right)
    name = re.sub("[^A-Za-z0-9]+", "_", rule).strip("_")
    told = [f"{rule}: here", right, "Received: the shape", found]
    fine = tf.logical_not(tf.reduce_any(wrong))
    check = tf.debugging.Assert(fine, told, summarize=len(known), name=f"check_{name}")
    # XLA and converters leave assertions out, but nothing can be sliced from beyond its end. (Not
    # a reshape: TensorFlow would take its shape for that of the value before it.)
    with tf.control_dependencies([check]):
        value = tf.slice(value, tf.cast(wrong, tf.int32) * _BEYOND, found, name=name)
    value.set_shape([w if isinstance(w, int) else k for k, w in zip(known, wanted, strict=True)])
    return value


def of_one_batch(rule: str, *values: Any) -> list[Any]:
    """The same values or Nones, all with the number of rows that is known of one of them."""
    known = [v.shape[0] for v in values if v is not None and v.shape[0] is not None]
    return [fitted(rule, v, known[:1]) if v is not None else None for v in values]


def fitted_call(
    name: str,
    sequences: Any,
    mask: Any,
    states: list[Any],
    *,
    rows: int | None,
    features: int | None,
    state_sizes: list[tuple[int, ...]],
) -> tuple[Any, Any, list[Any]]:
    """What the recurrent layer `name` is called with, fitted to each other.

    Args:
        name: of the layer.
        sequences: (batch, time, ...).
        mask: (batch, time), or None.
        states: flat, none if none are passed.
        rows, features: what the layer is built for, or None.
        state_sizes: the shape of each state, without the batch.
    """
    rule = f"{name} is stateful with a batch size of {rows}"
    sequences = fitted(rule, sequences, (rows,))
    rule = f"The input of {name} must have {features} features"
    sequences = fitted(rule, sequences, (None, None, features)[: len(sequences.shape)])
    batch, time = sizes(sequences)[:2]
    if mask is not None:
        rule = f"`mask` of {name} must have the shape (batch, time)"
        mask = fitted(rule, mask, (batch, time))
    rule = f"`initial_state` of {name} must have a row of each state for each sequence"
    pairs = zip(states, state_sizes, strict=False)
    states = [fitted(rule, state, (batch, *own)) for state, own in pairs]
    rule = f"`initial_state` and `mask` of {name} must have as many rows as its input"
    sequences, mask, *states = of_one_batch(rule, sequences, mask, *states)
    return sequences, mask, states
