"""The fast loop over sequences of any length, chunk after chunk.

XLA compiles for the sizes that it sees: a loop over whole sequences would be compiled for each
length. So TensorFlow loops over the chunks, and each chunk is a fast loop of its own, which is
compiled once, for all lengths. The last one is filled up, but its loop ends when its steps do.
"""

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from keras_lstm_variants.engine.options import Result
from keras_lstm_variants.engine.tensorflow.backward import FastLoop, added, zero_sum
from keras_lstm_variants.engine.tensorflow.buffers import (
    empty_list,
    sizes,
    stacked,
    steps_of,
)
from keras_lstm_variants.engine.tensorflow.chunks import Chunks, repeat, usual_length
from keras_lstm_variants.engine.tensorflow.forms import InTwoForms, Often, each, packed, present
from keras_lstm_variants.engine.tensorflow.forward import Settings, zeros_of
from keras_lstm_variants.engine.tensorflow.step import Step
from keras_lstm_variants.engine.tensorflow.trace import StepTrace

_NUMBER = tf.TensorSpec((), tf.int32)
# Rows (steps x batch) of a chunk, and the bounds of its steps then: to call a chunk takes as long
# as a few steps, and so does filling up the last one. Fewer than so many steps are not worth it.
_ROWS, _SHORTEST, _LONGEST, _ENOUGH = 1024, 32, 128, 16


class VaryingLoop:
    """What runs as a `FastLoop` where the number of steps is not known.

    Args:
        step, trace, inputs, mask, states, settings: as for `FastLoop`.
        often: whether chunks are compiled: for this length, which they then divide evenly, or for
            any, which have chunks of one size.
        forms: the functions of a chunk are kept here, for others like this.
    """

    def __init__(
        self,
        step: Step,
        trace: StepTrace,
        inputs: list[Any],
        mask: Any,
        states: list[Any],
        settings: Settings,
        often: Often,
        forms: dict[str, InTwoForms],
    ) -> None:
        self.step, self.trace, self.mask, self.settings = step, trace, mask, settings
        self.forms = forms
        self.whole = FastLoop(step, trace, inputs, mask, states, settings)
        steps, batch = tf.shape(inputs[0])[1], inputs[0].shape[0]
        usual = usual_length(batch, self.whole.columns)
        even = (steps - 1) // tf.maximum((steps + usual // 2) // usual, 1) + 1
        one_size = min(usual, max(_ROWS // (batch or 32), _SHORTEST), _LONGEST)
        length = tf.where(often.whole, tf.maximum(even, 1), one_size)
        self.chunks = Chunks(steps, batch, self.whole.columns, False, length)
        enough = tf.logical_and(often.any_length, steps >= _ENOUGH)
        self.compiled = tf.logical_or(often.whole, enough)

    def forward(
        self, inputs: list[Any], states: list[Any], weights: list[Any]
    ) -> tuple[Result, Any]:
        """The results, and what `backward` needs."""
        last = zeros_of(self.whole.output, inputs[0])
        form = self._form("forward", self._chunk_forward)
        sequences, others = [inputs, self.mask], [list(self.step.masks), weights]
        arguments = (sequences, _NUMBER, _NUMBER, *others, last, states)
        like, like_kept = form.returns(*arguments)
        like_shown = (like.outputs, like.state_sequences)
        shapes = [self._shape_of(v, inputs[0]) for v in present(like_shown)]
        kinds = [v.dtype for v in present((like_shown, like_kept))]
        places = [*shapes, *[v.shape for v in present(like_kept)]]

        def run(compiled: bool) -> Any:
            given = each(self._whole_chunks, sequences) if compiled else sequences

            def one(j: Any, last: Any, states: Any, lists: Any) -> Any:
                chunk = self._chunk(j, given, compiled)
                result, kept = form(compiled, *chunk, *others, last, states)
                shown = (result.outputs, result.state_sequences)
                shown = shown if compiled else each(self._filled, shown)
                found = present((shown, kept))
                lists = [ta.write(j, v) for ta, v in zip(lists, found, strict=True)]
                return result.last_output, result.states, lists

            count = self.chunks.count
            lists = [empty_list(count, s, kind) for s, kind in zip(places, kinds, strict=True)]
            last_output, new, lists = repeat(count, one, (last, list(states), lists))
            joined = map(self._joined, lists, shapes)
            kept = packed(like_kept, [ta.flow for ta in lists[len(shapes) :]])
            return Result(last_output, None, new, None), list(joined), kept

        result, shown, kept = form.chosen(self.compiled, run, *arguments)
        outputs, state_sequences = packed(like_shown, shown)
        return result._replace(outputs=outputs, state_sequences=state_sequences), kept

    def backward(
        self, inputs: list[Any], weights: list[Any], kept: Any, gradients: Result
    ) -> tuple[list[Any], list[Any], list[Any]]:
        """Gradients of inputs, first states and weights, from those of the results."""
        form = self._form("backward", self._chunk_backward)
        sequences = [inputs, self.mask, gradients.outputs, gradients.state_sequences]
        others = [list(self.step.masks), weights]
        d_last, d_states = gradients.last_output, list(gradients.states)
        count, shapes = self.chunks.count, [self._shape_of(v, v) for v in inputs]

        def run(compiled: bool) -> Any:
            given = each(self._whole_chunks, sequences) if compiled else sequences

            def one(i: Any, d_last: Any, d_states: Any, sums: Any, lists: Any) -> Any:
                j = count - 1 - i
                there = self._kept(kept, lambda flow, like: _read(flow, like, j))
                chunk = self._chunk(j, given, compiled)
                found = form(compiled, *chunk, *others, there, d_last, d_states)
                d_inputs, d_last, d_states, more = found
                d_inputs = d_inputs if compiled else list(map(self._filled, d_inputs))
                lists = [ta.write(j, d) for ta, d in zip(lists, d_inputs, strict=True)]
                return d_last, d_states, list(map(added, sums, more)), lists

            lists = [empty_list(count, s, v.dtype) for s, v in zip(shapes, inputs, strict=True)]
            sums = list(map(zero_sum, weights))
            _, d_before, sums, lists = repeat(count, one, (d_last, d_states, sums, lists))
            return list(map(self._joined, lists, shapes)), d_before, sums

        there = self._kept(kept, lambda _, like: like)
        arguments = (sequences, _NUMBER, _NUMBER, *others, there, d_last, d_states)
        d_inputs, d_states, sums = form.chosen(self.compiled, run, *arguments)
        d_weights = [tf.cast(s, w.dtype) for s, w in zip(sums, weights, strict=True)]
        return d_inputs, d_states, d_weights

    # The functions of a chunk, of tensors alone.

    def _form(self, name: str, function: Callable) -> InTwoForms:
        return self.forms.setdefault(name, InTwoForms(function, self.step.cell))

    def _loop(
        self, inputs: Any, mask: Any, masks: Any, states: Any, start: Any, ran: Any
    ) -> FastLoop:
        settings, edge = self.settings, self.settings.edge
        if edge is not None:
            settings = settings._replace(edge=lambda time, d: edge(start + time, d))
        step = self.step.with_masks(tuple(masks))
        return FastLoop(step, self.trace, inputs, mask, states, settings, ran)

    def _chunk_forward(
        self, sequences: Any, start: Any, ran: Any, masks: Any, weights: Any, last: Any, states: Any
    ) -> Any:
        inputs, mask = sequences
        loop = self._loop(inputs, mask, masks, states, start, ran)
        return loop.forward(inputs, states, weights, last)

    def _chunk_backward(
        self,
        sequences: Any,
        start: Any,
        ran: Any,
        masks: Any,
        weights: Any,
        kept: Any,
        d_last: Any,
        d_states: Any,
    ) -> Any:
        inputs, mask, d_outputs, d_sequences = sequences
        loop = self._loop(inputs, mask, masks, d_states, start, ran)
        gradients = Result(d_last, d_outputs, d_states, d_sequences)
        return loop.slopes(inputs, weights, kept, gradients)

    # Sequences (batch, time, ...), and what is kept of their chunks.

    def _chunk(self, place: Any, sequences: Any, compiled: bool) -> tuple[Any, Any, Any]:
        """A chunk of the sequences, its first step, and how many there are to be run."""
        chunk = self.chunks.at(place)
        length = self.chunks.length if compiled else chunk.length
        parts = each(lambda v: steps_of(v, chunk.start, length, axis=1), sequences)
        return parts, chunk.start, chunk.length

    def _kept(self, flows: dict[str, Any], of: Callable[[Any, tf.TensorSpec], Any]) -> Any:
        """A history for each that is kept: made by `of` a list of chunks, and their type."""
        return {
            name: [
                [of(flow, tf.TensorSpec([None, *la.piece_shape], la.dtype)) for flow in history]
                for la, history in zip(getattr(self.whole, name), histories, strict=True)
            ]
            for name, histories in flows.items()
        }

    def _whole_chunks(self, values: Any) -> Any:
        return self._longer(values, self.chunks.count * self.chunks.length)

    def _filled(self, values: Any) -> Any:
        """A chunk of full length."""
        return self._longer(values, self.chunks.length)

    def _longer(self, values: Any, steps: Any) -> Any:
        more = [[0, 0], [0, steps - tf.shape(values)[1]]]
        return tf.pad(values, more + [[0, 0]] * (values.shape.rank - 2))

    def _shape_of(self, values: Any, inputs: Any) -> list[Any]:
        """The shape of a chunk that is filled up, whose batch is that of the inputs."""
        return [sizes(inputs)[0], self.chunks.length, *values.shape[2:]]

    def _joined(self, chunks: tf.TensorArray, shape: list[Any]) -> Any:
        """(batch, time, ...) of all chunks."""
        batch, length, *rest = shape
        whole = stacked(chunks, shape)
        whole = tf.transpose(whole, [1, 0, 2, *range(3, whole.shape.rank)])
        whole = tf.reshape(whole, [batch, self.chunks.count * length, *rest])
        return whole[:, : self.chunks.steps]


def _read(flow: Any, like: tf.TensorSpec, place: Any) -> Any:
    value = tf.TensorArray(like.dtype, flow=flow).read(place)
    value.set_shape(like.shape)
    return value
