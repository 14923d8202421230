"""Where a loop will run."""

import os

import tensorflow as tf

# Private, and without public equals. Guarded by tests.
from tensorflow.python.ops.control_flow_util import GraphOrParentsInXlaContext
from tensorflow.python.ops.control_flow_v2_func_graphs import WhileBodyFuncGraph


def compiled_by_xla() -> bool:
    """Whether the graph that is being built is that of a function with `jit_compile=True`."""
    return bool(GraphOrParentsInXlaContext(tf.compat.v1.get_default_graph()))


def in_a_loop() -> bool:
    """Whether the graph that is being built is the body of a loop."""
    return isinstance(tf.compat.v1.get_default_graph(), WhileBodyFuncGraph)


def replica_count() -> int:
    """Among how many devices the strategy divides a batch."""
    return tf.distribute.get_strategy().num_replicas_in_sync


def cores() -> int:
    """How many processor cores a loop may use; 1 where it runs on an accelerator."""
    if len(tf.config.list_logical_devices()) > len(tf.config.list_logical_devices("CPU")):
        return 1
    limits = [
        tf.config.threading.get_intra_op_parallelism_threads(),
        tf.config.threading.get_inter_op_parallelism_threads(),
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
    ]
    return min(limit for limit in limits if limit)
