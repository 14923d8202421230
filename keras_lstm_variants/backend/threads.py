"""How many threads TensorFlow uses in this process, and on how many cores."""

import tensorflow as tf

from keras_lstm_variants.core import machine


def limit_threads(count: int) -> None:
    """Compute with `count` threads. Only possible before the first computation.

    Two runs at a time with one thread each finish sooner than one after the other with
    two: a step of a recurrent network is too small to divide well.
    """
    tf.config.threading.set_intra_op_parallelism_threads(count)
    tf.config.threading.set_inter_op_parallelism_threads(count)


def cores() -> int:
    """How many processor cores a loop may use; 1 where it runs on an accelerator."""
    if not only_on_cpu():
        return 1
    limits = [
        tf.config.threading.get_intra_op_parallelism_threads(),
        tf.config.threading.get_inter_op_parallelism_threads(),
        machine.cores(),
    ]
    return min(limit for limit in limits if limit)


def only_on_cpu() -> bool:
    """Whether there is no accelerator."""
    return len(tf.config.list_logical_devices()) == len(tf.config.list_logical_devices("CPU"))
