"""Data sets, and checks of what only run time knows."""

from typing import Any

import tensorflow as tf


def is_dataset(value: Any) -> bool:
    return isinstance(value, tf.data.Dataset)


def is_distributed(value: Any) -> bool:
    """Whether it is a data set that a strategy has divided among its replicas."""
    return isinstance(value, tf.distribute.DistributedDataset)


def of_shape(value: Any, shape: tuple[int | None, ...]) -> Any:
    """The tensor, whose shape is known from here on; an error if it has another one."""
    return tf.ensure_shape(value, shape)


def required(value: Any, condition: Any, said: str, *numbers: Any) -> Any:
    """The tensor, or an error that says this, with a number for each {} in it.

    Not for functions that XLA compiles: it drops assertions.
    """
    text = tf.strings.format(said, numbers)
    with tf.control_dependencies([tf.debugging.Assert(condition, [text])]):
        return tf.identity(value)
