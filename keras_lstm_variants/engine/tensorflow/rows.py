"""The rows of a batch, divided among several loops."""

import itertools
from typing import Any

import keras
import tensorflow as tf

from keras_lstm_variants.engine.tensorflow.buffers import sizes


def divided(loops: int, sequences: Any, values: Any) -> list[Any]:
    """A structure of (batch, ...) or None, as many rows as `sequences` has, for each loop."""
    batch = sizes(sequences)[0]
    ends = [batch * k // loops for k in range(loops + 1)]
    lengths = [end - start for start, end in itertools.pairwise(ends)]
    leaves = [
        [None] * loops if leaf is None else tf.split(leaf, lengths)
        for leaf in keras.tree.flatten(values)
    ]
    return [keras.tree.pack_sequence_as(values, part) for part in zip(*leaves, strict=True)]


def of_weights(
    loops: int, sequences: Any, weights: list[Any], by_row: list[bool]
) -> list[list[Any]]:
    """The weights of each loop, of which those `by_row` are divided."""
    own = [w if rows else None for w, rows in zip(weights, by_row, strict=True)]
    return [
        [whole if part is None else part for whole, part in zip(weights, parts, strict=True)]
        for parts in divided(loops, sequences, own)
    ]


def joined(parts: list[Any]) -> Any:
    """The structure of the rows of all loops, from that of each."""
    if len(parts) == 1:
        return parts[0]
    return keras.tree.map_structure(
        lambda *values: None if values[0] is None else tf.concat(values, 0), *parts
    )
