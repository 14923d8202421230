r"""The fast loop: one gradient for the whole sequence, weight gradients block by block.

For the loop, a recurrent step is a function of a projected input $z_t$ and the old states,
in which some products of a state with a weight matrix occur (`Cell.product`):

$$s_t = \mathrm{step}(z_t, s_{t-1}) \qquad\text{with products}\qquad a_t = u_t U,$$

where $u_t$ is a state, or something computed from one ($r \odot h$ in a GRU). Differentiated
step by step, as TensorFlow does it, each step adds $u_t^\top da_t$ to the gradient of U: a
small product, and a pass over the whole matrix. But the sum over steps is itself a product,

$$dU = \sum_t u_t^\top\, da_t = [u_1; u_2; \dots]^\top\, [da_1; da_2; \dots],$$

a large and efficient one. So the loop has a gradient of its own:

1. Forward, the states and the values $a_t$ of the products are kept, and nothing else.
2. Backward, each step runs again with $a_t$ *read instead of computed*, so that what remains
   is elementwise and cheap. A tape over it yields $da_t$. Then $du_t = da_t U^\top$ goes on,
   through the tape, to what $u_t$ was computed from. Products are taken last to first: when
   the turn of $da_t$ comes, all that was computed from $a_t$ has been accounted for.
3. The $u_t$ and $da_t$ of a block of steps are collected, and make one product a matrix.
   The projection of the inputs, which no state enters, is computed and differentiated for a
   whole block at once as well: $dx$, $dW$ and $db$ come from the $dz_t$ of all its steps.

Weights that enter a step by themselves (peepholes, recurrent biases) are summed in the loop.

This is correct for every step that is a function of inputs, states and weights alone: the
chain rule is applied to the step as it is, and only the sum over time is taken in another
order. `rehearsal` makes sure that the step is such a function.

Unless told to keep what the gradient needs, as at inference, the loop keeps the states
before each block only. A gradient then runs each block again before it goes back through
it: memory for one block instead of all, for the time of one more forward loop.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import keras
import tensorflow as tf

from keras_lstm_variants.engine.blocks import Blocks
from keras_lstm_variants.engine.history import History, Layout, close, write
from keras_lstm_variants.engine.loop import where
from keras_lstm_variants.engine.rehearsal import Plan
from keras_lstm_variants.engine.step import Product, Step, StepGradient


class Settings(NamedTuple):
    """What a loop is asked for. See `engine.run`."""

    output_size: int
    zero_output_for_mask: bool
    keep_outputs: bool
    keep_states: bool
    keep: bool  # what the gradient needs, instead of computing it again
    edge: Callable[[Any, list[Any]], list[Any]] | None  # see `edges`
    xla: bool


class Results(NamedTuple):
    """What a loop returns; sequences are (time, batch, ...), in the order of processing."""

    output: Any
    states: list[Any]
    outputs: Any  # None unless asked for
    sequences: list[Any]  # of the states; empty unless asked for


class FastLoop:
    """A step over sequences (time, batch, ...), in the order of processing.

    Args:
        step, plan: the step, and what its rehearsal told.
        inputs: (time, batch, features).
        mask: bool (time, batch), or None.
        states: the first states, for their types.
        settings: what is asked for.
    """

    def __init__(
        self, step: Step, plan: Plan, inputs: Any, mask: Any, states: list[Any], settings: Settings
    ) -> None:
        self.step, self.plan, self.settings = step, plan, settings
        steps = inputs.shape[0] if inputs.shape[0] is not None else tf.shape(inputs)[0]
        batch, units, xla = inputs.shape[1], step.cell.units, settings.xla

        def layout(like: Any, width: int | None = units) -> Layout:
            return Layout([batch, *like.shape[1:]], like.dtype, xla, width)

        values = [p.value for p in plan.products]
        self.output = Layout([batch, settings.output_size], step.output_dtype, xla)
        self.states = [layout(s, None) for s in states]
        # One tensor: what only inference keeps can then be exported with its gradient.
        self.starts = [Layout(la.shape, la.dtype, True) for la in self.states]
        self.inputs = list(map(layout, plan.inputs))
        self.values = list(map(layout, values))
        self.d_inputs = [layout(z, None) for z in plan.inputs]
        self.d_values = [layout(v, None) for v in values]
        self.operands = [layout(p.state, None) for p in plan.products]
        self.blocks = Blocks(steps, batch, sum(v.shape[-1] for v in values), xla)
        self.mask = None if mask is None else self.blocks.filled(mask)
        # Without a mask, and unless the cell says otherwise, the output is the first state.
        self.output_is_state = (
            mask is None and step.cell.output_is_state and states[0].dtype == step.output_dtype
        )

    # Forward

    def forward(self, inputs: Any, states: list[Any], weights: list[Any]) -> tuple[Results, Any]:
        """The results, and what `backward` needs."""
        x, kernels = self.blocks.filled(inputs), self._kernels(weights)
        keep, keep_states = self.settings.keep, self.settings.keep_states
        shown = self.settings.keep_outputs and self.output_is_state
        no_output = _zeros_of(self.output, inputs)
        # The last output; nothing where it is the first state anyway.
        held = [] if self.output_is_state else [no_output]
        space = self.blocks.space
        history = {
            **self._empty(space, keep),
            "states": self._empty_states(space, states, keep or keep_states, shown),
            "outputs": [],
        }
        if self.settings.keep_outputs and not shown:
            history["outputs"] = self.output.write(self.output.empty(space + 1), 0, no_output)
        # One more than there are blocks, so that something is written if there is none.
        starts = [[] if keep else la.empty(self.blocks.count + 1) for la in self.starts]
        starts = write(self.starts, starts, self.blocks.count, states)

        def block(j: Any, held: Any, states: Any, history: Any, starts: Any) -> Any:
            starts = write(self.starts, starts, j, states)
            origin = self.blocks.start(j)
            ran = self._run(j, x, held, states, weights, kernels, history, origin)
            return *ran, starts

        held, states, history, starts = _loop(
            self.blocks.count, block, (held, list(states), history, starts)
        )
        outputs = self.output.close(history["outputs"])
        closed = self._closed(history, starts)
        results = Results(
            held[0] if held else self._unless_empty(states[0], no_output),
            states,
            self._after(self.output, closed["states"][0] if shown else outputs)
            if self.settings.keep_outputs
            else None,
            [self._after(la, h) for la, h in zip(self.states, closed["states"], strict=True)]
            if keep_states
            else [],
        )
        return results, closed

    def _run(
        self,
        block: Any,
        x: Any,
        held: list[Any],
        states: list[Any],
        weights: list[Any],
        kernels: list[Any],
        history: dict[str, Any],
        origin: Any,
    ) -> tuple[list[Any], list[Any], dict[str, Any]]:
        """Run a block, whose first step is step `origin` of the history."""
        z = keras.tree.flatten(self.step.project(self.blocks.part(x, block), weights))
        z = [
            la.cut(self.blocks.by_step(leaf, block))
            for la, leaf in zip(self.inputs, z, strict=True)
        ]
        no_output = _zeros_of(self.output, x)

        def one(k: Any, held: Any, states: Any, history: Any) -> Any:
            z_k = [la.at(leaf, k) for la, leaf in zip(self.inputs, z, strict=True)]
            made: list[Product] = []
            output, new = self.step.advance(
                keras.tree.pack_sequence_as(self.plan.structure, z_k),
                states,
                weights,
                self.step.computing(kernels, made, self._sum),
            )
            if self.mask is not None:
                on = self.mask[self.blocks.start(block) + k]
                masked_output = no_output if self.settings.zero_output_for_mask else held[0]
                output = where(on, output, masked_output)
                new = [where(on, n, s) for n, s in zip(new, states, strict=True)]
            _same_shapes([output, *new], [no_output, *states])
            t = origin + k
            values = [p.value for p in made]
            written = {
                "inputs": write(self.inputs, history["inputs"], t, z_k),
                "values": write(self.values, history["values"], t, values),
                "states": write(self.states, history["states"], t + 1, new),
                "outputs": write([self.output], [history["outputs"]], t + 1, [output])[0],
            }
            return [output] if held else [], new, written

        return _loop(self.blocks.length_of(block), one, (held, states, history))

    def _sum(self, product: Any, onto: Any) -> Any:
        """The sum, block of columns by block of columns where XLA keeps these apart."""
        if onto is None:
            return product
        layout = Layout(product.shape, product.dtype, self.settings.xla, self.step.cell.units)
        return layout.joined(
            [o + p for o, p in zip(*map(layout.cut, (onto, product)), strict=True)]
        )

    def _empty(self, space: Any, keep: bool) -> dict[str, list[History]]:
        """Histories of what the gradient needs besides the states."""
        needed = [keep and n for n in self.plan.inputs_needed]
        return {
            "inputs": [
                la.empty(space) if n else [] for la, n in zip(self.inputs, needed, strict=True)
            ],
            "values": [la.empty(space) if keep else [] for la in self.values],
        }

    def _empty_states(
        self, space: Any, states: list[Any], all_states: bool, first: bool
    ) -> list[History]:
        """Histories of states: before the first step, and after each."""
        wanted = [all_states or (first and k == 0) for k in range(len(states))]
        return [
            la.write(la.empty(space + 1), 0, s) if w else []
            for la, s, w in zip(self.states, states, wanted, strict=True)
        ]

    def _closed(self, history: dict[str, Any], starts: list[History]) -> dict[str, list[History]]:
        return {
            "inputs": close(self.inputs, history["inputs"]),
            "values": close(self.values, history["values"]),
            "states": close(self.states, history["states"]),
            "starts": close(self.starts, starts),
        }

    def _after(self, layout: Layout, history: History) -> Any:
        """The values after each step."""
        return layout.whole(history)[1:][: self.blocks.steps]

    def _unless_empty(self, value: Any, otherwise: Any) -> Any:
        """`value`, or `otherwise` for a sequence without steps."""
        if isinstance(self.blocks.steps, int):
            return value
        return tf.where(self.blocks.steps > 0, value, otherwise)

    def _kernels(self, weights: list[Any]) -> list[Any]:
        """The matrix of each product."""
        return [
            weights[p.weight] if p.columns is None else weights[p.weight][:, p.columns]
            for p in self.plan.products
        ]

    # Backward

    def backward(
        self, inputs: Any, weights: list[Any], kept: dict[str, Any], gradients: Results
    ) -> tuple[Any, list[Any], list[Any]]:
        """Gradients of inputs, first states and weights, from those of the results."""
        x, kernels = self.blocks.filled(inputs), self._kernels(weights)
        turned = [tf.transpose(kernel) for kernel in kernels]
        d_held, d_states = [gradients.output], list(gradients.states)
        if self.output_is_state:
            d_held, d_last = [], self._unless_empty(gradients.output, _zeros_of(self.output, x))
            d_states[0] = d_states[0] + d_last

        def block(i: Any, d_held: Any, d_states: Any, sums: Any, d_kernels: Any, d_x: Any) -> Any:
            j = self.blocks.count - 1 - i
            history, origin = kept, self.blocks.start(j)
            if not self.settings.keep:
                history, origin = self._again(j, x, kept["starts"], weights, kernels), 0
            d_held, d_states, sums, collected = self._run_back(
                j, d_held, d_states, weights, turned, sums, history, origin, gradients
            )
            d_z, d_values, operands = self._collected(collected)
            for m, (u, d) in enumerate(zip(operands, d_values, strict=True)):
                if d is None:
                    continue
                state = self.plan.same_as_state[m]
                if state is not None:
                    space = self.blocks.space_of(j)
                    u = self.states[state].block(history["states"][state], origin, space)
                d_kernel = tf.matmul(_rows(u), _rows(d), transpose_a=True)
                d_kernels = [*d_kernels[:m], _add(d_kernels[m], d_kernel), *d_kernels[m + 1 :]]
            d_part, d_weights = self._projection_gradient(self.blocks.part(x, j), weights, d_z)
            sums = list(map(_add, sums, d_weights))
            return d_held, d_states, sums, d_kernels, d_x.write(j, d_part)

        sums, d_kernels = list(map(_zero_sum, weights)), list(map(_zero_sum, kernels))
        _, d_states, sums, d_kernels, d_inputs = _loop(
            self.blocks.count,
            block,
            (d_held, d_states, sums, d_kernels, self.blocks.parts(inputs)),
        )
        sums = self._with_kernels(sums, d_kernels)
        d_weights = [tf.cast(s, w.dtype) for s, w in zip(sums, weights, strict=True)]
        return self.blocks.join(d_inputs), d_states, d_weights

    def _run_back(
        self,
        block: Any,
        d_held: list[Any],
        d_states: list[Any],
        weights: list[Any],
        turned: list[Any],
        sums: list[Any],
        history: dict[str, Any],
        origin: Any,
        gradients: Results,
    ) -> tuple[list[Any], list[Any], list[Any], dict[str, Any]]:
        """Go back through a block, whose first step is step `origin` of the history."""
        length, start = self.blocks.length_of(block), self.blocks.start(block)
        no_z = [_zeros_of(la, d_states[0], axis=0) for la in self.inputs]

        def one(i: Any, d_held: Any, d_states: Any, sums: Any, collected: Any) -> Any:
            k = length - 1 - i
            t = start + k
            d_new = list(d_states)
            for n, sequence in enumerate(gradients.sequences):
                d_new[n] = d_new[n] + sequence[t]
            d_output = d_held[0] if d_held else None
            if gradients.outputs is not None and d_held:
                d_output = d_output + gradients.outputs[t]
            elif gradients.outputs is not None:
                d_new[0] = d_new[0] + gradients.outputs[t]
            d_before, d_passed = [tf.zeros_like(d) for d in d_held], None
            if self.mask is not None:
                # A masked step hands its gradients on to the step before.
                on = self.mask[t]
                d_passed = [where(on, tf.zeros_like(d), d) for d in d_new]
                if not self.settings.zero_output_for_mask:
                    d_before = [where(on, d_before[0], d_output)]
                d_new = [where(on, d, tf.zeros_like(d)) for d in d_new]
                d_output = where(on, d_output, tf.zeros_like(d_output))
            found = self._step_back(history, origin + k, no_z, weights, turned, d_output, d_new)
            d_old = [
                tf.zeros_like(d) if f is None else f
                for f, d in zip(found.states, d_new, strict=True)
            ]
            if d_passed is not None:
                d_old = [d + p for d, p in zip(d_old, d_passed, strict=True)]
            if self.settings.edge is not None:
                d_old = self.settings.edge(t, d_old)
            _same_shapes([*d_before, *d_old], [*d_held, *d_states])
            sums = list(map(_add, sums, found.weights))
            return d_before, d_old, sums, self._collect(collected, k, found)

        collected = self._nothing_collected(self.blocks.space_of(block))
        return _loop(length, one, (d_held, d_states, sums, collected))

    def _with_kernels(self, sums: list[Any], d_kernels: list[Any]) -> list[Any]:
        """The weights' gradients, with those that came through products."""
        sums = list(sums)
        for product, d_kernel in zip(self.plan.products, d_kernels, strict=True):
            total = sums[product.weight]
            if product.columns is not None:
                first, stop, _ = product.columns.indices(total.shape[1])
                d_kernel = tf.pad(d_kernel, [[0, 0], [first, total.shape[1] - stop]])
            sums[product.weight] = total + d_kernel
        return sums

    def _again(
        self, block: Any, x: Any, starts: list[History], weights: list[Any], kernels: list[Any]
    ) -> dict[str, Any]:
        """The history of a block, from the states before it."""
        states = [la.read(h, block) for la, h in zip(self.starts, starts, strict=True)]
        space = self.blocks.space_of(block)
        held = [] if self.output_is_state else [_zeros_of(self.output, x)]
        history = {
            **self._empty(space, True),
            "states": self._empty_states(space, states, True, False),
            "outputs": [],
        }
        *_, history = self._run(block, x, held, states, weights, kernels, history, 0)
        return self._closed(history, [[] for _ in states])

    def _step_back(
        self,
        history: dict[str, Any],
        time: Any,
        no_z: list[Any],
        weights: list[Any],
        turned: list[Any],
        d_output: Any,
        d_states: list[Any],
    ) -> StepGradient:
        def read(layouts: list[Layout], histories: list[History]) -> list[Any]:
            return [la.read(h, time) for la, h in zip(layouts, histories, strict=True)]

        z = [
            la.read(h, time) if h else tf.identity(zeros)
            for la, h, zeros in zip(self.inputs, history["inputs"], no_z, strict=True)
        ]
        return self.step.gradient(
            keras.tree.pack_sequence_as(self.plan.structure, z),
            read(self.states, history["states"]),
            read(self.values, history["values"]),
            weights,
            turned,
            d_output,
            d_states,
        )

    # What is collected of the steps of a block; where two are the same, only one is.

    def _nothing_collected(self, space: Any) -> dict[str, list[History]]:
        plan = self.plan

        def empty(layouts: list[Layout], wanted: list[bool]) -> list[History]:
            return [la.empty(space) if w else [] for la, w in zip(layouts, wanted, strict=True)]

        own = [
            used and same is None
            for used, same in zip(plan.inputs_used, plan.same_as_product, strict=True)
        ]
        return {
            "inputs": empty(self.d_inputs, own),
            "values": empty(self.d_values, plan.values_used),
            "operands": empty(self.operands, [same is None for same in plan.same_as_state]),
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

        def stacked(histories: list[History]) -> list[Any]:
            return [h[0].stack() if h else None for h in histories]

        values = stacked(collected["values"])
        inputs = [
            own if same is None else values[same]
            for own, same in zip(
                stacked(collected["inputs"]), self.plan.same_as_product, strict=True
            )
        ]
        return inputs, values, stacked(collected["operands"])

    def _projection_gradient(
        self, x: Any, weights: list[Any], d_z: list[Any]
    ) -> tuple[Any, list[Any]]:
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch([x, *weights])
            z = keras.tree.flatten(self.step.project(x, weights))
        used = [(leaf, _rows(d)) for leaf, d in zip(z, d_z, strict=True) if d is not None]
        if not used:
            return tf.zeros_like(x), [None] * len(weights)
        targets, gradients = zip(*used, strict=True)
        d_x, *d_weights = tape.gradient(
            list(targets), [x, *weights], output_gradients=list(gradients)
        )
        return (tf.zeros_like(x) if d_x is None else d_x), d_weights


def differentiable(
    loop: FastLoop,
    plain: Callable[[Any, list[Any], list[Any]], Results],
    inputs: Any,
    states: list[Any],
    weights: list[Any],
) -> Results:
    """Run a loop that has its own gradient.

    Args:
        loop: the loop.
        plain: the same function of inputs, states and weights in operations that TensorFlow
            differentiates; second derivatives come from it.
        inputs, states, weights: what it is a function of.
    """
    forms: list[Results] = []
    n, m = len(states), len(states) + len(weights)

    @tf.custom_gradient
    def run(*arguments: Any) -> Any:
        results, kept = loop.forward(*_apart(_constant(arguments), n))
        forms.append(results)
        return _flat(results), lambda *d_results: gradient(kept, *arguments, *d_results)

    def gradient(kept: Any, *arguments_and_gradients: Any) -> Any:
        @tf.custom_gradient
        def first(*arguments_and_gradients: Any) -> Any:
            constants = _constant(arguments_and_gradients)
            inputs, _, weights = _apart(constants[: 1 + m], n)
            d_results = _unflat(constants[1 + m :], forms[-1])
            d_inputs, d_states, d_weights = loop.backward(inputs, weights, kept, d_results)
            second = functools.partial(_second, plain, n, m, arguments_and_gradients)
            return [d_inputs, *d_states, *d_weights], second

        return first(*arguments_and_gradients)

    return _unflat(run(inputs, *states, *weights), forms[-1])


def _second(plain: Callable, n: int, m: int, arguments_and_gradients: Any, *d_d: Any) -> list[Any]:
    """The gradient of the gradient, from the plain loop."""
    sources = list(arguments_and_gradients)
    arguments, d_results = sources[: 1 + m], sources[1 + m :]
    with tf.GradientTape(watch_accessed_variables=False) as outer:
        outer.watch(sources)
        with tf.GradientTape(watch_accessed_variables=False) as inner:
            inner.watch(arguments)
            results = _flat(plain(*_apart(arguments, n)))
        d = inner.gradient(
            results, arguments, output_gradients=d_results, unconnected_gradients="zero"
        )
    return outer.gradient(d, sources, output_gradients=list(d_d), unconnected_gradients="zero")


def _apart(arguments: Any, n: int) -> tuple[Any, list[Any], list[Any]]:
    """Inputs, n states and the weights."""
    return arguments[0], list(arguments[1 : 1 + n]), list(arguments[1 + n :])


def _constant(values: Any) -> list[Any]:
    """For the loop itself, which has a gradient of its own: no other tape is to follow it."""
    return list(map(tf.stop_gradient, values))


def _flat(results: Results) -> list[Any]:
    outputs = [] if results.outputs is None else [results.outputs]
    return [results.output, *results.states, *outputs, *results.sequences]


def _unflat(values: Any, like: Results) -> Results:
    values = list(values)
    n, more = len(like.states), 0 if like.outputs is None else 1
    return Results(
        values[0],
        values[1 : 1 + n],
        values[1 + n] if more else None,
        values[1 + n + more :],
    )


def _loop(count: Any, body: Callable, values: tuple) -> tuple:
    """`values = body(i, *values)` for i = 0, 1, ... count - 1."""
    if isinstance(count, int) and count == 1:
        return tuple(body(0, *values))
    return tf.while_loop(
        lambda i, *_: i < count,
        lambda i, *values: (i + 1, *body(i, *values)),
        (tf.constant(0), *values),
    )[1:]


def _same_shapes(values: list[Any], like: list[Any]) -> None:
    for value, other in zip(values, like, strict=True):
        value.set_shape(other.shape)


def _zeros_of(layout: Layout, like: Any, axis: int = 1) -> Any:
    zeros = tf.zeros([tf.shape(like)[axis], *layout.shape[1:]], layout.dtype)
    zeros.set_shape(layout.shape)
    return zeros


def _rows(values: Any) -> Any:
    """(steps, batch, ...) as (steps x batch, ...)."""
    return tf.reshape(values, [-1, *values.shape[2:]])


def _zero_sum(weight: Any) -> Any:
    half = weight.dtype in (tf.float16, tf.bfloat16)
    return tf.zeros(weight.shape, tf.float32 if half else weight.dtype)


def _add(total: Any, more: Any) -> Any:
    return total if more is None else total + tf.cast(more, total.dtype)
