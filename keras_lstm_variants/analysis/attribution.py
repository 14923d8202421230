"""Which inputs moved an output of a model."""

import functools
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from keras_lstm_variants import _calls, _checks, engine
from keras_lstm_variants._keras import get_keras_mask, set_keras_mask
from keras_lstm_variants.analysis.attribution_methods import (
    allowed_gap,
    expected,
    integrated,
    occluded,
)
from keras_lstm_variants.analysis.attribution_target import chooser
from keras_lstm_variants.analysis.model_calls import (
    as_array,
    as_tensors,
    check_arguments,
    replaced,
)
from keras_lstm_variants.states import unchanged

# Which arguments each method takes, beside those of all.
_TAKES = {
    "integrated_gradients": ("baseline", "steps", "max_steps", "tolerance"),
    "expected_gradients": ("baseline", "steps", "max_steps", "tolerance", "seed"),
    "occlusion": ("baseline",),
    "gradient_x_input": (),
}


class Attribution(NamedTuple):
    """What `attribution` found.

    Attributes:
        values: what each input number contributed, of the shape of the input; with `embedding`
            what each token did, the sum over its vector.
        output: what was explained, (batch,).
        baseline_output: the same of the baseline, (batch,), or the mean over baselines; None
            where the method has none.
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
    steps: int | None = None,
    max_steps: int | None = None,
    tolerance: float | None = None,
    seed: int | None = None,
    embedding: keras.layers.Layer | None = None,
    **call_arguments: Any,
) -> Attribution:
    r"""Which steps and features of the input moved the output.

    $$\text{integrated gradients:}\quad
      a = (x - b) \odot \int_0^1 \nabla F(b + s (x - b))\, ds \qquad
      \text{expected gradients:}\quad \text{their mean over baselines } b$$
    $$\text{occlusion:}\quad a_k = F(x) - F(x \text{ with } b_k \text{ for } x_k) \qquad
      \text{gradient x input:}\quad a = x \odot \nabla F(x)$$

    Integrated and expected gradients are complete: they sum to $F(x) - F(b)$. How far they miss
    it, since an integral is computed as a sum, is `gap`. Where it is more than `tolerance`, more
    gradients are taken, where the sum is worst; where it stays so, a warning says by how much.

    When to trust which: *integrated gradients* with a small gap, and a baseline that the model
    knows (a mean, a quiet day); on the way from a baseline that it has never seen, as the vector
    zero for letters, the output may go anywhere, and what is summed up on the way says
    little of x even if the gap is small. *Expected gradients* start from real inputs instead, and
    say what moved the output away from those; they are a sample, so their gap never vanishes.
    *Occlusion* takes no way at all and always holds as what it is, the effect of hiding one
    place; places that act together only, or stand in for each other, it misses. *Gradient x
    input* is the effect of a small change near x, and sums to nothing. What two of the methods
    agree on is safe to say.

    Reference: Sundararajan, Taly & Yan 2017, Axiomatic attribution for deep networks,
    arXiv 1703.01365; Erion et al. 2021, Improving performance of deep learning models with
    axiomatic attribution priors and expected gradients, arXiv 1906.10670; Zeiler & Fergus 2014,
    arXiv 1311.2901; Shrikumar et al. 2016, arXiv 1605.01713.

    Args:
        model: a built model or layer. The first axis of its inputs and its output is the batch.
        x: the input (batch, ...), or several as the model takes them, one of them floating: that
            one is explained. A mask that it carries is used. Integers have no gradient: for
            tokens give `embedding`.
        target: which number of the output is F. An index of its last axis, or a tuple of
            indices of its axes behind the batch; an array (batch,) with an index of the last
            axis for each row, as the labels; a function of the output (batch, ...) that gives
            (batch,); None for an output with one number a row.
        method: `"integrated_gradients"`, `"expected_gradients"`, `"occlusion"` or
            `"gradient_x_input"`.
        baseline: b, of the shape of x or one that is broadcast to it. Default zeros. With
            `embedding`, numbers of the shape of its output, or an array of integers: tokens. For
            expected gradients (which have no default) rows of real inputs, (n, ...) like x.
        steps: how many gradients are taken at first, for each row. Default 64.
        max_steps: how many at most, where these are not enough. Default 16 times `steps`; equal
            to `steps`: no more are taken.
        tolerance: which gap is small enough, as a share of F(x) - F(b). Default 0.05.
        seed: of the draws of expected gradients; None: new ones at every call.
        embedding: the layer of the model that makes numbers of x, as an `Embedding`. Then its
            output is explained, and summed for each token: `values` has the shape of the tokens.
        **call_arguments: what else the call takes, as `mask`.

    Returns:
        `Attribution(values, output, baseline_output, gap)`: `values` of the shape of x, the others
        (batch,); for occlusion and gradient x input the last two are None.

    The states of stateful layers are used, the same for every gradient, and left as they were.
    Occlusion calls the model once for each number of a row (with `embedding`, each token), the
    others once or twice for each step.

    Raises:
        ValueError: an argument is out of its range, does not fit the output, or belongs to another
            method; or no gradient arrives at what is to be explained.

    Example:
        >>> import keras, keras_lstm_variants as klv
        >>> model = keras.Sequential([keras.Input((5, 3)), klv.LSTM(4), keras.layers.Dense(1)])
        >>> found = klv.attribution(model, keras.ops.ones((2, 5, 3)))
        >>> found.values.shape, bool(abs(found.gap).max() < 1e-3)
        ((2, 5, 3), True)
    """
    _calls.check_model(model)
    _checks.one_of("method", method, _TAKES)
    own = {"steps": steps, "max_steps": max_steps, "tolerance": tolerance, "seed": seed}
    for name, given in {"baseline": baseline, **own}.items():
        if given is not None and name not in _TAKES[method]:
            raise ValueError(f"`{name}` does not belong to method={method!r}.")
    steps = 64 if steps is None else _checks.positive_integer("steps", steps)
    most = 16 * steps if max_steps is None else _checks.positive_integer("max_steps", max_steps)
    if most < steps:
        raise ValueError(f"`max_steps` must be at least steps={steps}. Received: max_steps={most}")
    tolerance = 0.05 if tolerance is None else _checks.positive_number("tolerance", tolerance)
    seed = _checks.seed("seed", seed)
    check_arguments(model, call_arguments)
    chosen, read = chooser(target), as_tensors(x)
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

    def embedded(replaced: dict[int, Any]) -> Any:
        with unchanged(model):
            return _said_by(embedding, lambda: call(replaced))

    if embedding is None:
        place = _floating(leaves)
        x = leaves[place]
    else:
        x = embedded({})

    def explained(x: Any) -> Any:
        if embedding is None:
            return chosen(call({place: x}))
        with replaced(embedding, "call", lambda *args, **kwargs: x):
            return chosen(call({}))

    def of_kept_states(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
        # Of a stateful model every call is to start from the same states.
        compiled = engine.compiled(function)

        def run(x: Any) -> Any:
            with unchanged(model):
                return compiled(x)

        return run

    gradient = of_kept_states(lambda x: engine.gradient(explained, x))
    value = of_kept_states(explained)
    result = functools.partial(_result, tokens=embedding is not None)
    if method == "gradient_x_input":
        output, slope = gradient(x)
        return result(x * slope, output)
    if method == "expected_gradients":
        start = _rows_of_baselines(baseline, x, leaves, embedded if embedding else None)
        random = np.random.default_rng(seed)
        found = expected(gradient, value, start, x, steps, most, tolerance, random)
    else:
        start = _baseline(baseline, x, leaves, embedded if embedding else None)
        if method == "occlusion":
            axes = len(x.shape) - 1 - (embedding is not None)
            return Attribution(occluded(value, start, x, axes), as_array(value(x)), None, None)
        found = integrated(gradient, start, x, steps, most, tolerance)
    hint = "Give a baseline that the model knows, or method='expected_gradients' or 'occlusion'"
    if method == "expected_gradients":
        hint = "They are a sample: give more baselines, or method='occlusion'"
    return _warned(result(found[0], value(x), found[1]), tolerance, most, hint)


def _result(values: Any, output: Any, first: Any = None, *, tokens: bool) -> Attribution:
    values, output = (v if isinstance(v, np.ndarray) else as_array(v) for v in (values, output))
    values = values.sum(axis=-1) if tokens else values
    if first is None:
        return Attribution(values, output, None, None)
    first = first.astype(output.dtype)
    # In NumPy, for x may be of another precision than the output.
    gap = values.sum(axis=tuple(range(1, values.ndim))) - (output - first)
    return Attribution(values, output, first, gap)


def _warned(found: Attribution, tolerance: float, most: int, hint: str) -> Attribution:
    """The attribution, after a warning if it does not add up."""
    far = np.abs(found.gap) > allowed_gap(found.output, found.baseline_output, tolerance)
    if far.any():
        difference = np.abs(found.output - found.baseline_output)
        shares = np.abs(found.gap) / np.maximum(difference, np.finfo("float32").tiny)
        worst = int(np.argmax(shares))
        warnings.warn(
            f"The contributions miss F(x) - F(baseline) by more than {100 * tolerance:g} % in "
            f"{far.sum()} of {len(far)} rows, in row {worst} by {100 * shares[worst]:.3g} % (in "
            f"the median by {100 * np.median(shares):.3g} %), with up to {most} steps. Do not take "
            "them for what moved the output: on the way from the baseline it goes up and down. "
            f"{hint}, or more `max_steps`; `gap` has the numbers.",
            stacklevel=3,
        )
    return found


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


def _baseline(baseline: Any, x: Any, leaves: list[Any], embedded: Any) -> Any:
    """The baseline in the shape of x, or a `ValueError`."""
    if baseline is None:
        return ops.zeros_like(x)
    if embedded is not None and np.ndim(baseline) and _whole(baseline):
        place = _tokens(leaves)
        tokens = _fitting(baseline, leaves[place].shape, "whole numbers")
        return embedded({place: ops.convert_to_tensor(tokens, leaves[place].dtype)})
    return ops.convert_to_tensor(_fitting(baseline, x.shape, "finite numbers"), x.dtype)


def _fitting(baseline: Any, shape: Any, what: str) -> np.ndarray:
    try:
        found = np.asarray(baseline, float)
    except (TypeError, ValueError):
        found = np.array(np.nan)
    sizes = zip(found.shape[::-1], shape[::-1], strict=False)
    fits = found.ndim <= len(shape) and all(size in (1, wanted) for size, wanted in sizes)
    if not fits or not np.isfinite(found).all():
        raise ValueError(
            f"`baseline` must be {what} of the shape {tuple(shape)}, or that can be "
            f"broadcast to it. Received: {_named(baseline)}"
        )
    return np.broadcast_to(found, tuple(shape))


def _rows_of_baselines(baseline: Any, x: Any, leaves: list[Any], embedded: Any) -> Any:
    """Real inputs (n, ...) as baselines, or a `ValueError`."""
    place = None if embedded is None else _tokens(leaves)
    wanted = tuple((x if place is None else leaves[place]).shape[1:])
    try:
        found = np.asarray(baseline)
    except (TypeError, ValueError):
        found = np.array(None)
    numbers = found.dtype.kind in ("iu" if embedded else "fiub")
    if not numbers or found.shape[1:] != wanted or not found.size or not np.isfinite(found).all():
        kind = "tokens" if embedded else "finite numbers"
        raise ValueError(
            "With method='expected_gradients' `baseline` must be rows of real inputs, "
            f"{kind} of the shape {(None, *wanted)}. Received: {_named(baseline)}"
        )
    if embedded is None:
        return ops.convert_to_tensor(found, x.dtype)
    # As many rows at once as x has, for which the model may be made.
    rows, said = x.shape[0], []
    for first in range(0, len(found), rows):
        some = np.take(found, range(first, first + rows), axis=0, mode="wrap")
        said.append(embedded({place: ops.convert_to_tensor(some, leaves[place].dtype)}))
    return ops.concatenate(said)[: len(found)]


def _tokens(leaves: list[Any]) -> int:
    """Which of the inputs has the tokens, or a `ValueError`."""
    found = [k for k, leaf in enumerate(leaves) if "int" in str(leaf.dtype)]
    if len(found) != 1:
        raise ValueError(
            "Tokens as `baseline` need one input of integers in `x`. "
            f"Received: {len(found)} inputs of integers"
        )
    return found[0]


def _whole(baseline: Any) -> bool:
    return np.issubdtype(getattr(baseline, "dtype", np.asarray(baseline).dtype), np.integer)


def _named(value: Any) -> str:
    return "None" if value is None else f"{type(value).__name__} {np.shape(value)}"


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
