"""A function of tensors in two forms: as TensorFlow runs it, and compiled by XLA."""

import logging
from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from keras_lstm_variants.core.cell import Cell
from keras_lstm_variants.engine.tensorflow.kept import loops_of

_logger = logging.getLogger("keras_lstm_variants")


def places(values: Any) -> Any:
    """The structure of the values: 0 where there is one, and None where there is None."""
    return each(lambda _: 0, values)


def each(function: Callable[[Any], Any], values: Any) -> Any:
    """The structure of what the function makes of the values, and None where there is None."""
    return keras.tree.map_structure(lambda v: None if v is None else function(v), values)


def present(values: Any) -> list[Any]:
    """The values that are not None."""
    return [v for v in keras.tree.flatten(values) if v is not None]


def packed(like: Any, tensors: Any) -> Any:
    """The structure of `like` with these tensors where it has any, and None where it has None."""
    left = iter(tensors)
    leaves = [None if leaf is None else next(left) for leaf in keras.tree.flatten(like)]
    return keras.tree.pack_sequence_as(like, leaves)


class InTwoForms:
    """A function of tensors, in any structure, and its compiled form; both share a trace.

    Args:
        function: of tensors alone.
        cell: whose it is. Where XLA refuses it, that is noted in the cell.
    """

    def __init__(self, function: Callable[..., Any], cell: Cell) -> None:
        self.function, self.cell, self.structure = function, cell, None
        self.part = tf.function(self._flat, autograph=False, reduce_retracing=True)
        self.compiled = tf.function(
            lambda *given: self.part(*given),
            autograph=False,
            reduce_retracing=True,
            jit_compile=True,
        )
        self._can_compile: bool | None = None

    def _flat(self, *given: Any) -> list[Any]:
        found = self.function(*given)
        self.structure = places(found)
        return present(found)

    def returns(self, *like: Any) -> Any:
        """The types and shapes of its value, for values like these."""
        graph = self.part.get_concrete_function(*each(_spec, like))
        return packed(self.structure, map(_spec, graph.outputs))

    def __call__(
        self, compiled: Any, given: tuple, instead: Callable[[], tuple] | None = None
    ) -> Any:
        """Its value, from the compiled form if this tensor is true.

        Args:
            compiled, given: which form, and what of.
            instead: makes what the compiled form is given instead.
        """
        if self._can_compile is None:
            self._can_compile = self._compiles(given)

        def fast() -> Any:
            return self.compiled(*(given if instead is None else instead()))

        def slow() -> Any:
            return self.part(*given)

        found = tf.cond(compiled, fast, slow) if self._can_compile else slow()
        return packed(self.structure, found)

    def _compiles(self, given: tuple) -> bool:
        """Whether XLA can compile it. What is ours is known to; what is a plug-in's is tried."""
        if type(self.cell).__module__.startswith("keras_lstm_variants."):
            return True
        own = loops_of(self.cell)
        if own.refused is None:
            with tf.init_scope():
                few = each(lambda v: tf.zeros([s or 2 for s in v.shape], v.dtype), given)
                function = tf.function(self.part, autograph=False, jit_compile=True)
                try:
                    function.experimental_get_compiler_ir(*few)(stage="hlo")
                except (tf.errors.OpError, ValueError, TypeError) as error:
                    own.refused = f"XLA refuses it: {' '.join(str(error).split())[:200]}"
                    _logger.info("%s is not compiled: %s", self.cell.name, own.refused)
        return own.refused is None


def _spec(tensor: Any) -> tf.TensorSpec:
    return tf.TensorSpec(tensor.shape, tensor.dtype)
