"""The fast loop, forwards. The idea is told in `fast`."""

import enum
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import keras
import tensorflow as tf

from keras_lstm_variants.engine.options import LoopOptions, Result
from keras_lstm_variants.engine.tensorflow.buffers import (
    Buffer,
    Layout,
    close,
    sizes,
    write,
)
from keras_lstm_variants.engine.tensorflow.chunks import (
    Chunk,
    Chunks,
    OneChunk,
    by_step,
    scan,
)
from keras_lstm_variants.engine.tensorflow.plain import batch_first, where
from keras_lstm_variants.engine.tensorflow.step import Product, Step
from keras_lstm_variants.engine.tensorflow.trace import StepTrace


class Residuals(enum.IntEnum):
    """What the loop keeps for its gradient; what it lacks is computed again, chunk by chunk."""

    STARTS = 0  # the states before each chunk
    STATES = 1  # all states
    ALL = 2  # and the values of the products


class Settings(NamedTuple):
    """What a fast loop is to do."""

    options: LoopOptions
    output_shape: tuple[int, ...]  # without the batch
    residuals: Residuals
    edge: Callable[[Any, list[Any]], list[Any]] | None  # see `truncation`
    xla: bool


class ForwardLoop:
    """A step over sequences, in the order of processing.

    Args:
        step, trace: the step, and what its trace told.
        inputs: (batch, time, ...), the sequence and what else each step is given.
        mask: bool (batch, time), or None.
        states: the first states, for their types.
        settings: what is asked for.
        ran: how many of the steps are run, if not all are: a tensor. They are one chunk then.
    """

    def __init__(
        self,
        step: Step,
        trace: StepTrace,
        inputs: list[Any],
        mask: Any,
        states: list[Any],
        settings: Settings,
        ran: Any = None,
    ) -> None:
        self.step, self.trace, self.settings, self.ran = step, trace, settings, ran
        batch, units, xla = inputs[0].shape[0], step.cell.units, settings.xla

        def layout(like: Any, width: int | None = units) -> Layout:
            return Layout([batch, *like.shape[1:]], like.dtype, xla, width)

        values = [p.value for p in trace.products]
        self.output = Layout([batch, *settings.output_shape], step.output_dtype, xla)
        self.states = [layout(s, None) for s in states]
        # One tensor: what only inference keeps can then be exported with its gradient.
        self.starts = [Layout(la.shape, la.dtype, True) for la in self.states]
        self.inputs = list(map(layout, trace.inputs))
        self.values = list(map(layout, values))
        self.d_inputs = [layout(z, None) for z in trace.inputs]
        self.d_values = [layout(v, None) for v in values]
        self.operands = [layout(p.state, None) for p in trace.products]
        self.columns = sum(math.prod(p.value.shape[1:]) for p in trace.products)
        self.chunks = self.chunks_of(inputs[0])
        self.mask = None if mask is None else self.chunks.ready(mask)
        # The state that the output is: with a mask none, for then it starts at zero.
        self.output_state = trace.output_state if mask is None else None
        if self.output_state is not None:
            same_type = states[self.output_state].dtype == step.output_dtype
            self.output_state = self.output_state if same_type else None

    def chunks_of(self, sequences: Any) -> Chunks:
        """The chunks of sequences in the graph that is being built."""
        batch, steps = sequences.shape[:2]
        steps = tf.shape(sequences)[1] if steps is None else steps
        if self.ran is not None:
            return OneChunk(steps, self.ran)
        return Chunks(steps, batch, self.columns, self.settings.xla)

    def forward(
        self, inputs: list[Any], states: list[Any], weights: list[Any], before: Any = None
    ) -> tuple[Result, Any]:
        """The results, and what `backward` needs. `before` is the output before, if not zero."""
        if self.settings.residuals is Residuals.STARTS and not self.settings.xla:
            return self._forward_by_chunk(inputs, states, weights)
        x, kernels = list(map(self.chunks.ready, inputs)), self._kernels(weights)
        keep, keep_states = self.settings.residuals, self.settings.options.keep_states
        at = self.output_state
        shown = self.settings.options.keep_outputs and at is not None
        no_output = zeros_of(self.output, inputs[0])
        # The last output; nothing where it is a state anyway.
        held = [] if at is not None else [no_output if before is None else before]
        space = self.chunks.space
        history = {
            **self._empty(space, keep is Residuals.ALL),
            "states": self._empty_states(
                space, states, keep >= Residuals.STATES or keep_states, shown
            ),
            "outputs": [],
        }
        if self.settings.options.keep_outputs and not shown:
            history["outputs"] = self.output.write(self.output.empty(space + 1), 0, no_output)
        # One more than there are chunks, so that something is written if there is none.
        starts = [
            la.empty(self.chunks.count + 1) if keep is Residuals.STARTS else []
            for la in self.starts
        ]
        starts = write(self.starts, starts, self.chunks.count, states)

        def run(chunk: Chunk, held: Any, states: Any, history: Any, starts: Any) -> Any:
            starts = write(self.starts, starts, chunk.place, states)
            ran = self._run(chunk, x, held, states, weights, kernels, history, chunk.start)
            return *ran, starts

        held, states, history, starts = self.chunks.repeat(
            run, (held, list(states), history, starts)
        )
        outputs = self.output.close(history["outputs"])
        closed = self._closed(history, starts)
        results = Result(
            held[0] if held else self._unless_empty(states[at], no_output),
            self._after(self.output, closed["states"][at] if shown else outputs)
            if self.settings.options.keep_outputs
            else None,
            states,
            [self._after(la, h) for la, h in zip(self.states, closed["states"], strict=True)]
            if keep_states
            else None,
        )
        # No tape is to follow what the gradient needs back into the loop.
        kept = {
            name: [
                [v if isinstance(v, tf.TensorArray) else tf.stop_gradient(v) for v in h] for h in hs
            ]
            for name, hs in closed.items()
        }
        return results, kept

    def _forward_by_chunk(
        self, inputs: list[Any], states: list[Any], weights: list[Any]
    ) -> tuple[Result, Any]:
        """`forward` where the gradient needs no more than the states before each chunk.

        No chunk writes into another's history, so that converters of graphs understand the
        loops (see `scan`). What is shown of a chunk is filled up to the chunk's length.
        """
        x, kernels = list(map(self.chunks.ready, inputs)), self._kernels(weights)
        no_output = zeros_of(self.output, inputs[0])
        at = self.output_state
        held = [] if at is not None else [no_output]
        outputs, sequences = self.settings.options.keep_outputs, self.settings.options.keep_states
        twice = at is not None and sequences  # the output is shown as a state already
        apart = outputs and not twice
        like = [*([no_output] if apart else []), *(states if sequences else [])]
        like = [(sizes(v), v.dtype) for v in like]

        def run(j: Any, held: Any, states: Any) -> tuple[Any, list[Any]]:
            chunk = self.chunks.at(j)
            step = self._steps_of(chunk, x, states[0], weights, kernels)

            def one(k: Any, held: Any, states: Any) -> tuple[Any, list[Any]]:
                output, new, _, _ = step(k, held, states)
                shown = [*([output] if apart else []), *(new if sequences else [])]
                return ([output] if held else [], new), shown

            after, shown = scan(chunk.length, one, (held, states), like)
            return after, [*map(self.chunks.filled, shown), *states]

        of_a_chunk = [([self.chunks.length, *shape], dtype) for shape, dtype in like]
        befores = [(sizes(s), s.dtype) for s in states]
        (held, states), found = scan(
            self.chunks.count, run, (held, list(states)), [*of_a_chunk, *befores]
        )
        shown, starts = found[: len(like)], found[len(like) :]
        shown = list(map(self.chunks.end_to_end, shown))
        results = Result(
            held[0] if held else self._unless_empty(states[at], no_output),
            shown[at if twice else 0] if outputs else None,
            states,
            shown[1 if apart else 0 :] if sequences else None,
        )
        return results, {"starts": [[tf.stop_gradient(s)] for s in starts]}

    def _run(
        self,
        chunk: Chunk,
        x: list[Any],
        held: list[Any],
        states: list[Any],
        weights: list[Any],
        kernels: list[Any],
        history: dict[str, Any],
        origin: Any,
    ) -> tuple[list[Any], list[Any], dict[str, Any]]:
        """Run a chunk, whose first step is step `origin` of the history."""
        step = self._steps_of(chunk, x, states[0], weights, kernels)

        def one(k: Any, held: Any, states: Any, history: Any) -> Any:
            output, new, z_k, values = step(k, held, states)
            t = origin + k
            written = {
                "inputs": write(self.inputs, history["inputs"], t, z_k),
                "values": write(self.values, history["values"], t, values),
                "states": write(self.states, history["states"], t + 1, new),
                "outputs": write([self.output], [history["outputs"]], t + 1, [output])[0],
            }
            return [output] if held else [], new, written

        return chunk.repeat(one, (held, states, history))

    def _steps_of(
        self, chunk: Chunk, x: list[Any], like: Any, weights: list[Any], kernels: list[Any]
    ) -> Callable:
        """A chunk's step k, from what was before it: as many rows as `like` has.

        It returns the output, the new states, the projected inputs and the products' values.
        """
        z = self._projected(x, chunk, weights)
        z = [la.cut(by_step(leaf, chunk)) for la, leaf in zip(self.inputs, z, strict=True)]
        no_output = zeros_of(self.output, like)
        mask = None if self.mask is None else self.chunks.part(self.mask, chunk)

        def one(k: Any, held: Any, states: Any) -> Any:
            z_k = [la.at(leaf, k) for la, leaf in zip(self.inputs, z, strict=True)]
            made: list[Product] = []
            output, new = self.step.advance(
                keras.tree.pack_sequence_as(self.trace.structure, z_k),
                states,
                weights,
                self.step.computing(kernels, made, self._sum),
            )
            if mask is not None:
                on = mask[k]
                masked_output = no_output if self.settings.options.zero_output_for_mask else held[0]
                output = where(on, output, masked_output)
                new = [where(on, n, s) for n, s in zip(new, states, strict=True)]
            same_shapes([output, *new], [no_output, *states])
            return output, new, z_k, [p.value for p in made]

        return one

    def _projected(self, x: list[Any], chunk: Chunk, weights: list[Any]) -> list[Any]:
        """The projected inputs of a chunk, (steps x batch, ...) each."""
        parts = [self.chunks.part(values, chunk) for values in x]
        return keras.tree.flatten(self.step.project(parts, weights))

    def _sum(self, product: Any, add_to: Any) -> Any:
        """The sum, block of columns by block of columns where XLA keeps these apart."""
        if add_to is None:
            return product
        layout = Layout(product.shape, product.dtype, self.settings.xla, self.step.cell.units)
        return layout.joined(
            [o + p for o, p in zip(*map(layout.cut, (add_to, product)), strict=True)]
        )

    def _empty(self, space: Any, keep: bool) -> dict[str, list[Buffer]]:
        """Histories of what the gradient needs besides the states."""
        needed = [keep and n for n in self.trace.inputs_needed]
        return {
            "inputs": [
                la.empty(space) if n else [] for la, n in zip(self.inputs, needed, strict=True)
            ],
            "values": [la.empty(space) if keep else [] for la in self.values],
        }

    def _empty_states(
        self, space: Any, states: list[Any], all_states: bool, output: bool
    ) -> list[Buffer]:
        """Histories of states: before the first step, and after each."""
        wanted = [all_states or (output and k == self.output_state) for k in range(len(states))]
        return [
            la.write(la.empty(space + 1), 0, s) if w else []
            for la, s, w in zip(self.states, states, wanted, strict=True)
        ]

    def _closed(self, history: dict[str, Any], starts: list[Buffer]) -> dict[str, list[Buffer]]:
        return {
            "inputs": close(self.inputs, history["inputs"]),
            "values": close(self.values, history["values"]),
            "states": close(self.states, history["states"]),
            "starts": close(self.starts, starts),
        }

    def _after(self, layout: Layout, history: Buffer) -> Any:
        """The values after each step."""
        return batch_first(layout.whole(history)[1:][: self.chunks.steps])

    def _unless_empty(self, value: Any, otherwise: Any) -> Any:
        """`value`, or `otherwise` for a sequence without steps."""
        if isinstance(self.chunks.steps, int):
            return value
        return tf.where(self.chunks.steps > 0, value, otherwise)

    def _kernels(self, weights: list[Any]) -> list[Any]:
        """The matrix of each product."""
        return [
            weights[p.weight] if p.columns is None else weights[p.weight][:, p.columns]
            for p in self.trace.products
        ]


def same_shapes(values: list[Any], like: list[Any]) -> None:
    for value, other in zip(values, like, strict=True):
        value.set_shape(other.shape)


def zeros_of(layout: Layout, like: Any) -> Any:
    """Zeros for as many rows as `like` has."""
    zeros = tf.zeros([tf.shape(like)[0], *layout.shape[1:]], layout.dtype)
    zeros.set_shape(layout.shape)
    return zeros
