"""Which inputs moved an output of a model."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from keras_lstm_variants import _checks, engine
from keras_lstm_variants._keras import get_keras_mask, set_keras_mask
from keras_lstm_variants.introspect import as_array, as_tensors, check_arguments
from keras_lstm_variants.states import unchanged


class Attribution(NamedTuple):
    """What `attribution` found.

    Attributes:
        values: what each input number contributed, of the shape of the input.
        output: what was explained, (batch,).
        baseline_output: the same of the baseline, (batch,); None without one.
        gap: how far the sum of `values` misses the difference of the two, (batch,), or None.

    Example: see `attribution`.
    """

    values: np.ndarray
    output: np.ndarray
    baseline_output: np.ndarray | None
    gap: np.ndarray | None


def attribution(
    model: keras.layers.Layer,
    x: Any,
    target: int | tuple[int, ...] | Callable[[Any], Any] | None = None,
    *,
    method: str = "integrated_gradients",
    baseline: Any = None,
    steps: int = 64,
    embedding: keras.layers.Layer | None = None,
    **call_arguments: Any,
) -> Attribution:
    r"""Which steps and features of the input moved the output.

    $$\text{gradient x input:}\quad a = x \odot \nabla F(x) \qquad
      \text{integrated gradients:}\quad
      a = (x - b) \odot \int_0^1 \nabla F(b + s (x - b))\, ds$$

    Integrated gradients are complete: they sum to $F(x) - F(b)$. How far they miss it, for the
    integral is a sum of `steps` values at the middles of equal parts, is `gap`; if it is large,
    take more steps.

    Reference: Sundararajan, Taly & Yan 2017, Axiomatic attribution for deep networks,
    arXiv 1703.01365; Shrikumar et al. 2016, arXiv 1605.01713.

    Args:
        model: a built model or layer with one floating input, the first axis of which, and of
            its output, is the batch.
        x: the input (batch, ...). A mask that it carries is used. Integers have no gradient: for
            tokens give `embedding`.
        target: which number of the output is F. An index of its last axis, or a tuple of
            indices of its axes behind the batch; a function of the output (batch, ...) that
            gives (batch,); None for an output with one number a row.
        method: `"integrated_gradients"` or `"gradient_x_input"`.
        baseline: b, of the shape of x or one that is broadcast to it. Default zeros.
        steps: how many gradients are taken on the way from b to x.
        embedding: the layer of the model that makes numbers of x, as an `Embedding`. Then `values`
            and `baseline` are of the shape of its output.
        **call_arguments: what else the call takes, as `mask`.

    Returns:
        `Attribution(values, output, baseline_output, gap)`: `values` of the shape of x, the others
        (batch,); for `"gradient_x_input"` the last two are None.

    The states of stateful layers are used, the same for every gradient, and left as they were.

    Raises:
        ValueError: an argument is out of its range, or does not fit the output.

    Example:
        >>> import keras, keras_lstm_variants as klv
        >>> model = keras.Sequential([keras.Input((5, 3)), klv.LSTM(4), keras.layers.Dense(1)])
        >>> found = klv.attribution(model, keras.ops.ones((2, 5, 3)))
        >>> found.values.shape, bool(abs(found.gap).max() < 1e-3)
        ((2, 5, 3), True)
    """
    _checks.one_of("method", method, ("integrated_gradients", "gradient_x_input"))
    steps = _checks.positive_integer("steps", steps)
    check_arguments(model, call_arguments)
    if method == "gradient_x_input" and baseline is not None:
        raise ValueError('`baseline` belongs to method="integrated_gradients".')
    read = x = _one_tensor(x)
    if embedding is not None:
        if not isinstance(embedding, keras.layers.Layer):
            raise ValueError(f"`embedding` must be a layer. Received: embedding={embedding!r}")
        x = embedding(x)
    if not keras.backend.is_float_dtype(keras.backend.standardize_dtype(x.dtype)):
        raise ValueError(
            "`x` must be floating: integers have no gradient. For tokens name the layer that makes "
            "numbers of them, `embedding=model.get_layer(...)`: what its output contributed is "
            f"found. Received: x of the type {x.dtype}"
        )
    start = None if method == "gradient_x_input" else _baseline(baseline, x)
    chosen, mask = _chooser(target), get_keras_mask(read)

    def value(x: Any) -> Any:
        # A graph's arguments come without the masks that they carried.
        given = x if embedding is None else ops.copy(read)
        if mask is not None:
            set_keras_mask(given, mask)
        with nullcontext() if embedding is None else _saying(embedding, x):
            return chosen(model(given, training=False, **call_arguments))

    compiled = engine.compiled(lambda x: engine.gradient(value, x))

    def gradient(x: Any) -> tuple[Any, Any]:
        # Of a stateful model every call is to start from the same states.
        with unchanged(model):
            return compiled(x)

    output, slope = gradient(x)
    if start is None:
        return Attribution(as_array(x * slope), as_array(output), None, None)
    total = ops.zeros_like(x)
    for k in range(steps):
        total = total + gradient(start + (k + 0.5) / steps * (x - start))[1]
    values, first = as_array((x - start) * total / steps), as_array(gradient(start)[0])
    output = as_array(output)
    # In NumPy, for x may be of another precision than the output.
    gap = values.sum(axis=tuple(range(1, values.ndim))) - (output - first)
    return Attribution(values, output, first, gap)


def _one_tensor(x: Any) -> Any:
    if isinstance(x, list | tuple | dict) and any(np.ndim(v) for v in keras.tree.flatten(x)):
        raise ValueError(
            "`x` must be one array: models of several inputs are not explained. "
            f"Received: {type(x).__name__}"
        )
    return as_tensors(np.asarray(x) if isinstance(x, list | tuple) else x)


def _baseline(baseline: Any, x: Any) -> Any:
    """The baseline in the shape of x, or a `ValueError`."""
    if baseline is None:
        return ops.zeros_like(x)
    try:
        found = np.asarray(baseline, float)
    except (TypeError, ValueError):
        found = np.array(np.nan)
    sizes = zip(found.shape[::-1], x.shape[::-1], strict=False)
    fits = found.ndim <= len(x.shape) and all(size in (1, wanted) for size, wanted in sizes)
    if not fits or not np.isfinite(found).all():
        got = f"{type(baseline).__name__} {np.shape(baseline)}"
        raise ValueError(
            f"`baseline` must be finite numbers of the shape {tuple(x.shape)}, or that can be "
            f"broadcast to it. Received: {got}"
        )
    return ops.broadcast_to(ops.convert_to_tensor(found, x.dtype), ops.shape(x))


@contextmanager
def _saying(layer: Any, output: Any) -> Iterator[None]:
    """While active, a call of the layer gives this; its mask is that of what it was called with."""
    calls = []

    def call(*args: Any, **kwargs: Any) -> Any:
        calls.append(args)
        return output

    object.__setattr__(layer, "call", call)
    try:
        yield
    finally:
        object.__delattr__(layer, "call")
    if len(calls) != 1:
        raise ValueError(
            "`embedding` must be a layer that the model calls once, with x. "
            f"Received: embedding={layer.name}, called {len(calls)} times"
        )


def _chooser(target: Any) -> Callable[[Any], Any]:
    """A function from the output (batch, ...) to the number (batch,) that is explained."""
    if target is not None and not callable(target):
        index = target if isinstance(target, tuple) else (target,)
        for part in index:
            if isinstance(part, bool) or not isinstance(part, int | np.integer):
                raise ValueError(
                    "`target` must be None, an index, a tuple of indices or a function. "
                    f"Received: target={target!r}"
                )

    def chosen(output: Any) -> Any:
        if keras.tree.is_nested(output) and not callable(target):
            raise ValueError(
                "The model has several outputs: `target` must be a function that makes (batch,) of "
                f"them. Received: target={target!r}"
            )
        value = target(output) if callable(target) else _picked(output, target)
        value = ops.convert_to_tensor(value)
        rows = keras.tree.flatten(output)[0].shape[0]
        if len(value.shape) != 1 or (rows and value.shape[0] not in (None, rows)):
            raise ValueError(
                "`target` must choose one number for each row, (batch,). Received: "
                f"target={target!r}, which gives the shape {tuple(value.shape)}"
            )
        return value

    return chosen


def _picked(output: Any, target: Any) -> Any:
    if target is None:
        if any(size != 1 for size in output.shape[1:]):
            raise ValueError(
                "`target` must say which number of the output is meant: `target=0` is the first of "
                "the last axis, `target=(-1, 0)` has an index for every axis. Received: "
                f"target=None, with an output of the shape {tuple(output.shape)}"
            )
        return ops.reshape(output, (-1,))
    axes = output.shape[1:]
    if isinstance(target, tuple):
        index = target
    else:
        index = (target,)
        axes = axes[-1:]
    fits = len(index) == len(axes) and all(
        size is None or -size <= i < size for i, size in zip(index, axes, strict=True)
    )
    if not fits:
        raise ValueError(
            f"`target` must be an index into {tuple(axes)}, the output without the batch. "
            f"Received: target={target!r}, with an output of the shape {tuple(output.shape)}"
        )
    return output[(slice(None), *index)] if isinstance(target, tuple) else output[..., target]
