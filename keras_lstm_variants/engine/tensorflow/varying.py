"""The fast loop over sequences of any length, chunk after chunk.

XLA compiles for the sizes that it sees: a loop over whole sequences would be compiled for each
length. So TensorFlow loops over chunks, and each chunk is a fast loop of its own, which is
compiled once, for all lengths. The last one is filled up, but its loop ends when its steps do.
Where nearly all sequences have one length, the chunks divide that evenly.
"""

import functools
from typing import Any

import tensorflow as tf

from keras_lstm_variants.engine.options import Result
from keras_lstm_variants.engine.tensorflow.backward import FastLoop, added, zero_sum
from keras_lstm_variants.engine.tensorflow.buffers import (
    Layout,
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
        often: whether chunks are compiled: those of this length, or those of one size, for all.
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
    ) -> None:
        self.step, self.trace, self.mask, self.settings = step, trace, mask, settings
        self.whole = FastLoop(step, trace, inputs, mask, states, settings)
        steps, batch = tf.shape(inputs[0])[1], inputs[0].shape[0]
        usual = usual_length(batch, self.whole.columns)
        even = (steps - 1) // tf.maximum((steps + usual // 2) // usual, 1) + 1
        one_size = min(usual, max(_ROWS // (batch or 32), _SHORTEST), _LONGEST)
        in_one_size = tf.logical_and(often.any_length, steps >= _ENOUGH)
        # No step is no chunk, in a loop that is not run: what is not compiled is one chunk.
        self.compiled = often.whole | in_one_size | tf.equal(steps, 0)
        length = tf.where(often.whole, even, tf.where(in_one_size, one_size, steps))
        length = tf.maximum(length, 1)
        self.chunks = Chunks(steps, batch, self.whole.columns, False, length)

    def forward(
        self, inputs: list[Any], states: list[Any], weights: list[Any]
    ) -> tuple[Result, Any]:
        """The results, and what `backward` needs."""
        last = zeros_of(self.whole.output, inputs[0])
        form = InTwoForms(self._chunk_forward, self.step.cell)
        sequences, others = [inputs, self.mask], [list(self.step.masks), weights]
        arguments = (sequences, _NUMBER, _NUMBER, *others, last, states)
        like, like_kept = form.returns(*arguments)
        like_shown = (like.outputs, like.state_sequences)

        def in_chunks(compiled: bool = True) -> Any:
            given = each(self._whole_chunks, sequences)

            def one(j: Any, last: Any, states: Any, lists: Any) -> Any:
                result, kept = form(compiled, *self._chunk(j, given), *others, last, states)
                found = present((result.outputs, result.state_sequences, kept))
                lists = [ta.write(j, v) for ta, v in zip(lists, found, strict=True)]
                return result.last_output, result.states, lists

            like = present((like_shown, like_kept))
            lists = [empty_list(self.chunks.count, v.shape, v.dtype) for v in like]
            values = repeat(self.chunks.count, one, (last, list(states), lists))
            last_output, new, lists = values
            shown = [self._joined(v, inputs[0]) for v in lists[: len(present(like_shown))]]
            flows = [ta.flow for ta in lists[len(shown) :]]
            return Result(last_output, None, new, None), shown, packed(like_kept, flows)

        def at_once() -> Any:
            result, kept = form(False, *self._everything(sequences), *others, last, states)
            shown = present((result.outputs, result.state_sequences))
            return result._replace(outputs=None, state_sequences=None), shown, each(_alone, kept)

        refused = functools.partial(in_chunks, False)
        found = form.chosen(self.compiled, in_chunks, at_once, *arguments, refused=refused)
        result, shown, kept = found
        outputs, state_sequences = packed(like_shown, shown)
        return result._replace(outputs=outputs, state_sequences=state_sequences), kept

    def backward(
        self, inputs: list[Any], weights: list[Any], kept: Any, gradients: Result
    ) -> tuple[list[Any], list[Any], list[Any]]:
        """Gradients of inputs, first states and weights, from those of the results."""
        form = InTwoForms(self._chunk_backward, self.step.cell)
        sequences = [inputs, self.mask, gradients.outputs, gradients.state_sequences]
        others = [list(self.step.masks), weights]
        d_last, d_states = gradients.last_output, list(gradients.states)
        count = self.chunks.count

        def in_chunks(compiled: bool = True) -> Any:
            given = each(self._whole_chunks, sequences)

            def one(i: Any, d_last: Any, d_states: Any, sums: Any, lists: Any) -> Any:
                j = count - 1 - i
                there = self._kept(kept, j)
                found = form(compiled, *self._chunk(j, given), *others, there, d_last, d_states)
                d_inputs, d_last, d_states, more = found
                lists = [ta.write(j, d) for ta, d in zip(lists, d_inputs, strict=True)]
                return d_last, d_states, list(map(added, sums, more)), lists

            like = [[v.shape[0], None, *v.shape[2:]] for v in inputs]
            lists = [empty_list(count, s, v.dtype) for s, v in zip(like, inputs, strict=True)]
            sums = list(map(zero_sum, weights))
            _, d_before, sums, lists = repeat(count, one, (d_last, d_states, sums, lists))
            return [self._joined(d, inputs[0]) for d in lists], d_before, sums

        def at_once() -> Any:
            there = self._kept(kept, 0)
            found = form(False, *self._everything(sequences), *others, there, d_last, d_states)
            d_inputs, _, d_before, sums = found
            return d_inputs, d_before, sums

        arguments = (sequences, _NUMBER, _NUMBER, *others, self._kept(kept), d_last, d_states)
        # What XLA refuses may have been compiled forwards.
        refused = functools.partial(in_chunks, False)
        found = form.chosen(self.compiled, in_chunks, at_once, *arguments, refused=refused)
        d_inputs, d_states, sums = found
        d_weights = [tf.cast(s, w.dtype) for s, w in zip(sums, weights, strict=True)]
        return d_inputs, d_states, d_weights

    # The functions of a chunk, of tensors alone.

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

    def _whole_chunks(self, values: Any) -> Any:
        """The sequence, filled up to whole chunks."""
        more = self.chunks.count * self.chunks.length - self.chunks.steps
        return tf.pad(values, [[0, 0], [0, more]] + [[0, 0]] * (values.shape.rank - 2))

    def _chunk(self, place: Any, sequences: Any) -> tuple[Any, Any, Any]:
        """A chunk of the sequences, its first step, and how many there are to be run."""
        chunk = self.chunks.at(place)
        parts = each(lambda v: steps_of(v, chunk.start, self.chunks.length, axis=1), sequences)
        return parts, chunk.start, chunk.length

    def _everything(self, sequences: Any) -> tuple[Any, Any, Any]:
        return sequences, tf.constant(0), self.chunks.steps

    def _joined(self, chunks: tf.TensorArray, like: Any) -> Any:
        """(batch, time, ...) of all chunks, as many rows as `like` has."""
        batch, length, rest = sizes(like)[0], self.chunks.length, chunks.element_shape[2:]
        whole = stacked(chunks, [batch, length, *rest])
        whole = tf.transpose(whole, [1, 0, 2, *range(3, whole.shape.rank)])
        whole = tf.reshape(whole, [batch, self.chunks.count * length, *rest])
        return whole[:, : self.chunks.steps]

    def _kept(self, flows: dict[str, Any], place: Any = None) -> dict[str, Any]:
        """What is kept of a chunk, as types and shapes if no place is given."""

        def read(flow: Any, layout: Layout) -> Any:
            like = tf.TensorSpec([None, *layout.piece_shape], layout.dtype)
            if place is None:
                return like
            value = tf.TensorArray(like.dtype, flow=flow).read(place)
            value.set_shape(like.shape)
            return value

        return {
            name: [
                [read(flow, layout) for flow in history]
                for layout, history in zip(getattr(self.whole, name), histories, strict=True)
            ]
            for name, histories in flows.items()
        }


def _alone(value: Any) -> Any:
    """A list with one element."""
    return empty_list(1, value.shape, value.dtype).write(0, value).flow
