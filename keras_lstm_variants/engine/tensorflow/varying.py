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
    Buffer,
    empty_list,
    sizes,
    stacked,
    steps_of,
)
from keras_lstm_variants.engine.tensorflow.chunks import Chunk, Chunks, repeat
from keras_lstm_variants.engine.tensorflow.forms import InTwoForms, each, packed, present
from keras_lstm_variants.engine.tensorflow.forward import Settings, zeros_of
from keras_lstm_variants.engine.tensorflow.step import Step
from keras_lstm_variants.engine.tensorflow.trace import StepTrace

_NUMBER = tf.TensorSpec((), tf.int32)
# Steps of a chunk at most: to call one costs as much as a few steps, and so does the filling.
_LONGEST = 64
# So many steps are worth the compiled form, which multiplies for all steps of a chunk.
_ENOUGH = 16


class VaryingLoop:
    """What runs as a `FastLoop` where the number of steps is not known.

    Args:
        step, trace, inputs, mask, states, settings: as for `FastLoop`.
        often: whether chunks are compiled, as a tensor.
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
        often: Any,
        forms: dict[str, InTwoForms],
    ) -> None:
        self.step, self.trace, self.mask, self.settings = step, trace, mask, settings
        self.often, self.forms = often, forms
        self.whole = FastLoop(step, trace, inputs, mask, states, settings)
        steps, batch = tf.shape(inputs[0])[1], inputs[0].shape[0]
        self.chunks = Chunks(steps, batch, self.whole.columns, False, _LONGEST)

    def forward(
        self, inputs: list[Any], states: list[Any], weights: list[Any]
    ) -> tuple[Result, Any]:
        """The results, and what `backward` needs."""
        last = zeros_of(self.whole.output, inputs[0])
        form = self._form("forward", self._chunk_forward)
        sequences, others = [inputs, self.mask], [list(self.step.masks), weights]
        result, like_kept = form.returns(sequences, _NUMBER, _NUMBER, *others, last, states)
        like_shown = (result.outputs, result.state_sequences)
        shapes = [self._shape_of(v, inputs[0]) for v in present(like_shown)]
        like = zip(
            [*shapes, *[v.shape for v in present(like_kept)]],
            present((like_shown, like_kept)),
            strict=True,
        )
        lists = [empty_list(self.chunks.count, shape, v.dtype) for shape, v in like]

        def run(j: Any, last: Any, states: Any, lists: Any) -> Any:
            chunk = self.chunks.at(j)
            result, kept = self._call(form, chunk, sequences, *others, last, states)
            shown = each(self._filled, (result.outputs, result.state_sequences))
            found = present((shown, kept))
            lists = [ta.write(j, v) for ta, v in zip(lists, found, strict=True)]
            return result.last_output, result.states, lists

        last, states, lists = repeat(self.chunks.count, run, (last, list(states), lists))
        joined = map(self._joined, lists, shapes)
        outputs, state_sequences = packed(like_shown, joined)
        kept = packed(like_kept, [ta.flow for ta in lists[len(shapes) :]])
        return Result(last, outputs, states, state_sequences), kept

    def backward(
        self, inputs: list[Any], weights: list[Any], kept: Any, gradients: Result
    ) -> tuple[list[Any], list[Any], list[Any]]:
        """Gradients of inputs, first states and weights, from those of the results."""
        form = self._form("backward", self._chunk_backward)
        sequences = [inputs, self.mask, gradients.outputs, gradients.state_sequences]
        count, shapes = self.chunks.count, [self._shape_of(v, v) for v in inputs]
        lists = [empty_list(count, s, v.dtype) for s, v in zip(shapes, inputs, strict=True)]

        def run(i: Any, d_last: Any, d_states: Any, sums: Any, lists: Any) -> Any:
            j = count - 1 - i
            there = {name: self._kept_of(j, name, flows) for name, flows in kept.items()}
            given = [list(self.step.masks), weights, there, d_last, d_states]
            found = self._call(form, self.chunks.at(j), sequences, *given)
            d_inputs, d_last, d_states, more = found
            d_inputs = map(self._filled, d_inputs)
            lists = [ta.write(j, d) for ta, d in zip(lists, d_inputs, strict=True)]
            return d_last, d_states, list(map(added, sums, more)), lists

        sums = list(map(zero_sum, weights))
        values = (gradients.last_output, list(gradients.states), sums, lists)
        _, d_states, sums, lists = repeat(count, run, values)
        d_weights = [tf.cast(s, w.dtype) for s, w in zip(sums, weights, strict=True)]
        return list(map(self._joined, lists, shapes)), d_states, d_weights

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

    def _call(self, form: InTwoForms, chunk: Chunk, sequences: Any, *others: Any) -> Any:
        enough = chunk.length >= min(_ENOUGH, self.chunks.length // 2)
        compiled = tf.logical_and(self.often, enough)
        parts = each(lambda v: steps_of(v, chunk.start, chunk.length, axis=1), sequences)
        rest = (chunk.start, chunk.length, *others)
        return form(compiled, (parts, *rest), lambda: (each(self._filled, parts), *rest))

    # Sequences (batch, time, ...), and what is kept of their chunks.

    def _kept_of(self, chunk: Any, name: str, flows: list[list[Any]]) -> list[Buffer]:
        """What was kept of a chunk."""
        return [
            [_read(flow, [None, *layout.piece_shape], layout.dtype, chunk) for flow in history]
            for layout, history in zip(getattr(self.whole, name), flows, strict=True)
        ]

    def _filled(self, values: Any) -> Any:
        more = self.chunks.length - tf.shape(values)[1]
        values = tf.pad(values, [[0, 0], [0, more]] + [[0, 0]] * (values.shape.rank - 2))
        values.set_shape([values.shape[0], self.chunks.length, *values.shape[2:]])
        return values

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


def _read(flow: Any, shape: list[Any], dtype: Any, place: Any) -> Any:
    value = tf.TensorArray(dtype, flow=flow).read(place)
    value.set_shape(shape)
    return value
