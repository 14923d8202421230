"""Which inputs moved an output of a model."""

from collections.abc import Callable
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from keras_lstm_variants import _calls, _checks, engine
from keras_lstm_variants._keras import get_keras_mask, set_keras_mask
from keras_lstm_variants.introspect import as_array, as_tensors, check_arguments, replaced
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
        model: a built model or layer. The first axis of its inputs and its output is the batch.
        x: the input (batch, ...), or several as the model takes them, one of them floating: that
            one is explained. A mask that it carries is used. Integers have no gradient: for
            tokens give `embedding`.
        target: which number of the output is F. An index of its last axis, or a tuple of
            indices of its axes behind the batch; an array (batch,) with an index of the last
            axis for each row, as the labels; a function of the output (batch, ...) that gives
            (batch,); None for an output with one number a row.
        method: `"integrated_gradients"` or `"gradient_x_input"`.
        baseline: b, of the shape of x or one that is broadcast to it. Default zeros.
        steps: how many gradients are taken on the way from b to x.
        embedding: the layer of the model that makes numbers of x, as an `Embedding`. Then its
            output is explained, and `values` and `baseline` are of the shape of that.
        **call_arguments: what else the call takes, as `mask`.

    Returns:
        `Attribution(values, output, baseline_output, gap)`: `values` of the shape of x, the others
        (batch,); for `"gradient_x_input"` the last two are None.

    The states of stateful layers are used, the same for every gradient, and left as they were.

    Raises:
        ValueError: an argument is out of its range, does not fit the output, or no gradient
            arrives at what is to be explained.

    Example:
        >>> import keras, keras_lstm_variants as klv
        >>> model = keras.Sequential([keras.Input((5, 3)), klv.LSTM(4), keras.layers.Dense(1)])
        >>> found = klv.attribution(model, keras.ops.ones((2, 5, 3)))
        >>> found.values.shape, bool(abs(found.gap).max() < 1e-3)
        ((2, 5, 3), True)
    """
    _calls.check_model(model)
    _checks.one_of("method", method, ("integrated_gradients", "gradient_x_input"))
    steps = _checks.positive_integer("steps", steps)
    check_arguments(model, call_arguments)
    if method == "gradient_x_input" and baseline is not None:
        raise ValueError('`baseline` belongs to method="integrated_gradients".')
    chosen, read = _chooser(target), as_tensors(x)
    leaves = keras.tree.flatten(read)

    def call(replaced: dict[int, Any]) -> Any:
        """The model, with some of the leaves of x replaced."""
        given = [replaced.get(k, leaf) for k, leaf in enumerate(leaves)]
        for k, leaf in enumerate(leaves):
            mask = get_keras_mask(leaf)
            if mask is not None:
                # A graph's arguments come without the masks that they carried.
                given[k] = given[k] if k in replaced else ops.copy(leaf)
                set_keras_mask(given[k], mask)
        given = keras.tree.pack_sequence_as(read, given)
        return model(given, training=False, **call_arguments)

    if embedding is None:
        place = _floating(leaves)
        x = leaves[place]
    else:
        with unchanged(model):
            x = _said_by(embedding, lambda: call({}))
    start = None if method == "gradient_x_input" else _baseline(baseline, x)

    def value(x: Any) -> Any:
        if embedding is None:
            return chosen(call({place: x}))
        with replaced(embedding, "call", lambda *args, **kwargs: x):
            return chosen(call({}))

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


def _floating(leaves: list[Any]) -> int:
    """Which of the inputs is explained, or a `ValueError`."""
    types = [keras.backend.standardize_dtype(leaf.dtype) for leaf in leaves]
    found = [k for k, dtype in enumerate(types) if keras.backend.is_float_dtype(dtype)]
    if len(found) != 1:
        raise ValueError(
            "`x` must have one floating array, which is explained: integers have no gradient. For "
            "tokens name the layer that makes numbers of them, `embedding=model.get_layer(...)`: "
            f"what its output contributed is found. Received: x of the type(s) {', '.join(types)}"
        )
    return found[0]


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


def _said_by(layer: Any, run: Callable[[], Any]) -> Any:
    """The output of the layer in a run of the model, or a `ValueError`."""
    if not isinstance(layer, keras.layers.Layer):
        raise ValueError(
            "`embedding` must be a layer, as `model.get_layer(name)` gives it. "
            f"Received: embedding={layer!r}"
        )
    said, own = [], layer.call

    def call(*args: Any, **kwargs: Any) -> Any:
        said.append(own(*args, **kwargs))
        return said[-1]

    with replaced(layer, "call", call):
        run()
    if len(said) != 1 or keras.tree.is_nested(said[0]):
        raise ValueError(
            "`embedding` must be a layer that the model calls once, with one output. "
            f"Received: embedding={layer.name}, called {len(said)} times"
        )
    return ops.convert_to_tensor(said[0])


def _chooser(target: Any) -> Callable[[Any], Any]:
    """A function from the output (batch, ...) to the number (batch,) that is explained."""
    if isinstance(target, list) or (np.ndim(target) == 1 and not isinstance(target, tuple)):
        return _each_its_own(np.asarray(target))
    if target is not None and not callable(target):
        index = target if isinstance(target, tuple) else (target,)
        for part in index:
            if isinstance(part, bool) or not isinstance(part, int | np.integer):
                raise ValueError(
                    "`target` must be None, an index, a tuple of indices, an array (batch,) of "
                    f"indices or a function. Received: target={target!r}"
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


def _each_its_own(target: np.ndarray) -> Callable[[Any], Any]:
    """`_chooser` of an index for each row."""

    def chosen(output: Any) -> Any:
        shape = () if keras.tree.is_nested(output) else tuple(output.shape)
        whole = np.issubdtype(target.dtype, np.integer)
        rows = len(shape) == 2 and shape[0] in (None, len(target))
        if not whole or not rows or target.min() < 0 or target.max() >= shape[1]:
            raise ValueError(
                "`target` must be an index for each row of an output (batch, K), from 0 to K - 1. "
                f"Received: target of the type {target.dtype} and shape {target.shape}, with an "
                f"output of the shape {shape}"
            )
        return ops.take_along_axis(output, target[:, None], axis=1)[:, 0]

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
