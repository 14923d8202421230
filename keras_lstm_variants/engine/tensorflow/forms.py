"""A function of tensors in two forms: as TensorFlow runs it, and compiled by XLA."""

import itertools
import logging
from collections.abc import Callable
from typing import Any, NamedTuple

import keras
import tensorflow as tf

from keras_lstm_variants.backend.graphs import current_graph, followed
from keras_lstm_variants.core.cell import Cell
from keras_lstm_variants.engine.tensorflow.kept import loops_of

_names = itertools.count()
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


class Often(NamedTuple):
    """Whether sequences have come often enough for a compiled loop, as tensors.

    Args:
        whole: those of this shape.
        any_length: those of this batch size, where the number of steps is not known.
    """

    whole: Any
    any_length: Any


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

    def _flat(self, *given: Any) -> list[Any]:
        found = self.function(*given)
        self.structure = places(found)
        return present(found)

    def returns(self, *like: Any) -> Any:
        """The types and shapes of its value, for values like these."""
        graph = self.part.get_concrete_function(*each(_spec, like))
        return packed(self.structure, map(_spec, graph.outputs))

    def __call__(self, compiled: bool, *given: Any) -> Any:
        found = self._compiled(given) if compiled else self.part(*given)
        return packed(self.structure, found)

    def _compiled(self, given: tuple) -> list[Any]:
        """The compiled form, differentiated as the other one is.

        A persistent tape around a function makes TensorFlow differentiate all that is in it, though
        in vain. What is compiled it can not.
        """
        results, arguments = self.compiled(*given), present(given)
        count, like = len(results), places(given)

        # The graph may be copied until then: all tensors are those of the operation.
        def slopes(op: Any, *d: Any) -> list[Any]:
            value, _, of = followed(
                lambda tensors: self.part(*packed(like, tensors)), list(op.inputs)[count:], False
            )
            return [None] * count + list(of(value, list(d[:count])))

        name = f"CompiledForm{next(_names)}"
        tf.RegisterGradient(name)(slopes)
        with current_graph().gradient_override_map({"IdentityN": name}):
            return tf.identity_n([*results, *arguments])[:count]

    def chosen(
        self,
        often: Any,
        compiled: Callable[[], Any],
        otherwise: Callable[[], Any],
        *like: Any,
        refused: Callable[[], Any] | None = None,
    ) -> Any:
        """`compiled()` if the tensor `often` is true, else `otherwise()`.

        Args:
            often, compiled, otherwise: which; and what, which calls this function in that form.
            like: what the function is given, as far as types and shapes go.
            refused: what runs if XLA cannot compile the function, if not `otherwise`.
        """
        if not self._compiles(like):
            return (refused or otherwise)()
        structures: list[Any] = []

        def flat(run: Callable[[], Any]) -> list[Any]:
            found = run()
            structures.append(places(found))
            return present(found)

        found = tf.cond(often, lambda: flat(compiled), lambda: flat(otherwise))
        return packed(structures[0], found)

    def _compiles(self, like: tuple) -> bool:
        """Whether XLA can compile it. What is ours is known to; what is a plug-in's is tried."""
        if type(self.cell).__module__.startswith("keras_lstm_variants."):
            return True
        own = loops_of(self.cell)
        if own.refused is None:
            with tf.init_scope():
                few = each(lambda v: tf.zeros([s or 2 for s in v.shape], v.dtype), like)
                function = tf.function(self.part, autograph=False, jit_compile=True)
                try:
                    function.experimental_get_compiler_ir(*few)(stage="hlo")
                except (tf.errors.OpError, ValueError, TypeError) as error:
                    own.refused = f"XLA refuses it: {' '.join(str(error).split())[:200]}"
                    _logger.info("%s is not compiled: %s", self.cell.name, own.refused)
        return own.refused is None


def _spec(tensor: Any) -> tf.TensorSpec:
    return tf.TensorSpec(tensor.shape, tensor.dtype)
