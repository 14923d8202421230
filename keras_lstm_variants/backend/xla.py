"""Where a loop will run."""

import contextlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import tensorflow as tf

# Private, and without a public equal. Guarded by a test.
from tensorflow.python.eager.forwardprop_util import pack_tangents
from tensorflow.python.eager.record import could_possibly_record, stop_recording
from tensorflow.python.ops.control_flow_util import GraphOrParentsInXlaContext
from tensorflow.python.ops.control_flow_v2_func_graphs import WhileBodyFuncGraph

from keras_lstm_variants.core.keras_private import TRAINER_FUNCTIONS


def _of_updated_slice(op: Any, gradient: Any) -> tuple[Any, Any, None]:
    """The gradients of a tensor, and of what replaces a part of it, by those of the result."""
    whole, update, start = op.inputs
    size = tf.shape(update, start.dtype)
    around = tf.stack([start, tf.shape(whole, start.dtype) - start - size], axis=1)
    replaced = tf.pad(tf.ones_like(update, tf.bool), around)
    of_whole = tf.where(replaced, tf.zeros_like(gradient), gradient)
    return of_whole, tf.slice(gradient, start, size), None


# Compiled, the second derivative of a concatenation has this operation, whose own gradient
# TensorFlow 2.21 lacks. Where a version has it, that one stays.
with contextlib.suppress(KeyError):
    tf.RegisterGradient("XlaDynamicUpdateSlice")(_of_updated_slice)


def compiled_by_xla() -> bool:
    """Whether the graph that is being built is that of a function with `jit_compile=True`."""
    return bool(GraphOrParentsInXlaContext(tf.compat.v1.get_default_graph()))


def before(count: Any) -> Callable[..., Any]:
    """The condition of a `tf.while_loop` with `maximum_iterations=count`, by its first value.

    XLA sees how often a loop runs, unless it has two conditions: the maximum is enough there.
    """
    return (lambda *_: True) if compiled_by_xla() else lambda i, *_: i < count


def vectorized() -> bool:
    """Whether `tf.vectorized_map` or a Jacobian is going to rewrite what is being built.

    Not seen is a graph that was built before. Both build under a name scope of that name.
    """
    return any("loop_body" in graph.get_name_scope().split("/") for graph in _being_built())


def built_by_keras() -> bool:
    """Whether what is being built is what `fit`, `evaluate` or `predict` runs.

    That is run again and again, and never saved, unlike any other function.
    """
    names = (str(getattr(graph, "name", "")) for graph in _being_built())
    return any(name.startswith(TRAINER_FUNCTIONS) for name in names)


def _being_built() -> Iterator[Any]:
    """The graph that is being built, and those around it."""
    graph = tf.compat.v1.get_default_graph()
    while graph is not None:
        yield graph
        graph = getattr(graph, "outer_graph", None)


def check_vectorized() -> None:
    """A `ValueError` where a loop would have to be vectorised and compiled by XLA."""
    if vectorized() and compiled_by_xla():
        raise ValueError(
            "XLA compiles no vectorised loop, of Keras's layers neither. Compute Jacobians with "
            "`experimental_use_pfor=False`, take `tf.map_fn` instead of `tf.vectorized_map`, give "
            "the layer `unroll=True`, or leave `jit_compile` out."
        )


def refusing_vectorized(tensors: list[Any]) -> list[Any]:
    """The same tensors, whose gradient is checked by `check_vectorized` as well."""

    @tf.custom_gradient
    def unchanged(*tensors: Any) -> Any:
        def gradient(*gradients: Any) -> Any:
            check_vectorized()
            return gradients

        return list(map(tf.identity, tensors)), gradient

    return unchanged(*tensors)


def under_a_tape() -> bool:
    """Whether a `tf.GradientTape` is open where the graph is being built."""
    return bool(could_possibly_record())


def without_tapes() -> AbstractContextManager[None]:
    """While active, no tape records."""
    return stop_recording()


def tapes_are_stopped() -> bool:
    """Whether no tape records: TensorFlow stops all where it differentiates forwards."""
    with tf.GradientTape():
        return not could_possibly_record()


def differentiated_forwards(tensors: list[Any]) -> bool:
    """Whether a `tf.autodiff.ForwardAccumulator` follows one of the tensors."""
    return bool(pack_tangents(tensors).tangents)


def in_a_loop() -> bool:
    """Whether the graph that is being built is the body of a loop."""
    return isinstance(tf.compat.v1.get_default_graph(), WhileBodyFuncGraph)


def replica_count() -> int:
    """Among how many devices the strategy divides a batch."""
    return tf.distribute.get_strategy().num_replicas_in_sync
