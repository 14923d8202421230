"""The fast loop, backwards. The idea is told in `fast`."""

from typing import Any, NamedTuple

import keras
import tensorflow as tf

from keras_lstm_variants.backend.graphs import followed
from keras_lstm_variants.engine.options import Result
from keras_lstm_variants.engine.tensorflow.buffers import Buffer, Layout, sizes, write
from keras_lstm_variants.engine.tensorflow.chunks import Chunk, by_step
from keras_lstm_variants.engine.tensorflow.forward import (
    ForwardLoop,
    Residuals,
    same_shapes,
    zeros_of,
)
from keras_lstm_variants.engine.tensorflow.plain import following, where
from keras_lstm_variants.engine.tensorflow.step import Product, StepGradient, rows_of


class Past(NamedTuple):
    """The histories of a chunk, and at which steps of them the chunk begins."""

    history: dict[str, Any]
    states_from: Any
    values_from: Any


class FastLoop(ForwardLoop):
    """The loop with its gradient. See `ForwardLoop` for the arguments."""

    vectorizes = True  # TensorFlow can vectorise the gradient

    def backward(
        self, inputs: list[Any], weights: list[Any], kept: dict[str, Any], gradients: Result
    ) -> tuple[list[Any], list[Any], list[Any]]:
        """Gradients of inputs, first states and weights, from those of the results."""
        d_inputs, _, d_states, sums = self.slopes(inputs, weights, kept, gradients)
        d_weights = [tf.cast(s, w.dtype) for s, w in zip(sums, weights, strict=True)]
        return d_inputs, d_states, d_weights

    def slopes(
        self, inputs: list[Any], weights: list[Any], kept: dict[str, Any], gradients: Result
    ) -> tuple[list[Any], Any, list[Any], list[Any]]:
        """`backward`, with the gradient of the output before, and the weights' in full."""
        if self.settings.xla:
            # It may be a function of its own: XLA must know its sizes from its own arguments.
            self.chunks = self.chunks_of(inputs[0])
        x, kernels = list(map(self.chunks.ready, inputs)), self._kernels(weights)
        gradients = gradients._replace(
            outputs=None if gradients.outputs is None else self.chunks.ready(gradients.outputs),
            state_sequences=list(map(self.chunks.ready, gradients.state_sequences or [])),
        )
        transposed = [tf.transpose(kernel) for kernel in kernels]
        d_held, d_states = [gradients.last_output], list(gradients.states)
        at = self.output_state
        if at is not None:
            no_output = zeros_of(self.output, inputs[0])
            d_held, d_last = [], self._unless_empty(gradients.last_output, no_output)
            d_states[at] = d_states[at] + d_last

        def run(
            chunk: Chunk, d_held: Any, d_states: Any, sums: Any, d_kernels: Any, d_x: Any
        ) -> Any:
            past = self._past(chunk, x, kept, weights, kernels)
            d_held, d_states, sums, collected = self._run_back(
                chunk, d_held, d_states, weights, transposed, sums, past, gradients
            )
            d_z, d_values, operands = self._collected(collected)
            for m, (u, d) in enumerate(zip(operands, d_values, strict=True)):
                if d is None:
                    continue
                state = self.trace.same_as_state[m]
                if u is None:
                    kept_states = past.history["states"][state]
                    u = self.states[state].chunk(kept_states, past.states_from, chunk.space)
                u, d = (tf.reshape(v, [-1, v.shape[-1]]) for v in (u, d))
                d_kernel = tf.matmul(u, d, transpose_a=True)
                d_kernels = [*d_kernels[:m], added(d_kernels[m], d_kernel), *d_kernels[m + 1 :]]
            parts = [self.chunks.part(values, chunk) for values in x]
            d_parts, d_weights = self._projection_gradient(parts, weights, d_z)
            sums = list(map(added, sums, d_weights))
            filled = map(self.chunks.filled, d_parts)
            d_x = [ta.write(chunk.place, d) for ta, d in zip(d_x, filled, strict=True)]
            return d_held, d_states, sums, d_kernels, d_x

        sums, d_kernels = list(map(zero_sum, weights)), list(map(zero_sum, kernels))
        d_held, d_states, sums, d_kernels, d_inputs = self.chunks.repeat(
            run,
            (d_held, d_states, sums, d_kernels, list(map(self.chunks.parts, inputs))),
            backwards=True,
        )
        sums = self._with_kernels(sums, d_kernels)
        joined = [self.chunks.join(d, like) for d, like in zip(d_inputs, inputs, strict=True)]
        d_before = d_held[0] if d_held else tf.zeros_like(gradients.last_output)
        return joined, d_before, d_states, sums

    def _run_back(
        self,
        chunk: Chunk,
        d_held: list[Any],
        d_states: list[Any],
        weights: list[Any],
        transposed: list[Any],
        sums: list[Any],
        past: Past,
        gradients: Result,
    ) -> tuple[list[Any], list[Any], list[Any], dict[str, Any]]:
        """Go back through a chunk."""
        no_z = [zeros_of(la, d_states[0]) for la in self.inputs]
        mask = None if self.mask is None else self.chunks.part(self.mask, chunk)
        d_sequences = [self.chunks.part(d, chunk) for d in gradients.state_sequences]
        d_outputs = None
        if gradients.outputs is not None:
            d_outputs = self.chunks.part(gradients.outputs, chunk)

        def one(k: Any, d_held: Any, d_states: Any, sums: Any, collected: Any) -> Any:
            t = chunk.start + k
            d_new = list(d_states)
            for n, sequence in enumerate(d_sequences):
                d_new[n] = d_new[n] + sequence[k]
            d_output = d_held[0] if d_held else None
            if d_outputs is not None and d_held:
                d_output = d_output + d_outputs[k]
            elif d_outputs is not None:
                d_new[self.output_state] = d_new[self.output_state] + d_outputs[k]
            d_before, d_passed = [following(tf.zeros_like(d), d, k) for d in d_held], None
            if mask is not None:
                # A masked step hands its gradients on to the step before.
                on = mask[k]
                d_passed = [where(on, tf.zeros_like(d), d) for d in d_new]
                if not self.settings.options.zero_output_for_mask:
                    d_before = [where(on, tf.zeros_like(d_output), d_output)]
                d_new = [where(on, d, tf.zeros_like(d)) for d in d_new]
                d_output = where(on, d_output, tf.zeros_like(d_output))
            found = self._step_back(past, k, no_z, weights, transposed, d_output, d_new)
            d_old = [
                following(tf.zeros_like(d), d, k) if f is None else f
                for f, d in zip(found.states, d_states, strict=True)
            ]
            if d_passed is not None:
                d_old = [d + p for d, p in zip(d_old, d_passed, strict=True)]
            if self.settings.edge is not None:
                d_old = self.settings.edge(t, d_old)
            same_shapes([*d_before, *d_old], [*d_held, *d_states])
            sums = list(map(added, sums, found.weights))
            return d_before, d_old, sums, self._collect(collected, k, found)

        collected = self._nothing_collected(chunk.space)
        return chunk.repeat(one, (d_held, d_states, sums, collected), backwards=True)

    def _with_kernels(self, sums: list[Any], d_kernels: list[Any]) -> list[Any]:
        """The weights' gradients, with those that came through products."""
        sums = list(sums)
        for product, d_kernel in zip(self.trace.products, d_kernels, strict=True):
            total = sums[product.weight]
            if product.columns is not None:
                first, stop, _ = product.columns.indices(total.shape[1])
                d_kernel = tf.pad(d_kernel, [[0, 0], [first, total.shape[1] - stop]])
            sums[product.weight] = total + d_kernel
        return sums

    def _past(
        self,
        chunk: Chunk,
        x: list[Any],
        kept: dict[str, Any],
        weights: list[Any],
        kernels: list[Any],
    ) -> Past:
        """What the gradient of a chunk needs, computed again where it was not kept."""
        if self.settings.residuals is Residuals.ALL:
            return Past(kept, chunk.start, chunk.start)
        if self.settings.residuals is Residuals.STATES:
            again = self._values_again(chunk, x, kept["states"], weights, kernels)
            return Past(again, chunk.start, 0)
        return Past(self._all_again(chunk, x, kept["starts"], weights, kernels), 0, 0)

    def _values_again(
        self,
        chunk: Chunk,
        x: list[Any],
        states: list[Buffer],
        weights: list[Any],
        kernels: list[Any],
    ) -> dict[str, Any]:
        """The history of a chunk, from its states.

        The steps need not follow each other then: they run together, as rows of one.
        """
        z = self._projected(x, chunk, weights)
        befores = [
            rows_of(la.chunk(h, chunk.start, chunk.space))
            for la, h in zip(self.states, states, strict=True)
        ]
        made: list[Product] = []
        masks = [
            None if m is None else tf.tile(m, [chunk.space] + [1] * (m.shape.rank - 1))
            for m in self.step.masks
        ]
        step = self.step.with_masks(tuple(masks))
        step.advance(
            keras.tree.pack_sequence_as(self.trace.structure, z),
            befores,
            weights,
            step.computing(kernels, made, self._sum),
        )

        def history(layout: Layout, rows: Any) -> Buffer:
            return layout.filled(by_step(rows, chunk))

        needed = zip(self.inputs, z, self.trace.inputs_needed, strict=True)
        return {
            "inputs": [history(la, leaf) if need else [] for la, leaf, need in needed],
            "values": [history(la, p.value) for la, p in zip(self.values, made, strict=True)],
            "states": states,
        }

    def _all_again(
        self,
        chunk: Chunk,
        x: list[Any],
        starts: list[Buffer],
        weights: list[Any],
        kernels: list[Any],
    ) -> dict[str, Any]:
        """The history of a chunk, from the states before it."""
        states = [la.read(h, chunk.place) for la, h in zip(self.starts, starts, strict=True)]
        held = [] if self.output_state is not None else [zeros_of(self.output, states[0])]
        history = {
            **self._empty(chunk.space, True),
            "states": self._empty_states(chunk.space, states, True, False),
            "outputs": [],
        }
        *_, history = self._run(chunk, x, held, states, weights, kernels, history, 0)
        return self._closed(history, [[] for _ in states])

    def _step_back(
        self,
        past: Past,
        step: Any,
        no_z: list[Any],
        weights: list[Any],
        transposed: list[Any],
        d_output: Any,
        d_states: list[Any],
    ) -> StepGradient:
        def read(layouts: list[Layout], histories: list[Buffer], time: Any) -> list[Any]:
            return [la.read(h, time) for la, h in zip(layouts, histories, strict=True)]

        history, time = past.history, past.values_from + step
        z = [
            la.read(h, time) if h else tf.identity(zeros)
            for la, h, zeros in zip(self.inputs, history["inputs"], no_z, strict=True)
        ]
        return self.step.gradient(
            keras.tree.pack_sequence_as(self.trace.structure, z),
            read(self.states, history["states"], past.states_from + step),
            read(self.values, history["values"], time),
            weights,
            transposed,
            d_output,
            d_states,
        )

    # What is collected of the steps of a chunk; where two are the same, only one is.

    def _nothing_collected(self, space: Any) -> dict[str, list[Buffer]]:
        trace = self.trace

        def empty(layouts: list[Layout], wanted: list[bool]) -> list[Buffer]:
            return [la.empty(space) if w else [] for la, w in zip(layouts, wanted, strict=True)]

        own = [
            used and same is None
            for used, same in zip(trace.inputs_used, trace.same_as_product, strict=True)
        ]
        return {
            "inputs": empty(self.d_inputs, own),
            "values": empty(self.d_values, trace.values_used),
            # Cut out of the kept states, where these are in one piece.
            "operands": empty(
                self.operands,
                [same is None or not self.settings.xla for same in trace.same_as_state],
            ),
        }

    def _collect(self, collected: dict[str, Any], k: Any, found: StepGradient) -> dict[str, Any]:
        operands = [p.state for p in found.products]
        return {
            "inputs": write(self.d_inputs, collected["inputs"], k, found.inputs),
            "values": write(self.d_values, collected["values"], k, found.values),
            "operands": write(self.operands, collected["operands"], k, operands),
        }

    def _collected(self, collected: dict[str, Any]) -> tuple[list[Any], list[Any], list[Any]]:
        """The gradients of projected inputs and of products' values, and the operands."""

        def stacked(histories: list[Buffer]) -> list[Any]:
            return [h[0].stack() if h else None for h in histories]

        values = stacked(collected["values"])
        inputs = [
            own if same is None else values[same]
            for own, same in zip(
                stacked(collected["inputs"]), self.trace.same_as_product, strict=True
            )
        ]
        return inputs, values, stacked(collected["operands"])

    def _projection_gradient(
        self, x: list[Any], weights: list[Any], d_z: list[Any]
    ) -> tuple[list[Any], list[Any]]:
        n = len(x)
        z, _, slopes = followed(
            lambda sources: keras.tree.flatten(self.step.project(sources[:n], sources[n:])),
            [*x, *weights],
        )
        used = [(leaf, rows_of(d)) for leaf, d in zip(z, d_z, strict=True) if d is not None]
        if not used:
            return list(map(tf.zeros_like, x)), [None] * len(weights)
        targets, gradients = zip(*used, strict=True)
        found = slopes(list(targets), list(gradients))
        d_x = [tf.zeros_like(v) if d is None else d for v, d in zip(x, found[:n], strict=True)]
        return d_x, found[n:]


def zero_sum(weight: Any) -> Any:
    half = weight.dtype in (tf.float16, tf.bfloat16)
    zeros = tf.zeros(sizes(weight), tf.float32 if half else weight.dtype)
    zeros.set_shape(weight.shape)
    return zeros


def added(total: Any, more: Any) -> Any:
    if more is None:
        return total
    result = total + tf.cast(more, total.dtype)
    result.set_shape(total.shape)
    return result
