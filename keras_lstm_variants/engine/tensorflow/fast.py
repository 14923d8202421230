r"""The fast loop: one gradient for the whole sequence, weight gradients chunk by chunk.

For the loop, a recurrent step is a function of a projected input $z_t$ and the old states,
in which some products of a state with a weight matrix occur (`Cell.matmul`):

$$s_t = \mathrm{step}(z_t, s_{t-1}) \qquad\text{with products}\qquad a_t = u_t U,$$

where $u_t$ is a state, or something computed from one ($r \odot h$ in a GRU). Differentiated
step by step, as TensorFlow does it, each step adds $u_t^\top da_t$ to the gradient of U: a
small product, and a pass over the whole matrix. But the sum over steps is itself a product,

$$dU = \sum_t u_t^\top\, da_t = [u_1; u_2; \dots]^\top\, [da_1; da_2; \dots],$$

a large and efficient one. So the loop has a gradient of its own:

1. Forward, the states and the values $a_t$ of the products are kept, and little else.
2. Backward, each step runs again with $a_t$ *read instead of computed*, so that what remains
   is elementwise and cheap. A tape over it yields $da_t$. Then $du_t = da_t U^\top$ goes on,
   through the tape, to what $u_t$ was computed from. Products are taken last to first: when
   the turn of $da_t$ comes, all that was computed from $a_t$ has been accounted for.
3. The $u_t$ and $da_t$ of a chunk of steps are collected, and make one product a matrix.
   The projection of the inputs, which no state enters, is computed and differentiated for a
   whole chunk at once as well: $dx$, $dW$ and $db$ come from the $dz_t$ of all its steps.

Weights that enter a step by themselves (peepholes, recurrent biases) are summed in the loop.

This is correct for every step that is a function of inputs, states and weights alone: the
chain rule is applied to the step as it is, and only the sum over time is taken in another
order. `trace` makes sure that the step is such a function.

What is not kept is computed again, chunk by chunk (`Residuals`). The values of the products are
most of it, and where they are large, only the states are kept: once these are known, the
steps of a chunk need not follow each other, but run together as rows of one step, in large
products. At inference, or if told so, the loop keeps the states before each chunk only: a
gradient then runs each chunk again before it goes back through it, which takes memory for
one chunk instead of all, and the time of one more forward loop.
"""

import functools
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from keras_lstm_variants.backend.graphs import followed
from keras_lstm_variants.backend.xla import check_vectorized, vectorized
from keras_lstm_variants.engine.options import Result
from keras_lstm_variants.engine.tensorflow.backward import FastLoop
from keras_lstm_variants.engine.tensorflow.forward import Residuals, Settings
from keras_lstm_variants.engine.tensorflow.truncation import guarded

__all__ = ["FastLoop", "Residuals", "Settings", "differentiable"]


def differentiable(
    loop: FastLoop,
    plain: Callable[..., Result],
    inputs: list[Any],
    states: list[Any],
    weights: list[Any],
    mask: Any,
    dropout_masks: tuple[Any, Any],
) -> Result:
    """Run a loop that has its own gradient.

    Args:
        loop: the loop.
        plain: the same function of inputs, states, weights, mask and dropout masks, in
            operations that TensorFlow differentiates; second derivatives come from it.
        inputs, states, weights: what it is differentiated by.
        mask, dropout_masks: what else it is a function of.
    """
    forms: list[Result] = []
    ends = (len(inputs), len(inputs) + len(states))
    m = ends[1] + len(weights)
    given = [mask, *dropout_masks]
    masks = [g for g in given if g is not None]

    def plainly(arguments: Any, masks: Any) -> list[Any]:
        left = list(masks)
        mask, *dropout_masks = [None if g is None else left.pop(0) for g in given]
        return _flat(plain(*_apart(arguments, ends), mask, tuple(dropout_masks)))

    @tf.custom_gradient
    def run(*arguments: Any) -> Any:
        # Without edges its operations have the right gradient, too: TensorFlow's vectorisation
        # loses the loop's own where the tape is outside of it.
        own = arguments if loop.settings.edge is None else guarded(arguments)
        results, kept = loop.forward(*_apart(own, ends))
        forms.append(results)
        return _flat(results), lambda *d_results: gradient(kept, *arguments, *d_results)

    def gradient(kept: Any, *arguments_and_gradients: Any) -> Any:
        check_vectorized()
        if vectorized() and not loop.vectorizes:
            sources = _here(arguments_and_gradients)
            return _plain_slopes(plainly, m, _here(masks), False, sources)

        @tf.custom_gradient
        def first(*arguments_and_gradients: Any) -> Any:
            inputs, _, weights = _apart(arguments_and_gradients[:m], ends)
            d_results = _unflat(arguments_and_gradients[m:], forms[-1])
            d_inputs, d_states, d_weights = loop.backward(inputs, weights, kept, d_results)
            sources, others = list(arguments_and_gradients), _here(masks)
            xla = loop.settings.xla
            second = functools.partial(_second, plainly, m, sources, others, xla)
            return [*d_inputs, *d_states, *d_weights], second

        return first(*_here(arguments_and_gradients))

    return _unflat(run(*inputs, *states, *weights), forms[-1])


def _here(tensors: Any) -> list[Any]:
    """The same tensors in the graph that is being built.

    A gradient may be built in another graph than its function, and a second derivative in
    a third one, which knows the second graph's tensors but not the first one's.
    """
    return list(map(tf.identity, tensors))


def _plain_slopes(
    plainly: Callable, n: int, masks: list[Any], by_tape: bool, sources: list[Any]
) -> list[Any]:
    """The gradient from the plain loop; n sources are its arguments, others those of results."""
    arguments, d_results = sources[:n], sources[n:]
    results, arguments, slopes = followed(
        lambda given: plainly(given, masks), arguments, by_tape=by_tape
    )
    found = slopes(results, d_results)
    return [
        tf.zeros_like(a) if d is None else tf.convert_to_tensor(d)
        for a, d in zip(arguments, found, strict=True)
    ]


def _second(
    plainly: Callable, n: int, sources: list[Any], masks: list[Any], xla: bool, *d_d: Any
) -> list[Any]:
    """The gradient of the gradient, from the plain loop; n sources are its arguments."""
    first = functools.partial(_plain_slopes, plainly, n, masks, xla)
    # Where a function is called under a `ForwardAccumulator`, tapes see nothing and say nothing;
    # what the graph makes of a gradient's loop, XLA cannot compile.
    d, sources, slopes = followed(first, sources, by_tape=xla)
    found = slopes(d, list(d_d))
    if xla and all(g is None for g in found[n:]):
        raise ValueError(
            "TensorFlow cannot differentiate forwards around a function with a layer that is "
            'compiled by XLA. Give the layer `engine="auto"`, or leave `jit_compile` out.'
        )
    return [tf.zeros_like(s) if g is None else g for s, g in zip(sources, found, strict=True)]


def _apart(arguments: Any, ends: tuple[int, int]) -> tuple[list[Any], list[Any], list[Any]]:
    """Inputs, states and weights; `ends` are those of the first two."""
    first, second = ends
    return list(arguments[:first]), list(arguments[first:second]), list(arguments[second:])


def _flat(result: Result) -> list[Any]:
    outputs = [] if result.outputs is None else [result.outputs]
    return [result.last_output, *outputs, *result.states, *(result.state_sequences or [])]


def _unflat(values: Any, like: Result) -> Result:
    left = iter(values)
    return Result(
        next(left),
        None if like.outputs is None else next(left),
        [next(left) for _ in like.states],
        None if like.state_sequences is None else list(left),
    )
