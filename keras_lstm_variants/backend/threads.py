"""How many threads TensorFlow uses in this process."""

import tensorflow as tf


def limit_threads(count: int) -> None:
    """Compute with `count` threads. Only possible before the first computation.

    Two runs at a time with one thread each finish sooner than one after the other with
    two: a step of a recurrent network is too small to divide well.
    """
    tf.config.threading.set_intra_op_parallelism_threads(count)
    tf.config.threading.set_inter_op_parallelism_threads(count)
