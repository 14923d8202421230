"""The fast loop, compiled by XLA for the shapes that come back.

Compiled, a loop of small steps runs several times as fast. But a compilation takes as long as
some dozens of training steps, and each shape of the input needs its own. So the loop is made
in the form that XLA wants, and TensorFlow runs it as it is, until a shape has come back often
enough. Which form runs depends on what has been run before, never on a clock: the same program
computes the same numbers.

Forward and backward loop are functions of tensors alone. They are traced once for a cell and
its options, and called as they are or from a compiled function.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import keras
import tensorflow as tf

from keras_lstm_variants.backend.xla import without_tapes
from keras_lstm_variants.core.cell import Cell
from keras_lstm_variants.engine.options import Result
from keras_lstm_variants.engine.tensorflow import rows
from keras_lstm_variants.engine.tensorflow.backward import FastLoop
from keras_lstm_variants.engine.tensorflow.forms import InTwoForms, Often, packed, places, present
from keras_lstm_variants.engine.tensorflow.forward import Settings
from keras_lstm_variants.engine.tensorflow.kept import facts_of, loops_of, specs_of
from keras_lstm_variants.engine.tensorflow.step import Step
from keras_lstm_variants.engine.tensorflow.trace import StepTrace
from keras_lstm_variants.engine.tensorflow.varying import VaryingLoop

# A shape is compiled once so many time steps of it have been run, and so many shapes are.
ENOUGH, _SHAPES = 4096, 8
# Where lengths may vary, it must have come before: so many steps at least.
_AGAIN = 1
_COMPILED = 2**40


class Traced(NamedTuple):
    """A function of tensors, in the form that runs now.

    Args:
        run: of what has come often, and of the tensors.
        structure: of what it returns.
    """

    run: Callable[..., list[Any]]
    structure: Any

    def __call__(self, often: Often, tensors: list[Any]) -> Any:
        # The gradient is told by `fast.differentiable`: TensorFlow is to build no other.
        with without_tapes():
            return packed(self.structure, self.run(*often, *tensors))


_at_once = False


def compile_at_once() -> None:
    """From now on compile loops at their first call, whoever calls them: for benchmarks alone."""
    global _at_once
    _at_once = True


def at_once() -> bool:
    return _at_once


def has_come_back(cell: Cell, sequences: Any) -> Often:
    """Whether loops over sequences of this shape are to be compiled; counts their steps."""
    known = sequences.shape[1] is not None
    if _at_once:
        return Often(tf.constant(True), tf.constant(False))
    own = loops_of(cell)
    if own.counter is None:
        with tf.init_scope():
            own.counter = _Counter()
    count = own.counter.count if known else own.counter.count_any
    return Often(*count(*tf.unstack(tf.shape(sequences, tf.int64)[:2])))


class _Counter:
    """How many steps of each shape have been run."""

    def __init__(self) -> None:
        # No variable: a function that makes one when it is traced is traced once more.
        self.table = tf.lookup.experimental.MutableHashTable(tf.int64, tf.int64, 0)

    @functools.cached_property
    def count(self) -> Callable[..., list[Any]]:
        """Whether each form is to run, by batch and number of steps; of known lengths."""
        return _of_two_numbers(self._count)

    @functools.cached_property
    def count_any(self) -> Callable[..., list[Any]]:
        return _of_two_numbers(self._count_any)

    def _count(self, batch: Any, steps: Any) -> list[Any]:
        return [self._seen(batch, steps, steps, ENOUGH, True), tf.constant(False)]

    def _count_any(self, batch: Any, steps: Any) -> list[Any]:
        """Nearly all of one length, and its shape is compiled, else one chunk for any length."""
        chunk, length = (self.table.lookup(_key(batch, n)) for n in (0, steps))
        may = (chunk < _COMPILED) & (length >= _AGAIN)
        whole = self._seen(batch, steps, steps, ENOUGH * 3 // 4, may)
        more = tf.where(whole, tf.zeros_like(steps), steps)
        may = tf.logical_not(whole) & (chunk >= _AGAIN)
        return [whole, self._seen(batch, 0, more, ENOUGH, may) & tf.logical_not(whole)]

    def _seen(self, batch: Any, length: Any, steps: Any, enough: int, may: Any) -> Any:
        """Count steps. Whether what has come so often is compiled from now on, where it may be."""
        keys = tf.stack([_key(batch, length), tf.constant(-1, tf.int64)])
        before, compiled = tf.unstack(self.table.lookup(keys), 2)
        known = before >= _COMPILED
        more = (before + steps >= enough) & (compiled < _SHAPES) & tf.logical_not(known) & may
        now = tf.minimum(before + steps, tf.where(known, before, enough))
        now = tf.where(more, _COMPILED, now)
        self.table.insert(keys, tf.stack([now, compiled + tf.cast(more, tf.int64)]))
        return known | more


def _of_two_numbers(function: Callable[..., list[Any]]) -> Callable[..., list[Any]]:
    number = [tf.TensorSpec((), tf.int64)] * 2
    with tf.init_scope():
        return tf.function(function, autograph=False).get_concrete_function(*number)


def _key(batch: Any, length: Any) -> Any:
    return batch * 2**31 + length


class RecurringLoop:
    """What `fast.differentiable` runs as a loop; see `FastLoop` for the arguments.

    Args:
        loops: among how many loops to divide the rows of the batch.
        often: whether the compiled form is to run.
        steps: how many, None if that is not known.
    """

    def __init__(
        self,
        step: Step,
        trace: StepTrace,
        mask: Any,
        settings: Settings,
        loops: int,
        often: Often | None,
        steps: int | None = None,
    ) -> None:
        self.step, self.trace, self.mask, self.loops, self.often = step, trace, mask, loops, often
        self.settings = settings._replace(xla=False)
        self.vectorizes = steps is not None

    def forward(
        self, inputs: list[Any], states: list[Any], weights: list[Any]
    ) -> tuple[Result, Any]:
        """The results, and what `backward` needs, of each loop."""

        def run(loop: FastLoop, inputs: Any, states: Any, weights: Any) -> Any:
            return loop.forward(inputs, states, weights)

        def joined(found: list[Any]) -> Any:
            results, kept = zip(*found, strict=True)
            return rows.joined(results), list(kept)

        results, kept = self._run("forward", run, joined, (inputs, states, weights))
        return results, (states, kept)

    def backward(
        self, inputs: list[Any], weights: list[Any], kept: Any, gradients: Result
    ) -> tuple[list[Any], list[Any], list[Any]]:
        """Gradients of inputs, first states and weights, from those of the results."""

        def run(loop: FastLoop, inputs: Any, states: Any, weights: Any, *more: Any) -> Any:
            gradients, kept = more
            return loop.backward(inputs, weights, kept, gradients)

        def joined(found: list[Any]) -> Any:
            d_inputs, d_states, d_weights = zip(*found, strict=True)
            by_weight = zip(self.step.by_row, zip(*d_weights, strict=True), strict=True)
            sums = [tf.concat(d, 0) if by_row else tf.add_n(d) for by_row, d in by_weight]
            return rows.joined(d_inputs), rows.joined(d_states), sums

        states, kept = kept
        return self._run("backward", run, joined, (inputs, states, weights, gradients), kept)

    def _run(
        self,
        name: str,
        run: Callable,
        joined: Callable,
        arguments: tuple,
        kept: list[Any] | None = None,
    ) -> Any:
        """What `run` makes of each loop, and of tensors in some structure, joined."""
        given = (self.mask, list(self.step.masks), *arguments, *([] if kept is None else [kept]))
        tensors = present(given)
        specs = [tf.TensorSpec(t.shape, t.dtype) for t in tensors]
        like = places(given)
        facts = facts_of(self.step.cell)
        key = (
            name,
            self.settings.options,
            self.settings.residuals,
            self.settings.output_shape,
            self.loops,
            self.step.side_names,
            self.step.output_dtype,
            tuple(map(str, keras.tree.flatten(like))),
            specs_of(tensors),
            facts,
        )
        known = loops_of(self.step.cell).forms if facts is not None else {}
        if key not in known:
            # What is traced is kept: nothing of this graph is to be in it.
            bare = RecurringLoop(
                self.step.with_masks((None, None)),
                self.trace,
                None,
                self.settings,
                self.loops,
                None,
            )
            with tf.init_scope():
                known[key] = bare._traced(run, joined, like, specs)
        return known[key](self.often, tensors)

    def _traced(self, of_loop: Callable, joined: Callable, like: Any, specs: list[Any]) -> Traced:
        in_its_form = self.settings._replace(xla=True)
        any_length = packed(like, specs)[2][0].shape[1] is None

        def whole(mask: Any, masks: list[Any], inputs: Any, states: Any, *more: Any) -> Any:
            step = self.step.with_masks(tuple(masks))
            loop = FastLoop(step, self.trace, inputs, mask, states, in_its_form)
            return of_loop(loop, inputs, states, *more)

        def varying(often: Any, mask: Any, masks: Any, inputs: Any, states: Any, *more: Any) -> Any:
            step = self.step.with_masks(tuple(masks))
            given = (step, self.trace, inputs, mask, states, in_its_form)
            return of_loop(VaryingLoop(*given, Often(*often)), inputs, states, *more)

        form = InTwoForms(varying if any_length else whole, self.step.cell)

        def of_rows(often: Often, parts: list[tuple]) -> list[Any]:
            if any_length:
                return [form(False, list(often), *own) for own in parts]
            both = [lambda c=c: [form(c, *own) for own in parts] for c in (True, False)]
            return form.chosen(often.whole, *both, *parts[0])

        structures: list[Any] = []

        def run(whole: Any, any_length: Any, *tensors: Any) -> list[Any]:
            found = joined(of_rows(Often(whole, any_length), self._divided(*packed(like, tensors))))
            structures.append(places(found))
            return present(found)

        yes = tf.TensorSpec((), tf.bool)
        graph = tf.function(run, autograph=False).get_concrete_function(yes, yes, *specs)
        return Traced(graph, structures[-1])

    def _divided(
        self,
        mask: Any,
        masks: list[Any],
        inputs: list[Any],
        states: list[Any],
        weights: list[Any],
        gradients: Any = None,
        kept: Any = None,
    ) -> list[tuple]:
        """The arguments of each loop."""
        if self.loops == 1:
            more = [] if kept is None else [gradients, kept[0]]
            return [(mask, masks, inputs, states, weights, *more)]
        parts = rows.divided(self.loops, inputs[0], (mask, masks, inputs, states, gradients))
        own = rows.of_weights(self.loops, inputs[0], weights, self.step.by_row)
        return [
            (*part[:4], weights, *([] if kept is None else [part[4], kept[k]]))
            for k, (part, weights) in enumerate(zip(parts, own, strict=True))
        ]
